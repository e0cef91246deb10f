//! What clients do.

use std::time::Duration;

use rand::RngExt;
use ysyncd_engine::{
    ConnId, Input,
    auth::{Access, Grant, UserId},
    protocol,
};

use super::{
    Event, Place, RENEWAL, World,
    network::{End, Wire},
};
use crate::{
    client::Link,
    oracle::{Invariant, Violation},
    swarm::{Habit, between, millis},
};

/// How long a client stays away at most once everything has healed.
const COMEBACK: Duration = Duration::from_secs(1);

impl World {
    pub(super) fn act(&mut self, at: usize) -> Result<(), Violation> {
        if self.clients[at].link == Link::Left {
            return Ok(());
        }
        let pause = match self.healed {
            // It only comes back.
            true => COMEBACK,
            false => between(&mut self.streams[at], &self.swarm.pause),
        };
        self.after(pause, Event::Act(at));
        if self.clients[at].link == Link::Offline {
            // Some edits are made offline; then it comes back.
            let by_chance = self.swarm.backoff.is_none();
            if self.healed || by_chance && self.streams[at].random_bool(self.swarm.comeback) {
                return self.connect_if_let(at);
            }
        } else if !self.healed && self.streams[at].random_bool(self.swarm.connection_loss) {
            self.lose(at);
        }
        if !self.healed {
            self.edit(at);
            self.gossip(at);
            match self.streams[at].random_range(0..40) {
                0..8 => {
                    let state = format!("{{\"at\":{}}}", self.now.as_millis());
                    self.announce(at, Some(state));
                }
                8 => self.ask(at),
                _ => {}
            }
        }
        Ok(())
    }

    fn edit(&mut self, at: usize) {
        if self.clients[at].habit == Habit::Reader {
            self.forge(at);
            return;
        }
        if let Some(update) = self.clients[at].edit(&mut self.streams[at]) {
            self.note(
                Place::Client(at),
                format_args!("edits: {} bytes", update.len()),
            );
            if let Link::Open(conn) = self.clients[at].link
                && let Some(frame) = self.clients[at].tell(&update, &mut self.streams[at])
            {
                self.send_up(conn, frame);
            }
            self.log[self.clients[at].doc].push(update);
        }
    }

    /// Who may only read sends an edit now and then, which it does not make.
    fn forge(&mut self, at: usize) {
        let rng = &mut self.streams[at];
        if let Link::Open(conn) = self.clients[at].link
            && rng.random_bool(0.3)
            && let Some(update) = self.clients[at].forged(rng)
        {
            let text = format_args!("forges an edit: {} bytes", update.len());
            self.note(Place::Client(at), text);
            self.send_up(conn, protocol::update(&update));
        }
    }

    /// Sometimes clients hear of each other on other ways, too.
    fn gossip(&mut self, at: usize) {
        let doc = self.clients[at].doc;
        for other in 0..self.clients.len() {
            // A reader could tell nobody what it knows from elsewhere.
            let is_reader = self.clients[other].habit == Habit::Reader;
            let is_told = other != at && self.clients[other].doc == doc && !is_reader;
            if is_told && self.network.random_bool(self.swarm.gossip) {
                let latency = between(&mut self.network, &self.swarm.latency);
                self.after(latency, Event::Gossip(at, other));
            }
        }
    }

    pub(super) fn renew(&mut self, at: usize) -> Result<(), Violation> {
        if self.clients[at].link == Link::Left {
            return Ok(());
        }
        self.after(RENEWAL, Event::Renew(at));
        self.announce(at, None);
        self.check_keepalive(at)
    }

    /// A client asks for what it does not know.
    fn ask(&mut self, at: usize) {
        if let Link::Open(conn) = self.clients[at].link {
            let frame = self.clients[at].ask();
            self.send_up(conn, frame);
        }
    }

    /// A client says that it is there, or also what is new of it.
    fn announce(&mut self, at: usize, state: Option<String>) {
        if self.clients[at].habit == Habit::Shy {
            return;
        }
        let frame = self.clients[at].announce(state);
        if let Link::Open(conn) = self.clients[at].link {
            self.send_up(conn, frame);
        }
    }

    /// A client that is offline comes back, if it may.
    pub(super) fn connect_if_let(&mut self, at: usize) -> Result<(), Violation> {
        let client = &self.clients[at];
        let is_let = self.guests.include(client.doc) && client.link == Link::Offline;
        if is_let {
            let node = self.choose_node(at);
            self.connect(at, node);
        }
        Ok(())
    }

    /// Where a client connects to. In the end all are on one node: others would
    /// learn of its changes only when they write or load.
    fn choose_node(&mut self, at: usize) -> usize {
        let visitor = self.swarm.clients.get(at);
        let home = visitor.map_or(0, |visitor| visitor.node.min(self.nodes.len() - 1));
        match self.swarm.roaming && !self.healed {
            _ if self.guests.are_together() => 0,
            true => self.streams[at].random_range(0..self.nodes.len()),
            false => home,
        }
    }

    pub(super) fn connect(&mut self, at: usize, node: usize) {
        let conn = self.new_wire(End::Client(at), node);
        let text = format_args!("connects to node {node} as {}", conn.0);
        self.note(Place::Client(at), text);
        let doc = self.docs[self.clients[at].doc].clone();
        if let Some(narration) = &mut self.narration {
            narration.connects(self.now, conn, Place::Client(at), node, doc);
        }
        self.clients[at].link = Link::Connecting(conn);
        self.after(Duration::ZERO, Event::Open(conn));
    }

    pub(super) fn new_wire(&mut self, end: End, node: usize) -> ConnId {
        self.wires.add(Wire::new(end, node, self.now))
    }

    /// A request to be let in arrives. Two clients in a row are tabs of one
    /// user.
    pub(super) fn open(&mut self, conn: ConnId) -> Result<(), Violation> {
        let (now, is_open) = (self.now, self.wire(conn).client_open);
        if let Some(narration) = &mut self.narration {
            narration.arrives(now, conn, !is_open);
        }
        if !is_open {
            return Ok(());
        }
        let wire = self.wire(conn);
        wire.is_known = true;
        let (node, end) = (wire.node, wire.end);
        let (doc, user) = match end {
            End::Client(at) => (self.clients[at].doc, format!("user {}", at / 2)),
            End::Intruder(at) => return self.open_as_intruder(conn, at),
        };
        let doc = self.docs[doc].clone();
        let user = UserId::new(&user).expect("it is a name");
        let is_reader = matches!(end, End::Client(at) if self.clients[at].habit == Habit::Reader);
        let access = match is_reader {
            true => Access::Read,
            false => Access::Write,
        };
        let lasts = self.swarm.token_lasts.clone().filter(|_| !self.healed);
        let until = lasts.map(|lasts| now + between(&mut self.network, &lasts));
        let grant = Grant {
            user,
            access,
            until,
        };
        self.input(node, Input::Open { conn, doc, grant })
    }

    /// Cuts a client off. What it sent last may or may not arrive.
    pub(super) fn lose(&mut self, at: usize) {
        let (Link::Open(conn) | Link::Connecting(conn)) = self.clients[at].link else {
            return;
        };
        self.note(
            Place::Client(at),
            format_args!("loses connection {}", conn.0),
        );
        let until = self.now + between(&mut self.network, &self.swarm.latency);
        let wire = self.wire(conn);
        wire.client_open = false;
        wire.up_until = Some(until);
        let noticed = between(&mut self.network, &(millis(1)..millis(3_000)));
        self.after(until - self.now + noticed, Event::Gone(conn));
        self.part(at);
    }

    /// A client's connection is gone. It comes back after a while, if that is not
    /// left to chance.
    pub(super) fn part(&mut self, at: usize) {
        self.clients[at].closed();
        if let Some(pauses) = self.swarm.backoff.clone() {
            let doubled = 2_u32.saturating_pow(self.clients[at].in_vain);
            let pause = pauses.start.saturating_mul(doubled).min(pauses.end);
            let pause = between(&mut self.comebacks, &(pause / 2..pause));
            self.after(pause, Event::ComeBack(at));
        }
    }

    /// A client goes, and nobody will ever hear again what only it knew.
    pub(super) fn leave(&mut self, at: usize) {
        self.note(Place::Client(at), "goes for good");
        if let Link::Open(conn) = self.clients[at].link
            && self.clients[at].habit != Habit::Shy
        {
            let frame = self.clients[at].goodbye();
            self.send_up(conn, frame);
        }
        self.lose(at);
        self.clients[at].link = Link::Left;
    }

    fn check_keepalive(&self, at: usize) -> Result<(), Violation> {
        let client = &self.clients[at];
        let node = |conn: &ConnId| &self.nodes[self.wires[*conn].node];
        let is_held = |conn| node(conn).held_until.max(node(conn).frozen_until) > client.heard;
        let slow = self.swarm.stall > 0.0 && !self.healed;
        let silent = self.now.saturating_sub(client.heard);
        match client.link {
            Link::Open(conn) if !slow && !is_held(&conn) && silent > Duration::from_secs(31) => {
                let detail = format!("client {at} heard nothing for {silent:?}");
                Err(Invariant::Keepalive.violated(detail))
            }
            _ => Ok(()),
        }
    }
}
