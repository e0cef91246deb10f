//! The built binary, run as its users run it.
