//! Chance: one stream of numbers for each purpose of each seed.

use std::{ops::Range, time::Duration};

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

/// What randomness is for. Each purpose has its own stream, so that a change
/// to one does not change what the others draw.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Swarm,
    Network,
    Store,
    OtherWriter,
    /// What there is to edit.
    Content,
    /// What else a world has.
    Twists,
    /// Who may do what, and how long.
    Rights,
    /// How engines deal with those who read slowly, or come.
    Readers,
    /// How what is sent leaves the server.
    Transports,
    /// The bus between nodes.
    Bus,
    /// How large frames and state vectors may be.
    Sizes,
    /// How much longer documents wait to be saved, by their size.
    Steps,
    /// How much of who is there may be told a second.
    Presence,
    /// How clients come back, and when.
    Comebacks,
    /// What input costs.
    Shape,
    /// What one intruder sends that is too large.
    Oversized(usize),
    /// What one node's journal does.
    Journal(usize),
    /// What one intruder does.
    Intruder(usize),
    /// What one client does.
    Client(usize),
}

/// The stream of a seed for a purpose.
pub(crate) fn stream(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(match purpose {
        Purpose::Swarm => 0,
        Purpose::Network => 1,
        Purpose::Store => 2,
        Purpose::OtherWriter => 3,
        Purpose::Rights => 6,
        Purpose::Content => 5,
        Purpose::Twists => 4,
        Purpose::Readers => 7,
        Purpose::Transports => 8,
        Purpose::Bus => 9,
        Purpose::Sizes => 40,
        Purpose::Steps => 30,
        Purpose::Presence => 31,
        Purpose::Comebacks => 32,
        Purpose::Shape => 33,
        Purpose::Oversized(intruder) => 41 + intruder as u64,
        Purpose::Journal(node) => 10 + node as u64,
        Purpose::Intruder(intruder) => 50 + intruder as u64,
        Purpose::Client(client) => 100 + client as u64,
    });
    rng
}

/// A stream of its own, drawn from another.
pub(super) fn fork(rng: &mut ChaCha8Rng) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(rng.random())
}

/// Half of the worlds do without a fault at all.
pub(crate) fn chance(rng: &mut ChaCha8Rng, most: f64) -> f64 {
    match rng.random_bool(0.5) {
        true => rng.random_range(0.0..most),
        false => 0.0,
    }
}

/// A random duration within a range, or its start if it is empty.
pub(crate) fn between(rng: &mut ChaCha8Rng, range: &Range<Duration>) -> Duration {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let (start, end) = (nanos(range.start), nanos(range.end));
    Duration::from_nanos(rng.random_range(start..end.max(start + 1)))
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
