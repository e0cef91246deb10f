//! Frames on their way.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use ysyncd_engine::{ConnId, Input};

use super::{Event, World, not_understood};
use crate::{
    oracle::Violation,
    swarm::{between, millis},
};

/// One connection, as the network sees it.
pub(super) struct Wire {
    pub(super) client: usize,
    /// The client's end is open.
    pub(super) client_open: bool,
    /// Frames do not overtake each other.
    pub(super) up_free: Duration,
    pub(super) down_free: Duration,
    /// The connection is lost: what arrives later does not arrive.
    pub(super) up_until: Option<Duration>,
    pub(super) written: u64,
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
