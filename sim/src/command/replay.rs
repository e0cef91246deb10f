//! Recorded engines, driven again.

use std::path::PathBuf;

use ysyncd_sim::Tape;

use super::{CommandError, Held, read};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Tapes, as `engine --tape` writes them.
    #[arg(required = true, value_name = "FILE")]
    tapes: Vec<PathBuf>,
}

/// Replays tapes; says of each whether it holds.
pub(crate) fn run(arguments: &Arguments) -> Held {
    let mut held = true;
    for path in &arguments.tapes {
        let tape = Tape::from_text(&read(path)?).map_err(|error| CommandError::Tape {
            path: path.clone(),
            error,
        })?;
        let (name, inputs) = (path.display(), tape.inputs.len());
        match tape.replay() {
            Ok(()) => println!("{name}: {inputs} inputs, holds"),
            Err(violation) => {
                println!("{name}: {inputs} inputs, {violation}");
                held = false;
            }
        }
    }
    Ok(held)
}
