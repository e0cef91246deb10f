//! What both layers' configurations have in common.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Outcome, Recording, Shape, Swarm, full, run, shrink::Shrink};

/// The configuration of a world, of either layer: drawn, or written down.
pub trait Configuration: Shrink + Debug + Serialize + DeserializeOwned + Sync {
    /// Draws the configuration of a seed.
    fn draw(seed: u64, shape: Shape) -> Self;

    /// Whether the code of documents panics now and then, and that is borne.
    fn panics(&self) -> bool;

    /// The same with that.
    fn with_panics(self) -> Self;

    /// Runs the world under a seed.
    fn run(&self, seed: u64, recording: Recording) -> Outcome;
}

impl Configuration for Swarm {
    fn draw(seed: u64, shape: Shape) -> Self {
        Self::draw(seed, shape)
    }

    fn panics(&self) -> bool {
        self.panics
    }

    fn with_panics(self) -> Self {
        Self {
            panics: true,
            ..self
        }
    }

    fn run(&self, seed: u64, recording: Recording) -> Outcome {
        run(seed, self, recording)
    }
}

impl Configuration for full::Swarm {
    fn draw(seed: u64, shape: Shape) -> Self {
        Self::draw(seed, shape)
    }

    fn panics(&self) -> bool {
        self.panics
    }

    /// What is lost without a journal then nobody could tell here.
    fn with_panics(mut self) -> Self {
        self.panics = true;
        self.engine.journal = true;
        self
    }

    fn run(&self, seed: u64, recording: Recording) -> Outcome {
        full::run(seed, self, recording)
    }
}
