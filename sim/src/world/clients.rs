//! What clients do.

use std::time::Duration;

use rand::RngExt;
use ysyncd_engine::{ConnId, Input};

use super::{Event, RENEWAL, World, network::Wire};
use crate::{
    client::{Link, update_frame},
    oracle::{Invariant, Violation},
    swarm::{between, millis},
};

impl World {
    pub(super) fn act(&mut self, at: usize) -> Result<(), Violation> {
        if self.clients[at].link == Link::Left {
            return Ok(());
        }
        let pause = between(&mut self.streams[at], &self.swarm.pause);
        self.after(pause, Event::Act(at));
        if self.clients[at].link == Link::Offline {
            // Some edits are made offline; then it comes back.
            let is_let = self.guests.include(self.clients[at].doc);
            if is_let && (self.healed || self.streams[at].random_bool(self.swarm.comeback)) {
                return self.connect(at);
            }
        } else if !self.healed && self.streams[at].random_bool(self.swarm.connection_loss) {
            self.lose(at);
        }
        if !self.healed {
            self.edit(at);
            if self.streams[at].random_bool(0.2) {
                self.announce(at);
            }
        }
        Ok(())
    }

    fn edit(&mut self, at: usize) {
        for update in self.clients[at].edit(&mut self.streams[at]) {
            self.note(format_args!("client {at} edits: {} bytes", update.len()));
            if let Link::Open(conn) = self.clients[at].link {
                self.send_up(conn, update_frame(&update));
            }
            self.log[self.clients[at].doc].push(update);
        }
    }

    pub(super) fn renew(&mut self, at: usize) -> Result<(), Violation> {
        if self.clients[at].link == Link::Left {
            return Ok(());
        }
        self.after(RENEWAL, Event::Renew(at));
        self.announce(at);
        self.check_keepalive(at)
    }

    fn announce(&mut self, at: usize) {
        let state = format!("{{\"at\":{}}}", self.now.as_millis());
        let frame = self.clients[at].announce(state);
        if let Link::Open(conn) = self.clients[at].link {
            self.send_up(conn, frame);
        }
    }

    pub(super) fn connect(&mut self, at: usize) -> Result<(), Violation> {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.note(format_args!("client {at} connects as {}", conn.0));
        self.clients[at].link = Link::Connecting(conn);
        self.wires.insert(conn, Wire::new(at, self.now));
        let doc = self.docs[self.clients[at].doc].clone();
        self.oracle.opened(conn, doc.clone());
        let grant = self.grant.clone();
        self.input(Input::Open { conn, doc, grant })
    }

    /// Cuts a client off. What it sent last may or may not arrive.
    pub(super) fn lose(&mut self, at: usize) {
        let (Link::Open(conn) | Link::Connecting(conn)) = self.clients[at].link else {
            return;
        };
        self.note(format_args!("client {at} loses connection {}", conn.0));
        let until = self.now + between(&mut self.network, &self.swarm.latency);
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        wire.client_open = false;
        wire.up_until = Some(until);
        let noticed = between(&mut self.network, &(millis(1)..millis(3_000)));
        self.after(until - self.now + noticed, Event::Gone(conn));
        self.clients[at].closed();
    }

    /// A client goes, and nobody will ever hear again what only it knew.
    pub(super) fn leave(&mut self, at: usize) {
        self.note(format_args!("client {at} goes for good"));
        self.lose(at);
        self.clients[at].link = Link::Left;
    }

    fn check_keepalive(&self, at: usize) -> Result<(), Violation> {
        let client = &self.clients[at];
        let slow = self.swarm.stall > 0.0 && !self.healed;
        let silent = self.now.saturating_sub(client.heard);
        match client.link {
            Link::Open(_) if !slow && silent > Duration::from_secs(31) => {
                let detail = format!("client {at} heard nothing for {silent:?}");
                Err(Invariant::Keepalive.violated(detail))
            }
            _ => Ok(()),
        }
    }
}
