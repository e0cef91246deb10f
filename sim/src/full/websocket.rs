//! The client's side of a WebSocket, strict about what a server may send. Not
//! the library that the server uses, so that the two do not share a mistake.

use std::{future::poll_fn, io, pin::Pin, rc::Rc, task::Poll, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use data_encoding::BASE64;
use rand::{RngExt, rngs::ChaCha8Rng};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tungstenite::handshake::derive_accept_key;
use turmoil::net::TcpStream;

use super::{narration, node, scene::Scene, timeline::Lane, traffic::Told, wire::Tapped};
use crate::oracle::{Invariant, Violation};

/// How long a client waits to be let in.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// How long a client listens to a server that has closed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Bytes that a client reads at once.
const READ_BYTES_MAX: usize = 4 << 10;

/// What a server may say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Binary(Bytes),
    Ping(Bytes),
    Pong(Bytes),
    Close(u16, String),
}

impl Frame {
    /// Why it closes the connection, if it does.
    pub(super) const fn close_code(&self) -> Option<u16> {
        match self {
            Self::Close(code, _) => Some(*code),
            _ => None,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    Late,
    #[error("refused with {0}")]
    Status(u16),
    #[error("{0}")]
    Wrong(Violation),
}

/// How a read or a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    Some,
    End,
}

pub(super) struct Socket {
    stream: Tapped<Told>,
    /// Where it reads to.
    room: Box<[u8]>,
    inbox: BytesMut,
    outbox: BytesMut,
    rng: ChaCha8Rng,
    fragment_bytes_max: usize,
    /// The server has closed: it may say nothing more.
    is_closed: bool,
}

/// Whom to connect to, and how.
#[derive(Debug, Clone)]
pub(super) struct Target<'a> {
    pub(super) node: usize,
    pub(super) doc: &'a str,
    pub(super) token: &'a str,
    pub(super) token_in_query: bool,
    pub(super) fragment_bytes_max: usize,
    /// A ping that does not wait for the request to be answered.
    pub(super) ping_ahead: Option<&'a [u8]>,
}

impl Socket {
    pub(super) async fn connect(
        scene: &Rc<Scene>,
        lane: Lane,
        target: &Target<'_>,
        rng: ChaCha8Rng,
    ) -> Result<Self, Refused> {
        let connected = timeout(HANDSHAKE, async {
            let host = format!("node{}", target.node);
            let stream = TcpStream::connect((host.as_str(), node::PORT)).await?;
            let way = (
                narration::lane_of(lane),
                narration::lane_of(Lane::Node(target.node)),
            );
            let stream = Told::connected(stream, way, false);
            let mut socket = Self {
                stream: Tapped::new(stream, Rc::clone(scene), lane),
                room: [0; READ_BYTES_MAX].into(),
                inbox: BytesMut::new(),
                outbox: BytesMut::new(),
                rng,
                fragment_bytes_max: target.fragment_bytes_max,
                is_closed: false,
            };
            socket.shake_hands(&host, target).await?;
            Ok(socket)
        });
        connected.await.unwrap_or(Err(Refused::Late))
    }

    async fn shake_hands(&mut self, host: &str, target: &Target<'_>) -> Result<(), Refused> {
        let key = BASE64.encode(&self.rng.random::<[u8; 16]>());
        let (query, authorization) = match target.token_in_query {
            true => (format!("?token={}", target.token), String::new()),
            false => {
                let header = format!("Authorization: Bearer {}\r\n", target.token);
                (String::new(), header)
            }
        };
        let request = format!(
            "GET /sync/v1/{}{query} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\
             {authorization}\r\n",
            target.doc
        );
        self.outbox.extend_from_slice(request.as_bytes());
        if let Some(payload) = target.ping_ahead {
            self.ping(payload);
        }
        let head = self.read_head().await?;
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let accept = format!(
            "sec-websocket-accept: {}",
            derive_accept_key(key.as_bytes())
        );
        match status {
            Some(101) if head.lines().any(|line| line == accept) => Ok(()),
            Some(status) if status != 101 => Err(Refused::Status(status)),
            _ => Err(Refused::Wrong(Invariant::Framing.violated(format_args!(
                "the handshake is answered with {head:?}"
            )))),
        }
    }

    async fn read_head(&mut self) -> Result<String, Refused> {
        loop {
            let end = self.inbox.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.inbox.split_to(end + 4);
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
            if self.pump(true).await? == Pumped::End {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Reads what there is, if asked to, and writes what can be written.
    /// Dropping the future loses nothing.
    pub(super) async fn pump(&mut self, reads: bool) -> io::Result<Pumped> {
        poll_fn(|cx| {
            let mut pumped = Poll::Pending;
            if !self.outbox.is_empty()
                && let Poll::Ready(written) =
                    Pin::new(&mut self.stream).poll_write(cx, &self.outbox)
            {
                self.outbox.advance(written?);
                pumped = Poll::Ready(Ok(Pumped::Some));
            }
            if reads {
                let mut buf = ReadBuf::new(&mut self.room);
                if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                    read?;
                    if buf.filled().is_empty() {
                        return Poll::Ready(Ok(Pumped::End));
                    }
                    self.inbox.extend_from_slice(buf.filled());
                    pumped = Poll::Ready(Ok(Pumped::Some));
                }
            }
            pumped
        })
        .await
    }

    /// The server has closed: says so, too, and sees that nothing follows.
    pub(super) async fn read_out(&mut self, code: u16) -> Result<(), Violation> {
        self.close(code);
        let read = async {
            loop {
                while self.next()?.is_some() {}
                match self.pump(true).await {
                    Ok(Pumped::Some) => {}
                    Ok(Pumped::End) | Err(_) => return Ok(()),
                }
            }
        };
        timeout(LAST_WORDS, read).await.unwrap_or(Ok(()))
    }

    /// The next frame, if all of it has come.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Violation> {
        let Some((opcode, payload)) = self.take_frame()? else {
            return Ok(None);
        };
        if self.is_closed {
            let detail = format_args!("opcode {opcode} after the close frame");
            return Err(Invariant::Order.violated(detail));
        }
        Ok(Some(match opcode {
            2 => Frame::Binary(payload),
            8 => {
                self.is_closed = true;
                let code = payload
                    .get(..2)
                    .map(|code| u16::from_be_bytes([code[0], code[1]]));
                let reason = payload.get(2..).unwrap_or_default();
                let reason = String::from_utf8_lossy(reason).into_owned();
                Frame::Close(code.unwrap_or(1005), reason)
            }
            9 => Frame::Ping(payload),
            10 => Frame::Pong(payload),
            _ => {
                let detail = format_args!("the server sends opcode {opcode}");
                return Err(Invariant::Framing.violated(detail));
            }
        }))
    }

    /// RFC 6455, section 5.2. A server's frames are whole here, and bare.
    fn take_frame(&mut self) -> Result<Option<(u8, Bytes)>, Violation> {
        let wrong = |detail: &str| Err(Invariant::Framing.violated(detail));
        let [first, second, rest @ ..] = &self.inbox[..] else {
            return Ok(None);
        };
        if first & 0xf0 != 0x80 {
            return wrong("a frame is a fragment or has reserved bits set");
        }
        if second & 0x80 != 0 {
            return wrong("a server's frame is masked");
        }
        let (header, len) = match (second, rest) {
            (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
            }
            (126 | 127, _) => return Ok(None),
            (len, _) => (2, u64::from(*len)),
        };
        if (header == 4 && len < 126) || (header == 10 && len < 1 << 16) {
            return wrong("a frame's length is not in its shortest form");
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if self.inbox.len() - header < len {
            return Ok(None);
        }
        let opcode = first & 0x0f;
        self.inbox.advance(header);
        Ok(Some((opcode, self.inbox.split_to(len).freeze())))
    }

    /// Bytes that the network has not taken yet.
    pub(super) fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// Queues a binary message, perhaps in fragments.
    pub(super) fn send(&mut self, message: &[u8]) {
        let largest = &self.stream.scene().largest_message;
        largest.set(largest.get().max(message.len()));
        let mut parts = message.chunks(self.fragment_bytes_max).peekable();
        let mut opcode = 2;
        if parts.peek().is_none() {
            self.push(0x82, message);
        }
        while let Some(part) = parts.next() {
            let fin = if parts.peek().is_none() { 0x80 } else { 0 };
            self.push(fin | opcode, part);
            opcode = 0;
        }
    }

    pub(super) fn ping(&mut self, payload: &[u8]) {
        self.push(0x89, payload);
    }

    pub(super) fn pong(&mut self, payload: &[u8]) {
        self.push(0x8a, payload);
    }

    pub(super) fn close(&mut self, code: u16) {
        self.push(0x88, &code.to_be_bytes());
    }

    /// Queues a frame with this first byte.
    pub(super) fn push(&mut self, first: u8, payload: &[u8]) {
        self.outbox.extend_from_slice(&[first]);
        match payload.len() {
            len @ ..=125 => self.outbox.extend_from_slice(&[0x80 | low(len)]),
            len @ ..=0xffff => {
                self.outbox
                    .extend_from_slice(&[0x80 | 126, low(len >> 8), low(len)]);
            }
            len => {
                self.outbox.extend_from_slice(&[0x80 | 127]);
                self.outbox.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        let mask = self.rng.random::<[u8; 4]>();
        self.outbox.extend_from_slice(&mask);
        let masked = payload.iter().zip(mask.iter().cycle());
        self.outbox.extend(masked.map(|(byte, mask)| byte ^ mask));
    }

    /// Queues bytes as they are.
    pub(super) fn push_raw(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }
}

fn low(number: usize) -> u8 {
    number.to_le_bytes()[0]
}
