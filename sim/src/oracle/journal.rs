//! What the journal is asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ysyncd_engine::{DocId, JournalCommand, JournalError, JournalResult, OpId, Position};

use super::{Invariant, Ledgers, Violation};
use crate::journal::Journal;

/// The journal as one engine knows it.
#[derive(Debug, Default)]
pub(super) struct JournalWatch {
    /// In order.
    unanswered: VecDeque<(OpId, JournalCommand)>,
    /// The last position that was given to a record.
    last: BTreeMap<DocId, Position>,
    reading: BTreeSet<DocId>,
    /// How many records were read of documents that are coming into memory.
    read: BTreeMap<DocId, usize>,
    /// Of which nobody can tell what the journal holds, something having
    /// failed.
    doubtful: BTreeSet<DocId>,
    has_failed: bool,
    is_reopening: bool,
}

impl JournalWatch {
    /// Whether the journal holds something of a document, as far as the engine
    /// can know.
    pub(super) fn may_hold(&self, doc: &DocId, journal: &Journal) -> bool {
        let is_trim = |command: &JournalCommand| match command {
            JournalCommand::Trim { doc: of, .. } => of == doc,
            _ => false,
        };
        let is_held = journal.last_position(doc).is_some();
        is_held || self.doubtful.contains(doc) || self.awaits(is_trim)
    }

    /// Whether an update waits for its answer.
    pub(super) fn is_appending(&self, doc: &DocId) -> bool {
        self.awaits(|command| match command {
            JournalCommand::Append { doc: of, .. } => of == doc,
            _ => false,
        })
    }

    fn awaits(&self, which: impl Fn(&JournalCommand) -> bool) -> bool {
        self.unanswered.iter().any(|(_, command)| which(command))
    }

    pub(super) fn command(
        &mut self,
        op: OpId,
        command: &JournalCommand,
        journal: &Journal,
        ledgers: &Ledgers,
    ) -> Result<(), Violation> {
        self.unanswered.push_back((op, command.clone()));
        match command {
            JournalCommand::Append { doc, position, .. } => self.append(doc, *position, journal),
            JournalCommand::Trim { doc, through } => self.trim(doc, *through, journal, ledgers),
            JournalCommand::Read { doc } => {
                self.read.remove(doc);
                match self.reading.insert(doc.clone()) {
                    true => Ok(()),
                    false => Err(wrong(format!("{doc} is being read already"))),
                }
            }
            JournalCommand::Reopen if !self.has_failed || self.is_reopening => {
                Err(wrong("it is reopened without need".to_owned()))
            }
            JournalCommand::Reopen => {
                self.is_reopening = true;
                Ok(())
            }
        }
    }

    fn append(
        &mut self,
        doc: &DocId,
        position: Position,
        journal: &Journal,
    ) -> Result<(), Violation> {
        self.may_write(doc, journal)?;
        let last = self.last.insert(doc.clone(), position);
        let last = last.max(journal.last_position(doc));
        match last {
            Some(last) if position <= last => {
                Err(wrong(format!("{doc}: {position:?} follows {last:?}")))
            }
            _ => Ok(()),
        }
    }

    /// What is forgotten is in the landed snapshot, except what the journal
    /// failed to take.
    fn trim(
        &self,
        doc: &DocId,
        through: Position,
        journal: &Journal,
        ledgers: &Ledgers,
    ) -> Result<(), Violation> {
        self.may_write(doc, journal)?;
        let is_waiting = |command: &JournalCommand| match command {
            JournalCommand::Append {
                doc: of, position, ..
            } => of == doc && *position <= through,
            _ => false,
        };
        if journal.waiting().any(is_waiting) {
            return Err(wrong(format!("{doc}: forgotten before it is written")));
        }
        let mut forgotten = journal
            .records(doc)
            .take_while(|(position, _)| *position <= through)
            .filter(|(_, record)| record.is_sure);
        match forgotten.find(|(_, record)| !ledgers.is_stored(doc, &record.update)) {
            Some((position, _)) => {
                let detail = format!("{doc}: {position:?} is forgotten, and not stored");
                Err(Invariant::TrimCovered.violated(detail))
            }
            None => Ok(()),
        }
    }

    fn may_write(&self, doc: &DocId, journal: &Journal) -> Result<(), Violation> {
        match () {
            () if journal.is_damaged(doc) => {
                let detail = "the records of a damaged document are touched";
                Err(Invariant::Damaged.violated(detail))
            }
            () if self.has_failed => Err(wrong("it has failed".to_owned())),
            () if self.reading.contains(doc) => Err(wrong(format!("{doc} is being read"))),
            () => Ok(()),
        }
    }

    /// An answer comes to the engine.
    pub(super) fn result(&mut self, op: OpId, result: &JournalResult, ledgers: &mut Ledgers) {
        let (first, command) = self.unanswered.pop_front().expect("one result each");
        assert_eq!(op, first, "results come in order");
        match (command, result) {
            (JournalCommand::Append { doc, update, .. }, JournalResult::Appended(Ok(()))) => {
                ledgers.journaled(&doc, &update);
            }
            (JournalCommand::Read { doc }, JournalResult::Read(read)) => {
                self.reading.remove(&doc);
                for record in read.iter().flatten() {
                    ledgers.journaled(&doc, &record.update);
                }
                if let Ok(records) = read {
                    self.read.insert(doc, records.len());
                }
                self.has_failed |= matches!(read, Err(JournalError::Failed(_)));
            }
            (
                JournalCommand::Append { doc, .. } | JournalCommand::Trim { doc, .. },
                JournalResult::Appended(Err(_)) | JournalResult::Trimmed(Err(_)),
            ) => {
                self.has_failed = true;
                self.doubtful.insert(doc);
            }
            (_, JournalResult::Reopened(reopened)) => {
                self.is_reopening = false;
                self.has_failed = reopened.is_err();
            }
            _ => {}
        }
    }

    pub(super) fn loaded(
        &mut self,
        doc: &DocId,
        replayed: usize,
        journal: &Journal,
    ) -> Result<(), Violation> {
        let read = self.read.remove(doc);
        let has_records = journal.last_position(doc).is_some();
        match read {
            Some(read) if read == replayed => Ok(()),
            None if replayed == 0 && !has_records => Ok(()),
            _ => {
                let detail = format!("{doc}: {read:?} records were read, {replayed} replayed");
                Err(Invariant::Replayed.violated(detail))
            }
        }
    }

    pub(super) fn unloaded(&mut self, doc: &DocId) -> Result<(), Violation> {
        self.last.remove(doc);
        match self.is_appending(doc) {
            true => {
                let detail = format!("{doc}: something waits to be durable");
                Err(Invariant::LeftClean.violated(detail))
            }
            false => Ok(()),
        }
    }
}

fn wrong(detail: String) -> Violation {
    Invariant::JournalWords.violated(detail)
}
