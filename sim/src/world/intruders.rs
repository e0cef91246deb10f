//! Clients that send what they must not.

use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, rngs::ChaCha8Rng, seq::IndexedRandom};
use ysyncd_engine::{
    CloseCode, ConnId, DocId, Input,
    auth::{Grant, UserId},
    lib0::{write_var_bytes, write_var_uint},
    protocol,
    state_vector::StateVector,
};

use super::{
    Event, Place, World, client_id,
    network::{Down, End},
};
use crate::{
    hostile::{bad_frame, much_presence, oversized_frame, wild_frame},
    oracle::{INTRUDER, Invariant, Violation},
    swarm::{Purpose, millis, stream},
};

/// The document that intruders have for themselves. No model client would
/// survive what is said there.
const OWN: &str = "intruders";

/// Somebody who sends what it must not.
pub(super) struct Intruder {
    rng: ChaCha8Rng,
    /// What is too large is drawn from this.
    sizes: ChaCha8Rng,
    conn: Option<ConnId>,
    doc: DocId,
    is_in: bool,
    /// It has just been told the whole document.
    has_asked: bool,
}

impl Intruder {
    pub(super) fn new(seed: u64, at: usize) -> Self {
        Self {
            rng: stream(seed, Purpose::Intruder(at)),
            sizes: stream(seed, Purpose::Oversized(at)),
            conn: None,
            doc: DocId::new(OWN).expect("it is a name"),
            is_in: false,
            has_asked: false,
        }
    }

    /// Its connection is gone, if it is one of those.
    pub(super) fn lose(&mut self, is_lost: impl FnOnce(ConnId) -> bool) {
        if self.conn.is_some_and(is_lost) {
            (self.conn, self.is_in) = (None, false);
        }
    }
}

impl World {
    /// An intruder does the next thing; in the end it goes.
    pub(super) fn intrude(&mut self, at: usize) -> Result<(), Violation> {
        if self.healed {
            return self.leave_as_intruder(at);
        }
        // Who has been told everything asks again soon, as who reloads a page does.
        let asks_again = std::mem::take(&mut self.intruders[at].has_asked)
            && self.intruders[at].rng.random_bool(0.7);
        let longest = if asks_again { 400 } else { 1_500 };
        let pause = millis(self.intruders[at].rng.random_range(20..longest));
        self.after(pause, Event::Intrude(at));
        let Some(conn) = self.intruders[at].conn else {
            self.come_as_intruder(at);
            return Ok(());
        };
        let node = &self.nodes[self.wires[conn].node];
        let is_reached = node.frozen_until.max(node.held_until) <= self.now;
        if !self.intruders[at].is_in || !is_reached || self.wire(conn).is_paused() {
            return Ok(());
        }
        let doc = self.intruders[at].doc.clone();
        let is_own = doc.as_str() == OWN;
        if asks_again {
            return self.ask_for_all(at, conn);
        }
        let rng = &mut self.intruders[at].rng;
        match rng.random_range(0..17) {
            13.. => self.steal_presence(at, conn),
            0 => self.leave_as_intruder(at),
            1 => self.ask_for_all(at, conn),
            2 => {
                let frame = any_state_vector(rng, &self.docs, &doc);
                self.say_as_intruder(conn, frame)
            }
            3 => self.say_as_intruder(conn, Bytes::from_static(&[3])),
            10.. => {
                let frame = somebody_is_gone(rng, &self.docs, &doc);
                self.say_as_intruder(conn, frame)
            }
            4..8 if is_own => {
                let frame = wild_frame(rng);
                self.say_as_intruder(conn, frame)
            }
            _ => self.say_something_bad(at, conn),
        }
    }

    fn come_as_intruder(&mut self, at: usize) {
        let intruder = &mut self.intruders[at];
        let doc = intruder.rng.random_range(0..self.docs.len() * 2);
        intruder.doc = match self.docs.get(doc) {
            Some(doc) => doc.clone(),
            None => DocId::new(OWN).expect("it is a name"),
        };
        let node = intruder.rng.random_range(0..self.nodes.len());
        let conn = self.new_wire(End::Intruder(at), node);
        self.intruders[at].conn = Some(conn);
        let doc = self.intruders[at].doc.clone();
        if let Some(narration) = &mut self.narration {
            narration.connects(self.now, conn, Place::Elsewhere, node, doc);
        }
        self.after(Duration::ZERO, Event::Open(conn));
    }

    pub(super) fn open_as_intruder(&mut self, conn: ConnId, at: usize) -> Result<(), Violation> {
        let node = self.wires[conn].node;
        let doc = self.intruders[at].doc.clone();
        let user = UserId::new(INTRUDER).expect("it is a name");
        let grant = Grant::unlimited(user);
        self.input(node, Input::Open { conn, doc, grant })
    }

    fn leave_as_intruder(&mut self, at: usize) -> Result<(), Violation> {
        let Some(conn) = self.intruders[at].conn.take() else {
            return Ok(());
        };
        self.intruders[at].is_in = false;
        self.wire(conn).client_open = false;
        self.after(Duration::ZERO, Event::Gone(conn));
        Ok(())
    }

    /// Says that it knows nothing.
    fn ask_for_all(&mut self, at: usize, conn: ConnId) -> Result<(), Violation> {
        self.intruders[at].has_asked = true;
        self.say_as_intruder(conn, protocol::sync_step_1(&StateVector::default()))
    }

    fn say_as_intruder(&mut self, conn: ConnId, bytes: Bytes) -> Result<(), Violation> {
        let node = self.wires[conn].node;
        if let Some(narration) = &mut self.narration {
            narration.sends(self.now, conn, &bytes);
            narration.arrives(self.now, conn, false);
        }
        self.input(node, Input::Received { conn, bytes })
    }

    /// Says what it is closed for, at once.
    fn say_something_bad(&mut self, at: usize, conn: ConnId) -> Result<(), Violation> {
        let node = self.wires[conn].node;
        let limits = &self.swarm.engine;
        let intruder = &mut self.intruders[at];
        let is_own = intruder.doc.as_str() == OWN;
        let mut bad = bad_frame(
            &mut intruder.rng,
            limits.awareness_state_bytes_max,
            is_own,
            at,
        );
        if intruder.sizes.random_bool(0.2) {
            bad = oversized_frame(&mut intruder.sizes, limits);
        } else if is_own && intruder.sizes.random_bool(0.2) {
            bad = much_presence(limits.awareness_state_bytes_max, at);
        }
        self.note(
            Place::Elsewhere,
            format_args!("intruder {at}: {}", bad.name),
        );
        let life = self.life(node);
        // It may have been closed before, and not have heard of it yet.
        let before = self.nodes[node].watch.close_code(conn);
        self.say_as_intruder(conn, bad.frame)?;
        if before.is_some() || !self.is_current(life) {
            return Ok(());
        }
        let code = self.nodes[node].watch.close_code(conn);
        // What panics closes it, too.
        let has_failed = self.swarm.panics && code == Some(CloseCode::InternalError);
        Invariant::BadInput.holds(code == bad.code || has_failed, || {
            format!("{}: {code:?} and not {:?}", bad.name, bad.code)
        })
    }

    /// Says something of somebody who is connected to the same node, or to another.
    fn steal_presence(&mut self, at: usize, conn: ConnId) -> Result<(), Violation> {
        let node = self.wires[conn].node;
        let intruder = &mut self.intruders[at];
        let victims = self.nodes[node].watch.spoken_for(&intruder.doc);
        let Some((client, clock)) = victims.choose(&mut intruder.rng).copied() else {
            return Ok(());
        };
        let mut message = Vec::new();
        let clock = clock + intruder.rng.random_range(1..9);
        let states: &[&[u8]] = match intruder.rng.random_bool(0.5) {
            true => &[b"{}"],
            false => &[b"{}", b"null"],
        };
        write_var_uint(&mut message, states.len() as u64);
        for state in states {
            write_var_uint(&mut message, client);
            write_var_uint(&mut message, clock);
            write_var_bytes(&mut message, state);
        }
        self.say_as_intruder(conn, protocol::awareness(&message))
    }

    pub(super) fn arrive_at_intruder(
        &mut self,
        conn: ConnId,
        down: &Down,
    ) -> Result<(), Violation> {
        let End::Intruder(at) = self.wire(conn).end else {
            unreachable!("clients are asked elsewhere");
        };
        match down {
            Down::Accepted => self.intruders[at].is_in = true,
            Down::Frame(frame) => return self.is_written(conn, frame.len()),
            Down::Closed => {
                self.wire(conn).client_open = false;
                self.intruders[at].lose(|own| own == conn);
            }
        }
        Ok(())
    }
}

/// Says of somebody else that it is gone, at a time that may be to come. Nobody is
/// to believe that.
fn somebody_is_gone(rng: &mut ChaCha8Rng, docs: &[DocId], doc: &DocId) -> Bytes {
    let at = docs.iter().position(|other| other == doc).unwrap_or(0);
    let clocks = [1, 5, 20, 1_000, u64::from(u32::MAX), (1 << 53) - 1];
    let mut message = Vec::new();
    write_var_uint(&mut message, 1);
    write_var_uint(&mut message, client_id(at, rng.random_range(0..3)));
    write_var_uint(&mut message, *clocks.choose(rng).expect("not empty"));
    write_var_bytes(&mut message, b"null");
    protocol::awareness(&message)
}

/// What a client would say that knows some of what others have written, be it
/// half a character.
fn any_state_vector(rng: &mut ChaCha8Rng, docs: &[DocId], doc: &DocId) -> Bytes {
    let at = docs.iter().position(|other| other == doc).unwrap_or(0);
    let mut vector = Vec::new();
    write_var_uint(&mut vector, 3);
    for client in 0..3 {
        write_var_uint(&mut vector, client_id(at, client));
        write_var_uint(&mut vector, rng.random_range(0..60));
    }
    let vector = StateVector::decode(&vector);
    protocol::sync_step_1(&vector.expect("it was just written"))
}
