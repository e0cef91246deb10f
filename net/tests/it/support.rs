//! A server on a free port, and clients that speak to it.

use std::{future::Future, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::{JoinHandle, LocalSet, spawn_local},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};
use ysyncd_engine::{
    Condition, DocId, Etag, Snapshot, StoreError,
    auth::{TokenKey, TokenVerifier, UserId},
};
use ysyncd_net::{Cluster, Config, Drained, ServeError, Stores, serve};
use ysyncd_storage::{SnapshotStore, StoreFuture, memory::MemoryStore};

/// Longer than anything here takes, shorter than anyone's patience.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first message of every y-websocket client: its empty state vector.
pub(crate) const SYNC_STEP_1: &[u8] = &[0, 0, 1, 0];

/// How many engines each server has, unless a test says so: all that holds of one
/// has to hold of several.
fn shards() -> usize {
    let shards = std::env::var("YSYNCD_TEST_SHARDS");
    shards.map_or(1, |shards| shards.parse().expect("a number"))
}

/// Runs one test, which must end in time.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        timeout(3 * PATIENCE, test).await.expect("the test hangs");
    });
}

/// Waits for what must come.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("nothing came")
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Rc<Notify>,
    served: JoinHandle<Result<Drained, ServeError>>,
}

impl Server {
    /// A server with an empty store.
    pub(crate) async fn start(tweak: impl FnOnce(&mut Config)) -> Self {
        Self::with_store(Arc::new(MemoryStore::new()), tweak).await
    }

    pub(crate) async fn with_store(
        store: Arc<dyn SnapshotStore>,
        tweak: impl FnOnce(&mut Config),
    ) -> Self {
        let stores = Stores {
            snapshots: store,
            journal: None,
        };
        Self::with_stores(stores, tweak).await
    }

    pub(crate) async fn with_stores(stores: Stores, tweak: impl FnOnce(&mut Config)) -> Self {
        Self::with_all(stores, None, tweak).await
    }

    /// One of several that share a store.
    pub(crate) async fn with_all(
        stores: Stores,
        cluster: Option<Cluster>,
        tweak: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::new(TokenVerifier::new(key()), 1);
        config.close_timeout = Duration::from_secs(1);
        config.shards = shards();
        tweak(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Rc::new(Notify::new());
        let stopped = Rc::clone(&stop);
        let served = spawn_local(async move {
            serve(listener, stores, cluster, config, async move {
                stopped.notified().await;
            })
            .await
        });
        Self {
            address,
            stop,
            served,
        }
    }

    /// Shuts the server down and returns what the store lacks.
    pub(crate) async fn stop(self) -> Drained {
        self.begin_stop();
        self.ended().await.unwrap()
    }

    /// Waits for the server to end.
    pub(crate) async fn ended(self) -> Result<Drained, ServeError> {
        soon(self.served).await.unwrap()
    }

    pub(crate) fn begin_stop(&self) {
        self.stop.notify_one();
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A client of a document, its handshake done.
    pub(crate) async fn client(&self, doc: &str) -> Client {
        soon(self.connect(doc)).await.unwrap()
    }

    pub(crate) async fn connect(&self, doc: &str) -> Result<Client, tungstenite::Error> {
        self.connect_with(doc, &token("alice")).await
    }

    pub(crate) async fn connect_with(
        &self,
        doc: &str,
        token: &str,
    ) -> Result<Client, tungstenite::Error> {
        let url = format!("ws://{}/sync/v1/{doc}", self.address);
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {token}");
        request
            .headers_mut()
            .insert("authorization", bearer.parse().unwrap());
        self.handshake(request).await
    }

    pub(crate) async fn handshake(
        &self,
        request: tungstenite::handshake::client::Request,
    ) -> Result<Client, tungstenite::Error> {
        let (socket, _) = client_async(request, self.tcp().await).await?;
        Ok(Client { socket })
    }

    /// The whole answer to a request for `path` with some more header lines.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> String {
        let headers = match headers.replace("connection: Upgrade", "connection: close, Upgrade") {
            headers if headers.contains("connection:") => headers,
            headers => format!("connection: close\r\n{headers}"),
        };
        self.request(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n"))
            .await
    }

    /// What a counter stands at, as `/metrics` writes it: name without prefix, labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics", "").await;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&format!("ysyncd_{name} ")));
        line.expect("there is such a metric").parse().unwrap()
    }

    pub(crate) async fn request(&self, request: &str) -> String {
        let mut stream = self.tcp().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // What the server did not care to read may reset the connection in the
        // end; the answer tells.
        let _ = soon(stream.read_to_end(&mut answer)).await;
        String::from_utf8(answer).unwrap()
    }
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Client {
    pub(crate) async fn send(&mut self, message: &[u8]) {
        let message = Message::Binary(Bytes::copy_from_slice(message));
        self.socket.send(message).await.unwrap();
    }

    /// The next sync step 2, whatever comes before it.
    pub(crate) async fn sync_step_2(&mut self) -> Bytes {
        loop {
            if let Message::Binary(frame) = soon(self.socket.next()).await.unwrap().unwrap()
                && frame.starts_with(&[0, 1])
            {
                return frame;
            }
        }
    }

    /// The next binary message.
    pub(crate) async fn message(&mut self) -> Bytes {
        loop {
            if let Message::Binary(frame) = self.socket.next().await.unwrap().unwrap() {
                return frame;
            }
        }
    }

    /// Asks for the document and waits for it.
    pub(crate) async fn sync(&mut self) -> Bytes {
        self.send(SYNC_STEP_1).await;
        self.sync_step_2().await
    }

    /// The code and reason that the server closes with.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match soon(self.socket.next())
                .await
                .expect("no close frame")
                .unwrap()
            {
                Message::Close(frame) => {
                    let frame = frame.expect("a close frame with a code");
                    return (frame.code.into(), frame.reason.to_string());
                }
                _ => continue,
            }
        }
    }
}

pub(crate) fn key() -> TokenKey {
    TokenKey::new(b"a secret of the tests")
}

pub(crate) fn token(user: &str) -> String {
    key().mint(&UserId::new(user).unwrap())
}

/// The headers of a WebSocket handshake.
pub(crate) fn upgrade() -> String {
    "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        .to_owned()
}

/// A valid Yjs v1 update: the text `len` times "a" at the root `t`.
pub(crate) fn text_update(len: usize) -> Bytes {
    // One client (1), one struct from clock 0, a string whose parent is named.
    let mut update = vec![1, 1, 1, 0, 4, 1, 1, b't'];
    let mut rest = len;
    while rest >= 0x80 {
        update.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    update.push(u8::try_from(rest).unwrap());
    update.resize(update.len() + len, b'a');
    update.push(0);
    update.into()
}

/// A store that holds one document, named `big`.
pub(crate) async fn store_with(update: Bytes) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    let doc = DocId::new("big").unwrap();
    store.save(&doc, update, Condition::Absent).await.unwrap();
    Arc::new(store)
}

/// What a server asks its store for to see whether it answers.
pub(crate) const ASKED_FOR_AT_START: &str = ".ysyncd-ready";

/// A store whose loads of documents wait, each for one permit, and then answer as told.
pub(crate) struct GatedStore {
    pub(crate) gate: Semaphore,
    pub(crate) answer: fn() -> Result<Option<Snapshot>, StoreError>,
}

impl GatedStore {
    pub(crate) fn new(answer: fn() -> Result<Option<Snapshot>, StoreError>) -> Arc<Self> {
        Arc::new(Self {
            gate: Semaphore::new(0),
            answer,
        })
    }
}

impl SnapshotStore for GatedStore {
    fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>> {
        Box::pin(async move {
            if doc.as_str() == ASKED_FOR_AT_START {
                return Ok(None);
            }
            self.gate.acquire().await.unwrap().forget();
            (self.answer)()
        })
    }

    fn save<'a>(&'a self, _: &'a DocId, _: Bytes, _: Condition) -> StoreFuture<'a, Etag> {
        Box::pin(async { Err(StoreError::Unavailable("read only".to_owned())) })
    }
}
