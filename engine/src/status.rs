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
