//! The adapter with a real Redis.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    rc::Rc,
    sync::Arc,
};

use tokio::{
    sync::{Notify, mpsc},
    task::{LocalSet, spawn_local},
    time::timeout,
};
use ysyncd_engine::{BusCommand, BusInput};

use super::{
    super::{BusQueue, drive},
    *,
};
use crate::metrics::BusMetrics;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis of a test's own, ended with it.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// `None` where there is no Redis to run; then tests of it are left out.
    fn start(port: u16, options: &[&str]) -> Option<Self> {
        let program = std::env::var_os("YSYNCD_TEST_REDIS")?;
        let child = Command::new(program)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string()])
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .expect("YSYNCD_TEST_REDIS is a program");
        Some(Self { child, port })
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.end();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// One end of a bus.
struct End {
    queue: Rc<BusQueue>,
    told: mpsc::UnboundedReceiver<BusInput>,
    /// Ends it.
    drained: Rc<Notify>,
}

impl End {
    fn of(url: &str, prefix: &str) -> Self {
        let bus = RedisBus::new(url, prefix, 1).unwrap();
        let queue = Rc::new(BusQueue::new(BusMetrics::default()));
        let (tell, told) = mpsc::unbounded_channel();
        let hand_over = move |inputs: Vec<BusInput>| {
            for input in inputs {
                tell.send(input).unwrap();
            }
        };
        let drained = Rc::new(Notify::new());
        let ends = Rc::clone(&drained);
        spawn_local(drive(
            Arc::new(bus),
            Rc::clone(&queue),
            Rc::new(hand_over),
            async move { ends.notified().await },
        ));
        Self {
            queue,
            told,
            drained,
        }
    }

    async fn next(&mut self) -> BusInput {
        let next = timeout(PATIENCE, self.told.recv()).await;
        next.expect("nothing came").unwrap()
    }

    async fn is_told(&mut self, expected: BusInput) {
        assert_eq!(self.next().await, expected);
    }

    async fn subscribe(&mut self, doc: &DocId) {
        self.queue.push(BusCommand::Subscribe { doc: doc.clone() });
        self.is_told(BusInput::Subscribed { doc: doc.clone() })
            .await;
    }

    fn publish(&self, doc: &DocId, message: &[u8]) {
        let (doc, message) = (doc.clone(), message.to_vec().into());
        self.queue.push(BusCommand::Publish { doc, message });
    }

    async fn receives(&mut self, doc: &DocId, message: &[u8]) {
        let (doc, message) = (doc.clone(), message.to_vec().into());
        self.is_told(BusInput::Received { doc, message }).await;
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        timeout(3 * PATIENCE, test).await.expect("the test hangs");
    });
}

fn doc(id: &str) -> DocId {
    DocId::new(id).unwrap()
}

#[test]
fn messages_reach_whoever_has_subscribed_and_nobody_else() {
    let Some(redis) = Redis::start(free_port(), &[]) else {
        return;
    };
    run(async {
        let mut ends = ["", "", "other"].map(|prefix| End::of(&redis.url(), prefix));
        for end in &mut ends {
            end.is_told(BusInput::Up).await;
        }
        let (a, b) = (doc("a/ü:1"), doc("b"));
        ends[0].subscribe(&a).await;
        ends[1].subscribe(&a).await;
        ends[2].subscribe(&a).await;
        ends[1].subscribe(&b).await;
        let every_byte: Vec<u8> = (0..=255).collect();
        ends[0].publish(&b, b"to b");
        ends[0].publish(&a, &every_byte);
        ends[0].publish(&a, b"");
        // Its own come back.
        ends[0].receives(&a, &every_byte).await;
        ends[0].receives(&a, b"").await;
        ends[1].receives(&b, b"to b").await;
        ends[1].receives(&a, &every_byte).await;
        ends[1].receives(&a, b"").await;
        ends[1]
            .queue
            .push(BusCommand::Unsubscribe { doc: a.clone() });
        ends[1].subscribe(&doc("c")).await;
        ends[0].publish(&a, b"unheard");
        ends[0].publish(&b, b"heard");
        ends[1].receives(&b, b"heard").await;
        assert!(ends[2].told.try_recv().is_err());
    });
}

#[test]
fn many_documents_are_subscribed_to_at_once_and_large_messages_come_whole() {
    let Some(redis) = Redis::start(free_port(), &[]) else {
        return;
    };
    run(async {
        let (mut one, mut other) = (End::of(&redis.url(), ""), End::of(&redis.url(), ""));
        one.is_told(BusInput::Up).await;
        other.is_told(BusInput::Up).await;
        let docs: Vec<_> = (0..5_000)
            .map(|number| doc(&format!("doc {number}")))
            .collect();
        let start = Instant::now();
        for doc in &docs {
            other.queue.push(BusCommand::Subscribe { doc: doc.clone() });
        }
        for doc in &docs {
            other
                .is_told(BusInput::Subscribed { doc: doc.clone() })
                .await;
        }
        assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
        let large: Vec<u8> = (0..8 << 20).map(|at: u32| at.to_be_bytes()[1]).collect();
        one.publish(&docs[7], &large);
        other.receives(&docs[7], &large).await;
        for doc in &docs {
            one.publish(doc, doc.as_str().as_bytes());
        }
        for doc in &docs {
            other.receives(doc, doc.as_str().as_bytes()).await;
        }
    });
}

#[test]
fn a_redis_that_goes_is_told_once_and_so_is_its_return() {
    let port = free_port();
    let Some(mut redis) = Redis::start(port, &[]) else {
        return;
    };
    run(async {
        let mut end = End::of(&redis.url(), "");
        end.is_told(BusInput::Up).await;
        end.subscribe(&doc("a")).await;
        redis.end();
        end.is_told(BusInput::Down).await;
        // Nothing of it is kept.
        end.publish(&doc("a"), b"lost");
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(end.told.try_recv().is_err());
        redis = Redis::start(port, &[]).unwrap();
        end.is_told(BusInput::Up).await;
        end.publish(&doc("a"), b"unheard");
        // It has two ways to Redis.
        tokio::time::sleep(Duration::from_millis(200)).await;
        end.subscribe(&doc("a")).await;
        end.publish(&doc("a"), b"heard");
        end.receives(&doc("a"), b"heard").await;
    });
    drop(redis);
}

#[test]
fn the_last_words_of_a_node_are_heard() {
    let Some(redis) = Redis::start(free_port(), &[]) else {
        return;
    };
    run(async {
        let (mut one, mut other) = (End::of(&redis.url(), ""), End::of(&redis.url(), ""));
        one.is_told(BusInput::Up).await;
        other.is_told(BusInput::Up).await;
        other.subscribe(&doc("a")).await;
        for number in 0..100 {
            one.publish(&doc("a"), &[number]);
        }
        one.drained.notify_one();
        for number in 0..100 {
            other.receives(&doc("a"), &[number]).await;
        }
    });
}

/// What a failed attempt to connect says.
async fn failure(url: &str) -> String {
    let client = Client::open(url).unwrap();
    match Connections::open(&client).await {
        Ok(_) => panic!("it was let in"),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn what_is_wrong_is_told_with_what_to_do() {
    let Some(redis) = Redis::start(free_port(), &["--requirepass", "right"]) else {
        return;
    };
    run(async {
        let mut end = End::of(&format!("redis://:right@127.0.0.1:{}", redis.port), "");
        end.is_told(BusInput::Up).await;
        for user in ["", ":wr0ng@"] {
            let url = format!("redis://{user}127.0.0.1:{}", redis.port);
            let told = failure(&url).await;
            assert!(
                told.contains("see to user and password in REDIS_URL"),
                "{told}"
            );
            assert!(!told.contains("wr0ng"), "{told}");
        }
        let nobody = failure(&format!("redis://127.0.0.1:{}", free_port())).await;
        assert!(nobody.contains("see whether Redis runs"), "{nobody}");
    });
}

#[test]
fn whoever_may_not_use_the_channels_is_told_so() {
    let rules = "--user app on >word resetchannels &ysyncd:mine:* +ping +publish +subscribe \
                 +unsubscribe --user default off";
    let rules: Vec<_> = rules.split(' ').collect();
    let Some(redis) = Redis::start(free_port(), &rules) else {
        return;
    };
    run(async {
        let url = format!("redis://app:word@127.0.0.1:{}", redis.port);
        let mut mine = End::of(&url, "mine");
        mine.is_told(BusInput::Up).await;
        mine.subscribe(&doc("a")).await;
        let mut other = End::of(&url, "other");
        other.is_told(BusInput::Up).await;
        other.queue.push(BusCommand::Subscribe { doc: doc("a") });
        other.is_told(BusInput::Down).await;
        let connections = Connections::open(&Client::open(url).unwrap()).await;
        let port = BusPort {
            queue: Rc::new(BusQueue::new(BusMetrics::default())),
            hand_over: Rc::new(|_| {}),
        };
        port.up();
        let (doc, message) = (doc("a"), "x".into());
        port.queue.push(BusCommand::Publish { doc, message });
        let channels = Channels::new("other");
        let lost = connections.unwrap().carry(&port, &channels);
        let told = lost.await.to_string();
        assert!(told.contains("the channels ysyncd:*"), "{told}");
    });
}
