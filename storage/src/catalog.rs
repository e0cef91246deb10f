//! What people who look after a store need, beside what serving needs.

use std::time::SystemTime;

use ysyncd_engine::{DocId, Etag, Snapshot};

use crate::StoreFuture;

/// The documents of a store as a whole, and what it keeps of their past.
///
/// As a [`SnapshotStore`](crate::SnapshotStore) it tries once and bounds the
/// time that a call takes. Nothing here is conditional: it shows a store that
/// others may change meanwhile.
pub trait Catalog: Send + Sync {
    /// Lists documents whose ids begin with `id_prefix`, a page at a time, in
    /// no particular order. The first page is asked for with `None`, each
    /// other one with the mark of the one before.
    ///
    /// A document that is there all the time is listed once; one that comes or
    /// goes meanwhile may be listed or not. What is no document is passed over.
    ///
    /// # Errors
    /// As [`SnapshotStore::load`](crate::SnapshotStore::load).
    fn list<'a>(&'a self, id_prefix: &'a str, from: Option<PageMark>) -> StoreFuture<'a, Page>;

    /// All versions of a document that are kept; none if there never was such a
    /// document. The latest comes first, then the others from newer to older,
    /// as far as their times tell: S3 counts in seconds.
    ///
    /// # Errors
    /// As [`SnapshotStore::load`](crate::SnapshotStore::load); with
    /// [`StoreError::Denied`](ysyncd_engine::StoreError::Denied) if the store
    /// keeps no versions.
    fn versions<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Vec<Version>>;

    /// Reads one version of a document; `None` if there is no such version, or
    /// if it is a deletion.
    ///
    /// # Errors
    /// As [`Catalog::versions`].
    fn load_version<'a>(
        &'a self,
        doc: &'a DocId,
        version: &'a VersionId,
    ) -> StoreFuture<'a, Option<Snapshot>>;

    /// Deletes a document, whatever it holds, and says whether it was there.
    /// Where versions are kept, they are left alone.
    ///
    /// # Errors
    /// As [`SnapshotStore::save`](crate::SnapshotStore::save), but for
    /// [`StoreError::Conflict`](ysyncd_engine::StoreError::Conflict).
    fn delete<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, bool>;
}

/// Some of the documents of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The documents.
    pub documents: Vec<Listed>,
    /// Where the next page begins; `None` if this is the last one.
    pub next: Option<PageMark>,
}

/// Where a page begins, in the store's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageMark(pub String);

/// A document, as a list tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub doc: DocId,
    /// Size of its snapshot.
    pub size_bytes: u64,
    /// When it was last written; `None` if the store does not know.
    pub modified: Option<SystemTime>,
    /// The version that is listed, where it is known without reading it.
    pub etag: Option<Etag>,
}

/// The name of one version of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionId(pub String);

/// One version of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What it is asked for by.
    pub id: VersionId,
    /// When it came to be; `None` if the store does not know.
    pub modified: Option<SystemTime>,
    /// Whether it is what a load reads.
    pub is_latest: bool,
    /// What it is.
    pub content: VersionContent,
}

/// What a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionContent {
    /// A snapshot.
    Snapshot {
        /// Its size.
        size_bytes: u64,
        /// Its etag.
        etag: Option<Etag>,
    },
    /// The document was deleted.
    Deletion,
}
