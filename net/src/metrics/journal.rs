//! What is counted of the journal.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use ysyncd_storage::journal::Journal;

/// From a fast disk's sync to one that does not answer.
const SYNC_SECONDS: [f64; 14] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// The journal's part of the metrics.
#[derive(Debug)]
pub(crate) struct JournalMetrics {
    pub(crate) sync_latency: Histogram,
    pub(crate) failures: Counter,
    pub(super) replayed: Counter,
    size: Gauge,
    at_risk: Gauge,
    commits: Counter,
    records: Counter,
    bytes: Counter,
}

impl Default for JournalMetrics {
    fn default() -> Self {
        Self {
            sync_latency: Histogram::new(SYNC_SECONDS),
            failures: Counter::default(),
            replayed: Counter::default(),
            size: Gauge::default(),
            at_risk: Gauge::default(),
            commits: Counter::default(),
            records: Counter::default(),
            bytes: Counter::default(),
        }
    }
}

impl JournalMetrics {
    /// Counts a commit that is durable.
    pub(crate) fn committed(&self, records: u64, bytes: u64) {
        self.commits.inc();
        self.records.inc_by(records);
        self.bytes.inc_by(bytes);
    }

    /// Notes how it stands; nothing if there is none.
    pub(super) fn set(&self, journal: Option<&dyn Journal>) {
        let noted = [
            (&self.size, journal.map(Journal::size_bytes)),
            (&self.at_risk, journal.map(Journal::at_risk_bytes)),
        ];
        for (gauge, bytes) in noted {
            gauge.set(i64::try_from(bytes.unwrap_or(0)).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            (
                "journal_commits",
                "Commits to the journal that are durable, each with any number of updates",
                &self.commits,
            ),
            (
                "journal_records",
                "Updates that the journal made durable",
                &self.records,
            ),
            (
                "journal_failures",
                "Calls of the journal that failed, futile attempts to reopen it included",
                &self.failures,
            ),
            (
                "journal_replayed_records",
                "Updates found in the journal when their document was loaded",
                &self.replayed,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register_with_unit(
            "journal",
            "Size of the updates that the journal made durable",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register_with_unit(
            "journal_size",
            "Room that the journal takes on the disk now",
            Unit::Bytes,
            self.size.clone(),
        );
        registry.register_with_unit(
            "journal_at_risk",
            "Acknowledged writes that should be durable by now and that the disk has failed to \
             take: above 0, the loss of power loses edits that no snapshot holds",
            Unit::Bytes,
            self.at_risk.clone(),
        );
        registry.register_with_unit(
            "journal_sync",
            "Time that one commit to the journal took, that is, about one sync of the disk",
            Unit::Seconds,
            self.sync_latency.clone(),
        );
    }
}
