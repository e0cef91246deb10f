//! What is counted of snapshots and of the store that keeps them.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use ysyncd_engine::{StoreCommand, StoreError, StoreResult};

/// From a store in memory to one that does not answer.
const STORE_SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// The snapshots' part of the metrics.
#[derive(Debug)]
pub(crate) struct SnapshotMetrics {
    pub(super) saved: Counter,
    pub(super) saved_bytes: Counter,
    pub(super) merged: Counter,
    pub(super) adopted: Counter,
    attempts: Counter,
    failed: Family<Failed, Counter>,
    load_latency: Histogram,
    save_latency: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    error: &'static str,
}

impl Default for SnapshotMetrics {
    fn default() -> Self {
        let failed = Family::<Failed, Counter>::default();
        // A series that begins at its first failure hides that failure from
        // whoever watches how fast it grows.
        for error in ["conflict", "unknown", "unavailable", "denied"] {
            drop(failed.get_or_create(&Failed { error }));
        }
        Self {
            saved: Counter::default(),
            saved_bytes: Counter::default(),
            merged: Counter::default(),
            adopted: Counter::default(),
            attempts: Counter::default(),
            failed,
            load_latency: Histogram::new(STORE_SECONDS),
            save_latency: Histogram::new(STORE_SECONDS),
        }
    }
}

impl SnapshotMetrics {
    /// Counts what the store is asked for.
    pub(crate) fn asked(&self, command: &StoreCommand) {
        if let StoreCommand::Save { .. } = command {
            self.attempts.inc();
        }
    }

    /// Counts what the store has answered, and how long that took.
    pub(crate) fn answered(&self, result: &StoreResult, took: Duration) {
        match result {
            StoreResult::Loaded(_) => self.load_latency.observe(took.as_secs_f64()),
            StoreResult::Saved(_) => self.save_latency.observe(took.as_secs_f64()),
        }
    }

    /// Counts a try to save that failed: at the write, or at the read that
    /// comes before it once the outcome of a write is unknown.
    pub(super) fn failed(&self, error: &StoreError) {
        let error = label(error);
        self.failed.get_or_create(&Failed { error }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            (
                "snapshot_attempts",
                "Attempts to write a snapshot",
                &self.attempts,
            ),
            ("snapshots_saved", "Snapshots written", &self.saved),
            (
                "snapshots_merged",
                "Snapshots of other writers merged",
                &self.merged,
            ),
            (
                "snapshots_adopted",
                "Snapshots of other nodes that need not be written here, as the bus told of them",
                &self.adopted,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "snapshots_failed",
            "Attempts to write a snapshot that failed, to be made again: another writer's was \
             found (conflict), the answer was lost (unknown), the store was not there \
             (unavailable) or refused (denied)",
            self.failed.clone(),
        );
        registry.register_with_unit(
            "snapshots_saved",
            "Size of the snapshots written",
            Unit::Bytes,
            self.saved_bytes.clone(),
        );
        for (name, help, latency) in [
            (
                "snapshot_load",
                "Time that the store took to answer a read, failures included",
                &self.load_latency,
            ),
            (
                "snapshot_save",
                "Time that the store took to answer a write, failures included",
                &self.save_latency,
            ),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, latency.clone());
        }
    }
}

fn label(error: &StoreError) -> &'static str {
    match error {
        StoreError::Conflict => "conflict",
        StoreError::Unknown(_) => "unknown",
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Denied(_) => "denied",
    }
}
