//! Sequences of inputs to an engine, as a driver may send them.

#![no_main]

use std::{collections::BTreeMap, time::Duration};

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ysyncd_engine::{
    Config, ConnId, DocId, Engine, Etag, Input, Now, OpId, Output, Snapshot, StoreCommand,
    StoreError, StoreResult,
    auth::{Grant, TokenKey, UserId},
    protocol,
};

#[derive(Debug, Arbitrary)]
enum Step {
    Open { doc: bool },
    Frame { conn: u8, bytes: Vec<u8> },
    Update { conn: u8, bytes: Vec<u8> },
    Awareness { conn: u8, bytes: Vec<u8> },
    Written { conn: u8 },
    Closed { conn: u8 },
    Wait { millis: u16 },
    Answer { at: u8, answer: Answer },
    Shutdown,
}

#[derive(Debug, Arbitrary)]
enum Answer {
    Good,
    Stored(Vec<u8>),
    Conflict,
    Unknown,
    Unavailable,
}

/// What a driver keeps.
struct Driver {
    engine: Engine,
    now: Now,
    grant: Grant,
    conns: u64,
    sent: BTreeMap<ConnId, u64>,
    operations: Vec<(OpId, StoreCommand)>,
    writes: u64,
}

fuzz_target!(|steps: Vec<Step>| {
    let key = TokenKey::new(b"fuzzed");
    let user = UserId::new("somebody").expect("a valid name");
    let config = Config {
        outbox_bytes_max: 1 << 10,
        gap_runs_max: 3,
        pending_delete_ranges_max: 3,
        waiting_opens_max: 3,
        awareness_ids_max: 3,
        ..Config::default()
    };
    let mut driver = Driver {
        engine: Engine::new(config, 1),
        now: Now {
            mono: Duration::ZERO,
        },
        grant: key.verify(&key.mint(&user)).expect("its own token"),
        conns: 0,
        sent: BTreeMap::new(),
        operations: Vec::new(),
        writes: 0,
    };
    for step in steps.into_iter().take(64) {
        driver.step(step);
    }
});

impl Driver {
    fn step(&mut self, step: Step) {
        match step {
            Step::Open { doc } => self.open(doc),
            Step::Frame { conn, bytes } => self.receive(conn, bytes.into()),
            Step::Update { conn, bytes } => self.receive(conn, protocol::update(&bytes)),
            Step::Awareness { conn, bytes } => self.receive(conn, protocol::awareness(&bytes)),
            Step::Written { conn } => {
                let conn = self.conn(conn);
                let total_bytes = self.sent.get(&conn).copied().unwrap_or(0);
                self.input(Input::Written { conn, total_bytes });
            }
            Step::Closed { conn } => {
                let conn = self.conn(conn);
                self.input(Input::Closed { conn });
            }
            Step::Wait { millis } => {
                self.now.mono += Duration::from_millis(millis.into());
                self.input(Input::Tick);
            }
            Step::Answer { at, answer } if !self.operations.is_empty() => {
                let at = usize::from(at) % self.operations.len();
                let (op, command) = self.operations.swap_remove(at);
                let result = self.result(&command, answer);
                self.input(Input::Store { op, result });
            }
            Step::Answer { .. } => {}
            Step::Shutdown => {
                let deadline = self.now.mono + Duration::from_secs(5);
                self.input(Input::Shutdown { deadline });
            }
        }
    }

    /// One of the connections that there are or were.
    fn conn(&self, conn: u8) -> ConnId {
        ConnId(u64::from(conn) % self.conns.max(1) + 1)
    }

    fn open(&mut self, doc: bool) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let doc = DocId::new(if doc { "a" } else { "b" }).expect("a valid name");
        let grant = self.grant.clone();
        self.input(Input::Open { conn, doc, grant });
    }

    fn receive(&mut self, conn: u8, bytes: Bytes) {
        let conn = self.conn(conn);
        self.input(Input::Received { conn, bytes });
    }

    fn result(&mut self, command: &StoreCommand, answer: Answer) -> StoreResult {
        let error = match answer {
            Answer::Good | Answer::Stored(_) => None,
            Answer::Conflict => Some(StoreError::Conflict),
            Answer::Unknown => Some(StoreError::Unknown(String::new())),
            Answer::Unavailable => Some(StoreError::Unavailable(String::new())),
        };
        self.writes += 1;
        let etag = Etag(self.writes.to_string().into());
        match (command, error, answer) {
            (StoreCommand::Load { .. }, None, Answer::Stored(body)) => {
                let body = body.into();
                StoreResult::Loaded(Ok(Some(Snapshot { body, etag })))
            }
            (StoreCommand::Load { .. }, None, _) => StoreResult::Loaded(Ok(None)),
            (StoreCommand::Load { .. }, Some(error), _) => StoreResult::Loaded(Err(error)),
            (StoreCommand::Save { .. }, None, _) => StoreResult::Saved(Ok(etag)),
            (StoreCommand::Save { .. }, Some(error), _) => StoreResult::Saved(Err(error)),
        }
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.engine.check();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { conns, frame } => {
                    for conn in conns {
                        *self.sent.entry(conn).or_default() += frame.len() as u64;
                    }
                }
                Output::Store { op, command } => self.operations.push((op, command)),
                _ => {}
            }
        }
    }
}
