//! What all shards of a server have in common. All of it may be used from any
//! thread, and none of it on the way of a message, but for counters, the budget
//! of messages that come in parts, and the rate of a user.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use ysyncd_engine::Now;

use crate::{
    Cluster, Stores, event::EventLog, metrics::Metrics, quota::Quotas, readiness::Readiness,
    unfinished::Unfinished, user_rate::UserRates,
};

/// See the module.
pub(crate) struct Shared {
    pub(crate) stores: Stores,
    /// How other nodes are reached, if there are any.
    pub(crate) cluster: Option<Cluster>,
    /// What all times are counted from: a time that one shard tells means the
    /// same to another.
    start: Instant,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) unfinished: Arc<Unfinished>,
    pub(crate) user_rates: UserRates,
    pub(crate) events: EventLog,
}

impl Shared {
    pub(crate) fn new(stores: Stores, cluster: Option<Cluster>) -> Self {
        let metrics = Metrics::new();
        if cluster.is_some() {
            metrics.bus.configured();
        }
        Self {
            stores,
            cluster,
            start: Instant::now(),
            readiness: Readiness::default(),
            metrics,
            quotas: Arc::default(),
            unfinished: Arc::default(),
            user_rates: UserRates::default(),
            events: EventLog::default(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            mono: self.uptime(),
        }
    }

    /// Time since the server began.
    pub(crate) fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    /// When a time of [`Shared::now`] comes.
    pub(crate) fn instant(&self, mono: Duration) -> Instant {
        self.start + mono
    }

    pub(crate) fn has_journal(&self) -> bool {
        self.stores.journal.is_some()
    }
}
