//! What a seed draws before a run: how big the world is, how it is configured,
//! which faults exist in it, how often they strike, and what befalls it when.
//!
//! A drawn swarm is plain data: it can be written down, shrunk, and run again
//! under its seed.

mod bus;
mod incident;
mod limits;
mod random;
mod shrink;
mod twist;

use std::{ops::Range, time::Duration};

use rand::{RngExt, rngs::ChaCha8Rng, seq::IndexedRandom};
use serde::{Deserialize, Serialize};
use ysyncd_engine::Config;

pub use self::{
    bus::{BusFaults, BusIncident},
    incident::{Happening, Incident},
};
pub(crate) use self::{
    limits::{ENOUGH, draw_engine, draw_readers},
    random::{Purpose, between, chance, millis, stream},
};

/// What worlds are like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Of all sizes.
    #[default]
    Swarm,
    /// Three clients of one document, for ten seconds: to compare speeds.
    Small,
}

/// The configuration of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swarm {
    /// How many documents there are.
    pub documents: usize,
    /// How many servers share the store. Without a bus they know nothing of each
    /// other.
    pub nodes: usize,
    /// Clients that edit.
    pub clients: Vec<Visitor>,
    /// What they write.
    pub content: Content,
    /// How long a token is good while things go wrong, if not for ever.
    #[serde(default)]
    pub token_lasts: Option<Range<Duration>>,
    /// Clients that send what they must not. They have a document of their
    /// own, and open the others, too.
    pub intruders: usize,
    /// How long they edit, and things go wrong.
    pub storm: Duration,
    /// Pause between two actions of a client.
    pub pause: Range<Duration>,
    /// Time that a frame takes, one way.
    pub latency: Range<Duration>,
    /// A client's chance to lose its connection, at each of its actions …
    pub connection_loss: f64,
    /// … and to come back, where that is left to chance.
    pub comeback: f64,
    /// Where it is not: the first pause before a client comes back, which doubles
    /// with each try in vain, and the longest.
    #[serde(default)]
    pub backoff: Option<Range<Duration>>,
    /// Whether clients come back to any node, and not to their own.
    pub roaming: bool,
    /// A frame's chance to be held up, as by a reader that stalls.
    pub stall: f64,
    /// A frame's chance to leave the server bit by bit.
    #[serde(default)]
    pub drips: f64,
    /// How long after a connection has gone a server lets go, at the latest, of
    /// what it had still to write.
    #[serde(default)]
    pub lingers: Duration,
    /// A client's chance to tell another all it knows, on another way than
    /// through a server, which may hear of it later than of what builds on it.
    pub gossip: f64,
    /// The faults of the store.
    pub store: StoreFaults,
    /// The faults of the journals, if the engines have one.
    pub journal: JournalFaults,
    /// How often somebody else writes one of the stored objects; `None`:
    /// never.
    pub other_writer: Option<Duration>,
    /// What befalls the world, and when.
    pub incidents: Vec<Incident>,
    /// The code of documents panics now and then, until everything heals, which
    /// must cost nothing but their connections. Needs planted bugs.
    #[serde(default)]
    pub panics: bool,
    /// When everything heals, somebody raises the limits of documents, and the
    /// nodes start again with them: what was refused stays with its clients
    /// until then.
    #[serde(default)]
    pub raises_limits: bool,
    /// The bus between the nodes, if there is one.
    #[serde(default)]
    pub bus: Option<BusFaults>,
    /// The engines' own configuration.
    pub engine: Config,
}

/// Somebody who edits a document.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Visitor {
    /// The number of the document.
    pub doc: usize,
    /// The node that it connects to first.
    pub node: usize,
    /// When it goes for good, and all it knows with it.
    pub leaves: Option<Duration>,
    /// How it differs from others.
    pub habit: Habit,
}

/// What clients write: all that of one world the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Texts, maps and lists of values. What is deleted loses its content.
    #[default]
    Flat,
    /// Types within types, too. Clients keep what is deleted, as those of Yjs
    /// do with `gc: false`: where it is collected, yrs 0.28 frees types that
    /// children of theirs still point to, and reads them afterwards.
    Nested,
    /// The same, and what rich text has besides: marks, embeds, elements of XML, values
    /// of all kinds.
    Rich,
}

/// What clients do, or do not do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Habit {
    /// As y-websocket does.
    #[default]
    Usual,
    /// It has no awareness.
    Shy,
    /// It fails to send some of its updates, and brings them when it is asked.
    Forgetful,
    /// It tells its updates in other words than Yjs would.
    Sloppy,
    /// It may only read, and tries to write nevertheless.
    Reader,
}

/// What can go wrong at the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreFaults {
    /// Time that an operation takes to take effect, and the same for the
    /// answer.
    pub latency: Range<Duration>,
    /// An operation's chance to fail for certain.
    pub unavailable: f64,
    /// An operation's chance to be forbidden.
    pub denied: f64,
    /// A save's chance that nobody learns of its outcome.
    pub unknown: f64,
    /// Longest time after which a save of unknown outcome still lands.
    pub straggles: Duration,
}

/// What can go wrong at a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalFaults {
    /// Time that a batch takes to become durable, and the same for the answer.
    pub latency: Range<Duration>,
    /// A batch's chance to fail, and with it all that comes until the journal
    /// is reopened.
    pub failure: f64,
    /// Longest time after a failure during which reopening fails for certain.
    pub outage: Duration,
    /// Whether one document's records are damaged when the engine first ends.
    pub damage: bool,
}

/// How likely a client comes back with each thing it does, where it is not to stay away
/// for long.
const COMEBACK_USUAL: f64 = 0.3;

impl Swarm {
    /// Draws the configuration of a seed.
    #[must_use]
    pub fn draw(seed: u64, shape: Shape) -> Self {
        let mut rng = stream(seed, Purpose::Swarm);
        let mut swarm = Self::draw_any(&mut rng);
        swarm.content = Content::draw(&mut stream(seed, Purpose::Content));
        match shape {
            Shape::Small => swarm.become_small(),
            Shape::Swarm => twist::add(&mut stream(seed, Purpose::Twists), &mut swarm),
        }
        swarm.draw_rights(&mut stream(seed, Purpose::Rights));
        draw_readers(&mut stream(seed, Purpose::Readers), &mut swarm.engine);
        swarm.draw_transports(&mut stream(seed, Purpose::Transports));
        limits::draw_sizes(&mut stream(seed, Purpose::Sizes), &mut swarm.engine);
        if shape == Shape::Swarm {
            bus::add(&mut stream(seed, Purpose::Bus), &mut swarm);
            limits::draw_steps(&mut stream(seed, Purpose::Steps), &mut swarm.engine);
            limits::draw_presence(&mut stream(seed, Purpose::Presence), &mut swarm.engine);
            swarm.draw_comebacks(&mut stream(seed, Purpose::Comebacks));
        }
        swarm.bear_gaps();
        swarm
    }

    fn draw_any(rng: &mut ChaCha8Rng) -> Self {
        let storm = millis(rng.random_range(2_000..20_000));
        let latency = *[1, 20, 300].choose(rng).expect("not empty");
        let documents = match rng.random_bool(0.5) {
            true => 1,
            false => rng.random_range(2..=4),
        };
        let nodes = *[1, 1, 1, 2].choose(rng).expect("not empty");
        let engine = draw_engine(rng, documents);
        let (connection_loss, stall) = (chance(rng, 0.2), chance(rng, 0.1));
        // Where memory is short, documents have to be left for others to be
        // had, also such that cannot be saved.
        let is_cramped = engine.documents_bytes_max < ENOUGH;
        let (more_loss, comeback) = match is_cramped {
            true => (0.2, 0.05),
            false => (0.0, COMEBACK_USUAL),
        };
        let other_writer = rng.random_bool(0.3);
        let other_writer = other_writer.then(|| millis(rng.random_range(200..8_000)));
        let mut swarm = Self {
            documents,
            nodes,
            clients: draw_clients(rng, documents, nodes, storm),
            content: Content::Flat,
            token_lasts: None,
            intruders: *[0, 0, 0, 1, 2].choose(rng).expect("not empty"),
            storm,
            pause: millis(5)..millis(rng.random_range(50..1_000)),
            latency: millis(0)..millis(latency + 1),
            connection_loss: connection_loss + more_loss,
            comeback,
            backoff: None,
            roaming: rng.random_bool(0.5),
            stall,
            drips: 0.0,
            lingers: Duration::ZERO,
            gossip: chance(rng, 0.3),
            store: StoreFaults::draw(rng),
            journal: JournalFaults::draw(rng),
            other_writer,
            incidents: Vec::new(),
            raises_limits: false,
            panics: false,
            bus: None,
            engine,
        };
        swarm.incidents = incident::draw(rng, &swarm);
        swarm.bear_gaps();
        swarm
    }

    /// What builds on what is lost for good would be refused for ever.
    fn bear_gaps(&mut self) {
        if !self.loses_nothing_for_good() {
            self.engine.gap_runs_max = ENOUGH;
            self.engine.pending_delete_ranges_max = ENOUGH;
        }
    }

    /// Whether stored objects may be removed: nobody else could tell that from
    /// a loss.
    fn may_vanish(&self) -> bool {
        self.nodes == 1 && self.other_writer.is_none() && !self.is_cramped()
    }

    /// In some worlds somebody may only read; in some, tokens expire. Who only
    /// reads cannot bring back what a server has lost, and would show it alone.
    fn draw_rights(&mut self, rng: &mut ChaCha8Rng) {
        let at = rng.random_range(0..self.clients.len());
        if rng.random_bool(0.3) && self.keeps_all() {
            self.clients[at].habit = Habit::Reader;
        }
        if rng.random_bool(0.1) {
            let longest = rng.random_range(200..6_000);
            self.token_lasts = Some(millis(100)..millis(longest));
        }
    }

    /// In some worlds clients come back as those of y-websocket do; not where documents
    /// have to be left for a while.
    fn draw_comebacks(&mut self, rng: &mut ChaCha8Rng) {
        let longest = *[2_500, 30_000].choose(rng).expect("not empty");
        if rng.random_bool(0.5) && self.comeback >= COMEBACK_USUAL {
            self.backoff = Some(millis(100)..millis(longest));
        }
    }

    /// In some worlds clients read bit by bit; in some, servers do not let go at
    /// once of what they had to write to those who are gone.
    fn draw_transports(&mut self, rng: &mut ChaCha8Rng) {
        self.drips = *[0.0, 0.0, 0.2, 0.8].choose(rng).expect("not empty");
        self.lingers = millis(*[0, 100, 5_000].choose(rng).expect("not empty"));
    }

    /// Whether all that was ever made is kept by the servers, and comes to every node
    /// some day.
    fn keeps_all(&self) -> bool {
        self.engine.journal && !self.journal.damage && self.loses_nothing_for_good()
    }

    /// Whether all that was ever made comes to every node some day, from whoever made it
    /// if not from elsewhere.
    fn loses_nothing_for_good(&self) -> bool {
        let vanishes = |incident: &Incident| matches!(incident.what, Happening::Vanish { .. });
        let is_damaged = self.engine.journal && self.journal.damage;
        !is_damaged
            && self.clients.iter().all(|visitor| visitor.leaves.is_none())
            && !self.incidents.iter().any(vanishes)
    }

    /// What a seed draws of all sizes is cut to size.
    fn become_small(&mut self) {
        (self.documents, self.nodes, self.intruders) = (1, 1, 0);
        self.storm = Duration::from_secs(10);
        self.clients = vec![Visitor::default(); 3];
        self.pause = millis(5)..millis(400);
        self.incidents
            .retain(|incident| incident.at < self.storm && incident.what.fits(1, 1));
        self.engine.documents_bytes_max = ENOUGH;
    }

    /// Whether there is not always room in memory for all documents that
    /// somebody wants.
    pub(crate) const fn is_cramped(&self) -> bool {
        self.engine.documents_bytes_max < ENOUGH
    }
}

impl Content {
    /// Most worlds have types within types.
    pub(crate) fn draw(rng: &mut ChaCha8Rng) -> Self {
        match (rng.random_bool(0.7), rng.random_bool(0.3)) {
            (true, true) => Self::Rich,
            (true, false) => Self::Nested,
            (false, _) => Self::Flat,
        }
    }

    /// The same without rich text.
    pub(crate) const fn without_marks(self) -> Self {
        match self {
            Self::Rich => Self::Nested,
            other => other,
        }
    }
}

impl Default for Visitor {
    fn default() -> Self {
        Self {
            doc: 0,
            node: 0,
            leaves: None,
            habit: Habit::Usual,
        }
    }
}

impl StoreFaults {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let slow = *[2, 50, 2_000].choose(rng).expect("not empty");
        Self {
            latency: millis(0)..millis(slow),
            unavailable: chance(rng, 0.3),
            denied: chance(rng, 0.1),
            unknown: chance(rng, 0.3),
            straggles: millis(*[slow, 10_000].choose(rng).expect("not empty")),
        }
    }
}

impl JournalFaults {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let slow = *[1, 20, 500].choose(rng).expect("not empty");
        let often = *[0.1, 0.1, 0.4].choose(rng).expect("not empty");
        Self {
            latency: Duration::ZERO..millis(slow),
            failure: chance(rng, often),
            outage: millis(*[1, 1_000, 8_000].choose(rng).expect("not empty")),
            damage: rng.random_bool(0.1),
        }
    }
}

/// Two or three who stay with the first document, and one or two with each
/// other one. Of these, and of the third, some go for good.
fn draw_clients(
    rng: &mut ChaCha8Rng,
    documents: usize,
    nodes: usize,
    storm: Duration,
) -> Vec<Visitor> {
    let mut clients = Vec::new();
    for doc in 0..documents {
        let count = if doc == 0 { 2..=3 } else { 1..=2 };
        for at in 0..rng.random_range(count) {
            let may_leave = doc > 0 || at > 1;
            let leaves = (may_leave && rng.random_bool(0.4))
                .then(|| storm.mul_f64(rng.random_range(0.1..1.0)));
            let node = rng.random_range(0..nodes);
            let habit = draw_habit(rng);
            clients.push(Visitor {
                doc,
                node,
                leaves,
                habit,
            });
        }
    }
    clients
}

/// Most clients are as usual.
fn draw_habit(rng: &mut ChaCha8Rng) -> Habit {
    match rng.random_range(0..20) {
        0 => Habit::Shy,
        1 => Habit::Forgetful,
        2 => Habit::Sloppy,
        _ => Habit::Usual,
    }
}
