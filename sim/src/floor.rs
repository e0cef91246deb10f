//! The model clients alone, without a server: what a world costs at least.

use std::time::Duration;

use crate::{
    client::Client,
    oracle::HOME,
    swarm::{Purpose, Swarm, between, stream},
};

/// Has the clients of a swarm make as many edits as in its storm, and tell each
/// other of each. Returns how many they made.
#[must_use]
pub fn floor(seed: u64, swarm: &Swarm) -> usize {
    let ids = 0..swarm.clients.len();
    let mut clients: Vec<_> = ids
        .map(|at| Client::new(HOME + at as u64, 0, swarm.content))
        .collect();
    let mut edits = 0;
    for at in 0..clients.len() {
        let mut rng = stream(seed, Purpose::Client(at));
        let mut now = Duration::ZERO;
        while now < swarm.storm {
            now += between(&mut rng, &swarm.pause);
            if let Some(update) = clients[at].edit(&mut rng) {
                edits += 1;
                for (_, other) in clients
                    .iter_mut()
                    .enumerate()
                    .filter(|(other, _)| *other != at)
                {
                    other.apply(&update).expect("clients understand each other");
                }
            }
        }
    }
    edits
}
