//! A node: what goes into its engine, what becomes of what comes out, and how
//! one engine follows another.

use std::time::Duration;

use ysyncd_engine::{Checked, ConnId, DocId, Engine, Event as EngineEvent, Input, Now, Output};

use super::{Event, Place, World, bus::configuration, network::Down};
use crate::{
    client::Link,
    journal::Journal,
    oracle::{Invariant, Violation, Watch},
    swarm::{Swarm, millis},
    tape::Tape,
    trace::{Hash, Recording},
};

/// Of the time that the engine's own checks take. They look at all there is,
/// which takes longer than all the rest: they are made after as many inputs as
/// there are times so many bytes, and after each one when a run is looked at.
const BYTES_PER_INPUT: usize = 10;

/// One server, whatever engine it runs.
pub(super) struct Node {
    pub(super) engine: Engine,
    /// Counts its engines.
    pub(super) life: u64,
    pub(super) watch: Watch,
    pub(super) journal: Journal,
    /// Answers of the journal do not overtake each other.
    pub(super) journal_free: Duration,
    /// It does nothing until then.
    pub(super) frozen_until: Duration,
    /// Frames between it and its clients do not arrive until then.
    pub(super) held_until: Duration,
    /// It does not reach the store until then.
    pub(super) cut_off_until: Duration,
    pub(super) drained: Option<Drained>,
    /// When its engine wants to be told that time has passed: it says so after
    /// each input, and is asked more often.
    due: Option<Duration>,
    /// How many inputs the engine got since it was last checked.
    unchecked: usize,
    checked: Checked,
    tape: Option<(Tape, Hash)>,
}

/// One engine of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life {
    pub(super) node: usize,
    life: u64,
}

/// What a shutdown ended with.
#[derive(Debug)]
pub(super) struct Drained {
    pub(super) unsaved: Vec<DocId>,
    pub(super) journaled: Vec<DocId>,
}

impl Node {
    pub(super) fn new(seed: u64, at: usize, swarm: &Swarm) -> Self {
        let engine = Engine::new(configuration(swarm, at, 0), engine_seed(seed, at, 0));
        Self {
            due: engine.poll_timeout(),
            engine,
            life: 0,
            watch: watch(swarm, at, 0),
            journal: Journal::new(seed, at),
            journal_free: Duration::ZERO,
            frozen_until: Duration::ZERO,
            held_until: Duration::ZERO,
            cut_off_until: Duration::ZERO,
            drained: None,
            unchecked: 0,
            checked: Checked::default(),
            tape: None,
        }
    }

    /// When its engine is to be told that time has passed.
    pub(super) fn next_tick(&self, now: Duration) -> Option<Duration> {
        Some(self.due?.max(now).max(self.frozen_until))
    }

    pub(super) fn into_tape(self) -> Option<Tape> {
        self.tape.map(finish)
    }
}

impl World {
    pub(super) fn life(&self, node: usize) -> Life {
        let life = self.nodes[node].life;
        Life { node, life }
    }

    /// Whether an engine is still there to be told.
    pub(super) fn is_current(&self, life: Life) -> bool {
        self.life(life.node) == life
    }

    pub(super) fn tick(&mut self, node: usize) -> Result<(), Violation> {
        self.input(node, Input::Tick)?;
        let next = self.nodes[node].due;
        Invariant::NoSpin.holds(next.is_none_or(|due| due > self.now), || {
            "a tick is due again at once".to_owned()
        })
    }

    pub(super) fn input(&mut self, at: usize, input: Input) -> Result<(), Violation> {
        self.trace.input(self.now, at, &input);
        self.driven = at;
        let tape = self.tape_of(at);
        let now = self.now;
        let node = &mut self.nodes[at];
        if let (Some(tape), Some((recorded, _))) = (tape, &mut node.tape) {
            debug_assert!(tape);
            recorded.inputs.push((now, input.clone()));
        }
        node.watch.input(now, &input);
        node.engine.handle(Now { mono: now }, input);
        while let Some(output) = self.nodes[at].engine.poll_output() {
            self.trace.output(now, at, &output);
            let node = &mut self.nodes[at];
            if let Some((_, hash)) = &mut node.tape {
                hash.of(&output);
            }
            node.watch.output(now, &output)?;
            self.output(at, output)?;
        }
        let node = &mut self.nodes[at];
        node.due = node.engine.poll_timeout();
        let status = || node.engine.status(Now { mono: now });
        node.watch.settled(now, status)?;
        for (doc, ids) in self.nodes[at].watch.take_taken() {
            self.ledgers.taken(at, now, &doc, ids);
        }
        self.check(at);
        match self.nodes[at].drained {
            // It takes no further input.
            Some(_) if !self.is_ending => self.restart(at),
            _ => Ok(()),
        }
    }

    /// Starts a tape if there should be one.
    fn tape_of(&mut self, at: usize) -> Option<bool> {
        if self.recording != Recording::Tapes {
            return None;
        }
        let node = &mut self.nodes[at];
        if node.tape.is_none() {
            let seed = engine_seed(self.seed, at, node.life);
            let config = configuration(&self.swarm, at, node.life);
            let tape = Tape::new(&config, seed);
            node.tape = Some((tape, Hash::default()));
        }
        Some(true)
    }

    fn check(&mut self, at: usize) {
        let is_looked_at = self.trace.is_printed();
        let now = Now { mono: self.now };
        let node = &mut self.nodes[at];
        node.unchecked += 1;
        let is_due = node.unchecked.is_multiple_of(8)
            && node.engine.status(now).documents_bytes <= node.unchecked * BYTES_PER_INPUT;
        if is_due || is_looked_at {
            node.engine.check_changed(&mut node.checked);
            node.unchecked = 0;
        }
    }

    fn output(&mut self, at: usize, output: Output) -> Result<(), Violation> {
        match output {
            Output::Accept { conn } => self.send_down(conn, Down::Accepted),
            Output::Refuse { conn, reason } => {
                self.wire(conn).refusal = Some(reason);
                self.send_down(conn, Down::Closed);
            }
            Output::Send { conns, frame } => {
                for conn in conns {
                    self.send_down(conn, Down::Frame(frame.clone()));
                }
            }
            Output::Close { conn, .. } => {
                self.send_down(conn, Down::Closed);
                self.after(millis(1), Event::Gone(conn));
            }
            Output::Store { op, command } => {
                self.ask_store(at, op, command);
            }
            Output::Journal { op, command } => {
                let life = self.life(at);
                if let Some(narration) = &mut self.narration {
                    narration.asks_journal(self.now, life, op, &command);
                }
                self.nodes[at].journal.submit(op, command);
                self.start_batch(at);
            }
            Output::Bus(command) => self.ask_bus(at, command),
            Output::Pause { conn } => self.pause(conn),
            Output::Resume { conn } => self.resume(conn),
            Output::Repeated { .. } => {}
            Output::Event(event) => {
                if let EngineEvent::DocumentFailed { doc, .. } = &event {
                    self.ledgers.failed(at, doc);
                }
                if let EngineEvent::SnapshotAdopted {
                    doc,
                    etag,
                    is_whole,
                } = &event
                    && let Some((here, _)) = self.nodes[at].watch.holds(doc)
                {
                    self.ledgers.adopted(doc, etag, here, *is_whole)?;
                }
                if let Some(narration) = &mut self.narration {
                    narration.event(self.now, at, &event);
                }
            }
            Output::Drained { unsaved, journaled } => {
                self.nodes[at].drained = Some(Drained { unsaved, journaled });
            }
        }
        Ok(())
    }

    /// The engine of a node is gone, and its connections with it. The next one
    /// finds what is stored and what the journal has.
    pub(super) fn restart(&mut self, at: usize) -> Result<(), Violation> {
        self.note(Place::Node(at), "the engine ends, and another one starts");
        let node = &mut self.nodes[at];
        node.life += 1;
        let seed = engine_seed(self.seed, at, node.life);
        let life = node.life;
        node.engine = Engine::new(configuration(&self.swarm, at, life), seed);
        node.due = node.engine.poll_timeout();
        let watch = std::mem::replace(&mut node.watch, watch(&self.swarm, at, life));
        self.tapes.extend(node.tape.take().map(finish));
        (node.drained, node.unchecked) = (None, 0);
        node.checked = Checked::default();
        node.journal.crash();
        self.lose_all(at);
        let journals: Vec<_> = self.nodes.iter().map(|node| &node.journal).collect();
        self.ledgers.survive(&watch, &journals)?;
        if !self.swarm.engine.journal {
            let since = self.loss_window();
            self.ledgers.lose_window(at, since)?;
        }
        self.damage_records(at);
        self.connect_bus(at);
        let docs: Vec<_> = self.nodes[at].journal.documents().cloned().collect();
        match docs.is_empty() {
            true => Ok(()),
            false => self.input(at, Input::JournalHolds { docs }),
        }
    }

    /// All connections of a node are gone.
    fn lose_all(&mut self, at: usize) {
        let wires = &self.wires;
        let is_of_node = |conn: &ConnId| wires[*conn].node == at;
        self.queue.retain(|event| match event {
            Event::AtServer(conn, _)
            | Event::Read(conn)
            | Event::Leaves(conn, _)
            | Event::Gone(conn)
            | Event::Freed(conn)
            | Event::Open(conn) => !is_of_node(conn),
            _ => true,
        });
        for wire in self.wires.iter_mut().filter(|wire| wire.node == at) {
            wire.client_open = false;
        }
        for client in 0..self.clients.len() {
            if let Link::Open(conn) | Link::Connecting(conn) = self.clients[client].link
                && self.wires[conn].node == at
            {
                self.part(client);
            }
        }
        for intruder in &mut self.intruders {
            intruder.lose(|conn| self.wires[conn].node == at);
        }
    }

    /// In some worlds one document's records are damaged while the server is
    /// down; never those of the first, nor where another node has records.
    fn damage_records(&mut self, at: usize) {
        let is_due = self.swarm.journal.damage && !self.healed && self.nodes.len() == 1;
        let journal = &mut self.nodes[at].journal;
        if !is_due || self.docs.iter().any(|doc| journal.is_damaged(doc)) {
            return;
        }
        let has_records = |doc: &&DocId| journal.last_position(doc).is_some();
        if let Some(doc) = self.docs[1..].iter().find(has_records).cloned() {
            journal.damage(&doc);
            self.note(
                Place::Node(at),
                format_args!("the records of {doc} are damaged"),
            );
        }
    }
}

/// Somebody who watches an engine from its start.
fn watch(swarm: &Swarm, at: usize, life: u64) -> Watch {
    let config = configuration(swarm, at, life);
    Watch::new(&config).bearing_failures(swarm.panics)
}

fn finish((mut tape, hash): (Tape, Hash)) -> Tape {
    tape.head.outputs = Some(hash.value());
    tape
}

/// Each engine of each node has a seed of its own.
const fn engine_seed(seed: u64, node: usize, life: u64) -> u64 {
    seed.wrapping_add(life << 32)
        .wrapping_add((node as u64) << 48)
}
