//! What is counted, and under which names.

mod bus;
mod journal;
mod limits;
mod snapshots;
mod status;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};
use ysyncd_engine::{CloseCode, Event, Status};
use ysyncd_storage::journal::Journal;

use crate::request::Rejection;

pub(crate) use bus::{BusMetrics, Direction};
pub(crate) use journal::JournalMetrics;
pub(crate) use limits::LimitMetrics;
pub(crate) use snapshots::SnapshotMetrics;
use status::StatusGauges;

/// The counters and gauges of a server.
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
    documents_loaded: Counter,
    load_failures: Counter,
    undecodable: Counter,
    journal_damaged: Counter,
    documents_failed: Counter,
    updates_applied: Counter,
    updates_forbidden: Counter,
    pub(crate) limits: LimitMetrics,
    pub(crate) snapshots: SnapshotMetrics,
    pub(crate) journal: JournalMetrics,
    pub(crate) bus: BusMetrics,
    status: StatusGauges,
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
            0 => EncodeLabelValue::encode(&"other", encoder),
            code => EncodeLabelValue::encode(&code, encoder),
        }
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self::default();
        // From the beginning, for the same reason as the failures of saves.
        for status in [400, 401, 403, 405, 426, 429, 503] {
            drop(metrics.refused.get_or_create(&Refused { status }));
        }
        for code in [1000, 1001, 1005, 1006, 1007, 1008, 1009, 1011, 1013, 4401] {
            let code = Code(code);
            drop(metrics.closed.get_or_create(&Closed { code }));
        }
        let mut registry = Registry::with_prefix("ysyncd");
        register_traffic(&mut registry, &metrics);
        register_documents(&mut registry, &metrics);
        metrics.limits.register(&mut registry);
        metrics.status.register(&mut registry);
        metrics.snapshots.register(&mut registry);
        metrics.journal.register(&mut registry);
        metrics.bus.register(&mut registry);
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
        let is_ours = (1000..=1015).contains(&code) || code == CloseCode::TokenExpired.number();
        let code = Code(if is_ours { code } else { 0 });
        self.connections.dec();
        self.closed.get_or_create(&Closed { code }).inc();
    }

    /// Counts a handshake that was answered with an error.
    pub(crate) fn handshake_refused(&self, rejection: &Rejection) {
        let status = rejection.status().as_u16();
        self.refused.get_or_create(&Refused { status }).inc();
        match rejection {
            Rejection::Limit(reached) => self.limits.refused(*reached),
            Rejection::Refused(refusal) => self.limits.not_opened(*refusal),
            _ => {}
        }
    }

    /// Counts what the engine tells.
    pub(crate) fn record(&self, event: &Event) {
        match event {
            Event::DocumentLoaded { replayed, .. } => {
                self.documents_loaded.inc();
                self.journal.replayed.inc_by(*replayed as u64);
            }
            Event::DocumentLoadFailed { .. } => {
                self.load_failures.inc();
            }
            Event::DocumentUndecodable { .. } => {
                self.undecodable.inc();
            }
            Event::DocumentJournalDamaged { .. } => {
                self.journal_damaged.inc();
            }
            Event::DocumentFailed { .. } => {
                self.documents_failed.inc();
            }
            Event::UpdateApplied { .. } => {
                self.updates_applied.inc();
            }
            Event::SnapshotSaved { bytes, .. } => {
                self.snapshots.saved.inc();
                self.snapshots.saved_bytes.inc_by(*bytes as u64);
            }
            Event::SnapshotMerged { .. } => {
                self.snapshots.merged.inc();
            }
            Event::UpdateRefused { reason, .. } => {
                self.limits.rejected(*reason);
            }
            Event::MessageRefused { reason, .. } => {
                self.limits.message_refused(*reason);
            }
            Event::PresenceUnshown { reason, .. } => {
                self.limits.presence_unshown(*reason);
            }
            Event::UpdateForbidden { .. } => {
                self.updates_forbidden.inc();
            }
            Event::ConnectionLags { .. } => {
                self.limits.lagged.inc();
            }
            Event::AnswerWaits { .. } => {
                self.limits.answers_waited.inc();
            }
            // The engine closes nobody else with this code.
            Event::ConnectionClosed {
                code: CloseCode::TryAgainLater,
                ..
            } => {
                self.limits.stalled.inc();
            }
            Event::SnapshotAdopted { .. } => {
                self.snapshots.adopted.inc();
            }
            Event::BusApplied { .. } => {
                self.bus.applied.inc();
            }
            Event::BusHealed { .. } => {
                self.bus.heals.inc();
            }
            Event::BusMessageRefused { .. } => {
                self.bus.refused.inc();
            }
            Event::SnapshotFailed { error, .. } => self.snapshots.failed(error),
            Event::BusNameTaken => {
                self.bus.name_taken.inc();
            }
            // Told by the engine's status, or counted where it happens: at the
            // journal, on the bus, and where a connection ends.
            Event::DocumentDrains { .. }
            | Event::DocumentUnloaded { .. }
            | Event::JournalFailed { .. }
            | Event::JournalRecovered
            | Event::AnswerTurn { .. }
            | Event::BusPublished { .. }
            | Event::ConnectionClosed { .. } => {}
        }
    }

    /// Updates of other nodes with something new, so far.
    pub(crate) fn bus_updates_applied(&self) -> u64 {
        self.bus.applied.get()
    }

    /// Connections open now.
    pub(crate) fn connections(&self) -> i64 {
        self.connections.get()
    }

    /// All of it in the OpenMetrics text format, with how the engine and the
    /// journal stand.
    pub(crate) fn open_metrics(&self, status: &Status, journal: Option<&dyn Journal>) -> String {
        self.status.set(status);
        self.bus.set_up(status.bus_is_up);
        self.journal.set(journal);
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
            "documents_journal_damaged",
            "Loads that found damaged updates in the journal",
            &metrics.journal_damaged,
        ),
        (
            "documents_failed",
            "Documents dropped from memory, and their connections closed, by an error in the server",
            &metrics.documents_failed,
        ),
        (
            "updates_applied",
            "Updates with new content",
            &metrics.updates_applied,
        ),
        (
            "updates_forbidden",
            "Updates ignored because the token of their client allows reading only",
            &metrics.updates_forbidden,
        ),
    ] {
        registry.register(name, help, counter.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ysyncd_engine::{ConnId, DocId, JournalError, MessageFault, Rejection, Unshown};
    use ysyncd_storage::journal::memory::MemoryJournal;

    use super::*;

    #[test]
    fn how_the_engine_stands_and_what_it_tells_comes_out() {
        let metrics = Metrics::new();
        let doc = DocId::new("a").unwrap();
        metrics.record(&Event::DocumentLoaded {
            doc: doc.clone(),
            bytes: 10,
            replayed: 11,
        });
        let error = JournalError::Damaged("a bad checksum".to_owned());
        metrics.record(&Event::DocumentJournalDamaged {
            doc: doc.clone(),
            error,
        });
        let message = "index out of bounds".to_owned();
        metrics.record(&Event::DocumentFailed {
            doc: doc.clone(),
            message,
        });
        metrics.record(&Event::UpdateRefused {
            doc: doc.clone(),
            conn: ConnId(1),
            reason: Rejection::TooDeep,
        });
        metrics.record(&Event::MessageRefused {
            doc: doc.clone(),
            conn: ConnId(1),
            reason: MessageFault::StateVectorTooLong,
        });
        metrics.record(&Event::PresenceUnshown {
            doc: doc.clone(),
            conn: ConnId(1),
            reason: Unshown::TooMuch,
        });
        metrics.record(&Event::BusHealed { doc: doc.clone() });
        for code in [CloseCode::TryAgainLater, CloseCode::InvalidPayload] {
            metrics.record(&Event::ConnectionClosed {
                conn: ConnId(1),
                doc: doc.clone(),
                code,
                reason: "for a test".into(),
            });
        }
        let status = Status {
            documents_loading: 1,
            documents_live: 2,
            documents_draining: 3,
            documents_bytes: 4,
            staged_bytes: 5,
            unsaved_bytes: 6,
            answers_bytes: 9,
            oldest_undurable: Some(Duration::from_millis(7_500)),
            oldest_unsaved: None,
            documents_to_push: 8,
            bus_is_up: false,
            journal_failed: true,
        };
        let journal = MemoryJournal::new();
        let text = metrics.open_metrics(&status, Some(&journal));
        for line in [
            "documents{phase=\"loading\"} 1",
            "documents{phase=\"live\"} 2",
            "documents{phase=\"draining\"} 3",
            "documents_bytes 4",
            "staged_bytes 5",
            "unsaved_bytes 6",
            "answers_bytes 9",
            "updates_refused_total{reason=\"too_deep\"} 1",
            "updates_refused_total{reason=\"not_saved\"} 0",
            "messages_refused_total{reason=\"state_vector_too_long\"} 1",
            "messages_refused_total{reason=\"malformed_awareness\"} 0",
            "presence_unshown_total{reason=\"too_much\"} 1",
            "presence_unshown_total{reason=\"someone_elses\"} 0",
            "oldest_undurable_seconds 7.5",
            "oldest_unsaved_seconds 0.0",
            "documents_to_push 8",
            "journal_failed 1",
            "journal_size_bytes 0",
            "journal_at_risk_bytes 0",
            "journal_replayed_records_total 11",
            "documents_journal_damaged_total 1",
            "documents_failed_total 1",
            "snapshots_failed_total{error=\"conflict\"} 0",
            "connections_closed_for_stall_total 1",
            "messages_held_total{budget=\"user\"} 0",
            "messages_timed_out_total 0",
            "bus_configured 0",
            "bus_up 0",
            "bus_heals_total 1",
            "bus_messages_dropped_total{direction=\"incoming\"} 0",
        ] {
            assert!(
                text.contains(&format!("\nysyncd_{line}\n")),
                "{line}\n{text}"
            );
        }
        let recovered = metrics.open_metrics(&Status::default(), None);
        assert!(recovered.contains("\nysyncd_journal_failed 0\n"));
    }
}
