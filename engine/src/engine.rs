//! Routes inputs to documents, and what documents want done to the outside.

mod backlog;
mod room;
mod shutdown;
mod turns;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use self::{
    backlog::{Backlog, Entry},
    shutdown::Shutdown,
    turns::Turns,
};
use crate::{
    config::Config,
    connection::Rights,
    document::{Context, Document, Left},
    effect::{Effect, Effects, Lane},
    event::Event,
    id::{ConnId, DocId, OpId},
    input::Input,
    journal::{JournalCommand, JournalError, JournalResult},
    journal_health::{JournalHealth, Journaling},
    marks::{self, Mark},
    output::{Output, Refusal},
    planted::{self, Bug},
    random::Jitter,
    status::Status,
    store::StoreResult,
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
    /// Documents that nobody has open, the longest unused first.
    idle: BTreeSet<(Duration, DocKey)>,
    totals: Totals,
    turns: Turns,
    /// Whose turn at the store it is right now.
    turn: Option<Lane>,
    journaling: Journaling,
    backlog: Backlog,
    /// Documents in memory only to be brought into the store.
    pushing: usize,
    outputs: VecDeque<Output>,
    effects: Effects,
    next_key: DocKey,
    next_operation: OpId,
    shutdown: Option<Shutdown>,
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
    /// As it stands in `idle`.
    idle_since: Option<Duration>,
    /// What it adds to the totals.
    share: Totals,
    /// What the backlog knew of it, if the journal may hold something of it.
    entry: Option<Entry>,
    /// Whether it is here only to be brought into the store.
    pushed: bool,
}

/// Sums over documents, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    documents: usize,
    unsaved: usize,
}

impl Engine {
    /// An engine without documents. The seed only spreads retries.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            journaling: Journaling::new(&config),
            config,
            jitter: Jitter::new(seed),
            documents: BTreeMap::new(),
            names: BTreeMap::new(),
            connections: BTreeMap::new(),
            operations: BTreeMap::new(),
            due: BTreeSet::new(),
            idle: BTreeSet::new(),
            totals: Totals::default(),
            turns: Turns::default(),
            turn: None,
            backlog: Backlog::default(),
            pushing: 0,
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
            Input::Open { conn, doc, grant } => self.open(now, conn, &doc, (&grant).into()),
            Input::Received { conn, bytes } => {
                self.with_connection(now, conn, |document, cx, out| {
                    document.received(cx, conn, &bytes, out);
                });
            }
            Input::Written { conn, total_bytes } => {
                self.with_connection(now, conn, |document, cx, out| {
                    document.written(cx, conn, total_bytes, out);
                });
            }
            Input::Closed { conn } => {
                if let Some(key) = self.connections.remove(&conn) {
                    self.with(now, key, |document, cx, out| document.closed(cx, conn, out));
                }
            }
            Input::Tick => self.tick(now),
            Input::Store { op, result } => {
                let failed = matches!(result, StoreResult::Saved(Err(_)));
                if !(failed && planted::is(Bug::TurnLeaked)) {
                    self.turns.end(op);
                }
                let waiting = match planted::is(Bug::AnswersInOrder) {
                    true => self.operations.pop_first().map(|(_, key)| key),
                    false => self.operations.remove(&op),
                };
                if let Some(key) = waiting {
                    self.with(now, key, |document, cx, out| {
                        document.stored(cx, result, out);
                    });
                }
            }
            Input::Journal { op, result } => self.journaled(now, op, result),
            Input::JournalHolds { docs } => {
                for doc in docs {
                    debug_assert!(!self.names.contains_key(&doc), "told before the first open");
                    self.backlog.found(now, doc);
                }
            }
            Input::Shutdown { deadline } => self.shut_down(now, deadline),
        }
        self.push(now);
        self.give_turns(now);
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
        let documents = self.due.first().map(|(due, _)| *due);
        let journal = self.journaling.next_timeout();
        let push = self.may_push().then(|| self.backlog.next_timeout());
        let shutdown = self.shutdown.as_ref().filter(|_| !self.drained);
        let closing = shutdown.and_then(|shutdown| shutdown.closing.next_timeout());
        let deadline = shutdown.map(|shutdown| shutdown.deadline);
        [documents, journal, push.flatten(), closing, deadline]
            .into_iter()
            .flatten()
            .min()
    }

    /// How all documents stand together. Takes time in proportion to their
    /// number.
    #[must_use]
    pub fn status(&self, now: Now) -> Status {
        let health = self.journaling.health();
        let mut status = Status {
            documents_to_push: self.backlog.len() + self.pushing,
            journal_failed: health == JournalHealth::Failed,
            ..Status::default()
        };
        for slot in self.documents.values() {
            slot.document.add_to(&mut status, now.mono, health);
        }
        status
    }

    /// Panics if something does not hold that always must, looking at all
    /// there is. For simulations and debugging.
    pub fn check(&self) {
        assert_eq!(self.documents.len(), self.names.len());
        let mut totals = Totals::default();
        for (key, slot) in &self.documents {
            slot.document.check(&self.config);
            assert_eq!(self.names.get(&slot.name), Some(key));
            assert_eq!(slot.timeout, slot.document.next_timeout());
            let is_due = |due: Duration| self.due.contains(&(due, *key));
            assert!(slot.timeout.is_none_or(is_due));
            assert_eq!(slot.idle_since.is_some(), slot.document.is_idle());
            totals.documents += slot.document.bytes();
            totals.unsaved += slot.document.unsaved_bytes();
        }
        assert_eq!(self.totals, totals);
        let slots = || self.documents.values();
        let timeouts = slots().filter(|slot| slot.timeout.is_some());
        assert_eq!(self.due.len(), timeouts.count());
        assert_eq!(self.pushing, slots().filter(|slot| slot.pushed).count());
        let is_here = |key| self.documents.contains_key(key);
        assert!(self.connections.values().all(is_here));
        assert!(self.backlog.docs().all(|doc| !self.names.contains_key(doc)));
    }

    fn open(&mut self, now: Duration, conn: ConnId, name: &DocId, rights: Rights) {
        debug_assert!(
            !self.connections.contains_key(&conn),
            "numbers are used once"
        );
        let key = match self.names.get(name).copied() {
            _ if self.shutdown.is_some() => Err(Refusal::ShuttingDown),
            Some(key)
                if planted::is(Bug::DoubleInstance) && self.documents[&key].document.is_idle() =>
            {
                Ok(self.load(now, name, false))
            }
            Some(key) => Ok(key),
            None if self.make_room(now) => Ok(self.load(now, name, false)),
            None => {
                marks::hit(Mark::RefusedFull);
                Err(Refusal::Full)
            }
        };
        match key {
            Ok(key) => {
                self.connections.insert(conn, key);
                self.stay(key);
                self.with(now, key, |document, cx, out| {
                    document.open(cx, conn, rights, out);
                });
            }
            Err(reason) => self.outputs.push_back(Output::Refuse { conn, reason }),
        }
    }

    /// Brings a document into memory, for somebody or to be `pushed`.
    fn load(&mut self, now: Duration, name: &DocId, pushed: bool) -> DocKey {
        let key = self.next_key;
        self.next_key.0 += 1;
        let entry = self.backlog.take(name);
        let jitter = self.jitter.fork();
        let document = Document::load(name.clone(), jitter, entry.is_some(), &mut self.effects);
        let slot = Slot {
            name: name.clone(),
            document,
            timeout: None,
            idle_since: None,
            share: Totals::default(),
            entry,
            pushed,
        };
        self.pushing += usize::from(pushed);
        self.documents.insert(key, slot);
        self.names.insert(name.clone(), key);
        self.settle(now, key);
        key
    }

    /// Somebody wants a document that was here only to be brought into the
    /// store.
    fn stay(&mut self, key: DocKey) {
        if let Some(slot) = self.documents.get_mut(&key) {
            self.pushing -= usize::from(std::mem::take(&mut slot.pushed));
        }
    }

    fn tick(&mut self, now: Duration) {
        while let Some(&(due, key)) = self.due.first() {
            if due > now {
                break;
            }
            self.with(now, key, Document::tick);
        }
        if self.journaling.take_due(now) {
            let op = self.next_op();
            let command = JournalCommand::Reopen;
            self.outputs.push_back(Output::Journal { op, command });
        }
        self.send_away(now);
    }

    /// The journal has answered.
    fn journaled(&mut self, now: Duration, op: OpId, result: JournalResult) {
        if let JournalResult::Reopened(reopened) = &result {
            self.reopened(now, reopened.is_ok());
            return;
        }
        if result == JournalResult::Appended(Ok(())) {
            self.journaling.appended();
        }
        if let Some(error) = failure(&result) {
            let (config, jitter) = (&self.config, &mut self.jitter);
            if self.journaling.failed(now, config, jitter) {
                marks::hit(Mark::JournalFailed);
                let error = error.clone();
                self.event(Event::JournalFailed { error });
            }
        }
        if let Some(key) = self.operations.remove(&op) {
            self.with(now, key, |document, cx, out| {
                document.journaled(cx, result, out);
            });
        }
    }

    fn reopened(&mut self, now: Duration, is_ok: bool) {
        let (config, jitter) = (&self.config, &mut self.jitter);
        if self.journaling.reopened(now, is_ok, config, jitter) {
            marks::hit(Mark::JournalReopened);
            self.event(Event::JournalRecovered);
            self.tell_room(now);
        } else {
            marks::hit(Mark::ReopenFailed);
        }
    }

    /// Tells all documents that what they refused may be taken now.
    fn tell_room(&mut self, now: Duration) {
        for key in self.documents.keys().copied().collect::<Vec<_>>() {
            self.with(now, key, Document::has_room);
        }
    }

    /// Lets those at the store whose turn it is.
    fn give_turns(&mut self, now: Duration) {
        while let Some((key, lane)) = self.turns.next(self.config.store_operations_max) {
            self.turn = Some(lane);
            self.with(now, key, Document::store_turn);
            self.turn = None;
        }
    }

    fn with_connection(
        &mut self,
        now: Duration,
        conn: ConnId,
        handle: impl FnOnce(&mut Document, Context<'_>, &mut Effects),
    ) {
        if let Some(&key) = self.connections.get(&conn) {
            self.with(now, key, handle);
        }
    }

    /// Lets a document handle something, then does what it wants done.
    fn with(
        &mut self,
        now: Duration,
        key: DocKey,
        handle: impl FnOnce(&mut Document, Context<'_>, &mut Effects),
    ) {
        let unsaved_bytes = self.unsaved_bytes();
        let Some(slot) = self.documents.get_mut(&key) else {
            return;
        };
        let cx = Context {
            now,
            config: &self.config,
            journal: self.journaling.health(),
            unsaved_bytes,
        };
        handle(&mut slot.document, cx, &mut self.effects);
        // Not to stay for a while in case somebody comes.
        if self.shutdown.is_some() || slot.pushed {
            slot.document.drain_if_idle(cx, &mut self.effects);
        }
        // What the store does not take makes way for others.
        if slot.pushed {
            slot.document.abandon(cx, &mut self.effects);
        }
        self.settle(now, key);
    }

    /// Carries out a document's effects, minds its timeout and its size, and
    /// drops it if it has left.
    fn settle(&mut self, now: Duration, key: DocKey) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.carry_out(key, effect);
        }
        self.effects = effects;
        let enough = self.config.unsaved_bytes_total_max / 2;
        let was_full = self.unsaved_bytes() > enough;
        let slot = self.documents.get_mut(&key);
        let slot = slot.expect("it has just handled something");
        let timeout = slot.document.next_timeout();
        replace(&mut self.due, key, &mut slot.timeout, timeout);
        let idle = slot.document.is_idle();
        let idle_since = idle.then(|| slot.idle_since.unwrap_or(now));
        replace(&mut self.idle, key, &mut slot.idle_since, idle_since);
        let share = Totals {
            documents: slot.document.bytes(),
            unsaved: slot.document.unsaved_bytes(),
        };
        self.totals.add(share);
        self.totals
            .subtract(std::mem::replace(&mut slot.share, share));
        if let Some(left) = slot.document.left() {
            self.drop_document(now, key, left);
        }
        if was_full && self.unsaved_bytes() <= enough {
            self.tell_room(now);
        }
    }

    fn carry_out(&mut self, key: DocKey, effect: Effect) {
        let output = match effect {
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
            Effect::Pause(conn) => Output::Pause { conn },
            Effect::Resume(conn) => Output::Resume { conn },
            Effect::AwaitStore(lane) => {
                self.turns.wait(key, lane);
                return;
            }
            Effect::Store(command) => {
                let op = self.next_op();
                let lane = self.turn.expect("documents wait for their turn");
                self.turns.begin(op, lane);
                self.operations.insert(op, key);
                Output::Store { op, command }
            }
            Effect::Journal(command) => {
                let op = self.next_op();
                self.operations.insert(op, key);
                Output::Journal { op, command }
            }
            Effect::Event(event) => Output::Event(event),
        };
        self.outputs.push_back(output);
    }

    fn next_op(&mut self) -> OpId {
        let op = self.next_operation;
        self.next_operation.0 += 1;
        op
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn drop_document(&mut self, now: Duration, key: DocKey, left: Left) {
        let slot = self.documents.remove(&key).expect("it has just left");
        self.names.remove(&slot.name);
        self.due.remove(&(slot.timeout.unwrap_or_default(), key));
        self.idle
            .remove(&(slot.idle_since.unwrap_or_default(), key));
        self.totals.subtract(slot.share);
        self.pushing -= usize::from(slot.pushed);
        let entry = match left {
            Left::Clean => None,
            Left::Journaled if planted::is(Bug::LeftWithoutEntry) => {
                slot.entry.map(|entry| entry.with_bytes(slot.share.unsaved))
            }
            Left::Journaled => Some(
                slot.entry
                    .unwrap_or_default()
                    .with_bytes(slot.share.unsaved),
            ),
            Left::Failed | Left::Damaged => slot.entry,
        };
        if let Some(entry) = entry {
            let (config, jitter) = (&self.config, &mut self.jitter);
            self.backlog
                .put(now, slot.name, entry, left, config, jitter);
        }
    }
}

impl Totals {
    fn add(&mut self, share: Self) {
        self.documents += share.documents;
        self.unsaved += share.unsaved;
    }

    fn subtract(&mut self, share: Self) {
        self.documents -= share.documents;
        self.unsaved -= share.unsaved;
    }
}

/// Why the journal as a whole works no more, if a result says so.
const fn failure(result: &JournalResult) -> Option<&JournalError> {
    match result {
        JournalResult::Appended(Err(error))
        | JournalResult::Trimmed(Err(error))
        | JournalResult::Read(Err(error @ JournalError::Failed(_))) => Some(error),
        _ => None,
    }
}

/// Notes a document under a new time instead of an old one.
fn replace(
    set: &mut BTreeSet<(Duration, DocKey)>,
    key: DocKey,
    old: &mut Option<Duration>,
    new: Option<Duration>,
) {
    if *old == new {
        return;
    }
    if let Some(old) = *old {
        set.remove(&(old, key));
    }
    if let Some(new) = new {
        set.insert((new, key));
    }
    *old = new;
}
