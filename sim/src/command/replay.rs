//! Recorded engines, driven again.

use std::path::PathBuf;

use ysyncd_sim::{Tape, can_plant, plant};

use super::{CommandError, Held, read};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Tapes, as `engine --tape` writes them.
    #[arg(required = true, value_name = "FILE")]
    tapes: Vec<PathBuf>,
    /// Plant the bug that a tape was recorded with.
    #[arg(long)]
    planted: bool,
}

/// Replays tapes; says of each whether it holds.
pub(crate) fn run(arguments: &Arguments) -> Held {
    let mut held = true;
    for path in &arguments.tapes {
        let tape = Tape::from_text(&read(path)?).map_err(|error| CommandError::Tape {
            path: path.clone(),
            error,
        })?;
        if arguments.planted {
            can_plant()?;
            let bug = tape.head.planted.as_deref();
            let bug = bug.map(|bug| {
                bug.parse().map_err(|_| CommandError::UnknownBug {
                    path: path.clone(),
                    bug: bug.to_owned(),
                })
            });
            plant(bug.transpose()?);
        }
        let (name, inputs) = (path.display(), tape.inputs.len());
        match tape.replay() {
            Ok(played) if played == inputs => println!("{name}: {inputs} inputs, holds"),
            Ok(played) => println!(
                "{name}: {played} of {inputs} inputs, holds; then the engine goes another way \
                 than the one that was recorded"
            ),
            Err(violation) => {
                println!("{name}: {inputs} inputs, {violation}");
                held = false;
            }
        }
    }
    Ok(held)
}
