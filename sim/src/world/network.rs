//! Frames on their way.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use rand::RngExt;
use ysyncd_engine::{ConnId, Input, Refusal};

use super::{Event, World, not_understood};
use crate::{
    oracle::Violation,
    swarm::{between, millis},
};

/// One connection, as the network sees it.
pub(super) struct Wire {
    client: usize,
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
    written: u64,
    /// Why the server did not let it in.
    pub(super) refusal: Option<Refusal>,
}

impl Wire {
    pub(super) const fn new(client: usize, now: Duration) -> Self {
        Self {
            client,
            client_open: true,
            up_free: now,
            down_free: now,
            up_until: None,
            inbox: VecDeque::new(),
            may_read: None,
            written: 0,
            refusal: None,
        }
    }
}

#[derive(Debug)]
pub(super) enum Down {
    Accepted,
    Frame(Bytes),
    Closed,
}

impl World {
    pub(super) fn send_up(&mut self, conn: ConnId, frame: Bytes) {
        let latency = self.latency();
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        wire.up_free = wire.up_free.max(self.now + latency);
        let delay = wire.up_free - self.now;
        self.after(delay, Event::AtServer(conn, frame));
    }

    pub(super) fn send_down(&mut self, conn: ConnId, down: Down) {
        let latency = self.latency();
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        wire.down_free = wire.down_free.max(self.now + latency);
        let delay = wire.down_free - self.now;
        self.after(delay, Event::AtClient(conn, down));
    }

    fn latency(&mut self) -> Duration {
        match !self.healed && self.network.random_bool(self.swarm.stall) {
            true => between(&mut self.network, &(millis(100)..millis(5_000))),
            false => between(&mut self.network, &self.swarm.latency),
        }
    }

    pub(super) fn at_server(&mut self, conn: ConnId, frame: Bytes) -> Result<(), Violation> {
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        if wire.up_until.is_some_and(|until| until < self.now) {
            return Ok(());
        }
        wire.inbox.push_back(frame);
        self.read(conn)
    }

    /// Hands in what has arrived, as far as the engine wants it.
    pub(super) fn read(&mut self, conn: ConnId) -> Result<(), Violation> {
        loop {
            let wire = self.wires.get_mut(&conn).expect("wires stay");
            if wire.may_read == Some(0) {
                return Ok(());
            }
            let Some(bytes) = wire.inbox.pop_front() else {
                return Ok(());
            };
            wire.may_read = wire.may_read.map(|frames| frames - 1);
            self.input(Input::Received { conn, bytes })?;
        }
    }

    /// The engine wants no more of a connection; something may have been read
    /// already.
    pub(super) fn pause(&mut self, conn: ConnId) {
        let frames = self.network.random_range(0..=1);
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        wire.may_read = Some(frames);
    }

    pub(super) fn resume(&mut self, conn: ConnId) {
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        wire.may_read = None;
        self.after(Duration::ZERO, Event::Read(conn));
    }

    pub(super) fn gone(&mut self, conn: ConnId) -> Result<(), Violation> {
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        wire.inbox.clear();
        self.oracle.closed(conn);
        self.input(Input::Closed { conn })
    }

    pub(super) fn arrive(&mut self, conn: ConnId, down: Down) -> Result<(), Violation> {
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        if !wire.client_open {
            return Ok(());
        }
        let at = wire.client;
        match down {
            Down::Accepted => {
                for frame in self.clients[at].opened(conn, self.now) {
                    self.send_up(conn, frame);
                }
                Ok(())
            }
            Down::Closed => {
                wire.client_open = false;
                self.clients[at].closed();
                Ok(())
            }
            Down::Frame(frame) => {
                wire.written += frame.len() as u64;
                let total_bytes = wire.written;
                let answers = self.clients[at].receive(self.now, &frame);
                for answer in answers.map_err(not_understood)? {
                    self.send_up(conn, answer);
                }
                self.input(Input::Written { conn, total_bytes })
            }
        }
    }
}
