//! The words in which the engine asks for updates to be made durable.
//!
//! Snapshots are written seconds after an edit; the journal is what an edit
//! survives a crash in until then. What it must promise is written down in
//! `ysyncd_storage::Journal`.

use bytes::Bytes;

use crate::id::DocId;

/// The place of a record among those of its document. Numbered by the engine,
/// ascending; gaps mean nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Position(pub u64);

/// One update in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct JournalRecord {
    /// Its place.
    pub position: Position,
    /// A Yjs v1 update, as a client sent it.
    #[cfg_attr(feature = "serde", serde(with = "crate::hex"))]
    pub update: Bytes,
}

/// What the journal is asked to do.
///
/// Commands take effect in the order in which they are given, and their
/// results come in that order. Once one has failed with
/// [`JournalError::Failed`], all that follow fail until `Reopen` succeeds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JournalCommand {
    /// Make an update durable.
    Append {
        /// Of which document.
        doc: DocId,
        /// Above all positions of the document so far. What stands there
        /// already, after an append that failed, is replaced.
        position: Position,
        /// A Yjs v1 update.
        update: Bytes,
    },
    /// Forget records that a snapshot holds.
    Trim {
        /// Of which document.
        doc: DocId,
        /// The last one to forget.
        through: Position,
    },
    /// Read all records of a document.
    Read {
        /// Which document.
        doc: DocId,
    },
    /// Start anew after a failure, with all that was ever reported durable.
    Reopen,
}

/// The answer to a [`JournalCommand`]. Each has exactly one. That to a write (`Append`
/// or `Trim`) is also that to all writes right before it that have none yet, back to
/// the last `Read` or `Reopen`: all of them are durable, or of none it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum JournalResult {
    /// Answer to `Append`: the update is durable. After a failure it is not
    /// known whether it will be there when the document is read again.
    Appended(Result<(), JournalError>),
    /// Answer to `Trim`: the records are gone. After a failure they may still
    /// be there.
    Trimmed(Result<(), JournalError>),
    /// Answer to `Read`: the records, ascending.
    Read(Result<Vec<JournalRecord>, JournalError>),
    /// Answer to `Reopen`: the journal takes commands again.
    Reopened(Result<(), JournalError>),
}

/// Why the journal did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum JournalError {
    /// The disk is full or failing. Nothing more is taken until the journal
    /// has been reopened.
    #[error("the journal failed: {0}")]
    Failed(String),
    /// Answer to `Read` alone: records of this document are not what was
    /// written. They are left as they are; other documents are not concerned.
    #[error("the journal's records of the document are damaged: {0}")]
    Damaged(String),
}
