//! Engines that are told something, and how much of a processor's time each input takes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use cpu_time::ThreadTime;
use ysyncd_engine::{
    BusCommand, BusInput, Config, ConnId, DocId, Engine, Etag, Input, JournalCommand,
    JournalRecord, JournalResult, Node, Now, OpId, Output, Snapshot, StoreCommand, StoreError,
    StoreResult,
    auth::{Grant, UserId},
};

/// What inputs took, and what they had to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) time: Duration,
    /// Bytes that came in, that went out, and that were to be gone through; each input
    /// counts as some.
    pub(super) bytes: u64,
    /// Those of the document, at most.
    pub(super) document: u64,
}

/// By what is going on: all inputs together, and the one that took longest for what it
/// had to do.
pub(super) type Account = BTreeMap<&'static str, (Spent, Spent)>;

/// What an input counts as, however small it is.
const INPUT_BYTES: u64 = 64;

/// Who speaks, who listens, and who comes later.
pub(super) const SPEAKER: ConnId = ConnId(1);
pub(super) const LISTENER: ConnId = ConnId(2);
pub(super) const JOINER: ConnId = ConnId(3);

/// An engine, with a store and a journal that do at once what they are asked.
pub(super) struct Driven {
    engine: Engine,
    now: Duration,
    pub(super) phase: &'static str,
    pub(super) account: Account,
    /// Bytes sent to each, and whether these are written at once.
    sent: BTreeMap<ConnId, (u64, u64)>,
    pub(super) stalled: Option<ConnId>,
    pub(super) stored: Option<Snapshot>,
    pub(super) records: Vec<JournalRecord>,
    /// What another writer is to have stored when this is saved next.
    pub(super) foreign: Option<Bytes>,
    pub(super) published: Vec<Bytes>,
    /// Bytes of all updates so far: a document is no larger.
    document: u64,
    saves: usize,
    inputs: VecDeque<Input>,
}

impl Driven {
    pub(super) fn new(journal: bool, node: Option<u64>) -> Self {
        let node = node.map(|id| Node { id, incarnation: 1 });
        let config = Config {
            journal,
            node,
            ..Config::default()
        };
        Self {
            engine: Engine::new(config, 1),
            now: Duration::ZERO,
            phase: "opened",
            account: Account::new(),
            sent: BTreeMap::new(),
            stalled: None,
            stored: None,
            records: Vec::new(),
            foreign: None,
            published: Vec::new(),
            document: 0,
            saves: 0,
            inputs: VecDeque::new(),
        }
    }

    pub(super) fn on_bus(mut self) -> Self {
        self.tell(Input::Bus(BusInput::Up));
        self
    }

    pub(super) fn open(&mut self, conn: ConnId) {
        let user = UserId::new("somebody").expect("a good name");
        self.sent.insert(conn, (0, 0));
        let (doc, grant) = (doc(), Grant::unlimited(user));
        self.tell(Input::Open { conn, doc, grant });
    }

    pub(super) fn send(&mut self, conn: ConnId, frame: &Bytes) {
        if !self.sent.contains_key(&conn) {
            return;
        }
        self.document += frame.len() as u64;
        let bytes = frame.clone();
        self.tell(Input::Received { conn, bytes });
    }

    /// Another node has published something.
    pub(super) fn hear(&mut self, message: Bytes) {
        self.document += message.len() as u64;
        let doc = doc();
        self.tell(Input::Bus(BusInput::Received { doc, message }));
    }

    pub(super) fn reads_again(&mut self) {
        self.stalled = None;
        self.read();
        self.carry_on();
    }

    /// Lets time pass until it has been saved, and all timers have had their turn.
    pub(super) fn wait(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.tell(Input::Tick);
        }
        self.now = end;
    }

    fn tell(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.carry_on();
    }

    fn carry_on(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            let bytes = self.size(&input);
            let now = Now { mono: self.now };
            let mut outputs = Vec::new();
            let start = ThreadTime::now();
            self.engine.handle(now, input);
            while let Some(output) = self.engine.poll_output() {
                outputs.push(output);
            }
            let time = start.elapsed();
            let out: u64 = outputs.iter().map(|output| self.size_out(output)).sum();
            self.note(Spent {
                time,
                bytes: bytes + out,
                document: self.document,
            });
            for output in outputs {
                self.carry_out(output);
            }
            self.read();
        }
    }

    fn note(&mut self, spent: Spent) {
        let (all, worst) = self.account.entry(self.phase).or_default();
        all.time += spent.time;
        all.bytes += spent.bytes;
        all.document = spent.document;
        if worst.excess() < spent.excess() {
            *worst = spent;
        }
    }

    /// Those who read take everything off the transport at once.
    fn read(&mut self) {
        for (&conn, (sent, told)) in &mut self.sent {
            if *told < *sent && self.stalled != Some(conn) {
                *told = *sent;
                let total_bytes = *sent;
                self.inputs.push_back(Input::Written { conn, total_bytes });
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Refuse { conn, .. } => {
                self.sent.remove(&conn);
            }
            Output::Send { conns, frame } => {
                for conn in conns {
                    if let Some((sent, _)) = self.sent.get_mut(&conn) {
                        *sent += frame.len() as u64;
                    }
                }
            }
            Output::Close { conn, .. } => {
                self.sent.remove(&conn);
                self.inputs.push_back(Input::Closed { conn });
                self.inputs.push_back(Input::Freed { conn });
            }
            Output::Store { op, command } => self.store(op, command),
            Output::Journal { op, command } => self.journal(op, command),
            Output::Bus(BusCommand::Subscribe { doc }) => {
                self.inputs
                    .push_back(Input::Bus(BusInput::Subscribed { doc }));
            }
            Output::Bus(BusCommand::Publish { message, .. }) => self.published.push(message),
            _ => {}
        }
    }

    fn store(&mut self, op: OpId, command: StoreCommand) {
        let result = match command {
            StoreCommand::Load { .. } => StoreResult::Loaded(Ok(self.stored.clone())),
            StoreCommand::Save { body, .. } => {
                self.saves += 1;
                let etag = Etag(Arc::from(self.saves.to_string()));
                if let Some(body) = self.foreign.take() {
                    self.stored = Some(Snapshot { body, etag });
                    StoreResult::Saved(Err(StoreError::Conflict))
                } else {
                    let saved = etag.clone();
                    self.stored = Some(Snapshot { body, etag });
                    StoreResult::Saved(Ok(saved))
                }
            }
        };
        self.inputs.push_back(Input::Store { op, result });
    }

    fn journal(&mut self, op: OpId, command: JournalCommand) {
        let result = match command {
            JournalCommand::Append {
                position, update, ..
            } => {
                self.records.push(JournalRecord { position, update });
                JournalResult::Appended(Ok(()))
            }
            JournalCommand::Trim { through, .. } => {
                self.records.retain(|record| through < record.position);
                JournalResult::Trimmed(Ok(()))
            }
            JournalCommand::Read { .. } => JournalResult::Read(Ok(self.records.clone())),
            JournalCommand::Reopen => JournalResult::Reopened(Ok(())),
        };
        self.inputs.push_back(Input::Journal { op, result });
    }

    /// What an input has to do. An answer of the store or the journal has a whole
    /// document gone through.
    fn size(&self, input: &Input) -> u64 {
        let bytes = match input {
            Input::Received { bytes, .. } => bytes.len() as u64,
            Input::Bus(BusInput::Received { message, .. }) => message.len() as u64,
            Input::Store {
                result: StoreResult::Loaded(Ok(Some(snapshot))),
                ..
            } => snapshot.body.len() as u64 + self.document,
            Input::Journal { result, .. } => match result {
                JournalResult::Read(Ok(records)) => {
                    let bytes = records.iter().map(|record| record.update.len() as u64);
                    bytes.sum::<u64>() + INPUT_BYTES * records.len() as u64
                }
                JournalResult::Appended(_) => self
                    .records
                    .last()
                    .map_or(0, |record| record.update.len() as u64),
                _ => 0,
            },
            _ => 0,
        };
        bytes + INPUT_BYTES
    }

    /// What an output was made of.
    fn size_out(&self, output: &Output) -> u64 {
        match output {
            Output::Send { conns, frame } => {
                (conns.len() * frame.len()) as u64 + INPUT_BYTES * conns.len() as u64
            }
            Output::Store {
                command: StoreCommand::Save { .. },
                ..
            } => self.document,
            Output::Bus(BusCommand::Publish { message, .. }) => message.len() as u64 + INPUT_BYTES,
            _ => 0,
        }
    }
}

impl Spent {
    /// How much longer it took than what would be good for what it had to do.
    pub(super) fn excess(&self) -> Duration {
        self.time
            .saturating_sub(super::judge::allowed(self.bytes, self.document))
    }

    pub(super) fn nanos_a_byte(&self) -> f64 {
        self.time.as_nanos() as f64 / self.bytes.max(1) as f64
    }
}

pub(super) fn doc() -> DocId {
    DocId::new("a document").expect("a good name")
}
