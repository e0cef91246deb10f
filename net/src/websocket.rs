//! The WebSocket framing of one stream.
//!
//! Reading is tungstenite's, which also answers pings and keeps the rules of
//! closing. Writing is ours ([`Outgoing`](crate::outgoing::Outgoing)): what
//! tungstenite wants to say goes into the same queue as the engine's
//! messages, so that a shared message is never copied into a connection's own
//! buffer, which would stay as large as the largest message for ever.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use tungstenite::{
    Error, Message,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext, frame::coding::CloseCode},
};
use ysyncd_engine::{
    marks::{self, Mark},
    planted::{self, Bug},
};

use crate::{
    Config,
    link::Link,
    rate::{FrameCounter, Throttle, TooFast},
    unfinished::{Budget, Share},
    user_rate::{UserRate, UserTooFast},
};

/// Allocated for every connection, so it is small. Reads from the socket are
/// larger than this: they go through the shard's scratch room.
const READ_BUFFER_BYTES: usize = 256;

/// A message of at least this size is not left to its connection's buffer.
const LARGE_BYTES: usize = 16 << 10;

/// One stream that speaks WebSocket.
pub(crate) struct WebSocket<S> {
    stream: S,
    context: WebSocketContext,
    /// Read from the stream, not yet taken by the context.
    ahead: Bytes,
    heard: Instant,
    pace: Pace,
    config: Rc<Config>,
    /// Keeps the last large message until the context has read on. Without
    /// it the context would find itself the only owner of the allocation,
    /// reclaim it as its buffer, and hold it as long as the connection lives.
    large: Option<Bytes>,
}

/// What a read has to wait for, other than the peer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wait {
    /// The peer sends too fast.
    Pace(TooFast),
    /// All connections of its user together do.
    User(UserTooFast),
    /// Too many messages have come in part.
    Room(Budget),
}

/// How fast the peer sends, and how much of a message is here.
struct Pace {
    throttle: Throttle,
    user: Option<Arc<UserRate>>,
    frames: FrameCounter,
    message: Share,
    /// Set where a read would have come too early.
    wait: Option<Wait>,
}

impl Pace {
    fn count(&mut self, bytes: &[u8], now: Instant) {
        let frames = self.frames.count(bytes);
        self.throttle.took(bytes.len(), frames, now);
        if let Some(user) = &self.user {
            user.took(bytes.len(), frames, now);
        }
        let has_ended = self.frames.take_ended();
        self.message.is(self.frames.unfinished(), has_ended, now);
    }

    fn forgive(&mut self, messages: u64) {
        self.throttle.forgive(messages);
        if let Some(user) = &self.user {
            user.forgive(messages);
        }
    }

    fn wait(&mut self, config: &Config) -> Option<Wait> {
        let too_fast = self.throttle.wait(Instant::now).map(Wait::Pace);
        let of_user = || Some(Wait::User(self.user.as_ref()?.wait(Instant::now)?));
        let room = || self.message.waits_for(config).map(Wait::Room);
        too_fast.or_else(of_user).or_else(room)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Takes a stream behind its handshake, with what was read of it already.
    pub(crate) fn new(
        stream: S,
        ahead: Bytes,
        limits: &Rc<Config>,
        (message, user): (Share, Option<Arc<UserRate>>),
    ) -> Self {
        let message_bytes_max = limits.engine.frame_bytes_max;
        let mut pace = Pace {
            throttle: Throttle::new(limits, Instant::now()),
            user,
            frames: FrameCounter::default(),
            message,
            wait: None,
        };
        pace.count(&ahead, Instant::now());
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        Self {
            stream,
            context: WebSocketContext::new(Role::Server, Some(config)),
            ahead,
            heard: Instant::now(),
            pace,
            config: Rc::clone(limits),
            large: None,
        }
    }

    /// So many of the messages that it has given were mere repetitions of what the
    /// peer was told: they do not count as sent too fast.
    pub(crate) fn forgive(&mut self, messages: u64) {
        self.pace.forgive(messages);
    }

    /// The next message. Answers to pings and close frames are queued on the
    /// way. After an error, nothing may be read but by
    /// [`WebSocket::poll_discard`].
    pub(crate) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
        link: &Link,
    ) -> Poll<Result<Message, Error>> {
        let (context, mut io) = self.split(cx, link);
        let message = match context.read(&mut io) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            message => Poll::Ready(message),
        };
        self.large = match &message {
            Poll::Ready(Ok(Message::Binary(bytes))) if bytes.len() >= LARGE_BYTES => {
                Some(bytes.clone())
            }
            _ => None,
        };
        message
    }

    /// Counts time that went into what was read.
    pub(crate) fn worked(&self, since: Instant) {
        if let Some(user) = &self.pace.user {
            let now = Instant::now();
            user.worked(now - since, now);
        }
    }

    /// What the last read has to wait for. `None` if only for the peer.
    pub(crate) fn wait(&self) -> Option<Wait> {
        self.pace.wait
    }

    /// Whether the peer has closed with a frame that is not masked, which the next
    /// read, or the last one, takes for a fault.
    pub(crate) fn has_closed_unmasked(&self) -> bool {
        self.pace.frames.has_closed_unmasked()
    }

    /// Reads and forgets until the peer has nothing more to say.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<()> {
        self.ahead = Bytes::new();
        loop {
            let mut scratch = link.shard().scratch();
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// Queues a ping.
    pub(crate) fn ping(&mut self, cx: &mut Context<'_>, link: &Link) -> Result<(), Error> {
        let (context, mut io) = self.split(cx, link);
        context.write(&mut io, Message::Ping(Bytes::new()))
    }

    /// Queues a close frame, behind everything that is queued now.
    pub(crate) fn close(
        &mut self,
        cx: &mut Context<'_>,
        link: &Link,
        code: u16,
        reason: &str,
    ) -> Result<(), Error> {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        let (context, mut io) = self.split(cx, link);
        // An answer to a ping that was read last is kept for the next call, which would
        // write it behind the close frame. What fails here fails there.
        if !planted::is(Bug::PongBehindClose) {
            let _ = context.flush(&mut io);
        }
        context.close(&mut io, Some(frame))
    }

    /// Writes until the queue is empty or the stream takes no more.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<io::Result<()>> {
        loop {
            let mut outgoing = link.mailbox().outgoing();
            if outgoing.is_empty() {
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
            let mut scratch = link.shard().scratch();
            let next = outgoing.next_write(&mut scratch);
            let offered = next.len();
            let mut written = ready!(Pin::new(&mut self.stream).poll_write(cx, next))?;
            marks::hit_if(Mark::PartialWrite, || written < offered);
            if planted::is(Bug::PartialWriteLost) {
                written = offered;
            }
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            outgoing.advance(written);
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Lets the peer's silence begin now: until now it was not listened to.
    pub(crate) fn excuse_silence(&mut self) {
        self.heard = Instant::now();
    }

    /// Gives the message that is not whole yet so much more time.
    pub(crate) fn put_off_message(&mut self, by: Duration) {
        self.pace.message.put_off(by);
    }

    /// Since when a message comes, if one has begun to.
    pub(crate) fn message_begun(&self) -> Option<Instant> {
        self.pace.message.begun()
    }

    /// When something last came from the peer.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    fn split<'a, 'cx>(
        &'a mut self,
        cx: &'a mut Context<'cx>,
        link: &'a Link,
    ) -> (&'a mut WebSocketContext, Io<'a, 'cx, S>) {
        let io = Io {
            stream: &mut self.stream,
            ahead: &mut self.ahead,
            heard: &mut self.heard,
            pace: &mut self.pace,
            config: &self.config,
            cx,
            link,
        };
        (&mut self.context, io)
    }
}

/// What tungstenite takes for its socket during one call.
struct Io<'a, 'cx, S> {
    stream: &'a mut S,
    ahead: &'a mut Bytes,
    heard: &'a mut Instant,
    pace: &'a mut Pace,
    config: &'a Config,
    cx: &'a mut Context<'cx>,
    link: &'a Link,
}

impl<S: AsyncRead + Unpin> Read for Io<'_, '_, S> {
    /// Takes from what was read ahead, else from the socket, as much as there
    /// is: tungstenite alone would read in steps of its own small buffer.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            self.pace.wait = self.pace.wait(self.config);
            if self.pace.wait.is_some() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let mut scratch = self.link.shard().scratch();
            let mut read = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *self.stream).poll_read(self.cx, &mut read) {
                Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
                Poll::Ready(result) => result?,
            }
            *self.heard = Instant::now();
            self.pace.count(read.filled(), *self.heard);
            let (now, later) = read.filled().split_at(read.filled().len().min(buf.len()));
            buf[..now.len()].copy_from_slice(now);
            marks::hit_if(Mark::ReadAhead, || !later.is_empty());
            if !planted::is(Bug::MessageCutShort) {
                *self.ahead = Bytes::copy_from_slice(later);
            }
            return Ok(now.len());
        }
        let len = self.ahead.len().min(buf.len());
        self.ahead.copy_to_slice(&mut buf[..len]);
        if self.ahead.is_empty() {
            *self.ahead = Bytes::new();
        }
        Ok(len)
    }
}

impl<S> Write for Io<'_, '_, S> {
    fn write(&mut self, framed: &[u8]) -> io::Result<usize> {
        let framed = Bytes::copy_from_slice(framed);
        let len = framed.len();
        self.link.mailbox().outgoing().push_control(framed);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
