//! A journal that is asked for each write apart from the others, as servers
//! that share one would ask it.

use ysyncd_engine::{DocId, JournalRecord};
use ysyncd_storage::journal::{Journal, JournalFuture, JournalWrite};

#[derive(Debug)]
pub(super) struct Scattered<J>(pub(super) J);

impl<J: Journal> Journal for Scattered<J> {
    fn documents(&self) -> JournalFuture<'_, Vec<DocId>> {
        self.0.documents()
    }

    /// All calls are made before the first is answered.
    fn commit(&self, writes: Vec<JournalWrite>) -> JournalFuture<'_, ()> {
        let calls: Vec<_> = writes
            .into_iter()
            .map(|write| self.0.commit(vec![write]))
            .collect();
        Box::pin(async move {
            let mut all = Ok(());
            for call in calls {
                all = all.and(call.await);
            }
            all
        })
    }

    fn read<'a>(&'a self, doc: &'a DocId) -> JournalFuture<'a, Vec<JournalRecord>> {
        self.0.read(doc)
    }

    fn reopen(&self) -> JournalFuture<'_, ()> {
        self.0.reopen()
    }

    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn at_risk_bytes(&self) -> u64 {
        self.0.at_risk_bytes()
    }
}
