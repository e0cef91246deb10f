//! What clients say, and what the document makes of it.

use bytes::Bytes;

use super::{Applied, Context, Document, NewPart};
use crate::{
    awareness::AwarenessError,
    connection::{Connection, Resync},
    effect::{Effect, Effects, Fault},
    event::Event,
    id::ConnId,
    output::CloseCode,
    protocol::{self, Message, MessageError, Messages},
    state_vector::StateVector,
    timer::Timer,
    update::{DecodeError, Update},
};

impl Document {
    /// Handles the messages of a frame in order, up to the first bad one.
    pub(super) fn receive(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        frame: &Bytes,
        out: &mut Effects,
    ) -> Result<(), Fault> {
        if frame.len() > cx.config.frame_bytes_max {
            return Err(Fault::new(CloseCode::MessageTooBig, "message too big"));
        }
        let mut messages = Messages::new(frame);
        let mut first = true;
        let mut asks_awareness = false;
        while let Some(message) = messages.read_next()? {
            // A frame that is one update and nothing else can be relayed.
            let whole = (first && messages.is_at_end()).then_some(frame);
            first = false;
            match message {
                Message::SyncStep1(known) => self.sync_step_1(conn, known)?,
                Message::SyncStep2(update) => self.update(cx, conn, update, None, out)?,
                Message::Update(update) => self.update(cx, conn, update, whole, out)?,
                Message::Awareness(states) => self.take_awareness(cx, conn, states, out)?,
                Message::QueryAwareness => asks_awareness = true,
            }
            // It is closed if it does not read what it gets of its own.
            if !self.connections.contains_key(&conn) {
                return Ok(());
            }
        }
        self.answer_pending_step_1(cx, conn, out);
        if asks_awareness {
            self.answer_query_awareness(cx, conn, out)?;
        }
        Ok(())
    }

    /// Answers the last `SyncStep1` of a connection, unless the answer to the
    /// one before is still on its way. From the first answer on it gets
    /// updates, so that it misses none and gets none twice.
    pub(super) fn answer_pending_step_1(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        out: &mut Effects,
    ) {
        let connection = self.connection(conn);
        if connection.answer_pending() {
            return;
        }
        if let Some(known) = connection.pending_step_1.take() {
            connection.subscribed = true;
            let diff = self.state.diff(&known);
            self.send(cx, conn, protocol::sync_step_2(&diff), out);
            self.connection(conn).answered();
        }
    }

    /// Sends on what an update brought: the new part to all but its sender,
    /// then what it completed to everybody.
    pub(super) fn relay(
        &mut self,
        cx: Context<'_>,
        from: Option<ConnId>,
        applied: Applied,
        as_it_came: impl FnOnce() -> Bytes,
        out: &mut Effects,
    ) {
        match applied.new_part {
            NewPart::Nothing => return,
            NewPart::All => self.send_update(cx, from, as_it_came(), out),
            NewPart::Some(part) => self.send_update(cx, from, protocol::update(&part), out),
        }
        if let Some(resend) = applied.resend {
            self.send_update(cx, None, protocol::update(&resend), out);
        }
    }

    /// Asks the connections for what they know, of which something was not
    /// taken or is missing.
    pub(super) fn ask_again(&mut self, cx: Context<'_>, out: &mut Effects) {
        let frame = protocol::sync_step_1(&self.state.state_vector());
        let owing = self.connections.iter_mut();
        let owing: Vec<_> = owing
            .filter(|(_, connection)| connection.resync != Resync::None)
            .map(|(&conn, connection)| {
                connection.resync = Resync::None;
                conn
            })
            .collect();
        for conn in owing {
            self.send(cx, conn, frame.clone(), out);
        }
    }

    /// Tells all awareness states to one who asked, and who reads the answers.
    fn answer_query_awareness(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        out: &mut Effects,
    ) -> Result<(), Fault> {
        if self.connection(conn).lags(cx.config) {
            return Err(Fault::lagging());
        }
        let states = self.awareness.encode();
        let frame = states.map_or_else(protocol::keepalive, |states| protocol::awareness(&states));
        self.send(cx, conn, frame, out);
        Ok(())
    }

    fn sync_step_1(&mut self, conn: ConnId, known: &[u8]) -> Result<(), Fault> {
        let known = StateVector::decode(known).map_err(|error| {
            let reason = format!("malformed state vector: {error}");
            Fault::new(CloseCode::InvalidPayload, reason)
        })?;
        self.connection(conn).pending_step_1 = Some(known);
        Ok(())
    }

    fn update(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        bytes: &[u8],
        frame: Option<&Bytes>,
        out: &mut Effects,
    ) -> Result<(), Fault> {
        let update = Update::decode(bytes)?;
        if self.connection(conn).resync == Resync::Refused {
            return Ok(());
        }
        let pending = self.state.pending_after(&update);
        if pending.gap_runs > cx.config.gap_runs_max
            || pending.delete_ranges > cx.config.pending_delete_ranges_max
        {
            let reason = "too much in this document waits for content that never came";
            self.refuse_update(cx, conn, reason, out);
            return Ok(());
        }
        let applied = self.state.apply_decoded(&update);
        if applied.new_part == NewPart::Nothing {
            return Ok(());
        }
        if pending.gap_runs > 0 {
            self.ask_later(cx, conn, Resync::Gap);
        }
        self.changed(cx);
        out.push(Effect::Event(Event::UpdateApplied { bytes: bytes.len() }));
        let as_it_came = || frame.cloned().unwrap_or_else(|| protocol::update(bytes));
        self.relay(cx, Some(conn), applied, as_it_came, out);
        Ok(())
    }

    /// Does not take an update. Closing the connection would make a loop: the
    /// client would come back at once and send the same again.
    fn refuse_update(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        reason: &'static str,
        out: &mut Effects,
    ) {
        let doc = self.id.clone();
        out.push(Effect::Event(Event::UpdateRefused { doc, conn, reason }));
        self.ask_later(cx, conn, Resync::Refused);
        if !std::mem::replace(&mut self.connection(conn).told_refused, true) {
            self.send(cx, conn, protocol::permission_denied(reason), out);
        }
    }

    fn ask_later(&mut self, cx: Context<'_>, conn: ConnId, resync: Resync) {
        self.connection(conn).resync = resync;
        let due = cx.now + cx.config.resync_delay;
        self.timers.set_earlier(Timer::Resync, due);
    }

    fn take_awareness(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        states: &[u8],
        out: &mut Effects,
    ) -> Result<(), Fault> {
        if let Some(news) = self.awareness.apply(cx.now, conn, states, cx.config)? {
            self.tell_awareness(cx, &news, out);
            self.watch_awareness(cx);
        }
        Ok(())
    }

    fn connection(&mut self, conn: ConnId) -> &mut Connection {
        self.connections
            .get_mut(&conn)
            .expect("input comes from connections that are open")
    }
}

impl From<MessageError> for Fault {
    fn from(error: MessageError) -> Self {
        let code = match error {
            MessageError::Auth => CloseCode::PolicyViolation,
            _ => CloseCode::InvalidPayload,
        };
        Self::new(code, error.to_string())
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        let reason = format!("malformed update: {error}");
        Self::new(CloseCode::InvalidPayload, reason)
    }
}

impl From<AwarenessError> for Fault {
    fn from(error: AwarenessError) -> Self {
        let code = match error {
            AwarenessError::StateTooBig | AwarenessError::TooManyIds => CloseCode::PolicyViolation,
            _ => CloseCode::InvalidPayload,
        };
        Self::new(code, error.to_string())
    }
}
