//! The network side of ysyncd: HTTP, WebSockets and the loop that drives the
//! engine.
//!
//! [`serve()`] is the whole interface. It answers HTTP on a [`Listener`], lets
//! clients with a valid token through to the engine, carries out what the
//! engine asks for, and ends in order when told to.
//!
//! # How it is laid out
//! A shard owns one engine. It and every connection it serves live on one
//! thread, so nothing between a socket and its document takes a lock or
//! crosses a channel: a connection hands a message to the engine by calling
//! it, and the engine's frames land in the mailboxes of their receivers. It
//! writes for them at the end of its turn (`flush`), without waking their tasks.
//! A shard never waits for a socket: what that does not take, and what a
//! connection that closes has left to write, the connection's own task writes.
//!
//! What the engine asks of the stores is carried out beside it (`store`,
//! `journal`): store operations side by side, those of the journal one after
//! the other.
//!
//! Everything before the upgrade is plain HTTP (`http`, `request`); an
//! upgraded stream is spoken to by a `Connection` through a `WebSocket`, the
//! one place that knows the framing.
//!
//! # Time and chance
//! All time is tokio's, so that a paused or simulated clock governs all of it;
//! the only randomness is the engine's seed, which the caller brings.

mod accept;
mod address;
mod config;
mod connection;
mod event;
mod exposition;
mod flush;
mod health;
mod http;
mod journal;
mod link;
mod listener;
mod mailbox;
mod metrics;
mod origin;
mod outgoing;
mod page;
pub mod path;
mod quota;
mod rate;
mod readiness;
mod request;
mod serve;
mod shard;
mod store;
mod strangers;
mod unfinished;
mod websocket;

pub use address::{TrustedProxies, TrustedProxiesError};
pub use config::{Clock, Config, ConfigError};
pub use event::brief;
pub use listener::Listener;
pub use origin::{Origin, OriginError};
pub use page::{Demo, Inspector};
pub use serve::{Drained, ServeError, Stores, serve};
