//! A recorded run of one engine: what went in, and a hash of what came out.
//!
//! An engine is a function of its configuration, its seed and its inputs, so a
//! tape is all it takes to run it again. As text: one line of JSON for the
//! head, and one for each input.

use std::{fmt::Write, time::Duration};

use serde::{Deserialize, Serialize};
use ysyncd_engine::{Checked, Config, Engine, Input, Now};

use crate::{Invariant, Violation, oracle::Watch, trace::Hash};

/// A recorded run of one engine.
#[derive(Debug, Clone)]
pub struct Tape {
    /// What was recorded.
    pub head: Head,
    /// What the engine was told, and when.
    pub inputs: Vec<(Duration, Input)>,
}

/// What a tape is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Head {
    /// For people.
    pub about: String,
    /// The planted bug that it was recorded with; `None`: a bug of our own.
    pub planted: Option<String>,
    /// What did not hold then, if a watch can tell that from the tape alone.
    pub invariant: Option<Invariant>,
    /// The engine's configuration.
    pub config: Config,
    /// The engine's seed.
    pub seed: u64,
    /// The hash of all outputs, where they are to be the same again.
    pub outputs: Option<u64>,
}

/// Why a text is no tape.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// It is empty.
    #[error("the tape is empty")]
    Empty,
    /// A line cannot be read.
    #[error("line {line} of the tape cannot be read: {error}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// Why.
        error: serde_json::Error,
    },
}

impl Tape {
    /// A tape that nothing was recorded on.
    pub(crate) fn new(config: &Config, seed: u64) -> Self {
        Self {
            head: Head {
                about: String::new(),
                planted: None,
                invariant: None,
                config: config.clone(),
                seed,
                outputs: None,
            },
            inputs: Vec::new(),
        }
    }

    /// As text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let json = |line: serde_json::Result<String>| line.expect("it can be written as JSON");
        let mut text = json(serde_json::to_string(&self.head));
        text.push('\n');
        for input in &self.inputs {
            let line = json(serde_json::to_string(input));
            writeln!(text, "{line}").expect("a text takes all");
        }
        text
    }

    /// Reads what [`Tape::to_text`] wrote.
    ///
    /// # Errors
    /// [`TapeError`].
    pub fn from_text(text: &str) -> Result<Self, TapeError> {
        let mut lines = text.lines().zip(1..);
        let (head, line) = lines.next().ok_or(TapeError::Empty)?;
        let at = |line| move |error| TapeError::Line { line, error };
        let head = serde_json::from_str(head).map_err(at(line))?;
        let inputs = lines.map(|(text, line)| serde_json::from_str(text).map_err(at(line)));
        let inputs = inputs.collect::<Result<_, _>>()?;
        Ok(Self { head, inputs })
    }

    /// Runs a fresh engine on what was recorded, under the eyes of a watch.
    /// Returns how many inputs were played: an engine that was changed since
    /// may go another way from some point on, and is not asked for more.
    ///
    /// # Errors
    /// What does not hold: an invariant of the watch, or, where the outputs are
    /// recorded, that they are the same.
    pub fn replay(&self) -> Result<usize, Violation> {
        let played = std::panic::catch_unwind(|| self.play());
        let played = played.unwrap_or_else(|payload| Err(crate::panicked(&*payload)));
        let (played, outputs) = played?;
        let recorded = self.head.outputs.unwrap_or(outputs);
        Invariant::Replays.holds(recorded == outputs, || {
            format!("the outputs hash to {outputs:016x}, recorded was {recorded:016x}")
        })?;
        Ok(played)
    }

    fn play(&self) -> Result<(usize, u64), Violation> {
        let mut engine = Engine::new(self.head.config.clone(), self.head.seed);
        let mut watch = Watch::new(&self.head.config);
        let mut outputs = Hash::default();
        let mut checked = Checked::default();
        let mut played = 0;
        for (mono, input) in &self.inputs {
            if !watch.expects(input) {
                break;
            }
            played += 1;
            watch.input(*mono, input);
            engine.handle(Now { mono: *mono }, input.clone());
            engine.check_changed(&mut checked);
            while let Some(output) = engine.poll_output() {
                outputs.of(&output);
                watch.output(*mono, &output)?;
            }
            watch.settled(*mono, || engine.status(Now { mono: *mono }))?;
        }
        Ok((played, outputs.value()))
    }
}
