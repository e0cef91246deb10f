//! One client's WebSocket, from its handshake to its end.

use std::{
    borrow::Cow,
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::yield_now,
    time::{Instant, Sleep, sleep_until},
};
use tracing::{debug, info};
use tungstenite::{
    Error, Message,
    error::{CapacityError, ProtocolError},
};
use ysyncd_engine::{
    CloseCode, MessageFault,
    marks::{self, Mark},
    planted::{self, Bug},
};

use crate::{
    Config,
    flush::Flush,
    http::Upgraded,
    link::Link,
    rate::{Excess, TooFast},
    unfinished::Budget,
    user_rate::UserTooFast,
    websocket::{Wait, WebSocket},
};

/// Messages that one connection may hand to the engine before the others get
/// their turn.
const MESSAGES_PER_TURN: usize = 64;

/// The same in bytes of messages, but for the last of them: a large one takes time
/// with its size, and the others wait for one of them only.
const BYTES_PER_TURN: usize = 64 << 10;

/// How often it is looked whether there is room for more of a message.
const ROOM_PAUSE: Duration = Duration::from_millis(100);

/// While a client leaves this much of our pongs unread, it is not read from.
const CONTROL_BYTES_MAX: usize = 1_024;

/// Codes of RFC 6455 that the engine has no use for.
mod code {
    pub(super) const PROTOCOL_ERROR: u16 = 1002;
    pub(super) const UNSUPPORTED: u16 = 1003;
    pub(super) const NO_STATUS: u16 = 1005;
    pub(super) const ABNORMAL: u16 = 1006;
    pub(super) const INVALID: u16 = 1007;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const TOO_BIG: u16 = 1009;
}

/// Serves an upgraded stream until it has ended.
///
/// Not an `async fn`, which would keep the room of its arguments for as long as
/// the connection lives.
pub(crate) fn run<S>(upgraded: Upgraded<S>, config: Rc<Config>) -> impl Future<Output = ()>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let connection = Rc::new(RefCell::new(Connection::new(upgraded, config)));
    let flush: Rc<RefCell<dyn Flush>> = connection.clone();
    connection
        .borrow()
        .link
        .mailbox()
        .belongs_to(Rc::downgrade(&flush));
    drop(flush);
    poll_fn(move |cx| connection.borrow_mut().poll(cx))
}

/// Reading and writing go on side by side: neither waits for the other. Its
/// task reads, minds the time, and sees to the end; what is written on an open
/// connection is written by [`Flush`], at the end of the shard's turn.
struct Connection<S> {
    socket: WebSocket<S>,
    link: Link,
    config: Rc<Config>,
    phase: Phase,
    timer: Pin<Box<Sleep>>,
    next_ping: Instant,
    /// Set while the client is slowed down: when to read from it again.
    read_at: Option<Instant>,
    /// Set while nothing is read for reasons that are not the client's: since
    /// when.
    held_since: Option<Instant>,
    /// What the message that comes has waited for at the last turn.
    waits_for: Option<Budget>,
    reported: Reported,
    ending: Option<Ending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// A close frame is queued. Reads on until the peer's arrives.
    Closing,
    /// A close frame is queued behind a fault that the reader cannot get
    /// over. Reads on without looking: closing a socket with unread bytes
    /// would reset it, and the peer might never see the close frame.
    Discarding {
        shut: bool,
    },
    /// The peer has closed, too. What is queued is all that is left to do.
    Flushing,
    Over,
}

/// What was told of the written messages so far.
#[derive(Debug, Default)]
struct Reported {
    messages: u64,
    bytes: u64,
}

/// How a connection came to its end.
#[derive(Debug)]
struct Ending {
    code: u16,
    reason: Cow<'static, str>,
    by_fault: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(upgraded: Upgraded<S>, config: Rc<Config>) -> Self {
        let Upgraded {
            stream,
            ahead,
            link,
        } = upgraded;
        link.shard().metrics().connection_opened();
        debug!(
            conn = link.conn().0,
            doc = link.doc().as_str(),
            user = link.user().as_str(),
            address = %link.address(),
            "connection open"
        );
        let message = link.shard().unfinished().share(link.user().clone());
        let now = Instant::now();
        let rate = link.shard().user_rates().of(link.user(), &config, now);
        let socket = WebSocket::new(stream, ahead, &config, (message, rate));
        let next_ping = now + config.ping_interval;
        let first_alarm = next_ping.min(now + config.silence_max);
        Self {
            socket,
            link,
            config,
            phase: Phase::Open,
            timer: Box::pin(sleep_until(first_alarm)),
            next_ping,
            read_at: None,
            held_since: None,
            waits_for: None,
            reported: Reported::default(),
            ending: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.mailbox().resume_panic();
        self.link.mailbox().register(cx);
        self.mind_hold();
        let start = Instant::now();
        if self.poll_incoming(cx) > 0 {
            self.socket.worked(start);
        }
        self.obey(cx);
        self.poll_outgoing(cx);
        self.poll_timer(cx);
        match self.phase {
            Phase::Over => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    /// Excuses a peer that is not read from, though it keeps within its limits:
    /// its silence, and the time that its message takes meanwhile. That it has
    /// gone shows when pings cannot be written: reading to find out would take
    /// in what is to wait in the kernel.
    fn mind_hold(&mut self) {
        if let Some(since) = self.held_since.take() {
            self.socket.excuse_silence();
            self.socket.put_off_message(Instant::now() - since);
        }
        if self.is_paused() {
            self.socket.excuse_silence();
            self.held_since = Some(Instant::now());
        }
    }

    /// Takes what has come, within one turn, and says how many messages that
    /// were. Nothing is read while the client does not read either.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> usize {
        self.read_at = None;
        let (mut messages, mut bytes) = (0, 0);
        while messages < MESSAGES_PER_TURN && bytes < BYTES_PER_TURN {
            match self.phase {
                Phase::Open if self.is_paused() => return messages,
                Phase::Open | Phase::Closing if self.is_choked() => {
                    marks::hit(Mark::ChokedReader);
                    return messages;
                }
                Phase::Open | Phase::Closing => {
                    match self.socket.poll_message(cx, &self.link) {
                        Poll::Pending => {
                            self.mind_wait(cx);
                            return messages;
                        }
                        Poll::Ready(Ok(message)) => {
                            (messages, bytes) = (messages + 1, bytes + message.len());
                            self.take(cx, message);
                        }
                        Poll::Ready(Err(error)) => self.fail(cx, &error),
                    }
                    self.obey(cx);
                }
                Phase::Discarding { .. } => {
                    if self.socket.poll_discard(cx, &self.link).is_ready() {
                        self.phase = Phase::Flushing;
                    }
                    return messages;
                }
                Phase::Flushing | Phase::Over => return messages,
            }
        }
        if messages == MESSAGES_PER_TURN || !planted::is(Bug::TurnOfBytesUnwoken) {
            wake_after_others(cx);
        }
        messages
    }

    /// Has the task woken when a client that was not read from may be again.
    fn mind_wait(&mut self, cx: &mut Context<'_>) {
        let wait = self.socket.wait().filter(|_| self.phase == Phase::Open);
        let waited_for = self.waits_for.take();
        match wait {
            Some(Wait::Pace(wait)) => self.mind_pace(cx, wait),
            Some(Wait::User(wait)) => self.mind_user(wait),
            Some(Wait::Room(budget)) => self.mind_room(budget, waited_for),
            None => self.mind_message(),
        }
    }

    /// Looks again soon whether there is room for more of the message. A user
    /// who is in its own way gets no more time for that: it could hold what it
    /// has for ever.
    fn mind_room(&mut self, budget: Budget, waited_for: Option<Budget>) {
        marks::hit(Mark::HeldForRoom);
        if waited_for != Some(budget) {
            self.link.shard().metrics().limits.held(budget);
        }
        self.waits_for = Some(budget);
        let now = Instant::now();
        if budget == Budget::All {
            self.held_since = Some(now);
        }
        self.read_again_at(now + ROOM_PAUSE);
    }

    /// Has the task woken when the message that comes has taken too long.
    fn mind_message(&mut self) {
        if self.socket.message_begun().is_some() && self.timer.deadline() > self.next_alarm() {
            let next = self.next_alarm();
            self.timer.as_mut().reset(next);
        }
    }

    /// Waits for a client that sends too fast, and closes one that goes on for
    /// too long.
    fn mind_pace(&mut self, cx: &mut Context<'_>, wait: TooFast) {
        let limits = &self.link.shard().metrics().limits;
        if wait.lasting >= self.config.slowed_max {
            marks::hit(Mark::CutForRate);
            limits.cut(wait.excess);
            let reason = self.too_fast(wait.excess);
            self.fault(cx, code::POLICY, reason);
            self.phase = Phase::Discarding { shut: false };
            return;
        }
        if wait.lasting.is_zero() {
            marks::hit(Mark::SlowedDown);
            limits.slowed(wait.excess);
            let (conn, excess) = (self.link.conn().0, wait.excess.name());
            debug!(conn, excess, "client sends too fast, it is slowed down");
        }
        let cut_at = Instant::now() + (self.config.slowed_max - wait.lasting);
        self.read_again_at(wait.until.min(cut_at));
    }

    /// Waits for a user whose connections send too fast together.
    fn mind_user(&mut self, wait: UserTooFast) {
        if wait.begins {
            marks::hit(Mark::UserSlowedDown);
            let shard = self.link.shard();
            shard.metrics().limits.user_slowed(wait.excess);
            shard.events().user_slowed(self.link.user(), wait.excess);
        }
        self.read_again_at(wait.until);
    }

    fn read_again_at(&mut self, at: Instant) {
        // What was not read cannot be missed.
        if !planted::is(Bug::SlowedTakenForSilent) {
            self.socket.excuse_silence();
        }
        self.read_at = Some(at);
        let next = self.next_alarm();
        self.timer.as_mut().reset(next);
    }

    fn too_fast(&self, excess: Excess) -> String {
        let per_second = match excess {
            Excess::Bytes => self.config.inbound_bytes_per_second,
            Excess::Messages => self.config.inbound_messages_per_second,
            Excess::Time => None,
        };
        format!(
            "sends too fast: more than {} {} a second for {} seconds",
            per_second.unwrap_or_default(),
            excess.name(),
            self.config.slowed_max.as_secs_f64()
        )
    }

    fn take(&mut self, cx: &mut Context<'_>, message: Message) {
        if self.phase != Phase::Open {
            return;
        }
        match message {
            Message::Binary(bytes) => {
                let metrics = self.link.shard().metrics();
                metrics.messages_received.inc();
                metrics.bytes_received.inc_by(bytes.len() as u64);
                self.link.received(bytes);
                let repeated = self.link.take_repeated();
                if repeated > 0 {
                    self.socket.forgive(repeated);
                }
            }
            Message::Text(_) => {
                self.fault(cx, code::UNSUPPORTED, "only binary messages are understood");
            }
            Message::Close(frame) => {
                let code = frame.map_or(code::NO_STATUS, |frame| frame.code.into());
                self.end(code, "closed by the client", false);
                self.close_by(Phase::Closing);
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }

    /// Ends a connection whose stream or framing has failed.
    fn fail(&mut self, cx: &mut Context<'_>, error: &Error) {
        if self.phase != Phase::Open {
            self.phase = Phase::Flushing;
            return;
        }
        let (code, reason) = match error {
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Io(_)
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                return self.lose();
            }
            // As Caddy ends the streams of its clients when it is reloaded.
            Error::Protocol(ProtocolError::UnmaskedFrameFromClient)
                if self.socket.has_closed_unmasked() =>
            {
                return self.lose();
            }
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                // The engine never sees it.
                let limits = &self.link.shard().metrics().limits;
                limits.message_refused(MessageFault::TooBig);
                (code::TOO_BIG, "the message is too big")
            }
            Error::Utf8(_) => (code::INVALID, "the text is not UTF-8"),
            _ => (code::PROTOCOL_ERROR, "the WebSocket framing is broken"),
        };
        marks::hit_if(Mark::BrokenFraming, || code == code::PROTOCOL_ERROR);
        self.fault(cx, code, reason);
        self.phase = Phase::Discarding { shut: false };
    }

    /// Ends a connection whose peer is gone: there is nobody to say anything to.
    fn lose(&mut self) {
        self.end(code::ABNORMAL, "lost", false);
        self.phase = Phase::Over;
    }

    /// Closes because of what the client did.
    fn fault(&mut self, cx: &mut Context<'_>, code: u16, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        self.send_close(cx, code, &reason);
        self.end(code, reason, true);
    }

    /// Carries out the engine's order to close, if there is one.
    fn obey(&mut self, cx: &mut Context<'_>) {
        if let Some(order) = self.link.mailbox().take_close()
            && self.phase == Phase::Open
        {
            let code = order.code.number();
            let is_ours = matches!(order.code, CloseCode::GoingAway | CloseCode::InternalError);
            let by_fault = !is_ours;
            self.send_close(cx, code, &order.reason);
            self.end(code, order.reason, by_fault);
        }
    }

    fn send_close(&mut self, cx: &mut Context<'_>, code: u16, reason: &str) {
        marks::hit_if(Mark::CloseBehindQueue, || {
            !self.link.mailbox().outgoing().is_empty()
        });
        match self.socket.close(cx, &self.link, code, reason) {
            Ok(()) => self.close_by(Phase::Closing),
            Err(_) => self.phase = Phase::Over,
        }
    }

    /// Goes on in a phase of closing, which must not take for ever.
    fn close_by(&mut self, phase: Phase) {
        self.phase = phase;
        self.timer
            .as_mut()
            .reset(Instant::now() + self.config.close_timeout);
    }

    /// Notes how the connection ends, the first time, and tells the engine.
    fn end(&mut self, code: u16, reason: impl Into<Cow<'static, str>>, by_fault: bool) {
        if self.ending.is_none() {
            self.ending = Some(Ending {
                code,
                reason: reason.into(),
                by_fault,
            });
            self.link.closed();
        }
    }

    /// Has what is queued written at the end of the turn. A connection that
    /// closes writes it here, as the shard may have ended its last turn.
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) {
        if self.phase == Phase::Over {
            return;
        }
        if !self.link.mailbox().outgoing().is_empty() {
            if self.phase == Phase::Open || planted::is(Bug::ClosingLeftToOthers) {
                return self.link.flush_soon();
            }
            if self.poll_flush(cx).is_pending() {
                return;
            }
        }
        match self.phase {
            Phase::Flushing => self.phase = Phase::Over,
            Phase::Discarding { shut: false } => {
                let shut = self.socket.poll_shutdown(cx).is_ready();
                self.phase = Phase::Discarding { shut };
            }
            _ => {}
        }
    }

    /// Writes what is queued. If that leaves something else for the task to
    /// do, it is woken.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let was_choked = self.is_choked();
        let flushed = self.socket.poll_flush(cx, &self.link);
        self.report();
        if let Poll::Ready(Err(_)) = flushed {
            self.end(code::ABNORMAL, "lost", false);
            self.phase = Phase::Over;
        }
        let may_read_again = was_choked && !self.is_choked() && !planted::is(Bug::ChokedForEver);
        if may_read_again || self.phase == Phase::Over {
            cx.waker().wake_by_ref();
        }
        flushed.map(|_| ())
    }

    /// Tells the engine and the metrics what has been written.
    fn report(&mut self) {
        let (messages, bytes) = {
            let outgoing = self.link.mailbox().outgoing();
            (
                outgoing.messages_written(),
                outgoing.payload_bytes_written(),
            )
        };
        if bytes != self.reported.bytes && !planted::is(Bug::WrittenUntold) {
            self.link.written(bytes);
        }
        let metrics = self.link.shard().metrics();
        metrics
            .messages_sent
            .inc_by(messages - self.reported.messages);
        metrics.bytes_sent.inc_by(bytes - self.reported.bytes);
        self.reported = Reported { messages, bytes };
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        while self.phase != Phase::Over && self.timer.as_mut().poll(cx).is_ready() {
            self.alarm(cx, Instant::now());
        }
    }

    /// Does what is due: a ping, or the end of a connection that is silent or
    /// takes too long to close.
    fn alarm(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.phase != Phase::Open {
            self.phase = Phase::Over;
        } else if now >= self.silent_at() {
            marks::hit(Mark::CutForSilence);
            self.link.shard().metrics().limits.silent.inc();
            self.end(code::ABNORMAL, "silent for too long", false);
            self.phase = Phase::Over;
        } else if self.message_late_at().is_some_and(|late_at| now >= late_at) {
            marks::hit(Mark::MessageLate);
            self.link.shard().metrics().limits.messages_late.inc();
            self.fault(cx, code::POLICY, "a message took too long to come");
            self.phase = Phase::Discarding { shut: false };
            cx.waker().wake_by_ref();
        } else {
            if now >= self.next_ping {
                self.next_ping = now + self.config.ping_interval;
                self.ping(cx);
            }
            let next = self.next_alarm();
            self.timer.as_mut().reset(next);
        }
    }

    /// When an open connection is to be looked at next, whatever comes.
    fn next_alarm(&self) -> Instant {
        let next = self.next_ping.min(self.silent_at());
        let others = [self.read_at, self.message_late_at()];
        others.into_iter().flatten().fold(next, Instant::min)
    }

    /// When the client has been silent for too long, if nothing comes.
    fn silent_at(&self) -> Instant {
        match planted::is(Bug::SilenceIgnored) {
            true => Instant::now() + self.config.silence_max,
            false => self.socket.heard() + self.config.silence_max,
        }
    }

    /// When the message that comes has taken too long.
    fn message_late_at(&self) -> Option<Instant> {
        if planted::is(Bug::MessageUntimed) {
            return None;
        }
        Some(self.socket.message_begun()? + self.config.message_timeout)
    }

    /// Queues a ping, unless the last one has not even left.
    fn ping(&mut self, cx: &mut Context<'_>) {
        if self.link.mailbox().outgoing().control_bytes() == 0 {
            // It fails only on a closed WebSocket, and this one is open.
            let _ = self.socket.ping(cx, &self.link);
            self.link.flush_soon();
        }
    }

    fn is_paused(&self) -> bool {
        self.link.mailbox().is_paused() && !planted::is(Bug::PauseIgnored)
    }

    fn is_choked(&self) -> bool {
        self.link.mailbox().outgoing().control_bytes() > CONTROL_BYTES_MAX
    }
}

/// Has a task woken after all that are ready now, and after it was looked who else has
/// something to say: one that wakes itself keeps the others' sockets from being looked
/// at.
fn wake_after_others(cx: &mut Context<'_>) {
    let mut turn = pin!(yield_now());
    let is_over = turn.as_mut().poll(cx).is_ready();
    debug_assert!(!is_over, "it wakes the task later");
}

impl<S: AsyncRead + AsyncWrite + Unpin> Flush for Connection<S> {
    fn flush(&mut self, cx: &mut Context<'_>) {
        if self.phase == Phase::Open {
            let flushed = self.poll_flush(cx);
            marks::hit_if(Mark::FlushPending, || flushed.is_pending());
        }
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        let Ending {
            code,
            reason,
            by_fault,
        } = self.ending.take().unwrap_or(Ending {
            code: code::ABNORMAL,
            reason: "the server let go of it".into(),
            by_fault: false,
        });
        let (conn, doc, user) = (self.link.conn().0, self.link.doc(), self.link.user());
        self.link.shard().metrics().connection_closed(code);
        let (doc, user, address) = (doc.as_str(), user.as_str(), self.link.address());
        let events = self.link.shard().events();
        match by_fault.then(|| events.fault_is_due()).flatten() {
            Some(untold) => info!(
                conn, doc, user, %address, code, %reason, untold,
                "connection closed for a fault (told ten times a minute)"
            ),
            None => debug!(conn, doc, user, %address, code, %reason, by_fault, "connection closed"),
        }
    }
}
