//! What goes over connections, as arrows of a story. Nothing is watched if no
//! story is told.
//!
//! Both ends of a connection tell what they write and how much they have read:
//! a message leaves when the last of its bytes is written, arrives when that is
//! read, and is lost if the reader goes before.

mod reader;
mod words;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

use self::{
    reader::Reader,
    words::{Asked, Said},
};
use super::narration;
use crate::story::{ArrowId, LaneId, Storyteller};

/// A stream that tells what goes over it.
#[derive(Debug)]
pub(super) struct Told {
    stream: TcpStream,
    end: End,
}

/// One end of a connection. The address of who has connected names it.
#[derive(Debug)]
struct End {
    client: Option<SocketAddr>,
    side: Side,
}

/// Where an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Where somebody has connected.
    Client,
    /// Where it was accepted.
    Server,
}

impl Told {
    /// The end of who has connected, from one lane to another.
    pub(super) fn connected(stream: TcpStream, way: (LaneId, LaneId), to_store: bool) -> Self {
        let client = stream.local_addr().ok();
        narration::tell(|narration| {
            if let Some(client) = client {
                narration.traffic.open(client, way, to_store);
            }
        });
        let side = Side::Client;
        let end = End { client, side };
        Self { stream, end }
    }

    /// The end of who has accepted.
    pub(super) fn accepted(stream: TcpStream) -> Self {
        let client = stream.peer_addr().ok();
        let side = Side::Server;
        let end = End { client, side };
        Self { stream, end }
    }

    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)
    }
}

impl End {
    fn tell(&self, what: impl FnOnce(&mut Connection, Side, Duration, &mut Storyteller)) {
        narration::tell(|narration| {
            let client = self.client.as_ref();
            let connections = &mut narration.traffic.connections;
            if let Some(connection) = client.and_then(|client| connections.get_mut(client)) {
                what(connection, self.side, narration.now, &mut narration.teller);
            }
        });
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.tell(Connection::ends);
    }
}

impl AsyncRead for Told {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.end
            .tell(|connection, side, now, teller| connection.reads(side, now, teller, read));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Told {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        let bytes = &buf[..written];
        self.end
            .tell(|connection, side, now, teller| connection.writes(side, now, teller, bytes));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    connections: BTreeMap<SocketAddr, Connection>,
}

#[derive(Debug)]
struct Connection {
    /// From who has connected to who has accepted.
    way: (LaneId, LaneId),
    /// Whether it is the bucket that has accepted.
    to_store: bool,
    asked: Asked,
    up: Pipe,
    down: Pipe,
}

/// What goes one way.
#[derive(Debug, Default)]
struct Pipe {
    reader: Reader,
    written: usize,
    read: usize,
    /// What is on its way, and where in all that is written it ends.
    under_way: VecDeque<(usize, ArrowId)>,
}

impl Traffic {
    fn open(&mut self, client: SocketAddr, way: (LaneId, LaneId), to_store: bool) {
        let connection = Connection {
            way,
            to_store,
            asked: Asked::default(),
            up: Pipe::default(),
            down: Pipe::default(),
        };
        self.connections.insert(client, connection);
    }
}

impl Connection {
    fn writes(&mut self, side: Side, now: Duration, teller: &mut Storyteller, bytes: &[u8]) {
        let pipe = self.pipe(side);
        pipe.written += bytes.len();
        pipe.reader.push(bytes);
        while let Some(message) = self.pipe(side).reader.next() {
            let arrow = self.leaves(side, now, teller, &message);
            let pipe = self.pipe(side);
            let end = pipe.written - pipe.reader.left();
            pipe.under_way.push_back((end, arrow));
        }
    }

    fn reads(&mut self, side: Side, now: Duration, teller: &mut Storyteller, bytes: usize) {
        let pipe = self.pipe(side.other());
        pipe.read += bytes;
        while let Some((_, arrow)) = pipe.under_way.pop_front_if(|(end, _)| *end <= pipe.read) {
            teller.arrives(now, arrow);
        }
    }

    /// One side goes. Nothing reaches it any more, and what it has said in part
    /// is said in vain.
    fn ends(&mut self, side: Side, now: Duration, teller: &mut Storyteller) {
        for (_, arrow) in self.pipe(side.other()).under_way.drain(..) {
            teller.is_lost(now, arrow);
        }
        if let Some(rest) = self.pipe(side).reader.rest() {
            let arrow = self.leaves(side, now, teller, &rest);
            teller.is_lost(now, arrow);
        }
    }

    fn leaves(
        &mut self,
        side: Side,
        now: Duration,
        teller: &mut Storyteller,
        message: &reader::Message,
    ) -> ArrowId {
        let (
            Said {
                kind,
                what,
                is_failure,
            },
            way,
        ) = match side {
            Side::Client => (words::up(message, &mut self.asked), self.way),
            Side::Server => {
                let (client, server) = self.way;
                let said = words::down(message, &self.asked, self.to_store);
                (said, (server, client))
            }
        };
        let arrow = teller.leaves(now, way, kind, what);
        if let Some(document) = &self.asked.document {
            teller.about(arrow, document.as_str());
        }
        if is_failure {
            teller.failed(arrow);
        }
        arrow
    }

    /// What a side writes to.
    const fn pipe(&mut self, side: Side) -> &mut Pipe {
        match side {
            Side::Client => &mut self.up,
            Side::Server => &mut self.down,
        }
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}
