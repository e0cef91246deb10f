//! A shard with all tasks that belong to it, on its thread.

use std::{future::Future, rc::Rc, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tracing::{debug, error};
use ysyncd_engine::DocId;

use crate::{
    Config, Drained,
    event::brief,
    shard::{Numbers, Shard},
    shared::Shared,
};

/// See the module. Dropping it ends everything at once.
pub(crate) struct Keeper {
    shard: Rc<Shard>,
    config: Rc<Config>,
    tasks: JoinSet<()>,
}

impl Keeper {
    /// Makes a shard that has these documents in the journal, and starts what its
    /// engine needs beside connections.
    pub(crate) fn start(
        config: Rc<Config>,
        numbers: Numbers,
        shared: Arc<Shared>,
        in_journal: Vec<DocId>,
    ) -> Self {
        let has_bus = shared.cluster.is_some();
        let shard = Shard::new(config.engine.clone(), config.seed, numbers, shared);
        let shard = Rc::new(shard);
        shard.announce_journal(in_journal);
        let mut tasks = JoinSet::new();
        tasks.spawn_local(Rc::clone(&shard).keep_time());
        tasks.spawn_local(Rc::clone(&shard).keep_journal());
        tasks.spawn_local(Rc::clone(&shard).keep_flushing());
        if has_bus {
            tasks.spawn_local(Rc::clone(&shard).keep_bus());
        }
        Self {
            shard,
            config,
            tasks,
        }
    }

    pub(crate) const fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    pub(crate) const fn config(&self) -> &Rc<Config> {
        &self.config
    }

    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tasks.spawn_local(task);
    }

    /// Waits for one task to end, for ever if there is none. If it broke the
    /// engine, so does everything.
    ///
    /// # Panics
    /// As the engine did.
    pub(crate) async fn reap(&mut self) {
        match self.tasks.join_next().await {
            Some(Err(failure)) if failure.is_panic() => {
                let told = failure.to_string();
                error!(failure = brief(&told), "a task panicked");
                if self.shard.is_broken() {
                    std::panic::resume_unwind(failure.into_panic());
                }
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }

    /// Waits for the engine to have saved what is not saved, after it was told to
    /// shut down.
    pub(crate) async fn drained(&mut self) -> Drained {
        let shard = Rc::clone(&self.shard);
        let drained = shard.drained();
        tokio::pin!(drained);
        loop {
            tokio::select! {
                biased;
                left = &mut drained => return Drained::clone(&left),
                () = self.reap() => {}
            }
        }
    }

    /// Waits until all connections have ended, and cuts those that take too long:
    /// their close frames are on their way, and clients get a moment to answer.
    pub(crate) async fn end(mut self) {
        let within: Duration = self.config.close_timeout;
        let ended = async {
            while !self.tasks.is_empty() {
                self.reap().await;
            }
        };
        if timeout(within, ended).await.is_err() {
            debug!("connections cut that did not end in time");
        }
    }
}
