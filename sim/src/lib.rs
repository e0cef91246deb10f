//! Simulated worlds for ysyncd.
//!
//! A world is a function of its seed: what clients do, when frames and answers
//! arrive, what goes wrong and when. One engine, exactly as in production, is
//! driven by an event queue without runtime, threads or clocks; model clients
//! on yrs edit, lose their connections and come back, or not; a simulated store
//! is slow, fails, and is written to by somebody else; a simulated journal fails
//! and forgets what it never promised; engines crash and are shut down. An
//! oracle watches every output, and at the end, when everything has healed,
//! everybody must hold the same document.
//!
//! ```text
//! main     the command: batches of seeds, replay, meta
//! world    the event queue; what clients, network, engine and store do in it,
//!          and what must be true at the end
//! swarm    what a seed draws: sizes, limits, faults and how often
//! client   a model client: yrs document, awareness, y-websocket's habits
//! store    the simulated snapshot store
//! journal  the simulated journal
//! oracle   the invariants, numbered
//! trace    what happened, hashed and remembered
//! full     the same for the full stack: real servers on a simulated network,
//!          with a simulated bucket and simulated disks
//! ```

mod client;
pub mod full;
mod journal;
mod oracle;
mod store;
mod swarm;
mod trace;
mod world;

pub use oracle::{Invariant, Violation};
pub use swarm::{End, JournalFaults, StoreFaults, Swarm, Visitor};
pub use trace::Recording;
pub use world::{Outcome, run};
