//! What a seed draws before a run: how big the world is, how it is configured,
//! which faults exist in it and how often they strike.

mod limits;

use std::{ops::Range, time::Duration};

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng, seq::IndexedRandom};
use ysyncd_engine::Config;

pub(crate) use self::limits::{ENOUGH, draw_engine};

/// The configuration of one run.
#[derive(Debug, Clone)]
pub struct Swarm {
    /// How many documents there are.
    pub documents: usize,
    /// Clients that edit.
    pub clients: Vec<Visitor>,
    /// How long they edit, and things go wrong.
    pub storm: Duration,
    /// Pause between two actions of a client.
    pub pause: Range<Duration>,
    /// Time that a frame takes, one way.
    pub latency: Range<Duration>,
    /// A client's chance to lose its connection, at each of its actions …
    pub connection_loss: f64,
    /// … and to come back.
    pub comeback: f64,
    /// A frame's chance to be held up, as by a reader that stalls.
    pub stall: f64,
    /// The faults of the store.
    pub store: StoreFaults,
    /// The faults of the journal, if the engine has one.
    pub journal: JournalFaults,
    /// How often somebody else writes one of the stored objects; `None`:
    /// never.
    pub other_writer: Option<Duration>,
    /// When the engine ends and a new one takes its place, and how.
    pub ends: Vec<(Duration, End)>,
    /// The engine's own configuration.
    pub engine: Config,
}

/// Somebody who edits a document.
#[derive(Debug, Clone, Copy)]
pub struct Visitor {
    /// The number of the document.
    pub doc: usize,
    /// When it goes for good, and all it knows with it.
    pub leaves: Option<Duration>,
}

/// What can go wrong at the store.
#[derive(Debug, Clone)]
pub struct StoreFaults {
    /// Time that an operation takes to take effect, and the same for the
    /// answer.
    pub latency: Range<Duration>,
    /// An operation's chance to fail for certain.
    pub unavailable: f64,
    /// A save's chance that nobody learns of its outcome.
    pub unknown: f64,
    /// When all operations fail for certain.
    pub outage: Option<Range<Duration>>,
}

/// What can go wrong at the journal.
#[derive(Debug, Clone)]
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

/// How an engine ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// Without a word.
    Crash,
    /// It is told to, and has this long.
    Shutdown(Duration),
}

impl Swarm {
    /// Draws the configuration of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = stream(seed, Purpose::Swarm);
        let storm = millis(rng.random_range(2_000..20_000));
        let latency = *[1, 20, 300].choose(&mut rng).expect("not empty");
        let documents = match rng.random_bool(0.5) {
            true => 1,
            false => rng.random_range(2..=4),
        };
        let engine = draw_engine(&mut rng, documents);
        let (connection_loss, stall) = (chance(&mut rng, 0.2), chance(&mut rng, 0.1));
        // Where memory is short, documents have to be left for others to be
        // had, also such that cannot be saved.
        let is_cramped = engine.documents_bytes_max < ENOUGH;
        let (more_loss, comeback, outage) = match is_cramped {
            true => (0.2, 0.05, 0.7),
            false => (0.0, 0.3, 0.3),
        };
        Self {
            documents,
            clients: draw_clients(&mut rng, documents, storm),
            storm,
            pause: millis(5)..millis(rng.random_range(50..1_000)),
            latency: millis(0)..millis(latency + 1),
            connection_loss: connection_loss + more_loss,
            comeback,
            stall,
            store: StoreFaults::draw(&mut rng, storm, outage),
            journal: JournalFaults::draw(&mut rng),
            other_writer: rng
                .random_bool(0.4)
                .then(|| millis(rng.random_range(200..8_000))),
            ends: draw_ends(&mut rng, storm),
            engine,
        }
    }

    /// Whether there is not always room in memory for all documents that
    /// somebody wants.
    pub(crate) const fn is_cramped(&self) -> bool {
        self.engine.documents_bytes_max < ENOUGH
    }
}

impl StoreFaults {
    fn draw(rng: &mut ChaCha8Rng, storm: Duration, outage: f64) -> Self {
        let slow = *[10, 500, 8_000].choose(rng).expect("not empty");
        let outage = rng.random_bool(outage).then(|| {
            let start = storm.mul_f64(rng.random_range(0.0..0.8));
            start..start + storm.mul_f64(rng.random_range(0.1..1.0))
        });
        Self {
            latency: millis(1)..millis(slow + 2),
            unavailable: chance(rng, 0.6),
            unknown: chance(rng, 0.6),
            outage,
        }
    }
}

impl JournalFaults {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let slow = *[1, 20, 500].choose(rng).expect("not empty");
        Self {
            latency: Duration::ZERO..millis(slow),
            failure: chance(rng, 0.1),
            outage: millis(*[1, 1_000, 8_000].choose(rng).expect("not empty")),
            damage: rng.random_bool(0.1),
        }
    }
}

/// Two or three who stay with the first document, and one or two with each
/// other one. Of these, and of the third, some go for good.
fn draw_clients(rng: &mut ChaCha8Rng, documents: usize, storm: Duration) -> Vec<Visitor> {
    let mut clients = Vec::new();
    for doc in 0..documents {
        let count = if doc == 0 { 2..=3 } else { 1..=2 };
        for at in 0..rng.random_range(count) {
            let may_leave = doc > 0 || at > 1;
            let leaves = (may_leave && rng.random_bool(0.4))
                .then(|| storm.mul_f64(rng.random_range(0.1..1.0)));
            clients.push(Visitor { doc, leaves });
        }
    }
    clients
}

fn draw_ends(rng: &mut ChaCha8Rng, storm: Duration) -> Vec<(Duration, End)> {
    let count = *[0, 0, 0, 1, 1, 2].choose(rng).expect("not empty");
    let draw = |_| {
        let at = storm.mul_f64(rng.random_range(0.1..0.9));
        let end = match rng.random_bool(0.7) {
            true => End::Crash,
            false => End::Shutdown(millis(rng.random_range(0..8_000))),
        };
        (at, end)
    };
    (0..count).map(draw).collect()
}

/// Half of the worlds do without a fault at all.
fn chance(rng: &mut ChaCha8Rng, most: f64) -> f64 {
    match rng.random_bool(0.5) {
        true => rng.random_range(0.0..most),
        false => 0.0,
    }
}

/// What randomness is for. Each purpose has its own stream, so that a change
/// to one does not change what the others draw.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Swarm,
    Network,
    Store,
    OtherWriter,
    Journal,
    /// What one client does.
    Client(u64),
}

/// The stream of a seed for a purpose.
pub(crate) fn stream(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(match purpose {
        Purpose::Swarm => 0,
        Purpose::Network => 1,
        Purpose::Store => 2,
        Purpose::OtherWriter => 3,
        Purpose::Journal => 4,
        Purpose::Client(client) => 100 + client,
    });
    rng
}

/// A random duration within a range.
pub(crate) fn between(rng: &mut ChaCha8Rng, range: &Range<Duration>) -> Duration {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.random_range(nanos(range.start)..nanos(range.end)))
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
