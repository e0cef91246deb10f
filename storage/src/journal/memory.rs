//! A journal in memory, gone with the process.

use std::{
    collections::BTreeMap,
    future,
    sync::{Mutex, MutexGuard},
};

use bytes::Bytes;
use ysyncd_engine::{DocId, JournalError, JournalRecord, Position};

use super::{Journal, JournalFuture, JournalWrite};

/// A journal for simulation and for tests. It survives nothing: what it holds
/// is durable as long as it lives itself. It never fails.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    records: Mutex<BTreeMap<DocId, BTreeMap<Position, Bytes>>>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DocId, BTreeMap<Position, Bytes>>> {
        self.records
            .lock()
            .expect("nothing panics while it holds the lock")
    }

    fn carry_out(&self, write: JournalWrite) {
        let mut docs = self.lock();
        match write {
            JournalWrite::Append {
                doc,
                position,
                update,
            } => {
                docs.entry(doc).or_default().insert(position, update);
            }
            JournalWrite::Trim { doc, through } => {
                if let Some(records) = docs.get_mut(&doc) {
                    records.retain(|position, _| *position > through);
                    if records.is_empty() {
                        docs.remove(&doc);
                    }
                }
            }
        }
    }
}

impl Journal for MemoryJournal {
    fn documents(&self) -> JournalFuture<'_, Vec<DocId>> {
        answer(Ok(self.lock().keys().cloned().collect()))
    }

    fn commit(&self, writes: Vec<JournalWrite>) -> JournalFuture<'_, ()> {
        writes.into_iter().for_each(|write| self.carry_out(write));
        answer(Ok(()))
    }

    fn read<'a>(&'a self, doc: &'a DocId) -> JournalFuture<'a, Vec<JournalRecord>> {
        let docs = self.lock();
        let records = docs.get(doc).into_iter().flatten();
        let record = |(position, update): (&Position, &Bytes)| JournalRecord {
            position: *position,
            update: update.clone(),
        };
        answer(Ok(records.map(record).collect()))
    }

    fn reopen(&self) -> JournalFuture<'_, ()> {
        answer(Ok(()))
    }

    fn size_bytes(&self) -> u64 {
        let docs = self.lock();
        let updates = docs.values().flat_map(BTreeMap::values);
        updates.map(|update| update.len() as u64).sum()
    }
}

/// Calls take effect when they are made, not when their answer is awaited.
fn answer<T: Send + 'static>(result: Result<T, JournalError>) -> JournalFuture<'static, T> {
    Box::pin(future::ready(result))
}
