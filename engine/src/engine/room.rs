//! Which documents come into memory, and which leave when it is short.

use std::time::Duration;

use super::Engine;
use crate::{
    document::Document,
    journal_health::JournalHealth,
    marks::{self, Mark},
};

impl Engine {
    pub(super) fn may_push(&self) -> bool {
        self.shutdown.is_none()
            && self.pushing < self.config.pushes_max
            && self.journaling.health() == JournalHealth::Works
    }

    /// Brings documents from the journal into the store.
    pub(super) fn push(&mut self, now: Duration) {
        while self.may_push()
            && let Some(doc) = self.backlog.next_due(now).cloned()
        {
            if self.make_room(now) {
                marks::hit(Mark::PushFromBacklog);
                self.load(now, &doc, true);
            } else {
                self.backlog.put_off(now + self.config.retry_delay_max);
            }
        }
    }

    /// Lets idle documents go until there is room for one more, first those
    /// that the store has, then those that it does not take and the journal
    /// has. False if there is none.
    pub(super) fn make_room(&mut self, now: Duration) -> bool {
        for let_go in [Document::evict, Document::abandon] {
            if self.has_room() {
                return true;
            }
            for (_, key) in self.idle.iter().copied().collect::<Vec<_>>() {
                if self.has_room() {
                    return true;
                }
                self.with(now, key, let_go);
                marks::hit_if(Mark::EvictedForRoom, || !self.documents.contains_key(&key));
            }
        }
        self.has_room()
    }

    const fn has_room(&self) -> bool {
        self.totals.documents < self.config.documents_bytes_max
    }

    /// Bytes of updates that no landed snapshot covers, those of documents
    /// that have left memory included.
    pub(super) const fn unsaved_bytes(&self) -> usize {
        self.totals.unsaved + self.backlog.bytes()
    }
}
