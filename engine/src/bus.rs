//! The bus between nodes: what is asked of it, and what it tells.
//!
//! Nodes that share a store carry updates and awareness to each other on a bus
//! which promises nothing: a message comes at most once, or twice, or late, or
//! never. So the bus only makes things fast. What is lost on it is noticed by
//! digests of what each node has, and healed by the difference; where the bus is
//! down, by conditional snapshots, as without one.
//!
//! What a message looks like stands in [`envelope`]. Who publishes what, and
//! when, is the documents' to decide (`document/bus.rs`); whoever drives an
//! engine only carries messages.

pub mod envelope;

mod digest;
mod presence;

use bytes::Bytes;

pub use self::{
    digest::StateDigest,
    envelope::{Body, Envelope, EnvelopeError},
    presence::Presence,
};
use crate::{id::DocId, update::DecodeError};

/// One life of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Node {
    /// Which node: the same after a restart, and no other's.
    pub id: u64,
    /// Which of its lives: higher after each restart, as the time of the start
    /// is.
    pub incarnation: u64,
}

/// What the bus is asked to do. Commands are carried out in order; while the
/// bus is down none is issued.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BusCommand {
    /// Tell what others publish of a document, from `Subscribed` on.
    Subscribe {
        /// Which document.
        doc: DocId,
    },
    /// Tell no more of it.
    Unsubscribe {
        /// Which document.
        doc: DocId,
    },
    /// Tell all who have subscribed to a document; oneself, perhaps, too.
    Publish {
        /// Which document.
        doc: DocId,
        /// An [`Envelope`], as bytes.
        message: Bytes,
    },
}

/// What the bus tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum BusInput {
    /// There is a connection. Nothing is subscribed to on it yet.
    Up,
    /// It is lost, and with it what was subscribed to and what was on its way.
    Down,
    /// A `Subscribe` is in force.
    Subscribed {
        /// Which document's.
        doc: DocId,
    },
    /// Somebody has published something: perhaps oneself, perhaps long ago.
    Received {
        /// Of which document.
        doc: DocId,
        /// What it says; it may be anything.
        #[cfg_attr(feature = "serde", serde(with = "crate::hex"))]
        message: Bytes,
    },
}

/// Why a message of the bus is not taken. Whoever sent it is told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BusRefusal {
    /// It is no message.
    #[error("malformed message: {0}")]
    Malformed(#[from] EnvelopeError),
    /// It is larger than messages may be.
    #[error("the message is too big")]
    TooBig,
    /// It tells an update that no client might send.
    #[error("malformed update: {0}")]
    Update(DecodeError),
    /// It tells a state vector that is none.
    #[error("malformed state vector: {0}")]
    StateVector(DecodeError),
    /// It tells awareness that is malformed, or too much of it.
    #[error("awareness that is malformed, or too much")]
    Awareness,
}
