//! What the journal is doing, and for which documents.

use std::collections::VecDeque;

use super::DocKey;
use crate::{
    id::OpId,
    planted::{self, Bug},
};

/// Operations under way, in the order in which they were begun. That is the
/// order in which they end, so that the next to end is the first.
#[derive(Debug, Default)]
pub(super) struct JournalOperations(VecDeque<JournalOperation>);

/// What the journal is doing for a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct JournalOperation {
    pub(super) op: OpId,
    pub(super) document: DocKey,
    /// Whether an update is being made durable.
    pub(super) is_append: bool,
}

/// What the journal has done for a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) document: DocKey,
    /// How many updates it was to make durable; none if it was something else.
    pub(super) records: usize,
}

impl JournalOperations {
    /// Notes the latest of all operations.
    pub(super) fn begin(&mut self, operation: JournalOperation) {
        debug_assert!(self.0.back().is_none_or(|last| last.op < operation.op));
        self.0.push_back(operation);
    }

    /// All have ended up to this one, and are told one after the other: updates of
    /// one document that follow each other together. Those of documents that are not
    /// here any more are left out.
    pub(super) fn end(&mut self, through: OpId) -> Option<Ended> {
        let first = *self.0.front().filter(|first| first.op <= through)?;
        let is_append = |here: &JournalOperation| {
            here.is_append || first.is_append && planted::is(Bug::TrimTakenForAppend)
        };
        let like_first = |here: &&JournalOperation| {
            here.op <= through && is_append(here) && here.document == first.document
        };
        let records = match planted::is(Bug::RunPastAnother) {
            true => self.0.iter().filter(like_first).count(),
            false => self.0.iter().take_while(like_first).count(),
        };
        self.0.drain(..records.max(1));
        Some(Ended {
            document: first.document,
            records,
        })
    }

    /// Nobody waits any more for what is done for a document. Tells which of it
    /// makes updates durable.
    pub(super) fn abandon(&mut self, document: DocKey) -> Vec<OpId> {
        let of_document = self.0.iter().filter(|here| here.document == document);
        let appends = of_document.filter(|here| here.is_append);
        let appends = appends.map(|here| here.op).collect();
        self.0.retain(|here| here.document != document);
        appends
    }
}
