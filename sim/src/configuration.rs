//! What both layers' configurations have in common.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Outcome, Recording, Shape, Swarm, full, run,
    shrink::Shrink,
    swarm::{ENOUGH, Habit, Visitor},
};

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

    fn with_panics(mut self) -> Self {
        self.panics = true;
        let is_forgetful = |visitor: &Visitor| visitor.habit == Habit::Forgetful;
        if self.clients.iter().any(is_forgetful) {
            // Who comes back in the middle of what was not told yet writes on
            // before it is asked. Where several do, each brings a delete more
            // than may wait, and would have filled the gap of another's.
            self.engine.pending_delete_ranges_max = ENOUGH;
        }
        self
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
