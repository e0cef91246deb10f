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
}

impl MessageFault {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::TooBig,
        Self::TooMany,
        Self::Malformed,
        Self::Auth,
        Self::MalformedUpdate,
        Self::MalformedStateVector,
        Self::StateVectorTooLong,
        Self::MalformedAwareness,
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
            Self::TooMany | Self::Auth | Self::StateVectorTooLong => CloseCode::PolicyViolation,
        }
    }
}
