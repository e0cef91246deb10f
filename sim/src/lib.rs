//! Simulated worlds for ysyncd.
//!
//! A world is a function of its seed: what clients do, when frames and answers
//! arrive, what goes wrong and when. Engines, exactly as in production, are
//! driven by an event queue without runtime, threads or clocks; model clients
//! on yrs edit, lose their connections and come back, or not; intruders send
//! what they must not; a simulated store is slow, fails, and is written to by
//! somebody else; simulated journals fail and forget what they never promised;
//! nodes crash, freeze and are shut down. An oracle watches every output, and
//! at the end, when everything has healed, everybody must hold the same
//! document.
//!
//! ```text
//! main     the command: batches of seeds, replay, meta
//! world    the event queue; what clients, network, nodes and store do in it,
//!          and what must be true at the end
//! swarm    what a seed draws: sizes, limits, faults and how often
//! shrink   makes simpler what fails
//! configuration  what is common to what seeds draw
//! client   a model client: yrs document, awareness, y-websocket's habits
//! hostile  frames that break servers
//! cost     what hostile shapes of input take, at two sizes
//! store    the simulated snapshot store
//! journal  the simulated journal of a node
//! oracle   the invariants, numbered
//! tape     what an engine was told, recorded and replayed
//! recorded  a world that failed, written down
//! trace    what happened, hashed and remembered
//! explain  what frames and commands say, for people
//! story    what happened, as lanes, moments and arrows
//! page     draws a story
//! full     the same for the full stack: real servers on a simulated network,
//!          with a simulated bucket and simulated disks
//! ```

mod client;
mod configuration;
mod cost;
pub mod explain;
mod floor;
pub mod full;
mod hostile;
mod journal;
mod oracle;
pub mod page;
mod planting;
mod recorded;
pub mod shrink;
mod store;
pub mod story;
mod swarm;
mod tape;
mod trace;
mod world;

use std::any::Any;

pub use configuration::Configuration;
pub use cost::{CostShape, cost, cost_shape};
pub use floor::floor;
pub use oracle::{Invariant, Violation};
pub use planting::{NotBuiltIn, can_plant, plant, take_marks};
pub use recorded::Recorded;
pub use swarm::{
    BusFaults, BusIncident, Habit, Happening, Incident, JournalFaults, Shape, StoreFaults, Swarm,
    Visitor,
};
pub use tape::{Head, Tape, TapeError};
pub use trace::Recording;
pub use world::{Outcome, run};

/// What a panic violates.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Violation {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    Invariant::Panic.violated(text.unwrap_or("a panic without a text"))
}
