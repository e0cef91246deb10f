//! One document: who has it open, what it holds, and its way through memory.
//!
//! ```text
//! Loading ──► Live ◄──► Draining ──► Gone
//!    └──────────────────────────────► Gone   (refused: could not be loaded)
//! ```
//!
//! A document shares nothing with others. It is told what happens, one input
//! at a time, and returns effects.

mod adoption;
mod ahead;
mod append;
mod block;
mod bus;
mod causality;
mod compaction;
mod delete_set;
mod digest;
mod fanout;
mod healing;
mod inspect;
mod join;
mod known;
mod lag;
mod lineage;
mod load;
mod nesting;
mod of_use;
mod pending;
mod persistence;
mod staging;
mod state;
mod structs;
mod sync;
mod untold;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

pub use ahead::Ahead;
pub use pending::Pending;
pub use state::{Applied, DocumentState, NewPart};

use self::{
    bus::OnBus, nesting::Nesting, persistence::Persistence, staging::Staging, untold::Untold,
};
use crate::{
    awareness::{Awareness, Owner},
    bus::Node,
    config::Config,
    connection::{Connection, Rights},
    effect::{Effect, Effects, Fault},
    event::Event,
    id::{ConnId, DocId},
    journal::JournalCommand,
    journal_health::JournalHealth,
    marks::{self, Mark},
    output::{CloseCode, Refusal},
    planted::{self, Bug},
    random::Jitter,
    state_vector::StateVector,
    status::Status,
    store::StoreResult,
    timer::{Timer, TimerTable},
};

/// A document in memory.
#[derive(Debug)]
pub(crate) struct Document {
    id: DocId,
    phase: Phase,
    state: DocumentState,
    awareness: Awareness,
    untold: Untold,
    connections: BTreeMap<ConnId, Connection>,
    staging: Staging,
    persistence: Persistence,
    timers: TimerTable,
    nesting: Nesting,
    bus: OnBus,
    /// All there is, as an answer to one who knows nothing.
    whole: Option<Bytes>,
    /// What those missed who know this much, as an update frame.
    missed: Option<(Arc<StateVector>, Bytes)>,
    /// Room that it takes, about.
    bytes: usize,
    /// Memory that it takes to know what connections know, or more.
    known_bytes_at_most: usize,
}

/// Where a document is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Being read from the store. These wait for it.
    Loading { waiting: BTreeMap<ConnId, Rights> },
    /// In use, or was a moment ago.
    Live,
    /// Nobody has it open; it leaves as soon as everything is saved.
    Draining,
    /// To be dropped.
    Gone(Left),
}

/// How a document left memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Everything is in the store, and the journal holds nothing of it.
    Clean,
    /// The journal holds what the store may not.
    Journaled,
    /// It could not be loaded; another try may succeed.
    Failed,
    /// What is stored of it, or what the journal holds of it, is damaged.
    Damaged,
}

/// What documents are given with each input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) now: Duration,
    pub(crate) config: &'a Config,
    pub(crate) journal: JournalHealth,
    /// Bytes of updates that no landed snapshot covers, of all documents.
    pub(crate) unsaved_bytes: usize,
    /// Room that all other documents take, about, in bytes.
    pub(crate) others_bytes: usize,
    /// When documents may be looked at as a whole again: that holds up all
    /// others.
    pub(crate) may_look_at: Duration,
    /// Who this node is to others, while the bus is up.
    pub(crate) bus: Option<Node>,
}

impl Document {
    /// Starts to load a document, what the journal may hold of it included.
    pub(crate) fn load(id: DocId, jitter: Jitter, journaled: bool, out: &mut Effects) -> Self {
        let mut document = Self {
            id,
            phase: Phase::Loading {
                waiting: BTreeMap::new(),
            },
            staging: Staging::default(),
            state: DocumentState::default(),
            awareness: Awareness::default(),
            untold: Untold::default(),
            connections: BTreeMap::new(),
            bus: OnBus::new(&jitter),
            persistence: Persistence::new(jitter),
            timers: TimerTable::default(),
            nesting: Nesting::default(),
            whole: None,
            missed: None,
            bytes: 0,
            known_bytes_at_most: 0,
        };
        if journaled {
            let doc = document.id.clone();
            out.push(Effect::Journal(JournalCommand::Read { doc }));
        } else {
            document.await_load(out);
        }
        document
    }

    /// How it left, if it has.
    pub(crate) const fn left(&self) -> Option<Left> {
        match self.phase {
            Phase::Gone(left) => Some(left),
            _ => None,
        }
    }

    /// Whether it is still being read.
    pub(crate) const fn is_loading(&self) -> bool {
        matches!(self.phase, Phase::Loading { .. })
    }

    /// Whether it holds changes that the store does not hold.
    pub(crate) const fn is_unsaved(&self) -> bool {
        self.persistence.is_dirty()
    }

    /// Whether it holds changes that are lost with the process.
    pub(crate) fn is_undurable(&self, journal: JournalHealth) -> bool {
        let is_elsewhere = self.persistence.is_only_here() || self.persistence.holds_foreign();
        let is_kept = journal != JournalHealth::Off && !is_elsewhere;
        let is_staged = !self.staging.is_empty() && !planted::is(Bug::StagedCalledDurable);
        is_staged || self.is_unsaved() && !is_kept
    }

    /// Bytes of updates that no landed snapshot covers.
    pub(crate) const fn unsaved_bytes(&self) -> usize {
        self.persistence.unsaved_bytes() + self.staging.bytes()
    }

    /// Room that it takes, about, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let whole = self.whole.as_ref().map_or(0, Bytes::len);
        let missed = self.missed.as_ref().map_or(0, |(_, frame)| frame.len());
        let clients = self.state.clients() + self.staging.ahead().newcomers();
        let presence = self.awareness.bytes() + self.untold.bytes();
        self.size() + clients * Config::CLIENT_BYTES + whole + missed + presence
    }

    /// What it comes to, about, in bytes.
    const fn size(&self) -> usize {
        self.bytes + self.staging.bytes()
    }

    /// How many connections wait for their turn to be told something large.
    pub(crate) fn waiting_for_answers(&self) -> usize {
        let waits = |connection: &&Connection| connection.waits;
        self.connections.values().filter(waits).count()
    }

    /// Whether nobody has it open and it could leave.
    pub(crate) fn is_idle(&self) -> bool {
        let is_here = matches!(self.phase, Phase::Live | Phase::Draining);
        is_here && self.connections.is_empty()
    }

    /// Adds up how it stands.
    pub(crate) fn add_to(&self, status: &mut Status, now: Duration, journal: JournalHealth) {
        match self.phase {
            Phase::Loading { .. } => status.documents_loading += 1,
            Phase::Live => status.documents_live += 1,
            Phase::Draining => status.documents_draining += 1,
            Phase::Gone(_) => {}
        }
        status.documents_bytes += self.bytes();
        status.staged_bytes += self.staging.bytes();
        status.unsaved_bytes += self.unsaved_bytes();
        let staged = self.staging.oldest();
        let unsaved = self.persistence.unsaved_since();
        let undurable = match journal {
            _ if planted::is(Bug::OldestUndurableUntold) => None,
            JournalHealth::Off => unsaved,
            _ => staged,
        };
        let age = |since: Option<Duration>| since.map(|since| now.saturating_sub(since));
        status.oldest_undurable = status.oldest_undurable.max(age(undurable));
        let foreign = self.persistence.foreign_since();
        let unsaved = unsaved.into_iter().chain(staged).chain(foreign).min();
        status.oldest_unsaved = status.oldest_unsaved.max(age(unsaved));
    }

    /// When it wants to be woken.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// A client asks to be let in.
    pub(crate) fn open(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        rights: Rights,
        out: &mut Effects,
    ) {
        marks::hit_if(Mark::OpenWhileDraining, || self.phase == Phase::Draining);
        match &mut self.phase {
            Phase::Loading { .. } if planted::is(Bug::ServedWhileLoading) => {
                self.accept(cx, conn, rights, out);
            }
            Phase::Loading { waiting } if waiting.len() >= cx.config.waiting_opens_max => {
                out.push(Effect::Refuse(conn, Refusal::Busy));
            }
            Phase::Loading { waiting } => {
                marks::hit_if(Mark::OpenWhileLoading, || !waiting.is_empty());
                waiting.insert(conn, rights);
            }
            Phase::Live => self.accept(cx, conn, rights, out),
            Phase::Draining => {
                self.phase = Phase::Live;
                self.accept(cx, conn, rights, out);
                self.catch_up_with_bus(cx, out);
            }
            Phase::Gone(_) => unreachable!("a document that is gone is not asked any more"),
        }
    }

    /// A whole message came from a client; ignored until it is let in.
    pub(crate) fn received(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        frame: &Bytes,
        out: &mut Effects,
    ) {
        if !self.connections.contains_key(&conn) {
            return;
        }
        if let Err(fault) = self.receive(cx, conn, frame, out)
            && !planted::is(Bug::BadInputIgnored)
        {
            let left = self.close(cx, &[conn], &fault, out);
            self.tell_left(cx, left, out);
        }
    }

    /// A client's transport has written so many bytes in all. False, and nothing
    /// is noted, if the client may have to be told something for that: see
    /// [`Document::written`].
    pub(crate) fn only_notes_written(
        &mut self,
        now: Duration,
        conn: ConnId,
        total_bytes: u64,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return true;
        };
        let outbox = &mut connection.outbox;
        let is_only_noted = !outbox.lags() && !outbox.answer_pending();
        if is_only_noted {
            outbox.written(now, total_bytes);
        }
        is_only_noted
    }

    /// A client's transport has written so many bytes in all.
    pub(crate) fn written(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        total_bytes: u64,
        out: &mut Effects,
    ) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            let was_pending = connection.outbox.answer_pending();
            connection.outbox.written(cx.now, total_bytes);
            if was_pending && !connection.outbox.answer_pending() {
                out.push(Effect::AnswerWritten(conn));
            }
            self.tell(cx, conn, out);
        }
    }

    /// A client is gone, or has given up waiting.
    pub(crate) fn closed(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        match &mut self.phase {
            Phase::Loading { .. } if planted::is(Bug::GivenUpLetIn) => {}
            Phase::Loading { waiting } => {
                waiting.remove(&conn);
            }
            _ => {
                let left = self.forget(cx, &[conn]);
                self.tell_left(cx, left, out);
            }
        }
    }

    /// The store has answered.
    pub(crate) fn stored(&mut self, cx: Context<'_>, result: StoreResult, out: &mut Effects) {
        match (&self.phase, result) {
            (Phase::Loading { .. }, StoreResult::Loaded(loaded)) => self.loaded(cx, loaded, out),
            (_, StoreResult::Loaded(loaded)) => self.read_again(cx, loaded, out),
            (_, StoreResult::Saved(saved)) => self.saved(cx, saved, out),
        }
        self.leave_if_drained(out);
    }

    /// There may be room again for what was refused, or the journal works
    /// again.
    pub(crate) fn has_room(&mut self, cx: Context<'_>, out: &mut Effects) {
        if matches!(self.phase, Phase::Live | Phase::Draining) {
            self.ask_refused_soon(cx);
            self.forget_covered(cx, out);
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, cx: Context<'_>, out: &mut Effects) {
        for timer in Timer::ALL {
            if self.timers.take_due(timer, cx.now) {
                self.timer_fired(cx, timer, out);
            }
        }
    }

    /// The server goes down: who waits is refused, and what nobody has open is
    /// saved and leaves.
    pub(crate) fn shut_down(&mut self, cx: Context<'_>, out: &mut Effects) {
        if let Phase::Loading { waiting } = &mut self.phase {
            let waiting = std::mem::take(waiting).into_keys();
            out.extend(waiting.map(|conn| Effect::Refuse(conn, Refusal::ShuttingDown)));
            self.phase = Phase::Gone(Left::Failed);
            return;
        }
        // The pauses of a long outage would reach past the deadline.
        self.persistence.forget_failures();
        if self.phase == Phase::Draining {
            self.save_now(out);
        }
        self.drain_if_idle(cx, out);
    }

    /// The server goes down: this connection goes first.
    pub(crate) fn send_away(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        if self.connections.contains_key(&conn) {
            let fault = Fault::new(CloseCode::GoingAway, "the server is shutting down");
            // Those who stay go in a moment, too: they need not be told.
            // Those at other nodes are not, either: it comes back there in a
            // moment, or falls silent.
            self.close(cx, &[conn], &fault, out);
        }
    }

    /// Panics if something does not hold that always must. Its content is given to
    /// somebody who looks at that.
    pub(crate) fn check(&self, config: &Config, check_state: impl FnOnce(&DocumentState)) {
        check_state(&self.state);
        let connected: BTreeSet<_> = self.connections.keys().copied().collect();
        self.awareness.check(&connected);
        self.untold.check();
        self.persistence.check();
        assert!(
            !self.bus.is_subscribed || self.timers.is_set(Timer::Digest),
            "what others lack is noticed some day"
        );
        self.staging.check();
        match &self.phase {
            Phase::Loading { .. } => assert!(self.connections.is_empty(), "nobody is in yet"),
            Phase::Live => {}
            Phase::Draining => assert!(self.connections.is_empty(), "nobody is in any more"),
            Phase::Gone(Left::Clean) => {
                assert!(!self.is_unsaved(), "what leaves memory is saved");
                assert!(!self.staging.holds_records());
            }
            Phase::Gone(_) => assert!(self.staging.is_empty()),
        }
        let known = self.known_bytes();
        assert!(known <= self.known_bytes_at_most);
        assert!(known <= config.known_bytes_max, "what is known is bounded");
        for connection in self.connections.values() {
            connection.outbox.check(config, connection.waits);
            let is_minded = self.timers.is_set(Timer::Stall);
            let must_read = connection.outbox.stalled_at(config).is_some();
            assert!(!must_read || is_minded, "it may stall for ever");
        }
        assert!(
            !self.is_unsaved() || self.persistence.is_busy() || self.timers.is_set(Timer::Store),
            "what is unsaved is saved some day"
        );
        let idle = self.connections.is_empty() && self.phase == Phase::Live;
        assert!(
            !idle || self.timers.is_set(Timer::Idle),
            "an idle document leaves some day"
        );
    }

    fn timer_fired(&mut self, cx: Context<'_>, timer: Timer, out: &mut Effects) {
        match timer {
            Timer::Store => self.store_due(out),
            Timer::Idle => self.drain(out),
            Timer::Keepalive => self.keep_alive(cx, out),
            Timer::Awareness => self.expire_awareness(cx, out),
            Timer::Presence => self.tell_untold(cx, out),
            Timer::Resync => self.ask_again(cx, out),
            Timer::Expiry => self.close_expired(cx, out),
            Timer::Stall => self.close_stalled(cx, out),
            Timer::Digest => self.tell_digest(cx, out),
            Timer::Exchange => self.ask_difference(cx, out),
            Timer::Join => self.forget_kept(),
        }
    }

    /// The document is here, empty or not: lets in who waited.
    fn become_live(&mut self, cx: Context<'_>, bytes: usize, replayed: usize, out: &mut Effects) {
        out.push(Effect::Event(Event::DocumentLoaded {
            doc: self.id.clone(),
            bytes,
            replayed,
        }));
        if let Phase::Loading { waiting } = std::mem::replace(&mut self.phase, Phase::Live) {
            for (conn, rights) in waiting {
                self.accept(cx, conn, rights, out);
            }
        }
        self.wait_if_idle(cx);
    }

    /// The document cannot be had: sends away who waited.
    fn refuse_all(&mut self, refusal: Refusal, event: Event, out: &mut Effects) {
        out.push(Effect::Event(event));
        let left = match refusal {
            Refusal::Undecodable | Refusal::JournalDamaged => Left::Damaged,
            _ => Left::Failed,
        };
        if let Phase::Loading { waiting } = std::mem::replace(&mut self.phase, Phase::Gone(left))
            && !planted::is(Bug::WaitersForgotten)
        {
            let waiting = waiting.into_keys();
            out.extend(waiting.map(|conn| Effect::Refuse(conn, refusal)));
        }
    }

    /// Closes connections for one reason. Returns the awareness that left with
    /// them, for those who stay.
    fn close(
        &mut self,
        cx: Context<'_>,
        conns: &[ConnId],
        fault: &Fault,
        out: &mut Effects,
    ) -> Option<Vec<u8>> {
        for &conn in conns {
            out.push(Effect::Event(Event::ConnectionClosed {
                conn,
                doc: self.id.clone(),
                code: fault.code,
                reason: fault.reason.clone(),
            }));
            out.push(Effect::Close(conn, fault.clone()));
        }
        if planted::is(Bug::SentAfterClose) {
            return None;
        }
        let left = self.forget(cx, conns);
        left.filter(|_| !planted::is(Bug::AwarenessKeptOnClose))
    }

    /// Lets go of connections. Returns as [`Document::close`] does.
    fn forget(&mut self, cx: Context<'_>, conns: &[ConnId]) -> Option<Vec<u8>> {
        for conn in conns {
            self.connections.remove(conn);
            self.staging.closed(*conn);
        }
        self.wait_if_idle(cx);
        let conns: Vec<_> = conns.iter().copied().map(Owner::Conn).collect();
        self.awareness.leave(cx.now, &conns)
    }

    fn wait_if_idle(&mut self, cx: Context<'_>) {
        if self.connections.is_empty() {
            let grace = match planted::is(Bug::IdleGraceIgnored) {
                true => Duration::ZERO,
                false => cx.config.idle_grace,
            };
            self.timers.set(Timer::Idle, cx.now + grace);
        }
    }

    /// Saves what is not saved, then leaves memory.
    fn drain(&mut self, out: &mut Effects) {
        debug_assert!(self.connections.is_empty());
        self.phase = Phase::Draining;
        let doc = self.id.clone();
        out.push(Effect::Event(Event::DocumentDrains { doc }));
        for timer in [
            Timer::Idle,
            Timer::Keepalive,
            Timer::Awareness,
            Timer::Resync,
            Timer::Expiry,
            Timer::Stall,
            Timer::Join,
        ] {
            self.timers.stop(timer);
        }
        self.forget_kept();
        self.ask_no_more();
        self.save_now(out);
        self.leave_if_drained(out);
    }

    /// Leaves as soon as everything is saved, if nobody has it open.
    pub(crate) fn drain_if_idle(&mut self, _: Context<'_>, out: &mut Effects) {
        if self.phase == Phase::Live && self.connections.is_empty() {
            self.drain(out);
        }
    }

    /// Leaves if nobody has it open and there is nothing to save.
    pub(crate) fn evict(&mut self, cx: Context<'_>, out: &mut Effects) {
        if !self.is_unsaved() {
            self.drain_if_idle(cx, out);
        }
    }

    /// Leaves at once if everything is in the store or in the journal, though
    /// the store does not take it now.
    pub(crate) fn abandon(&mut self, cx: Context<'_>, out: &mut Effects) {
        let is_kept = cx.journal == JournalHealth::Works && !self.staging.is_busy();
        let is_stuck = self.persistence.is_failing() && !self.persistence.is_busy();
        let is_elsewhere = self.persistence.is_only_here() || self.persistence.holds_foreign();
        if is_kept && is_stuck && self.is_idle() && !is_elsewhere {
            marks::hit(Mark::PushedGaveWay);
            self.leave(Left::Journaled, out);
        }
    }

    fn leave_if_drained(&mut self, out: &mut Effects) {
        let is_staged = self.staging.is_busy() && !planted::is(Bug::LeftWhileStaged);
        let is_busy = self.persistence.is_busy() || is_staged;
        let is_foreign = self.persistence.is_foreign_alone() && planted::is(Bug::ForeignLeft);
        let is_saved = !self.is_unsaved() || is_foreign || planted::is(Bug::UnsavedLeft);
        if self.phase == Phase::Draining && is_saved && !is_busy {
            let left = match self.staging.holds_records() {
                true => Left::Journaled,
                false => Left::Clean,
            };
            self.leave(left, out);
        }
    }

    fn leave(&mut self, left: Left, out: &mut Effects) {
        marks::hit_if(Mark::LeftJournaled, || left == Left::Journaled);
        self.phase = Phase::Gone(left);
        let doc = self.id.clone();
        out.push(Effect::Event(Event::DocumentUnloaded { doc }));
    }
}
