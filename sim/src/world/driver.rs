//! What goes into the engine, what becomes of what comes out, and how one
//! engine follows another.

use ysyncd_engine::{Engine, Input, Now, Output, StoreCommand};

use super::{Drained, Event, World, network::Down};
use crate::{
    client::Link,
    oracle::{Oracle, Violation},
    store::Operation,
    swarm::{End, millis},
};

/// The engine's own checks look at all there is, which takes longer than all
/// the rest: they are made after one input in so many, and after each one when
/// a run is looked at.
const CHECKED_INPUTS: u64 = 8;

impl World {
    pub(super) fn input(&mut self, input: Input) -> Result<(), Violation> {
        self.trace.input(self.now, &input);
        let taken = match &input {
            Input::Received { conn, bytes } if !self.swarm.engine.journal => {
                let doc = self.oracle.takes(*conn, bytes);
                doc.map(|doc| (doc, *conn, bytes.clone()))
            }
            _ => None,
        };
        self.engine.handle(Now { mono: self.now }, input);
        self.inputs += 1;
        if self.inputs.is_multiple_of(CHECKED_INPUTS) || self.trace.is_printed() {
            self.engine.check();
        }
        while let Some(output) = self.engine.poll_output() {
            self.trace.output(self.now, &output);
            let (journal, ledgers) = (&self.journal, &mut self.ledgers);
            self.oracle.output(self.now, &output, journal, ledgers)?;
            self.output(output);
        }
        if let Some((doc, conn, frame)) = taken
            && !self.oracle.owes(conn)
        {
            self.ledgers.taken(&doc, &frame);
        }
        match self.drained {
            // It takes no further input.
            Some(_) if !self.is_ending => self.restart(),
            _ => Ok(()),
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Accept { conn } => self.send_down(conn, Down::Accepted),
            Output::Refuse { conn, reason } => {
                let wire = self.wires.get_mut(&conn).expect("wires stay");
                wire.refusal = Some(reason);
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
                let is_save = matches!(command, StoreCommand::Save { .. });
                let faults = (!self.healed).then_some(&self.swarm.store);
                let (fate, schedule) = self.store.plan(self.now, faults, is_save);
                self.note(format_args!("{op:?} will be {fate:?}"));
                let operation = Operation { op, command, fate };
                let answer = self.now + schedule.answers;
                let event = Event::Lands(self.engines, operation, answer);
                self.after(schedule.lands, event);
            }
            Output::Journal { op, command } => {
                self.journal.submit(op, command);
                self.start_batch();
            }
            Output::Pause { conn } => self.pause(conn),
            Output::Resume { conn } => self.resume(conn),
            Output::Event(_) => {}
            Output::Drained { unsaved, journaled } => {
                self.drained = Some(Drained { unsaved, journaled });
            }
        }
    }

    /// The engine ends: at once, or when it has done what it can.
    pub(super) fn end(&mut self, end: End) -> Result<(), Violation> {
        match end {
            End::Crash => {
                self.note("the engine dies");
                self.restart()
            }
            End::Shutdown(time) => {
                let deadline = self.now + time;
                self.input(Input::Shutdown { deadline })
            }
        }
    }

    /// The engine is gone, and its connections with it. The next one finds
    /// what is stored and what the journal has.
    pub(super) fn restart(&mut self) -> Result<(), Violation> {
        self.engines += 1;
        let seed = self.seed.wrapping_add(self.engines << 32);
        self.engine = Engine::new(self.swarm.engine.clone(), seed);
        self.oracle = Oracle::new(&self.swarm.engine);
        self.drained = None;
        self.queue.retain(|_, event| {
            !matches!(event, Event::AtServer(..) | Event::Read(_) | Event::Gone(_))
        });
        for client in &mut self.clients {
            if let Link::Open(conn) | Link::Connecting(conn) = client.link {
                let wire = self.wires.get_mut(&conn).expect("wires stay");
                wire.client_open = false;
                client.closed();
            }
        }
        self.journal.crash();
        self.ledgers.survive(&self.journal)?;
        self.damage_records();
        let docs: Vec<_> = self.journal.documents().cloned().collect();
        match docs.is_empty() {
            true => Ok(()),
            false => self.input(Input::JournalHolds { docs }),
        }
    }

    /// In some worlds one document's records are damaged while the server is
    /// down; never those of the first.
    fn damage_records(&mut self) {
        let is_due = self.swarm.journal.damage && !self.healed;
        if !is_due || self.docs.iter().any(|doc| self.journal.is_damaged(doc)) {
            return;
        }
        let has_records = |doc: &&ysyncd_engine::DocId| self.journal.last_position(doc).is_some();
        if let Some(doc) = self.docs[1..].iter().find(has_records).cloned() {
            self.note(format_args!("the records of {doc} are damaged"));
            self.journal.damage(&doc);
        }
    }
}
