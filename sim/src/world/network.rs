//! Frames on their way.

use std::{
    collections::VecDeque,
    ops::{Index, IndexMut},
    time::Duration,
};

use bytes::Bytes;
use rand::RngExt;
use ysyncd_engine::{ConnId, Input, Refusal};

use super::{Event, World, not_understood};
use crate::{
    oracle::Violation,
    swarm::{between, millis},
};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Client(usize),
    Intruder(usize),
}

/// One connection, as the network sees it.
pub(super) struct Wire {
    pub(super) end: End,
    pub(super) node: usize,
    /// The server knows of it.
    pub(super) is_known: bool,
    /// The client's end is open.
    pub(super) client_open: bool,
    /// Frames do not overtake each other.
    up_free: Duration,
    down_free: Duration,
    /// The connection is lost: what arrives later does not arrive.
    pub(super) up_until: Option<Duration>,
    /// Frames that have arrived at the server and wait to be read.
    inbox: VecDeque<Bytes>,
    /// How many of them may still be read, if not all.
    may_read: Option<usize>,
    /// Bytes of frames on their way to the client or there, and of those that
    /// have arrived.
    sent: u64,
    arrived: u64,
    written: u64,
    /// Why the server did not let it in.
    pub(super) refusal: Option<Refusal>,
}

/// All connections that there ever were, by their numbers.
#[derive(Default)]
pub(super) struct Wires(Vec<Wire>);

impl Wires {
    /// Adds one, and gives it the next number.
    pub(super) fn add(&mut self, wire: Wire) -> ConnId {
        self.0.push(wire);
        ConnId(self.0.len() as u64 - 1)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Wire> {
        self.0.iter_mut()
    }
}

impl Index<ConnId> for Wires {
    type Output = Wire;

    fn index(&self, conn: ConnId) -> &Wire {
        &self.0[place(conn)]
    }
}

impl IndexMut<ConnId> for Wires {
    fn index_mut(&mut self, conn: ConnId) -> &mut Wire {
        &mut self.0[place(conn)]
    }
}

fn place(conn: ConnId) -> usize {
    usize::try_from(conn.0).expect("numbers of connections are places")
}

impl Wire {
    pub(super) const fn new(end: End, node: usize, now: Duration) -> Self {
        Self {
            end,
            node,
            is_known: false,
            client_open: true,
            up_free: now,
            down_free: now,
            up_until: None,
            inbox: VecDeque::new(),
            may_read: None,
            sent: 0,
            arrived: 0,
            written: 0,
            refusal: None,
        }
    }

    /// Whether the server does not read from it.
    pub(super) const fn is_paused(&self) -> bool {
        self.may_read.is_some()
    }
}

#[derive(Debug)]
pub(super) enum Down {
    Accepted,
    Frame(Bytes),
    Closed,
}

impl World {
    pub(super) fn wire(&mut self, conn: ConnId) -> &mut Wire {
        &mut self.wires[conn]
    }

    pub(super) fn send_up(&mut self, conn: ConnId, frame: Bytes) {
        if let Some(narration) = &mut self.narration {
            narration.sends(self.now, conn, &frame);
        }
        let latency = self.latency();
        let (now, wire) = (self.now, self.wire(conn));
        wire.up_free = wire.up_free.max(now + latency);
        let delay = wire.up_free - now;
        self.after(delay, Event::AtServer(conn, frame));
    }

    pub(super) fn send_down(&mut self, conn: ConnId, down: Down) {
        if let Some(narration) = &mut self.narration {
            narration.says(self.now, conn, &down);
        }
        let latency = self.latency();
        let (now, wire) = (self.now, self.wire(conn));
        wire.down_free = wire.down_free.max(now + latency);
        if let Down::Frame(frame) = &down {
            self.drip(conn, frame.len() as u64);
        }
        let delay = self.wire(conn).down_free - now;
        self.after(delay, Event::AtClient(conn, down));
    }

    /// A frame leaves the server bit by bit, perhaps, unless much is on its way
    /// already.
    fn drip(&mut self, conn: ConnId, bytes: u64) {
        let soon = self.now + millis(2_000);
        let wire = self.wire(conn);
        let before = wire.sent;
        wire.sent += bytes;
        let has_much = wire.down_free > soon;
        if self.healed || has_much || !self.transports.random_bool(self.swarm.drips) {
            return;
        }
        let parts = self.transports.random_range(2..=32);
        let pause = between(&mut self.transports, &(millis(20)..millis(400)));
        for part in 1..parts {
            let wire = self.wire(conn);
            wire.down_free += pause;
            let delay = wire.down_free - self.now;
            let total = before + bytes * part / parts;
            self.after(delay, Event::Leaves(conn, total));
        }
        self.wire(conn).down_free += pause;
    }

    /// Time that a frame takes.
    fn latency(&mut self) -> Duration {
        match !self.healed && self.network.random_bool(self.swarm.stall) {
            true => between(&mut self.network, &(millis(100)..millis(5_000))),
            false => between(&mut self.network, &self.swarm.latency),
        }
    }

    pub(super) fn at_server(&mut self, conn: ConnId, frame: Bytes) -> Result<(), Violation> {
        let (now, wire) = (self.now, self.wire(conn));
        let is_lost = wire.up_until.is_some_and(|until| until < now);
        if let Some(narration) = &mut self.narration {
            narration.arrives(now, conn, is_lost);
        }
        if is_lost {
            return Ok(());
        }
        let wire = self.wire(conn);
        wire.inbox.push_back(frame);
        self.read(conn)
    }

    /// Hands in what has arrived, as far as the engine wants it.
    pub(super) fn read(&mut self, conn: ConnId) -> Result<(), Violation> {
        loop {
            let wire = self.wire(conn);
            if wire.may_read == Some(0) {
                return Ok(());
            }
            let Some(bytes) = wire.inbox.pop_front() else {
                return Ok(());
            };
            wire.may_read = wire.may_read.map(|frames| frames - 1);
            let node = wire.node;
            self.input(node, Input::Received { conn, bytes })?;
        }
    }

    /// The engine wants no more of a connection; something may have been read
    /// already.
    pub(super) fn pause(&mut self, conn: ConnId) {
        let frames = self.network.random_range(0..=1);
        let wire = self.wire(conn);
        wire.may_read = Some(frames);
    }

    pub(super) fn resume(&mut self, conn: ConnId) {
        let wire = self.wire(conn);
        wire.may_read = None;
        self.after(Duration::ZERO, Event::Read(conn));
    }

    pub(super) fn gone(&mut self, conn: ConnId) -> Result<(), Violation> {
        let wire = self.wire(conn);
        wire.inbox.clear();
        let node = wire.node;
        if !wire.is_known {
            return Ok(());
        }
        let lingers = between(&mut self.transports, &(Duration::ZERO..self.swarm.lingers));
        self.after(lingers, Event::Freed(conn));
        self.input(node, Input::Closed { conn })
    }

    pub(super) fn freed(&mut self, conn: ConnId) -> Result<(), Violation> {
        let node = self.wire(conn).node;
        self.input(node, Input::Freed { conn })
    }

    pub(super) fn arrive(&mut self, conn: ConnId, down: Down) -> Result<(), Violation> {
        let (now, is_open) = (self.now, self.wire(conn).client_open);
        if let Some(narration) = &mut self.narration {
            narration.is_heard(now, conn, !is_open);
        }
        if !is_open {
            return Ok(());
        }
        let wire = self.wire(conn);
        let End::Client(at) = wire.end else {
            return self.arrive_at_intruder(conn, &down);
        };
        match down {
            Down::Accepted => {
                for frame in self.clients[at].opened(conn, self.now) {
                    self.send_up(conn, frame);
                }
                Ok(())
            }
            Down::Closed => {
                wire.client_open = false;
                self.part(at);
                Ok(())
            }
            Down::Frame(frame) => {
                let answers = self.clients[at].receive(self.now, &frame);
                for answer in answers.map_err(not_understood)? {
                    self.send_up(conn, answer);
                }
                self.is_written(conn, frame.len())
            }
        }
    }

    /// The server learns that a frame has been written.
    pub(super) fn is_written(&mut self, conn: ConnId, bytes: usize) -> Result<(), Violation> {
        let wire = self.wire(conn);
        wire.arrived += bytes as u64;
        let total = wire.arrived;
        self.leaves(conn, total)
    }

    /// The server learns how much has been written in all.
    pub(super) fn leaves(&mut self, conn: ConnId, total_bytes: u64) -> Result<(), Violation> {
        let wire = self.wire(conn);
        let is_more = total_bytes > wire.written;
        if !is_more || !wire.client_open {
            return Ok(());
        }
        wire.written = total_bytes;
        let node = wire.node;
        self.input(node, Input::Written { conn, total_bytes })
    }
}
