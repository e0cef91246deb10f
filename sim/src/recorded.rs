//! A world that failed, written down: its seed, and all that the seed had drawn
//! or that was left of it when it was made simpler. What seeds draw changes with
//! each new fault; this stays.

use serde::{Deserialize, Serialize};

use crate::{Configuration, Invariant, Outcome, Recording};

/// A world that failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded<C> {
    /// For people.
    #[serde(default)]
    pub about: String,
    /// The planted bug that it failed with; `None`: a bug of our own, or of the
    /// simulator's.
    pub planted: Option<String>,
    /// What did not hold.
    pub invariant: Invariant,
    /// What all that happens in it is drawn from.
    pub seed: u64,
    /// Its configuration.
    pub swarm: C,
}

impl<C: Configuration> Recorded<C> {
    /// As text: JSON.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("it can be written as JSON");
        text.push('\n');
        text
    }

    /// Reads what [`Recorded::to_text`] wrote.
    ///
    /// # Errors
    /// It is no such JSON.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Runs it again.
    #[must_use]
    pub fn run(&self) -> Outcome {
        self.swarm.run(self.seed, Recording::Last)
    }
}
