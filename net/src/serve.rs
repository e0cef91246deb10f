//! The server as a whole: accepting, and ending in order.

use std::{future::Future, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};
use tracing::{debug, warn};
use ysyncd_engine::{DocId, JournalError};
use ysyncd_storage::{SnapshotStore, journal::Journal};

use crate::{
    Cluster, Config, Listener, connection,
    front::Front,
    http, journal, readiness,
    shards::{self, Keepers},
    shared::Shared,
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
    /// A shard got no thread of its own, or no runtime.
    #[error("no thread can be started: {0}; lower SHARDS, or raise what the system allows")]
    Shard(String),
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
/// tasks stay on the thread that polls them. With more than one of
/// [`Config::shards`], the others have threads of their own. Dropping the future
/// ends everything, unsaved changes included: at once what is on this thread, and the
/// others a moment later.
///
/// # Errors
/// [`ServeError`] if the journal does not say what it holds, or a thread cannot be
/// started. No connection was accepted then.
///
/// # Panics
/// If an engine panics, which nothing should make it do, so that no more is
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
    tokio::pin!(shutdown);
    let (in_journal, goes_on) = read_journal(&stores, &config, &mut shutdown).await?;
    let shared = Arc::new(Shared::new(stores, cluster));
    let started = shards::start::<L>(&config, &shared, in_journal);
    let (shards, mut keepers) = started.map_err(|error| ServeError::Shard(error.to_string()))?;
    let front = Front::new(Rc::new(config), shared, shards);
    let mut server = Server {
        front: Rc::new(front),
        keepers: &mut keepers,
    };
    server.reach_store();
    if goes_on {
        server.accept_until(listener, shutdown).await;
    } else {
        drop(listener);
    }
    let left = server.drain().await;
    keepers.end().await;
    Ok(left)
}

/// Asks the journal which documents it holds changes of. False if the shutdown
/// came meanwhile.
async fn read_journal(
    stores: &Stores,
    config: &Config,
    shutdown: &mut (impl Future<Output = ()> + Unpin),
) -> Result<(Vec<DocId>, bool), ServeError> {
    let Some(journal) = &stores.journal else {
        return Ok((Vec::new(), true));
    };
    let documents = journal::documents(Arc::clone(journal));
    tokio::pin!(documents);
    tokio::select! {
        biased;
        documents = &mut documents => Ok((documents?, true)),
        () = shutdown => {
            // A disk that hangs must not keep the process from ending.
            let documents = timeout(config.shutdown_timeout, documents).await;
            Ok((documents.map_err(|_| ServeError::Interrupted)??, false))
        }
    }
}

struct Server<'a, P> {
    front: Rc<Front<P>>,
    keepers: &'a mut Keepers,
}

impl<P: Send + 'static> Server<'_, P> {
    /// Asks the store until it has answered once, or the server has drained.
    fn reach_store(&mut self) {
        let front = Rc::clone(&self.front);
        self.keepers.here.spawn(async move {
            let Shared {
                stores, readiness, ..
            } = &*front.shared;
            tokio::select! {
                biased;
                () = front.closed() => {}
                () = readiness::reach(&stores.snapshots, readiness) => {}
            }
        });
    }

    /// Accepts connections. The listener is closed when this returns.
    async fn accept_until<L: Listener<Parked = P>>(
        &mut self,
        listener: L,
        mut shutdown: impl Future<Output = ()> + Unpin,
    ) {
        let config = Rc::clone(&self.front.config);
        let strangers = Strangers::new(config.handshakes_max, config.handshakes_per_address_max);
        let strangers = Rc::new(strangers);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = self.keepers.reap() => {}
                (permit, accepted) = accept(&listener, &strangers) => match accepted {
                    Ok((stream, peer)) => {
                        let address = config.trusted_proxies.peer(peer).counted_as();
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
        self.front.shared.metrics.limits.handshakes_dropped.inc();
        debug!(address = %peer.ip(), "connection dropped, its address has too many handshakes");
    }

    fn spawn<L: Listener<Parked = P>>(
        &mut self,
        (stream, peer): (L::Stream, SocketAddr),
        place: StrangerPlace,
    ) {
        if let Err(error) = L::set_nodelay(&stream) {
            debug!(%error, "connection without TCP_NODELAY");
        }
        let front = Rc::clone(&self.front);
        let served = serve_stream::<L>(front, (stream, peer), place);
        self.keepers.here.spawn(served);
    }

    /// Ends the connections and saves what is not saved.
    async fn drain(self) -> Drained {
        let Shared { readiness, .. } = &*self.front.shared;
        readiness.drain();
        self.front
            .shards
            .shut_down(self.front.config.shutdown_timeout);
        let left = self.keepers.drained().await;
        self.front.close();
        left
    }
}

/// Takes a stream through its whole life.
fn serve_stream<L: Listener>(
    front: Rc<Front<L::Parked>>,
    accepted: (L::Stream, SocketAddr),
    place: StrangerPlace,
) -> impl Future<Output = ()> {
    // Boxed with all that it takes, so that an idle WebSocket does not keep the
    // room of the HTTP state that came before it.
    let opened = Box::pin(async move {
        let upgraded = tokio::select! {
            biased;
            upgraded = http::serve::<L>(&front, accepted, place) => upgraded,
            () = front.closed() => None,
        };
        Some(connection::run(upgraded?, Rc::clone(&front.config)))
    });
    async move {
        let connection = opened.await;
        if let Some(connection) = connection {
            connection.await;
        }
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
