//! A world: nodes, their clients, a store and journals, and an event queue
//! ordered by time and then by the order of scheduling.

mod bus;
mod clients;
mod incidents;
mod intruders;
mod judgement;
mod narration;
mod network;
mod node;
mod queue;
mod storage;

use std::{panic, time::Duration};

use bytes::Bytes;
use rand::rngs::ChaCha8Rng;
use ysyncd_engine::{ConnId, DocId, OpId, StoreResult, planted::Bug};

use self::{
    bus::{Bus, Told},
    intruders::Intruder,
    judgement::Guests,
    narration::Narration,
    network::{Down, Wires},
    node::{Life, Node},
    queue::Queue,
};
use crate::{
    client::{Client, ClientError},
    journal::Answers,
    oracle::{HOME, Invariant, Ledgers, Violation, name_of},
    planting::plant,
    store::{Operation, Store},
    story::Storyteller,
    swarm::{Purpose, Swarm, millis, stream},
    tape::Tape,
    trace::{Recording, Trace},
};

/// How often clients renew their awareness, as y-protocols does.
const RENEWAL: Duration = Duration::from_secs(15);
/// Of a document's client ids, that of whoever else writes the stored object.
const OTHER_WRITER: u64 = 900;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What did not hold, if anything.
    pub violation: Option<Violation>,
    /// When it ended, in simulated time.
    pub end: Duration,
    /// The last events.
    pub last: Vec<String>,
    /// Equal for equal runs.
    pub hash: u64,
    /// What engines were told, if that was asked for; the engine that was
    /// driven last comes last.
    pub tapes: Vec<Tape>,
    /// What happened, if that was asked for.
    pub story: Option<Storyteller>,
}

/// Runs a world under a seed.
#[must_use]
pub fn run(seed: u64, swarm: &Swarm, recording: Recording) -> Outcome {
    // An engine that panics now and then is no function of its inputs alone.
    let recording = match (swarm.panics, recording) {
        (true, Recording::Tapes) => Recording::Last,
        (_, recording) => recording,
    };
    let mut world = World::new(seed, swarm.clone(), recording);
    let lived = panic::catch_unwind(panic::AssertUnwindSafe(|| world.live()));
    let violation = match lived {
        Ok(lived) => lived.err(),
        Err(payload) => Some(crate::panicked(&*payload)),
    };
    if swarm.panics {
        plant(None);
    }
    let end = world.now;
    let hash = world.trace.hash();
    // It would take longer than much of the run.
    let last = violation
        .as_ref()
        .map_or_else(Vec::new, |_| world.trace.last());
    let narration = world.narration.take();
    let story = narration.map(|narration| narration.finish(end, violation.as_ref()));
    let tapes = world.into_tapes();
    let replayed = tapes.iter().try_for_each(|tape| tape.replay().map(drop));
    Outcome {
        violation: violation.or(replayed.err()),
        end,
        last,
        hash,
        tapes,
        story,
    }
}

/// Where something is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Client(usize),
    Node(usize),
    Store,
    Elsewhere,
}

struct World {
    seed: u64,
    swarm: Swarm,
    now: Duration,
    queue: Queue<Event>,
    nodes: Vec<Node>,
    /// The node that was driven last.
    driven: usize,
    ledgers: Ledgers,
    store: Store,
    /// Until when the store answers nobody.
    outage_until: Duration,
    /// When the store last did not do at once what it was asked.
    store_trouble: Duration,
    /// Documents whose stored object somebody removed.
    vanished: Vec<DocId>,
    docs: Vec<DocId>,
    clients: Vec<Client>,
    streams: Vec<ChaCha8Rng>,
    intruders: Vec<Intruder>,
    network: ChaCha8Rng,
    bus: Bus,
    transports: ChaCha8Rng,
    comebacks: ChaCha8Rng,
    /// One per document, and what all of them draw from.
    other_writers: (Vec<Client>, ChaCha8Rng),
    wires: Wires,
    guests: Guests,
    /// The stored object that was read last, and what it shows.
    read_last: Option<(Bytes, String)>,
    healed: bool,
    /// The shutdown under way is the end of the world.
    is_ending: bool,
    /// Every update that anybody made, per document.
    log: Vec<Vec<Vec<u8>>>,
    recording: Recording,
    trace: Trace,
    tapes: Vec<Tape>,
    narration: Option<Narration>,
}

#[derive(Debug)]
enum Event {
    /// A client does the next thing.
    Act(usize),
    /// A client comes back, if it is not there.
    ComeBack(usize),
    /// A client renews its awareness.
    Renew(usize),
    /// A client goes for good.
    Leave(usize),
    /// A client tells another all it knows, on another way than through a
    /// server.
    Gossip(usize, usize),
    /// An intruder does the next thing.
    Intrude(usize),
    /// A client's request to be let in arrives.
    Open(ConnId),
    /// A frame of a client arrives.
    AtServer(ConnId, Bytes),
    /// The server reads what has arrived, if it may.
    Read(ConnId),
    /// Something of the server arrives.
    AtClient(ConnId, Down),
    /// So much in all of what the server has sent has left it.
    Leaves(ConnId, u64),
    /// The server learns that a connection is gone.
    Gone(ConnId),
    /// It has let go of what it had still to write to one.
    Freed(ConnId),
    /// A storage operation of an engine takes effect; when it is answered, if
    /// it is not already.
    Lands(Life, Operation, Option<Duration>),
    /// The answer to a storage operation of an engine.
    Answer(Life, OpId, StoreResult),
    /// A batch of an engine's journal commands takes effect.
    JournalLands(Life),
    /// The answers to journal commands of an engine.
    JournalAnswers(Life, Answers),
    /// Somebody else writes a stored object.
    OtherWriter,
    /// The bus tells an engine something, if it still is on that connection.
    Bus(Life, u64, Told),
    /// What the swarm has drawn befalls the bus.
    BusIncident(usize),
    /// What the swarm has drawn comes to pass.
    Incident(usize),
    /// Somebody puts right what was damaged in the store.
    Mend,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client(at) => write!(f, "client {at}"),
            Self::Node(at) => write!(f, "node {at}"),
            Self::Store => f.write_str("store"),
            Self::Elsewhere => f.write_str("world"),
        }
    }
}

impl World {
    fn new(seed: u64, swarm: Swarm, recording: Recording) -> Self {
        let clients = swarm.clients.iter().enumerate();
        let clients: Vec<_> = clients
            .map(|(at, visitor)| {
                let id = client_id(visitor.doc, at as u64);
                Client::new(id, visitor.doc, swarm.content).with(visitor.habit)
            })
            .collect();
        let client_stream = |at| stream(seed, Purpose::Client(at));
        let other = |doc| Client::new(client_id(doc, OTHER_WRITER), doc, swarm.content);
        Self {
            seed,
            now: Duration::ZERO,
            queue: Queue::new(),
            nodes: (0..swarm.nodes)
                .map(|at| Node::new(seed, at, &swarm))
                .collect(),
            driven: 0,
            ledgers: Ledgers::default(),
            store: Store::new(seed),
            outage_until: Duration::ZERO,
            store_trouble: Duration::ZERO,
            vanished: Vec::new(),
            docs: (0..swarm.documents).map(name_of).collect(),
            streams: (0..clients.len()).map(client_stream).collect(),
            clients,
            intruders: (0..swarm.intruders)
                .map(|at| Intruder::new(seed, at))
                .collect(),
            network: stream(seed, Purpose::Network),
            bus: Bus::new(seed, swarm.nodes),
            transports: stream(seed, Purpose::Transports),
            comebacks: stream(seed, Purpose::Comebacks),
            other_writers: (
                (0..swarm.documents).map(other).collect(),
                stream(seed, Purpose::OtherWriter),
            ),
            wires: Wires::default(),
            guests: Guests::Everybody,
            read_last: None,
            healed: false,
            is_ending: false,
            log: vec![Vec::new(); swarm.documents],
            recording,
            trace: Trace::new(recording),
            tapes: Vec::new(),
            narration: (recording == Recording::Story).then(|| Narration::new(&swarm)),
            swarm,
        }
    }

    /// The life of the world: storm, healing, judgement, and a restart.
    fn live(&mut self) -> Result<(), Violation> {
        if self.swarm.panics {
            plant(Some(Bug::DocumentPanics));
        }
        self.wake();
        let leaving = self.swarm.clients.iter().enumerate();
        let leaving = leaving.filter_map(|(at, visitor)| Some((visitor.leaves?, at)));
        for (leaves, client) in leaving.collect::<Vec<_>>() {
            self.after(leaves, Event::Leave(client));
        }
        if self.swarm.backoff.is_some() {
            (0..self.clients.len()).for_each(|at| self.after(millis(1), Event::ComeBack(at)));
        }
        for at in 0..self.intruders.len() {
            self.after(millis(1), Event::Intrude(at));
        }
        if let Some(pause) = self.swarm.other_writer {
            self.after(pause, Event::OtherWriter);
        }
        for at in 0..self.swarm.incidents.len() {
            self.after(self.swarm.incidents[at].at, Event::Incident(at));
        }
        let of_bus = self.swarm.bus.iter().flat_map(|bus| &bus.incidents);
        let of_bus: Vec<_> = of_bus.map(|incident| incident.at).collect();
        for (at, when) in of_bus.into_iter().enumerate() {
            self.after(when, Event::BusIncident(at));
        }
        (0..self.nodes.len()).for_each(|node| self.connect_bus(node));
        self.run_until(self.swarm.storm)?;
        self.note(Place::Elsewhere, "everything heals");
        self.healed = true;
        if self.swarm.panics {
            plant(None);
        }
        self.end_incidents();
        if self.swarm.raises_limits {
            self.raise_limits()?;
        }
        self.heal_and_judge()?;
        self.end_and_judge()
    }

    fn run_until(&mut self, end: Duration) -> Result<(), Violation> {
        loop {
            let event = self.queue.next_at();
            let ticks = self.nodes.iter().enumerate();
            let ticks = ticks.filter_map(|(at, node)| Some((node.next_tick(self.now)?, at)));
            match (event, ticks.min()) {
                (Some(at), tick) if at <= end && tick.is_none_or(|(tick, _)| at <= tick) => {
                    let (rank, event) = self.queue.pop().expect("it was just seen");
                    self.now = at;
                    match self.put_off(&event) {
                        // What was scheduled first still comes first: a
                        // connection's frames do not overtake one another.
                        Some(until) => self.queue.put_back(until, rank, event),
                        None => self.happen(event)?,
                    }
                }
                (_, Some((tick, node))) if tick <= end => {
                    self.now = tick;
                    self.tick(node)?;
                }
                _ => break,
            }
        }
        self.now = end;
        Ok(())
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.queue.push(self.now + delay, event);
    }

    fn note(&mut self, place: Place, event: impl std::fmt::Display) {
        if let Some(narration) = &mut self.narration {
            narration.note(self.now, place, &event.to_string());
        }
        self.trace.note(self.now, format_args!("{place}: {event}"));
    }

    /// All clients act, and renew their awareness, from now on.
    fn wake(&mut self) {
        self.queue
            .retain(|event| !matches!(event, Event::Act(_) | Event::Renew(_)));
        for client in 0..self.clients.len() {
            self.after(millis(1), Event::Act(client));
            self.after(RENEWAL, Event::Renew(client));
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Act(client) => self.act(client),
            // Once all has healed it looks for itself whether it may.
            Event::ComeBack(_) if self.healed => Ok(()),
            Event::ComeBack(client) => self.connect_if_let(client),
            Event::Renew(client) => self.renew(client),
            Event::Leave(client) => {
                self.leave(client);
                Ok(())
            }
            // Nothing new is said once all has healed.
            Event::Gossip(..) if self.healed => Ok(()),
            Event::Gossip(from, to) => {
                let diff = self.clients[from].diff(&self.clients[to]);
                self.clients[to].apply(&diff).map_err(not_understood)
            }
            Event::Intrude(intruder) => self.intrude(intruder),
            Event::Open(conn) => self.open(conn),
            Event::AtServer(conn, bytes) => self.at_server(conn, bytes),
            Event::Read(conn) => self.read(conn),
            Event::AtClient(conn, down) => self.arrive(conn, down),
            Event::Leaves(conn, total) => self.leaves(conn, total),
            Event::Gone(conn) => self.gone(conn),
            Event::Freed(conn) => self.freed(conn),
            Event::Lands(life, operation, answer) => self.land(life, &operation, answer),
            Event::Answer(life, op, result) => self.store_answers(life, op, result),
            Event::JournalLands(life) => {
                self.journal_lands(life);
                Ok(())
            }
            Event::JournalAnswers(life, answers) => self.journal_answers(life, answers),
            Event::OtherWriter => self.write_as_other(),
            Event::Bus(life, epoch, told) => self.bus_tells(life, epoch, told),
            Event::BusIncident(at) => self.befall_bus(at),
            Event::Incident(at) => self.befall(at),
            Event::Mend => {
                self.mend();
                Ok(())
            }
        }
    }

    fn into_tapes(self) -> Vec<Tape> {
        let mut tapes = self.tapes;
        let mut last = None;
        for (at, node) in self.nodes.into_iter().enumerate() {
            match at == self.driven {
                true => last = node.into_tape(),
                false => tapes.extend(node.into_tape()),
            }
        }
        tapes.extend(last);
        tapes
    }
}

/// The client ids of a document.
const fn client_id(doc: usize, at: u64) -> u64 {
    (doc as u64 + 1) * HOME + at
}

fn not_understood(error: ClientError) -> Violation {
    Invariant::Understood.violated(error)
}
