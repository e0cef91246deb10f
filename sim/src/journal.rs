//! The simulated journal: records per document as the disk has them, commands
//! that take effect in order and in batches, and everything that can go wrong
//! with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use rand::{RngExt, rngs::ChaCha8Rng};
use ysyncd_engine::{
    DocId, JournalCommand, JournalError, JournalRecord, JournalResult, OpId, Position,
};

use crate::swarm::{JournalFaults, Purpose, between, stream};

/// The journal of one node. It outlives engines.
#[derive(Debug)]
pub(crate) struct Journal {
    rng: ChaCha8Rng,
    documents: BTreeMap<DocId, BTreeMap<Position, Record>>,
    damaged: BTreeSet<DocId>,
    /// Commands that wait for the batch under way.
    gathering: Vec<(OpId, JournalCommand)>,
    /// Commands that are about to take effect.
    batch: Vec<(OpId, JournalCommand)>,
    has_failed: bool,
    /// Until when reopening fails for certain.
    out_until: Duration,
}

/// A record on the disk.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) update: Bytes,
    /// Whether it was made durable. If not, it may be gone when somebody
    /// looks.
    pub(crate) is_sure: bool,
}

/// What is answered, in the order of the commands.
pub(crate) type Answers = Vec<Answer>;

/// What came of one command.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) op: OpId,
    pub(crate) result: JournalResult,
    /// Whether nobody is told but with the next one, which says the same of both.
    pub(crate) is_told_with_next: bool,
}

impl Journal {
    pub(crate) fn new(seed: u64, node: usize) -> Self {
        Self {
            rng: stream(seed, Purpose::Journal(node)),
            documents: BTreeMap::new(),
            damaged: BTreeSet::new(),
            gathering: Vec::new(),
            batch: Vec::new(),
            has_failed: false,
            out_until: Duration::ZERO,
        }
    }

    /// The documents that have records.
    pub(crate) fn documents(&self) -> impl Iterator<Item = &DocId> {
        self.documents.keys()
    }

    /// The records of a document on the disk, ascending.
    pub(crate) fn records(&self, doc: &DocId) -> impl Iterator<Item = (Position, &Record)> {
        let records = self.documents.get(doc).into_iter().flatten();
        records.map(|(position, record)| (*position, record))
    }

    /// The highest position on the disk.
    pub(crate) fn last_position(&self, doc: &DocId) -> Option<Position> {
        let (position, _) = self.documents.get(doc)?.last_key_value()?;
        Some(*position)
    }

    pub(crate) fn is_damaged(&self, doc: &DocId) -> bool {
        self.damaged.contains(doc)
    }

    /// From now on nobody can read the records of this document.
    pub(crate) fn damage(&mut self, doc: &DocId) {
        self.damaged.insert(doc.clone());
    }

    /// Takes a command; it waits for a batch.
    pub(crate) fn submit(&mut self, op: OpId, command: JournalCommand) {
        self.gathering.push((op, command));
    }

    /// Starts a batch with all that has gathered, unless one is under way.
    /// Returns how long it takes.
    pub(crate) fn begin(&mut self, faults: Option<&JournalFaults>) -> Option<Duration> {
        if !self.batch.is_empty() || self.gathering.is_empty() {
            return None;
        }
        self.batch = std::mem::take(&mut self.gathering);
        Some(self.delay(faults))
    }

    /// How long a batch takes, or the answers to it. Nothing takes long in a
    /// world without `faults`.
    pub(crate) fn delay(&mut self, faults: Option<&JournalFaults>) -> Duration {
        let fast = Duration::ZERO..Duration::from_millis(20);
        between(
            &mut self.rng,
            faults.map_or(&fast, |faults| &faults.latency),
        )
    }

    /// The batch under way takes effect, as far as it does. Nothing fails in a
    /// world without `faults`.
    pub(crate) fn land(&mut self, now: Duration, faults: Option<&JournalFaults>) -> Answers {
        let batch = std::mem::take(&mut self.batch);
        let striking = faults.filter(|faults| self.rng.random_bool(faults.failure));
        let strikes = striking.map(|faults| (faults, self.rng.random_range(0..batch.len())));
        let mut is_in_doubt = false;
        let mut answers = Answers::new();
        for (at, (op, command)) in batch.into_iter().enumerate() {
            if let Some((faults, fails_at)) = strikes
                && at == fails_at
                && !self.has_failed
            {
                (self.has_failed, is_in_doubt) = (true, true);
                let outage = faults.outage.mul_f64(self.rng.random_range(0.0..1.0));
                self.out_until = now + outage;
            }
            let result = match command {
                JournalCommand::Reopen if faults.is_some() && self.stays_out(now) => {
                    JournalResult::Reopened(Err(failed()))
                }
                JournalCommand::Reopen => {
                    (self.has_failed, is_in_doubt) = (false, false);
                    JournalResult::Reopened(Ok(()))
                }
                command if self.has_failed => self.fail(command, is_in_doubt),
                command => self.carry_out(command),
            };
            answers.push(Answer {
                op,
                result,
                is_told_with_next: false,
            });
        }
        self.share(&mut answers);
        answers
    }

    /// Has writes that follow each other share an answer, if the same came of them.
    /// Half of the time each has its own.
    fn share(&mut self, answers: &mut [Answer]) {
        if answers.len() < 2 || self.rng.random_bool(0.5) {
            return;
        }
        for at in 1..answers.len() {
            let next = written(&answers[at].result);
            let is_same = next.is_some() && next == written(&answers[at - 1].result);
            answers[at - 1].is_told_with_next = is_same && self.rng.random_bool(0.7);
        }
    }

    /// The process ends. Of what was not made durable some is there later,
    /// and some not.
    pub(crate) fn crash(&mut self) {
        let mut waiting = std::mem::take(&mut self.batch);
        waiting.append(&mut self.gathering);
        for (_, command) in waiting {
            if !self.has_failed && self.rng.random_bool(0.5) {
                self.carry_out(command);
            }
        }
        self.has_failed = false;
        for doc in self.documents.keys().cloned().collect::<Vec<_>>() {
            self.settle(&doc);
        }
    }

    fn stays_out(&mut self, now: Duration) -> bool {
        now < self.out_until || self.rng.random_bool(0.3)
    }

    fn carry_out(&mut self, command: JournalCommand) -> JournalResult {
        match command {
            JournalCommand::Append {
                doc,
                position,
                update,
            } => {
                self.write(doc, position, update, true);
                JournalResult::Appended(Ok(()))
            }
            JournalCommand::Trim { doc, through } => {
                self.trim(&doc, through);
                JournalResult::Trimmed(Ok(()))
            }
            JournalCommand::Read { doc } => JournalResult::Read(self.read(&doc)),
            JournalCommand::Reopen => JournalResult::Reopened(Ok(())),
        }
    }

    /// Fails a command. If it was under way when the disk failed, it may have
    /// taken effect.
    fn fail(&mut self, command: JournalCommand, is_in_doubt: bool) -> JournalResult {
        let takes_effect = is_in_doubt && self.rng.random_bool(0.5);
        match command {
            JournalCommand::Append {
                doc,
                position,
                update,
            } => {
                if takes_effect {
                    self.write(doc, position, update, false);
                }
                JournalResult::Appended(Err(failed()))
            }
            JournalCommand::Trim { doc, through } => {
                if takes_effect {
                    self.trim(&doc, through);
                }
                JournalResult::Trimmed(Err(failed()))
            }
            JournalCommand::Read { .. } => JournalResult::Read(Err(failed())),
            JournalCommand::Reopen => JournalResult::Reopened(Err(failed())),
        }
    }

    fn write(&mut self, doc: DocId, position: Position, update: Bytes, is_sure: bool) {
        let record = Record { update, is_sure };
        let records = self.documents.entry(doc).or_default();
        records.insert(position, record);
    }

    fn trim(&mut self, doc: &DocId, through: Position) {
        if let Some(records) = self.documents.get_mut(doc) {
            records.retain(|position, _| *position > through);
            if records.is_empty() {
                self.documents.remove(doc);
            }
        }
    }

    fn read(&mut self, doc: &DocId) -> Result<Vec<JournalRecord>, JournalError> {
        if self.is_damaged(doc) {
            return Err(JournalError::Damaged("simulated".to_owned()));
        }
        self.settle(doc);
        let record = |(position, record): (Position, &Record)| JournalRecord {
            position,
            update: record.update.clone(),
        };
        Ok(self.records(doc).map(record).collect())
    }

    /// Somebody looks: what was not sure is there for good, or gone for good.
    fn settle(&mut self, doc: &DocId) {
        let Some(records) = self.documents.get_mut(doc) else {
            return;
        };
        let rng = &mut self.rng;
        records.retain(|_, record| record.is_sure || rng.random_bool(0.5));
        for record in records.values_mut() {
            record.is_sure = true;
        }
        if records.is_empty() {
            self.documents.remove(doc);
        }
    }
}

/// What came of a write, if it was one.
const fn written(result: &JournalResult) -> Option<&Result<(), JournalError>> {
    match result {
        JournalResult::Appended(written) | JournalResult::Trimmed(written) => Some(written),
        JournalResult::Read(_) | JournalResult::Reopened(_) => None,
    }
}

fn failed() -> JournalError {
    JournalError::Failed("simulated".to_owned())
}
