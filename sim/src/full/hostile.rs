//! Somebody who means no good. What it does costs its own connection, closed
//! with the code that says why, and nobody else anything.
//!
//! To documents that yrs clients share it sends only what the grammar refuses,
//! as yrs would die of some of the rest. That goes to a document of its own.

mod deed;

use std::{ops::Range, rc::Rc, time::Duration};

use rand::{RngExt, rngs::ChaCha8Rng};
use tokio::{
    io::AsyncReadExt,
    time::{sleep, timeout},
};
use turmoil::net::TcpStream;

use self::deed::{Deed, Expected};
use super::{
    excuses::Excuses,
    node,
    scene::{Mood, Scene},
    swarm::{Place, Purpose, Trouble, fork},
    timeline::Lane,
    websocket::{Frame, Pumped, Refused, Socket, Target},
};
use crate::{
    oracle::{Invariant, Violation},
    swarm::{between, millis},
};

/// The document that only it opens.
pub(super) const DOCUMENT: &str = "hostile";

/// How long a server may take to close a connection.
const CLOSING: Duration = Duration::from_secs(5);

/// How long a node may take to end.
const ENDING: Duration = Duration::from_secs(20);

/// The host where it lives.
pub(super) const HOME: usize = 0;

/// How long it stays where nobody minds it.
const STAY: Duration = Duration::from_millis(200);

/// Does one thing after the other, as long as the storm goes on, and again
/// where all have gathered: there it is sure how each of them ends.
pub(super) async fn live(scene: Rc<Scene>, pause: Range<Duration>) {
    let mut rng = scene.stream(Purpose::Hostile);
    let mut silences = scene.stream(Purpose::Silences);
    loop {
        let pause = between(&mut rng, &pause);
        sleep(match scene.is_healed() {
            true => pause.min(millis(300)),
            false => pause,
        })
        .await;
        match scene.mood.get() {
            Mood::Away => continue,
            Mood::Gather(_) if scene.now() > scene.calm_until.get() => return,
            Mood::Storm | Mood::Gather(_) => {}
        }
        scene.is_attacked.set(true);
        // Where pings are frequent enough to wait for.
        let is_silent = silences.random_bool(0.1) && scene.swarm.net.silence_max < CLOSING;
        let done = attack(&scene, &mut rng, is_silent).await;
        scene.judge(done);
        scene.is_attacked.set(false);
    }
}

async fn attack(scene: &Rc<Scene>, rng: &mut ChaCha8Rng, is_silent: bool) -> Result<(), Violation> {
    let any = rng.random_range(0..scene.swarm.nodes);
    let node = match scene.mood.get() {
        Mood::Gather(node) => node,
        _ => any,
    };
    let is_shared = rng.random_bool(0.6);
    let doc = match is_shared {
        true => scene.docs[rng.random_range(0..scene.docs.len())].as_str(),
        false => DOCUMENT,
    };
    let deed = match scene.swarm.net.caps.is_some() && rng.random_bool(0.5) {
        _ if is_silent => Deed::Silence,
        true => Deed::draw_excess(rng, scene.swarm.piece_bytes_max.is_none()),
        false => Deed::draw(rng, is_shared, scene.swarm.engine.frame_bytes_max),
    };
    scene.note(
        Lane::Hostile,
        format_args!("to {doc} on node{node}: {deed:?}"),
    );
    if let Deed::Idle = deed {
        idle(node).await;
        return Ok(());
    }
    let target = Target {
        node,
        doc,
        token: match deed.expected() {
            Expected::Status(401) => "somebody:0000",
            _ => &scene.token,
        },
        token_in_query: rng.random_bool(0.5),
        fragment_bytes_max: usize::MAX,
        ping_ahead: None,
    };
    let attacker = Attacker::new(scene, target);
    let Some(mut socket) = attacker.connect(&deed, rng).await? else {
        return Ok(());
    };
    deed.send(&mut socket);
    // What somebody leaves unfinished keeps nobody else waiting for ever: who
    // waits for its own user is closed in time, too, and others get their turn.
    let rival = match deed {
        Deed::Hog => attacker.connect(&Deed::Large, rng).await?,
        _ => None,
    };
    let rival = async {
        let Some(mut socket) = rival else {
            return Ok(());
        };
        Deed::Large.send(&mut socket);
        attacker.see(&Deed::Large, socket).await
    };
    let (one, other) = tokio::join!(attacker.see(&deed, socket), rival);
    one.and(other)
}

/// Where somebody attacks, and how that stood when it began.
struct Attacker<'a> {
    scene: &'a Rc<Scene>,
    target: Target<'a>,
    life: u64,
    since: Duration,
    excuses: Excuses,
}

impl<'a> Attacker<'a> {
    fn new(scene: &'a Rc<Scene>, target: Target<'a>) -> Self {
        let node = target.node;
        Self {
            scene,
            life: scene.nodes[node].life.get(),
            since: scene.now(),
            excuses: Excuses::new(scene, node, HOME),
            target,
        }
    }

    async fn connect(
        &self,
        deed: &Deed,
        rng: &mut ChaCha8Rng,
    ) -> Result<Option<Socket>, Violation> {
        let scene = self.scene;
        scene.arrivals.set(scene.arrivals.get() + 1);
        match Socket::connect(scene, Lane::Hostile, &self.target, fork(rng)).await {
            Ok(socket) => Ok(Some(socket)),
            Err(Refused::Wrong(violation)) => Err(violation),
            Err(Refused::Status(429)) if scene.swarm.net.caps.is_some() => Ok(None),
            Err(Refused::Status(status)) => judge_status(deed, status).map(|()| None),
            Err(_) => Ok(None),
        }
    }

    /// Sees how a deed ends.
    async fn see(&self, deed: &Deed, mut socket: Socket) -> Result<(), Violation> {
        let (scene, node) = (self.scene, self.target.node);
        // What a server bears for a while it bears no longer than that.
        let caps = scene.swarm.net.caps.as_ref();
        let borne = caps.map_or(Duration::ZERO, |caps| {
            caps.slowed_max + caps.message_timeout
        });
        let borne = match deed {
            Deed::Silence => scene.swarm.net.silence_max,
            _ => borne,
        };
        let end = timeout(borne + CLOSING, read_to_end(&mut socket, deed)).await;
        let end = end.unwrap_or(Ok(End::Open))?;
        scene.note(Lane::Hostile, format_args!("{end:?}"));
        let is_sure = self.life == scene.nodes[node].life.get() && scene.nodes[node].serves.get();
        match (deed.expected(), end) {
            (Expected::Status(status), _) => {
                let detail = format_args!("let in, and not refused with {status}");
                Err(Invariant::BadInput.violated(detail))
            }
            (Expected::Code(expected), End::Closed(code, _)) if code == expected => Ok(()),
            (Expected::End, End::Open) if is_sure && is_word_sure(scene, node, self.since) => {
                let detail = "a client that answers no pings is kept";
                Err(Invariant::BadInput.violated(detail))
            }
            (_, End::Closed(code, reason)) if self.excuses.cover(scene, code, &reason) => Ok(()),
            // It has waited for its own user for as long as a message may take.
            (_, End::Closed(1008, reason))
                if matches!(deed, Deed::Large)
                    && caps.is_some_and(|caps| caps.is_per_user)
                    && reason == "a message took too long to come" =>
            {
                Ok(())
            }
            (expected, End::Closed(code, reason)) => {
                let detail =
                    format_args!("{deed:?} is closed with {code}: {reason}, and not {expected:?}");
                Err(Invariant::BadInput.violated(detail))
            }
            (Expected::Code(expected), end) if is_sure && is_word_sure(scene, node, self.since) => {
                let detail = format_args!("{deed:?} ends {end:?} and not with {expected}");
                Err(Invariant::BadInput.violated(detail))
            }
            _ => Ok(()),
        }
    }
}

/// Takes a place among those that have not asked for anything yet.
async fn idle(node: usize) {
    let host = Place::Node(node).name();
    let connect = TcpStream::connect((host.as_str(), node::PORT));
    if let Ok(Ok(mut stream)) = timeout(CLOSING, connect).await {
        let mut answer = Vec::new();
        let _ = timeout(CLOSING, stream.read_to_end(&mut answer)).await;
    }
}

fn judge_status(deed: &Deed, status: u16) -> Result<(), Violation> {
    match deed.expected() {
        Expected::Status(expected) if expected == status => Ok(()),
        // The document cannot be loaded.
        Expected::Code(_) | Expected::End | Expected::Nothing if status == 503 => Ok(()),
        expected => {
            let detail = format_args!("{deed:?} is refused with {status} and not {expected:?}");
            Err(Invariant::BadInput.violated(detail))
        }
    }
}

/// Whether a connection with a node, since it was asked for, could end only if
/// one of both ended it, and a close frame gets through in the time that it is
/// given.
fn is_word_sure(scene: &Scene, node: usize, since: Duration) -> bool {
    let swarm = &scene.swarm;
    let is_slow = swarm.piece_bytes_max.is_some() && swarm.latency > millis(20);
    let is_patient = swarm.net.close_timeout > millis(1_000) && !is_slow;
    is_patient && is_connected(scene, node, HOME, since)
}

/// Whether nothing has kept a node from those who live in a place since then,
/// and the node has run.
pub(super) fn is_connected(scene: &Scene, node: usize, home: usize, since: Duration) -> bool {
    is_free_of(scene, since, |trouble| cut(trouble, node, home))
}

/// Whether a stream from a node to those who live in a place, that was opened then, may
/// still get on: what a partition swallows is never sent again here.
pub(super) fn is_whole(scene: &Scene, node: usize, home: usize, opened: Duration) -> bool {
    is_free_of(scene, opened, |trouble| match trouble {
        Trouble::Partition { .. } => cut(trouble, node, home),
        _ => None,
    })
}

/// Whether no trouble that keeps somebody from somebody has been since then: `cut` tells
/// how long one does.
fn is_free_of(scene: &Scene, since: Duration, cut: impl Fn(&Trouble) -> Option<Duration>) -> bool {
    let now = scene.now();
    let mut troubles = scene.swarm.troubles.iter();
    let is_cut = |(at, trouble): &(Duration, Trouble)| {
        cut(trouble).is_some_and(|time| *at <= now && since <= *at + time)
    };
    let is_calm = scene.healed_at.get().is_some_and(|healed| healed < since);
    is_calm || !troubles.any(is_cut)
}

/// How long something keeps a node from those who live in a place.
fn cut(trouble: &Trouble, node: usize, home: usize) -> Option<Duration> {
    let is_between = |one: &Place, other: &Place| {
        let ends = [one, other];
        ends.contains(&&Place::Node(node)) && ends.contains(&&Place::Homes(home))
    };
    match trouble {
        Trouble::Hold { one, other, time } | Trouble::Partition { one, other, time } => {
            is_between(one, other).then_some(*time)
        }
        // Until its next life.
        Trouble::Shutdown { node: at, down } if *at == node => Some(*down + ENDING),
        Trouble::Kill { down, .. } => Some(*down + ENDING),
        _ => None,
    }
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    Closed(u16, String),
    Lost,
    /// It did not.
    Open,
}

async fn read_to_end(socket: &mut Socket, deed: &Deed) -> Result<End, Violation> {
    let read = async {
        loop {
            match socket.pump(true).await {
                Ok(Pumped::Some) => {}
                Ok(Pumped::End) | Err(_) => return Ok(End::Lost),
            }
            while let Some(frame) = socket.next()? {
                match frame {
                    Frame::Close(code, reason) => {
                        socket.read_out(code).await?;
                        return Ok(End::Closed(code, reason));
                    }
                    Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) => {}
                }
            }
        }
    };
    match deed.expected() {
        Expected::Nothing => timeout(STAY, read).await.unwrap_or(Ok(End::Open)),
        _ => read.await,
    }
}
