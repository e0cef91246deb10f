//! What befalls a world at one moment.

use std::time::Duration;

use rand::{RngExt, rngs::ChaCha8Rng, seq::IndexedRandom};
use serde::{Deserialize, Serialize};

use super::{Swarm, millis};

/// Something that happens once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// When.
    pub at: Duration,
    /// What.
    pub what: Happening,
}

/// Nodes and documents go by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Happening {
    /// A node ends without a word; another one takes its place.
    Crash {
        /// Which.
        node: usize,
    },
    /// A node is told to end, and has so long.
    Shutdown {
        /// Which.
        node: usize,
        /// How long.
        within: Duration,
    },
    /// A node does nothing for so long, as a machine that is suspended. To it
    /// the clock jumps.
    Freeze {
        /// Which.
        node: usize,
        /// How long.
        lasts: Duration,
    },
    /// Frames between a node and its clients do not arrive for so long.
    Hold {
        /// Which node.
        node: usize,
        /// How long.
        lasts: Duration,
    },
    /// A node cannot reach the store for so long. What it asks may arrive,
    /// and answers do not.
    CutOff {
        /// Which.
        node: usize,
        /// How long.
        lasts: Duration,
    },
    /// The store answers nobody for so long.
    Outage {
        /// How long.
        lasts: Duration,
    },
    /// All clients lose their connections, and come back at once.
    ReconnectStorm,
    /// The stored object of the first document is damaged for so long; then
    /// somebody puts it right.
    Spoil {
        /// How long.
        lasts: Duration,
    },
    /// Somebody removes the stored object of a document.
    Vanish {
        /// Which document.
        doc: usize,
    },
}

impl Happening {
    /// Whether a world with so many nodes and documents can have this.
    pub(crate) const fn fits(&self, nodes: usize, documents: usize) -> bool {
        match self {
            Self::Crash { node }
            | Self::Shutdown { node, .. }
            | Self::Freeze { node, .. }
            | Self::Hold { node, .. }
            | Self::CutOff { node, .. } => *node < nodes,
            Self::Vanish { doc } => *doc < documents,
            Self::Outage { .. } | Self::ReconnectStorm | Self::Spoil { .. } => true,
        }
    }
}

/// Draws which kinds of incidents a world knows, then some of them.
pub(super) fn draw(rng: &mut ChaCha8Rng, swarm: &Swarm) -> Vec<Incident> {
    let mut incidents = Vec::new();
    let may_spoil = swarm.nodes == 1 && !swarm.is_cramped();
    let kinds: [(f64, Draw); 9] = [
        (0.5, draw_crash),
        (0.2, draw_shutdown),
        (0.15, draw_freeze),
        (0.2, draw_hold),
        (0.2, draw_cut_off),
        (if swarm.is_cramped() { 0.7 } else { 0.3 }, draw_outage),
        (0.1, |_, _| Happening::ReconnectStorm),
        (if swarm.may_vanish() { 0.1 } else { 0.0 }, draw_vanish),
        (if may_spoil { 0.15 } else { 0.0 }, draw_spoil),
    ];
    for (chance, draw_one) in kinds {
        if rng.random_bool(chance) {
            for _ in 0..*[1, 1, 2].choose(rng).expect("not empty") {
                let at = swarm.storm.mul_f64(rng.random_range(0.1..0.9));
                let what = draw_one(rng, swarm);
                incidents.push(Incident { at, what });
            }
        }
    }
    incidents
}

type Draw = fn(&mut ChaCha8Rng, &Swarm) -> Happening;

fn draw_crash(rng: &mut ChaCha8Rng, swarm: &Swarm) -> Happening {
    let node = rng.random_range(0..swarm.nodes);
    Happening::Crash { node }
}

fn draw_shutdown(rng: &mut ChaCha8Rng, swarm: &Swarm) -> Happening {
    let node = rng.random_range(0..swarm.nodes);
    let within = millis(rng.random_range(0..8_000));
    Happening::Shutdown { node, within }
}

fn draw_freeze(rng: &mut ChaCha8Rng, swarm: &Swarm) -> Happening {
    let node = rng.random_range(0..swarm.nodes);
    let lasts = millis(rng.random_range(10..15_000));
    Happening::Freeze { node, lasts }
}

fn draw_hold(rng: &mut ChaCha8Rng, swarm: &Swarm) -> Happening {
    let node = rng.random_range(0..swarm.nodes);
    let lasts = millis(rng.random_range(10..40_000));
    Happening::Hold { node, lasts }
}

fn draw_cut_off(rng: &mut ChaCha8Rng, swarm: &Swarm) -> Happening {
    let node = rng.random_range(0..swarm.nodes);
    let lasts = millis(rng.random_range(100..20_000));
    Happening::CutOff { node, lasts }
}

fn draw_outage(rng: &mut ChaCha8Rng, swarm: &Swarm) -> Happening {
    let lasts = swarm.storm.mul_f64(rng.random_range(0.1..1.0));
    Happening::Outage { lasts }
}

fn draw_spoil(rng: &mut ChaCha8Rng, _: &Swarm) -> Happening {
    let lasts = millis(rng.random_range(100..20_000));
    Happening::Spoil { lasts }
}

fn draw_vanish(rng: &mut ChaCha8Rng, swarm: &Swarm) -> Happening {
    let doc = rng.random_range(0..swarm.documents);
    Happening::Vanish { doc }
}
