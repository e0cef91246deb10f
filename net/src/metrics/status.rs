//! How the engine stands, as gauges.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use ysyncd_engine::Status;

/// Set anew whenever somebody looks.
#[derive(Debug, Default)]
pub(super) struct StatusGauges {
    documents: Family<InPhase, Gauge>,
    documents_bytes: Gauge,
    documents_to_push: Gauge,
    staged_bytes: Gauge,
    unsaved_bytes: Gauge,
    answers_bytes: Gauge,
    oldest_undurable: Gauge<f64, AtomicU64>,
    oldest_unsaved: Gauge<f64, AtomicU64>,
    journal_failed: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InPhase {
    phase: &'static str,
}

impl StatusGauges {
    pub(super) fn set(&self, status: &Status) {
        for (phase, documents) in [
            ("loading", status.documents_loading),
            ("live", status.documents_live),
            ("draining", status.documents_draining),
        ] {
            let gauge = self.documents.get_or_create(&InPhase { phase });
            gauge.set(number(documents));
        }
        self.documents_bytes.set(number(status.documents_bytes));
        self.documents_to_push.set(number(status.documents_to_push));
        self.staged_bytes.set(number(status.staged_bytes));
        self.unsaved_bytes.set(number(status.unsaved_bytes));
        self.answers_bytes.set(number(status.answers_bytes));
        self.oldest_undurable.set(seconds(status.oldest_undurable));
        self.oldest_unsaved.set(seconds(status.oldest_unsaved));
        self.journal_failed.set(i64::from(status.journal_failed));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "documents",
            "Documents in memory now: being read (loading), in use or a moment ago (live), or \
             being saved to leave memory (draining)",
            self.documents.clone(),
        );
        for (name, help, gauge) in [
            (
                "documents_to_push",
                "Documents of which the journal holds updates from an earlier run that the store \
                 still lacks",
                &self.documents_to_push,
            ),
            (
                "journal_failed",
                "1 while the journal has failed and new updates are refused, else 0",
                &self.journal_failed,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, gauge) in [
            (
                "documents",
                "Room that documents take in memory, about",
                &self.documents_bytes,
            ),
            (
                "staged",
                "Updates that wait for the journal to make them durable",
                &self.staged_bytes,
            ),
            (
                "unsaved",
                "Updates that no written snapshot covers yet",
                &self.unsaved_bytes,
            ),
            (
                "answers",
                "Large answers, such as whole documents, on their way to clients",
                &self.answers_bytes,
            ),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
        for (name, help, gauge) in [
            (
                "oldest_undurable",
                "Age of the oldest update that would be lost if the server died now and its \
                 sender did not come back; 0 if there is none",
                &self.oldest_undurable,
            ),
            (
                "oldest_unsaved",
                "Age of the oldest update that no written snapshot covers; 0 if there is none",
                &self.oldest_unsaved,
            ),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(age: Option<Duration>) -> f64 {
    age.unwrap_or_default().as_secs_f64()
}
