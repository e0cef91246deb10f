//! Snapshots in memory, gone with the process.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use bytes::Bytes;
use ysyncd_engine::{Condition, DocId, Etag, Snapshot, StoreError};

use crate::{
    SnapshotStore, StoreFuture,
    catalog::{Catalog, Listed, Page, PageMark, Version, VersionId},
};

/// A store for simulation, for tests, and for servers whose documents need
/// not outlive them. What it holds is durable as long as it lives itself.
///
/// Its etags count its writes, so that equal content written twice has two.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    by_doc: BTreeMap<DocId, Snapshot>,
    writes: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects
            .lock()
            .expect("nothing panics while it holds the lock")
    }
}

impl SnapshotStore for MemoryStore {
    fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>> {
        Box::pin(async { Ok(self.lock().by_doc.get(doc).cloned()) })
    }

    fn save<'a>(
        &'a self,
        doc: &'a DocId,
        body: Bytes,
        condition: Condition,
    ) -> StoreFuture<'a, Etag> {
        Box::pin(async { self.lock().save(doc, body, condition) })
    }
}

impl Catalog for MemoryStore {
    fn list<'a>(&'a self, id_prefix: &'a str, _: Option<PageMark>) -> StoreFuture<'a, Page> {
        Box::pin(async move {
            let documents = self.lock().list(id_prefix);
            let next = None;
            Ok(Page { documents, next })
        })
    }

    fn versions<'a>(&'a self, _: &'a DocId) -> StoreFuture<'a, Vec<Version>> {
        Box::pin(async { Err(no_versions()) })
    }

    fn load_version<'a>(
        &'a self,
        _: &'a DocId,
        _: &'a VersionId,
    ) -> StoreFuture<'a, Option<Snapshot>> {
        Box::pin(async { Err(no_versions()) })
    }

    fn delete<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(self.lock().by_doc.remove(doc).is_some()) })
    }
}

fn no_versions() -> StoreError {
    StoreError::Denied("a store in memory keeps no versions".to_owned())
}

impl Objects {
    fn list(&self, id_prefix: &str) -> Vec<Listed> {
        let listed = self.by_doc.iter().map(|(doc, snapshot)| Listed {
            doc: doc.clone(),
            size_bytes: snapshot.body.len() as u64,
            modified: None,
            etag: Some(snapshot.etag.clone()),
        });
        listed
            .filter(|listed| listed.doc.as_str().starts_with(id_prefix))
            .collect()
    }

    fn save(&mut self, doc: &DocId, body: Bytes, condition: Condition) -> Result<Etag, StoreError> {
        let holds = match (self.by_doc.get(doc), condition) {
            (None, Condition::Absent) => true,
            (Some(stored), Condition::Matches(etag)) => stored.etag == etag,
            _ => false,
        };
        if !holds {
            return Err(StoreError::Conflict);
        }
        self.writes += 1;
        let etag = Etag(self.writes.to_string().into());
        let snapshot = Snapshot {
            body,
            etag: etag.clone(),
        };
        self.by_doc.insert(doc.clone(), snapshot);
        Ok(etag)
    }
}
