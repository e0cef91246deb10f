//! Why a message is not taken, and its sender closed.

use crate::output::CloseCode;

/// Why a connection is closed for what it has said, one for each way in which that
/// breaks the protocol or goes past a limit. What exactly is wrong is told by the
/// text of the close frame, of which there are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageFault {
    /// The frame is bigger than a client may send.
    TooBig,
    /// The frame holds more messages than it may: each takes time, however small.
    TooMany,
    /// It is no message of the protocol.
    Malformed,
    /// It is an auth message: these are a server's to send.
    Auth,
    /// An update that Yjs could not read.
    MalformedUpdate,
    /// A state vector that cannot be read.
    MalformedStateVector,
    /// A state vector of more clients than it may tell of.
    StateVectorTooLong,
    /// Awareness that cannot be read, or is no JSON.
    MalformedAwareness,
    /// A state of one client that is bigger than allowed.
    AwarenessStateTooBig,
    /// One connection speaks for more clients than it may.
    AwarenessTooManyIds,
    /// All states that one connection speaks for are bigger than allowed together.
    AwarenessTooMuch,
}

impl MessageFault {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::TooBig,
        Self::TooMany,
        Self::Malformed,
        Self::Auth,
        Self::MalformedUpdate,
        Self::MalformedStateVector,
        Self::StateVectorTooLong,
        Self::MalformedAwareness,
        Self::AwarenessStateTooBig,
        Self::AwarenessTooManyIds,
        Self::AwarenessTooMuch,
    ];

    /// In a word, for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooBig => "too_big",
            Self::TooMany => "too_many",
            Self::Malformed => "malformed",
            Self::Auth => "auth",
            Self::MalformedUpdate => "malformed_update",
            Self::MalformedStateVector => "malformed_state_vector",
            Self::StateVectorTooLong => "state_vector_too_long",
            Self::MalformedAwareness => "malformed_awareness",
            Self::AwarenessStateTooBig => "awareness_state_too_big",
            Self::AwarenessTooManyIds => "awareness_too_many_ids",
            Self::AwarenessTooMuch => "awareness_too_much",
        }
    }

    /// The code that the sender is closed with.
    #[must_use]
    pub const fn code(self) -> CloseCode {
        match self {
            Self::TooBig => CloseCode::MessageTooBig,
            Self::Malformed
            | Self::MalformedUpdate
            | Self::MalformedStateVector
            | Self::MalformedAwareness => CloseCode::InvalidPayload,
            Self::TooMany
            | Self::Auth
            | Self::StateVectorTooLong
            | Self::AwarenessStateTooBig
            | Self::AwarenessTooManyIds
            | Self::AwarenessTooMuch => CloseCode::PolicyViolation,
        }
    }
}
