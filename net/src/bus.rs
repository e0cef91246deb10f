//! The bus between nodes, carried beside the engine: what an engine wants told
//! to the others goes into a queue, and an adapter takes it from there.
//!
//! The engine relies on nothing that comes or does not come, so nothing here
//! waits for anybody: what does not fit into the queue is dropped, and what is
//! on its way when the connection goes is lost.

mod queue;
#[cfg(feature = "redis")]
mod redis;

use std::{convert::Infallible, fmt, future::Future, pin::Pin, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::error;
use ysyncd_engine::{BusInput, DocId, Node};

pub(crate) use self::queue::BusQueue;
#[cfg(feature = "redis")]
pub use self::redis::{RedisBus, RedisUrlError};
use crate::{event::brief, metrics::Direction};

/// How long the last messages of a node that ends may take to leave, such as
/// that its clients are gone.
const FAREWELL: Duration = Duration::from_millis(500);

/// Pause before an adapter that panicked is run again.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// One of several servers that share a store, and how it reaches the others.
pub struct Cluster {
    /// Who this one is. No two that run may have the same id.
    pub node: Node,
    /// What carries messages between them.
    pub bus: Arc<dyn Bus>,
}

/// Carries messages between nodes: each to all that have subscribed to its
/// document. It may lose, double and reorder them, and it may bring back one's
/// own. No one relies on it, but on what it says of itself through its port.
pub trait Bus: Send + Sync {
    /// Carries what comes out of the port and puts in what comes from others,
    /// until it is dropped. It connects by itself, as often as it has to. Each
    /// shard of a server has this called for itself, on its own thread, and no
    /// two of them subscribe to the same document.
    fn run(&self, port: BusPort) -> BusFuture<'_>;
}

/// What [`Bus::run`] returns.
pub type BusFuture<'a> = Pin<Box<dyn Future<Output = Infallible> + 'a>>;

/// The engine's end of a bus.
///
/// It begins down. After [`BusPort::up`] the engine asks for subscriptions;
/// after [`BusPort::down`] it has none, and nothing more comes out until it is
/// up again.
pub struct BusPort {
    queue: Rc<BusQueue>,
    hand_over: Rc<dyn Fn(Vec<BusInput>)>,
}

/// What to subscribe to, or no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// Messages about this document are wanted.
    Begin(DocId),
    /// They are not wanted any more.
    End(DocId),
}

/// What others are to be told about a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The document.
    pub doc: DocId,
    /// What only engines understand.
    pub message: Bytes,
}

impl Subscription {
    /// The document that it is about.
    #[must_use]
    pub fn doc(&self) -> &DocId {
        match self {
            Self::Begin(doc) | Self::End(doc) => doc,
        }
    }
}

impl BusPort {
    /// There is a connection, and nothing is subscribed to.
    pub fn up(&self) {
        if self.queue.go_up() {
            (self.hand_over)(vec![BusInput::Up]);
        }
    }

    /// The connection is lost. What waited to leave is dropped.
    pub fn down(&self) {
        if self.queue.go_down() {
            (self.hand_over)(vec![BusInput::Down]);
        }
    }

    /// Whether [`BusPort::up`] was said last.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.queue.is_up()
    }

    /// These subscriptions are in force: nothing that is published from now on
    /// is left out, for as long as the connection lasts.
    pub fn subscribed(&self, docs: impl IntoIterator<Item = DocId>) {
        let docs = docs.into_iter();
        (self.hand_over)(docs.map(|doc| BusInput::Subscribed { doc }).collect());
    }

    /// These messages have come, in this order.
    pub fn received(&self, messages: impl IntoIterator<Item = Publication>) {
        let inputs = messages.into_iter().map(|Publication { doc, message }| {
            self.queue.metrics().received(message.len());
            BusInput::Received { doc, message }
        });
        (self.hand_over)(inputs.collect());
    }

    /// So many messages have come, and there was no room for them.
    pub fn overflowed(&self, messages: usize) {
        self.queue.metrics().dropped(Direction::Incoming, messages);
    }

    /// Waits for changes of what to subscribe to, all that there are. They are
    /// to be made in this order.
    pub async fn subscriptions(&self) -> Vec<Subscription> {
        self.queue.next_subscriptions().await
    }

    /// Waits for messages to publish, as many as there are up to so many bytes,
    /// and at least one.
    pub async fn publications(&self, bytes_max: usize) -> Vec<Publication> {
        self.queue.next_publications(bytes_max).await
    }

    /// These were published.
    pub fn published(&self, messages: &[Publication]) {
        for Publication { message, .. } in messages {
            self.queue.metrics().published(message.len());
        }
    }

    /// So many that were taken to be published may not have been.
    pub fn unpublished(&self, messages: usize) {
        self.queue.metrics().dropped(Direction::Outgoing, messages);
    }
}

/// Runs an adapter until `drained`, and a moment longer for what is to leave
/// last. One that panics is told as down, and run again.
pub(crate) async fn drive(
    bus: Arc<dyn Bus>,
    queue: Rc<BusQueue>,
    hand_over: Rc<dyn Fn(Vec<BusInput>)>,
    drained: impl Future,
) {
    let carried = carry(bus, Rc::clone(&queue), hand_over);
    tokio::pin!(carried);
    tokio::select! {
        biased;
        _ = drained => {}
        never = &mut carried => match never {},
    }
    tokio::select! {
        biased;
        _ = timeout(FAREWELL, queue.emptied()) => {}
        never = carried => match never {},
    }
    queue.go_down();
}

async fn carry(
    bus: Arc<dyn Bus>,
    queue: Rc<BusQueue>,
    hand_over: Rc<dyn Fn(Vec<BusInput>)>,
) -> Infallible {
    loop {
        let port = |queue: &Rc<BusQueue>| BusPort {
            queue: Rc::clone(queue),
            hand_over: Rc::clone(&hand_over),
        };
        let (bus, port_of_bus) = (Arc::clone(&bus), port(&queue));
        // A task of its own, whose end is seen whatever it dies of.
        let mut task = JoinSet::new();
        task.spawn_local(async move { bus.run(port_of_bus).await });
        match task.join_next().await {
            Some(Ok(never)) => match never {},
            Some(Err(failure)) => {
                let told = failure.to_string();
                error!(
                    failure = brief(&told),
                    "the bus between nodes broke off; it is started again"
                );
            }
            None => {}
        }
        port(&queue).down();
        sleep(PANIC_PAUSE).await;
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BusPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusPort")
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
