//! The engine's events as log lines.

use std::{
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::StatusCode;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};
use ysyncd_engine::{DocId, Event, StoreError, auth::UserId};

use crate::{quota::LimitReached, rate::Excess, request::Refused};

/// The log. It remembers whether store and journal are in trouble, so that an
/// outage is told once, and its end, and not by each document at each try or by
/// each shard; and what was said of the bus and of clients, where one that is at odds
/// could fill the log.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    store_fails: AtomicBool,
    journal_fails: OfAllShards,
    bus_refused: Rarely<1>,
    name_taken: Rarely<1>,
    token_refused: Rarely<10>,
    limit_reached: Rarely<10>,
    closed_for_fault: Rarely<10>,
    update_refused: Rarely<10>,
    user_slowed: Rarely<10>,
}

impl EventLog {
    /// Writes an event to the log.
    pub(crate) fn write(&self, event: &Event) {
        match event {
            Event::SnapshotFailed { error, .. } | Event::DocumentLoadFailed { error, .. } => {
                self.store_failed(error);
            }
            Event::SnapshotSaved { .. } if self.store_fails.swap(false, Ordering::Relaxed) => {
                info!("the store takes snapshots again");
            }
            Event::JournalFailed { error } if self.journal_fails.begins() => {
                error!(%error, "new updates are refused until the journal works again");
            }
            Event::JournalRecovered if self.journal_fails.ends() => {
                info!("the journal works again");
            }
            Event::BusMessageRefused { doc, reason } => {
                if let Some(untold) = self.bus_refused.is_due() {
                    warn!(
                        doc = doc.as_str(), %reason, untold,
                        "a message of the bus was not taken (told once a minute)"
                    );
                }
            }
            Event::UpdateRefused { doc, conn, reason } => {
                if let Some(untold) = self.update_refused.is_due() {
                    info!(
                        doc = doc.as_str(), conn = conn.0, %reason, untold,
                        "update refused (told ten times a minute)"
                    );
                }
            }
            Event::BusNameTaken if self.name_taken.is_due().is_some() => {
                error!(
                    "another server that runs now has this one's NODE_NAME: clients at one \
                     do not see the cursors at the other; give each server a name of its own"
                );
            }
            _ => {}
        }
        log(event);
    }

    /// Tells of a request for a document that is refused. Of what it says, the
    /// document alone: the rest may be a token.
    pub(crate) fn refused(&self, refused: &Refused, address: IpAddr) {
        let Refused { rejection, doc, .. } = refused;
        let (status, doc) = (rejection.status(), doc.as_ref().map(DocId::as_str));
        let is_denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let (status, reason) = (status.as_u16(), rejection);
        let due = is_denied.then(|| self.token_refused.is_due()).flatten();
        match due {
            Some(untold) => info!(
                doc, %address, status, %reason, untold,
                "access refused (told ten times a minute)"
            ),
            None => debug!(doc, %address, status, %reason, "request for a document refused"),
        }
    }

    /// Tells of a user whose connections begin to be slowed down.
    pub(crate) fn user_slowed(&self, user: &UserId, excess: Excess) {
        if let Some(untold) = self.user_slowed.is_due() {
            info!(
                user = user.as_str(),
                excess = excess.name(),
                untold,
                "a user sends too fast on all connections together and is slowed down (told ten \
                 times a minute)"
            );
        }
    }

    /// Tells of a client that is refused as there are too many of its kind.
    pub(crate) fn limit_reached(
        &self,
        doc: &DocId,
        user: &UserId,
        address: IpAddr,
        reached: LimitReached,
    ) {
        if let Some(untold) = self.limit_reached.is_due() {
            info!(
                doc = doc.as_str(), user = user.as_str(), %address, reason = %reached, untold,
                "connection refused (told ten times a minute)"
            );
        }
    }

    /// How many connections that were closed for a fault were not told, if one more
    /// is to be.
    pub(crate) fn fault_is_due(&self) -> Option<u64> {
        self.closed_for_fault.is_due()
    }

    fn store_failed(&self, error: &StoreError) {
        let is_outage = matches!(error, StoreError::Unavailable(_) | StoreError::Unknown(_));
        if is_outage && !self.store_fails.swap(true, Ordering::Relaxed) {
            warn!(
                %error,
                "the store fails; documents that are open stay so and are saved when it is back \
                 (each try is logged at debug)"
            );
        }
    }
}

/// A trouble of all shards, which each of them finds out for itself: so many are in
/// it.
#[derive(Debug, Default)]
struct OfAllShards(AtomicUsize);

impl OfAllShards {
    /// One more is. True if it is the first.
    fn begins(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// One of them no longer is. True if it was the last.
    fn ends(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// Lets something be told so many times a minute.
#[derive(Debug, Default)]
struct Rarely<const TIMES: u32>(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// When the minute began, and what was told in it.
    since: Option<Instant>,
    told: u32,
    untold: u64,
}

impl<const TIMES: u32> Rarely<TIMES> {
    /// How many were not told since the last that was, if this one is to be.
    fn is_due(&self) -> Option<u64> {
        let now = Instant::now();
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |since: Instant| since + Duration::from_secs(60) <= now;
        if minute.since.is_none_or(is_over) {
            minute.since = Some(now);
            minute.told = 0;
        }
        if minute.told == TIMES {
            minute.untold += 1;
            return None;
        }
        minute.told += 1;
        Some(std::mem::take(&mut minute.untold))
    }
}

/// Bytes of what a panic says that are logged.
const PANIC_BYTES_MAX: usize = 1_000;

/// What a panic says, as far as a log line should hold it: there may be as much
/// in it as a client has sent.
#[must_use]
pub fn brief(panic: &str) -> &str {
    &panic[..panic.floor_char_boundary(PANIC_BYTES_MAX)]
}

/// Writes an event to the log, at a level that says who must care: an error
/// needs somebody's hand, a warning is being dealt with, the rest is told for
/// those who look. What a client can cause by itself is never above info.
fn log(event: &Event) {
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
        Event::DocumentLoadFailed {
            doc,
            error: error @ StoreError::Denied(_),
        } => {
            warn!(doc = doc.as_str(), %error, "document cannot be loaded");
        }
        Event::DocumentLoadFailed { doc, error } => {
            debug!(doc = doc.as_str(), %error, "document cannot be loaded");
        }
        Event::DocumentUndecodable { doc, reason } => {
            error!(
                doc = doc.as_str(),
                %reason, "stored document is damaged, left untouched; `ysyncd doc verify` looks at it, \
                 `ysyncd doc restore` or a backup brings an older one"
            );
        }
        Event::DocumentJournalDamaged { doc, error } => {
            error!(
                doc = doc.as_str(),
                %error, "document cannot be served; snapshot and journal left untouched"
            );
        }
        Event::DocumentFailed { doc, message } => {
            error!(
                doc = doc.as_str(),
                panic = brief(message),
                "an error in the server: the document was dropped from memory, its connections \
                 were closed, and it is loaded again when it is opened; please report this"
            );
        }
        Event::DocumentDrains { doc } => debug!(doc = doc.as_str(), "document leaves memory"),
        Event::DocumentUnloaded { doc } => debug!(doc = doc.as_str(), "document unloaded"),
        Event::UpdateApplied { .. } => {}
        Event::SnapshotSaved { doc, bytes } => {
            debug!(doc = doc.as_str(), bytes, "snapshot saved");
        }
        Event::SnapshotFailed {
            doc,
            error: error @ StoreError::Denied(_),
        } => {
            warn!(doc = doc.as_str(), %error, "snapshot not saved, will be tried again");
        }
        Event::SnapshotFailed { doc, error } => {
            debug!(doc = doc.as_str(), %error, "snapshot not saved, will be tried again");
        }
        Event::SnapshotMerged { doc } => {
            info!(doc = doc.as_str(), "another writer's snapshot merged");
        }
        Event::SnapshotAdopted { doc, .. } => {
            debug!(doc = doc.as_str(), "another node's snapshot adopted");
        }
        Event::BusPublished { .. } | Event::BusApplied { .. } => {}
        Event::BusHealed { doc } => {
            info!(
                doc = doc.as_str(),
                "something was missing that another node has"
            );
        }
        // Told once for all shards, or so often a minute, by the log.
        Event::JournalFailed { .. }
        | Event::UpdateRefused { .. }
        | Event::JournalRecovered
        | Event::BusMessageRefused { .. }
        | Event::BusNameTaken => {}
        Event::UpdateForbidden { doc, conn } => {
            debug!(
                doc = doc.as_str(),
                conn = conn.0,
                "update of a reader ignored"
            );
        }
        Event::PresenceUnshown { doc, conn, reason } => {
            debug!(
                doc = doc.as_str(),
                conn = conn.0,
                reason = reason.name(),
                "presence not shown to others"
            );
        }
        Event::ConnectionLags { doc, conn } => {
            debug!(
                doc = doc.as_str(),
                conn = conn.0,
                "a client reads too slowly"
            );
        }
        Event::AnswerWaits { conn, user } => {
            debug!(
                conn = conn.0,
                user = user.as_str(),
                "a client waits for a large answer, as too much is on its way already"
            );
        }
        Event::AnswerTurn { .. } => {}
        // Told by the connection itself, with its user.
        Event::MessageRefused { .. } | Event::ConnectionClosed { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, pause};

    use super::*;

    #[tokio::test]
    async fn what_would_fill_the_log_is_told_a_few_times_a_minute() {
        pause();
        let rarely = Rarely::<2>::default();
        let told = || (0..5).map(|_| rarely.is_due()).collect::<Vec<_>>();
        assert_eq!(told(), [Some(0), Some(0), None, None, None]);
        advance(Duration::from_secs(59)).await;
        assert_eq!(rarely.is_due(), None);
        advance(Duration::from_secs(1)).await;
        assert_eq!(told(), [Some(4), Some(0), None, None, None]);
    }

    #[test]
    fn what_all_shards_find_out_is_told_once_and_so_is_its_end() {
        let journal_fails = OfAllShards::default();
        assert_eq!(
            [(); 3].map(|()| journal_fails.begins()),
            [true, false, false]
        );
        assert_eq!([(); 3].map(|()| journal_fails.ends()), [false, false, true]);
        assert!(journal_fails.begins());
    }

    #[test]
    fn what_a_panic_says_is_cut_between_characters() {
        assert_eq!(brief("short"), "short");
        assert_eq!(brief(&"a".repeat(5_000)), "a".repeat(1_000));
        // Three bytes each.
        assert_eq!(brief(&"…".repeat(5_000)), "…".repeat(333));
    }
}
