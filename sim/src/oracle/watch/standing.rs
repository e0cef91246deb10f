//! How an engine says that it stands, compared with what is known of it.

use std::time::Duration;

use ysyncd_engine::Status;

use super::{Invariant, Violation, Watch};

impl Watch {
    /// What is unsaved is not less than came and was not stored, and the oldest
    /// of what would be lost is as old as it is.
    pub(super) fn status_is_true(&self, now: Duration, status: &Status) -> Result<(), Violation> {
        let unsaved = self.documents.unsaved_bytes();
        Invariant::StatusTrue.holds(status.unsaved_bytes >= unsaved, || {
            let told = status.unsaved_bytes;
            format!("{told} bytes are said to be unsaved, and {unsaved} are at least")
        })?;
        let age = |since: Option<Duration>| since.map(|since| now.saturating_sub(since));
        let unsaved = age(self.documents.oldest_unsaved());
        Invariant::StatusTrue.holds(status.oldest_unsaved >= unsaved, || {
            let told = status.oldest_unsaved;
            format!("the oldest unsaved change is said to be {told:?} old, and is {unsaved:?}")
        })?;
        let told = status.oldest_undurable;
        let (is_true, oldest) = match self.has_journal {
            true => {
                let oldest = age(self.journal.oldest_append());
                (told == oldest, oldest)
            }
            false => (told >= unsaved, unsaved),
        };
        Invariant::StatusTrue.holds(is_true, || {
            format!("the oldest undurable update is said to wait for {told:?}, and does {oldest:?}")
        })
    }
}
