//! The server, spoken to over real sockets.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod access;
mod framing;
mod handshake;
mod health;
mod inspector;
mod journal;
mod limits;
mod log;
mod messages;
mod page;
mod rates;
mod readiness;
#[cfg(feature = "redis")]
mod redis;
mod requests;
mod shards;
mod shutdown;
mod support;
mod unfinished;
