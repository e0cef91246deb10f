//! Where updates are durable until a snapshot holds them.

pub mod disk;
pub mod memory;

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use ysyncd_engine::{DocId, JournalError, JournalRecord, Position};

/// The pending answer of a journal.
pub type JournalFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send + 'a>>;

/// One change of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalWrite {
    /// Add a record.
    Append {
        /// To which document.
        doc: DocId,
        /// Where. What stands there already is replaced.
        position: Position,
        /// A Yjs v1 update.
        update: Bytes,
    },
    /// Remove the records of a document up to a position, that one included.
    Trim {
        /// Of which document.
        doc: DocId,
        /// The last one.
        through: Position,
    },
}

/// Keeps updates safe from a crash, for one process.
///
/// - **Ordered.** Calls take effect in the order in which they are made, and
///   the writes of a call in their order.
/// - **Durable when it says so.** `commit` answers `Ok` once all its writes
///   survive the crash of this process and the loss of power (or only the
///   former, if it was opened so). It never answers `Ok` to what a later
///   `read` might not find.
/// - **Replayable.** After a crash, what was answered with `Ok` is there; a
///   commit that was cut off may be there, whole or in part, or not at all.
/// - **Truncatable.** What was trimmed takes no more room in the long run.
///
/// It tries once. After a failure it answers [`JournalError::Failed`] to every
/// call until `reopen` succeeds: a disk that has failed to sync may have
/// dropped what it was given and will report success the next time, so nothing
/// is ever synced twice. Futures that are dropped give up the answer, not the
/// operation.
pub trait Journal: Send + Sync {
    /// The documents that have records, in order.
    ///
    /// # Errors
    /// [`JournalError::Failed`].
    fn documents(&self) -> JournalFuture<'_, Vec<DocId>>;

    /// Carries out writes in order, and makes them durable together.
    ///
    /// # Errors
    /// [`JournalError::Failed`]: any of the writes may be found later, or not.
    fn commit(&self, writes: Vec<JournalWrite>) -> JournalFuture<'_, ()>;

    /// The records of a document, ascending, each the very bytes that were
    /// committed.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] if one of them is not; [`JournalError::Failed`].
    fn read<'a>(&'a self, doc: &'a DocId) -> JournalFuture<'a, Vec<JournalRecord>>;

    /// Starts anew after a failure, on fresh files, with everything that was
    /// ever answered with `Ok` and not trimmed. Harmless if nothing failed.
    ///
    /// # Errors
    /// [`JournalError::Failed`]; it can be tried again.
    fn reopen(&self) -> JournalFuture<'_, ()>;

    /// Room taken on the disk, in bytes.
    fn size_bytes(&self) -> u64;

    /// Bytes of what was answered with `Ok`, and should be durable by now, but
    /// that the disk has failed to take. It is tried again without a call; the
    /// loss of power before that succeeds loses them.
    fn at_risk_bytes(&self) -> u64 {
        0
    }
}
