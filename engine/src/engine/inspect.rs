//! Telling people what there is.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{DocKey, Engine};
use crate::{
    connection::Connection,
    document::Document,
    id::ConnId,
    inspect::{ConnectionFacts, Inspection, InspectionLimits},
    time::Now,
};

impl Engine {
    /// What there is, as far as `limits` go. Changes nothing. A glance at each
    /// document finds those that changed last; what takes longer is done for
    /// these alone.
    #[must_use]
    pub fn inspect(&self, now: Now, limits: InspectionLimits) -> Inspection {
        let (mut connections, mut pieces) = (limits.connections, limits.pieces);
        let health = self.journaling.health();
        let facts = |key: DocKey| {
            let document = &self.documents[&key].document;
            let mut facts = document.facts(now.mono, health, &mut pieces);
            let most = connections.min(limits.connections_per_document);
            facts.connections = self.connection_facts(document, most);
            connections -= facts.connections.len();
            facts
        };
        Inspection {
            documents: self
                .last_changed(limits.documents)
                .into_iter()
                .map(facts)
                .collect(),
            documents_total: self.documents.len(),
            connections_total: self.connections.len(),
        }
    }

    /// The documents that changed last; among those that never did, those that
    /// most have open.
    fn last_changed(&self, most: usize) -> Vec<DocKey> {
        let mut found = BinaryHeap::with_capacity(most + 1);
        for (key, slot) in &self.documents {
            found.push(Reverse((slot.document.activity(), *key)));
            if found.len() > most {
                found.pop();
            }
        }
        let found = found.into_sorted_vec().into_iter();
        found.map(|Reverse((_, key))| key).collect()
    }

    fn connection_facts(&self, document: &Document, most: usize) -> Vec<ConnectionFacts> {
        let mut connections: Vec<_> = document.connections().collect();
        connections.sort_by_key(|(_, connection)| !connection.outbox.lags());
        let connections = connections.into_iter().take(most);
        connections
            .filter_map(|(conn, connection)| self.facts_of(conn, connection))
            .collect()
    }

    fn facts_of(&self, conn: ConnId, connection: &Connection) -> Option<ConnectionFacts> {
        let link = self.connections.get(&conn)?;
        Some(ConnectionFacts {
            conn,
            user: link.user.clone(),
            may_write: connection.may_write(),
            sent_bytes: connection.outbox.sent_bytes(),
            waiting_bytes: connection.outbox.waiting_bytes(),
            lags: connection.outbox.lags(),
            is_refused: connection.is_to_sync(),
        })
    }
}
