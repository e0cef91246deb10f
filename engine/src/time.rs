//! Time as the engine knows it: told from outside, with every input.

use std::time::Duration;

/// The moment at which an input is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Monotonic time since a start that the driver chooses; never goes back.
    pub mono: Duration,
}
