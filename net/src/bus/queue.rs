//! What an engine asks of the bus, until the adapter takes it.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use tokio::sync::Notify;
use ysyncd_engine::{
    BusCommand,
    planted::{self, Bug},
};

use super::{Publication, Subscription};
use crate::metrics::{BusMetrics, Direction};

/// Bytes of messages that wait to be published. One that is larger fits where
/// nothing else waits.
pub(super) const OUTGOING_BYTES_MAX: usize = 32 << 20;

/// What a message takes beside its own bytes, about.
const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// What an engine has asked of the bus and nobody has taken yet.
#[derive(Debug)]
pub(crate) struct BusQueue {
    up: Cell<bool>,
    subscriptions: RefCell<Vec<Subscription>>,
    subscription_pushed: Notify,
    outgoing: RefCell<Outgoing>,
    publication_pushed: Notify,
    /// Whether the adapter waits for something to publish: all else has left.
    is_idle: Cell<bool>,
    idle: Notify,
    metrics: BusMetrics,
}

impl BusQueue {
    pub(crate) fn new(metrics: BusMetrics) -> Self {
        Self {
            up: Cell::new(false),
            subscriptions: RefCell::default(),
            subscription_pushed: Notify::new(),
            outgoing: RefCell::default(),
            publication_pushed: Notify::new(),
            is_idle: Cell::new(true),
            idle: Notify::new(),
            metrics,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.get()
    }

    pub(super) fn metrics(&self) -> &BusMetrics {
        &self.metrics
    }

    /// Adds a command behind all others of its kind; never waits.
    pub(crate) fn push(&self, command: BusCommand) {
        match command {
            BusCommand::Subscribe { doc } => self.push_subscription(Subscription::Begin(doc)),
            BusCommand::Unsubscribe { doc } => self.push_subscription(Subscription::End(doc)),
            BusCommand::Publish { doc, message } => {
                let publication = Publication { doc, message };
                let fits = self.up.get() && self.with_outgoing(|all| all.push(publication));
                match fits {
                    true => self.publication_pushed.notify_one(),
                    false => self.metrics.dropped(Direction::Outgoing, 1),
                }
            }
        }
    }

    fn push_subscription(&self, change: Subscription) {
        if self.up.get() {
            self.subscriptions.borrow_mut().push(change);
            self.subscription_pushed.notify_one();
        }
    }

    /// Takes commands from now on. False if it was up already.
    pub(super) fn go_up(&self) -> bool {
        !self.up.replace(true)
    }

    /// Drops what waits. False if it was down already.
    pub(super) fn go_down(&self) -> bool {
        let was_up = self.up.replace(false);
        self.subscriptions.borrow_mut().clear();
        let waiting = self.with_outgoing(std::mem::take);
        let dropped = waiting.messages.len();
        self.metrics.dropped(Direction::Outgoing, dropped);
        self.become_idle();
        was_up
    }

    pub(super) async fn next_subscriptions(&self) -> Vec<Subscription> {
        loop {
            let changes = std::mem::take(&mut *self.subscriptions.borrow_mut());
            if !changes.is_empty() {
                return changes;
            }
            self.subscription_pushed.notified().await;
        }
    }

    pub(super) async fn next_publications(&self, bytes_max: usize) -> Vec<Publication> {
        loop {
            let taken = self.with_outgoing(|all| all.take(bytes_max));
            if !taken.is_empty() {
                return taken;
            }
            self.await_publication().await;
        }
    }

    /// Changes what waits to be published, and has the metrics tell how much it is.
    fn with_outgoing<T>(&self, change: impl FnOnce(&mut Outgoing) -> T) -> T {
        let mut outgoing = self.outgoing.borrow_mut();
        let before = outgoing.bytes;
        let changed = change(&mut outgoing);
        self.metrics.waiting(before, outgoing.bytes);
        changed
    }

    async fn await_publication(&self) {
        self.become_idle();
        self.publication_pushed.notified().await;
        self.is_idle.set(false);
    }

    fn become_idle(&self) {
        self.is_idle.set(true);
        self.idle.notify_waiters();
    }

    /// Waits until all that was to be published has left, or cannot.
    pub(super) async fn emptied(&self) {
        loop {
            let idle = self.idle.notified();
            if self.is_idle.get() && self.outgoing.borrow().messages.is_empty() {
                return;
            }
            idle.await;
        }
    }
}

/// Messages that wait to be published.
#[derive(Debug, Default)]
struct Outgoing {
    messages: VecDeque<Publication>,
    bytes: usize,
}

impl Outgoing {
    /// False if there is no room.
    fn push(&mut self, publication: Publication) -> bool {
        let bytes = publication.bytes();
        if !self.messages.is_empty() && self.bytes + bytes > OUTGOING_BYTES_MAX {
            return false;
        }
        self.bytes += bytes;
        self.messages.push_back(publication);
        true
    }

    fn take(&mut self, bytes_max: usize) -> Vec<Publication> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self
            .messages
            .pop_front_if(|next| bytes == 0 || bytes + next.bytes() <= bytes_max)
        {
            bytes += next.bytes();
            taken.push(next);
        }
        if !planted::is(Bug::BusQueueLeaks) {
            self.bytes -= bytes;
        }
        taken
    }
}

impl Publication {
    fn bytes(&self) -> usize {
        self.doc.as_str().len() + self.message.len() + MESSAGE_OVERHEAD_BYTES
    }
}
