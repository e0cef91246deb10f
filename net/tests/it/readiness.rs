//! `/readyz`: whether clients should be sent here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};
use ysyncd_engine::{Condition, DocId, Etag, Snapshot, StoreError};
use ysyncd_storage::{SnapshotStore, StoreFuture, memory::MemoryStore};

use crate::support::{Server, run, soon, text_update};

/// A store that cannot be read for its first loads, nor be written to.
struct AwayStore {
    store: MemoryStore,
    failures: AtomicUsize,
    loads: AtomicUsize,
    error: StoreError,
}

impl AwayStore {
    fn new(failures: usize, error: StoreError) -> Arc<Self> {
        Arc::new(Self {
            store: MemoryStore::new(),
            failures: AtomicUsize::new(failures),
            loads: AtomicUsize::new(0),
            error,
        })
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::Relaxed)
    }
}

impl SnapshotStore for AwayStore {
    fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let less = |left: usize| left.checked_sub(1);
        let failed = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        match failed {
            Ok(_) => Box::pin(async { Err(self.error.clone()) }),
            Err(_) => self.store.load(doc),
        }
    }

    fn save<'a>(&'a self, _: &'a DocId, _: Bytes, _: Condition) -> StoreFuture<'a, Etag> {
        Box::pin(async { Err(self.error.clone()) })
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("no route to bucket-1".to_owned())
}

/// Waits until the server is ready, and says how often it said that it is not.
async fn ready(server: &Server) -> usize {
    let mut unready = 0;
    let ready = async {
        loop {
            let answer = server.get("/readyz", "").await;
            if answer.starts_with("HTTP/1.1 200") {
                assert!(answer.ends_with("\r\n\r\nready\n"), "{answer}");
                return unready;
            }
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
            assert!(answer.contains("\r\n\r\nstarting: the store has not"));
            assert!(!answer.contains("bucket-1"), "what the store says is told");
            unready += 1;
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon(ready).await
}

#[test]
fn a_server_with_a_store_that_answers_is_ready() {
    run(async {
        let server = Server::start(|_| {}).await;
        ready(&server).await;
        let answer = server.get("/readyz", "").await;
        assert!(answer.contains("content-type: text/plain; charset=utf-8"));
        assert!(answer.contains("cache-control: no-store"));
        let rest = "/readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let head = server.request(&format!("HEAD {rest}")).await;
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"));
        let posted = server.request(&format!("POST {rest}")).await;
        assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
    });
}

#[test]
fn a_store_that_is_away_at_the_start_is_asked_until_it_answers() {
    for error in [unavailable(), StoreError::Denied("bucket-1".to_owned())] {
        run(async {
            let store = AwayStore::new(2, error);
            let server = Server::with_store(Arc::clone(&store) as _, |_| {}).await;
            let health = server.get("/healthz", "").await;
            assert!(health.starts_with("HTTP/1.1 200"), "{health}");
            // Half a second, then a whole one: not a tight loop, nor once.
            assert!(ready(&server).await >= 10);
            assert_eq!(store.loads(), 3);
        });
    }
}

#[test]
fn a_store_that_goes_away_later_leaves_the_server_ready() {
    run(async {
        let store = AwayStore::new(0, unavailable());
        let server = Server::with_store(Arc::clone(&store) as _, |_| {}).await;
        ready(&server).await;
        store.failures.store(usize::MAX, Ordering::Relaxed);
        assert!(server.connect("a").await.is_err(), "it could be loaded");
        assert_eq!(ready(&server).await, 0);
        assert_eq!(store.loads(), 2, "nobody asks any more");
    });
}

/// A store that never answers its first load, as a disk may that hangs.
struct HangingStore {
    store: MemoryStore,
    loads: AtomicUsize,
}

impl SnapshotStore for HangingStore {
    fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>> {
        match self.loads.fetch_add(1, Ordering::Relaxed) {
            0 => Box::pin(std::future::pending()),
            _ => self.store.load(doc),
        }
    }

    fn save<'a>(
        &'a self,
        doc: &'a DocId,
        body: Bytes,
        condition: Condition,
    ) -> StoreFuture<'a, Etag> {
        self.store.save(doc, body, condition)
    }
}

#[test]
fn who_opens_a_document_shows_that_the_store_answers() {
    run(async {
        let store = HangingStore {
            store: MemoryStore::new(),
            loads: AtomicUsize::new(0),
        };
        let server = Server::with_store(Arc::new(store), |_| {}).await;
        let answer = server.get("/readyz", "").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        server.client("a").await.sync().await;
        assert_eq!(ready(&server).await, 0);
    });
}

#[test]
fn a_server_that_drains_is_not_ready_and_takes_nobody() {
    run(async {
        // What cannot be saved keeps it from ending.
        let store = AwayStore::new(0, unavailable());
        let server = Server::with_store(store, |config| {
            config.shutdown_timeout = Duration::from_secs(5);
        })
        .await;
        ready(&server).await;
        let mut client = server.client("a").await;
        client.sync().await;
        let update = text_update(3);
        let mut message = vec![0, 2, u8::try_from(update.len()).unwrap()];
        message.extend(update);
        client.send(&message).await;
        client.sync().await;
        let mut kept = server.tcp().await;
        assert!(ask(&mut kept).await.starts_with("HTTP/1.1 200"));
        server.begin_stop();
        assert_eq!(client.closed().await.0, 1001);
        let answer = ask(&mut kept).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("draining"), "{answer}");
        let another = TcpStream::connect(server.address).await;
        assert!(another.is_err(), "still listening");
        assert_eq!(server.ended().await.unwrap().unsaved.len(), 1);
    });
}

/// Asks on a connection that is kept.
async fn ask(stream: &mut TcpStream) -> String {
    let request = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    loop {
        assert!(soon(stream.read_buf(&mut answer)).await.unwrap() > 0);
        let text = String::from_utf8_lossy(&answer);
        if text
            .split_once("\r\n\r\n")
            .is_some_and(|(_, body)| body.ends_with('\n'))
        {
            return text.into_owned();
        }
    }
}
