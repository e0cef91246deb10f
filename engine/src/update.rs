//! The Yjs v1 update format: what a document is made of, as bytes.
//!
//! Format: `UpdateEncoderV1`, `writeClientsStructs` and `writeDeleteSet` of
//! Yjs 13.6. An update is a list of sections, one per client, each a run of
//! structs with consecutive clocks, followed by a delete set:
//!
//! ```text
//! update   = n section*n deletes
//! section  = structs client clock struct*structs
//! deletes  = n (client m (clock len)*m)*n
//! ```
//!
//! What is accepted is exactly what Yjs decodes and integrates: one bad struct
//! in the stored state would make every client that loads it throw, for ever.
//! See docs/PROTOCOL.md for the rules and [`Update::decode`] for their home.

mod content;
mod decode;
mod outline;
mod structs;

pub use decode::{DecodeError, Update};
pub use outline::{Holds, Outline, Place};

pub(crate) use content::{Content, Cursor, Payload};
pub(crate) use decode::{Deletes, KeptUpdate, Sections};
pub(crate) use structs::{
    Body, Head, Item, Lead, ParentRef, Plain, Position, Struct, write_gc, write_skip,
};

/// The position of a struct, or of one unit of it, in its client's history.
/// Clocks stay below [`CLOCK_MAX`].
pub type Clock = u32;

/// No struct reaches beyond this clock: clients count in 31 bits.
pub const CLOCK_MAX: Clock = (1 << 31) - 1;

/// The number that a Yjs client chose for itself, below 2^53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// One unit of content: the client that made it and its clock there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Who made it.
    pub client: ClientId,
    /// Where in that client's history.
    pub clock: Clock,
}

/// Clocks of one client: from the first up to, not including, the second.
pub type ClockRange = std::ops::Range<Clock>;

/// How strictly bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// They came from outside: every rule of the grammar is checked.
    Input,
    /// They were checked before, when they came: only their bounds are found.
    Stored,
}
