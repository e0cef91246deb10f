//! The bus between nodes: which worlds have one, and what goes wrong with it.

use std::{ops::Range, time::Duration};

use rand::{RngExt, rngs::ChaCha8Rng, seq::IndexedRandom};
use serde::{Deserialize, Serialize};

use super::{ENOUGH, Happening, Incident, Swarm, chance, millis};

/// The bus of a world, and its faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BusFaults {
    /// Time that a message takes.
    pub latency: Range<Duration>,
    /// A message's chance not to come …
    pub loss: f64,
    /// … to come twice …
    pub double: f64,
    /// … and to come late, after others.
    pub late: f64,
    /// The chance that with a message comes one of long ago.
    pub old: f64,
    /// The chance that with a message comes what is none.
    pub garbage: f64,
    /// What befalls it, and when.
    pub incidents: Vec<BusIncident>,
}

/// Something that happens to the bus once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BusIncident {
    /// When.
    pub at: Duration,
    /// To which node.
    pub node: usize,
    /// For how long.
    pub lasts: Duration,
    /// Whether the node notices: it has lost its connection, and not only what
    /// is told on it.
    pub is_noticed: bool,
}

/// Gives some worlds a bus, and nodes enough.
pub(super) fn add(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    let is_let = if swarm.nodes > 1 { 0.5 } else { 0.2 };
    // Limits on growth are a node's own: what others have taken it takes.
    if !rng.random_bool(is_let) || swarm.raises_limits {
        return;
    }
    swarm.nodes = *[2, 2, 2, 3, 4].choose(rng).expect("not empty");
    for visitor in &mut swarm.clients {
        visitor.node = rng.random_range(0..swarm.nodes);
    }
    let needs_one =
        |what: Happening| matches!(what, Happening::Vanish { .. } | Happening::Spoil { .. });
    swarm
        .incidents
        .retain(|incident: &Incident| !needs_one(incident.what));
    swarm.journal.damage = false;
    draw_engine(rng, swarm);
    let slow = *[1, 20, 300].choose(rng).expect("not empty");
    swarm.bus = Some(BusFaults {
        latency: millis(0)..millis(slow),
        loss: chance(rng, 0.5),
        double: chance(rng, 0.2),
        late: chance(rng, 0.2),
        old: chance(rng, 0.2),
        garbage: chance(rng, 0.1),
        incidents: draw_incidents(rng, swarm),
    });
    if rng.random_bool(0.2) {
        come_often(swarm);
    }
}

/// Strangers come all the time and ask for everything, on nodes that have little
/// from their own clients.
fn come_often(swarm: &mut Swarm) {
    swarm.intruders = 3;
    swarm.pause = millis(100)..millis(1_000);
    swarm.engine.join_kept_bytes_min = 0;
}

fn draw_engine(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    let engine = &mut swarm.engine;
    let mut one_of = |all: &[u64]| *all.choose(rng).expect("not empty");
    engine.bus_digest_interval = millis(one_of(&[500, 5_000]));
    engine.bus_digest_idle = millis(one_of(&[5_000, 20_000]));
    engine.bus_exchange_pause = millis(one_of(&[100, 1_000]));
    // Where that is long, nodes have to come to the same without the store.
    let longest = one_of(&[0, 300_000]);
    engine.foreign_save_wait = (engine.save_wait_max * 3).max(millis(longest));
    // Room for all clients, and not for all that intruders show.
    engine.bus_awareness_bytes_max = 20_000;
    engine.bus_message_bytes_max = match one_of(&[0, 0, 0, 1]) {
        1 => 400,
        _ => ENOUGH,
    };
}

fn draw_incidents(rng: &mut ChaCha8Rng, swarm: &Swarm) -> Vec<BusIncident> {
    let count = *[0, 1, 1, 3].choose(rng).expect("not empty");
    let one = |_| BusIncident {
        at: swarm.storm.mul_f64(rng.random_range(0.0..0.9)),
        node: rng.random_range(0..swarm.nodes),
        lasts: millis(rng.random_range(10..15_000)),
        is_noticed: rng.random_bool(0.6),
    };
    (0..count).map(one).collect()
}
