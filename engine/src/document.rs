//! One document: who has it open, what it holds, and its way through memory.
//!
//! ```text
//! Loading ──► Live ◄──► Draining ──► Gone
//!    └──────────────────────────────► Gone   (refused: could not be loaded)
//! ```
//!
//! A document shares nothing with others. It is told what happens, one input
//! at a time, and returns effects.

mod block;
mod causality;
mod compaction;
mod delete_set;
mod fanout;
mod lineage;
mod persistence;
mod state;
mod structs;
mod sync;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;

pub use state::{Applied, DocumentState, NewPart, Pending};

use self::persistence::Persistence;
use crate::{
    awareness::Awareness,
    config::Config,
    connection::Connection,
    effect::{Effect, Effects, Fault},
    event::Event,
    id::{ConnId, DocId},
    output::{CloseCode, Refusal},
    random::Jitter,
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
    connections: BTreeMap<ConnId, Connection>,
    persistence: Persistence,
    timers: TimerTable,
}

/// Where a document is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Being read from the store. These wait for it.
    Loading { waiting: BTreeSet<ConnId> },
    /// In use, or was a moment ago.
    Live,
    /// Nobody has it open; it leaves as soon as everything is saved.
    Draining,
    /// To be dropped.
    Gone,
}

/// What documents are given with each input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) now: Duration,
    pub(crate) config: &'a Config,
}

impl Document {
    /// Starts to load a document.
    pub(crate) fn load(id: DocId, jitter: Jitter, out: &mut Effects) -> Self {
        let mut document = Self {
            id,
            phase: Phase::Loading {
                waiting: BTreeSet::new(),
            },
            state: DocumentState::default(),
            awareness: Awareness::default(),
            connections: BTreeMap::new(),
            persistence: Persistence::new(jitter),
            timers: TimerTable::default(),
        };
        document.read_snapshot(out);
        document
    }

    pub(crate) const fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// Whether it holds changes that no store holds.
    pub(crate) const fn is_unsaved(&self) -> bool {
        self.persistence.is_dirty()
    }

    /// When it wants to be woken.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// A client asks to be let in.
    pub(crate) fn open(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        match &mut self.phase {
            Phase::Loading { waiting } if waiting.len() >= cx.config.waiting_opens_max => {
                out.push(Effect::Refuse(conn, Refusal::Busy));
            }
            Phase::Loading { waiting } => {
                waiting.insert(conn);
            }
            Phase::Live | Phase::Draining => {
                self.phase = Phase::Live;
                self.accept(cx, conn, out);
            }
            Phase::Gone => unreachable!("a document that is gone is not asked any more"),
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
        if let Err(fault) = self.receive(cx, conn, frame, out) {
            let left = self.close(cx, &[conn], &fault, out);
            self.tell_left(cx, left, out);
        }
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
            connection.written(total_bytes);
            self.answer_pending_step_1(cx, conn, out);
        }
    }

    /// A client is gone, or has given up waiting.
    pub(crate) fn closed(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        match &mut self.phase {
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

    /// Time has passed.
    pub(crate) fn tick(&mut self, cx: Context<'_>, out: &mut Effects) {
        for timer in Timer::ALL {
            if self.timers.take_due(timer, cx.now) {
                self.timer_fired(cx, timer, out);
            }
        }
    }

    /// The server goes down: everybody out, and save what is not saved.
    pub(crate) fn shut_down(&mut self, cx: Context<'_>, out: &mut Effects) {
        if let Phase::Loading { waiting } = &mut self.phase {
            let waiting = std::mem::take(waiting).into_iter();
            out.extend(waiting.map(|conn| Effect::Refuse(conn, Refusal::ShuttingDown)));
            self.phase = Phase::Gone;
            return;
        }
        let conns: Vec<_> = self.connections.keys().copied().collect();
        let fault = Fault::new(CloseCode::GoingAway, "the server is shutting down");
        // Nobody stays who could be told who left.
        let _left = self.close(cx, &conns, &fault, out);
        // The pauses of a long outage would reach past the deadline.
        self.persistence.forget_failures();
        self.drain(cx, out);
    }

    /// Panics if something does not hold that always must.
    pub(crate) fn check(&self) {
        self.state.check();
        let connected: BTreeSet<_> = self.connections.keys().copied().collect();
        self.awareness.check(&connected);
        self.persistence.check();
        match &self.phase {
            Phase::Loading { .. } => assert!(self.connections.is_empty(), "nobody is in yet"),
            Phase::Live => {}
            Phase::Draining => assert!(self.connections.is_empty(), "nobody is in any more"),
            Phase::Gone => assert!(!self.is_unsaved(), "what leaves memory is saved"),
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
            Timer::Store => self.store_due(cx, out),
            Timer::Idle => self.drain(cx, out),
            Timer::Keepalive => self.keep_alive(cx, out),
            Timer::Awareness => self.expire_awareness(cx, out),
            Timer::Resync => self.ask_again(cx, out),
        }
    }

    /// The document is here, empty or not: lets in who waited.
    fn become_live(&mut self, cx: Context<'_>, bytes: usize, out: &mut Effects) {
        out.push(Effect::Event(Event::DocumentLoaded {
            doc: self.id.clone(),
            bytes,
            replayed: 0,
        }));
        if let Phase::Loading { waiting } = std::mem::replace(&mut self.phase, Phase::Live) {
            for conn in waiting {
                self.accept(cx, conn, out);
            }
        }
        self.wait_if_idle(cx);
    }

    /// The document cannot be had: sends away who waited.
    fn refuse_all(&mut self, refusal: Refusal, event: Event, out: &mut Effects) {
        out.push(Effect::Event(event));
        if let Phase::Loading { waiting } = std::mem::replace(&mut self.phase, Phase::Gone) {
            let waiting = waiting.into_iter();
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
        self.forget(cx, conns)
    }

    /// Lets go of connections. Returns as [`Document::close`] does.
    fn forget(&mut self, cx: Context<'_>, conns: &[ConnId]) -> Option<Vec<u8>> {
        for conn in conns {
            self.connections.remove(conn);
        }
        self.wait_if_idle(cx);
        self.awareness.leave(cx.now, conns)
    }

    fn wait_if_idle(&mut self, cx: Context<'_>) {
        if self.connections.is_empty() {
            self.timers.set(Timer::Idle, cx.now + cx.config.idle_grace);
        }
    }

    /// Saves what is not saved, then leaves memory.
    fn drain(&mut self, cx: Context<'_>, out: &mut Effects) {
        debug_assert!(self.connections.is_empty());
        self.phase = Phase::Draining;
        for timer in [
            Timer::Idle,
            Timer::Keepalive,
            Timer::Awareness,
            Timer::Resync,
        ] {
            self.timers.stop(timer);
        }
        self.save_now(cx, out);
        self.leave_if_drained(out);
    }

    fn leave_if_drained(&mut self, out: &mut Effects) {
        if self.phase == Phase::Draining && !self.is_unsaved() && !self.persistence.is_busy() {
            self.phase = Phase::Gone;
            out.push(Effect::Event(Event::DocumentUnloaded {
                doc: self.id.clone(),
            }));
        }
    }
}
