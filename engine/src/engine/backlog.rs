//! Documents that are not in memory and of which the journal holds what the
//! store may not.
//!
//! They are brought into the store without waiting for anybody to open them:
//! by then the document may be open on another node, which knows nothing of
//! this journal.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    config::Config,
    document::Left,
    id::DocId,
    planted::{self, Bug},
    random::Jitter,
};

#[derive(Debug, Default)]
pub(super) struct Backlog {
    entries: BTreeMap<DocId, Entry>,
    due: BTreeSet<(Duration, DocId)>,
    bytes: usize,
}

/// What is known of a document in the backlog.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    failures: u32,
    /// When to try. `None` if that is of no use before somebody has looked.
    due: Option<Duration>,
    /// Bytes of updates that no landed snapshot covers, as far as known.
    bytes: usize,
}

impl Entry {
    pub(super) const fn with_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn docs(&self) -> impl Iterator<Item = &DocId> {
        self.entries.keys()
    }

    /// The journal holds records of a document from an earlier life.
    pub(super) fn found(&mut self, now: Duration, doc: DocId) {
        let due = (!planted::is(Bug::BacklogNotPushed)).then_some(now);
        self.insert(
            doc,
            Entry {
                due,
                ..Entry::default()
            },
        );
    }

    /// A document comes into memory: what is known of it, if the journal may
    /// hold something of it.
    pub(super) fn take(&mut self, doc: &DocId) -> Option<Entry> {
        let entry = self.entries.remove(doc)?;
        if !planted::is(Bug::BacklogBytesLeak) {
            self.bytes -= entry.bytes;
        }
        if let Some(due) = entry.due {
            self.due.remove(&(due, doc.clone()));
        }
        Some(entry)
    }

    /// A document has left memory, and the journal may hold something of it.
    pub(super) fn put(
        &mut self,
        now: Duration,
        doc: DocId,
        before: Entry,
        left: Left,
        config: &Config,
        jitter: &mut Jitter,
    ) {
        let failures = before.failures + 1;
        let longest = config.retry_delay_min * (1 << before.failures.min(20));
        let delay = jitter.up_to(longest.min(config.retry_delay_max));
        let due = (left != Left::Damaged).then_some(now + delay);
        let bytes = before.bytes;
        self.insert(
            doc,
            Entry {
                failures,
                due,
                bytes,
            },
        );
    }

    /// When the next one is to be tried.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The next one to try now.
    pub(super) fn next_due(&self, now: Duration) -> Option<&DocId> {
        let (due, doc) = self.due.first()?;
        (*due <= now).then_some(doc)
    }

    /// Puts off the next one.
    pub(super) fn put_off(&mut self, until: Duration) {
        if let Some((_, doc)) = self.due.pop_first() {
            let entry = self.entries.get_mut(&doc).expect("what is due is there");
            entry.due = Some(until);
            if !planted::is(Bug::PutOffForgotten) {
                self.due.insert((until, doc));
            }
        }
    }

    fn insert(&mut self, doc: DocId, entry: Entry) {
        if let Some(due) = entry.due {
            self.due.insert((due, doc.clone()));
        }
        self.bytes += entry.bytes;
        self.entries.insert(doc, entry);
    }
}
