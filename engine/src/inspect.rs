//! What an engine holds at one moment, document by document, for people who
//! look at it while it runs. [`Status`](crate::Status) has the sums.

use std::time::Duration;

use crate::{
    auth::UserId,
    id::{ConnId, DocId},
};

/// How much an inspection tells. Whatever there is more of is only counted, so
/// that looking holds up nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InspectionLimits {
    /// Documents that are told of.
    pub documents: usize,
    /// Connections that are told of, of all these documents together.
    pub connections: usize,
    /// The same of one document.
    pub connections_per_document: usize,
    /// Pieces of documents that are looked at to count structs. One piece is
    /// some 2 KiB, or all that one client wrote.
    pub pieces: usize,
}

/// What there is, those documents first that changed last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The documents that changed last.
    pub documents: Vec<DocumentFacts>,
    /// Documents in memory.
    pub documents_total: usize,
    /// Connections, those that wait for their document included.
    pub connections_total: usize,
}

impl Inspection {
    /// What two engines of one server hold together, as far as the limits go.
    #[must_use]
    pub fn and(mut self, other: Self, limits: InspectionLimits) -> Self {
        self.documents.extend(other.documents);
        // Those that never changed last: there, nothing is not the least.
        self.documents
            .sort_by_key(|facts| facts.changed.unwrap_or(Duration::MAX));
        self.documents.truncate(limits.documents);
        let mut room = limits.connections;
        for facts in &mut self.documents {
            facts.connections.truncate(room);
            room -= facts.connections.len();
        }
        self.documents_total += other.documents_total;
        self.connections_total += other.connections_total;
        self
    }
}

/// Where a document is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentPhase {
    /// Being read.
    Loading,
    /// In use, or a moment ago.
    Live,
    /// Being saved to leave memory.
    Draining,
}

/// One document. Versions count its changes since it came into memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentFacts {
    /// Its name.
    pub id: DocId,
    /// Where it is in its life.
    pub phase: DocumentPhase,
    /// Connections that have it open, or wait for it.
    pub connections_total: usize,
    /// Some of them, those that lag first.
    pub connections: Vec<ConnectionFacts>,
    /// Yjs clients that have written to it.
    pub clients: usize,
    /// Room that it takes, about.
    pub bytes: usize,
    /// Structs that it holds; `None` if there are too many to count.
    pub structs: Option<usize>,
    /// Its changes.
    pub version: u64,
    /// Those that are not lost if the process dies.
    pub durable_version: u64,
    /// Those that are in the store.
    pub saved_version: u64,
    /// Bytes of updates that wait to become durable, and are no change yet.
    pub staged_bytes: usize,
    /// Bytes of updates that no landed snapshot covers.
    pub unsaved_bytes: usize,
    /// Time since its last change.
    pub changed: Option<Duration>,
    /// Time since it was last written to the store.
    pub saved: Option<Duration>,
    /// Age of the oldest update that is not durable.
    pub oldest_undurable: Option<Duration>,
    /// Age of the oldest update that no landed snapshot covers.
    pub oldest_unsaved: Option<Duration>,
    /// Whether the store failed when it was last asked for this document.
    pub is_failing: bool,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// Its number.
    pub conn: ConnId,
    /// Whose it is.
    pub user: UserId,
    /// Whether it may change the document.
    pub may_write: bool,
    /// Bytes that it was sent since it was opened.
    pub sent_bytes: u64,
    /// Those of them that its transport has not taken yet.
    pub waiting_bytes: u64,
    /// Whether it is left out of what others write until it has caught up.
    pub lags: bool,
    /// Whether something it wrote was refused, and is to be asked for again.
    pub is_refused: bool,
}
