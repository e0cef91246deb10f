//! A server with a journal, up to where the engine takes over.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use ysyncd_engine::{DocId, JournalError, JournalRecord};
use ysyncd_net::{Config, Drained, ServeError, Stores};
use ysyncd_storage::{
    journal::{Journal, JournalFuture, JournalWrite, memory::MemoryJournal},
    memory::MemoryStore,
};

use crate::support::{Server, run, soon};

/// A journal in memory that says what it holds once it is let to.
struct GatedJournal {
    kept: MemoryJournal,
    gate: Semaphore,
    documents: Result<(), JournalError>,
}

impl GatedJournal {
    fn new(permits: usize, documents: Result<(), JournalError>) -> Arc<Self> {
        Arc::new(Self {
            kept: MemoryJournal::new(),
            gate: Semaphore::new(permits),
            documents,
        })
    }
}

impl Journal for GatedJournal {
    fn documents(&self) -> JournalFuture<'_, Vec<DocId>> {
        Box::pin(async {
            self.gate.acquire().await.unwrap().forget();
            self.documents.clone()?;
            self.kept.documents().await
        })
    }

    fn commit(&self, writes: Vec<JournalWrite>) -> JournalFuture<'_, ()> {
        self.kept.commit(writes)
    }

    fn read<'a>(&'a self, doc: &'a DocId) -> JournalFuture<'a, Vec<JournalRecord>> {
        self.kept.read(doc)
    }

    fn reopen(&self) -> JournalFuture<'_, ()> {
        self.kept.reopen()
    }

    fn size_bytes(&self) -> u64 {
        4_711
    }

    fn at_risk_bytes(&self) -> u64 {
        42
    }
}

async fn server(journal: Arc<GatedJournal>, tweak: impl FnOnce(&mut Config)) -> Server {
    let stores = Stores {
        snapshots: Arc::new(MemoryStore::new()),
        journal: Some(journal),
    };
    Server::with_stores(stores, tweak).await
}

#[test]
fn nobody_is_answered_before_the_journal_has_said_what_it_holds() {
    run(async {
        let journal = GatedJournal::new(0, Ok(()));
        let server = server(Arc::clone(&journal), |_| {}).await;
        let mut health = Box::pin(server.get("/healthz", ""));
        let early = timeout(Duration::from_millis(200), &mut health).await;
        assert!(early.is_err(), "answered without the journal");
        journal.gate.add_permits(1);
        assert!(soon(health).await.starts_with("HTTP/1.1 200"));
        server.client("a").await.sync().await;
        assert_eq!(server.stop().await, Drained::default());
    });
}

#[test]
fn a_journal_that_cannot_be_read_keeps_the_server_from_starting() {
    run(async {
        let failed = JournalError::Failed("bad sector".to_owned());
        let server = server(GatedJournal::new(1, Err(failed.clone())), |_| {}).await;
        let error = server.ended().await.unwrap_err();
        assert_eq!(error, ServeError::Journal(failed));
        assert!(error.to_string().contains("bad sector"), "{error}");
    });
}

#[test]
fn a_journal_that_hangs_does_not_keep_the_server_from_ending() {
    run(async {
        let hasty = |config: &mut Config| config.shutdown_timeout = Duration::from_millis(100);
        let server = server(GatedJournal::new(0, Ok(())), hasty).await;
        sleep(Duration::from_millis(50)).await;
        server.begin_stop();
        assert_eq!(server.ended().await, Err(ServeError::Interrupted));
    });
}

#[test]
fn a_journal_that_is_slow_at_the_start_is_waited_for_at_the_end() {
    run(async {
        let journal = GatedJournal::new(0, Ok(()));
        let server = server(Arc::clone(&journal), |_| {}).await;
        sleep(Duration::from_millis(50)).await;
        server.begin_stop();
        sleep(Duration::from_millis(50)).await;
        journal.gate.add_permits(1);
        assert_eq!(server.ended().await, Ok(Drained::default()));
    });
}

#[test]
fn health_and_metrics_tell_of_the_journal() {
    run(async {
        let with = server(GatedJournal::new(1, Ok(())), |_| {}).await;
        let health = with.get("/healthz", "").await;
        assert!(health.contains("\"journal\":\"ok\""), "{health}");
        let metrics = with.get("/metrics", "").await;
        assert!(metrics.contains("\nysyncd_journal_size_bytes 4711\n"));
        assert!(metrics.contains("\nysyncd_journal_at_risk_bytes 42\n"));

        let without = Server::start(|_| {}).await;
        let health = without.get("/healthz", "").await;
        assert!(health.contains("\"journal\":\"off\""), "{health}");
        let metrics = without.get("/metrics", "").await;
        assert!(metrics.contains("\nysyncd_journal_size_bytes 0\n"));
    });
}
