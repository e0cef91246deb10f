//! Which documents come into memory, and which leave when it is short.

use std::time::Duration;

use super::Engine;
use crate::{
    document::Document,
    journal_health::JournalHealth,
    marks::{self, Mark},
};

/// How long room is not looked for after it was, for each document that was asked
/// to leave and could not: so that this takes a twentieth of the time at most …
const SEEK_PAUSE: Duration = Duration::from_micros(20);

/// … but for so many, which take next to none.
const SEEK_FREE: u32 = 100;

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

    /// Lets idle documents go until there is room for one more. False if there
    /// is none.
    pub(super) fn make_room(&mut self, now: Duration) -> bool {
        let most = self.config.documents_bytes_max.saturating_sub(1);
        self.let_idle_go(now, most)
    }

    /// Lets idle documents go if what comes might not be taken otherwise.
    pub(super) fn make_room_to_grow(&mut self, now: Duration, bytes: usize) {
        let most = self.config.documents_growth_max.saturating_sub(bytes);
        self.let_idle_go(now, most);
    }

    /// Lets idle documents go, first those that the store has, then those that it
    /// does not take and the journal has, until all together take so many bytes
    /// at most. False if they take more.
    fn let_idle_go(&mut self, now: Duration, most: usize) -> bool {
        if self.totals.documents <= most || now < self.room_sought_again {
            return self.totals.documents <= most;
        }
        let mut in_vain = 0;
        for let_go in [Document::evict, Document::abandon] {
            for (_, key) in self.idle.iter().copied().collect::<Vec<_>>() {
                if self.totals.documents <= most {
                    break;
                }
                self.with(now, key, let_go);
                let has_left = !self.documents.contains_key(&key);
                marks::hit_if(Mark::EvictedForRoom, || has_left);
                in_vain += u32::from(!has_left);
            }
        }
        self.room_sought_again = now + SEEK_PAUSE * in_vain.saturating_sub(SEEK_FREE);
        self.totals.documents <= most
    }

    /// Bytes of updates that no landed snapshot covers, those of documents
    /// that have left memory included.
    pub(super) const fn unsaved_bytes(&self) -> usize {
        self.totals.unsaved + self.backlog.bytes()
    }
}
