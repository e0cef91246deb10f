//! Whether a store keeps its word: each answer that a server gets is compared
//! with what the bucket did.
//!
//! A call's requests carry its number, which the bucket notes with what it
//! writes.

use std::{
    cell::Cell,
    collections::BTreeMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use ysyncd_engine::{Condition, DocId, Etag, Snapshot, StoreError};
use ysyncd_storage::{SnapshotStore, StoreFuture};

use crate::oracle::{Invariant, Violation};

thread_local! {
    static CALL: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The call whose future is polled just now.
pub(super) fn current_call() -> Option<u64> {
    CALL.get()
}

/// What is known of calls. Shared by servers and the bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: u64,
    /// The etags that calls have written.
    landed: BTreeMap<u64, String>,
    /// Calls of which it was said that they wrote nothing.
    denied: BTreeMap<u64, StoreError>,
    /// All that was ever stored, by document; `None`: it was removed.
    history: BTreeMap<DocId, Vec<Option<Snapshot>>>,
    violation: Option<Violation>,
}

impl Calls {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .expect("nothing panics while it holds the lock")
    }

    /// What did not hold, if anything.
    pub(super) fn violation(&self) -> Option<Violation> {
        self.state().violation.take()
    }

    /// A call has written an object.
    pub(super) fn landed(&self, call: u64, doc: DocId, body: Bytes, etag: &str) {
        let mut state = self.state();
        if let Some(error) = state.denied.get(&call) {
            let detail = format!("{doc} was written after the answer {error:?}");
            state.violated(&detail);
        }
        state.landed.insert(call, etag.to_owned());
        let etag = Etag(etag.into());
        state
            .history
            .entry(doc)
            .or_default()
            .push(Some(Snapshot { body, etag }));
    }

    /// Somebody has removed an object.
    pub(super) fn vanished(&self, doc: DocId) {
        self.state().history.entry(doc).or_default().push(None);
    }

    fn begin(&self) -> u64 {
        let mut state = self.state();
        state.calls += 1;
        state.calls
    }

    fn versions(&self, doc: &DocId) -> usize {
        self.state().history.get(doc).map_or(0, Vec::len)
    }

    /// What was loaded is what was stored at some time between call and answer.
    fn judge_load(&self, doc: &DocId, before: usize, loaded: Option<&Snapshot>) {
        let mut state = self.state();
        let history = state.history.get(doc).map_or(&[][..], Vec::as_slice);
        let since = &history[before.saturating_sub(1)..];
        let is_true = match loaded {
            None => before == 0 || since.contains(&None),
            Some(loaded) => since.iter().flatten().any(|stored| stored == loaded),
        };
        if !is_true {
            let detail = format!("{doc} was loaded as {loaded:?}, which it was not");
            state.violated(&detail);
        }
    }

    fn judge_save(&self, doc: &DocId, call: u64, saved: &Result<Etag, StoreError>) {
        let mut state = self.state();
        let landed = state.landed.get(&call).cloned();
        let is_true = match saved {
            Ok(etag) => landed.as_deref() == Some(&*etag.0),
            Err(StoreError::Unknown(_)) => true,
            Err(_) => landed.is_none(),
        };
        if !is_true {
            let detail = format!("the answer is {saved:?}, and {doc} was written: {landed:?}");
            state.violated(&detail);
        }
        if let Err(error) = saved
            && !matches!(error, StoreError::Unknown(_))
        {
            state.denied.insert(call, error.clone());
        }
    }
}

impl State {
    fn violated(&mut self, detail: &str) {
        self.violation
            .get_or_insert_with(|| Invariant::StoreWord.violated(detail));
    }
}

/// Stands before a store and compares.
pub(super) struct Watched<S> {
    pub(super) store: S,
    pub(super) calls: Calls,
}

impl<S: SnapshotStore> SnapshotStore for Watched<S> {
    fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>> {
        Box::pin(async move {
            let call = self.calls.begin();
            let before = self.calls.versions(doc);
            let loaded = within(call, self.store.load(doc)).await;
            if let Ok(loaded) = &loaded {
                self.calls.judge_load(doc, before, loaded.as_ref());
            }
            loaded
        })
    }

    fn save<'a>(
        &'a self,
        doc: &'a DocId,
        body: Bytes,
        condition: Condition,
    ) -> StoreFuture<'a, Etag> {
        Box::pin(async move {
            let call = self.calls.begin();
            let saved = within(call, self.store.save(doc, body, condition)).await;
            self.calls.judge_save(doc, call, &saved);
            saved
        })
    }
}

/// Polls a call's future in its name.
async fn within<T>(call: u64, mut answer: StoreFuture<'_, T>) -> Result<T, StoreError> {
    poll_fn(|cx| {
        CALL.set(Some(call));
        let polled = answer.as_mut().poll(cx);
        CALL.set(None);
        polled
    })
    .await
}
