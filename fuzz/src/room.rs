//! An engine with one document and a few connections to it.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use ysyncd_engine::{
    CloseCode, Config, ConnId, DocId, Engine, Etag, Event, Input, Now, OpId, Output, Refusal,
    Snapshot, StoreCommand, StoreResult,
    auth::{Grant, UserId},
};

/// Drives an engine; its store holds what it is told, and takes everything.
pub struct Room {
    engine: Engine,
    now: Duration,
    stored: Option<Bytes>,
    opened: u64,
    saves: u64,
    written: BTreeMap<ConnId, u64>,
    /// What came out since the beginning.
    pub sent: Vec<(ConnId, Bytes)>,
    pub closed: Vec<(ConnId, CloseCode)>,
    pub refused: Vec<(ConnId, Refusal)>,
    pub saved: Vec<Bytes>,
}

impl Room {
    /// `stored` is what the store holds of the document.
    #[must_use]
    pub fn new(config: Config, stored: Option<Bytes>) -> Self {
        Self {
            engine: Engine::new(config, 1),
            now: Duration::ZERO,
            stored,
            opened: 0,
            saves: 0,
            written: BTreeMap::new(),
            sent: Vec::new(),
            closed: Vec::new(),
            refused: Vec::new(),
            saved: Vec::new(),
        }
    }

    /// How many connections there are or were, numbered from 1.
    #[must_use]
    pub const fn opened(&self) -> u64 {
        self.opened
    }

    pub fn open(&mut self) -> ConnId {
        self.opened += 1;
        let conn = ConnId(self.opened);
        let doc = DocId::new("a").expect("a valid name");
        let grant = Grant::unlimited(UserId::new("somebody").expect("a valid name"));
        self.input(Input::Open { conn, doc, grant });
        conn
    }

    pub fn receive(&mut self, conn: ConnId, bytes: Bytes) {
        self.input(Input::Received { conn, bytes });
    }

    pub fn close(&mut self, conn: ConnId) {
        self.input(Input::Closed { conn });
    }

    /// Lets time pass, in steps short enough for everything that is due.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.engine.poll_timeout()
            && due <= end
        {
            self.now = due.max(self.now);
            self.input(Input::Tick);
        }
        self.now = end;
        self.input(Input::Tick);
    }

    fn input(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.engine.handle(Now { mono: self.now }, input);
            self.engine.check();
            while let Some(output) = self.engine.poll_output() {
                self.take(output, &mut inputs);
            }
        }
    }

    fn take(&mut self, output: Output, inputs: &mut Vec<Input>) {
        match output {
            Output::Send { conns, frame } => {
                for conn in conns {
                    self.sent.push((conn, frame.clone()));
                    let total_bytes = self.written.entry(conn).or_default();
                    *total_bytes += frame.len() as u64;
                    let total_bytes = *total_bytes;
                    inputs.push(Input::Written { conn, total_bytes });
                }
            }
            Output::Close { conn, code, .. } => self.closed.push((conn, code)),
            Output::Refuse { conn, reason } => self.refused.push((conn, reason)),
            Output::Store { op, command } => inputs.push(self.store(op, command)),
            Output::Event(Event::DocumentFailed { doc, message }) => {
                panic!("{doc} failed: {message}");
            }
            _ => {}
        }
    }

    fn store(&mut self, op: OpId, command: StoreCommand) -> Input {
        let result = match command {
            StoreCommand::Load { .. } => StoreResult::Loaded(Ok(self.stored.clone().map(|body| {
                let etag = self.etag();
                Snapshot { body, etag }
            }))),
            StoreCommand::Save { body, .. } => {
                self.saves += 1;
                self.saved.push(body.clone());
                self.stored = Some(body);
                StoreResult::Saved(Ok(self.etag()))
            }
        };
        Input::Store { op, result }
    }

    fn etag(&self) -> Etag {
        Etag(self.saves.to_string().into())
    }
}
