//! Routes inputs to documents, and what documents want done to the outside.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    config::Config,
    document::{Context, Document},
    effect::{Effect, Effects},
    id::{ConnId, DocId, OpId},
    input::Input,
    output::{Output, Refusal},
    random::Jitter,
    status::Status,
    time::Now,
};

/// All documents of one shard, and their connections. See the crate's
/// documentation for how to drive it.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    jitter: Jitter,
    documents: BTreeMap<DocKey, Slot>,
    names: BTreeMap<DocId, DocKey>,
    connections: BTreeMap<ConnId, DocKey>,
    operations: BTreeMap<OpId, DocKey>,
    /// Every document's next timeout.
    due: BTreeSet<(Duration, DocKey)>,
    outputs: VecDeque<Output>,
    effects: Effects,
    next_key: DocKey,
    next_operation: OpId,
    shutdown: Option<Duration>,
    drained: bool,
}

/// A document while it is in memory. Never used twice, so that a late answer
/// of the store cannot reach the wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct DocKey(u64);

#[derive(Debug)]
struct Slot {
    name: DocId,
    document: Document,
    /// As it stands in `due`.
    timeout: Option<Duration>,
}

impl Engine {
    /// An engine without documents. The seed only spreads retries.
    #[must_use]
    pub const fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            jitter: Jitter::new(seed),
            documents: BTreeMap::new(),
            names: BTreeMap::new(),
            connections: BTreeMap::new(),
            operations: BTreeMap::new(),
            due: BTreeSet::new(),
            outputs: VecDeque::new(),
            effects: Effects::new(),
            next_key: DocKey(0),
            next_operation: OpId(0),
            shutdown: None,
            drained: false,
        }
    }

    /// Handles one thing that happened. Never fails: what a peer does wrong
    /// closes its connection, and what comes from connections or operations
    /// that the engine does not know any more is ignored.
    pub fn handle(&mut self, now: Now, input: Input) {
        let now = now.mono;
        match input {
            Input::Open { conn, doc, .. } => self.open(now, conn, &doc),
            Input::Received { conn, bytes } => {
                if let Some(&key) = self.connections.get(&conn) {
                    self.with(now, key, |document, cx, out| {
                        document.received(cx, conn, &bytes, out);
                    });
                }
            }
            Input::Written { conn, total_bytes } => {
                if let Some(&key) = self.connections.get(&conn) {
                    self.with(now, key, |document, cx, out| {
                        document.written(cx, conn, total_bytes, out);
                    });
                }
            }
            Input::Closed { conn } => {
                if let Some(key) = self.connections.remove(&conn) {
                    self.with(now, key, |document, cx, out| document.closed(cx, conn, out));
                }
            }
            Input::Tick => self.tick(now),
            Input::Store { op, result } => {
                if let Some(key) = self.operations.remove(&op) {
                    self.with(now, key, |document, cx, out| {
                        document.stored(cx, result, out);
                    });
                }
            }
            Input::Journal { .. } | Input::JournalHolds { .. } => {}
            Input::Shutdown { deadline } => self.shut_down(now, deadline),
        }
        self.report_drained(now);
    }

    /// The next thing to do outside; `None` when all is told. Outputs are to be
    /// carried out in order, and to be drained after every batch of inputs.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send a `Tick` at the latest, on the monotonic clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let due = self.due.first().map(|(due, _)| *due);
        let deadline = self.shutdown.filter(|_| !self.drained);
        due.into_iter().chain(deadline).min()
    }

    /// How all documents stand together. Takes time in proportion to their
    /// number.
    #[must_use]
    pub fn status(&self, _now: Now) -> Status {
        Status::default()
    }

    /// Panics if something does not hold that always must, looking at all
    /// there is. For simulations and debugging.
    pub fn check(&self) {
        assert_eq!(self.documents.len(), self.names.len());
        for (key, slot) in &self.documents {
            slot.document.check();
            assert_eq!(self.names.get(&slot.name), Some(key));
            assert_eq!(slot.timeout, slot.document.next_timeout());
            assert!(
                slot.timeout
                    .is_none_or(|due| self.due.contains(&(due, *key)))
            );
        }
        let timeouts = self
            .documents
            .values()
            .filter(|slot| slot.timeout.is_some());
        assert_eq!(self.due.len(), timeouts.count());
        assert!(
            self.connections
                .values()
                .all(|key| self.documents.contains_key(key))
        );
    }

    fn open(&mut self, now: Duration, conn: ConnId, name: &DocId) {
        debug_assert!(
            !self.connections.contains_key(&conn),
            "numbers are used once"
        );
        if self.shutdown.is_some() {
            let reason = Refusal::ShuttingDown;
            self.outputs.push_back(Output::Refuse { conn, reason });
            return;
        }
        let key = match self.names.get(name) {
            Some(&key) => key,
            None => self.load(name),
        };
        self.connections.insert(conn, key);
        self.with(now, key, |document, cx, out| document.open(cx, conn, out));
    }

    fn load(&mut self, name: &DocId) -> DocKey {
        let key = self.next_key;
        self.next_key.0 += 1;
        let jitter = self.jitter.fork();
        let document = Document::load(name.clone(), jitter, &mut self.effects);
        let slot = Slot {
            name: name.clone(),
            document,
            timeout: None,
        };
        self.documents.insert(key, slot);
        self.names.insert(name.clone(), key);
        self.settle(key);
        key
    }

    fn tick(&mut self, now: Duration) {
        while let Some(&(due, key)) = self.due.first() {
            if due > now {
                break;
            }
            self.with(now, key, Document::tick);
        }
    }

    fn shut_down(&mut self, now: Duration, deadline: Duration) {
        let earlier = self.shutdown.map_or(deadline, |set| set.min(deadline));
        if self.shutdown.replace(earlier).is_none() {
            for key in self.documents.keys().copied().collect::<Vec<_>>() {
                self.with(now, key, Document::shut_down);
            }
        }
    }

    fn report_drained(&mut self, now: Duration) {
        let Some(deadline) = self.shutdown else {
            return;
        };
        if !self.drained && (self.documents.is_empty() || deadline <= now) {
            self.drained = true;
            let unsaved = self
                .documents
                .values()
                .filter(|slot| slot.document.is_unsaved());
            let unsaved = unsaved.map(|slot| slot.name.clone()).collect();
            self.outputs.push_back(Output::Drained {
                unsaved,
                journaled: Vec::new(),
            });
        }
    }

    /// Lets a document handle something, then does what it wants done.
    fn with(
        &mut self,
        now: Duration,
        key: DocKey,
        handle: impl FnOnce(&mut Document, Context<'_>, &mut Effects),
    ) {
        let Some(slot) = self.documents.get_mut(&key) else {
            return;
        };
        let config = &self.config;
        handle(
            &mut slot.document,
            Context { now, config },
            &mut self.effects,
        );
        self.settle(key);
    }

    /// Carries out a document's effects, minds its timeout, and drops it if it
    /// has left.
    fn settle(&mut self, key: DocKey) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            let output = self.output(key, effect);
            self.outputs.push_back(output);
        }
        self.effects = effects;
        let slot = self
            .documents
            .get_mut(&key)
            .expect("it has just handled something");
        let timeout = slot.document.next_timeout();
        if slot.timeout != timeout {
            if let Some(due) = slot.timeout {
                self.due.remove(&(due, key));
            }
            if let Some(due) = timeout {
                self.due.insert((due, key));
            }
            slot.timeout = timeout;
        }
        if slot.document.is_gone() {
            self.drop_document(key);
        }
    }

    fn output(&mut self, key: DocKey, effect: Effect) -> Output {
        match effect {
            Effect::Accept(conn) => Output::Accept { conn },
            Effect::Refuse(conn, reason) => {
                self.connections.remove(&conn);
                Output::Refuse { conn, reason }
            }
            Effect::Send(conns, frame) => Output::Send { conns, frame },
            Effect::Close(conn, fault) => {
                self.connections.remove(&conn);
                let (code, reason) = (fault.code, fault.reason);
                Output::Close { conn, code, reason }
            }
            Effect::Store(command) => {
                let op = self.next_operation;
                self.next_operation.0 += 1;
                self.operations.insert(op, key);
                Output::Store { op, command }
            }
            Effect::Event(event) => Output::Event(event),
        }
    }

    fn drop_document(&mut self, key: DocKey) {
        if let Some(slot) = self.documents.remove(&key) {
            self.names.remove(&slot.name);
            if let Some(due) = slot.timeout {
                self.due.remove(&(due, key));
            }
        }
    }
}
