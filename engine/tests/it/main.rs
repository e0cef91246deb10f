//! Tests of the engine through its public API.
#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

mod behaviour;
mod connections;
mod content;
mod crafted;
mod differential;
mod footprint;
mod golden;
mod handmade;
mod histories;
mod hostile;
mod loading;
mod properties;
mod protocol_page;
mod runs;
mod traces;
