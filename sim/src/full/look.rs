//! Those who come to look in the end: at how servers are, and whether
//! somebody who knows nothing gets everything.

use std::{cell::Cell, cell::RefCell, io, ops::Range, rc::Rc, time::Duration};

use bytes::Bytes;
use memchr::memmem;
use rand::RngExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use turmoil::net::TcpStream;
use ysyncd_engine::{
    ConnId,
    lib0::{write_var_bytes, write_var_uint},
    protocol::{self, Message, Messages},
};

use super::{
    ledger::Sender,
    node,
    scene::Scene,
    swarm::{Purpose, fork},
    timeline::Lane,
    websocket::{Frame, Pumped, Refused, Socket, Target},
};
use crate::{
    client::Client,
    oracle::{Invariant, Violation},
    swarm::{between, millis},
};

/// How often servers are asked how they are.
const PAUSE: Duration = Duration::from_millis(200);

/// How long it takes to save what is due to be saved.
const SAVING: Duration = Duration::from_secs(3);

/// A client's message of so many bytes takes its whole turn.
const A_TURN: usize = 64 << 10;

/// How long a server that has nothing else to do has to answer. Nobody says that
/// they are still there as often as that.
const ANSWERING: Duration = Duration::from_secs(5);

/// How a server says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) documents: u64,
    /// Whether the store has all that it took, and the bus all that it had to tell.
    pub(super) is_saved: bool,
}

/// Asks the servers how they are, again and again.
pub(super) async fn watch(scene: Rc<Scene>) -> turmoil::Result {
    loop {
        for (at, node) in scene.nodes.iter().enumerate() {
            let asked = timeout(Duration::from_secs(2), ask(&scene, at)).await;
            node.health.set(asked.ok().and_then(Result::ok).flatten());
        }
        sleep(PAUSE).await;
    }
}

/// Reads the servers' metrics now and then while things go wrong.
pub(super) async fn monitor(scene: Rc<Scene>, pause: Range<Duration>) -> turmoil::Result {
    let mut rng = scene.stream(Purpose::Monitor);
    while !scene.is_healed() {
        sleep(between(&mut rng, &pause)).await;
        let at = rng.random_range(0..scene.nodes.len());
        let scraped = timeout(Duration::from_secs(2), get(at, "/metrics", "text/plain")).await;
        if let Ok(Ok(metrics)) = scraped
            && let Some(staged) = gauge(&metrics, "staged_bytes")
        {
            scene.judge(is_staged_bounded(&scene, at, staged));
        }
    }
    std::future::pending().await
}

/// Past the limit each connection adds no more than one message.
fn is_staged_bounded(scene: &Scene, at: usize, staged: u64) -> Result<(), Violation> {
    let documents = scene.docs.len() + usize::from(scene.swarm.hostile.is_some());
    let limit = scene
        .swarm
        .engine
        .staged_bytes_max
        .saturating_mul(documents);
    let most = limit.saturating_add(scene.arrivals.get() * scene.largest_message.get());
    Invariant::Bounded.holds(staged <= most as u64, || {
        format!("node{at}: {staged} bytes wait to be durable, and {most} may")
    })
}

/// Once all was saved, what is new waits no longer than it may.
fn is_saved_in_time(scene: &Scene, at: usize, metrics: &str) -> Result<(), Violation> {
    let (node, engine) = (&scene.nodes[at], &scene.swarm.engine);
    let own = engine.save_debounce.max(engine.save_wait_max);
    // The node that took it may wait as long as it likes to, and fail once.
    let foreign = match scene.swarm.twists.bus {
        Some(_) => engine.foreign_save_wait.max(own * 2),
        None => Duration::ZERO,
    };
    let longest = own.max(foreign) + SAVING;
    let oldest = gauge(metrics, "oldest_unsaved_seconds").unwrap_or(0);
    let has_caught_up = node.caught_up.get() == Some(node.life.get());
    Invariant::SavedInTime.holds(!has_caught_up || oldest <= longest.as_secs(), || {
        format!("node{at}: something waits to be saved since {oldest} s, and may {longest:?}")
    })
}

/// A number of the metrics, without what follows the point.
fn gauge(metrics: &str, name: &str) -> Option<u64> {
    number(metrics, &format!("\nysyncd_{name} "))
}

fn number(text: &str, after: &str) -> Option<u64> {
    // Servers are asked all the time, and tell much: what the standard library
    // takes to look through it adds up.
    let at = memmem::find(text.as_bytes(), after.as_bytes())?;
    let rest = &text[at + after.len()..];
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

async fn ask(scene: &Scene, at: usize) -> io::Result<Option<Health>> {
    let health = get(at, "/healthz", "application/json").await?;
    let metrics = get(at, "/metrics", "text/plain").await?;
    if health.is_empty() || metrics.is_empty() {
        // It is ending.
        return Ok(None);
    }
    let is_well = health.starts_with("HTTP/1.1 200") && health.contains("{\"ok\":true,");
    let gauge = |name: &str| gauge(&metrics, name);
    let gauges = [
        number(&health, "\"documents\":"),
        gauge("unsaved_bytes"),
        gauge("staged_bytes"),
        gauge("documents_to_push"),
        gauge("journal_failed"),
        gauge("bus_waiting_bytes"),
    ];
    let [
        Some(documents),
        Some(unsaved),
        Some(staged),
        Some(to_push),
        Some(failed),
        Some(unpublished),
    ] = gauges
    else {
        let detail = format_args!("node{at} says {health:?} and {metrics:?}");
        scene.violated(Invariant::Healthy, detail);
        return Ok(None);
    };
    if !is_well {
        scene.violated(Invariant::Healthy, format_args!("node{at} says {health:?}"));
    }
    let is_saved = unsaved + staged + to_push + failed + unpublished == 0;
    scene.judge(is_saved_in_time(scene, at, &metrics));
    // A bucket that takes nothing yet is what goes wrong last. What other nodes are to
    // save adds no bytes, and has waited for it as well.
    let waits = gauge("oldest_unsaved_seconds").is_some_and(|oldest| oldest > 0);
    if is_saved && !waits && !scene.is_store_shut.get() {
        let node = &scene.nodes[at];
        node.caught_up.set(Some(node.life.get()));
    }
    Ok(Some(Health {
        documents,
        is_saved,
    }))
}

async fn get(at: usize, path: &str, accept: &str) -> io::Result<String> {
    let host = format!("node{at}");
    let mut stream = TcpStream::connect((host.as_str(), node::PORT)).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Somebody who knows nothing.
pub(super) struct Joiner {
    pub(super) node: usize,
    pub(super) doc: usize,
    pub(super) id: u64,
    /// What it should see.
    pub(super) truth: String,
    pub(super) is_done: Cell<bool>,
    /// Whether it then asks again, behind a large message.
    pub(super) asks_behind_much: bool,
    pub(super) client: RefCell<Client>,
}

/// Connects until it is let in, and stays until it has seen everything.
pub(super) async fn join(scene: Rc<Scene>, joiner: Rc<Joiner>) -> turmoil::Result {
    let mut rng = scene.stream(Purpose::Looker(joiner.id));
    let target = Target {
        node: joiner.node,
        doc: scene.docs[joiner.doc].as_str(),
        token: &scene.token,
        token_in_query: false,
        fragment_bytes_max: usize::MAX,
        ping_ahead: None,
    };
    loop {
        match Socket::connect(&scene, Lane::Looker, &target, fork(&mut rng)).await {
            Ok(socket) => {
                let seen = see(&scene, &joiner, socket).await;
                scene.judge(seen);
                return Ok(());
            }
            Err(Refused::Wrong(violation)) => scene.judge(Err(violation)),
            Err(_) => sleep(millis(200)).await,
        }
    }
}

async fn see(scene: &Scene, joiner: &Joiner, mut socket: Socket) -> Result<(), Violation> {
    let client = &joiner.client;
    let now = scene.now();
    let sender = Sender {
        node: joiner.node,
        opened: now,
    };
    let hello = client.borrow_mut().opened(ConnId(joiner.id), now);
    hello.iter().for_each(|frame| socket.send(frame));
    loop {
        match socket.pump(true).await {
            Ok(Pumped::Some) => {}
            Ok(Pumped::End) | Err(_) => {
                return Err(Invariant::Joiner.violated("the connection ends"));
            }
        }
        while let Some(frame) = socket.next()? {
            match frame {
                Frame::Binary(message) => {
                    let mut client = client.borrow_mut();
                    let mut ledger = scene.ledger.borrow_mut();
                    ledger.shown(scene.now(), sender, joiner.doc, &message)?;
                    let answers = client.receive(scene.now(), &message);
                    let answers = answers.map_err(|e| Invariant::Understood.violated(e))?;
                    answers.iter().for_each(|answer| socket.send(answer));
                }
                Frame::Ping(payload) => socket.pong(&payload),
                Frame::Pong(_) => {}
                Frame::Close(code, reason) => {
                    let detail = format_args!("a new client is closed with {code}: {reason}");
                    return Err(Invariant::ClosedForCause.violated(detail));
                }
            }
        }
        if scene.state_of(&client.borrow()) == joiner.truth {
            if joiner.asks_behind_much {
                let frames = [old_news(client.borrow().id), client.borrow().ask()];
                frames.iter().for_each(|frame| socket.send(frame));
                is_answered(scene, &mut socket).await?;
            }
            joiner.is_done.set(true);
            return counts_my_document(scene, joiner.node).await;
        }
    }
}

/// What comes behind a message that takes a server's whole turn is heard, though
/// nothing follows it.
async fn is_answered(scene: &Scene, socket: &mut Socket) -> Result<(), Violation> {
    let answered = timeout(ANSWERING, async {
        loop {
            while let Some(frame) = socket.next()? {
                match frame {
                    Frame::Binary(message) if is_answer(&message) => return Ok(()),
                    Frame::Ping(payload) => socket.pong(&payload),
                    _ => {}
                }
            }
            if !matches!(socket.pump(true).await, Ok(Pumped::Some)) {
                return Err(Invariant::Answered.violated("the connection ends"));
            }
        }
    });
    answered.await.unwrap_or_else(|_| {
        let now = scene.now();
        let detail = format!("at {now:?} what came behind {A_TURN} bytes waits for {ANSWERING:?}");
        Err(Invariant::Answered.violated(detail))
    })
}

/// Somebody says where they were when they came, at length: that is known, and is
/// passed over.
fn old_news(id: u64) -> Bytes {
    let mut states = Vec::new();
    for number in [1, id, 0] {
        write_var_uint(&mut states, number);
    }
    write_var_bytes(
        &mut states,
        format!("{{\"at\":\"{}\"}}", "a".repeat(A_TURN)).as_bytes(),
    );
    protocol::awareness(&states)
}

fn is_answer(frame: &[u8]) -> bool {
    let mut messages = Messages::new(frame);
    let mut all = std::iter::from_fn(|| messages.read_next().ok().flatten());
    all.any(|message| matches!(message, Message::SyncStep2(_)))
}

/// A server that somebody is connected to has a document in memory, in whichever
/// of its shards.
async fn counts_my_document(scene: &Scene, at: usize) -> Result<(), Violation> {
    let health = ask(scene, at).await.ok().flatten();
    let is_counted = health.is_none_or(|health| health.documents > 0);
    Invariant::Healthy.holds(is_counted, || {
        format!("node{at} has no document, though one is open there: {health:?}")
    })
}
