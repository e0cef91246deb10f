//! Routes inputs to documents, and what documents want done to the outside.

mod answers;
mod backlog;
mod bus;
mod check;
mod effects;
mod inspect;
mod journal_operations;
mod quarantine;
mod room;
mod shutdown;
mod slot;
mod turns;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

pub use self::check::Checked;
use self::{
    answers::Answers,
    backlog::Backlog,
    bus::Bus,
    effects::replace,
    journal_operations::{Ended, JournalOperation, JournalOperations},
    quarantine::Failures,
    shutdown::Shutdown,
    slot::{Slot, Standing, Totals},
    turns::Turns,
};
use crate::{
    auth::{Grant, UserId},
    config::Config,
    connection::Rights,
    document::Document,
    effect::{Effects, Lane},
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

/// Bytes of documents that are looked at as a whole in a second, of all
/// together: while one is, nobody is served. About a tenth of a core where structs
/// are small.
const LOOK_RATE: u32 = 3 << 20;

/// All documents of one shard, and their connections. See the crate's
/// documentation for how to drive it.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    jitter: Jitter,
    documents: BTreeMap<DocKey, Slot>,
    names: BTreeMap<DocId, DocKey>,
    connections: BTreeMap<ConnId, Link>,
    /// What the store does.
    operations: BTreeMap<OpId, DocKey>,
    journal_operations: JournalOperations,
    /// When to look for every document's next timeout.
    due: BTreeSet<(Duration, DocKey)>,
    /// Documents that nobody has open, the longest unused first.
    idle: BTreeSet<(Duration, DocKey)>,
    totals: Totals,
    turns: Turns,
    /// Whose turn at the store it is right now.
    turn: Option<Lane>,
    answers: Answers,
    journaling: Journaling,
    backlog: Backlog,
    bus: Bus,
    failures: Failures,
    /// Until when all have been looked at that may be. See [`LOOK_RATE`].
    looked_until: Duration,
    /// When room for documents may be looked for again.
    room_sought_again: Duration,
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

/// A connection as the outside knows it.
#[derive(Debug, Clone)]
struct Link {
    document: DocKey,
    user: UserId,
    /// Whether it was told to be: until then it can only be refused.
    is_accepted: bool,
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
            journal_operations: JournalOperations::default(),
            due: BTreeSet::new(),
            idle: BTreeSet::new(),
            totals: Totals::default(),
            turns: Turns::default(),
            turn: None,
            answers: Answers::default(),
            backlog: Backlog::default(),
            bus: Bus::default(),
            failures: Failures::default(),
            looked_until: Duration::ZERO,
            room_sought_again: Duration::ZERO,
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
        let is_tick = matches!(input, Input::Tick);
        match input {
            Input::Open { conn, doc, grant } => self.open(now, conn, &doc, grant),
            Input::Received { conn, bytes } => {
                self.make_room_to_grow(now, bytes.len());
                self.with_connection(now, conn, |document, cx, out| {
                    document.received(cx, conn, &bytes, out);
                });
            }
            Input::Written { conn, total_bytes } => {
                if self.is_only_noted(now, conn, total_bytes) {
                    return;
                }
                self.with_connection(now, conn, |document, cx, out| {
                    document.written(cx, conn, total_bytes, out);
                });
            }
            Input::Closed { conn } => {
                if let Some(link) = self.forget(conn) {
                    self.with(now, link.document, |document, cx, out| {
                        document.closed(cx, conn, out);
                    });
                }
            }
            Input::Freed { conn } => self.answers.freed(conn),
            Input::Tick => self.tick(now),
            Input::Store { op, result } => {
                let failed = matches!(result, StoreResult::Saved(Err(_)));
                if !(failed && planted::is(Bug::TurnLeaked)) {
                    self.turns.end(op);
                }
                let waiting = match planted::is(Bug::AnswersInOrder) {
                    true => self.operations.pop_first().map(|(_, waiting)| waiting),
                    false => self.operations.remove(&op),
                };
                if let Some(document) = waiting {
                    self.with(now, document, |document, cx, out| {
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
            Input::Bus(told) => self.told_by_bus(now, told),
            Input::Shutdown { deadline } => self.shut_down(now, deadline),
        }
        self.give_turns_of_all_kinds(now);
        // Turns may have made room with what another node has saved: those who wait
        // for it are asked with the same tick.
        if is_tick && self.due.first().is_some_and(|(due, _)| *due <= now) {
            self.tick_documents(now);
            self.give_turns_of_all_kinds(now);
        }
        self.report_drained(now);
    }

    /// Lets those go on whose turn it is, of all kinds.
    fn give_turns_of_all_kinds(&mut self, now: Duration) {
        self.give_answers(now);
        self.push(now);
        self.give_turns(now);
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
        let answers = self.answers.next_timeout();
        let bus = self.bus.next_timeout();
        [
            documents,
            journal,
            push.flatten(),
            closing,
            deadline,
            answers,
            bus,
        ]
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
            answers_bytes: self.answers.bytes(),
            bus_is_up: self.bus.is_up(),
            journal_failed: health == JournalHealth::Failed,
            ..Status::default()
        };
        for slot in self.documents.values() {
            slot.document.add_to(&mut status, now.mono, health);
        }
        status
    }

    fn open(&mut self, now: Duration, conn: ConnId, name: &DocId, grant: Grant) {
        debug_assert!(
            !self.connections.contains_key(&conn),
            "numbers are used once"
        );
        let rights = Rights::from(&grant);
        let key = match self.names.get(name).copied() {
            _ if self.shutdown.is_some() => Err(Refusal::ShuttingDown),
            Some(key)
                if planted::is(Bug::DoubleInstance) && self.documents[&key].document.is_idle() =>
            {
                Ok(self.load(now, name, false))
            }
            Some(key) => Ok(key),
            None if self.failures.holds_back(now, name) => Err(Refusal::InternalError),
            None if self.make_room(now) => Ok(self.load(now, name, false)),
            None => {
                marks::hit(Mark::RefusedFull);
                Err(Refusal::Full)
            }
        };
        match key {
            Ok(key) => {
                let link = Link {
                    document: key,
                    is_accepted: false,
                    user: grant.user,
                };
                self.connections.insert(conn, link);
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
        // Nothing in it can fail: it starts empty.
        let document = Document::load(name.clone(), jitter, entry.is_some(), &mut self.effects);
        let standing = Standing::of(&document);
        let slot = Slot {
            name: name.clone(),
            document,
            due: None,
            idle_since: None,
            share: Totals::default(),
            is_loading: standing.is_loading,
            on_bus: false,
            entry,
            pushed,
        };
        self.pushing += usize::from(pushed);
        self.documents.insert(key, slot);
        self.names.insert(name.clone(), key);
        self.settle(now, key, &standing);
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
        self.tick_documents(now);
        self.subscribe_again(now);
        if self.journaling.take_due(now) {
            let op = self.next_op();
            let command = JournalCommand::Reopen;
            self.outputs.push_back(Output::Journal { op, command });
        }
        self.send_away(now);
    }

    fn tick_documents(&mut self, now: Duration) {
        while let Some(&(due, key)) = self.due.first()
            && due <= now
        {
            let slot = self.documents.get_mut(&key);
            let slot = slot.expect("what is due is here");
            match slot.document.next_timeout() {
                Some(timeout) if now < timeout => {
                    replace(&mut self.due, key, &mut slot.due, Some(timeout));
                }
                _ => self.with(now, key, Document::tick),
            }
        }
    }

    /// The journal has answered.
    fn journaled(&mut self, now: Duration, op: OpId, result: JournalResult) {
        if let JournalResult::Reopened(reopened) = &result {
            self.reopened(now, reopened.is_ok());
            return;
        }
        if let Some(error) = failure(&result) {
            let (config, jitter) = (&self.config, &mut self.jitter);
            if self.journaling.failed(now, config, jitter) {
                marks::hit(Mark::JournalFailed);
                let error = error.clone();
                self.event(Event::JournalFailed { error });
            }
        }
        match result {
            JournalResult::Appended(written) | JournalResult::Trimmed(written) => {
                self.written(now, op, &written);
            }
            JournalResult::Read(read) => {
                if let Some(Ended { document, .. }) = self.journal_operations.end(op) {
                    self.with(now, document, |document, _, out| {
                        document.records_read(read, out);
                    });
                }
            }
            JournalResult::Reopened(_) => {}
        }
        self.failures.answered(op);
    }

    /// The journal has carried out all writes up to this one, or has failed to. Each
    /// document is told of its own, in the order in which they were asked for.
    fn written(&mut self, now: Duration, through: OpId, written: &Result<(), JournalError>) {
        let mut first = None;
        while let Some(Ended { document, records }) = self.journal_operations.end(through) {
            let is_other = *first.get_or_insert(document) != document;
            marks::hit_if(Mark::AnswerToSeveral, || is_other);
            if records > 0 && written.is_ok() {
                self.journaling.appended();
            }
            self.with(now, document, |document, cx, out| match records {
                0 => document.trimmed(cx, written, out),
                _ => document.appended(cx, written, records, out),
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

    /// Notes what was written where nothing follows from it. That is nearly
    /// always so, and tells as often as anything is sent.
    fn is_only_noted(&mut self, now: Duration, conn: ConnId, total_bytes: u64) -> bool {
        let Some(link) = self.connections.get(&conn) else {
            return true;
        };
        let slot = self.documents.get_mut(&link.document);
        slot.is_none_or(|slot| slot.document.only_notes_written(now, conn, total_bytes))
    }

    /// Has those told something large whose turn it is, and closes those that
    /// take too long to read it while others wait.
    fn give_answers(&mut self, now: Duration) {
        loop {
            while let Some(conn) = self.answers.next(&self.config) {
                self.event(Event::AnswerTurn { conn });
                self.with_connection(now, conn, |document, cx, out| {
                    document.answer_turn(cx, conn, out);
                });
            }
            for (user, conn) in self.answers.take_came() {
                self.event(Event::AnswerWaits { conn, user });
            }
            // Those who stay are told who left, and may come to wait.
            let Some(conn) = self.answers.next_late(now, &self.config) else {
                return;
            };
            self.with_connection(now, conn, |document, cx, out| {
                document.close_late(cx, conn, out);
            });
            // A document that nobody has open any more may leave at once.
            self.tick_documents(now);
        }
    }

    /// A connection is gone, with what was kept of it.
    fn forget(&mut self, conn: ConnId) -> Option<Link> {
        let link = self.connections.remove(&conn)?;
        self.answers.closed(&link.user, conn);
        Some(link)
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
