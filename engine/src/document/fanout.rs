//! Sending: to one connection, to all, and to those that have been quiet.

use std::time::Duration;

use bytes::Bytes;

use super::{Context, Document, untold};
use crate::{
    awareness,
    connection::{Connection, Rights},
    effect::{Effect, Effects, Fault},
    id::ConnId,
    marks::{self, Mark},
    output::Receivers,
    planted::{self, Bug},
    protocol,
    timer::Timer,
    update::ClientId,
};

/// A message on who is there that is larger may take several frames.
const MAY_BE_SEVERAL_BYTES: usize = 4 << 10;

impl Document {
    /// Lets a connection in: asks what it knows, if it may tell, and tells who
    /// is there.
    pub(super) fn accept(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        rights: Rights,
        out: &mut Effects,
    ) {
        self.timers.stop(Timer::Idle);
        let until = rights.until;
        let connection = Connection::new(cx.now, rights);
        let may_write = connection.may_write();
        self.connections.insert(conn, connection);
        out.push(Effect::Accept(conn));
        if may_write || planted::is(Bug::ReadersAsked) {
            let step_1 = protocol::sync_step_1(&self.state.state_vector());
            self.send(cx, conn, step_1, out);
        }
        if !planted::is(Bug::AwarenessJoinerUntold) && !self.puts_off_presence(cx, conn, out) {
            let frames = self.awareness.frames(cx.config);
            self.send_or_leave_out(cx, conn, &frames, out);
        }
        let due = cx.now + cx.config.keepalive;
        match planted::is(Bug::KeepalivePutOff) {
            true => self.timers.set(Timer::Keepalive, due),
            false => self.timers.set_earlier(Timer::Keepalive, due),
        }
        if let Some(until) = until {
            self.timers.set_earlier(Timer::Expiry, until);
        }
    }

    /// Closes the connections whose time is over.
    pub(super) fn close_expired(&mut self, cx: Context<'_>, out: &mut Effects) {
        if planted::is(Bug::ExpiryIgnored) {
            return;
        }
        let until =
            |(conn, connection): (&ConnId, &Connection)| Some((connection.rights.until?, *conn));
        let expired = self.connections.iter().filter_map(until);
        let expired = expired.filter(|(until, _)| *until <= cx.now);
        let expired: Vec<_> = expired.map(|(_, conn)| conn).collect();
        if !expired.is_empty() {
            marks::hit(Mark::TokenExpired);
            let left = self.close(cx, &expired, &Fault::expired(), out);
            self.tell_left(cx, left, out);
        }
        let later = self.connections.iter().filter_map(until);
        let later = later.map(|(until, _)| until);
        if let Some(next) = later.filter(|until| *until > cx.now).min()
            && !planted::is(Bug::ExpiryOnce)
        {
            self.timers.set(Timer::Expiry, next);
        }
    }

    /// Sends a frame to one connection.
    pub(super) fn send(&mut self, cx: Context<'_>, conn: ConnId, frame: Bytes, out: &mut Effects) {
        let lags = self.connection(conn).sent(cx.now, frame.len(), cx.config);
        out.push(Effect::Send(Receivers::from_elem(conn, 1), frame));
        let waits = self.connection(conn).waits;
        if lags {
            self.lags(cx, conn, out);
        } else if waits {
            self.mind_stalls(cx);
        }
    }

    /// Tells a connection who is there, unless it lags; if that is large, when
    /// it is its turn.
    pub(super) fn send_or_leave_out(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        frames: &[Bytes],
        out: &mut Effects,
    ) {
        if self.is_large(cx, frames.iter().map(Bytes::len).sum()) {
            self.leave_out(cx, conn, None, out);
        }
        for frame in frames {
            if !self.connection(conn).outbox.leaves_out_awareness(&[]) {
                self.send(cx, conn, frame.clone(), out);
            }
        }
        self.tell(cx, conn, out);
    }

    /// Whether a connection is told who is there when it is its turn: to make that takes
    /// time with its size, and a change before each question would have it made anew. So
    /// it is where it is large, and for one that does not read.
    pub(super) fn puts_off_presence(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        out: &mut Effects,
    ) -> bool {
        if self.awareness.state_bytes() > cx.config.outbox_bytes_max {
            self.leave_out(cx, conn, None, out);
        }
        let is_put_off = self.connection(conn).outbox.leaves_out_awareness(&[]);
        if is_put_off {
            self.tell(cx, conn, out);
        }
        is_put_off
    }

    /// Whether something is larger than what a connection that does not read may
    /// cost. Such a thing is not sent to many at once: each is left out of it and
    /// told what it missed when it is its turn.
    pub(super) fn is_large(&self, cx: Context<'_>, bytes: usize) -> bool {
        bytes > cx.config.outbox_bytes_max && !planted::is(Bug::LargeSentToAll)
    }

    /// Tells a connection what it asked for or missed, if it can take it now.
    /// That may be the whole document; if that is large, it waits for its turn.
    pub(super) fn tell(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        let is_large = self.size() + self.awareness.bytes() > cx.config.outbox_bytes_max;
        let connection = self.connection(conn);
        if connection.waits || !connection.can_be_told(cx.config) {
            return;
        }
        let asks = connection.pending_step_1.is_some();
        if is_large && (asks || !connection.outbox.misses_nothing()) {
            connection.waits = true;
            // It may have heard nothing for long, as it lagged.
            let quiet = connection.last_sent + cx.config.keepalive;
            let soon = cx.now + Duration::from_millis(1);
            self.timers.set_earlier(Timer::Keepalive, quiet.max(soon));
            out.push(Effect::AwaitAnswer(conn));
        } else {
            self.tell_now(cx, conn, out);
        }
    }

    /// It is a connection's turn to be told something large.
    pub(crate) fn answer_turn(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        let connection = self.connection(conn);
        connection.waits = false;
        if connection.can_be_told(cx.config) {
            self.tell_now(cx, conn, out);
        } else {
            // It came to lag while it waited.
            marks::hit(Mark::AnswerTurnMissed);
        }
    }

    fn tell_now(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        match self.connection(conn).outbox.take_lag() {
            Some(lag) => self.catch_up(cx, conn, lag, out),
            None => self.answer_step_1(cx, conn, out),
        }
    }

    /// Sends one connection what it asked for or missed, whatever the budget:
    /// one answer is on its way at a time, in one frame or several.
    pub(super) fn answer(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        frames: &[Bytes],
        out: &mut Effects,
    ) {
        let bytes = frames.iter().map(Bytes::len).sum();
        let is_counted = planted::is(Bug::AnswerCounted);
        if !is_counted {
            self.connection(conn).answered(cx.now, bytes);
            self.mind_stalls(cx);
        }
        if bytes > cx.config.outbox_bytes_max && !is_counted {
            out.push(Effect::AnswerSent(conn, bytes));
        }
        for frame in frames.iter().cloned() {
            match is_counted {
                true => self.send(cx, conn, frame, out),
                false => out.push(Effect::Send(Receivers::from_elem(conn, 1), frame)),
            }
        }
    }

    /// Sends an update frame to all that are in step, except its sender.
    pub(super) fn send_update(
        &mut self,
        cx: Context<'_>,
        from: Option<ConnId>,
        frame: Bytes,
        out: &mut Effects,
    ) {
        self.send_to_all(cx, frame, out, |conn, connection| {
            connection.subscribed && Some(conn) != from && !connection.outbox.misses_updates()
        });
    }

    /// Tells everybody about awareness, its sender included: y-websocket
    /// closes a connection on which it hears nothing for 30 s, alone or not.
    pub(super) fn tell_awareness(&mut self, cx: Context<'_>, states: &[u8], out: &mut Effects) {
        let is_large = self.is_large(cx, states.len());
        let mut connections = self.connections.values();
        // Who does not lag yet may before the last frame.
        let may_lag = is_large || states.len() > MAY_BE_SEVERAL_BYTES;
        let gone = match may_lag || connections.any(|connection| connection.outbox.lags()) {
            true => awareness::gone(states),
            false => Vec::new(),
        };
        if is_large {
            return self.leave_out_of_awareness(cx, &gone, out);
        }
        for frame in awareness::split(states, cx.config) {
            self.send_to_all(cx, frame, out, |_, connection| {
                let is_told = !connection.outbox.leaves_out_awareness(&gone);
                if is_told {
                    connection.is_told_presence();
                }
                is_told
            });
        }
    }

    /// Leaves all out of a large awareness message, which says that these are
    /// gone: each is told who is there when it is its turn.
    fn leave_out_of_awareness(
        &mut self,
        cx: Context<'_>,
        gone: &[(ClientId, u64)],
        out: &mut Effects,
    ) {
        for conn in self.connections.keys().copied().collect::<Vec<_>>() {
            self.leave_out(cx, conn, None, out);
            self.connection(conn).outbox.leaves_out_awareness(gone);
            self.tell(cx, conn, out);
        }
    }

    /// Sends to those that got nothing for long and have read the rest, those
    /// among them that wait for their turn to be told something large.
    pub(super) fn keep_alive(&mut self, cx: Context<'_>, out: &mut Effects) {
        let keepalive = cx.config.keepalive;
        let mut some_wait = false;
        self.send_to_all(cx, protocol::keepalive(), out, |_, connection| {
            let is_due = connection.last_sent + keepalive <= cx.now;
            let is_sent = is_due && connection.has_read(cx.config);
            marks::hit_if(Mark::KeepaliveSent, || is_sent);
            marks::hit_if(Mark::WaitingKeptAlive, || is_sent && connection.waits);
            some_wait |= is_sent && connection.waits;
            is_sent
        });
        if some_wait {
            self.mind_stalls(cx);
        }
        let look_at = |connection: &Connection| match connection.has_read(cx.config) {
            true => connection.last_sent + keepalive,
            false => connection.last_sent.max(cx.now) + keepalive,
        };
        if let Some(next) = self.connections.values().map(look_at).min()
            && !planted::is(Bug::KeepaliveOnce)
        {
            self.timers.set(Timer::Keepalive, next);
        }
    }

    pub(super) fn expire_awareness(&mut self, cx: Context<'_>, out: &mut Effects) {
        if let Some(left) = self.awareness.expire(cx.now, cx.config) {
            self.untold.forget(untold::gone(&left));
            self.tell_awareness(cx, &left, out);
        } else if planted::is(Bug::AwarenessUnwatched) {
            return;
        }
        self.watch_awareness(cx);
    }

    /// Sets the timer that notices silence.
    pub(super) fn watch_awareness(&mut self, cx: Context<'_>) {
        if self.timers.is_set(Timer::Awareness) {
            return;
        }
        if let Some(next) = self.awareness.next_expiry(cx.config) {
            self.timers.set(Timer::Awareness, next);
        }
    }

    /// Tells those who stay who left, if anybody did.
    pub(super) fn tell_left(&mut self, cx: Context<'_>, left: Option<Vec<u8>>, out: &mut Effects) {
        if let Some(left) = left {
            self.untold.forget(untold::gone(&left));
            self.tell_awareness(cx, &left, out);
            self.publish_awareness(cx, &left, out);
        }
    }

    /// Sends a frame to those who want it.
    fn send_to_all(
        &mut self,
        cx: Context<'_>,
        frame: Bytes,
        out: &mut Effects,
        mut wants: impl FnMut(ConnId, &mut Connection) -> bool,
    ) {
        // Most want it, as a rule: to grow step by step costs more.
        let mut receivers = Receivers::with_capacity(self.connections.len());
        let mut lagging = Receivers::new();
        for (&conn, connection) in &mut self.connections {
            if !wants(conn, connection) {
                continue;
            }
            receivers.push(conn);
            if connection.sent(cx.now, frame.len(), cx.config) {
                lagging.push(conn);
            }
        }
        if !receivers.is_empty() {
            out.push(Effect::Send(receivers, frame));
        }
        for conn in lagging {
            self.lags(cx, conn, out);
        }
    }
}
