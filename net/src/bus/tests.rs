//! The engine's end of the bus, with adapters that do as a test wants.

use std::{convert::Infallible, future::pending, sync::Mutex};

use tokio::{
    sync::{Notify, mpsc},
    task::{LocalSet, spawn_local},
    time::Instant,
};
use ysyncd_engine::BusCommand;

use super::{queue::OUTGOING_BYTES_MAX, *};
use crate::metrics::BusMetrics;

/// An adapter that does this.
struct Does<F>(F);

impl<F: AsyncFn(BusPort) -> Infallible + Send + Sync> Bus for Does<F> {
    fn run(&self, port: BusPort) -> BusFuture<'_> {
        Box::pin((self.0)(port))
    }
}

/// A queue with an adapter behind it, and what that tells the engine.
struct House {
    queue: Rc<BusQueue>,
    told: mpsc::UnboundedReceiver<BusInput>,
    drained: Rc<Notify>,
    driven: tokio::task::JoinHandle<()>,
}

impl House {
    fn of(bus: impl AsyncFn(BusPort) -> Infallible + Send + Sync + 'static) -> Self {
        let queue = Rc::new(BusQueue::new(BusMetrics::default()));
        let (tell, told) = mpsc::unbounded_channel();
        let hand_over = move |inputs: Vec<BusInput>| {
            for input in inputs {
                tell.send(input).unwrap();
            }
        };
        let drained = Rc::new(Notify::new());
        let ends = Rc::clone(&drained);
        let driven = spawn_local(drive(
            Arc::new(Does(bus)),
            Rc::clone(&queue),
            Rc::new(hand_over),
            async move { ends.notified().await },
        ));
        Self {
            queue,
            told,
            drained,
            driven,
        }
    }

    async fn is_told(&mut self, expected: BusInput) {
        assert_eq!(self.told.recv().await, Some(expected));
    }
}

/// Runs a test in which time passes when nothing else does.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

fn doc(id: &str) -> DocId {
    DocId::new(id).unwrap()
}

fn publish(id: &str, message: Vec<u8>) -> BusCommand {
    BusCommand::Publish {
        doc: doc(id),
        message: message.into(),
    }
}

fn messages(publications: &[Publication]) -> Vec<&[u8]> {
    publications.iter().map(|each| &each.message[..]).collect()
}

#[test]
fn what_is_asked_comes_out_in_order() {
    run(async {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let out = Arc::clone(&taken);
        let mut house = House::of(async move |port| {
            port.up();
            let docs = port.subscriptions().await;
            out.lock().unwrap().extend(docs.clone());
            port.subscribed(docs.iter().map(|each| each.doc().clone()));
            let first = port.publications(1).await;
            assert_eq!(messages(&first), [b"1"]);
            let rest = port.publications(1_000).await;
            assert_eq!(messages(&rest), [b"2", b"3"]);
            port.published(&rest);
            port.received(rest);
            pending().await
        });
        house.is_told(BusInput::Up).await;
        house.queue.push(BusCommand::Subscribe { doc: doc("a") });
        house.queue.push(BusCommand::Unsubscribe { doc: doc("a") });
        for text in ["1", "2", "3"] {
            house.queue.push(publish("a", text.into()));
        }
        house.is_told(BusInput::Subscribed { doc: doc("a") }).await;
        house.is_told(BusInput::Subscribed { doc: doc("a") }).await;
        for text in ["2", "3"] {
            let message = Bytes::copy_from_slice(text.as_bytes());
            house
                .is_told(BusInput::Received {
                    doc: doc("a"),
                    message,
                })
                .await;
        }
        let expected = [Subscription::Begin(doc("a")), Subscription::End(doc("a"))];
        assert_eq!(*taken.lock().unwrap(), expected);
    });
}

#[test]
fn what_does_not_fit_is_dropped_and_nobody_waits() {
    run(async {
        let go = Arc::new(Notify::new());
        let gone = Arc::clone(&go);
        let mut house = House::of(async move |port| {
            port.up();
            gone.notified().await;
            let taken = port.publications(usize::MAX).await;
            let lengths: Vec<_> = taken.iter().map(|each| each.message.len()).collect();
            assert_eq!(lengths, [OUTGOING_BYTES_MAX + 1]);
            // There is room again.
            gone.notified().await;
            assert_eq!(messages(&port.publications(1).await), [b"later"]);
            port.down();
            pending().await
        });
        house.is_told(BusInput::Up).await;
        // However large, one always fits.
        house
            .queue
            .push(publish("a", vec![0; OUTGOING_BYTES_MAX + 1]));
        house.queue.push(publish("a", vec![1]));
        go.notify_one();
        tokio::time::sleep(Duration::from_millis(1)).await;
        house.queue.push(publish("a", b"later".to_vec()));
        go.notify_one();
        house.is_told(BusInput::Down).await;
    });
}

#[test]
fn while_it_is_down_nothing_is_kept() {
    run(async {
        let go = Arc::new(Notify::new());
        let gone = Arc::clone(&go);
        let mut house = House::of(async move |port| {
            // Nothing that is asked before it is up is of use.
            gone.notified().await;
            port.up();
            gone.notified().await;
            port.down();
            port.down();
            port.up();
            gone.notified().await;
            let docs = port.subscriptions().await;
            assert_eq!(docs, [Subscription::Begin(doc("c"))]);
            assert_eq!(messages(&port.publications(1_000).await), [b"c"]);
            port.down();
            pending().await
        });
        let ask = |id: &str| {
            house.queue.push(BusCommand::Subscribe { doc: doc(id) });
            house.queue.push(publish(id, id.into()));
        };
        ask("a");
        go.notify_one();
        tokio::time::sleep(Duration::from_millis(1)).await;
        ask("b");
        go.notify_one();
        tokio::time::sleep(Duration::from_millis(1)).await;
        ask("c");
        go.notify_one();
        for told in [BusInput::Up, BusInput::Down, BusInput::Up, BusInput::Down] {
            house.is_told(told).await;
        }
    });
}

#[test]
fn an_adapter_that_panics_is_told_as_down_and_run_again() {
    run(async {
        let mut house = House::of(async |port| {
            assert!(!port.is_up());
            port.up();
            tokio::time::sleep(Duration::from_millis(1)).await;
            panic!("for a test");
        });
        for _ in 0..3 {
            house.is_told(BusInput::Up).await;
            house.is_told(BusInput::Down).await;
        }
    });
}

#[test]
fn the_last_messages_leave_and_nobody_waits_long_for_them() {
    run(async {
        for is_stuck in [false, true] {
            let left = Arc::new(Mutex::new(0));
            let count = Arc::clone(&left);
            let mut house = House::of(async move |port| {
                port.up();
                loop {
                    let taken = port.publications(1).await.len();
                    *count.lock().unwrap() += taken;
                    match is_stuck {
                        true => pending().await,
                        false => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
            });
            house.is_told(BusInput::Up).await;
            for _ in 0..5 {
                house.queue.push(publish("a", vec![1]));
            }
            house.drained.notify_one();
            let start = Instant::now();
            house.driven.await.unwrap();
            let expected = if is_stuck { 1 } else { 5 };
            assert_eq!(*left.lock().unwrap(), expected);
            assert!(start.elapsed() <= FAREWELL + Duration::from_millis(10));
            assert!(!house.queue.is_up());
        }
    });
}
