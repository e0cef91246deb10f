//! Connections that read more slowly than others write.
//!
//! Such a connection is not closed. It is left out, and it is noted what its
//! client will know once everything on its way has come. When that is mostly
//! written, the client gets what it would get if it came back: the difference,
//! however long it lagged, and who is there. So a slow client costs no more
//! than its budget, and nobody else waits for it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Context, Document};
use crate::{
    awareness,
    connection::{Connection, Lag},
    effect::{Effect, Effects, Fault},
    event::Event,
    id::ConnId,
    marks::{self, Mark},
    planted::{self, Bug},
    protocol,
    state_vector::StateVector,
    timer::Timer,
    update::ClientId,
};

impl Document {
    /// Leaves all out that are in step, except this one: they know this much,
    /// and are told the rest when it is their turn.
    pub(super) fn leave_out_all(
        &mut self,
        cx: Context<'_>,
        from: Option<ConnId>,
        known: &Arc<StateVector>,
        out: &mut Effects,
    ) {
        let in_step = |(conn, connection): &(&ConnId, &Connection)| {
            connection.subscribed && Some(**conn) != from && !connection.outbox.misses_updates()
        };
        let in_step = self.connections.iter().filter(in_step);
        let in_step: Vec<_> = in_step.map(|(conn, _)| *conn).collect();
        for &conn in &in_step {
            self.leave_out(cx, conn, Some(known), out);
        }
        for conn in in_step {
            self.tell(cx, conn, out);
        }
    }

    /// Leaves a connection out from now on.
    pub(super) fn leave_out(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        known: Option<&Arc<StateVector>>,
        out: &mut Effects,
    ) {
        let outbox = &mut self.connection(conn).outbox;
        let begins = outbox.begin_lag(cx.now);
        if let Some(known) = known {
            outbox.leave_out(Arc::clone(known));
        }
        if begins {
            self.lags(cx, conn, out);
        }
    }

    /// Before the document changes: notes what those know who will not hear of
    /// it.
    pub(super) fn leave_out_lagging(&mut self, cx: Context<'_>) {
        if !planted::is(Bug::LagNotedLate) {
            self.note_known(cx);
        }
    }

    /// Notes what those know who are left out and miss nothing yet.
    pub(super) fn note_known(&mut self, cx: Context<'_>) {
        let will_miss = |connection: &Connection| {
            connection.subscribed && connection.outbox.will_miss_updates()
        };
        if !self.connections.values().any(will_miss) {
            return;
        }
        let known = self.keep_known(cx, self.state.integrated());
        for connection in self.connections.values_mut() {
            if will_miss(connection) {
                connection.outbox.leave_out(Arc::clone(&known));
            }
        }
    }

    /// Tells that a connection lags, and minds that it does not do so for ever.
    pub(super) fn lags(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        marks::hit(Mark::Lagged);
        let doc = self.id.clone();
        out.push(Effect::Event(Event::ConnectionLags { conn, doc }));
        self.mind_stalls(cx);
    }

    /// Has it noticed if somebody stalls who has something to read from now on.
    pub(super) fn mind_stalls(&mut self, cx: Context<'_>) {
        let due = cx.now + cx.config.stall_max;
        self.timers.set_earlier(Timer::Stall, due);
    }

    /// Tells a connection what it missed. If it has asked meanwhile, the answer
    /// to that tells it.
    pub(super) fn catch_up(&mut self, cx: Context<'_>, conn: ConnId, lag: Lag, out: &mut Effects) {
        let has_asked = self.connection(conn).pending_step_1.is_some();
        self.answer_step_1(cx, conn, out);
        if let Some(known) = lag.knows
            && !has_asked
            && !planted::is(Bug::FrameDropped)
        {
            marks::hit(Mark::CaughtUp);
            let missed = self.missed(cx, &known);
            self.answer(cx, conn, &[missed], out);
        }
        if lag.misses_awareness && !planted::is(Bug::CaughtUpUnaware) {
            marks::hit(Mark::CaughtUpAwareness);
            self.tell_presence(cx, conn, &lag.gone, out);
        }
    }

    /// Tells a connection who is there, and that these are gone.
    fn tell_presence(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        gone: &BTreeMap<ClientId, u64>,
        out: &mut Effects,
    ) {
        let frames = match gone.is_empty() {
            true => self.awareness.frames(cx.config),
            false => {
                let all = self.awareness.encode_with(gone);
                let all = all.iter();
                all.flat_map(|all| awareness::split(all, cx.config))
                    .collect()
            }
        };
        match frames.is_empty() {
            true => self.answer(cx, conn, &[protocol::keepalive()], out),
            false => self.answer(cx, conn, &frames, out),
        }
    }

    /// Closes a connection that reads too slowly what it was told, while others
    /// wait.
    pub(crate) fn close_late(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        if self.connections.contains_key(&conn) {
            marks::hit(Mark::LateClose);
            let left = self.close(cx, &[conn], &Fault::late(), out);
            self.tell_left(cx, left, out);
        }
    }

    /// Closes connections whose transport has written nothing for long, though
    /// much waits, or an answer does. They hold memory, and get what they miss if
    /// they come back.
    pub(super) fn close_stalled(&mut self, cx: Context<'_>, out: &mut Effects) {
        let stalled_at = |(conn, connection): (&ConnId, &Connection)| {
            Some((connection.outbox.stalled_at(cx.config)?, *conn))
        };
        let stalled = self.connections.iter().filter_map(stalled_at);
        let stalled = stalled.filter(|(at, _)| *at <= cx.now);
        let stalled: Vec<_> = stalled.map(|(_, conn)| conn).collect();
        if !stalled.is_empty() && !planted::is(Bug::StalledKept) {
            marks::hit(Mark::StallClose);
            let left = self.close(cx, &stalled, &Fault::stalled(), out);
            self.tell_left(cx, left, out);
        }
        let next = self.connections.iter().filter_map(stalled_at);
        let next: Option<Duration> = next.map(|(at, _)| at).filter(|at| *at > cx.now).min();
        if let Some(next) = next {
            self.timers.set_earlier(Timer::Stall, next);
        }
    }
}
