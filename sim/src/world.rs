//! A world: one engine, its clients, its store, and an event queue ordered by
//! time and then by the order of scheduling.

use std::{collections::BTreeMap, panic, time::Duration};

use bytes::Bytes;
use rand::{RngExt, rngs::ChaCha8Rng};
use ysyncd_engine::{
    Condition, ConnId, DocId, Engine, Event as EngineEvent, Input, Now, Output, StoreCommand,
    StoreResult,
    auth::{Grant, TokenKey, UserId},
};

use crate::{
    client::{Client, ClientError, Link, content_of, update_frame},
    oracle::{Invariant, Oracle, Violation, check_write},
    store::{Operation, Store},
    swarm::{Purpose, Swarm, between, millis, stream},
    trace::{Recording, Trace},
};

/// How long everybody has, from when things stop going wrong, to converge.
const HEALING: Duration = Duration::from_secs(150);
/// How long a new client has to get everything.
const JOINING: Duration = Duration::from_secs(5);
/// How often clients renew their awareness, as y-protocols does.
const RENEWAL: Duration = Duration::from_secs(15);
/// The client id of whoever else writes the stored object.
const OTHER_WRITER: u64 = 900;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What the seed drew.
    pub swarm: Swarm,
    /// What did not hold, if anything.
    pub violation: Option<Violation>,
    /// The last events.
    pub last: Vec<String>,
    /// Equal for equal runs.
    pub hash: u64,
}

/// Runs the world of a seed.
#[must_use]
pub fn run(seed: u64, recording: Recording) -> Outcome {
    let swarm = Swarm::draw(seed);
    let mut world = World::new(seed, swarm.clone(), recording);
    let lived = panic::catch_unwind(panic::AssertUnwindSafe(|| world.live()));
    let violation = match lived {
        Ok(lived) => lived.err(),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            Some(Invariant::Panic.violated(text.unwrap_or("a panic without a text")))
        }
    };
    Outcome {
        swarm,
        violation,
        last: world.trace.last(),
        hash: world.trace.hash(),
    }
}

struct World {
    seed: u64,
    swarm: Swarm,
    now: Duration,
    queue: BTreeMap<(Duration, u64), Event>,
    scheduled: u64,
    engine: Engine,
    engines: u64,
    oracle: Oracle,
    store: Store,
    clients: Vec<Client>,
    streams: Vec<ChaCha8Rng>,
    network: ChaCha8Rng,
    other_writer: (Client, ChaCha8Rng),
    wires: BTreeMap<ConnId, Wire>,
    next_conn: u64,
    grant: Grant,
    doc: DocId,
    healed: bool,
    drained: Option<Vec<DocId>>,
    /// Every update that anybody made.
    log: Vec<Vec<u8>>,
    trace: Trace,
}

/// One connection, as the network sees it.
struct Wire {
    client: usize,
    /// The client's end is open.
    client_open: bool,
    /// Frames do not overtake each other.
    up_free: Duration,
    down_free: Duration,
    /// The connection is lost: what arrives later does not arrive.
    up_until: Option<Duration>,
    written: u64,
}

#[derive(Debug)]
enum Event {
    /// A client does the next thing.
    Act(usize),
    /// A client renews its awareness.
    Renew(usize),
    /// A frame of a client arrives.
    AtServer(ConnId, Bytes),
    /// Something of the server arrives.
    AtClient(ConnId, Down),
    /// The server learns that a connection is gone.
    Gone(ConnId),
    /// A storage operation of an engine takes effect.
    Lands(u64, Operation, Duration),
    /// The answer to a storage operation of an engine.
    Answer(u64, ysyncd_engine::OpId, StoreResult),
    /// Somebody else writes the stored object.
    OtherWriter,
    /// The engine dies, and another one starts.
    Crash,
}

#[derive(Debug)]
enum Down {
    Accepted,
    Frame(Bytes),
    Closed,
}

impl World {
    fn new(seed: u64, swarm: Swarm, recording: Recording) -> Self {
        let key = TokenKey::new(b"simulated");
        let user = UserId::new("somebody").expect("a valid name");
        let grant = key.verify(&key.mint(&user)).expect("its own token");
        let clients = (1..=swarm.clients as u64).map(Client::new).collect();
        let streams = (0..swarm.clients as u64).map(|at| stream(seed, Purpose::Client(at)));
        let mut trace = Trace::new(recording);
        trace.note(Duration::ZERO, format_args!("seed {seed}: {swarm:?}"));
        Self {
            seed,
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            scheduled: 0,
            engine: Engine::new(swarm.engine.clone(), seed),
            engines: 0,
            oracle: Oracle::default(),
            store: Store::new(seed),
            clients,
            streams: streams.collect(),
            network: stream(seed, Purpose::Network),
            other_writer: (
                Client::new(OTHER_WRITER),
                stream(seed, Purpose::OtherWriter),
            ),
            wires: BTreeMap::new(),
            next_conn: 1,
            grant,
            doc: DocId::new("doc").expect("a valid name"),
            healed: false,
            drained: None,
            log: Vec::new(),
            trace,
            swarm,
        }
    }

    /// The life of the world: storm, healing, judgement, and a restart.
    fn live(&mut self) -> Result<(), Violation> {
        for client in 0..self.clients.len() {
            self.after(millis(1), Event::Act(client));
            self.after(RENEWAL, Event::Renew(client));
        }
        if let Some(pause) = self.swarm.other_writer {
            self.after(pause, Event::OtherWriter);
        }
        if let Some(at) = self.swarm.crash {
            self.after(at, Event::Crash);
        }
        self.run_until(self.swarm.storm)?;
        self.note("everything heals");
        self.healed = true;
        self.run_until(self.now + HEALING)?;
        // Nothing new is said while judging.
        self.queue
            .retain(|_, event| !matches!(event, Event::Renew(_)));
        self.run_until(self.now + JOINING)?;
        let (shown, stored) = self.judge()?;
        self.judge_leaving()?;
        self.judge_joiner(Invariant::Joiner, &shown)?;
        self.shut_down()?;
        self.restart();
        self.judge_joiner(Invariant::Restart, &stored)
    }

    fn run_until(&mut self, end: Duration) -> Result<(), Violation> {
        loop {
            let event = self.queue.first_key_value().map(|((at, _), _)| *at);
            let tick = self.engine.poll_timeout().map(|due| due.max(self.now));
            match (event, tick) {
                (Some(at), tick) if at <= end && tick.is_none_or(|tick| at <= tick) => {
                    let (_, event) = self.queue.pop_first().expect("it was just seen");
                    self.now = at;
                    self.happen(event)?;
                }
                (_, Some(tick)) if tick <= end => {
                    self.now = tick;
                    self.input(Input::Tick)?;
                    if self.engine.poll_timeout().is_some_and(|due| due <= tick) {
                        return Err(Invariant::NoSpin.violated("a tick is due again at once"));
                    }
                }
                _ => break,
            }
        }
        self.now = end;
        Ok(())
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.queue.insert((self.now + delay, self.scheduled), event);
        self.scheduled += 1;
    }

    fn note(&mut self, event: impl std::fmt::Display) {
        self.trace.note(self.now, event);
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Act(client) => self.act(client),
            Event::Renew(client) => {
                self.after(RENEWAL, Event::Renew(client));
                self.announce(client);
                self.check_keepalive(client)
            }
            Event::AtServer(conn, bytes) => match self.wires[&conn].up_until {
                Some(until) if until < self.now => Ok(()),
                _ => self.input(Input::Received { conn, bytes }),
            },
            Event::AtClient(conn, down) => self.arrive(conn, down),
            Event::Gone(conn) => {
                self.oracle.closed(conn);
                self.input(Input::Closed { conn })
            }
            Event::Lands(engine, operation, answer) => self.land(engine, &operation, answer),
            Event::Answer(engine, op, result) => match engine == self.engines {
                true => {
                    self.oracle.result(op, &result);
                    self.input(Input::Store { op, result })
                }
                false => Ok(()),
            },
            Event::OtherWriter => self.write_as_other(),
            Event::Crash => {
                self.note("the engine dies");
                self.restart();
                Ok(())
            }
        }
    }

    // Clients.

    fn act(&mut self, at: usize) -> Result<(), Violation> {
        let pause = between(&mut self.streams[at], &self.swarm.pause);
        self.after(pause, Event::Act(at));
        if self.clients[at].link == Link::Offline {
            // Some edits are made offline; then it comes back.
            if self.healed || self.streams[at].random_bool(0.3) {
                return self.connect(at);
            }
        } else if !self.healed && self.streams[at].random_bool(self.swarm.connection_loss) {
            self.lose(at);
        }
        if !self.healed {
            self.edit(at);
            if self.streams[at].random_bool(0.2) {
                self.announce(at);
            }
        }
        Ok(())
    }

    fn edit(&mut self, at: usize) {
        for update in self.clients[at].edit(&mut self.streams[at]) {
            self.note(format_args!("client {at} edits {update:02x?}"));
            if let Link::Open(conn) = self.clients[at].link {
                self.send_up(conn, update_frame(&update));
            }
            self.log.push(update);
        }
    }

    fn announce(&mut self, at: usize) {
        let state = format!("{{\"at\":{}}}", self.now.as_millis());
        let frame = self.clients[at].announce(state);
        if let Link::Open(conn) = self.clients[at].link {
            self.send_up(conn, frame);
        }
    }

    fn connect(&mut self, at: usize) -> Result<(), Violation> {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.note(format_args!("client {at} connects as {}", conn.0));
        self.clients[at].link = Link::Connecting(conn);
        let wire = Wire {
            client: at,
            client_open: true,
            up_free: self.now,
            down_free: self.now,
            up_until: None,
            written: 0,
        };
        self.wires.insert(conn, wire);
        self.oracle.opened(conn);
        let (doc, grant) = (self.doc.clone(), self.grant.clone());
        self.input(Input::Open { conn, doc, grant })
    }

    /// Cuts a client off. What it sent last may or may not arrive.
    fn lose(&mut self, at: usize) {
        let (Link::Open(conn) | Link::Connecting(conn)) = self.clients[at].link else {
            return;
        };
        self.note(format_args!("client {at} loses connection {}", conn.0));
        let until = self.now + between(&mut self.network, &self.swarm.latency);
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        wire.client_open = false;
        wire.up_until = Some(until);
        let noticed = between(&mut self.network, &(millis(1)..millis(3_000)));
        self.after(until - self.now + noticed, Event::Gone(conn));
        self.clients[at].closed();
    }

    fn check_keepalive(&self, at: usize) -> Result<(), Violation> {
        let client = &self.clients[at];
        let slow = self.swarm.stall > 0.0 && !self.healed;
        let silent = self.now.saturating_sub(client.heard);
        match client.link {
            Link::Open(_) if !slow && silent > Duration::from_secs(31) => {
                let detail = format!("client {at} heard nothing for {silent:?}");
                Err(Invariant::Keepalive.violated(detail))
            }
            _ => Ok(()),
        }
    }

    // The network.

    fn send_up(&mut self, conn: ConnId, frame: Bytes) {
        let latency = self.latency();
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        wire.up_free = wire.up_free.max(self.now + latency);
        let delay = wire.up_free - self.now;
        self.after(delay, Event::AtServer(conn, frame));
    }

    fn send_down(&mut self, conn: ConnId, down: Down) {
        let latency = self.latency();
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        wire.down_free = wire.down_free.max(self.now + latency);
        let delay = wire.down_free - self.now;
        self.after(delay, Event::AtClient(conn, down));
    }

    fn latency(&mut self) -> Duration {
        match !self.healed && self.network.random_bool(self.swarm.stall) {
            true => between(&mut self.network, &(millis(100)..millis(5_000))),
            false => between(&mut self.network, &self.swarm.latency),
        }
    }

    fn arrive(&mut self, conn: ConnId, down: Down) -> Result<(), Violation> {
        let wire = self.wires.get_mut(&conn).expect("wires stay");
        if !wire.client_open {
            return Ok(());
        }
        let at = wire.client;
        match down {
            Down::Accepted => {
                for frame in self.clients[at].opened(conn, self.now) {
                    self.send_up(conn, frame);
                }
                Ok(())
            }
            Down::Closed => {
                wire.client_open = false;
                self.clients[at].closed();
                Ok(())
            }
            Down::Frame(frame) => {
                wire.written += frame.len() as u64;
                let total_bytes = wire.written;
                let answers = self.clients[at].receive(self.now, &frame);
                for answer in answers.map_err(not_understood)? {
                    self.send_up(conn, answer);
                }
                self.input(Input::Written { conn, total_bytes })
            }
        }
    }

    // The engine.

    fn input(&mut self, input: Input) -> Result<(), Violation> {
        self.note(format_args!("> {input:02x?}"));
        if let Input::Received { conn, bytes } = &input {
            self.oracle.received(*conn, bytes);
        }
        self.engine.handle(Now { mono: self.now }, input);
        self.engine.check();
        while let Some(output) = self.engine.poll_output() {
            self.note(format_args!("< {output:02x?}"));
            self.oracle.output(&output)?;
            if let Output::Event(EngineEvent::DocumentUnloaded { .. }) = &output {
                self.oracle.left(self.store.object())?;
            }
            self.output(output);
        }
        Ok(())
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Accept { conn } => self.send_down(conn, Down::Accepted),
            Output::Refuse { conn, .. } => self.send_down(conn, Down::Closed),
            Output::Send { conns, frame } => {
                for conn in conns {
                    self.send_down(conn, Down::Frame(frame.clone()));
                }
            }
            Output::Close { conn, .. } => {
                self.send_down(conn, Down::Closed);
                self.after(millis(1), Event::Gone(conn));
            }
            Output::Store { op, command } => {
                let is_save = matches!(command, StoreCommand::Save { .. });
                let (fate, schedule) = self.store.plan(&self.swarm, self.healed, is_save);
                self.note(format_args!("{op:?} will be {fate:?}"));
                let operation = Operation { op, command, fate };
                let answer = self.now + schedule.answers;
                let event = Event::Lands(self.engines, operation, answer);
                self.after(schedule.lands, event);
            }
            Output::Event(_)
            | Output::Journal { .. }
            | Output::Pause { .. }
            | Output::Resume { .. } => {}
            Output::Drained { unsaved, .. } => self.drained = Some(unsaved),
        }
    }

    /// The engine goes without a word, and its connections with it.
    fn restart(&mut self) {
        self.engines += 1;
        let seed = self.seed.wrapping_add(self.engines << 32);
        self.engine = Engine::new(self.swarm.engine.clone(), seed);
        self.oracle = Oracle::default();
        self.queue
            .retain(|_, event| !matches!(event, Event::AtServer(..) | Event::Gone(_)));
        for at in 0..self.clients.len() {
            if let Link::Open(conn) | Link::Connecting(conn) = self.clients[at].link {
                let wire = self.wires.get_mut(&conn).expect("wires stay");
                wire.client_open = false;
                self.clients[at].closed();
            }
        }
    }

    // The store.

    fn land(
        &mut self,
        engine: u64,
        operation: &Operation,
        answer: Duration,
    ) -> Result<(), Violation> {
        let before = self.store.object().cloned();
        let result = self.store.carry_out(operation);
        let after = self.store.object();
        if let Some(after) = after.filter(|after| Some(*after) != before.as_ref()) {
            check_write(before.as_ref(), &after.body)?;
        }
        let delay = answer.saturating_sub(self.now);
        self.after(delay, Event::Answer(engine, operation.op, result));
        Ok(())
    }

    /// Somebody else, say another node, reads, edits and writes.
    fn write_as_other(&mut self) -> Result<(), Violation> {
        if self.healed {
            return Ok(());
        }
        let (other, rng) = &mut self.other_writer;
        let condition = match self.store.object() {
            Some(snapshot) => {
                other.apply(&snapshot.body).map_err(not_understood)?;
                Condition::Matches(snapshot.etag.clone())
            }
            None => Condition::Absent,
        };
        self.log.extend(other.edit(rng));
        let body = other.encode();
        let written = self.store.write(body.into(), &condition);
        written.expect("nobody came between");
        self.note("somebody else writes");
        let pause = self.swarm.other_writer.expect("there is one");
        self.after(pause, Event::OtherWriter);
        Ok(())
    }

    // Judgement.

    /// Everybody must have the same, and what is stored is everything. Returns
    /// what clients show and what is stored: these differ if somebody else
    /// wrote last, which an engine learns at its next write or load only.
    fn judge(&mut self) -> Result<(String, String), Violation> {
        let truth = content_of(self.log.iter().map(Vec::as_slice)).map_err(not_understood)?;
        let first = self.clients[0].content();
        for (at, client) in self.clients.iter().enumerate() {
            Invariant::Converged.equal(&format!("client {at}"), &client.content(), &first)?;
        }
        let stored = self.store.object().map(|snapshot| &*snapshot.body);
        let stored = content_of(stored).map_err(not_understood)?;
        Invariant::NothingLost.equal("the store", &stored, &truth)?;
        if self.swarm.other_writer.is_none() {
            Invariant::Stored.equal("the store", &stored, &first)?;
        }
        self.judge_presence(&(0..self.clients.len()).collect::<Vec<_>>())?;
        Ok((first, stored))
    }

    fn judge_presence(&self, here: &[usize]) -> Result<(), Violation> {
        let state = |at: &usize| {
            let client = &self.clients[*at];
            (client.id, client.present()[&client.id].clone())
        };
        let truth: BTreeMap<_, _> = here.iter().map(state).collect();
        for at in here {
            let told = self.clients[*at].present();
            let who = format!("client {at}");
            Invariant::Presence.equal(&who, &format!("{told:?}"), &format!("{truth:?}"))?;
        }
        Ok(())
    }

    /// One client goes: the others must see it.
    fn judge_leaving(&mut self) -> Result<(), Violation> {
        self.queue
            .retain(|_, event| !matches!(event, Event::Act(_)));
        self.lose(0);
        self.run_until(self.now + JOINING)?;
        self.judge_presence(&(1..self.clients.len()).collect::<Vec<_>>())
    }

    /// Somebody new must be shown everything.
    fn judge_joiner(&mut self, invariant: Invariant, truth: &str) -> Result<(), Violation> {
        let at = self.clients.len();
        self.clients.push(Client::new(500 + at as u64));
        self.streams
            .push(stream(self.seed, Purpose::Client(at as u64)));
        self.connect(at)?;
        self.run_until(self.now + JOINING)?;
        invariant.equal("a new client", &self.clients[at].content(), truth)
    }

    fn shut_down(&mut self) -> Result<(), Violation> {
        let deadline = self.now + JOINING;
        self.input(Input::Shutdown { deadline })?;
        self.run_until(deadline)?;
        match &self.drained {
            Some(unsaved) if unsaved.is_empty() => Ok(()),
            other => Err(Invariant::Drained.violated(format!("drained: {other:?}"))),
        }
    }
}

fn not_understood(error: ClientError) -> Violation {
    Invariant::Understood.violated(error)
}
