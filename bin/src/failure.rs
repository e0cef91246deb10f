//! Why the program ends without having done what it was asked.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

/// A failure, told in one line on standard error and by the exit code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line or the environment is wrong. Trying again will not
    /// help. Exit code 2.
    #[error("{0}")]
    Configuration(String),
    /// Something outside is in the way. Exit code 1.
    #[error("{0}")]
    Outside(String),
    /// A document is not there, not in order, or not as it would have to be.
    /// Exit code 1.
    #[error("{0}")]
    Document(String),
    /// Documents hold changes that no store has. Exit code 1.
    #[error("{0} documents stay unsaved, as listed in the log")]
    Unsaved(usize),
}

impl Failure {
    pub(crate) fn configuration(what: impl Display) -> Self {
        Self::Configuration(what.to_string())
    }

    pub(crate) fn outside(what: impl Display) -> Self {
        Self::Outside(what.to_string())
    }

    pub(crate) fn document(what: impl Display) -> Self {
        Self::Document(what.to_string())
    }

    pub(crate) fn report(&self) -> ExitCode {
        // Where standard error takes nothing, the exit code still tells.
        _ = writeln!(io::stderr(), "ysyncd: {self}");
        match self {
            Self::Configuration(_) => ExitCode::from(2),
            Self::Outside(_) | Self::Document(_) | Self::Unsaved(_) => ExitCode::from(1),
        }
    }
}
