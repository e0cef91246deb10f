//! What the journal is asked.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use ysyncd_engine::{ConnId, DocId, JournalCommand, JournalError, JournalResult, OpId, Position};

use super::{Invariant, Violation, documents::Documents, growth::Staged};

/// The journal as one engine knows it.
#[derive(Debug)]
pub(super) struct JournalWatch {
    staged_bytes_max: usize,
    /// In order, and with whose message each came.
    unanswered: VecDeque<(OpId, JournalCommand, Option<ConnId>)>,
    /// The highest position that was given to a record, or read.
    last: BTreeMap<DocId, Position>,
    reading: BTreeSet<DocId>,
    /// How many records were read of documents that are coming into memory.
    read: BTreeMap<DocId, usize>,
    /// What it held at the start, of which nobody has heard since.
    held: BTreeSet<DocId>,
    /// Of which nobody can tell what the journal holds, something having
    /// failed.
    doubtful: BTreeSet<DocId>,
    damaged: BTreeSet<DocId>,
    /// Reads for documents that have failed since.
    orphans: BTreeSet<OpId>,
    /// Bytes of documents that have failed, are not back yet, and had so much in
    /// it and on their way to it. What became of that the engine does not hear.
    left: BTreeMap<DocId, usize>,
    has_failed: bool,
    is_reopening: bool,
    /// Bytes of updates that wait for their answers.
    staged: BTreeMap<DocId, usize>,
    /// Bytes of the updates that the input under way says are not durable.
    refused: BTreeMap<DocId, usize>,
    /// The updates that were handed out since none last waited.
    staged_since_idle: BTreeMap<DocId, Vec<Bytes>>,
    /// The updates that wait for their answers, and since when.
    appends: BTreeMap<OpId, (DocId, Duration)>,
    /// How many bytes the records take that it holds for certain.
    records: BTreeMap<DocId, BTreeMap<Position, usize>>,
    largest_update: usize,
}

impl JournalWatch {
    pub(super) const fn new(staged_bytes_max: usize) -> Self {
        Self {
            staged_bytes_max,
            unanswered: VecDeque::new(),
            last: BTreeMap::new(),
            reading: BTreeSet::new(),
            read: BTreeMap::new(),
            held: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            damaged: BTreeSet::new(),
            orphans: BTreeSet::new(),
            left: BTreeMap::new(),
            has_failed: false,
            is_reopening: false,
            staged: BTreeMap::new(),
            refused: BTreeMap::new(),
            staged_since_idle: BTreeMap::new(),
            appends: BTreeMap::new(),
            records: BTreeMap::new(),
            largest_update: 0,
        }
    }

    /// It holds records of these from an earlier life.
    pub(super) fn holds(&mut self, docs: &[DocId]) {
        self.held.extend(docs.iter().cloned());
    }

    /// Another input is under way.
    pub(super) fn begins(&mut self) {
        if !self.refused.is_empty() {
            self.refused.clear();
        }
    }

    /// A document has failed: what it has of it must be read before it comes
    /// back, once all is done that is under way.
    pub(super) fn failed(&mut self, doc: &DocId) {
        self.last.remove(doc);
        self.appends.retain(|_, (of, _)| of != doc);
        self.read.remove(doc);
        self.held.insert(doc.clone());
        self.doubtful.insert(doc.clone());
        let records = self.records.get(doc).into_iter();
        let records = records.flat_map(BTreeMap::values).sum::<usize>();
        let staged = self.staged.get(doc).copied().unwrap_or(0);
        // It may have failed before it heard that this was not taken.
        let refused = self.refused.remove(doc).unwrap_or(0);
        let left = self.left.entry(doc.clone()).or_default();
        *left = (records + staged + refused).max(*left);
        if self.reading.remove(doc) {
            let is_read = |command: &JournalCommand| matches!(command, JournalCommand::Read { doc: of } if of == doc);
            let reads = self.unanswered.iter();
            let reads = reads.filter(|(_, command, _)| is_read(command));
            self.orphans.extend(reads.map(|(op, ..)| *op));
        }
    }

    /// What it held at the start, of which nobody has heard since.
    pub(super) fn held(&self) -> impl Iterator<Item = &DocId> {
        self.held.iter()
    }

    pub(super) fn is_damaged(&self, doc: &DocId) -> bool {
        self.damaged.contains(doc)
    }

    /// Whether the journal holds something of a document, as far as the engine
    /// can know.
    pub(super) fn may_hold(&self, doc: &DocId, documents: &Documents) -> bool {
        let is_trim = |command: &JournalCommand| match command {
            JournalCommand::Trim { doc: of, .. } => of == doc,
            _ => false,
        };
        let is_held = self.held.contains(doc) || documents.holds_records(doc);
        is_held || self.doubtful.contains(doc) || self.awaits(is_trim) || self.is_appending(doc)
    }

    /// Whether an update waits for its answer.
    pub(super) fn is_appending(&self, doc: &DocId) -> bool {
        self.awaits(|command| match command {
            JournalCommand::Append { doc: of, .. } => of == doc,
            _ => false,
        })
    }

    fn awaits(&self, which: impl Fn(&JournalCommand) -> bool) -> bool {
        self.unanswered.iter().any(|(_, command, _)| which(command))
    }

    /// Whether it is its turn to give such an answer: nothing is before it that has
    /// none, or only writes, and it is one itself.
    pub(super) fn expects(&self, op: OpId, result: &JournalResult) -> bool {
        let mut before = self.unanswered.iter();
        let Some((_, command, _)) = before.find(|(here, ..)| *here == op) else {
            return false;
        };
        let fits = matches!(
            (command, result),
            (JournalCommand::Append { .. }, JournalResult::Appended(_))
                | (JournalCommand::Trim { .. }, JournalResult::Trimmed(_))
                | (JournalCommand::Read { .. }, JournalResult::Read(_))
                | (JournalCommand::Reopen, JournalResult::Reopened(_))
        );
        let mut before = self.unanswered.iter().take_while(|(here, ..)| *here != op);
        let is_first = before.next().is_none();
        fits && (is_first || is_write(command) && before.all(|(_, before, _)| is_write(before)))
    }

    /// What an answer says of the oldest command that has none: that command's own,
    /// where it came with the answer to a write behind it.
    fn next_result(&self, result: &JournalResult) -> (OpId, JournalResult) {
        let (op, command, _) = self.unanswered.front().expect("something was asked");
        let result = match (command, result) {
            (
                JournalCommand::Append { .. },
                JournalResult::Appended(written) | JournalResult::Trimmed(written),
            ) => JournalResult::Appended(written.clone()),
            (
                JournalCommand::Trim { .. },
                JournalResult::Appended(written) | JournalResult::Trimmed(written),
            ) => JournalResult::Trimmed(written.clone()),
            _ => result.clone(),
        };
        (*op, result)
    }

    pub(super) fn command(
        &mut self,
        now: Duration,
        op: OpId,
        command: &JournalCommand,
        from: Option<ConnId>,
        documents: &Documents,
        connections: impl FnOnce(&DocId) -> usize,
    ) -> Result<(), Violation> {
        match command {
            JournalCommand::Append {
                doc,
                position,
                update,
            } => {
                self.append(doc, *position)?;
                self.appends.insert(op, (doc.clone(), now));
                self.largest_update = self.largest_update.max(update.len());
                *self.staged.entry(doc.clone()).or_default() += update.len();
                let since_idle = self.staged_since_idle.entry(doc.clone()).or_default();
                since_idle.push(update.clone());
                self.is_bounded(doc, connections(doc))?;
            }
            JournalCommand::Trim { doc, through } => self.trim(doc, *through, documents)?,
            JournalCommand::Read { doc } => {
                self.read.remove(doc);
                let is_first = self.reading.insert(doc.clone());
                holds(is_first, || format!("{doc} is being read already"))?;
            }
            JournalCommand::Reopen => {
                let is_needed = self.has_failed && !self.is_reopening;
                holds(is_needed, || "it is reopened without need".to_owned())?;
                self.is_reopening = true;
            }
        }
        self.unanswered.push_back((op, command.clone(), from));
        Ok(())
    }

    fn append(&mut self, doc: &DocId, position: Position) -> Result<(), Violation> {
        self.may_write(doc)?;
        let last = self.last.insert(doc.clone(), position);
        holds(last.is_none_or(|last| position > last), || {
            format!("{doc}: {position:?} follows {last:?}")
        })
    }

    /// What is forgotten is in the landed snapshot, except what the journal
    /// failed to take.
    fn trim(&self, doc: &DocId, through: Position, documents: &Documents) -> Result<(), Violation> {
        self.may_write(doc)?;
        let is_waiting = |command: &JournalCommand| match command {
            JournalCommand::Append {
                doc: of, position, ..
            } => of == doc && *position <= through,
            _ => false,
        };
        holds(!self.awaits(is_waiting), || {
            format!("{doc}: forgotten before it is written")
        })?;
        let uncovered = documents.uncovered(doc, through);
        Invariant::TrimCovered.holds(uncovered.is_none(), || {
            format!("{doc}: {uncovered:?} is forgotten, and not stored")
        })
    }

    fn may_write(&self, doc: &DocId) -> Result<(), Violation> {
        Invariant::Damaged.holds(!self.is_damaged(doc), || {
            "the records of a damaged document are touched".to_owned()
        })?;
        holds(!self.has_failed, || "it has failed".to_owned())?;
        holds(!self.held.contains(doc), || {
            format!("{doc} was not read since the start")
        })?;
        holds(!self.reading.contains(doc), || {
            format!("{doc} is being read")
        })
    }

    /// An answer comes to the engine, to a command and to all before it that have none.
    /// Returns what each is, with whose message that came, and what is said of it.
    pub(super) fn results(
        &mut self,
        through: OpId,
        result: &JournalResult,
    ) -> Vec<(JournalCommand, Option<ConnId>, JournalResult)> {
        let mut results = Vec::new();
        while let Some((op, ..)) = self.unanswered.front()
            && *op <= through
        {
            let (op, of_it) = self.next_result(result);
            let (command, from) = self.result(op, &of_it);
            results.push((command, from, of_it));
        }
        results
    }

    fn result(&mut self, op: OpId, result: &JournalResult) -> (JournalCommand, Option<ConnId>) {
        let (first, command, from) = self.unanswered.pop_front().expect("one result each");
        assert_eq!(op, first, "results come in order");
        self.appends.remove(&op);
        if let JournalCommand::Append { doc, update, .. } = &command {
            let staged = self.staged.get_mut(doc).expect("it was counted");
            *staged -= update.len();
            if matches!(result, JournalResult::Appended(Err(_))) {
                *self.refused.entry(doc.clone()).or_default() += update.len();
            }
            if *staged == 0 {
                self.staged_since_idle.remove(doc);
            }
        }
        self.count_records(&command, result);
        match (&command, result) {
            (JournalCommand::Read { .. }, JournalResult::Read(Ok(_)))
                if self.orphans.remove(&op) => {}
            (JournalCommand::Read { doc }, JournalResult::Read(read)) => {
                if !self.orphans.remove(&op) {
                    self.reading.remove(doc);
                }
                match read {
                    Ok(records) => {
                        self.held.remove(doc);
                        self.read.insert(doc.clone(), records.len());
                        if let Some(record) = records.last() {
                            let last = self.last.entry(doc.clone()).or_default();
                            *last = record.position.max(*last);
                        }
                    }
                    Err(JournalError::Damaged(_)) => {
                        self.damaged.insert(doc.clone());
                    }
                    Err(JournalError::Failed(_)) => self.has_failed = true,
                }
            }
            (
                JournalCommand::Append { doc, .. } | JournalCommand::Trim { doc, .. },
                JournalResult::Appended(Err(_)) | JournalResult::Trimmed(Err(_)),
            ) => {
                self.has_failed = true;
                self.doubtful.insert(doc.clone());
            }
            (_, JournalResult::Reopened(reopened)) => {
                self.is_reopening = false;
                self.has_failed = reopened.is_err();
            }
            _ => {}
        }
        (command, from)
    }

    fn count_records(&mut self, command: &JournalCommand, result: &JournalResult) {
        match (command, result) {
            (
                JournalCommand::Append {
                    doc,
                    position,
                    update,
                },
                JournalResult::Appended(Ok(())),
            ) => {
                let records = self.records.entry(doc.clone()).or_default();
                records.insert(*position, update.len());
            }
            (JournalCommand::Trim { doc, through }, JournalResult::Trimmed(Ok(()))) => {
                if let Some(records) = self.records.get_mut(doc) {
                    records.retain(|position, _| position > through);
                }
            }
            (JournalCommand::Read { doc }, JournalResult::Read(Ok(records))) => {
                let sizes = records
                    .iter()
                    .map(|record| (record.position, record.update.len()));
                self.records.insert(doc.clone(), sizes.collect());
            }
            _ => {}
        }
    }

    /// Bytes of the records that it holds for certain of documents that are
    /// not in memory, and of those that failed at most.
    pub(super) fn bytes_left(&self, is_loaded: impl Fn(&DocId) -> bool) -> usize {
        let records = self.records.iter();
        let left = records.filter(|(doc, _)| !is_loaded(doc));
        let left: usize = left.flat_map(|(_, records)| records.values()).sum();
        left + self.left.values().sum::<usize>()
    }

    /// What of a document and of all in memory waits for its answers.
    pub(super) fn staged(&self, doc: &DocId) -> Staged {
        let staged = self.staged.iter();
        let of_all = staged.filter(|(doc, _)| !self.left.contains_key(doc));
        Staged {
            of_it: self.staged.get(doc).copied().unwrap_or(0),
            of_all: of_all.map(|(_, bytes)| bytes).sum(),
        }
    }

    /// The updates that were handed out since none last waited.
    pub(super) fn staged_since_idle(&self, doc: &DocId) -> &[Bytes] {
        self.staged_since_idle.get(doc).map_or(&[], Vec::as_slice)
    }

    /// When the oldest update was handed out that waits for its answer.
    pub(super) fn oldest_append(&self) -> Option<Duration> {
        self.appends.values().map(|(_, since)| *since).min()
    }

    /// Whether it takes nothing.
    pub(super) const fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub(super) fn loaded(&mut self, doc: &DocId, replayed: usize) -> Result<(), Violation> {
        self.left.remove(doc);
        let read = self.read.remove(doc);
        let was_held = self.held.contains(doc);
        let is_complete = match read {
            Some(read) => read == replayed,
            None => replayed == 0 && !was_held,
        };
        Invariant::Replayed.holds(is_complete, || {
            format!("{doc}: {read:?} records were read, {replayed} replayed")
        })
    }

    /// A document leaves memory. What the journal has of it must be read
    /// before it comes back.
    pub(super) fn unloaded(&mut self, doc: &DocId, documents: &Documents) -> Result<(), Violation> {
        self.last.remove(doc);
        if documents.holds_records(doc) {
            self.held.insert(doc.clone());
        }
        Invariant::LeftClean.holds(!self.is_appending(doc), || {
            format!("{doc}: something waits to be durable")
        })
    }

    /// Past the limit each connection adds at most what it had sent when it
    /// was told to wait, and one frame more.
    fn is_bounded(&self, doc: &DocId, connections: usize) -> Result<(), Violation> {
        let staged = self.staged.get(doc).copied().unwrap_or(0);
        let slack = 2 * connections * self.largest_update;
        let most = self.staged_bytes_max + slack;
        Invariant::Bounded.holds(staged <= most, || {
            format!("{doc}: {staged} bytes wait to be durable, and {most} may")
        })
    }
}

const fn is_write(command: &JournalCommand) -> bool {
    matches!(
        command,
        JournalCommand::Append { .. } | JournalCommand::Trim { .. }
    )
}

fn holds(condition: bool, detail: impl FnOnce() -> String) -> Result<(), Violation> {
    Invariant::JournalWords.holds(condition, detail)
}
