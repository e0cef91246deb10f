//! What people are told of a document.

use std::time::Duration;

use super::{Document, Phase};
use crate::{
    connection::Connection,
    id::ConnId,
    inspect::{DocumentFacts, DocumentPhase},
    journal_health::JournalHealth,
};

impl Document {
    /// By what documents are ranked: when it changed last, then how many have
    /// it open.
    pub(crate) fn activity(&self) -> (Option<Duration>, usize) {
        (self.persistence.changed_at(), self.connections.len())
    }

    /// Its connections, those that wait for it left out.
    pub(crate) fn connections(&self) -> impl Iterator<Item = (ConnId, &Connection)> {
        let connections = self.connections.iter();
        connections.map(|(conn, connection)| (*conn, connection))
    }

    /// All but its connections. To count its structs `pieces` may be looked at,
    /// and those that were are taken off.
    pub(crate) fn facts(
        &self,
        now: Duration,
        journal: JournalHealth,
        pieces: &mut usize,
    ) -> DocumentFacts {
        let age = |since: Option<Duration>| since.map(|since| now.saturating_sub(since));
        let (version, saved_version) = self.persistence.versions();
        let unsaved = self.persistence.unsaved_since();
        let staged = self.staging.oldest();
        let is_kept = journal != JournalHealth::Off && !self.persistence.is_only_here();
        let (phase, waiting) = match &self.phase {
            Phase::Loading { waiting } => (DocumentPhase::Loading, waiting.len()),
            Phase::Live => (DocumentPhase::Live, 0),
            Phase::Draining | Phase::Gone(_) => (DocumentPhase::Draining, 0),
        };
        DocumentFacts {
            id: self.id.clone(),
            phase,
            connections_total: self.connections.len() + waiting,
            connections: Vec::new(),
            clients: self.state.clients(),
            bytes: self.bytes(),
            structs: self.state.count_structs(pieces),
            version,
            durable_version: if is_kept { version } else { saved_version },
            saved_version,
            staged_bytes: self.staging.bytes(),
            unsaved_bytes: self.unsaved_bytes(),
            changed: age(self.persistence.changed_at()),
            saved: age(self.persistence.saved_at()),
            oldest_undurable: age(if is_kept { staged } else { unsaved }),
            oldest_unsaved: age(unsaved.into_iter().chain(staged).min()),
            is_failing: self.persistence.is_failing(),
        }
    }
}
