//! What the journal is doing, and for which documents.

use std::collections::VecDeque;

use super::DocKey;
use crate::id::OpId;

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

impl JournalOperations {
    /// Notes the latest of all operations.
    pub(super) fn begin(&mut self, operation: JournalOperation) {
        debug_assert!(self.0.back().is_none_or(|last| last.op < operation.op));
        self.0.push_back(operation);
    }

    /// One has ended; tells for which document it was, if that is still here.
    pub(super) fn end(&mut self, op: OpId) -> Option<DocKey> {
        let at = match self.0.front()?.op == op {
            true => 0,
            false => self.0.binary_search_by_key(&op, |here| here.op).ok()?,
        };
        self.0.remove(at).map(|operation| operation.document)
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
