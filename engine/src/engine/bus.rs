//! The bus between nodes: which documents are on it.
//!
//! A document is subscribed to from when it goes live until it leaves memory.
//! What the bus forgets when it goes down is asked for again when it comes up, a
//! few documents at a time.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{DocKey, Engine};
use crate::{
    bus::{BusCommand, BusInput, Node},
    document::Document,
    id::DocId,
    marks::{self, Mark},
    output::Output,
    planted::{self, Bug},
};

/// Documents subscribed to at once when the bus comes up.
const AT_ONCE: usize = 200;

/// Pause between two batches.
const PAUSE: Duration = Duration::from_millis(20);

/// The bus as an engine knows it.
#[derive(Debug, Default)]
pub(super) struct Bus {
    is_up: bool,
    /// Documents that are to be subscribed to again.
    waiting: VecDeque<DocKey>,
    /// When the next of them are.
    next: Duration,
}

impl Bus {
    pub(super) const fn is_up(&self) -> bool {
        self.is_up
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(self.next)
    }
}

impl Engine {
    /// Who this node is to others, while the bus is up.
    pub(super) fn on_bus(&self) -> Option<Node> {
        self.config.node.filter(|_| self.bus.is_up)
    }

    /// The bus tells something.
    pub(super) fn told_by_bus(&mut self, now: Duration, told: BusInput) {
        if self.config.node.is_none() {
            return;
        }
        match told {
            BusInput::Up => self.bus_up(now),
            BusInput::Down => self.bus_down(now),
            BusInput::Subscribed { doc } => {
                if let Some(key) = self.on_bus_as(&doc) {
                    self.with(now, key, Document::subscribed);
                }
            }
            BusInput::Received { doc, message } => self.bus_received(now, &doc, &message),
        }
    }

    /// Subscribes to a document that has just gone live.
    pub(super) fn subscribe(&mut self, key: DocKey) {
        if !self.bus.is_up {
            return;
        }
        let Some(slot) = self.documents.get_mut(&key) else {
            return;
        };
        if !slot.is_loading && !std::mem::replace(&mut slot.on_bus, true) {
            let doc = slot.name.clone();
            self.command_bus(BusCommand::Subscribe { doc });
        }
    }

    pub(super) fn command_bus(&mut self, command: BusCommand) {
        debug_assert!(self.bus.is_up, "while it is down nothing is asked of it");
        self.outputs.push_back(Output::Bus(command));
    }

    /// Subscribes to those again whose turn it is.
    pub(super) fn subscribe_again(&mut self, now: Duration) {
        if self.bus.waiting.is_empty() || now < self.bus.next {
            return;
        }
        self.bus.next = now + PAUSE;
        let count = AT_ONCE.min(self.bus.waiting.len());
        for key in self.bus.waiting.drain(..count).collect::<Vec<_>>() {
            self.subscribe(key);
        }
    }

    fn bus_up(&mut self, now: Duration) {
        if self.bus.is_up {
            self.bus_down(now);
        }
        self.bus.is_up = true;
        if planted::is(Bug::NotSubscribedAgain) {
            return;
        }
        marks::hit_if(Mark::BusSubscribedAgain, || !self.documents.is_empty());
        self.bus.waiting = self.documents.keys().copied().collect();
        self.bus.next = now;
        self.subscribe_again(now);
    }

    fn bus_down(&mut self, now: Duration) {
        self.bus.is_up = false;
        self.bus.waiting.clear();
        for key in self.documents.keys().copied().collect::<Vec<_>>() {
            if let Some(slot) = self.documents.get_mut(&key) {
                slot.on_bus = false;
            }
            self.with(now, key, Document::bus_lost);
        }
    }

    fn bus_received(&mut self, now: Duration, doc: &DocId, message: &Bytes) {
        if let Some(key) = self.on_bus_as(doc) {
            self.make_room_to_grow(now, message.len());
            self.with(now, key, |document, cx, out| {
                document.bus_received(cx, message, out);
            });
        }
    }

    /// A document that was subscribed to.
    fn on_bus_as(&self, doc: &DocId) -> Option<DocKey> {
        let key = self.names.get(doc).copied()?;
        self.documents[&key].on_bus.then_some(key)
    }
}
