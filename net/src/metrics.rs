//! What is counted, and under which names.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};
use ysyncd_engine::Event;

/// The counters and gauges of one shard.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    registry: Registry,
    connections: Gauge,
    opened: Counter,
    closed: Family<Closed, Counter>,
    refused: Family<Refused, Counter>,
    pub(crate) messages_received: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) bytes_sent: Counter,
    documents: Gauge,
    documents_loaded: Counter,
    load_failures: Counter,
    undecodable: Counter,
    snapshots_saved: Counter,
    snapshots_failed: Counter,
    snapshots_merged: Counter,
    snapshot_bytes: Counter,
    updates_applied: Counter,
    updates_refused: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Closed {
    code: Code,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    status: u16,
}

/// A close code as a label. Clients may send any of 2,000 codes of their own,
/// which must not become as many time series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Code(u16);

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self.0 {
            code @ 1000..=1015 => EncodeLabelValue::encode(&code, encoder),
            _ => EncodeLabelValue::encode(&"other", encoder),
        }
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self::default();
        let mut registry = Registry::with_prefix("ysyncd");
        register_traffic(&mut registry, &metrics);
        register_documents(&mut registry, &metrics);
        Self {
            registry,
            ..metrics
        }
    }

    /// Counts a connection whose handshake is done.
    pub(crate) fn connection_opened(&self) {
        self.connections.inc();
        self.opened.inc();
    }

    /// Counts the end of a connection, under the code that it ended with.
    pub(crate) fn connection_closed(&self, code: u16) {
        let code = Code(if (1000..=1015).contains(&code) {
            code
        } else {
            0
        });
        self.connections.dec();
        self.closed.get_or_create(&Closed { code }).inc();
    }

    /// Counts a handshake that was answered with an error.
    pub(crate) fn handshake_refused(&self, status: u16) {
        self.refused.get_or_create(&Refused { status }).inc();
    }

    /// Counts what the engine tells.
    pub(crate) fn record(&self, event: &Event) {
        match event {
            Event::DocumentLoaded { .. } => {
                self.documents.inc();
                self.documents_loaded.inc();
            }
            Event::DocumentLoadFailed { .. } => {
                self.load_failures.inc();
            }
            Event::DocumentUndecodable { .. } => {
                self.undecodable.inc();
            }
            Event::DocumentUnloaded { .. } => {
                self.documents.dec();
            }
            Event::UpdateApplied { .. } => {
                self.updates_applied.inc();
            }
            Event::SnapshotSaved { bytes, .. } => {
                self.snapshots_saved.inc();
                self.snapshot_bytes.inc_by(*bytes as u64);
            }
            Event::SnapshotFailed { .. } => {
                self.snapshots_failed.inc();
            }
            Event::SnapshotMerged { .. } => {
                self.snapshots_merged.inc();
            }
            Event::UpdateRefused { .. } => {
                self.updates_refused.inc();
            }
            Event::DocumentJournalDamaged { .. }
            | Event::JournalFailed { .. }
            | Event::JournalRecovered => {}
            // Counted where the connection ends, whoever ends it.
            Event::ConnectionClosed { .. } => {}
        }
    }

    /// Connections open now.
    pub(crate) fn connections(&self) -> i64 {
        self.connections.get()
    }

    /// Documents in memory now.
    pub(crate) fn documents(&self) -> i64 {
        self.documents.get()
    }

    /// All of it in the OpenMetrics text format.
    pub(crate) fn open_metrics(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("writing to a string does not fail");
        out
    }
}

fn register_traffic(registry: &mut Registry, metrics: &Metrics) {
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version that runs", version);
    registry.register(
        "connections",
        "WebSocket connections open now",
        metrics.connections.clone(),
    );
    registry.register(
        "connections_closed",
        "WebSocket connections ended, by the code of the close frame, 1006 if there was none",
        metrics.closed.clone(),
    );
    registry.register(
        "handshakes_refused",
        "Requests for a document answered with an error, by HTTP status",
        metrics.refused.clone(),
    );
    for (name, help, counter) in [
        (
            "connections_opened",
            "WebSocket handshakes completed",
            &metrics.opened,
        ),
        (
            "messages_received",
            "Binary messages from clients",
            &metrics.messages_received,
        ),
        (
            "messages_sent",
            "Binary messages written to clients",
            &metrics.messages_sent,
        ),
    ] {
        registry.register(name, help, counter.clone());
    }
    for (name, help, counter) in [
        (
            "received",
            "Payload of binary messages from clients",
            &metrics.bytes_received,
        ),
        (
            "sent",
            "Payload of binary messages written to clients",
            &metrics.bytes_sent,
        ),
    ] {
        registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
    }
}

fn register_documents(registry: &mut Registry, metrics: &Metrics) {
    registry.register(
        "documents",
        "Documents in memory now",
        metrics.documents.clone(),
    );
    for (name, help, counter) in [
        (
            "documents_loaded",
            "Documents that came into memory",
            &metrics.documents_loaded,
        ),
        (
            "document_load_failures",
            "Loads that the store did not answer",
            &metrics.load_failures,
        ),
        (
            "documents_undecodable",
            "Loads that found a damaged snapshot",
            &metrics.undecodable,
        ),
        (
            "snapshots_saved",
            "Snapshots written",
            &metrics.snapshots_saved,
        ),
        (
            "snapshots_failed",
            "Snapshots not written, to be tried again",
            &metrics.snapshots_failed,
        ),
        (
            "snapshots_merged",
            "Snapshots of other writers merged",
            &metrics.snapshots_merged,
        ),
        (
            "updates_applied",
            "Updates with new content",
            &metrics.updates_applied,
        ),
        (
            "updates_refused",
            "Updates not taken",
            &metrics.updates_refused,
        ),
    ] {
        registry.register(name, help, counter.clone());
    }
    registry.register_with_unit(
        "snapshots_saved",
        "Size of the snapshots written",
        Unit::Bytes,
        metrics.snapshot_bytes.clone(),
    );
}
