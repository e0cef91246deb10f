//! What requests are answered from: all shards, and what there is once for a
//! server.

use std::{cell::Cell, future::Future, rc::Rc, sync::Arc};

use tokio::sync::Notify;
use ysyncd_engine::{Status, auth::Moment};

use crate::{
    Config, farewell::Farewells, health::HealthTold, page::Inspected, shards::Shards,
    shared::Shared,
};

/// See the module.
pub(crate) struct Front<P> {
    pub(crate) config: Rc<Config>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) shards: Shards<P>,
    pub(crate) farewells: Farewells,
    /// What those were told last who asked how the server is.
    pub(crate) health: HealthTold,
    /// What the inspector was told last.
    pub(crate) inspected: Inspected,
    closed: Cell<bool>,
    closing: Notify,
}

impl<P: Send + 'static> Front<P> {
    pub(crate) fn new(config: Rc<Config>, shared: Arc<Shared>, shards: Shards<P>) -> Self {
        Self {
            config,
            shared,
            shards,
            farewells: Farewells::default(),
            health: HealthTold::default(),
            inspected: Inspected::default(),
            closed: Cell::new(false),
            closing: Notify::new(),
        }
    }

    /// Ends everything that still waits for an answer.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.closing.notify_waiters();
    }

    /// Waits for that.
    pub(crate) async fn closed(&self) {
        let closing = self.closing.notified();
        if !self.closed.get() {
            closing.await;
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment {
            mono: self.shared.uptime(),
            unix: (self.config.clock)(),
        }
    }

    /// How all engines stand.
    pub(crate) fn status(&self) -> impl Future<Output = Status> {
        self.shards.status()
    }

    /// Whether the bus to other nodes is up, if there is to be one.
    pub(crate) fn bus_is_up(&self, status: &Status) -> Option<bool> {
        self.shared.cluster.as_ref().map(|_| status.bus_is_up)
    }

    /// All metrics in the OpenMetrics text format.
    pub(crate) async fn open_metrics(&self) -> String {
        let status = self.status().await;
        let Shared {
            metrics,
            stores,
            unfinished,
            ..
        } = &*self.shared;
        metrics.limits.set_unfinished(unfinished.bytes());
        metrics.open_metrics(&status, stores.journal.as_deref())
    }
}
