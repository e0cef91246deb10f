//! Somebody who edits a document: the model client, over a real WebSocket.

mod rights;

use std::{collections::VecDeque, rc::Rc, time::Duration};

use rand::{RngExt, rngs::ChaCha8Rng};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use ysyncd_engine::{ConnId, protocol};

use super::{
    excuses::Excuses,
    ledger::Sender,
    presence::Heard,
    scene::{Mood, Scene},
    swarm::{self, Purpose},
    timeline::Lane,
    websocket::{Frame, Pumped, Refused, Socket, Target},
};
use crate::{
    client::Link,
    oracle::{Invariant, Violation},
    swarm::{between, millis},
};

/// How often clients renew their awareness, as y-protocols does.
pub(super) const RENEWAL: Duration = Duration::from_secs(15);

/// y-websocket takes a connection for dead after so long without a message.
const SILENCE: Duration = Duration::from_secs(30);

/// y-websocket's pauses between tries to connect.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_millis(2_500);

/// How long a ping may go unanswered where nothing goes wrong.
const PONG: Duration = Duration::from_secs(10);

/// So long before and after the end of their tokens clients ping all the time.
const NEAR_THE_END: Duration = millis(10);

/// A client makes no more edits at once while this much waits to be sent.
const UNSENT_MAX: usize = 2 << 10;

/// How often a client that does nothing looks up.
const GLANCE: Duration = Duration::from_millis(100);

pub(super) struct Visitor {
    at: usize,
    scene: Rc<Scene>,
    rng: ChaCha8Rng,
    /// For what only some clients do.
    habits: ChaCha8Rng,
    node: usize,
    failures: u32,
}

/// A connection and what is due on it.
struct Session {
    socket: Socket,
    sender: Sender,
    /// The server has asked what it lacks, and the answer goes before the rest.
    has_answered: bool,
    /// Since it began nothing goes wrong any more.
    is_peaceful: bool,
    act_at: Instant,
    renew_at: Instant,
    heard_at: Instant,
    /// Until when it does not read.
    deaf_until: Instant,
    heard: Heard,
    excuses: Excuses,
    /// Since when it waits to be told that it may not write.
    forged_at: Option<Instant>,
    /// It was told so.
    is_told: bool,
    /// From when on it pings all the time, as its token is about to end.
    ping_at: Option<Instant>,
    /// What it pinged and was not answered, the oldest first.
    pings: VecDeque<(Instant, Vec<u8>)>,
}

/// Why a connection is over, if nothing is wrong.
enum Over {
    Lost,
    Left,
}

impl Visitor {
    pub(super) fn new(at: usize, scene: Rc<Scene>) -> Self {
        Self {
            at,
            rng: scene.stream(Purpose::Client(at)),
            habits: scene.stream(Purpose::Habits(at)),
            node: scene.swarm.visitors[at].home,
            failures: 0,
            scene,
        }
    }

    pub(super) async fn live(mut self) {
        loop {
            if self.has_left() {
                self.scene.note(self.lane(), "goes for good");
                self.scene.clients[self.at].borrow_mut().link = Link::Left;
                return;
            }
            match self.scene.mood.get() {
                Mood::Storm => {
                    sleep(self.backoff()).await;
                    if self.rng.random_bool(0.3) {
                        self.edit(None);
                    }
                    if self.rng.random_bool(self.scene.swarm.wandering) {
                        self.node = self.rng.random_range(0..self.scene.swarm.nodes);
                    }
                }
                Mood::Away => {
                    sleep(GLANCE).await;
                    continue;
                }
                Mood::Gather(node) => {
                    self.node = self.scene.place(self.at, node);
                    sleep(self.backoff().min(millis(500))).await;
                }
            }
            if let Err(violation) = self.visit().await {
                self.scene.judge(Err(violation));
                return;
            }
        }
    }

    fn lane(&self) -> Lane {
        Lane::Client(self.at)
    }

    fn has_left(&self) -> bool {
        let leaves = self.scene.swarm.visitors[self.at].leaves;
        self.scene.leaver.get() == Some(self.at)
            || leaves.is_some_and(|leaves| self.scene.now() >= leaves)
    }

    fn backoff(&mut self) -> Duration {
        let most = BACKOFF_MIN * 2_u32.pow(self.failures.min(5));
        between(&mut self.rng, &(millis(1)..most.min(BACKOFF_MAX)))
    }

    /// One connection, from its beginning to its end.
    async fn visit(&mut self) -> Result<(), Violation> {
        let (token, until) = self.token();
        let ping_ahead = self.ping_ahead();
        let visitor = &self.scene.swarm.visitors[self.at];
        let target = Target {
            node: self.node,
            doc: self.scene.docs[visitor.doc].as_str(),
            token: &token,
            token_in_query: visitor.token_in_query,
            fragment_bytes_max: visitor.fragment_bytes_max,
            ping_ahead: ping_ahead.as_deref(),
        };
        let conn = self.scene.connections.get() + 1;
        self.scene.connections.set(conn);
        self.scene.arrivals.set(self.scene.arrivals.get() + 1);
        let text = format_args!("connects to node{}", self.node);
        self.scene.note(self.lane(), text);
        let rng = swarm::fork(&mut self.rng);
        self.scene.clients[self.at].borrow_mut().link = Link::Connecting(ConnId(conn));
        let mut excuses = Excuses::new(&self.scene, self.node, visitor.host);
        excuses.until = until;
        let connect = Socket::connect(&self.scene, self.lane(), &target, rng);
        let patience = self.scene.swarm.twists.patience;
        let patience = patience.filter(|_| !self.scene.is_healed());
        let connected = timeout(patience.unwrap_or(Duration::MAX), connect).await;
        let socket = match connected.unwrap_or(Err(Refused::Late)) {
            Ok(socket) => socket,
            Err(Refused::Wrong(violation)) => return Err(violation),
            Err(Refused::Status(401)) if !excuses.has_expired(&self.scene) => {
                return Err(Invariant::Expiry.violated("a token is refused before its end"));
            }
            Err(refused) => {
                self.failures += 1;
                self.scene.clients[self.at].borrow_mut().closed();
                self.scene
                    .note(self.lane(), format_args!("is not let in: {refused}"));
                return Ok(());
            }
        };
        self.failures = 0;
        let now = Instant::now();
        let mut session = Session {
            socket,
            sender: Sender {
                node: self.node,
                opened: self.scene.now(),
            },
            has_answered: false,
            is_peaceful: self.scene.is_healed(),
            act_at: now,
            renew_at: now + RENEWAL,
            heard_at: now,
            deaf_until: now,
            heard: Heard::default(),
            excuses,
            forged_at: None,
            is_told: false,
            ping_at: self.pings_from(until),
            pings: ping_ahead
                .map(|payload| (now, payload))
                .into_iter()
                .collect(),
        };
        let hello = self.scene.clients[self.at]
            .borrow_mut()
            .opened(ConnId(conn), self.scene.now());
        hello.iter().for_each(|frame| session.socket.send(frame));
        let over = self.attend(&mut session).await;
        self.scene.clients[self.at].borrow_mut().closed();
        match over? {
            Over::Lost => self.scene.note(self.lane(), "loses its connection"),
            Over::Left => self.scene.note(self.lane(), "disconnects"),
        }
        Ok(())
    }

    async fn attend(&mut self, session: &mut Session) -> Result<Over, Violation> {
        loop {
            let now = Instant::now();
            let reads = now >= session.deaf_until;
            let mut wake = session.act_at.min(session.renew_at);
            if !reads {
                wake = wake.min(session.deaf_until);
            }
            wake = session.ping_at.map_or(wake, |at| wake.min(at));
            tokio::select! {
                biased;
                pumped = session.socket.pump(reads) => match pumped {
                    Ok(Pumped::Some) => {}
                    Ok(Pumped::End) | Err(_) => return Ok(Over::Lost),
                },
                () = sleep_until(wake) => {}
            }
            while let Some(frame) = session.socket.next()? {
                let code = frame.close_code();
                if let Some(over) = self.take(session, frame)? {
                    if let Some(code) = code {
                        session.socket.read_out(code).await?;
                    }
                    return Ok(over);
                }
            }
            if let Some(over) = self.mind_time(session)? {
                return Ok(over);
            }
        }
    }

    fn take(&mut self, session: &mut Session, frame: Frame) -> Result<Option<Over>, Violation> {
        match frame {
            Frame::Binary(message) => {
                session.heard_at = Instant::now();
                session.heard.hear(&self.scene, &message)?;
                self.is_told_to_a_reader(session, &message)?;
                let client = &mut *self.scene.clients[self.at].borrow_mut();
                let mut ledger = self.scene.ledger.borrow_mut();
                ledger.shown(self.scene.now(), session.sender, client.doc, &message)?;
                let answers = client.receive(self.scene.now(), &message);
                let answers = answers.map_err(|error| Invariant::Understood.violated(error))?;
                session.has_answered |= message.starts_with(&[0, 0]);
                answers
                    .iter()
                    .for_each(|answer| session.socket.send(answer));
                Ok(None)
            }
            Frame::Ping(payload) => {
                session.socket.pong(&payload);
                Ok(None)
            }
            Frame::Pong(payload) => {
                session.is_answered(&payload)?;
                Ok(None)
            }
            Frame::Close(code, reason) => {
                let text = format_args!("is closed with {code}: {reason}");
                self.scene.note(self.lane(), text);
                let is_for_cause = session.excuses.cover(&self.scene, code, &reason);
                let invariant = match code {
                    4401 => Invariant::Expiry,
                    _ => Invariant::ClosedForCause,
                };
                invariant.holds(is_for_cause, || {
                    let excuses = &session.excuses;
                    format!(
                        "client{} is closed with {code}: {reason}; {excuses:?}",
                        self.at
                    )
                })?;
                Ok(Some(Over::Lost))
            }
        }
    }

    fn mind_time(&mut self, session: &mut Session) -> Result<Option<Over>, Violation> {
        let now = Instant::now();
        if now - session.heard_at > SILENCE {
            return Ok(Some(Over::Lost));
        }
        session.is_answered_in_time(now)?;
        self.ends_in_time(session)?;
        if now >= session.renew_at {
            session.renew_at = now + RENEWAL;
            self.announce(session);
        }
        self.ping_to_the_end(session);
        if now < session.act_at {
            return Ok(None);
        }
        let mood = self.scene.mood.get();
        let pause = match mood {
            Mood::Storm => between(&mut self.rng, &self.scene.swarm.pause),
            _ => GLANCE / 2,
        };
        session.act_at = now + pause;
        match mood {
            _ if self.has_left() => Ok(Some(Over::Left)),
            Mood::Storm => Ok(self.act(session)),
            Mood::Gather(node) if self.scene.place(self.at, node) == session.sender.node => {
                if self.scene.now() < self.scene.calm_until.get() {
                    self.edit(Some(session));
                    self.announce(session);
                    self.ping(session);
                }
                Ok(None)
            }
            _ => {
                session.socket.close(1000);
                Ok(Some(Over::Left))
            }
        }
    }

    fn act(&mut self, session: &mut Session) -> Option<Over> {
        if self.has_left() || self.rng.random_bool(self.scene.swarm.connection_loss) {
            return Some(Over::Left);
        }
        if self.rng.random_bool(self.scene.swarm.stall) {
            let time = between(&mut self.rng, &(millis(100)..millis(8_000)));
            self.scene
                .note(self.lane(), format_args!("does not read for {time:?}"));
            session.deaf_until = Instant::now() + time;
        }
        self.edit(Some(session));
        self.edit_on(session);
        self.ping(session);
        if self.rng.random_bool(0.2) {
            self.announce(session);
        }
        None
    }

    /// In some worlds clients make many edits at once.
    fn edit_on(&mut self, session: &mut Session) {
        let burst = self.scene.swarm.twists.burst;
        let is_first = self.scene.swarm.visitors[self.at].doc == 0;
        if burst > 0 && is_first {
            for _ in 0..self.habits.random_range(0..burst) {
                if session.socket.unsent() < UNSENT_MAX {
                    self.edit(Some(session));
                }
            }
        }
    }

    /// Where clients ping, some do before they know that they are let in.
    fn ping_ahead(&mut self) -> Option<Vec<u8>> {
        let pings = self.scene.swarm.twists.pings > 0.0 && self.habits.random_bool(0.5);
        pings.then(|| self.habits.random::<[u8; 8]>().to_vec())
    }

    /// In some worlds clients ping, several times in a row.
    fn ping(&mut self, session: &mut Session) {
        let chance = self.scene.swarm.twists.pings;
        if chance == 0.0 || !self.habits.random_bool(chance) {
            return;
        }
        for _ in 0..self.habits.random_range(1..=15) {
            let len = self.habits.random_range(0..=125);
            let payload: Vec<u8> = (0..len).map(|_| self.habits.random()).collect();
            session.socket.ping(&payload);
            session.pings.push_back((Instant::now(), payload));
        }
    }

    /// When somebody who pings at all begins to do so all the time.
    fn pings_from(&self, until: Option<Duration>) -> Option<Instant> {
        let from = until?.saturating_sub(NEAR_THE_END);
        let pings = self.scene.swarm.twists.pings > 0.0;
        pings.then(|| Instant::now() + from.saturating_sub(self.scene.now()))
    }

    /// A server that closes a connection may just have read a ping.
    fn ping_to_the_end(&mut self, session: &mut Session) {
        let now = Instant::now();
        if session.ping_at.is_none_or(|at| now < at) {
            return;
        }
        let end = session.excuses.until.unwrap_or_default() + NEAR_THE_END;
        session.ping_at = (self.scene.now() < end).then(|| now + millis(1));
        let payload: [u8; 8] = self.habits.random();
        session.socket.ping(&payload);
        session.pings.push_back((now, payload.to_vec()));
    }

    /// Edits, and tells of it where it is connected.
    ///
    /// Who goes for good tells nothing that it made later than what the server
    /// lacks: that would leave a gap for ever, which yrs 0.28 steps over where
    /// Yjs waits, so that clients would no longer agree.
    fn edit(&mut self, session: Option<&mut Session>) {
        if self.reads_only() {
            session.into_iter().for_each(|session| self.forge(session));
            return;
        }
        let stays = self.scene.swarm.visitors[self.at].leaves.is_none();
        let mut session = session.filter(|session| stays || session.has_answered);
        let client = &mut *self.scene.clients[self.at].borrow_mut();
        if let Some(update) = client.edit(&mut self.rng) {
            let text = format_args!("edits: {} bytes", update.len());
            self.scene.note(Lane::Client(self.at), text);
            if let Some(session) = &mut session {
                session.socket.send(&protocol::update(&update));
            }
        }
    }

    fn announce(&mut self, session: &mut Session) {
        let state = format!("{{\"at\":{}}}", self.scene.now().as_millis());
        let frame = self.scene.clients[self.at]
            .borrow_mut()
            .announce(Some(state));
        session.socket.send(&frame);
    }
}

impl Session {
    /// Whether it has been reading for so long.
    fn has_listened(&self, time: Duration) -> bool {
        Instant::now() >= self.deaf_until + time
    }

    /// A pong says what a ping said, and stands for those before it.
    fn is_answered(&mut self, payload: &[u8]) -> Result<(), Violation> {
        let pinged = self.pings.iter().position(|(_, pinged)| pinged == payload);
        Invariant::Answered.holds(pinged.is_some(), || {
            format!("a pong of {} bytes answers no ping", payload.len())
        })?;
        self.pings.drain(..=pinged.unwrap_or(0));
        Ok(())
    }

    fn is_answered_in_time(&self, now: Instant) -> Result<(), Violation> {
        let oldest = self.pings.front().filter(|_| self.is_peaceful);
        let is_late = oldest.is_some_and(|(at, _)| now - *at > PONG);
        Invariant::Answered.holds(!is_late, || format!("no pong comes within {PONG:?}"))
    }
}
