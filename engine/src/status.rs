//! How an engine stands at one moment.

use std::time::Duration;

/// Figures for metrics, gathered by looking at every document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Documents being read.
    pub documents_loading: usize,
    /// Documents in use, or a moment ago.
    pub documents_live: usize,
    /// Documents that nobody has open and that are being saved.
    pub documents_draining: usize,
    /// Room that documents take, about, in bytes.
    pub documents_bytes: usize,
    /// Bytes of updates that wait to become durable.
    pub staged_bytes: usize,
    /// Bytes of updates that no landed snapshot covers.
    pub unsaved_bytes: usize,
    /// Bytes of large answers on their way to clients.
    pub answers_bytes: usize,
    /// Age of the oldest update that would be lost if the process died now
    /// and its sender did not come back.
    pub oldest_undurable: Option<Duration>,
    /// Age of the oldest update that no landed snapshot covers.
    pub oldest_unsaved: Option<Duration>,
    /// Documents in memory or not whose journal records wait to be brought
    /// into the store.
    pub documents_to_push: usize,
    /// Whether the bus between nodes is up; `false` where there is none.
    pub bus_is_up: bool,
    /// Whether the journal has failed and has not come back yet.
    pub journal_failed: bool,
}

impl Status {
    /// How two engines of one server stand together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            documents_loading: self.documents_loading + other.documents_loading,
            documents_live: self.documents_live + other.documents_live,
            documents_draining: self.documents_draining + other.documents_draining,
            documents_bytes: self.documents_bytes + other.documents_bytes,
            staged_bytes: self.staged_bytes + other.staged_bytes,
            unsaved_bytes: self.unsaved_bytes + other.unsaved_bytes,
            answers_bytes: self.answers_bytes + other.answers_bytes,
            oldest_undurable: self.oldest_undurable.max(other.oldest_undurable),
            oldest_unsaved: self.oldest_unsaved.max(other.oldest_unsaved),
            documents_to_push: self.documents_to_push + other.documents_to_push,
            bus_is_up: self.bus_is_up && other.bus_is_up,
            journal_failed: self.journal_failed || other.journal_failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_engines_stand_together_as_the_worse_of_them() {
        let one = Status {
            documents_live: 1,
            oldest_unsaved: Some(Duration::from_secs(2)),
            bus_is_up: true,
            journal_failed: true,
            ..Status::default()
        };
        let two = Status {
            documents_live: 2,
            oldest_undurable: Some(Duration::from_secs(1)),
            oldest_unsaved: Some(Duration::from_secs(1)),
            ..Status::default()
        };
        let both = Status {
            documents_live: 3,
            oldest_undurable: Some(Duration::from_secs(1)),
            oldest_unsaved: Some(Duration::from_secs(2)),
            bus_is_up: false,
            journal_failed: true,
            ..Status::default()
        };
        assert_eq!(one.and(&two), both);
        assert_eq!(two.and(&one), both);
    }
}
