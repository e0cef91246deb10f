//! What every store promises, asked of every store; and what only one does.

#![allow(
    clippy::unwrap_used,
    reason = "a panic of a test or of its helpers is the failure report"
)]

mod catalog;
mod conformance;
mod disk;
mod journal;
mod journal_crash;
mod journal_damage;
mod journal_frames;
mod journal_instances;
mod journal_space;
mod journal_sync;
mod journal_workplace;
mod memory;
mod probe;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "s3")]
mod s3_catalog;
#[cfg(feature = "s3")]
mod s3_faults;
#[cfg(feature = "s3")]
mod s3_probe;
