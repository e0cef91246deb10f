//! What the engine orders, carried out on real sockets. The engine's own
//! reasons to order it are none of these tests' business.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, duplex},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, LocalSet, spawn_local},
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};
use ysyncd_engine::{
    DocId,
    auth::{Grant, TokenKey, TokenVerifier, UserId},
    lib0::{write_var_bytes, write_var_uint},
};
use ysyncd_storage::memory::MemoryStore;

use super::*;
use crate::{
    Stores, connection,
    http::Upgraded,
    link::{Link, Opening},
    quota::Claim,
};

type Client = WebSocketStream<TcpStream>;

const PATIENCE: Duration = Duration::from_secs(20);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        timeout(2 * PATIENCE, test).await.expect("the test hangs");
    });
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("nothing came")
}

/// A shard and what its connections need.
struct House {
    shard: Rc<Shard>,
    shared: Arc<Shared>,
    config: Rc<crate::Config>,
    grant: Grant,
}

impl House {
    fn new(tweak: impl FnOnce(&mut crate::Config)) -> Self {
        let key = TokenKey::new(b"a secret of the tests");
        let grant = Grant::unlimited(UserId::new("alice").unwrap());
        let mut config = crate::Config::new(TokenVerifier::new(key), 1);
        // Nobody is to be closed for reading slowly on a busy machine, and no
        // document is to be full.
        config.engine.outbox_bytes_max = 1 << 30;
        config.engine.document_bytes_max = 1 << 30;
        tweak(&mut config);
        let stores = Stores {
            snapshots: Arc::new(MemoryStore::new()),
            journal: None,
        };
        let shared = Arc::new(Shared::new(stores, None));
        let numbers = (1..).step_by(1);
        let shard = Shard::new(config.engine.clone(), 1, numbers, Arc::clone(&shared));
        let shard = Rc::new(shard);
        spawn_local(Rc::clone(&shard).keep_time());
        spawn_local(Rc::clone(&shard).keep_flushing());
        Self {
            shard,
            shared,
            config: Rc::new(config),
            grant,
        }
    }

    /// A connection behind its handshake, and the client at its other end.
    async fn connect(&self) -> (ConnId, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (conn, _) = self.serve(accepted.unwrap().0).await;
        let client = WebSocketStream::from_raw_socket(client.unwrap(), Role::Client, None).await;
        (conn, client)
    }

    /// Serves a stream behind its handshake.
    async fn serve<S>(&self, stream: S) -> (ConnId, JoinHandle<()>)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (conn, connection) = self.open(stream).await;
        (conn, spawn_local(connection))
    }

    /// The same, for whoever polls it.
    async fn open<S>(&self, stream: S) -> (ConnId, impl Future<Output = ()> + use<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let doc = DocId::new("a").unwrap();
        let claim = Claim {
            doc: doc.clone(),
            user: self.grant.user.clone(),
            address: None,
        };
        let place = self.shared.quotas.claim(claim, &self.config).unwrap();
        let opening = Opening {
            doc,
            grant: self.grant.clone(),
            address: [127, 0, 0, 1].into(),
            place,
        };
        let link = Link::open(&self.shard, opening);
        soon(link.admission()).await.unwrap();
        let conn = link.conn();
        let upgraded = Upgraded {
            stream,
            ahead: Bytes::new(),
            link,
        };
        (conn, connection::run(upgraded, Rc::clone(&self.config)))
    }

    fn received(&self) -> u64 {
        self.shard.metrics().messages_received.get()
    }
}

/// The next message that is data or a close.
async fn next(client: &mut Client) -> Message {
    loop {
        match soon(client.next()).await.expect("no close frame").unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

/// Asks for the document and waits for it.
async fn sync(client: &mut Client) {
    client
        .send(Message::binary(vec![0, 0, 1, 0]))
        .await
        .unwrap();
    while !matches!(next(client).await, Message::Binary(frame) if frame.starts_with(&[0, 1])) {}
}

/// A message with a valid update: a text of 64 KiB by a client of its own.
fn update_of(client: u64) -> Bytes {
    let mut update = vec![1, 1];
    write_var_uint(&mut update, client);
    // From clock 0, a string at the root `t`.
    update.extend([0, 4, 1, 1, b't']);
    write_var_bytes(&mut update, &[b'a'; 64 << 10]);
    // Nothing is deleted.
    update.push(0);
    let mut message = vec![0, 2];
    write_var_bytes(&mut message, &update);
    message.into()
}

#[test]
fn a_paused_client_is_not_read_from_and_then_everything_comes_in_order() {
    run(async {
        let house = House::new(|_| {});
        let (_, mut watcher) = house.connect().await;
        sync(&mut watcher).await;
        let (conn, mut sender) = house.connect().await;
        sync(&mut sender).await;

        house.shard.execute(Output::Pause { conn });
        let before = house.received();
        // More than the kernel's buffers hold.
        let updates: Vec<Bytes> = (1..=640).map(update_of).collect();
        let sent = updates.clone();
        let sending = spawn_local(async move {
            for update in sent {
                sender.send(Message::Binary(update)).await.unwrap();
            }
        });
        sleep(Duration::from_millis(500)).await;
        assert_eq!(house.received(), before, "handed in during the pause");
        assert!(!sending.is_finished(), "read and kept, whatever the pause");

        house.shard.execute(Output::Resume { conn });
        for update in &updates {
            let relayed = next(&mut watcher).await;
            assert!(relayed == Message::Binary(update.clone()), "out of order");
        }
        soon(sending).await.unwrap();
    });
}

#[test]
fn a_paused_client_is_pinged_and_written_to_and_its_silence_is_excused() {
    run(async {
        let house = House::new(|config| {
            config.ping_interval = Duration::from_millis(100);
            config.silence_max = Duration::from_millis(300);
        });
        let (_, mut writer) = house.connect().await;
        let (conn, mut paused) = house.connect().await;
        sync(&mut paused).await;
        house.shard.execute(Output::Pause { conn });
        // Until it would have been cut several times over; the writer lives on
        // by its pongs.
        let mut pings = 0;
        let pause = sleep(Duration::from_millis(1_500));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                message = paused.next() => {
                    let message = message.expect("cut during the pause").unwrap();
                    pings += u32::from(message.is_ping());
                }
                message = writer.next() => assert!(matches!(message, Some(Ok(_)))),
            }
        }
        assert!(pings > 1, "{pings} pings");
        let update = update_of(1);
        writer.send(Message::Binary(update.clone())).await.unwrap();
        while next(&mut paused).await != Message::Binary(update.clone()) {}

        house.shard.execute(Output::Resume { conn });
        sync(&mut paused).await;
    });
}

#[test]
fn a_pause_gives_a_message_the_time_that_it_took_and_no_more() {
    run(async {
        let timeout = Duration::from_millis(1_500);
        let house = House::new(|config| config.message_timeout = timeout);
        let (conn, mut client) = house.connect().await;
        sync(&mut client).await;
        let begun = Instant::now();
        let unfinished = [0x02, 0x81, 0, 0, 0, 0, 3];
        client.get_mut().write_all(&unfinished).await.unwrap();
        sleep(timeout - Duration::from_millis(300)).await;
        let paused = Instant::now();
        house.shard.execute(Output::Pause { conn });
        sleep(timeout).await;
        house.shard.execute(Output::Resume { conn });
        let pause = paused.elapsed();
        let Message::Close(Some(frame)) = next(&mut client).await else {
            panic!("no close frame");
        };
        assert_eq!(u16::from(frame.code), 1008);
        let counted = begun.elapsed() - pause;
        assert!(
            counted >= timeout - Duration::from_millis(100),
            "{counted:?}"
        );
        assert!(counted < timeout * 3 / 2, "{counted:?}");
    });
}

#[test]
fn a_paused_client_that_goes_away_is_noticed() {
    run(async {
        let house = House::new(|config| config.ping_interval = Duration::from_millis(50));
        let (conn, mut client) = house.connect().await;
        sync(&mut client).await;
        house.shard.execute(Output::Pause { conn });
        drop(client);
        soon(async {
            while house.shard.metrics().connections() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    });
}

#[test]
fn a_paused_client_can_be_closed_and_answers() {
    run(async {
        let house = House::new(|config| config.close_timeout = PATIENCE * 2);
        let (conn, mut client) = house.connect().await;
        sync(&mut client).await;
        house.shard.execute(Output::Pause { conn });
        client.send(Message::Binary(update_of(1))).await.unwrap();
        house.shard.execute(Output::Close {
            conn,
            code: CloseCode::TryAgainLater,
            reason: "for a test".into(),
        });
        let Message::Close(Some(frame)) = next(&mut client).await else {
            panic!("no close frame");
        };
        assert_eq!(u16::from(frame.code), 1013);
        // The answer is read past what the pause held back, or the stream
        // would not end before the server loses its patience.
        while let Some(Ok(_)) = soon(client.next()).await {}
        assert_eq!(house.received(), 1, "only the first request was handed in");
    });
}

#[test]
fn connections_left_over_at_the_end_are_told_that_the_server_goes_away() {
    run(async {
        let house = House::new(|_| {});
        let (_, mut client) = house.connect().await;
        sync(&mut client).await;
        house.shard.execute(Output::Drained {
            unsaved: Vec::new(),
            journaled: Vec::new(),
        });
        let Message::Close(Some(frame)) = next(&mut client).await else {
            panic!("no close frame");
        };
        assert_eq!(u16::from(frame.code), 1001);
    });
}

#[test]
fn others_have_their_turn_after_one_large_message() {
    run(async {
        let house = House::new(|_| {});
        let (mut client, stream) = duplex(1 << 20);
        for number in 1..=10 {
            let update = update_of(number);
            // One frame, masked with zeroes.
            client.write_all(&[0x82, 0xff]).await.unwrap();
            client.write_u64(update.len() as u64).await.unwrap();
            client.write_all(&[0; 4]).await.unwrap();
            client.write_all(&update).await.unwrap();
        }
        let (_, connection) = house.open(stream).await;
        tokio::pin!(connection);
        for turns in 1..=10 {
            let polled = poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx)));
            assert!(polled.await.is_pending());
            assert_eq!(house.received(), turns);
        }
    });
}

/// A client that pongs without end, and how often it was read from.
struct Endless(Rc<Cell<u64>>);

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.set(self.0.get() + 1);
        let pong = [0x8a, 0x80, 0, 0, 0, 0];
        buf.put_slice(&pong.repeat(64));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One that wakes itself at once is polled some sixty times before the runtime looks at
/// sockets.
#[test]
fn who_always_has_something_to_say_lets_others_be_heard_after_each_turn() {
    run(async {
        let house = House::new(|config| {
            config.inbound_messages_per_second = None;
            config.inbound_bytes_per_second = None;
            config.inbound_user_messages_per_second = None;
            config.inbound_user_bytes_per_second = None;
            config.inbound_user_time_per_second = None;
        });
        let turns = Rc::new(Cell::new(0));
        let (_, _task) = house.serve(Endless(Rc::clone(&turns))).await;
        let (_, mut client) = house.connect().await;
        sync(&mut client).await;
        let fewest = async {
            let mut fewest = u64::MAX;
            for _ in 0..50 {
                let before = turns.get();
                sync(&mut client).await;
                fewest = fewest.min(turns.get() - before);
            }
            fewest
        };
        let fewest = fewest.await;
        assert!(fewest > 0, "it goes on");
        assert!(fewest <= 20, "{fewest} turns for one of the other");
    });
}

/// A stream that nothing comes from, and that cannot be written to.
enum Unwritable {
    Panics,
    /// Fails, and leaves what an engine leaves that breaks off.
    Breaks(Rc<Shard>),
}

impl AsyncRead for Unwritable {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Unwritable {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match &*self {
            Self::Panics => panic!("the stream panics"),
            Self::Breaks(shard) => {
                shard.handling.set(true);
                Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a task panicked with.
async fn panic_of(task: JoinHandle<()>) -> String {
    let panic = soon(task).await.unwrap_err().into_panic();
    (*panic.downcast::<&str>().unwrap()).to_owned()
}

#[test]
fn a_panic_in_a_write_ends_its_connection_and_no_other() {
    run(async {
        let house = House::new(|_| {});
        let (_, mut client) = house.connect().await;
        sync(&mut client).await;

        let (conn, task) = house.serve(Unwritable::Panics).await;
        house.shard.execute(Output::Send {
            conns: vec![conn].into(),
            frame: Bytes::from_static(b"a"),
        });
        assert_eq!(panic_of(task).await, "the stream panics");
        assert!(!house.shard.is_broken());
        assert_eq!(house.shard.metrics().connections(), 1);

        sync(&mut client).await;
    });
}

#[test]
fn an_engine_that_panics_in_a_write_is_not_used_again() {
    run(async {
        let house = House::new(|_| {});
        let (conn, task) = house
            .serve(Unwritable::Breaks(Rc::clone(&house.shard)))
            .await;
        house.shard.execute(Output::Send {
            conns: vec![conn].into(),
            frame: Bytes::from_static(b"a"),
        });
        let told = panic_of(task).await;
        assert_eq!(told, "an engine that panicked is not used again");
        assert!(house.shard.is_broken());
    });
}
