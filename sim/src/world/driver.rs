//! What goes into the engine, and what becomes of what comes out.

use ysyncd_engine::{Engine, Event as EngineEvent, Input, Now, Output, StoreCommand};

use super::{Event, World, network::Down};
use crate::{
    client::Link,
    oracle::{Oracle, Violation},
    store::Operation,
    swarm::millis,
};

impl World {
    pub(super) fn input(&mut self, input: Input) -> Result<(), Violation> {
        self.note(format_args!("> {input:02x?}"));
        if let Input::Received { conn, bytes } = &input {
            self.oracle.received(*conn, bytes);
        }
        self.engine.handle(Now { mono: self.now }, input);
        self.engine.check();
        while let Some(output) = self.engine.poll_output() {
            self.note(format_args!("< {output:02x?}"));
            self.oracle.output(&output)?;
            if let Output::Event(EngineEvent::DocumentUnloaded { .. }) = &output {
                self.oracle.left(self.store.object())?;
            }
            self.output(output);
        }
        Ok(())
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Accept { conn } => self.send_down(conn, Down::Accepted),
            Output::Refuse { conn, .. } => self.send_down(conn, Down::Closed),
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
                let (fate, schedule) = self.store.plan(&self.swarm, self.healed, is_save);
                self.note(format_args!("{op:?} will be {fate:?}"));
                let operation = Operation { op, command, fate };
                let answer = self.now + schedule.answers;
                let event = Event::Lands(self.engines, operation, answer);
                self.after(schedule.lands, event);
            }
            Output::Event(_)
            | Output::Journal { .. }
            | Output::Pause { .. }
            | Output::Resume { .. } => {}
            Output::Drained { unsaved, .. } => self.drained = Some(unsaved),
        }
    }

    /// The engine goes without a word, and its connections with it.
    pub(super) fn restart(&mut self) {
        self.engines += 1;
        let seed = self.seed.wrapping_add(self.engines << 32);
        self.engine = Engine::new(self.swarm.engine.clone(), seed);
        self.oracle = Oracle::default();
        self.queue
            .retain(|_, event| !matches!(event, Event::AtServer(..) | Event::Gone(_)));
        for at in 0..self.clients.len() {
            if let Link::Open(conn) | Link::Connecting(conn) = self.clients[at].link {
                let wire = self.wires.get_mut(&conn).expect("wires stay");
                wire.client_open = false;
                self.clients[at].closed();
            }
        }
    }
}
