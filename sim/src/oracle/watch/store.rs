//! What the store is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ysyncd_engine::{Condition, Config, DocId, Etag, OpId, StoreCommand, StoreError, StoreResult};

use super::{Invariant, Violation};

/// The store as one engine knows it.
#[derive(Debug)]
pub(super) struct StoreWatch {
    operations_max: usize,
    under_way: BTreeMap<OpId, UnderWay>,
    /// The stored objects as the engine last read or wrote them.
    known: BTreeMap<DocId, Etag>,
    /// Documents in memory.
    loaded: BTreeSet<DocId>,
    /// A save met a conflict with the input under way.
    conflict: Option<DocId>,
    /// Failures in a row, and when the last one was told.
    failures: BTreeMap<DocId, (u32, Duration)>,
    /// Documents whose last operation was no success.
    in_trouble: BTreeSet<DocId>,
    retry_delay_min: Duration,
    retry_delay_max: Duration,
}

/// What the store is asked and has not answered.
#[derive(Debug)]
struct UnderWay {
    doc: DocId,
    /// The document has failed since: nobody waits for the answer.
    is_orphan: bool,
    lane: Lane,
    is_save: bool,
}

/// Documents that come into memory wait apart from those that are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Load,
    Save,
}

impl UnderWay {
    /// Whether a document waits for it.
    fn is_of(&self, doc: &DocId) -> bool {
        self.doc == *doc && !self.is_orphan
    }
}

impl StoreWatch {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            operations_max: config.store_operations_max,
            under_way: BTreeMap::new(),
            known: BTreeMap::new(),
            loaded: BTreeSet::new(),
            conflict: None,
            failures: BTreeMap::new(),
            in_trouble: BTreeSet::new(),
            retry_delay_min: config.retry_delay_min,
            retry_delay_max: config.retry_delay_max,
        }
    }

    pub(super) fn loaded(&mut self, doc: &DocId) {
        self.loaded.insert(doc.clone());
    }

    pub(super) fn unloaded(&mut self, doc: &DocId) {
        self.loaded.remove(doc);
        self.failures.remove(doc);
    }

    /// What another node has written is known now.
    pub(super) fn adopted(&mut self, doc: &DocId, etag: &Etag) {
        self.known.insert(doc.clone(), etag.clone());
    }

    /// A document has failed: it is read anew, whatever is still under way.
    pub(super) fn failed(&mut self, doc: &DocId) {
        self.unloaded(doc);
        self.conflict.take_if(|conflict| conflict == doc);
        let under_way = self.under_way.values_mut();
        let of_doc = under_way.filter(|other| other.doc == *doc);
        of_doc.for_each(|other| other.is_orphan = true);
    }

    /// Whether it was asked for such an answer.
    pub(super) fn expects(&self, op: OpId, result: &StoreResult) -> bool {
        let is_save = matches!(result, StoreResult::Saved(_));
        let asked = self.under_way.get(&op);
        asked.is_some_and(|asked| asked.is_save == is_save)
    }

    pub(super) fn command(
        &mut self,
        now: Duration,
        op: OpId,
        command: &StoreCommand,
        is_in_use: bool,
    ) -> Result<(), Violation> {
        let (StoreCommand::Load { doc } | StoreCommand::Save { doc, .. }) = command;
        let mut under_way = self.under_way.iter();
        if let Some(other) = under_way.find(|(_, other)| other.is_of(doc)) {
            let detail = format!("{op:?} begins before {other:?} has ended");
            return Err(Invariant::OneOperation.violated(detail));
        }
        let lane = match self.loaded.contains(doc) {
            true => Lane::Save,
            false => Lane::Load,
        };
        let is_save = matches!(command, StoreCommand::Save { .. });
        let doc_of = doc.clone();
        self.under_way.insert(
            op,
            UnderWay {
                doc: doc_of,
                is_orphan: false,
                lane,
                is_save,
            },
        );
        let in_lane = self.under_way.values().filter(|other| other.lane == lane);
        if in_lane.count() > self.operations_max {
            return Err(Invariant::Turns.violated(format!("{:?}", self.under_way)));
        }
        if is_in_use && self.has_turns() {
            self.has_paused(now, doc)?;
        }
        self.conflict.take_if(|conflict| conflict == doc);
        match command {
            StoreCommand::Load { .. } => Ok(()),
            StoreCommand::Save { condition, .. } => self.conditional(doc, condition),
        }
    }

    /// Whether nothing keeps a document from being written: no operation of it
    /// is under way, its last one has not failed, and nobody else has written.
    pub(super) fn is_free(&self, doc: &DocId) -> bool {
        let is_busy = self.under_way.values().any(|other| other.is_of(doc));
        !is_busy && self.has_turns() && !self.in_trouble.contains(doc)
    }

    /// Whether the last operation of a document was no success, or what it read
    /// is still to be written.
    pub(super) fn is_in_trouble(&self, doc: &DocId) -> bool {
        self.in_trouble.contains(doc)
    }

    /// Whether nobody ever has to wait for a turn.
    pub(super) const fn has_turns(&self) -> bool {
        self.operations_max >= 64
    }

    /// After failures comes a pause that doubles with each of them. What
    /// nobody has open is tried once more at once.
    fn has_paused(&self, now: Duration, doc: &DocId) -> Result<(), Violation> {
        let Some((failures, at)) = self.failures.get(doc) else {
            return Ok(());
        };
        let doubled = self.retry_delay_min * (1 << (failures - 1).min(20));
        let due = *at + doubled.min(self.retry_delay_max) / 2;
        Invariant::Pauses.holds(now >= due, || {
            format!("{doc}: tried again at {now:?}, {failures} failures until {at:?}")
        })
    }

    /// Who met a conflict has looked into it at once.
    pub(super) fn settled(&mut self) -> Result<(), Violation> {
        let conflict = self.conflict.take();
        let conflict = conflict.filter(|doc| self.has_turns() && self.loaded.contains(doc));
        Invariant::Pauses.holds(conflict.is_none(), || {
            format!("{conflict:?} met a conflict and does not look into it")
        })
    }

    fn conditional(&self, doc: &DocId, condition: &Condition) -> Result<(), Violation> {
        let known = self.known.get(doc);
        let is_conditional = match (condition, known) {
            (Condition::Absent, None) => true,
            (Condition::Matches(etag), Some(known)) => etag == known,
            _ => false,
        };
        Invariant::Conditional.holds(is_conditional, || {
            format!("{condition:?}, but last known is {known:?}")
        })
    }

    /// Of which document an answer is that comes to the engine; `None` if it
    /// asked nothing such.
    pub(super) fn result(
        &mut self,
        now: Duration,
        op: OpId,
        result: &StoreResult,
    ) -> Option<DocId> {
        let under_way = self.under_way.remove(&op)?;
        let UnderWay { doc, .. } = Some(under_way).filter(|asked| !asked.is_orphan)?;
        match result {
            StoreResult::Loaded(Ok(Some(snapshot))) => {
                self.known.insert(doc.clone(), snapshot.etag.clone());
            }
            StoreResult::Loaded(Ok(None)) => {
                self.known.remove(&doc);
            }
            StoreResult::Saved(Ok(etag)) => {
                self.known.insert(doc.clone(), etag.clone());
            }
            StoreResult::Saved(Err(StoreError::Conflict)) => {
                self.conflict = Some(doc.clone());
                // The store works again: it is looked into at once.
                self.failures.remove(&doc);
            }
            StoreResult::Loaded(Err(_)) | StoreResult::Saved(Err(_)) => {
                let failures = self.failures.get(&doc).map_or(0, |(failures, _)| *failures);
                if self.loaded.contains(&doc) {
                    self.failures.insert(doc.clone(), (failures + 1, now));
                }
            }
        }
        match result {
            StoreResult::Saved(Ok(_)) => self.in_trouble.remove(&doc),
            // What was read may have to be merged and written, after a pause.
            StoreResult::Loaded(Ok(_)) if !self.loaded.contains(&doc) => false,
            _ => self.in_trouble.insert(doc.clone()),
        };
        if matches!(
            result,
            StoreResult::Loaded(Ok(_)) | StoreResult::Saved(Ok(_))
        ) {
            self.failures.remove(&doc);
        }
        Some(doc)
    }
}
