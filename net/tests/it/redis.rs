//! Two servers with a real Redis between them.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use ysyncd_engine::Node;
use ysyncd_net::{Cluster, Stores, bus::RedisBus};
use ysyncd_storage::memory::MemoryStore;

use crate::support::{Client, Server, run, soon, text_update};

/// A Redis of a test's own, ended with it.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// `None` where there is no Redis to run; then tests of it are left out.
    fn start() -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let child = Self::spawn(port)?;
        Some(Self { child, port })
    }

    fn spawn(port: u16) -> Option<Child> {
        let program = std::env::var_os("YSYNCD_TEST_REDIS")?;
        let mut command = Command::new(program);
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string()])
            .stdout(Stdio::null());
        Some(command.spawn().expect("YSYNCD_TEST_REDIS is a program"))
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn start_again(&mut self) {
        self.child = Self::spawn(self.port).unwrap();
    }

    /// A server that has this and a store in common with others.
    async fn node(&self, id: u64, store: &Arc<MemoryStore>) -> Server {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let bus = RedisBus::new(&url, "", id).unwrap();
        let cluster = Cluster {
            node: Node { id, incarnation: 1 },
            bus: Arc::new(bus),
        };
        let stores = Stores {
            snapshots: store.clone(),
            journal: None,
        };
        // Nothing is to go by way of the store.
        Server::with_all(stores, Some(cluster), |config| {
            config.engine.save_debounce = Duration::from_secs(3_600);
            config.engine.save_wait_max = Duration::from_secs(3_600);
        })
        .await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.end();
    }
}

async fn bus_is(server: &Server, state: &str) {
    let expected = format!("\"bus\":\"{state}\"");
    soon(async {
        while !server.get("/healthz", "").await.contains(&expected) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Reads until a message comes that begins so.
async fn comes(client: &mut Client, begin: &[u8]) {
    soon(async { while !client.message().await.starts_with(begin) {} }).await;
}

/// Asks for the document until it holds as much as a text of that length.
async fn holds(client: &mut Client, bytes: usize) {
    soon(async {
        while client.sync().await.len() < bytes {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// An update as a message of sync.
fn update(len: usize) -> Vec<u8> {
    let update = text_update(len);
    let len = u8::try_from(update.len()).unwrap();
    assert!(len < 0x80, "its length takes one byte");
    [&[0, 2, len], &update[..]].concat()
}

/// Awareness of one client, with its name.
fn presence(name: &str) -> Vec<u8> {
    let state = format!("{{\"name\":\"{name}\"}}");
    let len = u8::try_from(state.len()).unwrap();
    [&[1, len + 4, 1, 9, 1, len], state.as_bytes()].concat()
}

#[test]
fn what_people_write_at_one_node_is_seen_at_the_other() {
    let Some(redis) = Redis::start() else { return };
    run(async {
        let store = Arc::new(MemoryStore::new());
        let nodes = [redis.node(1, &store).await, redis.node(2, &store).await];
        for node in &nodes {
            bus_is(node, "up").await;
        }
        let (mut alice, mut bob) = (nodes[0].client("a").await, nodes[1].client("a").await);
        alice.sync().await;
        bob.sync().await;
        alice.send(&update(50)).await;
        comes(&mut bob, &[0, 2]).await;
        alice.send(&presence("alice")).await;
        comes(&mut bob, &[1]).await;
        // It is there for whoever comes, too, and nothing was saved.
        holds(&mut nodes[1].client("a").await, 50).await;
        let metrics = nodes[1].get("/metrics", "").await;
        assert!(metrics.contains("\nysyncd_bus_up 1\n"), "{metrics}");
        assert!(
            metrics.contains("\nysyncd_snapshots_saved_total 0\n"),
            "{metrics}"
        );
        assert!(
            !metrics.contains("\nysyncd_bus_messages_received_total 0\n"),
            "{metrics}"
        );
    });
}

#[test]
fn without_redis_nodes_go_on_alone_and_meet_when_it_is_back() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    run(async {
        let store = Arc::new(MemoryStore::new());
        let nodes = [redis.node(1, &store).await, redis.node(2, &store).await];
        let (mut alice, mut bob) = (nodes[0].client("a").await, nodes[1].client("a").await);
        alice.sync().await;
        bob.sync().await;
        for node in &nodes {
            bus_is(node, "up").await;
        }
        redis.end();
        for node in &nodes {
            bus_is(node, "down").await;
        }
        alice.send(&update(50)).await;
        holds(&mut nodes[0].client("a").await, 50).await;
        assert!(bob.sync().await.len() < 50);
        redis.start_again();
        for node in &nodes {
            bus_is(node, "up").await;
        }
        holds(&mut bob, 50).await;
    });
}
