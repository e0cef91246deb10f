//! Where ysyncd keeps documents.
//!
//! One document is one object: a snapshot, that is, a plain Yjs v1 update that
//! any Yjs can read. This crate moves such bodies in and out of a store as
//! they are. It never looks inside one, never merges two and never tries
//! again on its own: that is the engine's part, whose words (ids, conditions,
//! errors) it speaks. It depends on the engine and on nothing else of this
//! house; it knows no connection and no protocol.
//!
//! # A write overwrites nothing unread
//!
//! ```
//! use bytes::Bytes;
//! use ysyncd_engine::{Condition, DocId, StoreError};
//! use ysyncd_storage::{SnapshotStore, memory::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let store = MemoryStore::new();
//! let doc = DocId::new("notes")?;
//! let empty = Bytes::from_static(&[0, 0]);
//! let first = store.save(&doc, empty.clone(), Condition::Absent).await?;
//! // Somebody else who has not seen it writes nothing, and reads it first.
//! let second = store.save(&doc, empty.clone(), Condition::Absent).await;
//! assert_eq!(second, Err(StoreError::Conflict));
//! let stored = store.load(&doc).await?.expect("it was saved");
//! assert_eq!((stored.body, stored.etag), (empty, first));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod catalog;
pub mod disk;
pub mod journal;
pub mod memory;
pub mod object_name;
pub mod probed;
#[cfg(feature = "s3")]
pub mod s3;

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use ysyncd_engine::{Condition, DocId, Etag, Snapshot, StoreError};

/// The pending answer of a store.
///
/// It is `Send` because every implementation has a `Send` future to give
/// anyway (the S3 client's, or a handle of a blocking task), so that a caller
/// may await it on any executor, of one thread or many.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A place that keeps one snapshot per document, used by any number of
/// writers at once, in this process and in others.
///
/// Loads and saves of one document are linearizable: each takes effect at one
/// moment between call and answer, and readers see whole snapshots only.
/// Nothing is promised about the order of operations on different documents.
///
/// A store tries once. It bounds the time it takes by itself, so that every
/// call is answered, and leaves all repetition to the caller. Dropping a
/// future gives up the answer, not the operation, which may still take place.
pub trait SnapshotStore: Send + Sync {
    /// Reads the snapshot of a document.
    ///
    /// `None` means that there is certainly no snapshot: the store looked and
    /// found nothing. Whatever keeps it from looking is an error, since a
    /// caller takes `None` as leave to start an empty document. The body is
    /// the very bytes that were saved, whole, or else it is an error; and it
    /// is durable, as it may be the body of a save whose own answer was lost.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if another try may succeed,
    /// [`StoreError::Denied`] if it will not until somebody changes something.
    fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>>;

    /// Writes the snapshot of a document if `condition` holds, comparing and
    /// writing in one atomic step, and returns the etag of what was written.
    ///
    /// `Ok` means that the snapshot is durable: it survives the crash of this
    /// process and of whatever the store runs on. (A store in memory survives
    /// neither, and says so.)
    ///
    /// An etag names one content of one document's object. It differs from
    /// the etag of every other content; a store may give equal content an
    /// equal etag.
    ///
    /// # Errors
    /// - [`StoreError::Conflict`] if the condition does not hold, which
    ///   includes [`Condition::Matches`] where nothing is stored. This call
    ///   wrote nothing.
    /// - [`StoreError::Unknown`] if the snapshot may have been written or may
    ///   yet be, the reply being lost. Only a load can tell.
    /// - [`StoreError::Unavailable`] and [`StoreError::Denied`] if it was
    ///   certainly not written by this call; another try may succeed, or will
    ///   not until somebody changes something.
    fn save<'a>(
        &'a self,
        doc: &'a DocId,
        body: Bytes,
        condition: Condition,
    ) -> StoreFuture<'a, Etag>;
}
