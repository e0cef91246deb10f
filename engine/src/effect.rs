//! What a document wants done. It shares nothing with other documents: it
//! returns effects, and the engine carries them out once it is finished, so
//! that nothing of a document that failed halfway gets out.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    bus::BusCommand,
    event::Event,
    id::ConnId,
    journal::JournalCommand,
    message_fault::MessageFault,
    output::{CloseCode, Receivers, Refusal},
    store::StoreCommand,
};

#[derive(Debug)]
pub(crate) enum Effect {
    Accept(ConnId),
    Refuse(ConnId, Refusal),
    Send(Receivers, Bytes),
    /// The connection is to be told something large, and waits for its turn.
    AwaitAnswer(ConnId),
    /// So many bytes of something large are on their way to the connection.
    AnswerSent(ConnId, usize),
    /// All that it was told so is written.
    AnswerWritten(ConnId),
    Close(ConnId, Fault),
    Store(StoreCommand),
    /// It has something to do with the store, and waits for its turn.
    AwaitStore(Lane),
    Journal(JournalCommand),
    Pause(ConnId),
    Resume(ConnId),
    Repeated(ConnId),
    /// A document of so many bytes was looked at as a whole.
    LookedAt(usize),
    Bus(BusCommand),
    Event(Event),
}

/// Where to wait for a turn at the store. Loads, which clients wait for, are
/// not held up by saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Load,
    Save,
}

/// The effects of handling one input, in order.
pub(crate) type Effects = Vec<Effect>;

/// Why a connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: CloseCode,
    pub(crate) reason: Cow<'static, str>,
    /// What is wrong with what it said, if that is why.
    pub(crate) message: Option<MessageFault>,
}

impl Fault {
    pub(crate) fn new(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        let reason = reason.into();
        debug_assert!(reason.len() <= CloseCode::REASON_BYTES_MAX, "{reason}");
        Self {
            code,
            reason,
            message: None,
        }
    }

    /// What the connection said is not taken.
    pub(crate) fn of_message(message: MessageFault, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: Some(message),
            ..Self::new(message.code(), reason)
        }
    }

    /// The connection's time is over.
    pub(crate) fn expired() -> Self {
        Self::new(CloseCode::TokenExpired, "the token has expired")
    }

    /// The connection does not read what it is sent.
    pub(crate) fn stalled() -> Self {
        Self::new(CloseCode::TryAgainLater, "nothing was read for too long")
    }

    /// The connection reads too slowly what others wait to be told as well.
    pub(crate) fn late() -> Self {
        let reason = "read too slowly while others wait";
        Self::new(CloseCode::TryAgainLater, reason)
    }
}
