//! What the engine asks of the outside.

use std::borrow::Cow;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{
    bus::BusCommand,
    event::Event,
    id::{ConnId, DocId, OpId},
    journal::JournalCommand,
    store::StoreCommand,
};

/// The receivers of one frame.
pub type Receivers = SmallVec<[ConnId; 2]>;

/// One thing to do outside. Outputs are carried out in the order they come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Output {
    /// The document is ready: finish the handshake. Always the first output
    /// of a connection.
    Accept {
        /// Whom to let in.
        conn: ConnId,
    },
    /// Answer the handshake with an error. The only output of a connection.
    Refuse {
        /// Whom not to let in.
        conn: ConnId,
        /// Why.
        reason: Refusal,
    },
    /// Send one binary message, the same bytes to every receiver.
    Send {
        /// To whom.
        conns: Receivers,
        /// One y-websocket message.
        frame: Bytes,
    },
    /// Send a close frame after everything sent before, then let go of the
    /// connection. Nothing follows for it.
    Close {
        /// Which.
        conn: ConnId,
        /// With what code.
        code: CloseCode,
        /// At most [`CloseCode::REASON_BYTES_MAX`].
        reason: Cow<'static, str>,
    },
    /// Carry out a storage operation and report its one result with this
    /// number.
    Store {
        /// The number to report with.
        op: OpId,
        /// What to do.
        command: StoreCommand,
    },
    /// Carry out a journal operation and report its result with this
    /// number. Only where [`Config::journal`](crate::Config::journal) is set.
    Journal {
        /// The number to report with.
        op: OpId,
        /// What to do.
        command: JournalCommand,
    },
    /// Have the bus between nodes do something. Only where
    /// [`Config::node`](crate::Config::node) is set, and while the bus is up.
    Bus(BusCommand),
    /// Read no more from this connection until `Resume`: more waits to become
    /// durable than there is room for. What was read already may still be
    /// handed in.
    Pause {
        /// Which.
        conn: ConnId,
    },
    /// Read from this connection again.
    Resume {
        /// Which.
        conn: ConnId,
    },
    /// The last message of a connection said nothing but what was known of who is
    /// there. Clients of y-websocket repeat all that they hear: so this is not to
    /// count as sent too fast. Told as often at most as the connection was told who is
    /// there.
    Repeated {
        /// Which.
        conn: ConnId,
    },
    /// Something that logs and metrics may want to know.
    Event(Event),
    /// The shutdown is over; the engine takes no further input.
    Drained {
        /// Documents with changes that neither the store nor the journal
        /// holds: these are lost with the process.
        unsaved: Vec<DocId>,
        /// Documents with changes that the journal holds and the store does
        /// not: they are saved when the server is back.
        journaled: Vec<DocId>,
    },
}

/// Why a handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The store did not answer the load with a snapshot or a certain absence.
    #[error("the document cannot be loaded now, try again later")]
    LoadFailed,
    /// What is stored is no valid document; it is left as it is.
    #[error("the stored document is damaged and was left untouched")]
    Undecodable,
    /// The journal holds changes of the document that cannot be read.
    #[error("the journal's records of this document are damaged and were left untouched")]
    JournalDamaged,
    /// The documents in use fill the memory that there is for them.
    #[error("the server is full, try again later")]
    Full,
    /// Too many connections wait for this document to load.
    #[error("too many clients wait for this document, try again later")]
    Busy,
    /// The code of the document panicked a moment ago.
    #[error("the document met an error in the server, try again later")]
    InternalError,
    /// The server is going down.
    #[error("the server is shutting down, try again later")]
    ShuttingDown,
}

impl Refusal {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::LoadFailed,
        Self::Undecodable,
        Self::JournalDamaged,
        Self::Full,
        Self::Busy,
        Self::InternalError,
        Self::ShuttingDown,
    ];

    /// In a word, for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoadFailed => "load_failed",
            Self::Undecodable => "undecodable",
            Self::JournalDamaged => "journal_damaged",
            Self::Full => "full",
            Self::Busy => "busy",
            Self::InternalError => "internal_error",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

/// WebSocket close codes in use (RFC 6455 section 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The server is going down.
    GoingAway = 1001,
    /// A text frame came where only binary ones are spoken.
    UnsupportedData = 1003,
    /// A message is malformed.
    InvalidPayload = 1007,
    /// A message is well formed but not allowed.
    PolicyViolation = 1008,
    /// A message is too big.
    MessageTooBig = 1009,
    /// The code of the document panicked; the client should connect again.
    InternalError = 1011,
    /// The client cannot be served now; it should connect again.
    TryAgainLater = 1013,
    /// The token has expired; the client needs a new one. y-websocket does not
    /// come back by itself after codes from 4400 to 4499.
    TokenExpired = 4401,
}

impl CloseCode {
    /// A close frame holds no longer reason.
    pub const REASON_BYTES_MAX: usize = 123;

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}
