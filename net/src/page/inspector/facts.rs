//! Facts as JSON. Times are in seconds, rates are for the page to work out of
//! counters.

use std::time::Duration;

use serde_json::{Value, json};
use ysyncd_engine::{ConnectionFacts, DocumentFacts, DocumentPhase, InspectionLimits};

use crate::{front::Front, health};

/// What a page can show. With 10,000 documents it is found out within two
/// milliseconds, a glance at each of them included.
const LIMITS: InspectionLimits = InspectionLimits {
    documents: 200,
    connections: 500,
    connections_per_document: 50,
    pieces: 20_000,
};

/// All that the page shows.
pub(super) async fn told<P: Send + 'static>(front: &Front<P>) -> String {
    let inspection = front.shards.inspect(LIMITS).await;
    let status = front.status().await;
    let shared = &front.shared;
    let metrics = &shared.metrics;
    let documents: Vec<Value> = inspection.documents.iter().map(document).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime": shared.uptime().as_secs_f64(),
        "journal": health::journal(shared.has_journal(), &status),
        "bus": health::bus(front.bus_is_up(&status)),
        "bus_updates": metrics.bus_updates_applied(),
        "documents_total": inspection.documents_total,
        "documents_to_push": status.documents_to_push,
        "connections_total": inspection.connections_total,
        "bytes": status.documents_bytes,
        "staged_bytes": status.staged_bytes,
        "unsaved_bytes": status.unsaved_bytes,
        "answers_bytes": status.answers_bytes,
        "oldest_undurable": seconds(status.oldest_undurable),
        "oldest_unsaved": seconds(status.oldest_unsaved),
        "messages_received": metrics.messages_received.get(),
        "bytes_received": metrics.bytes_received.get(),
        "messages_sent": metrics.messages_sent.get(),
        "bytes_sent": metrics.bytes_sent.get(),
        "documents": documents,
    })
    .to_string()
}

fn document(facts: &DocumentFacts) -> Value {
    let connections: Vec<Value> = facts.connections.iter().map(connection).collect();
    json!({
        "id": facts.id.as_str(),
        "phase": match facts.phase {
            DocumentPhase::Loading => "loading",
            DocumentPhase::Live => "live",
            DocumentPhase::Draining => "draining",
        },
        "connections_total": facts.connections_total,
        "connections": connections,
        "clients": facts.clients,
        "bytes": facts.bytes,
        "structs": facts.structs,
        "version": facts.version,
        "durable_version": facts.durable_version,
        "saved_version": facts.saved_version,
        "staged_bytes": facts.staged_bytes,
        "unsaved_bytes": facts.unsaved_bytes,
        "changed": seconds(facts.changed),
        "saved": seconds(facts.saved),
        "oldest_undurable": seconds(facts.oldest_undurable),
        "oldest_unsaved": seconds(facts.oldest_unsaved),
        "is_failing": facts.is_failing,
    })
}

fn connection(facts: &ConnectionFacts) -> Value {
    json!({
        "conn": facts.conn.0,
        "user": facts.user.as_str(),
        "may_write": facts.may_write,
        "sent_bytes": facts.sent_bytes,
        "waiting_bytes": facts.waiting_bytes,
        "lags": facts.lags,
        "is_refused": facts.is_refused,
    })
}

fn seconds(age: Option<Duration>) -> Option<f64> {
    age.map(|age| age.as_secs_f64())
}
