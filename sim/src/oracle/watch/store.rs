//! What the store is asked.

use std::collections::{BTreeMap, BTreeSet};

use ysyncd_engine::{Condition, DocId, Etag, OpId, StoreCommand, StoreResult};

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
}

/// What the store is asked and has not answered.
#[derive(Debug)]
struct UnderWay {
    doc: DocId,
    lane: Lane,
    is_save: bool,
}

/// Documents that come into memory wait apart from those that are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Load,
    Save,
}

impl StoreWatch {
    pub(super) const fn new(operations_max: usize) -> Self {
        Self {
            operations_max,
            under_way: BTreeMap::new(),
            known: BTreeMap::new(),
            loaded: BTreeSet::new(),
        }
    }

    pub(super) fn loaded(&mut self, doc: &DocId) {
        self.loaded.insert(doc.clone());
    }

    pub(super) fn unloaded(&mut self, doc: &DocId) {
        self.loaded.remove(doc);
    }

    /// Whether it was asked for such an answer.
    pub(super) fn expects(&self, op: OpId, result: &StoreResult) -> bool {
        let is_save = matches!(result, StoreResult::Saved(_));
        let asked = self.under_way.get(&op);
        asked.is_some_and(|asked| asked.is_save == is_save)
    }

    pub(super) fn command(&mut self, op: OpId, command: &StoreCommand) -> Result<(), Violation> {
        let (StoreCommand::Load { doc } | StoreCommand::Save { doc, .. }) = command;
        if let Some(other) = self.under_way.iter().find(|(_, other)| other.doc == *doc) {
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
                lane,
                is_save,
            },
        );
        let in_lane = self.under_way.values().filter(|other| other.lane == lane);
        if in_lane.count() > self.operations_max {
            return Err(Invariant::Turns.violated(format!("{:?}", self.under_way)));
        }
        match command {
            StoreCommand::Load { .. } => Ok(()),
            StoreCommand::Save { condition, .. } => self.conditional(doc, condition),
        }
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
    pub(super) fn result(&mut self, op: OpId, result: &StoreResult) -> Option<DocId> {
        let UnderWay { doc, .. } = self.under_way.remove(&op)?;
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
            StoreResult::Loaded(Err(_)) | StoreResult::Saved(Err(_)) => {}
        }
        Some(doc)
    }
}
