//! The engine's events as log lines.

use tracing::{debug, error, info, warn};
use ysyncd_engine::Event;

/// Writes an event to the log, at a level that says who must care: an error
/// needs somebody's hand, a warning is being dealt with, the rest is told for
/// those who look. What a client can cause by itself is never above info.
pub(crate) fn log(event: &Event) {
    match event {
        Event::DocumentLoaded {
            doc,
            bytes,
            replayed: 0,
        } => {
            debug!(doc = doc.as_str(), bytes, "document loaded");
        }
        Event::DocumentLoaded {
            doc,
            bytes,
            replayed,
        } => {
            info!(
                doc = doc.as_str(),
                bytes, replayed, "document loaded, with what the journal held"
            );
        }
        Event::DocumentLoadFailed { doc, error } => {
            warn!(doc = doc.as_str(), %error, "document cannot be loaded");
        }
        Event::DocumentUndecodable { doc, reason } => {
            error!(
                doc = doc.as_str(),
                %reason, "stored document is damaged, left untouched"
            );
        }
        Event::DocumentJournalDamaged { doc, error } => {
            error!(
                doc = doc.as_str(),
                %error, "document cannot be served; snapshot and journal left untouched"
            );
        }
        Event::JournalFailed { error } => {
            error!(%error, "new updates are refused until the journal works again");
        }
        Event::JournalRecovered => info!("the journal works again"),
        Event::DocumentUnloaded { doc } => debug!(doc = doc.as_str(), "document unloaded"),
        Event::UpdateApplied { .. } => {}
        Event::SnapshotSaved { doc, bytes } => {
            debug!(doc = doc.as_str(), bytes, "snapshot saved");
        }
        Event::SnapshotFailed { doc, error } => {
            warn!(doc = doc.as_str(), %error, "snapshot not saved, will be tried again");
        }
        Event::SnapshotMerged { doc } => {
            info!(doc = doc.as_str(), "another writer's snapshot merged");
        }
        Event::UpdateRefused { doc, conn, reason } => {
            info!(doc = doc.as_str(), conn = conn.0, %reason, "update refused");
        }
        // Told by the connection itself, with its user.
        Event::ConnectionClosed { .. } => {}
    }
}
