//! What a seed draws before a run of the full stack.

mod random;
mod shrink;
mod trouble;
mod twist;
mod written;

use std::{ops::Range, time::Duration};

use rand::{RngExt, rngs::ChaCha8Rng, seq::IndexedRandom};
use serde::{Deserialize, Serialize};
use ysyncd_engine::Config;
use ysyncd_storage::journal::disk::SyncMode;

pub(super) use self::random::{Purpose, fork, stream};
use self::trouble::draw_troubles;
pub use self::trouble::{Place, Trouble};
use crate::swarm::{Content, ENOUGH, Shape, draw_engine, draw_readers, millis};

/// The configuration of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swarm {
    /// Servers that share the bucket.
    pub nodes: usize,
    /// Whether these run on one machine and keep their journals in one folder.
    pub is_one_machine: bool,
    /// How many documents there are that people edit.
    pub documents: usize,
    /// Clients that edit.
    pub visitors: Vec<Visitor>,
    /// What they write.
    pub content: Content,
    /// How long a JWT is good while things go wrong, if not for long.
    #[serde(default)]
    pub token_lasts: Option<Range<Duration>>,
    /// How long they edit, and things go wrong.
    pub storm: Duration,
    /// Steps in which the network delivers.
    pub tick: Duration,
    /// Most time that a segment takes, one way.
    pub latency: Duration,
    /// Segments that a connection holds before the sender has to wait.
    pub segments_max: usize,
    /// Most bytes that a node reads or writes at once. `None`: all there are.
    pub piece_bytes_max: Option<usize>,
    /// Pause between two actions of a client.
    pub pause: Range<Duration>,
    /// A client's chance to lose its connection, at each of its actions …
    pub connection_loss: f64,
    /// … to stop reading for a while …
    pub stall: f64,
    /// … and to come back to another node than it left.
    pub wandering: f64,
    /// Pause between two deeds of somebody hostile, if there is one.
    pub hostile: Option<Range<Duration>>,
    /// What can go wrong at the bucket.
    pub bucket: BucketFaults,
    /// How long a node waits for the bucket.
    pub store_timeout: Duration,
    /// Time that a turn of the journal takes before it is durable, and the
    /// same until it is answered.
    pub disk_latency: Range<Duration>,
    /// When the journal syncs.
    #[serde(with = "written::WrittenSyncMode")]
    pub sync: SyncMode,
    /// How long a segment of the journal gets, in bytes.
    pub segment_bytes: u64,
    /// What goes wrong, and when.
    pub troubles: Vec<(Duration, Trouble)>,
    /// What only some worlds have.
    pub twists: Twists,
    /// The code of documents panics now and then, until everything heals, which
    /// must cost nothing but their connections. Needs planted bugs.
    #[serde(default)]
    pub panics: bool,
    /// What the servers' network side bears.
    pub net: NetLimits,
    /// How the engines are configured.
    pub engine: Config,
}

/// What only some worlds have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Twists {
    /// A client's chance to ping, at each of its actions. Browsers cannot;
    /// others do.
    pub pings: f64,
    /// Edits that the clients of the first document make at once, at most.
    pub burst: usize,
    /// Longest time that clients wait to be let in.
    pub patience: Option<Duration>,
    /// How often somebody reads the servers' metrics.
    pub scrapes: Option<Range<Duration>>,
    /// Whether somebody asks servers all the time whether they take clients.
    #[serde(default)]
    pub probes: bool,
    /// Documents that nobody may write to the bucket.
    pub locked: Vec<usize>,
    /// When the bucket is not there, as the servers are told: nobody has mounted it
    /// yet, or something else answers in its place.
    #[serde(default)]
    pub mislaid: Option<Range<Duration>>,
    /// Whether the journals are given up in the end, being damaged.
    pub discards: bool,
    /// Whether the writes of a server go to its journal one by one, as those of
    /// several would.
    pub scatters: bool,
    /// Whether those who come to look in the end ask again, behind a large message.
    #[serde(default)]
    pub heaps: bool,
    /// What the bus between nodes does, if there is one.
    #[serde(default)]
    pub bus: Option<BusFaults>,
}

/// What can go wrong on the bus between nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BusFaults {
    /// How long a message takes. Those that take longer are overtaken.
    pub delay: Range<Duration>,
    /// A message's chance to be lost …
    pub lost: f64,
    /// … and to come twice.
    pub doubled: f64,
    /// How long a node is connected …
    pub stays: Range<Duration>,
    /// … and how long it is not.
    pub away: Range<Duration>,
    /// When nodes are apart without noticing.
    #[serde(default)]
    pub splits: Vec<Split>,
    /// Whether nodes have to come to the same by the bus alone: while they do,
    /// nothing can be written to the bucket, though all else has healed.
    #[serde(default)]
    pub heals_alone: bool,
}

/// A time in which nothing is told to a node on the bus, nor by it, and it takes
/// the bus to be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Which.
    pub node: usize,
    /// When.
    pub time: Range<Duration>,
}

/// Limits of a server's network side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetLimits {
    /// Connections that have not asked for a document yet.
    pub handshakes_max: usize,
    /// How long they may take to ask.
    pub header_timeout: Duration,
    /// Time between two pings.
    pub ping_interval: Duration,
    /// How long a client may be silent.
    pub silence_max: Duration,
    /// How long a close may take.
    pub close_timeout: Duration,
    /// What one client may take of a server, if that is little.
    #[serde(default)]
    pub caps: Option<Caps>,
    /// What all connections of a user may send together, if that is little.
    #[serde(default)]
    pub user_rates: Option<UserRates>,
    /// Engines of a node that share its documents.
    #[serde(default = "one")]
    pub shards: usize,
}

/// As it was before there was more than one.
const fn one() -> usize {
    1
}

/// Limits that people do not reach for long, and whoever is hostile does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Caps {
    /// Messages of a connection in a second …
    pub messages_per_second: u64,
    /// … and at once.
    pub messages_burst: u64,
    /// How long a client may go on at that rate.
    pub slowed_max: Duration,
    /// How long a message may take to come.
    pub message_timeout: Duration,
    /// Bytes of messages that have come in part.
    pub unfinished_bytes_max: usize,
    /// Whether that is of each user, and not of all together.
    pub is_per_user: bool,
    /// Connections to one document.
    pub connections_per_document_max: usize,
}

/// How fast a user may send. Who sends faster waits, and gets on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserRates {
    /// Messages of all its connections in a second …
    pub messages_per_second: u64,
    /// … and at once.
    pub messages_burst: u64,
}

/// Somebody who edits a document.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Visitor {
    /// The number of the document.
    pub doc: usize,
    /// The node it first connects to.
    pub home: usize,
    /// Where it lives: one of two hosts.
    pub host: usize,
    /// When it goes for good, and all it knows with it.
    pub leaves: Option<Duration>,
    /// Most bytes of a WebSocket frame that it sends.
    pub fragment_bytes_max: usize,
    /// Whether its token stands in the query.
    pub token_in_query: bool,
    /// What kind of token it has.
    #[serde(default)]
    pub token: Token,
}

/// Kinds of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Token {
    /// `<userId>:<signature>`.
    #[default]
    Plain,
    /// A JWT.
    Jwt,
    /// A JWT with which one may only read.
    Reads,
}

/// What can go wrong with a request to the bucket: chances, per request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BucketFaults {
    /// Time until a request takes effect, and the same until its answer.
    pub latency: Range<Duration>,
    /// It is refused with an error that says that nothing was done.
    pub refused: f64,
    /// It is denied, as if a right were missing.
    pub denied: f64,
    /// It fails inside, before or after it took effect.
    pub internal: f64,
    /// The answer is lost, and the connection with it.
    pub reply_lost: f64,
    /// The request is lost, and the connection with it.
    pub request_lost: f64,
    /// There is never an answer; it may take effect, and late.
    pub hangs: f64,
    /// The connection is lost, and a write takes effect only later.
    pub late: f64,
    /// A body breaks off.
    pub truncated: f64,
    /// When no request is served.
    pub outage: Option<Range<Duration>>,
    /// Whether etags are those of contents, so that they come back.
    pub content_etags: bool,
}

/// Hosts where clients live.
pub(super) const HOMES: usize = 2;

impl Swarm {
    /// Draws the configuration of a seed.
    #[must_use]
    pub fn draw(seed: u64, shape: Shape) -> Self {
        match shape {
            Shape::Swarm => {
                let mut swarm = Self::draw_any(seed);
                twist::add(&mut stream(seed, Purpose::Twists), &mut swarm);
                swarm.draw_rights(&mut stream(seed, Purpose::Rights));
                draw_readers(&mut stream(seed, Purpose::Readers), &mut swarm.engine);
                swarm.draw_bus(&mut stream(seed, Purpose::Buses));
                swarm.draw_splits(&mut stream(seed, Purpose::Splits));
                swarm.net.shards = draw_shards(&mut stream(seed, Purpose::Shards));
                swarm.draw_user_rates(&mut stream(seed, Purpose::UserRates));
                swarm
            }
            Shape::Small => Self::draw_small(seed),
        }
    }

    /// Most worlds with several nodes have a bus between them, if all that they
    /// take is kept by their journals: what one node has shown may be durable at
    /// another, and may not be lost there.
    fn draw_bus(&mut self, rng: &mut ChaCha8Rng) {
        let is_kept = self.engine.journal && self.sync == SyncMode::Always;
        if self.nodes == 1 || !is_kept || !rng.random_bool(0.9) {
            return;
        }
        let stays = one_of(rng, &[300, 2_000, 60_000]);
        self.twists.bus = Some(BusFaults {
            delay: Duration::ZERO..millis(one_of(rng, &[5, 50, 1_000])),
            lost: chance(rng, 0.3),
            doubled: chance(rng, 0.2),
            stays: millis(stays / 3)..millis(stays),
            away: Duration::ZERO..millis(one_of(rng, &[20, 500, 3_000])),
            splits: Vec::new(),
            heals_alone: false,
        });
        self.engine.bus_digest_interval = millis(one_of(rng, &[200, 1_000, 5_000]));
        self.engine.bus_exchange_pause = millis(one_of(rng, &[50, 1_000]));
        self.engine.foreign_save_wait = millis(one_of(rng, &[500, 5_000, 20_000]));
    }

    /// On some buses nodes are apart now and then without noticing. Where all else
    /// heals soon, what they have missed comes with a snapshot or the word of one:
    /// in some worlds there is none.
    fn draw_splits(&mut self, rng: &mut ChaCha8Rng) {
        let (nodes, storm) = (self.nodes, self.storm);
        let Some(bus) = &mut self.twists.bus else {
            return;
        };
        if rng.random_bool(0.5) {
            let count = one_of(rng, &[1, 2, 4]);
            let split = |_| {
                let start = storm.mul_f64(rng.random_range(0.0..0.95));
                let lasts = millis(rng.random_range(50..5_000));
                Split {
                    node: rng.random_range(0..nodes),
                    time: start..start + lasts,
                }
            };
            bus.splits = (0..count).map(split).collect();
        }
        bus.heals_alone = rng.random_bool(0.5);
        if bus.heals_alone {
            // A document that nobody has open leaves memory only when it is saved.
            self.engine.idle_grace = Duration::from_secs(60);
            self.engine.bus_digest_idle = millis(one_of(rng, &[5_000, 20_000]));
            // Nor does a node that is full take anything before.
            self.engine.unsaved_bytes_max = ENOUGH;
            self.engine.unsaved_bytes_total_max = ENOUGH;
            // A node is on the bus with what somebody has open there. What it alone
            // holds of anything else it can tell nobody but by the bucket.
            for doc in 0..self.documents {
                let visitors = self
                    .visitors
                    .iter_mut()
                    .filter(|visitor| visitor.doc == doc);
                for (at, visitor) in visitors.enumerate() {
                    (visitor.home, visitor.leaves) = (at % nodes, None);
                }
            }
        }
    }

    /// What a seed draws, but for the size of its world: three clients of one
    /// document on one server, for ten seconds.
    fn draw_small(seed: u64) -> Self {
        let drawn = Self::draw_any(seed);
        let storm = Duration::from_secs(10);
        let mut rng = stream(seed, Purpose::Small);
        let visitor = |_| Visitor {
            doc: 0,
            home: 0,
            host: rng.random_range(0..HOMES),
            leaves: None,
            fragment_bytes_max: usize::MAX,
            token_in_query: false,
            token: Token::Plain,
        };
        Self {
            nodes: 1,
            documents: 1,
            visitors: (0..3).map(visitor).collect(),
            storm,
            troubles: draw_troubles(
                &mut rng,
                1,
                storm,
                drawn.sync != SyncMode::Always,
                drawn.engine.journal,
            ),
            ..drawn
        }
    }

    fn draw_any(seed: u64) -> Self {
        let mut rng = stream(seed, Purpose::Swarm);
        let rng = &mut rng;
        let storm = millis(rng.random_range(2_000..12_000));
        let nodes = one_of(rng, &[1, 1, 2]);
        let documents = one_of(rng, &[1, 1, 2]);
        let engine = Config {
            documents_bytes_max: ENOUGH,
            frame_bytes_max: 256 << 10,
            ..draw_engine(rng, documents)
        };
        let is_interval = rng.random_bool(0.2);
        let mut swarm = Self {
            nodes,
            is_one_machine: rng.random_bool(0.5),
            documents,
            visitors: draw_visitors(rng, nodes, documents, storm),
            content: Content::draw(&mut stream(seed, Purpose::Content)),
            token_lasts: None,
            storm,
            tick: millis(one_of(rng, &[5, 10, 20, 20])),
            latency: millis(one_of(rng, &[2, 20, 150])),
            segments_max: one_of(rng, &[64, 1_024]),
            piece_bytes_max: rng.random_bool(0.3).then(|| one_of(rng, &[1, 3, 50])),
            pause: millis(20)..millis(one_of(rng, &[60, 200, 1_000])),
            connection_loss: chance(rng, 0.2),
            stall: chance(rng, 0.05),
            wandering: chance(rng, 0.5),
            hostile: (rng.random_bool(0.4)).then(|| millis(50)..millis(2_000)),
            bucket: BucketFaults::draw(rng, storm),
            store_timeout: millis(one_of(rng, &[1_000, 5_000, 60_000])),
            disk_latency: Duration::ZERO..millis(one_of(rng, &[1, 10, 200])),
            sync: match is_interval {
                true => SyncMode::Interval(millis(one_of(rng, &[20, 500]))),
                false => SyncMode::Always,
            },
            segment_bytes: one_of(rng, &[4 << 10, 4 << 20]),
            troubles: draw_troubles(rng, nodes, storm, is_interval, engine.journal),
            twists: Twists::default(),
            panics: false,
            net: NetLimits::draw(rng),
            engine,
        };
        if !swarm.engine.journal && rng.random_bool(0.3) {
            swarm.spare_the_store(rng);
        }
        swarm
    }

    /// In some worlds there are JWTs, with some one may only read, and some
    /// expire. Who only reads cannot bring back what a server has lost, and
    /// would show it alone.
    fn draw_rights(&mut self, rng: &mut ChaCha8Rng) {
        if rng.random_bool(0.4) {
            return;
        }
        let may_read_only = self.loses_nothing() && rng.random_bool(0.7);
        let first = |at: usize, all: &[Visitor]| all[..at].iter().all(|v| v.doc != all[at].doc);
        for at in 0..self.visitors.len() {
            // The first of a document stays, and makes what others read.
            let reads = may_read_only && !first(at, &self.visitors) && rng.random_bool(0.5);
            self.visitors[at].token = match reads {
                true => Token::Reads,
                false => one_of(rng, &[Token::Plain, Token::Jwt]),
            };
        }
        if rng.random_bool(0.6) {
            self.token_lasts = Some(millis(1_000)..millis(rng.random_range(1_500..6_000)));
        }
    }

    /// In some worlds a user may send little at once, and everybody is one user. They
    /// may still send more than they do, on average: where they may not, some of them
    /// wait for longer than a healthy server lets them. Where somebody is to be closed
    /// for sending too fast it is not so: who waits does not.
    fn draw_user_rates(&mut self, rng: &mut ChaCha8Rng) {
        if rng.random_bool(0.25) && self.net.caps.is_none() {
            self.net.user_rates = Some(UserRates {
                messages_per_second: one_of(rng, &[1_000, 4_000]),
                messages_burst: one_of(rng, &[1, 3, 10]),
            });
        }
    }

    /// Whether servers keep all that they show.
    fn loses_nothing(&self) -> bool {
        let vanishes = |(_, trouble): &(_, Trouble)| matches!(trouble, Trouble::Vanish { .. });
        self.engine.journal
            && self.sync == SyncMode::Always
            && !self.twists.discards
            && !self.troubles.iter().any(vanishes)
    }

    /// Without a journal, what a crash may take is bounded only while the store
    /// answers.
    fn spare_the_store(&mut self, rng: &mut ChaCha8Rng) {
        self.bucket = self.bucket.spared();
        self.store_timeout = Duration::from_secs(60);
        self.troubles.retain(|(_, trouble)| !trouble.is_of_store());
        let (node, down) = (rng.random_range(0..self.nodes), millis(100));
        let crash = Trouble::Kill {
            node,
            power: false,
            at_change: None,
            at_removal: false,
            down,
        };
        let at = self.storm.mul_f64(rng.random_range(0.5..1.0));
        self.troubles.push((at, crash));
        self.troubles.sort_by_key(|(at, _)| *at);
    }
}

impl NetLimits {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let ping_interval = millis(one_of(rng, &[1_000, 30_000]));
        Self {
            handshakes_max: one_of(rng, &[1, 4, 1_024]),
            header_timeout: millis(one_of(rng, &[500, 10_000])),
            ping_interval,
            silence_max: ping_interval * one_of(rng, &[2, 3]),
            close_timeout: millis(one_of(rng, &[100, 5_000])),
            caps: None,
            user_rates: None,
            shards: one(),
        }
    }
}

impl BucketFaults {
    /// The same bucket, but it is quick and does what it is asked.
    const fn spared(&self) -> Self {
        Self {
            latency: millis(1)..millis(12),
            refused: 0.0,
            denied: 0.0,
            internal: 0.0,
            reply_lost: 0.0,
            request_lost: 0.0,
            hangs: 0.0,
            late: 0.0,
            truncated: 0.0,
            outage: None,
            content_etags: self.content_etags,
        }
    }

    fn draw(rng: &mut ChaCha8Rng, storm: Duration) -> Self {
        let slow = one_of(rng, &[10, 10, 100, 2_000]);
        let outage = rng.random_bool(0.3).then(|| {
            let start = storm.mul_f64(rng.random_range(0.0..0.8));
            start..start + storm.mul_f64(rng.random_range(0.1..0.6))
        });
        Self {
            latency: millis(1)..millis(slow + 2),
            refused: chance(rng, 0.4),
            denied: chance(rng, 0.1),
            internal: chance(rng, 0.3),
            reply_lost: chance(rng, 0.4),
            request_lost: chance(rng, 0.3),
            hangs: chance(rng, 0.2),
            late: chance(rng, 0.3),
            truncated: chance(rng, 0.3),
            outage,
            content_etags: rng.random_bool(0.5),
        }
    }
}

/// Nodes of most worlds have more than one, more than there are documents in some:
/// whichever a document falls to, others have none.
fn draw_shards(rng: &mut ChaCha8Rng) -> usize {
    one_of(rng, &[1, 2, 3])
}

fn draw_visitors(
    rng: &mut ChaCha8Rng,
    nodes: usize,
    documents: usize,
    storm: Duration,
) -> Vec<Visitor> {
    let mut visitors = Vec::new();
    for doc in 0..documents {
        for at in 0..rng.random_range(2..=3) {
            let leaves =
                (at > 0 && rng.random_bool(0.4)).then(|| storm.mul_f64(rng.random_range(0.1..1.0)));
            visitors.push(Visitor {
                doc,
                home: rng.random_range(0..nodes),
                host: rng.random_range(0..HOMES),
                leaves,
                fragment_bytes_max: one_of(rng, &[5, 1_000_000, 1_000_000]),
                token_in_query: rng.random_bool(0.3),
                token: Token::Plain,
            });
        }
    }
    visitors
}

fn one_of<T: Copy>(rng: &mut ChaCha8Rng, all: &[T]) -> T {
    *all.choose(rng).expect("not empty")
}

/// A third of the worlds have a fault at all.
fn chance(rng: &mut ChaCha8Rng, most: f64) -> f64 {
    match rng.random_bool(0.35) {
        true => rng.random_range(0.0..most),
        false => 0.0,
    }
}
