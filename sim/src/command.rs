//! The subcommands.

pub(crate) mod batch;
pub(crate) mod cost;
pub(crate) mod failure;
pub(crate) mod floor;
pub(crate) mod marks;
pub(crate) mod meta;
pub(crate) mod minimize;
pub(crate) mod mutants;
pub(crate) mod picture;
pub(crate) mod replay;
pub(crate) mod worlds;

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use ysyncd_sim::{NotBuiltIn, Violation};

/// What a subcommand comes to: whether everything held.
pub(crate) type Held = Result<bool, CommandError>;

/// Why a subcommand could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    /// A file is no swarm.
    #[error("{} is no swarm of this layer: {error}", path.display())]
    Swarm {
        path: PathBuf,
        error: serde_json::Error,
    },
    /// A file is no tape.
    #[error("{}: {error}", path.display())]
    Tape {
        path: PathBuf,
        error: ysyncd_sim::TapeError,
    },
    /// Only engines are recorded on tapes.
    #[error("--tape is for the engine's worlds")]
    NoTape,
    /// The run left no story.
    #[error("the run was not recorded")]
    NoStory,
    /// This program cannot be started again.
    #[error("this program cannot be started again: {0}")]
    Start(io::Error),
    /// A run for comparison came to no end.
    #[error("the run of seed {seed} died ({status}){}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Died {
        seed: u64,
        status: std::process::ExitStatus,
        said: String,
    },
    /// A tape names a bug that is not known.
    #[error("{}: there is no bug {bug:?} to plant; `mutants --list` names them", path.display())]
    UnknownBug { path: PathBuf, bug: String },
    /// This build lacks something.
    #[error(transparent)]
    NotBuiltIn(#[from] NotBuiltIn),
    /// A seed fails where something else is to be found out.
    #[error("seed {seed} fails: {violation}")]
    SeedFails { seed: u64, violation: Violation },
    /// There is nothing to shrink.
    #[error("seed {0} holds: there is nothing to shrink")]
    Holds(u64),
}

/// Reads a range of seeds, `START..END`, or one seed.
pub(crate) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| {
        let parsed = text.parse::<u64>();
        parsed.map_err(|_| format!("{text:?} is no number; seeds are START..END, or one number"))
    };
    let range = match text.split_once("..") {
        Some((start, end)) => number(start)?..number(end)?,
        None => number(text)?..number(text)?.saturating_add(1),
    };
    match range.is_empty() {
        true => Err("the range is empty".to_owned()),
        false => Ok(range),
    }
}

pub(crate) fn read(path: &Path) -> Result<String, CommandError> {
    fs::read_to_string(path).map_err(|error| CommandError::File {
        path: path.to_owned(),
        error,
    })
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    fs::write(path, text).map_err(|error| CommandError::File {
        path: path.to_owned(),
        error,
    })
}
