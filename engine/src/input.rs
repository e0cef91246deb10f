//! What the outside tells the engine.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    auth::Grant,
    bus::BusInput,
    id::{ConnId, DocId, OpId},
    journal::JournalResult,
    store::StoreResult,
};

/// One thing that happened outside.
#[derive(Debug, Clone, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Input {
    /// A client that holds a grant asks for a document. Answered by exactly
    /// one `Accept` or `Refuse`, unless `Closed` comes first.
    Open {
        /// A number never used before.
        conn: ConnId,
        /// The document asked for.
        doc: DocId,
        /// What its token allows.
        grant: Grant,
    },
    /// A whole binary message from an accepted connection.
    Received {
        /// From whom.
        conn: ConnId,
        /// The message: one or more y-websocket messages back to back.
        #[cfg_attr(feature = "serde", serde(with = "crate::hex"))]
        bytes: Bytes,
    },
    /// The transport has taken frames off our hands.
    Written {
        /// Whose.
        conn: ConnId,
        /// Payload bytes written since the connection was accepted, in total.
        total_bytes: u64,
    },
    /// The connection is gone; nothing more comes from it, and nothing
    /// reaches it. Also sent after the engine's own `Close`.
    Closed {
        /// Which.
        conn: ConnId,
    },
    /// The transport of a connection that is gone has let go of all frames that
    /// it had still to write: until then they take memory. Once for each
    /// connection that was opened, after `Closed`.
    Freed {
        /// Whose.
        conn: ConnId,
    },
    /// Time has passed; harmless when nothing is due.
    Tick,
    /// The one result of a storage operation.
    Store {
        /// The number that came with the command.
        op: OpId,
        /// What came of it.
        result: StoreResult,
    },
    /// The result of a journal operation. Results come in the order of the
    /// commands. That of an `Append` or a `Trim` is also that of all of these right
    /// before it that have none yet: where one commit makes many durable, one
    /// answer tells it of all, and has the same done as one for each.
    Journal {
        /// The number that came with the command.
        op: OpId,
        /// What came of it.
        result: JournalResult,
    },
    /// The journal holds records of these documents from an earlier life: to
    /// be told before the first `Open`. They are brought into the store
    /// whether anybody opens them or not.
    JournalHolds {
        /// Which.
        docs: Vec<DocId>,
    },
    /// The bus between nodes tells something. Only where
    /// [`Config::node`](crate::Config::node) is set.
    Bus(BusInput),
    /// Close all connections, save what is not saved, and report `Drained`.
    Shutdown {
        /// When to give up waiting for the store, on the monotonic clock.
        deadline: Duration,
    },
}
