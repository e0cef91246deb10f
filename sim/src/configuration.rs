//! What both layers' configurations have in common.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Outcome, Recording, Shape, Swarm, full, run, shrink::Shrink};

/// The configuration of a world, of either layer: drawn, or written down.
pub trait Configuration: Shrink + Debug + Serialize + DeserializeOwned + Sync {
    /// Draws the configuration of a seed.
    fn draw(seed: u64, shape: Shape) -> Self;

    /// Runs the world under a seed.
    fn run(&self, seed: u64, recording: Recording) -> Outcome;
}

impl Configuration for Swarm {
    fn draw(seed: u64, shape: Shape) -> Self {
        Self::draw(seed, shape)
    }

    fn run(&self, seed: u64, recording: Recording) -> Outcome {
        run(seed, self, recording)
    }
}

impl Configuration for full::Swarm {
    fn draw(seed: u64, shape: Shape) -> Self {
        Self::draw(seed, shape)
    }

    fn run(&self, seed: u64, recording: Recording) -> Outcome {
        full::run(seed, self, recording)
    }
}
