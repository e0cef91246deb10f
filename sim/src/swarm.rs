//! What a seed draws before a run: how big the world is, how it is configured,
//! which faults exist in it and how often they strike.

use std::{ops::Range, time::Duration};

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng, seq::IndexedRandom};
use ysyncd_engine::Config;

/// The configuration of one run.
#[derive(Debug, Clone)]
pub struct Swarm {
    /// Clients that edit.
    pub clients: usize,
    /// How long they edit, and things go wrong.
    pub storm: Duration,
    /// Pause between two actions of a client.
    pub pause: Range<Duration>,
    /// Time that a frame takes, one way.
    pub latency: Range<Duration>,
    /// Time that a store operation takes.
    pub store_latency: Range<Duration>,
    /// A client's chance to lose its connection, at each of its actions.
    pub connection_loss: f64,
    /// A frame's chance to be held up, as by a reader that stalls.
    pub stall: f64,
    /// A store operation's chance to fail for certain.
    pub store_unavailable: f64,
    /// A save's chance that nobody learns of its outcome.
    pub store_unknown: f64,
    /// How often somebody else writes the stored object; `None`: never.
    pub other_writer: Option<Duration>,
    /// When the engine dies and a new one takes its place.
    pub crash: Option<Duration>,
    /// The engine's own configuration.
    pub engine: Config,
}

impl Swarm {
    /// Draws the configuration of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = stream(seed, Purpose::Swarm);
        let storm = millis(rng.random_range(2_000..20_000));
        let latency = *[1, 20, 300].choose(&mut rng).expect("not empty");
        let slow_store = *[10, 500, 8_000].choose(&mut rng).expect("not empty");
        let mut chance = |most: f64| match rng.random_bool(0.5) {
            true => rng.random_range(0.0..most),
            false => 0.0,
        };
        let (connection_loss, stall) = (chance(0.2), chance(0.1));
        let (store_unavailable, store_unknown) = (chance(0.6), chance(0.6));
        Self {
            clients: rng.random_range(2..=3),
            storm,
            pause: millis(5)..millis(rng.random_range(50..1_000)),
            latency: millis(0)..millis(latency + 1),
            store_latency: millis(1)..millis(slow_store + 2),
            connection_loss,
            stall,
            store_unavailable,
            store_unknown,
            other_writer: rng
                .random_bool(0.4)
                .then(|| millis(rng.random_range(200..8_000))),
            crash: rng
                .random_bool(0.2)
                .then(|| storm.mul_f64(rng.random_range(0.1..0.9))),
            engine: draw_engine(&mut rng),
        }
    }
}

fn draw_engine(rng: &mut ChaCha8Rng) -> Config {
    let mut one_of = |all: &[u64]| *all.choose(rng).expect("not empty");
    let debounce = one_of(&[0, 50, 5_000]);
    Config {
        gc: one_of(&[0, 1, 1]) == 1,
        save_debounce: millis(debounce),
        save_wait_max: millis(debounce * one_of(&[1, 2, 6])),
        retry_delay_min: millis(one_of(&[10, 1_000])),
        retry_delay_max: millis(one_of(&[1_000, 20_000])),
        idle_grace: millis(one_of(&[0, 100, 30_000])),
        outbox_bytes_max: usize::try_from(one_of(&[64, 4 << 10, 8 << 20])).unwrap_or(usize::MAX),
        ..Config::default()
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
