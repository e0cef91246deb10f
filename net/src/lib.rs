//! The network side of ysyncd: HTTP, WebSockets and the loop that drives the
//! engine.
//!
//! [`serve()`] is the whole interface. It answers HTTP on a [`Listener`], lets
//! clients with a valid token through to the engine, carries out what the
//! engine asks for, and ends in order when told to.
//!
//! # A server of your own
//! The binary is this with settings, the journal and the stores of
//! `ysyncd_storage`. Whoever has another place for documents writes a
//! [`SnapshotStore`](ysyncd_storage::SnapshotStore), here one in memory:
//!
//! ```
//! use std::{collections::BTreeMap, sync::{Arc, Mutex}, time::Duration};
//!
//! use bytes::Bytes;
//! use tokio::{net::TcpListener, task::LocalSet, time::sleep};
//! use ysyncd_engine::{Condition, DocId, Etag, Snapshot, auth::{TokenKey, TokenVerifier}};
//! use ysyncd_engine::StoreError;
//! use ysyncd_net::{Config, Stores, serve};
//! use ysyncd_storage::{SnapshotStore, StoreFuture};
//!
//! /// Documents with the number of their version.
//! #[derive(Default)]
//! struct Table(Mutex<BTreeMap<DocId, (u64, Bytes)>>);
//!
//! fn etag(version: u64) -> Etag {
//!     Etag(version.to_string().into())
//! }
//!
//! impl SnapshotStore for Table {
//!     fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>> {
//!         Box::pin(async move {
//!             let rows = self.0.lock().expect("no writer panics");
//!             let row = rows.get(doc).cloned();
//!             Ok(row.map(|(version, body)| Snapshot { body, etag: etag(version) }))
//!         })
//!     }
//!
//!     // Comparing and writing are one step: another server may write, too.
//!     fn save<'a>(
//!         &'a self,
//!         doc: &'a DocId,
//!         body: Bytes,
//!         condition: Condition,
//!     ) -> StoreFuture<'a, Etag> {
//!         Box::pin(async move {
//!             let mut rows = self.0.lock().expect("no writer panics");
//!             let version = rows.get(doc).map(|(version, _)| *version);
//!             let holds = match &condition {
//!                 Condition::Absent => version.is_none(),
//!                 Condition::Matches(known) => version.map(etag).as_ref() == Some(known),
//!             };
//!             if !holds {
//!                 return Err(StoreError::Conflict);
//!             }
//!             let version = version.unwrap_or_default() + 1;
//!             rows.insert(doc.clone(), (version, body));
//!             Ok(etag(version))
//!         })
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Everything of a server with one shard lives on one thread.
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! LocalSet::new().block_on(&runtime, async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     println!("ws://{}/sync/v1", listener.local_addr()?);
//!     let stores = Stores { snapshots: Arc::new(Table::default()), journal: None };
//!     let tokens = TokenVerifier::new(TokenKey::new(b"a secret of 16 bytes or more"));
//!     let config = Config::new(tokens, 1); // a random seed in production
//!     // Until this resolves; a real server waits for a signal.
//!     let shutdown = sleep(Duration::from_millis(50));
//!     let left = serve(listener, stores, None, config, shutdown).await?;
//!     assert!(left.unsaved.is_empty());
//!     Ok(())
//! })
//! # }
//! ```
//!
//! With no journal, what was not saved is lost in a crash: see
//! `ysyncd_storage::journal`.
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
//! There may be several ([`Config::shards`]); which one a document is in, its name
//! decides (`shards`). The first lives where `serve` runs, and connections are
//! accepted and their requests read there (`serve`, `http`, `front`). Those for a
//! document of another shard are handed over once their handshake is done
//! (`remote`). What all have in common is counters and whatever is asked when a
//! connection comes or goes (`shared`).
//!
//! What the engine asks of the stores is carried out beside it (`store`,
//! `journal`): store operations side by side, those of the journal one after
//! the other. So is what it has to say to other nodes ([`bus`]).
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
pub mod bus;
mod config;
mod connection;
mod cut;
mod event;
mod exposition;
mod farewell;
mod flush;
mod front;
mod health;
mod http;
mod journal;
mod keeper;
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
mod recent;
mod remote;
mod request;
mod serve;
mod shard;
mod shards;
mod shared;
mod store;
mod strangers;
mod timely;
mod unfinished;
mod user_rate;
mod websocket;
mod workers;

pub use address::{TrustedProxies, TrustedProxiesError};
pub use bus::Cluster;
pub use config::{Clock, Config, ConfigError};
pub use event::brief;
pub use listener::Listener;
pub use origin::{Origin, OriginError};
pub use page::{Demo, Inspector};
pub use serve::{Drained, ServeError, Stores, serve};
pub use workers::Workers;
