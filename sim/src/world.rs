//! A world: one engine, its clients, its store, and an event queue ordered by
//! time and then by the order of scheduling.

mod clients;
mod driver;
mod judgement;
mod network;
mod storage;

use std::{collections::BTreeMap, panic, time::Duration};

use bytes::Bytes;
use rand::rngs::ChaCha8Rng;
use ysyncd_engine::{
    ConnId, DocId, Engine, Input, StoreResult,
    auth::{Grant, TokenKey, UserId},
};

use self::network::{Down, Wire};
use crate::{
    client::{Client, ClientError},
    oracle::{Invariant, Oracle, Violation},
    store::{Operation, Store},
    swarm::{Purpose, Swarm, millis, stream},
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
}

fn not_understood(error: ClientError) -> Violation {
    Invariant::Understood.violated(error)
}
