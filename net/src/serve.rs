//! The server as a whole: accepting, and ending in order.

use std::{future::Future, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, error, warn};
use ysyncd_engine::{DocId, JournalError};
use ysyncd_storage::{SnapshotStore, journal::Journal};

use crate::{
    Cluster, Config, Listener, connection,
    event::brief,
    http,
    shard::Shard,
    strangers::{StrangerPlace, Strangers},
};

/// Pause after an error that another try at once would only repeat, such as
/// having no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Where documents are kept.
#[derive(Clone)]
pub struct Stores {
    /// Keeps one snapshot per document.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// Keeps updates until a snapshot holds them. Without it, updates are
    /// lost in a crash that comes before the next snapshot.
    pub journal: Option<Arc<dyn Journal>>,
}

/// What the store lacks at the end. Both lists are empty if all went well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drained {
    /// Documents with changes that nothing holds any more.
    pub unsaved: Vec<DocId>,
    /// Documents with changes that the journal holds: they are saved when the
    /// server is back.
    pub journaled: Vec<DocId>,
}

/// Why a server could not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// It is not known which documents the journal holds changes of, and a
    /// document must not be served without them.
    #[error("{0}; see to the disk that holds the journal, then start again")]
    Journal(#[from] JournalError),
    /// The shutdown came, and in all the time that it is given the journal has
    /// not said what it holds. That stays where it is.
    #[error("the journal did not answer before the shutdown; see to the disk that holds it")]
    Interrupted,
}

/// Serves until `shutdown` resolves and what is unsaved has been saved, or
/// the configured time for that is over. Says which documents hold changes
/// that the store lacks.
///
/// Whether the engine uses a journal is decided by `stores`, and who it is to
/// other nodes by `cluster`, whatever `config` says. Without a cluster it speaks
/// to no other node; several that share a store do so all the same without
/// losing anything, but see each other's edits only when they read from it.
///
/// Must run inside a [`tokio::task::LocalSet`] on a runtime with time: its
/// tasks stay on the thread that polls them. Dropping the future ends
/// everything at once, unsaved changes included.
///
/// # Errors
/// [`ServeError`] if the journal does not say what it holds. No connection was
/// accepted then.
///
/// # Panics
/// If the engine panics, which nothing should make it do, so that no more is
/// written by an engine that is not in order. The code of one document may:
/// that is contained.
pub async fn serve<L: Listener>(
    listener: L,
    stores: Stores,
    cluster: Option<Cluster>,
    mut config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<Drained, ServeError> {
    config.engine.journal = stores.journal.is_some();
    config.engine.node = cluster.as_ref().map(|cluster| cluster.node);
    let shard = Shard::new(config.engine.clone(), config.seed, stores, cluster);
    let mut server = Server {
        shard: Rc::new(shard),
        config: Rc::new(config),
        tasks: JoinSet::new(),
    };
    tokio::pin!(shutdown);
    let goes_on = server.announce_journal(&mut shutdown).await?;
    server.keep_shard();
    if goes_on {
        server.accept_until(listener, shutdown).await;
    } else {
        drop(listener);
    }
    Ok(server.drain().await)
}

struct Server {
    shard: Rc<Shard>,
    config: Rc<Config>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Tells the engine what the journal holds. False if the shutdown came
    /// meanwhile.
    async fn announce_journal(
        &self,
        shutdown: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<bool, ServeError> {
        let announced = self.shard.announce_journal();
        tokio::pin!(announced);
        tokio::select! {
            biased;
            announced = &mut announced => {
                announced?;
                Ok(true)
            }
            () = shutdown => {
                // A disk that hangs must not keep the process from ending.
                timeout(self.config.shutdown_timeout, announced)
                    .await
                    .map_err(|_| ServeError::Interrupted)??;
                Ok(false)
            }
        }
    }

    /// Starts what the engine needs beside connections.
    fn keep_shard(&mut self) {
        self.tasks.spawn_local(Rc::clone(&self.shard).keep_time());
        self.tasks
            .spawn_local(Rc::clone(&self.shard).keep_journal());
        self.tasks
            .spawn_local(Rc::clone(&self.shard).keep_flushing());
        if self.shard.bus_is_up().is_some() {
            self.tasks.spawn_local(Rc::clone(&self.shard).keep_bus());
        }
        self.tasks.spawn_local(Rc::clone(&self.shard).reach_store());
    }

    /// Accepts connections. The listener is closed when this returns.
    async fn accept_until<L: Listener>(
        &mut self,
        listener: L,
        mut shutdown: impl Future<Output = ()> + Unpin,
    ) {
        let config = &self.config;
        let strangers = Strangers::new(config.handshakes_max, config.handshakes_per_address_max);
        let strangers = Rc::new(strangers);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = reap(&mut self.tasks, &self.shard) => {}
                (permit, accepted) = accept(&listener, &strangers) => match accepted {
                    Ok((stream, peer)) => {
                        let address = self.config.trusted_proxies.peer(peer).counted_as();
                        match strangers.seat(permit, address) {
                            Some(place) => self.spawn::<L>((stream, peer), place),
                            None => self.drop_stranger(peer),
                        }
                    }
                    Err(error) if is_of_one_connection(&error) => {
                        debug!(%error, "connection gone before it was accepted");
                    }
                    Err(error) => {
                        warn!(%error, "cannot accept connections");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn drop_stranger(&self, peer: SocketAddr) {
        self.shard.metrics().limits.handshakes_dropped.inc();
        debug!(address = %peer.ip(), "connection dropped, its address has too many handshakes");
    }

    fn spawn<L: Listener>(
        &mut self,
        (stream, peer): (L::Stream, SocketAddr),
        place: StrangerPlace,
    ) {
        if let Err(error) = L::set_nodelay(&stream) {
            debug!(%error, "connection without TCP_NODELAY");
        }
        let (shard, config) = (Rc::clone(&self.shard), Rc::clone(&self.config));
        self.tasks
            .spawn_local(serve_stream(shard, config, (stream, peer), place));
    }

    /// Ends the connections and saves what is not saved.
    async fn drain(mut self) -> Drained {
        self.shard.shut_down(self.config.shutdown_timeout);
        let shard = Rc::clone(&self.shard);
        let left = tokio::select! {
            biased;
            left = shard.drained() => left,
            () = reap_all(&mut self.tasks, &self.shard) => self.shard.drained().await,
        };
        // The close frames are on their way; clients get a moment to answer.
        let ended = reap_all(&mut self.tasks, &self.shard);
        if timeout(self.config.close_timeout, ended).await.is_err() {
            debug!("connections cut that did not end in time");
        }
        Drained::clone(&left)
    }
}

/// Takes a stream through its whole life.
async fn serve_stream<S>(
    shard: Rc<Shard>,
    config: Rc<Config>,
    accepted: (S, SocketAddr),
    place: StrangerPlace,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    // Boxed, so that an idle WebSocket does not keep the room of the HTTP
    // state that came before it.
    let upgraded = Box::pin(async {
        tokio::select! {
            biased;
            upgraded = http::serve(&shard, &config, accepted, place) => upgraded,
            _ = shard.drained() => None,
        }
    })
    .await;
    drop(shard);
    if let Some(upgraded) = upgraded {
        connection::run(upgraded, config).await;
    }
}

/// Waits for a free place, then for a connection to take it.
async fn accept<L: Listener>(
    listener: &L,
    strangers: &Strangers,
) -> (OwnedSemaphorePermit, io::Result<(L::Stream, SocketAddr)>) {
    let permit = strangers.free().await;
    (permit, listener.accept().await)
}

/// Errors that say something of the connection, not of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Waits for one task to end. If it broke the engine, so does everything.
async fn reap(tasks: &mut JoinSet<()>, shard: &Shard) {
    match tasks.join_next().await {
        Some(Err(failure)) if failure.is_panic() => {
            let told = failure.to_string();
            error!(failure = brief(&told), "a connection's task panicked");
            if shard.is_broken() {
                std::panic::resume_unwind(failure.into_panic());
            }
        }
        Some(_) => {}
        None => std::future::pending().await,
    }
}

async fn reap_all(tasks: &mut JoinSet<()>, shard: &Shard) {
    while !tasks.is_empty() {
        reap(tasks, shard).await;
    }
}
