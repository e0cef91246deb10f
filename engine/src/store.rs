//! The words in which the engine asks for snapshots to be read and written.
//!
//! A snapshot is one object per document: a plain Yjs v1 update. What a store
//! must promise is written down in `ysyncd_storage::SnapshotStore`.

use std::sync::Arc;

use bytes::Bytes;

use crate::id::DocId;

/// What a store is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StoreCommand {
    /// Read the snapshot of a document.
    Load {
        /// Which document.
        doc: DocId,
    },
    /// Write the snapshot of a document, if the condition holds.
    Save {
        /// Which document.
        doc: DocId,
        /// The whole snapshot.
        body: Bytes,
        /// What must be true of the stored object for the write to happen.
        condition: Condition,
    },
}

/// The condition of a save.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Condition {
    /// No object is stored.
    Absent,
    /// The stored object is the very one that had this etag.
    Matches(Etag),
}

/// The name that a store gives to one version of one object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Etag(pub Arc<str>);

/// A stored snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Snapshot {
    /// A Yjs v1 update.
    #[cfg_attr(feature = "serde", serde(with = "crate::hex"))]
    pub body: Bytes,
    /// The version that was read.
    pub etag: Etag,
}

/// The one answer to a [`StoreCommand`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StoreResult {
    /// Answer to `Load`: the snapshot, or `None` if there is certainly none.
    Loaded(Result<Option<Snapshot>, StoreError>),
    /// Answer to `Save`: the version that was written.
    Saved(Result<Etag, StoreError>),
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StoreError {
    /// The condition of a save did not hold: the object is another one, or
    /// gone. Nothing was written by this call.
    #[error("the stored snapshot is not the one that was expected")]
    Conflict,
    /// It is not known whether a save took place (a timeout, a lost reply).
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The store did not do it and another try may succeed.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The store refuses, and will until somebody changes something.
    #[error("store refused: {0}")]
    Denied(String),
}
