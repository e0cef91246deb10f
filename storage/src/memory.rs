//! Snapshots in memory, gone with the process.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use bytes::Bytes;
use ysyncd_engine::{Condition, DocId, Etag, Snapshot, StoreError};

use crate::{SnapshotStore, StoreFuture};

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

impl Objects {
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
