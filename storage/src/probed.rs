//! A store that is not used before it has shown that it honours conditions.
//!
//! Some work-alikes of S3 ignore `If-Match` and answer 200: two servers that
//! write one document would overwrite each other unnoticed. So the store is
//! asked before anything else, with an object that is no document.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::Mutex;
use ysyncd_engine::{Condition, DocId, Etag, Snapshot, StoreError};

use crate::{
    SnapshotStore, StoreFuture,
    catalog::{Catalog, Page, PageMark, Version, VersionId},
    object_name::object_name,
};

/// The pending answer of a probe.
pub type ProbeFuture<'a> = Pin<Box<dyn Future<Output = Result<Honoured, ProbeError>> + Send + 'a>>;

/// A store that can be asked whether it does what
/// [`SnapshotStore`] promises for it.
pub trait Probe: Send + Sync {
    /// Writes probe objects and sees what comes of it; no document is touched.
    /// Any number of probes may run at once, from any number of nodes. Answers
    /// within about ten seconds.
    ///
    /// # Errors
    /// As [`ProbeError`] lists them.
    fn probe(&self) -> ProbeFuture<'_>;
}

/// What a store that honours conditions can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Honoured {
    /// Whether it keeps objects under the longest name that a document may
    /// have. If not, only names of up to [`SHORT_NAME_BYTES_MAX`] bytes are
    /// taken to work.
    pub long_names: bool,
}

/// Longest name in bytes that every store keeps. Those that keep objects as
/// files take no longer one.
pub const SHORT_NAME_BYTES_MAX: usize = 255;

/// Why a store must not be used (yet).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// What one server writes, another may overwrite unread.
    #[error("the store does not honour conditional writes: it {0}")]
    IgnoresConditions(Ignored),
    /// The store refuses, and will until somebody changes something.
    #[error("{0}")]
    Denied(String),
    /// Nothing is known: another probe may succeed.
    #[error("{0}")]
    Unreachable(StoreError),
}

/// What a store did that it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It wrote an object that was there under [`Condition::Absent`].
    #[error("overwrote an object in spite of `If-None-Match: *`")]
    Absent,
    /// It wrote an object under [`Condition::Matches`] with an etag that is
    /// not the object's.
    #[error("overwrote an object in spite of `If-Match` with the etag of another")]
    OtherEtag,
    /// It refused the object's own etag.
    #[error("refused `If-Match` with the object's own etag")]
    OwnEtag,
}

impl From<StoreError> for ProbeError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Denied(text) => Self::Denied(text),
            other => Self::Unreachable(other),
        }
    }
}

/// Stands before a store. No operation reaches it until a probe has
/// succeeded, which the first operations bring about: they answer
/// [`StoreError::Unavailable`] while the store cannot be reached, and
/// [`StoreError::Denied`] if it refuses or ignores conditions.
///
/// A document whose object's name is too long for the store is denied, too:
/// some stores answer that there is no such object, but would not keep it.
#[derive(Debug)]
pub struct Probed<S> {
    store: S,
    honoured: OnceLock<Honoured>,
    /// Held by the one probe under way.
    last_failure: Mutex<Option<ProbeError>>,
    failures: AtomicU64,
}

impl<S: Probe> Probed<S> {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self {
            store,
            honoured: OnceLock::new(),
            last_failure: Mutex::new(None),
            failures: AtomicU64::new(0),
        }
    }

    /// What a probe found. Asks the store unless one has succeeded before;
    /// whoever asks while a probe is under way gets its answer.
    ///
    /// # Errors
    /// Those of [`Probe::probe`]. The next call asks again.
    pub async fn probe(&self) -> Result<Honoured, ProbeError> {
        let failures = self.failures.load(Ordering::Acquire);
        if let Some(honoured) = self.honoured.get() {
            return Ok(*honoured);
        }
        let mut last_failure = self.last_failure.lock().await;
        if let Some(honoured) = self.honoured.get() {
            return Ok(*honoured);
        }
        if let Some(error) = &*last_failure
            && self.failures.load(Ordering::Acquire) > failures
        {
            return Err(error.clone());
        }
        let found = self.store.probe().await;
        match &found {
            Ok(honoured) => _ = self.honoured.set(*honoured),
            Err(error) => {
                *last_failure = Some(error.clone());
                self.failures.fetch_add(1, Ordering::Release);
            }
        }
        found
    }

    /// Leave to use the store for a document.
    async fn admit(&self, doc: &DocId) -> Result<(), StoreError> {
        let honoured = self.probe().await.map_err(|error| match error {
            ProbeError::Unreachable(StoreError::Unavailable(text)) => StoreError::Unavailable(text),
            ProbeError::Unreachable(error) => StoreError::Unavailable(error.to_string()),
            ProbeError::Denied(text) => StoreError::Denied(text),
            ProbeError::IgnoresConditions(_) => StoreError::Denied(error.to_string()),
        })?;
        let bytes = object_name(doc).len();
        if honoured.long_names || bytes <= SHORT_NAME_BYTES_MAX {
            return Ok(());
        }
        Err(StoreError::Denied(format!(
            "the document's object name has {bytes} bytes, and this store keeps none of more than \
             {SHORT_NAME_BYTES_MAX}; use a shorter document id"
        )))
    }
}

impl<S: SnapshotStore + Probe> SnapshotStore for Probed<S> {
    fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>> {
        Box::pin(async move {
            self.admit(doc).await?;
            self.store.load(doc).await
        })
    }

    fn save<'a>(
        &'a self,
        doc: &'a DocId,
        body: Bytes,
        condition: Condition,
    ) -> StoreFuture<'a, Etag> {
        Box::pin(async move {
            self.admit(doc).await?;
            self.store.save(doc, body, condition).await
        })
    }
}

/// Nothing here is conditional, so that nothing waits for a probe.
impl<S: Catalog> Catalog for Probed<S> {
    fn list<'a>(&'a self, id_prefix: &'a str, from: Option<PageMark>) -> StoreFuture<'a, Page> {
        self.store.list(id_prefix, from)
    }

    fn versions<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Vec<Version>> {
        self.store.versions(doc)
    }

    fn load_version<'a>(
        &'a self,
        doc: &'a DocId,
        version: &'a VersionId,
    ) -> StoreFuture<'a, Option<Snapshot>> {
        self.store.load_version(doc, version)
    }

    fn delete<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, bool> {
        self.store.delete(doc)
    }
}
