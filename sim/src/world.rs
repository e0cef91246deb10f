//! A world: one engine, its clients, its store and its journal, and an event
//! queue ordered by time and then by the order of scheduling.

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

use self::{
    judgement::Guests,
    network::{Down, Wire},
};
use crate::{
    client::{Client, ClientError},
    journal::{Answers, Journal},
    oracle::{Invariant, Ledgers, Oracle, Violation},
    store::{Operation, Store},
    swarm::{End, Purpose, Swarm, millis, stream},
    trace::{Recording, Trace},
};

/// How often clients renew their awareness, as y-protocols does.
const RENEWAL: Duration = Duration::from_secs(15);
/// The client ids of whoever else writes stored objects start here.
const OTHER_WRITERS: u64 = 900;

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
    /// How many inputs engines got.
    inputs: u64,
    oracle: Oracle,
    ledgers: Ledgers,
    store: Store,
    journal: Journal,
    /// Answers of the journal do not overtake each other.
    journal_free: Duration,
    docs: Vec<DocId>,
    clients: Vec<Client>,
    streams: Vec<ChaCha8Rng>,
    network: ChaCha8Rng,
    /// One per document, and what all of them draw from.
    other_writers: (Vec<Client>, ChaCha8Rng),
    wires: BTreeMap<ConnId, Wire>,
    next_conn: u64,
    grant: Grant,
    guests: Guests,
    healed: bool,
    /// The shutdown under way is the end of the world.
    is_ending: bool,
    drained: Option<Drained>,
    /// Every update that anybody made, per document.
    log: Vec<Vec<Vec<u8>>>,
    trace: Trace,
}

/// What a shutdown ended with.
#[derive(Debug)]
struct Drained {
    unsaved: Vec<DocId>,
    journaled: Vec<DocId>,
}

#[derive(Debug)]
enum Event {
    /// A client does the next thing.
    Act(usize),
    /// A client renews its awareness.
    Renew(usize),
    /// A client goes for good.
    Leave(usize),
    /// A frame of a client arrives.
    AtServer(ConnId, Bytes),
    /// The server reads what has arrived, if it may.
    Read(ConnId),
    /// Something of the server arrives.
    AtClient(ConnId, Down),
    /// The server learns that a connection is gone.
    Gone(ConnId),
    /// A storage operation of an engine takes effect.
    Lands(u64, Operation, Duration),
    /// The answer to a storage operation of an engine.
    Answer(u64, ysyncd_engine::OpId, StoreResult),
    /// A batch of an engine's journal commands takes effect.
    JournalLands(u64),
    /// The answers to journal commands of an engine.
    JournalAnswers(u64, Answers),
    /// Somebody else writes a stored object.
    OtherWriter,
    /// The engine ends, and another one starts.
    End(End),
}

impl World {
    fn new(seed: u64, swarm: Swarm, recording: Recording) -> Self {
        let key = TokenKey::new(b"simulated");
        let user = UserId::new("somebody").expect("a valid name");
        let grant = key.verify(&key.mint(&user)).expect("its own token");
        let doc = |at| DocId::new(&format!("doc{at}")).expect("a valid name");
        let client = |(visitor, id)| Client::new(id, visitor);
        let docs = swarm.clients.iter().map(|visitor| visitor.doc);
        let streams = (0..swarm.clients.len() as u64).map(|at| stream(seed, Purpose::Client(at)));
        let others = (0..swarm.documents).zip(OTHER_WRITERS..).map(client);
        let mut trace = Trace::new(recording);
        trace.note(Duration::ZERO, format_args!("seed {seed}: {swarm:?}"));
        Self {
            seed,
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            scheduled: 0,
            engine: Engine::new(swarm.engine.clone(), seed),
            engines: 0,
            inputs: 0,
            oracle: Oracle::new(&swarm.engine),
            ledgers: Ledgers::default(),
            store: Store::new(seed),
            journal: Journal::new(seed),
            journal_free: Duration::ZERO,
            docs: (0..swarm.documents).map(doc).collect(),
            clients: docs.zip(1..).map(client).collect(),
            streams: streams.collect(),
            network: stream(seed, Purpose::Network),
            other_writers: (others.collect(), stream(seed, Purpose::OtherWriter)),
            wires: BTreeMap::new(),
            next_conn: 1,
            grant,
            guests: Guests::Everybody,
            healed: false,
            is_ending: false,
            drained: None,
            log: vec![Vec::new(); swarm.documents],
            trace,
            swarm,
        }
    }

    /// The life of the world: storm, healing, judgement, and a restart.
    fn live(&mut self) -> Result<(), Violation> {
        self.wake();
        let leaving = self.swarm.clients.iter().enumerate();
        let leaving = leaving.filter_map(|(at, visitor)| Some((visitor.leaves?, at)));
        for (leaves, client) in leaving.collect::<Vec<_>>() {
            self.after(leaves, Event::Leave(client));
        }
        if let Some(pause) = self.swarm.other_writer {
            self.after(pause, Event::OtherWriter);
        }
        for (at, end) in self.swarm.ends.clone() {
            self.after(at, Event::End(end));
        }
        self.run_until(self.swarm.storm)?;
        self.note("everything heals");
        self.healed = true;
        self.heal_and_judge()?;
        self.end_and_judge()
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

    /// All clients act, and renew their awareness, from now on.
    fn wake(&mut self) {
        self.queue
            .retain(|_, event| !matches!(event, Event::Act(_) | Event::Renew(_)));
        for client in 0..self.swarm.clients.len() {
            self.after(millis(1), Event::Act(client));
            self.after(RENEWAL, Event::Renew(client));
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Act(client) => self.act(client),
            Event::Renew(client) => self.renew(client),
            Event::Leave(client) => {
                self.leave(client);
                Ok(())
            }
            Event::AtServer(conn, bytes) => self.at_server(conn, bytes),
            Event::Read(conn) => self.read(conn),
            Event::AtClient(conn, down) => self.arrive(conn, down),
            Event::Gone(conn) => self.gone(conn),
            Event::Lands(engine, operation, answer) => self.land(engine, &operation, answer),
            Event::Answer(engine, op, result) if engine == self.engines => {
                self.oracle.stored(op, &result);
                self.input(Input::Store { op, result })
            }
            Event::JournalLands(engine) if engine == self.engines => {
                self.journal_lands();
                Ok(())
            }
            Event::JournalAnswers(engine, answers) => self.journal_answers(engine, answers),
            // Nobody is there any more to be told.
            Event::Answer(..) | Event::JournalLands(_) => Ok(()),
            Event::OtherWriter => self.write_as_other(),
            Event::End(end) => self.end(end),
        }
    }
}

fn not_understood(error: ClientError) -> Violation {
    Invariant::Understood.violated(error)
}
