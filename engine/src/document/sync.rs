//! What clients say, and what the document makes of it.

use std::time::Duration;

use bytes::Bytes;

use super::{Applied, Context, Document, NewPart, Pending, staging::Received};
use crate::{
    awareness::{AwarenessError, By, News, add_news},
    config::Config,
    connection::{Connection, Resync},
    effect::{Effect, Effects, Fault},
    event::Event,
    id::ConnId,
    journal_health::JournalHealth,
    marks::{self, Mark},
    message_fault::MessageFault,
    planted::{self, Bug},
    protocol::{self, Message, MessageError, Messages},
    rejection::Rejection,
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
        let mut presence = News::new();
        let handled = self.handle_messages(cx, conn, frame, &mut presence, out);
        // Of all that a frame says of who is there, its last word is told, and once: each
        // client repeats what it hears.
        if !presence.is_empty() {
            let user = self.connections[&conn].rights.user.clone();
            self.tell_news(cx, &user, presence, out);
        }
        handled.inspect_err(|fault| {
            let doc = self.id.clone();
            let refused = fault.message;
            let event = refused.map(|reason| Event::MessageRefused { doc, conn, reason });
            out.extend(event.map(Effect::Event));
        })
    }

    fn handle_messages(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        frame: &Bytes,
        presence: &mut News,
        out: &mut Effects,
    ) -> Result<(), Fault> {
        let is_too_big = frame.len() > cx.config.frame_bytes_max;
        if is_too_big && !planted::is(Bug::FrameUnbounded) {
            return Err(Fault::of_message(MessageFault::TooBig, "message too big"));
        }
        let mut messages = Messages::new(frame);
        let mut read = 0;
        let (mut asks, mut asks_awareness) = (false, false);
        let mut is_presence = true;
        while let Some(message) = messages.read_next()? {
            read += 1;
            if read > Config::FRAME_MESSAGES_MAX {
                let reason = "too many messages in one frame";
                return Err(Fault::of_message(MessageFault::TooMany, reason));
            }
            // A frame that is one update and nothing else can be relayed.
            let whole = (read == 1 && messages.is_at_end()).then_some(frame);
            is_presence &= matches!(message, Message::Awareness(_));
            match message {
                Message::SyncStep1(known) => {
                    self.sync_step_1(cx, conn, known)?;
                    asks = true;
                }
                Message::SyncStep2(update) => {
                    let connection = self.connection(conn);
                    connection.has_answered();
                    connection.subscribed |= planted::is(Bug::SubscribedAtStep2);
                    self.update(cx, conn, update, frame, None, out)?;
                }
                Message::Update(update) => {
                    self.update(cx, conn, update, frame, whole, out)?;
                }
                Message::Awareness(states) => {
                    add_news(presence, self.take_presence(cx, conn, states, out)?);
                }
                Message::QueryAwareness => asks_awareness = true,
            }
        }
        self.tell(cx, conn, out);
        if asks {
            self.keep_asked(cx, conn);
        }
        if asks_awareness {
            self.answer_query_awareness(cx, conn, out);
        }
        let is_repeated = is_presence && read > 0 && presence.is_empty();
        if is_repeated && self.connection(conn).may_repeat() {
            marks::hit(Mark::Repeated);
            out.push(Effect::Repeated(conn));
        }
        Ok(())
    }

    /// Takes what a connection says of who is there. Returns what of that is new.
    fn take_presence(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        states: &[u8],
        out: &mut Effects,
    ) -> Result<News, AwarenessError> {
        let by = By::Conn(conn, &self.connections[&conn].rights.user);
        let (news, unshown) = self.awareness.apply(cx.now, by, states, cx.config)?;
        if let Some(reason) = unshown {
            let doc = self.id.clone();
            let event = Event::PresenceUnshown { doc, conn, reason };
            out.push(Effect::Event(event));
        }
        Ok(news)
    }

    /// Answers the last `SyncStep1` of a connection. From the first answer on it
    /// gets updates, so that it misses none and gets none twice.
    pub(super) fn answer_step_1(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        let connection = self.connection(conn);
        if let Some(known) = connection.pending_step_1.take() {
            if connection.subscribed && planted::is(Bug::SecondStep1Ignored) {
                return;
            }
            marks::hit_if(Mark::Step1Again, || connection.subscribed);
            connection.subscribed |= !planted::is(Bug::SubscribedAtStep2);
            let frame = self.sync_step_2(cx, &known);
            self.answer(cx, conn, &[frame], out);
        }
    }

    /// Sends on what an update brought: the new part to all but its sender,
    /// then what it completed to everybody.
    pub(super) fn relay(
        &mut self,
        cx: Context<'_>,
        from: Option<ConnId>,
        applied: &Applied,
        as_it_came: impl FnOnce() -> Bytes,
        out: &mut Effects,
    ) {
        if planted::is(Bug::LagNotedLate) {
            self.note_known(cx);
        }
        let new_part = match &applied.new_part {
            NewPart::Nothing => return,
            NewPart::All => as_it_came(),
            NewPart::Some(part) => protocol::update(part),
        };
        self.publish_update(cx, from, &new_part, out);
        self.tell_all(cx, from, new_part, applied, out);
        if let Some(resend) = &applied.resend
            && !planted::is(Bug::ResendMissing)
        {
            self.tell_all(cx, None, protocol::update(resend), applied, out);
        }
    }

    /// Tells all that are in step, except the sender, what an update brought:
    /// at once, or if it is large, each when it is its turn.
    fn tell_all(
        &mut self,
        cx: Context<'_>,
        from: Option<ConnId>,
        frame: Bytes,
        applied: &Applied,
        out: &mut Effects,
    ) {
        if self.is_large(cx, frame.len()) {
            marks::hit(Mark::LargeLeftOut);
            let known = self.keep_known(cx, self.state.integrated_before(applied));
            self.leave_out_all(cx, from, &known, out);
        } else {
            self.send_update(cx, from, frame, out);
        }
    }

    /// Asks the connections for what they know, of which something was not
    /// taken or is missing. While there is no room for more, those whose
    /// updates were refused are not asked.
    pub(super) fn ask_again(&mut self, cx: Context<'_>, out: &mut Effects) {
        let has_room = self.has_room_again(cx) || planted::is(Bug::AskedWithoutRoom);
        let (mut owing, mut next) = (Vec::new(), None::<Duration>);
        for (&conn, connection) in &mut self.connections {
            if connection.resync == Resync::Refused && !has_room {
                marks::hit(Mark::ResyncPutOff);
                connection.resync_at = connection.resync_at.max(cx.now + cx.config.resync_delay);
            }
            if connection.outbox.lags() && connection.resync_at <= cx.now {
                connection.resync_at = cx.now + cx.config.resync_delay;
            }
            if connection.resync != Resync::None && connection.resync_at <= cx.now {
                marks::hit(match connection.is_to_sync() {
                    true => Mark::ResyncAsked,
                    false => Mark::ResyncGap,
                });
                connection.asked(cx.now + cx.config.resync_delay_max);
                owing.push(conn);
            }
            if connection.resync != Resync::None {
                let due = connection.resync_at;
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        if let Some(next) = next {
            self.timers.set(Timer::Resync, next);
        }
        if owing.is_empty() {
            return;
        }
        let frame = protocol::sync_step_1(&self.state.state_vector());
        for conn in owing {
            self.send(cx, conn, frame.clone(), out);
        }
    }

    /// There may be room again for what was refused: asks for it as soon as
    /// there is.
    pub(super) fn ask_refused_soon(&mut self, cx: Context<'_>) {
        self.ask_refused_at(cx.now);
    }

    /// The same, at this time.
    pub(super) fn ask_refused_at(&mut self, due: Duration) {
        let refused = |connection: &&mut Connection| connection.resync == Resync::Refused;
        for connection in self.connections.values_mut().filter(refused) {
            connection.resync_at = due;
            self.timers.set(Timer::Resync, due);
        }
    }

    /// Tells all awareness states to one who asked; later, if it lags.
    fn answer_query_awareness(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        if self.puts_off_presence(cx, conn, out) {
            return;
        }
        let frames = self.awareness.frames(cx.config);
        match frames.is_empty() {
            true => self.send_or_leave_out(cx, conn, &[protocol::keepalive()], out),
            false => self.send_or_leave_out(cx, conn, &frames, out),
        }
    }

    fn sync_step_1(&mut self, cx: Context<'_>, conn: ConnId, known: &[u8]) -> Result<(), Fault> {
        let malformed = |error: DecodeError| {
            let reason = format!("malformed state vector: {error}");
            Fault::of_message(MessageFault::MalformedStateVector, reason)
        };
        // Looked at before it is decoded, which takes memory for each entry. Who
        // has got a larger document from us may say so.
        let most = cx.config.state_vector_entries_max.max(self.state.clients());
        let is_too_long = StateVector::count(known).map_err(malformed)? > most;
        if is_too_long && !planted::is(Bug::StateVectorUnbounded) {
            let reason = "the state vector tells of too many clients";
            return Err(Fault::of_message(MessageFault::StateVectorTooLong, reason));
        }
        let known = StateVector::decode(known).map_err(malformed)?;
        let replaced = self.connection(conn).pending_step_1.replace(known);
        marks::hit_if(Mark::Step1Replaced, || replaced.is_some());
        Ok(())
    }

    /// Takes an update, which came in a frame. `whole` is the frame if it holds
    /// nothing else.
    fn update(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        bytes: &[u8],
        frame: &Bytes,
        whole: Option<&Bytes>,
        out: &mut Effects,
    ) -> Result<(), Fault> {
        let update = Update::decode(bytes)?;
        if !self.connection(conn).may_write() {
            if self.state.lacks(&update) {
                self.forbid_update(cx, conn, out);
            }
            return Ok(());
        }
        if self.connection(conn).is_to_sync() {
            marks::hit(Mark::IgnoredOwing);
            return Ok(());
        }
        let opens = self.state.pending_in(&update, self.staging.ahead());
        marks::hit_if(Mark::PendingDelete, || opens.delete_ranges > 0);
        let received = Received {
            from: conn,
            whole,
            newcomers: self.state.new_clients(&update, self.staging.ahead()),
            opens_gap: opens.gap_runs > 0,
            is_part: false,
        };
        let admitted = self.admit(cx, &update, opens, received.newcomers, out);
        match (admitted, cx.journal) {
            (Ok(()), JournalHealth::Off) => self.take(cx, &update, received, out),
            // What is known already is not refused, and needs no record.
            _ if !self.state.lacks(&update) => marks::hit(Mark::NothingNew),
            _ if planted::is(Bug::StagedTakenForKnown) && self.staging.has(bytes) => {}
            (Err(Rejection::TooManyGaps), _) => self.take_what_is_of_use(cx, conn, &update, out),
            (Err(reason), _) => self.refuse_update(cx, conn, reason, out),
            (Ok(()), _) => self.stage(cx, &update, opens, received, frame, out),
        }
        Ok(())
    }

    /// Whether an update may be taken, or why not.
    fn admit(
        &mut self,
        cx: Context<'_>,
        update: &Update<'_>,
        opens: Pending,
        newcomers: usize,
        out: &mut Effects,
    ) -> Result<(), Rejection> {
        let bytes = update.bytes().len();
        self.room(cx, bytes)?;
        self.growth_allowed(cx, update, newcomers)?;
        self.gaps_allowed(cx, update, opens)?;
        self.nesting_allowed(cx, update, bytes, out)
    }

    /// Takes of an update that opens too many gaps what opens none, and refuses the
    /// rest. Somebody else may wait for just that: of two clients each of which knows
    /// what the other lacks, none would ever be taken anything of.
    fn take_what_is_of_use(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        update: &Update<'_>,
        out: &mut Effects,
    ) {
        let part = self.state.part_of_use(update, self.staging.ahead());
        let update = Update::decode(&part).expect("a part of an update is one");
        let is_of_use = self.state.lacks(&update) && !planted::is(Bug::GapsRefusedWhole);
        if is_of_use && let Err(reason) = self.nesting_allowed(cx, &update, part.len(), out) {
            self.refuse_update(cx, conn, reason, out);
            return;
        }
        self.refuse_update(cx, conn, Rejection::TooManyGaps, out);
        if !is_of_use {
            return;
        }
        marks::hit(Mark::TakenWithoutGaps);
        let received = Received {
            from: conn,
            whole: None,
            newcomers: self.state.new_clients(&update, self.staging.ahead()),
            opens_gap: false,
            is_part: true,
        };
        match cx.journal {
            JournalHealth::Off => self.take(cx, &update, received, out),
            _ => self.stage(cx, &update, Pending::default(), received, &part, out),
        }
    }

    /// Whether there is room for so many bytes of updates, or why not. One
    /// update always fits where nothing is unsaved.
    pub(super) fn room(&self, cx: Context<'_>, bytes: usize) -> Result<(), Rejection> {
        let config = cx.config;
        let unsaved = self.unsaved_bytes();
        match () {
            () if cx.journal == JournalHealth::Failed => Err(Rejection::NotDurable),
            () if planted::is(Bug::UnsavedUnbounded) => Ok(()),
            () if unsaved > 0 && unsaved + bytes > config.unsaved_bytes_max => {
                Err(Rejection::NotSaved)
            }
            () if cx.unsaved_bytes > 0
                && cx.unsaved_bytes + bytes > config.unsaved_bytes_total_max =>
            {
                Err(Rejection::NotSaved)
            }
            () => Ok(()),
        }
    }

    /// Whether there is so much room that asking for what was refused is worth
    /// it.
    pub(super) fn has_room_again(&self, cx: Context<'_>) -> bool {
        let config = cx.config;
        cx.journal != JournalHealth::Failed
            && self.unsaved_bytes() <= config.unsaved_bytes_max / 2
            && cx.unsaved_bytes <= config.unsaved_bytes_total_max / 2
            && cx.others_bytes + self.bytes() < config.documents_growth_max
    }

    /// Whether the document may grow by an update that tells of so many clients that are
    /// new, or why not. Deleting is
    /// always allowed: it makes room. What was loaded may be past the limits:
    /// they are for what is new.
    fn growth_allowed(
        &self,
        cx: Context<'_>,
        update: &Update<'_>,
        new: usize,
    ) -> Result<(), Rejection> {
        let config = cx.config;
        let tells_structs =
            || update.structs().next().is_some() || planted::is(Bug::DeletesRefusedWhenFull);
        let bytes = match planted::is(Bug::FullSeenLate) {
            true => 0,
            false => update.bytes().len(),
        };
        let new = match planted::is(Bug::ClientsUncounted) {
            true => 0,
            false => new,
        };
        let newcomers = match planted::is(Bug::StagedClientsUncounted) {
            true => 0,
            false => self.staging.ahead().newcomers(),
        };
        let clients = self.state.clients() + newcomers + new;
        let grows_to = cx.others_bytes + self.bytes() + bytes + new * Config::CLIENT_BYTES;
        let is_full = grows_to > config.documents_growth_max && !planted::is(Bug::GrowthUnbounded);
        let size = match planted::is(Bug::StagedUncountedInSize) {
            true => self.bytes,
            false => self.size(),
        };
        match () {
            () if size + bytes > config.document_bytes_max && tells_structs() => {
                Err(Rejection::DocumentFull)
            }
            () if is_full && tells_structs() => Err(Rejection::MemoryFull),
            () if new > 0 && clients > config.document_clients_max => {
                Err(Rejection::TooManyClients)
            }
            () => Ok(()),
        }
    }

    /// Whether so much more may wait for what is unknown, or why not. An update
    /// that brings as well what others wait for is judged by what is left.
    fn gaps_allowed(
        &self,
        cx: Context<'_>,
        update: &Update<'_>,
        opens: Pending,
    ) -> Result<(), Rejection> {
        if opens == Pending::default() || planted::is(Bug::GapsUnbounded) {
            return Ok(());
        }
        let on_way = self.staging.ahead().pending();
        let here = self.state.pending();
        // Who adds nothing to what is too much already is not refused for it.
        let fits = |then: usize, now: usize, on_way: usize, most: usize| {
            then <= now || then + on_way <= most
        };
        let is_within = |then: Pending| {
            let config = cx.config;
            let (gaps, deletes) = (config.gap_runs_max, config.pending_delete_ranges_max);
            fits(then.gap_runs, here.gap_runs, on_way.gap_runs, gaps)
                && fits(
                    then.delete_ranges,
                    here.delete_ranges,
                    on_way.delete_ranges,
                    deletes,
                )
        };
        let at_most = Pending {
            gap_runs: here.gap_runs + opens.gap_runs,
            delete_ranges: here.delete_ranges + opens.delete_ranges,
        };
        (is_within(at_most) || is_within(self.state.pending_after(update)))
            .then_some(())
            .ok_or(Rejection::TooManyGaps)
    }

    /// Does not take an update. Closing the connection would make a loop: the
    /// client would come back at once and send the same again.
    pub(super) fn refuse_update(
        &mut self,
        cx: Context<'_>,
        conn: ConnId,
        reason: Rejection,
        out: &mut Effects,
    ) {
        match reason {
            Rejection::NotDurable => marks::hit(Mark::RefusedNotDurable),
            Rejection::NotSaved => marks::hit(Mark::RefusedNotSaved),
            Rejection::TooManyGaps => marks::hit(Mark::RefusedGaps),
            Rejection::TooDeep => marks::hit(Mark::RefusedNesting),
            Rejection::DocumentFull => {
                marks::hit(Mark::RefusedFullDocument);
                self.make_room(cx, out);
            }
            Rejection::MemoryFull => marks::hit(Mark::RefusedMemoryFull),
            Rejection::TooManyClients => {}
        }
        let doc = self.id.clone();
        out.push(Effect::Event(Event::UpdateRefused { doc, conn, reason }));
        let connection = self.connection(conn);
        if planted::is(Bug::RefusedNotAsked) {
            return;
        }
        let delay = cx.config.resync_delay * (1 << connection.refusals.min(16));
        connection.refusals += 1;
        self.ask_in(
            cx,
            conn,
            Resync::Refused,
            delay.min(cx.config.resync_delay_max),
        );
        let was_told = std::mem::replace(&mut self.connection(conn).told_refused, true);
        if !was_told || planted::is(Bug::RefusalToldEachTime) {
            self.send(
                cx,
                conn,
                protocol::permission_denied(&reason.to_string()),
                out,
            );
        }
    }

    /// Ignores an update of one who may only read, and says so once.
    fn forbid_update(&mut self, cx: Context<'_>, conn: ConnId, out: &mut Effects) {
        marks::hit(Mark::UpdateForbidden);
        let doc = self.id.clone();
        out.push(Effect::Event(Event::UpdateForbidden { doc, conn }));
        if !std::mem::replace(&mut self.connection(conn).told_refused, true) {
            self.send(cx, conn, protocol::permission_denied(READ_ONLY), out);
        }
    }

    /// Has a connection asked for what is missing before what it sent.
    pub(super) fn ask_for_gap(&mut self, cx: Context<'_>, conn: ConnId) {
        if self.connection(conn).resync == Resync::None && !planted::is(Bug::GapNotAsked) {
            self.ask_in(cx, conn, Resync::Gap, cx.config.resync_delay);
        }
    }

    fn ask_in(&mut self, cx: Context<'_>, conn: ConnId, resync: Resync, delay: Duration) {
        let due = cx.now + delay;
        let connection = self.connection(conn);
        connection.resync = resync;
        connection.resync_at = due;
        self.timers.set_earlier(Timer::Resync, due);
    }

    pub(super) fn connection(&mut self, conn: ConnId) -> &mut Connection {
        self.connections
            .get_mut(&conn)
            .expect("input comes from connections that are open")
    }
}

/// Why an update is not taken of one who may only read.
const READ_ONLY: &str = "the token allows reading only; this change is not shared";

impl From<MessageError> for Fault {
    fn from(error: MessageError) -> Self {
        let message = match error {
            MessageError::Auth => MessageFault::Auth,
            MessageError::Malformed(_)
            | MessageError::UnknownType(_)
            | MessageError::UnknownSyncType(_) => MessageFault::Malformed,
        };
        Self::of_message(message, error.to_string())
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        let reason = format!("malformed update: {error}");
        Self::of_message(MessageFault::MalformedUpdate, reason)
    }
}

impl From<AwarenessError> for Fault {
    fn from(error: AwarenessError) -> Self {
        Self::of_message(MessageFault::MalformedAwareness, error.to_string())
    }
}
