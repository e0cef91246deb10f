//! The built binary, run as its users run it.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod configuration;
mod descriptors;
mod doc;
mod journal;
mod life;
mod load;
mod process;
#[cfg(feature = "s3")]
mod s3;
mod token;
