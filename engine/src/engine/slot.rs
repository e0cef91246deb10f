//! What the engine keeps with each document.

use std::time::Duration;

use super::backlog::Entry;
use crate::{
    document::{Document, Left},
    id::DocId,
};

/// A document in memory, and where it is noted.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: DocId,
    pub(super) document: Document,
    /// As it stands in `due`: when its next timeout is, or before that. One that
    /// moves on with every change is looked at when its time would have come.
    pub(super) due: Option<Duration>,
    /// As it stands in `idle`.
    pub(super) idle_since: Option<Duration>,
    /// What it adds to the totals.
    pub(super) share: Totals,
    /// Whether it was not there yet when it last handled something.
    pub(super) is_loading: bool,
    /// Whether it was subscribed to since the bus came up.
    pub(super) on_bus: bool,
    /// What the backlog knew of it, if the journal may hold something of it.
    pub(super) entry: Option<Entry>,
    /// Whether it is here only to be brought into the store.
    pub(super) pushed: bool,
}

/// How a document stands once it has handled something: all that the engine
/// has to know of it until it handles something again.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) timeout: Option<Duration>,
    pub(super) is_idle: bool,
    pub(super) is_loading: bool,
    pub(super) share: Totals,
    pub(super) left: Option<Left>,
}

/// Sums over documents, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) documents: usize,
    pub(super) unsaved: usize,
}

impl Standing {
    pub(super) fn of(document: &Document) -> Self {
        Self {
            timeout: document.next_timeout(),
            is_idle: document.is_idle(),
            is_loading: document.is_loading(),
            share: Totals {
                documents: document.bytes(),
                unsaved: document.unsaved_bytes(),
            },
            left: document.left(),
        }
    }
}

impl Totals {
    pub(super) fn add(&mut self, share: Self) {
        self.documents += share.documents;
        self.unsaved += share.unsaved;
    }

    pub(super) fn subtract(&mut self, share: Self) {
        self.documents -= share.documents;
        self.unsaved -= share.unsaved;
    }
}
