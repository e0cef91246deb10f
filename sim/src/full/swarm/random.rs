//! Chance: one stream of numbers for each purpose of each seed.

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

/// What randomness is for.
#[derive(Debug, Clone, Copy)]
pub(in crate::full) enum Purpose {
    Swarm,
    Small,
    Bucket,
    /// The network, and everything that asks the system for randomness.
    Turmoil,
    Hostile,
    /// What there is to edit.
    Content,
    /// What a power loss leaves of a node's disk.
    Power,
    Client(usize),
    /// What a client does that only some do.
    Habits(usize),
    /// Which combinations a world has.
    Twists,
    /// Who may do what, and how long.
    Rights,
    /// How engines deal with those who read slowly, or come.
    Readers,
    Monitor,
    Probe,
    Looker(u64),
    /// The sizes of what a node reads and writes, per life.
    Pieces(usize, u64),
    /// The times of a node's disk, per life.
    Disk(usize, u64),
    Node(usize, u64),
    /// Which worlds have a bus between nodes, and how bad a one.
    Buses,
    /// When nodes are apart on it without noticing.
    Splits,
    /// How many engines a node has.
    Shards,
    /// What all connections of a user may send together.
    UserRates,
    /// When somebody hostile connects and says nothing.
    Silences,
    /// What a bus does to a node's messages, per life.
    Bus(usize, u64),
}

/// The stream of a seed for a purpose.
pub(in crate::full) fn stream(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let numbered = |kind: u64, at: usize, life: u64| (kind << 48) | ((at as u64) << 32) | life;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(match purpose {
        Purpose::Swarm => numbered(1, 0, 0),
        Purpose::Bucket => numbered(1, 1, 0),
        Purpose::Turmoil => numbered(1, 2, 0),
        Purpose::Hostile => numbered(1, 3, 0),
        Purpose::Power => numbered(1, 4, 0),
        Purpose::Small => numbered(1, 5, 0),
        Purpose::Twists => numbered(1, 6, 0),
        Purpose::Monitor => numbered(1, 7, 0),
        Purpose::Probe => numbered(1, 15, 0),
        Purpose::Content => numbered(1, 8, 0),
        Purpose::Rights => numbered(1, 9, 0),
        Purpose::Readers => numbered(1, 10, 0),
        Purpose::Buses => numbered(1, 11, 0),
        Purpose::Splits => numbered(1, 12, 0),
        Purpose::Shards => numbered(1, 13, 0),
        Purpose::UserRates => numbered(1, 14, 0),
        Purpose::Silences => numbered(1, 20, 0),
        Purpose::Client(at) => numbered(2, at, 0),
        Purpose::Habits(at) => numbered(7, at, 0),
        Purpose::Looker(number) => numbered(6, 0, number),
        Purpose::Pieces(node, life) => numbered(3, node, life),
        Purpose::Disk(node, life) => numbered(4, node, life),
        Purpose::Node(node, life) => numbered(5, node, life),
        Purpose::Bus(node, life) => numbered(8, node, life),
    });
    rng
}

/// A stream of its own, drawn from another.
pub(in crate::full) fn fork(rng: &mut ChaCha8Rng) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(rng.random())
}
