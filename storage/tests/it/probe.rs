//! What a store must show before it is used.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::sync::Semaphore;
use ysyncd_engine::{Condition, DocId, Etag, Snapshot, StoreError};
use ysyncd_storage::{
    SnapshotStore, StoreFuture,
    memory::MemoryStore,
    probed::{Honoured, Ignored, Probe, ProbeError, ProbeFuture, Probed},
};

use crate::conformance::doc;

const LONG: Honoured = Honoured { long_names: true };

#[tokio::test]
async fn nothing_reaches_a_store_before_a_probe_has_succeeded() {
    for (found, expected) in [
        (
            ProbeError::Unreachable(StoreError::Unavailable("down".into())),
            StoreError::Unavailable("down".into()),
        ),
        (
            ProbeError::Unreachable(StoreError::Unknown("lost".into())),
            StoreError::Unavailable("outcome unknown: lost".into()),
        ),
        (
            ProbeError::Denied("no right".into()),
            StoreError::Denied("no right".into()),
        ),
        (
            ProbeError::IgnoresConditions(Ignored::OtherEtag),
            StoreError::Denied(ProbeError::IgnoresConditions(Ignored::OtherEtag).to_string()),
        ),
    ] {
        let store = Fake::finding([Err(found.clone()), Err(found), Ok(LONG)]);
        let probed = Probed::new(store.clone());
        assert_eq!(probed.load(&doc("a")).await, Err(expected.clone()));
        assert_eq!(save(&probed, "a").await, Err(expected));
        assert_eq!(store.operations(), 0);

        save(&probed, "a").await.unwrap();
        assert!(probed.load(&doc("a")).await.unwrap().is_some());
        assert_eq!((store.probes(), store.operations()), (3, 2));
    }
}

#[tokio::test]
async fn operations_that_wait_for_a_probe_share_its_answer() {
    let down = ProbeError::Unreachable(StoreError::Unavailable("down".into()));
    let store = Fake::finding([Err(down), Ok(LONG)]);
    store.0.gate.forget_permits(Semaphore::MAX_PERMITS);
    let probed = Arc::new(Probed::new(store.clone()));
    for all_fail in [true, false] {
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let probed = Arc::clone(&probed);
                tokio::spawn(async move { probed.load(&doc("a")).await })
            })
            .collect();
        tokio::task::yield_now().await;
        store.0.gate.add_permits(1);
        for one in waiting {
            assert_eq!(one.await.unwrap().is_err(), all_fail);
        }
    }
    assert_eq!(store.probes(), 2);
}

#[tokio::test]
async fn a_document_whose_name_the_store_would_not_keep_is_denied() {
    for (long_names, id_bytes, is_served) in [
        (false, 251, true),
        (false, 252, false),
        (true, 252, true),
        (true, 300, true),
    ] {
        let probed = Probed::new(Fake::finding([Ok(Honoured { long_names })]));
        let id = "a".repeat(id_bytes);
        let loaded = probed.load(&doc(&id)).await;
        let saved = save(&probed, &id).await;
        if is_served {
            assert_eq!(loaded, Ok(None));
            saved.unwrap();
        } else {
            let Err(StoreError::Denied(message)) = loaded else {
                panic!("{loaded:?}");
            };
            assert!(
                message.contains("255") && message.contains("shorter"),
                "{message}"
            );
            assert_eq!(saved, Err(StoreError::Denied(message)));
        }
    }
}

async fn save<S: SnapshotStore>(store: &S, id: &str) -> Result<Etag, StoreError> {
    let body = Bytes::from_static(b"body");
    store.save(&doc(id), body, Condition::Absent).await
}

/// A store whose probes find what they are told to, one after the other.
#[derive(Clone)]
struct Fake(Arc<Inner>);

struct Inner {
    store: MemoryStore,
    findings: Mutex<Vec<Result<Honoured, ProbeError>>>,
    probes: AtomicUsize,
    operations: AtomicUsize,
    /// What each probe takes one of.
    gate: Semaphore,
}

impl Fake {
    fn finding(findings: impl IntoIterator<Item = Result<Honoured, ProbeError>>) -> Self {
        let mut findings: Vec<_> = findings.into_iter().collect();
        findings.reverse();
        Self(Arc::new(Inner {
            store: MemoryStore::new(),
            findings: Mutex::new(findings),
            probes: AtomicUsize::new(0),
            operations: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }))
    }

    fn probes(&self) -> usize {
        self.0.probes.load(Ordering::Relaxed)
    }

    fn operations(&self) -> usize {
        self.0.operations.load(Ordering::Relaxed)
    }
}

impl Probe for Fake {
    fn probe(&self) -> ProbeFuture<'_> {
        Box::pin(async {
            self.0.probes.fetch_add(1, Ordering::Relaxed);
            self.0.gate.acquire().await.unwrap().forget();
            self.0.findings.lock().unwrap().pop().unwrap()
        })
    }
}

impl SnapshotStore for Fake {
    fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>> {
        self.0.operations.fetch_add(1, Ordering::Relaxed);
        self.0.store.load(doc)
    }

    fn save<'a>(
        &'a self,
        doc: &'a DocId,
        body: Bytes,
        condition: Condition,
    ) -> StoreFuture<'a, Etag> {
        self.0.operations.fetch_add(1, Ordering::Relaxed);
        self.0.store.save(doc, body, condition)
    }
}
