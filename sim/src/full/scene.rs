//! What all hosts of a run share: who is there, what happens, what must hold.

use std::{
    cell::{Cell, RefCell},
    fmt::Display,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rand::rngs::ChaCha8Rng;
use tokio::sync::Notify;
use ysyncd_engine::{
    DocId,
    auth::{TokenKey, UserId},
};
use ysyncd_storage::journal::disk::{SimulatedDevice, SimulatedDisk};

use super::{
    bucket::Bucket,
    bus::Hub,
    contract::Calls,
    http_client::SkewedClock,
    journal::JournalWords,
    ledger::Ledger,
    look::Health,
    swarm::{Purpose, Swarm, Token, stream},
    timeline::{Lane, Timeline},
};
use crate::{
    client::{Client, WAITS},
    oracle::{Invariant, Violation},
    trace::Recording,
};

/// The client ids of a document's clients: so many times its number, plus one.
pub(super) const IDS_PER_DOCUMENT: u64 = 1_000;

/// What clients are up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// They edit, lose connections, stall.
    Storm,
    /// They stay away.
    Away,
    /// They come back, to one node, and listen.
    Gather(usize),
}

pub(super) struct Scene {
    pub(super) seed: u64,
    pub(super) swarm: Swarm,
    pub(super) key: TokenKey,
    pub(super) user: UserId,
    pub(super) token: String,
    pub(super) docs: Vec<DocId>,
    pub(super) mood: Cell<Mood>,
    pub(super) clients: Vec<RefCell<Client>>,
    pub(super) nodes: Vec<Node>,
    pub(super) bucket: RefCell<Bucket>,
    pub(super) hub: RefCell<Hub>,
    pub(super) ledger: RefCell<Ledger>,
    pub(super) calls: Calls,
    pub(super) journal_words: JournalWords,
    /// The time where no host is at its turn.
    pub(super) time: Cell<Duration>,
    pub(super) connections: Cell<u64>,
    /// Those of clients and of others.
    pub(super) arrivals: Cell<usize>,
    /// Bytes of the largest message that anybody has sent.
    pub(super) largest_message: Cell<usize>,
    /// Until when clients that have gathered edit, though nothing goes wrong.
    pub(super) calm_until: Cell<Duration>,
    /// Who is to go when all have gathered.
    pub(super) leaver: Cell<Option<usize>>,
    /// Since when nothing goes wrong any more.
    pub(super) healed_at: Cell<Option<Duration>>,
    /// Nothing can be written to the bucket, though all else has healed.
    pub(super) is_store_shut: Cell<bool>,
    /// Somebody hostile waits for what comes of what it did.
    pub(super) is_attacked: Cell<bool>,
    /// Until when the store has failed somebody, or may.
    pub(super) store_trouble: Cell<Duration>,
    /// All nodes are ending, for good reason.
    pub(super) is_ending: Cell<bool>,
    timeline: RefCell<Timeline>,
    violation: RefCell<Option<Violation>>,
}

/// What of a node outlives its processes, and what the world knows of the one
/// that runs.
pub(super) struct Node {
    pub(super) disk: SimulatedDisk,
    pub(super) device: RefCell<Option<Arc<SimulatedDevice>>>,
    pub(super) life: Cell<u64>,
    pub(super) clock: SkewedClock,
    pub(super) shutdown: RefCell<Rc<Notify>>,
    /// The number of the last life that was told to end.
    pub(super) told: Cell<Option<u64>>,
    pub(super) serves: Cell<bool>,
    /// Until when all it showed is kept, if it may have lost what it showed
    /// later.
    pub(super) sure_until: Cell<Option<Duration>>,
    /// How it last said that it is.
    pub(super) health: Cell<Option<Health>>,
    /// Whether everything was saved since things last went wrong, in the life
    /// that this is the number of.
    pub(super) caught_up: Cell<Option<u64>>,
}

impl Scene {
    pub(super) fn new(seed: u64, swarm: Swarm, recording: Recording) -> Self {
        let key = TokenKey::new(b"simulated");
        let user = UserId::new("somebody").expect("a valid name");
        let id = |at: usize, doc: usize| (doc as u64 + 1) * IDS_PER_DOCUMENT + at as u64;
        let clients = swarm.visitors.iter().enumerate();
        let machine = SimulatedDisk::default();
        let node = |_| Node {
            disk: match swarm.is_one_machine {
                true => machine.clone(),
                false => SimulatedDisk::default(),
            },
            device: RefCell::default(),
            life: Cell::new(0),
            clock: SkewedClock::default(),
            shutdown: RefCell::default(),
            told: Cell::default(),
            serves: Cell::new(false),
            sure_until: Cell::default(),
            health: Cell::default(),
            caught_up: Cell::default(),
        };
        let mut ledger = Ledger::new(swarm.documents);
        for (at, visitor) in swarm.visitors.iter().enumerate() {
            if visitor.token == Token::Reads {
                ledger.only_reads(visitor.doc, id(at, visitor.doc));
            }
        }
        Self {
            seed,
            token: key.mint(&user),
            key,
            user,
            docs: (0..swarm.documents)
                .map(|at| DocId::new(&format!("doc{at}")).expect("a valid name"))
                .collect(),
            mood: Cell::new(Mood::Storm),
            clients: clients
                .map(|(at, visitor)| {
                    Client::new(id(at, visitor.doc), visitor.doc, swarm.content).into()
                })
                .collect(),
            nodes: (0..swarm.nodes).map(node).collect(),
            bucket: Bucket::new(seed).into(),
            hub: RefCell::default(),
            ledger: ledger.into(),
            calls: Calls::default(),
            journal_words: JournalWords::default(),
            time: Cell::default(),
            connections: Cell::default(),
            arrivals: Cell::default(),
            largest_message: Cell::default(),
            calm_until: Cell::default(),
            leaver: Cell::default(),
            healed_at: Cell::default(),
            is_store_shut: Cell::default(),
            is_attacked: Cell::default(),
            store_trouble: Cell::default(),
            is_ending: Cell::default(),
            timeline: Timeline::new(recording).into(),
            violation: RefCell::default(),
            swarm,
        }
    }

    pub(super) fn stream(&self, purpose: Purpose) -> ChaCha8Rng {
        stream(self.seed, purpose)
    }

    pub(super) fn is_healed(&self) -> bool {
        self.mood.get() != Mood::Storm
    }

    pub(super) fn now(&self) -> Duration {
        turmoil::sim_elapsed().unwrap_or(self.time.get())
    }

    /// Somebody removes what the bucket holds of a document.
    pub(super) fn vanish(&self, doc: usize) {
        if self.bucket.borrow_mut().remove(&self.docs[doc]) {
            self.ledger.borrow_mut().vanished(doc);
            self.calls.vanished(self.docs[doc].clone());
        }
    }

    /// What a client shows. Without a journal it may wait for what a crash has
    /// taken, which Yjs would send to the next server; these clients do not.
    pub(super) fn state_of(&self, client: &Client) -> String {
        let state = client.state();
        match self.swarm.engine.journal {
            true => state,
            false => state.replace(WAITS, ""),
        }
    }

    pub(super) fn note(&self, lane: Lane, text: impl Display) {
        self.timeline.borrow_mut().note(self.now(), lane, text);
    }

    pub(super) fn bytes(&self, lane: Lane, verb: &'static str, bytes: &[u8]) {
        self.timeline
            .borrow_mut()
            .bytes(self.now(), lane, verb, bytes);
    }

    /// Where a client goes when all come together at a node. With a bus they
    /// need not: it brings them together wherever they are.
    pub(super) fn place(&self, client: usize, node: usize) -> usize {
        match self.swarm.twists.bus {
            Some(_) => self.swarm.visitors[client].home,
            None => node,
        }
    }

    /// Tells a node to end.
    pub(super) fn shut_down(&self, at: usize) {
        let node = &self.nodes[at];
        node.told.set(Some(node.life.get()));
        node.shutdown.borrow().notify_one();
    }

    /// Fails the run if something did not hold. The first failure stands.
    pub(super) fn judge(&self, judgement: Result<(), Violation>) {
        if let Err(violation) = judgement {
            self.note(Lane::World, &violation);
            self.violation.borrow_mut().get_or_insert(violation);
        }
    }

    pub(super) fn violated(&self, invariant: Invariant, detail: impl Display) {
        self.judge(Err(invariant.violated(detail)));
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        self.violation.borrow().clone()
    }

    pub(super) fn timeline(&self) -> std::cell::Ref<'_, Timeline> {
        self.timeline.borrow()
    }
}
