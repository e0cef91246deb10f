//! All shards of a server: which document is whose, and what they are together.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;
use ysyncd_engine::{
    DocId, Inspection, InspectionLimits, Status,
    planted::{self, Bug},
};

use crate::{
    Config, Drained, Listener,
    keeper::Keeper,
    remote::{Endings, Remote, Seat},
    shard::Shard,
    shared::Shared,
};

/// The shards. The first one lives here, where connections are accepted, the
/// others wherever [`Workers`](crate::Workers) has them.
pub(crate) struct Shards<P> {
    here: Rc<Shard>,
    elsewhere: Vec<Remote<P>>,
}

/// One of them.
pub(crate) enum ShardOf<'a, P> {
    Here(&'a Rc<Shard>),
    Elsewhere(&'a Remote<P>),
}

/// What keeps the shards going.
pub(crate) struct Keepers {
    pub(crate) here: Keeper,
    /// Those elsewhere, until each is drained.
    draining: JoinSet<Drained>,
    /// The same, until nothing of it is left.
    ending: JoinSet<()>,
}

/// Starts all shards. `in_journal` is what the journal holds changes of.
///
/// # Errors
/// The system has no thread left, or no descriptor.
pub(crate) fn start<L: Listener>(
    config: &Config,
    shared: &Arc<Shared>,
    in_journal: Vec<DocId>,
) -> io::Result<(Shards<L::Parked>, Keepers)> {
    let count = config.shards;
    let mut parts = vec![Vec::new(); count];
    for doc in in_journal {
        let index = match planted::is(Bug::JournalToFirstShard) {
            true => 0,
            false => index_of(&doc, count),
        };
        parts[index].push(doc);
    }
    let mut seats = parts
        .into_iter()
        .enumerate()
        .map(|(index, in_journal)| Seat {
            config: config.part(index),
            numbers: (index as u64 + 1..).step_by(count),
            shared: Arc::clone(shared),
            in_journal,
        });
    let first = seats.next().expect("there is at least one");
    let mut elsewhere = Vec::new();
    let (mut draining, mut ending) = (JoinSet::new(), JoinSet::new());
    for (index, seat) in (2..).zip(seats) {
        let (remote, endings) = Remote::start::<L>(format!("shard {index}"), seat)?;
        elsewhere.push(remote);
        let Endings { drained, ended } = endings;
        draining.spawn_local(async { drained.await.unwrap_or_default() });
        ending.spawn_local(async {
            if let Ok(Err(panic)) = ended.await {
                std::panic::resume_unwind(panic);
            }
        });
    }
    let here = Keeper::start(
        Rc::new(first.config),
        first.numbers,
        first.shared,
        first.in_journal,
    );
    let shards = Shards {
        here: Rc::clone(here.shard()),
        elsewhere,
    };
    let keepers = Keepers {
        here,
        draining,
        ending,
    };
    Ok((shards, keepers))
}

/// Whose a document is. The same in each run with as many shards: nothing relies
/// on that but people who compare two runs.
fn index_of(doc: &DocId, shards: usize) -> usize {
    if shards == 1 {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    doc.hash(&mut hasher);
    let among = shards as u64;
    usize::try_from(hasher.finish() % among).expect("it is less than a usize")
}

impl<P: Send + 'static> Shards<P> {
    pub(crate) fn of(&self, doc: &DocId) -> ShardOf<'_, P> {
        match index_of(doc, 1 + self.elsewhere.len()) {
            0 => ShardOf::Here(&self.here),
            index => ShardOf::Elsewhere(&self.elsewhere[index - 1]),
        }
    }

    /// How all engines stand together.
    pub(crate) async fn status(&self) -> Status {
        let mut status = self.here.status();
        // All are asked before one is waited for.
        let asked: Vec<_> = self.elsewhere.iter().map(Remote::status).collect();
        for answer in asked {
            if let Ok(other) = answer.await
                && !planted::is(Bug::OthersNotLookedAt)
            {
                status = status.and(&other);
            }
        }
        status
    }

    /// What all engines hold.
    pub(crate) async fn inspect(&self, limits: InspectionLimits) -> Inspection {
        let mut inspection = self.here.inspect(limits);
        let asked = self.elsewhere.iter().map(|remote| remote.inspect(limits));
        let asked: Vec<_> = asked.collect();
        for answer in asked {
            if let Ok(other) = answer.await {
                inspection = inspection.and(other, limits);
            }
        }
        inspection
    }

    /// See [`Shard::shut_down`].
    pub(crate) fn shut_down(&self, timeout: Duration) {
        self.here.shut_down(timeout);
        for remote in &self.elsewhere {
            remote.shut_down(timeout);
        }
    }
}

impl Keepers {
    /// Waits for anything to end that is not drained.
    ///
    /// # Panics
    /// As an engine did.
    pub(crate) async fn reap(&mut self) {
        tokio::select! {
            biased;
            Some(ended) = self.ending.join_next() => resume(ended),
            () = self.here.reap() => {}
        }
    }

    /// Waits for all engines to have saved what is not saved, after all were told
    /// to shut down. Says what that was, in order.
    ///
    /// # Panics
    /// As an engine did.
    pub(crate) async fn drained(&mut self) -> Drained {
        let Self {
            here,
            draining,
            ending,
        } = self;
        let elsewhere = async {
            let mut all = Drained::default();
            while let Some(drained) = draining.join_next().await {
                all.add(drained.unwrap_or_default());
            }
            all
        };
        let broken = async {
            while let Some(ended) = ending.join_next().await {
                resume(ended);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = broken => unreachable!("it waits for ever"),
            (mut left, others) = async { tokio::join!(here.drained(), elsewhere) } => {
                left.add(others);
                left
            }
        }
    }

    /// Waits until nothing is left of any shard. To be called once all are drained,
    /// and their [`Shards`] dropped.
    ///
    /// # Panics
    /// As an engine did.
    pub(crate) async fn end(self) {
        let Self {
            here, mut ending, ..
        } = self;
        let elsewhere = async {
            while let Some(ended) = ending.join_next().await {
                resume(ended);
            }
        };
        tokio::join!(here.end(), elsewhere);
    }
}

fn resume(ended: Result<(), tokio::task::JoinError>) {
    if let Err(failure) = ended
        && failure.is_panic()
    {
        std::panic::resume_unwind(failure.into_panic());
    }
}

impl Drained {
    fn add(&mut self, other: Self) {
        for (all, more) in [
            (&mut self.unsaved, other.unsaved),
            (&mut self.journaled, other.journaled),
        ] {
            all.extend(more);
            all.sort_unstable();
        }
    }
}
