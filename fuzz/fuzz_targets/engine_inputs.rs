//! Sequences of inputs to an engine, as a driver may send them.

#![no_main]

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ysyncd_engine::{
    Config, ConnId, DocId, Engine, Etag, Event, Input, JournalCommand, JournalError, JournalRecord,
    JournalResult, Now, OpId, Output, Position, Snapshot, StoreCommand, StoreError, StoreResult,
    auth::{Access, Grant, UserId},
    protocol,
};
use ysyncd_fuzz::cost::Bound;

#[derive(Debug, Arbitrary)]
struct Plan {
    journal: Option<Journal>,
    limits: Limits,
    steps: Vec<Step>,
}

/// Which of the limits are so low that they are reached soon.
#[derive(Debug, Arbitrary)]
struct Limits {
    answers: bool,
    growth: bool,
    known: bool,
    types: bool,
}

/// A journal, and whether it holds records of an earlier life.
#[derive(Debug, Arbitrary)]
struct Journal {
    holds_a: bool,
    holds_b: bool,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Open {
        doc: bool,
        user: bool,
        reads_only: bool,
        /// For how many seconds it may stay.
        seconds: Option<u8>,
    },
    Frame {
        conn: u8,
        bytes: Vec<u8>,
    },
    Update {
        conn: u8,
        bytes: Vec<u8>,
    },
    Awareness {
        conn: u8,
        bytes: Vec<u8>,
    },
    Written {
        conn: u8,
    },
    Closed {
        conn: u8,
    },
    Freed {
        conn: u8,
    },
    Wait {
        millis: u16,
    },
    Answer {
        at: u8,
        answer: Answer,
    },
    /// The journal answers the oldest command.
    Journal {
        answer: JournalAnswer,
    },
    Shutdown,
}

#[derive(Debug, Arbitrary)]
enum JournalAnswer {
    Good,
    Failed,
    Damaged,
    Records { first: u8, updates: Vec<Vec<u8>> },
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
    conns: u64,
    sent: BTreeMap<ConnId, u64>,
    written: BTreeMap<ConnId, u64>,
    /// Bytes that came, from whomever.
    came: usize,
    /// Whether the journal told of updates, which limits do not hold for.
    replays: bool,
    operations: Vec<(OpId, StoreCommand)>,
    writes: u64,
    /// In the order in which they came.
    journal: VecDeque<(OpId, JournalCommand)>,
    /// Until it is reopened, the journal does nothing.
    journal_failed: bool,
}

const OUTBOX_BYTES_MAX: usize = 1 << 8;

const UNSAVED_BYTES_TOTAL_MAX: usize = 1_500;

/// All that came before is input, too: anything may have a whole document
/// loaded, saved or sent. An engine begins with 23 KiB; on top of 8 KiB the worst
/// seen was 47 a byte at a moment, and 60 in all.
const HANDLING: Bound = Bound {
    peak_per_byte: 1 << 7,
    total_per_byte: 1 << 9,
    fixed: 48 << 10,
};

/// What somebody who connects counts for: each may have to be closed, or told
/// something.
const CONNECTION_BYTES: usize = 16;

/// What the server says of its own, and around what it was told.
const MESSAGE_OVERHEAD: usize = 4 << 10;

fuzz_target!(|plan: Plan| {
    let low = |is_low: bool, low: usize| if is_low { low } else { 1 << 20 };
    let config = Config {
        journal: plan.journal.is_some(),
        outbox_bytes_max: OUTBOX_BYTES_MAX,
        staged_bytes_max: 100,
        unsaved_bytes_max: 1_000,
        unsaved_bytes_total_max: UNSAVED_BYTES_TOTAL_MAX,
        documents_bytes_max: 1_000,
        documents_growth_max: low(plan.limits.growth, 2_000),
        known_bytes_max: low(plan.limits.known, 16),
        answers_bytes_max: low(plan.limits.answers, 300),
        answers_bytes_per_user_max: low(plan.limits.answers, 200),
        type_depth_max: low(plan.limits.types, 2),
        store_operations_max: 1,
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
        conns: 0,
        sent: BTreeMap::new(),
        written: BTreeMap::new(),
        came: 0,
        replays: false,
        operations: Vec::new(),
        writes: 0,
        journal: VecDeque::new(),
        journal_failed: false,
    };
    if let Some(journal) = plan.journal {
        let holds = [("a", journal.holds_a), ("b", journal.holds_b)].into_iter();
        let docs = holds.filter(|(_, holds)| *holds).map(|(name, _)| doc(name));
        let docs = docs.collect();
        driver.input(Input::JournalHolds { docs });
    }
    for step in plan.steps.into_iter().take(64) {
        driver.step(step);
    }
});

impl Driver {
    fn step(&mut self, step: Step) {
        match step {
            Step::Open {
                doc,
                user,
                reads_only,
                seconds,
            } => self.open(doc, user, reads_only, seconds),
            Step::Frame { conn, bytes } => self.receive(conn, bytes.into()),
            Step::Update { conn, bytes } => self.receive(conn, protocol::update(&bytes)),
            Step::Awareness { conn, bytes } => self.receive(conn, protocol::awareness(&bytes)),
            Step::Written { conn } => {
                let conn = self.conn(conn);
                let total_bytes = self.sent.get(&conn).copied().unwrap_or(0);
                self.written.insert(conn, total_bytes);
                self.input(Input::Written { conn, total_bytes });
            }
            Step::Freed { conn } => {
                let conn = self.conn(conn);
                self.input(Input::Freed { conn });
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
            Step::Journal { answer } => {
                if let Some((op, command)) = self.journal.pop_front() {
                    let result = self.journal_result(&command, answer);
                    self.input(Input::Journal { op, result });
                }
            }
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

    fn open(&mut self, doc: bool, user: bool, reads_only: bool, seconds: Option<u8>) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let doc = self::doc(if doc { "a" } else { "b" });
        let grant = Grant {
            user: UserId::new(if user { "one" } else { "two" }).expect("a valid name"),
            access: match reads_only {
                true => Access::Read,
                false => Access::Write,
            },
            until: seconds.map(|seconds| self.now.mono + Duration::from_secs(seconds.into())),
        };
        self.input(Input::Open { conn, doc, grant });
    }

    fn receive(&mut self, conn: u8, bytes: Bytes) {
        let conn = self.conn(conn);
        self.came += bytes.len();
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
                self.came += body.len();
                let body = body.into();
                StoreResult::Loaded(Ok(Some(Snapshot { body, etag })))
            }
            (StoreCommand::Load { .. }, None, _) => StoreResult::Loaded(Ok(None)),
            (StoreCommand::Load { .. }, Some(error), _) => StoreResult::Loaded(Err(error)),
            (StoreCommand::Save { .. }, None, _) => StoreResult::Saved(Ok(etag)),
            (StoreCommand::Save { .. }, Some(error), _) => StoreResult::Saved(Err(error)),
        }
    }

    /// What failed once fails until it is reopened.
    fn journal_result(&mut self, command: &JournalCommand, answer: JournalAnswer) -> JournalResult {
        let reopens = *command == JournalCommand::Reopen;
        match answer {
            JournalAnswer::Failed => self.journal_failed = true,
            _ if reopens => self.journal_failed = false,
            _ => {}
        }
        let done = match self.journal_failed {
            true => Err(JournalError::Failed(String::new())),
            false => Ok(()),
        };
        match command {
            JournalCommand::Append { .. } => JournalResult::Appended(done),
            JournalCommand::Trim { .. } => JournalResult::Trimmed(done),
            JournalCommand::Reopen => JournalResult::Reopened(done),
            JournalCommand::Read { .. } => JournalResult::Read(done.and_then(|()| match answer {
                JournalAnswer::Good | JournalAnswer::Failed => Ok(Vec::new()),
                JournalAnswer::Damaged => Err(JournalError::Damaged(String::new())),
                JournalAnswer::Records { first, updates } => {
                    self.replays = true;
                    self.came += updates.iter().map(Vec::len).sum::<usize>();
                    Ok(records(first, updates))
                }
            })),
        }
    }

    fn input(&mut self, input: Input) {
        let connections = usize::try_from(self.conns).expect("there are few");
        let came = self.came + connections * CONNECTION_BYTES;
        let outputs: Vec<_> = HANDLING.keep(came, || {
            self.engine.handle(self.now, input);
            std::iter::from_fn(|| self.engine.poll_output()).collect()
        });
        self.engine.check();
        for output in outputs {
            match output {
                Output::Send { conns, frame } => {
                    for conn in conns {
                        *self.sent.entry(conn).or_default() += frame.len() as u64;
                    }
                }
                Output::Store { op, command } => self.operations.push((op, command)),
                Output::Journal { op, command } => self.journal.push_back((op, command)),
                Output::Event(Event::DocumentFailed { doc, message }) => {
                    panic!("{doc} failed: {message}");
                }
                _ => {}
            }
        }
        self.check_bounds();
    }

    /// Nobody who does not read, and nobody who writes, has the server hold more
    /// than it may.
    fn check_bounds(&self) {
        let status = self.engine.status(self.now);
        assert!(self.replays || status.unsaved_bytes <= UNSAVED_BYTES_TOTAL_MAX + self.came);
        // One message and one answer with who is there may come on top of it.
        let most = OUTBOX_BYTES_MAX + 3 * self.came + MESSAGE_OVERHEAD;
        for (conn, sent) in &self.sent {
            let waiting = sent - self.written.get(conn).copied().unwrap_or(0);
            assert!(waiting <= most as u64, "{waiting} bytes for {conn:?}");
        }
    }
}

fn doc(name: &str) -> DocId {
    DocId::new(name).expect("a valid name")
}

fn records(first: u8, updates: Vec<Vec<u8>>) -> Vec<JournalRecord> {
    let record = |(update, position): (Vec<u8>, u64)| JournalRecord {
        position: Position(position),
        update: update.into(),
    };
    updates
        .into_iter()
        .zip(u64::from(first) + 1..)
        .map(record)
        .collect()
}
