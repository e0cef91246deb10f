//! Documents shared among several engines, each on a thread of its own.

use std::{io, sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::{
    task::spawn_local,
    time::{sleep, timeout},
};
use ysyncd_engine::{DocId, Position, StoreError};
use ysyncd_net::{Drained, Stores};
use ysyncd_storage::{
    SnapshotStore,
    journal::{
        Journal, JournalWrite,
        disk::{DiskJournal, Fault, JournalOptions, SimulatedDisk},
        memory::MemoryJournal,
    },
    memory::MemoryStore,
};

use crate::support::{
    GatedStore, SYNC_STEP_1, Server, run, soon, store_with, text_update, token, upgrade,
};

const SHARDS: usize = 3;

/// More than enough for each shard to have some.
const DOCUMENTS: usize = 24;

fn names() -> Vec<String> {
    (0..DOCUMENTS).map(|at| format!("doc/{at}")).collect()
}

/// A journal that holds an update of each document.
async fn full_journal() -> Arc<MemoryJournal> {
    let journal = MemoryJournal::new();
    let append = |name: &String| JournalWrite::Append {
        doc: DocId::new(name).unwrap(),
        position: Position(1),
        update: text_update(5),
    };
    let writes = names().iter().map(append).collect();
    journal.commit(writes).await.unwrap();
    Arc::new(journal)
}

/// An update as a client sends it.
fn written(len: usize) -> Vec<u8> {
    let update = text_update(len);
    let mut message = vec![0, 2, u8::try_from(update.len()).unwrap()];
    message.extend_from_slice(&update);
    message
}

#[test]
fn every_document_is_one_whichever_shard_it_falls_to() {
    run(async {
        let store = Arc::new(MemoryStore::new());
        let snapshots = Arc::clone(&store) as Arc<dyn SnapshotStore>;
        let server = Server::with_store(snapshots, |config| config.shards = SHARDS).await;
        let mut readers = Vec::new();
        for name in names() {
            let mut reader = server.client(&name).await;
            reader.sync().await;
            let mut writer = server.client(&name).await;
            writer.sync().await;
            writer.send(&written(9)).await;
            readers.push((reader, writer));
        }
        for (reader, _) in &mut readers {
            let message = soon(async {
                loop {
                    let message = reader.message().await;
                    if message.starts_with(&[0, 2]) {
                        return message;
                    }
                }
            });
            assert_eq!(message.await, written(9));
        }
        // Who asks hears of all shards.
        let health = server.get("/healthz", "").await;
        let all = format!(
            "\"documents\":{DOCUMENTS},\"connections\":{},",
            2 * DOCUMENTS
        );
        assert!(health.contains(&all), "{health}");
        let metrics = server.get("/metrics", "").await;
        let live = format!("ysyncd_documents{{phase=\"live\"}} {DOCUMENTS}\n");
        assert!(metrics.contains(&live), "{metrics}");
        // Everybody is sent away, and everything saved.
        server.begin_stop();
        for (reader, _) in &mut readers {
            assert_eq!(reader.closed().await.0, 1001);
        }
        drop(readers);
        assert_eq!(server.stop().await, Drained::default());
        for name in names() {
            let doc = DocId::new(&name).unwrap();
            let saved = store.load(&doc).await.unwrap();
            assert!(saved.is_some(), "{name} is not saved");
        }
    });
}

#[test]
fn what_the_journal_holds_is_brought_into_the_store_by_whose_it_is() {
    run(async {
        let journal = full_journal().await;
        let store = Arc::new(MemoryStore::new());
        let stores = Stores {
            snapshots: Arc::clone(&store) as _,
            journal: Some(Arc::clone(&journal) as _),
        };
        let server = Server::with_stores(stores, |config| config.shards = SHARDS).await;
        soon(async {
            while !journal.documents().await.unwrap().is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        for name in names() {
            let doc = DocId::new(&name).unwrap();
            assert!(store.load(&doc).await.unwrap().is_some(), "{name}");
        }
        assert_eq!(server.stop().await, Drained::default());
    });
}

#[test]
fn who_opens_a_document_sees_what_the_journal_holds_of_it() {
    run(async {
        let journal = full_journal().await;
        // Nothing is ever saved, so that it is in the journal alone.
        let store = GatedStore::new(|| Ok(None));
        store.gate.add_permits(2 * DOCUMENTS);
        let stores = Stores {
            snapshots: store,
            journal: Some(journal),
        };
        let server = Server::with_stores(stores, |config| {
            config.shards = SHARDS;
            config.shutdown_timeout = Duration::from_millis(300);
        })
        .await;
        for name in names() {
            let state = server.client(&name).await.sync().await;
            assert!(state.ends_with(&text_update(5)), "{name}: {state:?}");
        }
        let left = server.stop().await;
        assert_eq!(left.unsaved, []);
        assert_eq!(left.journaled.len(), DOCUMENTS);
    });
}

#[test]
fn what_no_shard_could_save_is_told() {
    run(async {
        let store = GatedStore::new(|| Ok(None));
        store.gate.add_permits(DOCUMENTS);
        let server = Server::with_store(store, |config| {
            config.shards = SHARDS;
            config.shutdown_timeout = Duration::from_millis(300);
        })
        .await;
        let mut clients = Vec::new();
        for name in names() {
            let mut client = server.client(&name).await;
            client.sync().await;
            client.send(&written(9)).await;
            // An answer that comes behind the update says that it is taken.
            client.sync().await;
            clients.push(client);
        }
        let mut expected: Vec<_> = names()
            .iter()
            .map(|name| DocId::new(name).unwrap())
            .collect();
        expected.sort_unstable();
        let left = server.stop().await;
        assert_eq!(left.unsaved, expected);
        assert_eq!(left.journaled, []);
    });
}

#[test]
fn who_goes_before_the_engine_has_answered_is_forgotten() {
    run(async {
        let store = GatedStore::new(|| Ok(None));
        let snapshots = Arc::clone(&store) as Arc<dyn SnapshotStore>;
        let server = Server::with_store(snapshots, |config| {
            config.shards = SHARDS;
            config.connections_per_document_max = 1;
        })
        .await;
        for name in names() {
            let early = timeout(Duration::from_millis(20), server.connect(&name)).await;
            assert!(early.is_err(), "let in before its document was loaded");
        }
        store.gate.add_permits(2 * DOCUMENTS);
        for name in names() {
            // Its place was given back.
            soon(async {
                while server.connect(&name).await.is_err() {
                    sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
        }
    });
}

#[test]
fn a_refusal_says_the_same_wherever_it_comes_from() {
    run(async {
        let store = GatedStore::new(|| Err(StoreError::Unavailable("away".to_owned())));
        store.gate.add_permits(DOCUMENTS);
        let server = Server::with_store(store, |config| config.shards = SHARDS).await;
        for name in names() {
            let headers = format!("{}authorization: Bearer {}\r\n", upgrade(), token("alice"));
            let answer = server.get(&format!("/sync/v1/{name}"), &headers).await;
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(answer.contains("cannot be loaded now"), "{answer}");
        }
    });
}

#[test]
fn what_was_sent_ahead_of_the_answer_goes_along() {
    run(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let server = Server::with_store(store_with(text_update(3)).await, |config| {
            // Some of the four documents fall to the second.
            config.shards = 2;
        })
        .await;
        for name in ["big", "other", "third", "fourth"] {
            let mut stream = server.tcp().await;
            let token = token("alice");
            let mut request = format!(
                "GET /sync/v1/{name} HTTP/1.1\r\nhost: x\r\n{}authorization: Bearer {token}\r\n\r\n",
                upgrade()
            )
            .into_bytes();
            // A masked binary frame, with a mask of zeroes.
            request.extend([0x82, 0x80 | 4, 0, 0, 0, 0]);
            request.extend(SYNC_STEP_1);
            stream.write_all(&request).await.unwrap();
            let mut answer = Vec::new();
            soon(async {
                // The SyncStep2 in a frame of its own.
                while !answer
                    .windows(4)
                    .any(|four| four[0] == 0x82 && four[2..] == [0, 1])
                {
                    stream.read_buf(&mut answer).await.unwrap();
                }
            })
            .await;
        }
    });
}

#[test]
fn an_idle_server_of_many_shards_ends_at_once() {
    run(async {
        let server = Server::start(|config| config.shards = 16).await;
        let mut client = server.client("a").await;
        client.sync().await;
        server.begin_stop();
        while let Some(Ok(_)) = soon(client.socket.next()).await {}
        let stopped = timeout(Duration::from_secs(1), server.stop()).await;
        assert_eq!(stopped.unwrap(), Drained::default());
    });
}

#[test]
fn a_disk_that_fails_all_shards_serves_all_again_once_it_is_back() {
    run(async {
        let disk = SimulatedDisk::default();
        let options = JournalOptions::new("memory");
        let journal = DiskJournal::open_on(disk.device(), "/journal", &options).unwrap();
        let stores = Stores {
            snapshots: Arc::new(MemoryStore::new()),
            journal: Some(Arc::new(journal)),
        };
        let server = Server::with_stores(stores, |config| {
            config.shards = SHARDS;
            config.engine.retry_delay_min = Duration::from_millis(20);
            config.engine.retry_delay_max = Duration::from_millis(20);
            config.engine.resync_delay = Duration::from_millis(20);
        })
        .await;
        let mut writers = Vec::new();
        for name in names() {
            let mut writer = server.client(&name).await;
            writer.sync().await;
            writers.push(writer);
        }
        let (after, kind) = (0, io::ErrorKind::StorageFull);
        disk.fail(Fault { after, kind });
        for writer in &mut writers {
            writer.send(&written(9)).await;
        }
        let refused = "updates_refused_total{reason=\"not_durable\"}";
        while server.metric(refused).await < DOCUMENTS as u64 {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(server.metric("updates_applied_total").await, 0);
        disk.heal();
        // Each document of each shard asks for what it had to refuse.
        for mut writer in writers {
            spawn_local(async move {
                loop {
                    if writer.message().await.starts_with(&[0, 0]) {
                        let mut answer = written(9);
                        answer[1] = 1;
                        writer.send(&answer).await;
                    }
                }
            });
        }
        while server.metric("updates_applied_total").await < DOCUMENTS as u64 {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(server.stop().await, Drained::default());
    });
}
