//! What the store is asked.

use std::collections::{BTreeMap, BTreeSet};

use ysyncd_engine::{Condition, DocId, Etag, OpId, StoreCommand, StoreResult};

use super::{Invariant, Violation};
use crate::journal::Journal;

/// The store as one engine knows it.
#[derive(Debug)]
pub(super) struct StoreWatch {
    operations_max: usize,
    under_way: BTreeMap<OpId, (DocId, Lane)>,
    /// The stored objects as the engine last read or wrote them.
    known: BTreeMap<DocId, Etag>,
    /// Documents in memory.
    loaded: BTreeSet<DocId>,
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

    pub(super) fn command(
        &mut self,
        op: OpId,
        command: &StoreCommand,
        journal: &Journal,
    ) -> Result<(), Violation> {
        let (StoreCommand::Load { doc } | StoreCommand::Save { doc, .. }) = command;
        if let Some(other) = self.under_way.iter().find(|(_, (other, _))| other == doc) {
            let detail = format!("{op:?} begins before {other:?} has ended");
            return Err(Invariant::OneOperation.violated(detail));
        }
        let lane = match self.loaded.contains(doc) {
            true => Lane::Save,
            false => Lane::Load,
        };
        self.under_way.insert(op, (doc.clone(), lane));
        let in_lane = self.under_way.values().filter(|(_, other)| *other == lane);
        if in_lane.count() > self.operations_max {
            return Err(Invariant::Turns.violated(format!("{:?}", self.under_way)));
        }
        match command {
            StoreCommand::Load { .. } => Ok(()),
            StoreCommand::Save { .. } if journal.is_damaged(doc) => {
                Err(Invariant::Damaged.violated("a damaged document is written"))
            }
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
        match is_conditional {
            true => Ok(()),
            false => {
                let detail = format!("{condition:?}, but last known is {known:?}");
                Err(Invariant::Conditional.violated(detail))
            }
        }
    }

    pub(super) fn result(&mut self, op: OpId, result: &StoreResult) {
        let (doc, _) = self.under_way.remove(&op).expect("one result each");
        match result {
            StoreResult::Loaded(Ok(Some(snapshot))) => {
                self.known.insert(doc, snapshot.etag.clone());
            }
            StoreResult::Loaded(Ok(None)) => {
                self.known.remove(&doc);
            }
            StoreResult::Saved(Ok(etag)) => {
                self.known.insert(doc, etag.clone());
            }
            StoreResult::Loaded(Err(_)) | StoreResult::Saved(Err(_)) => {}
        }
    }
}
