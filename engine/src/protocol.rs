//! The y-websocket protocol: messages in, frames out.
//!
//! Format: `y-websocket.js` and the sync, awareness and auth protocols of the
//! npm package y-protocols. docs/PROTOCOL.md shows each message in hex.

use bytes::Bytes;
use thiserror::Error;

use crate::{
    lib0::{ReadError, Reader, write_var_bytes, write_var_uint},
    state_vector::StateVector,
};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;

const STEP_1: u64 = 0;
const STEP_2: u64 = 1;
const UPDATE: u64 = 2;

const PERMISSION_DENIED: u64 = 0;

/// One message of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// "This I know; send me the rest": a state vector.
    SyncStep1(&'a [u8]),
    /// "This you may not know": an update that answers a `SyncStep1`.
    SyncStep2(&'a [u8]),
    /// "This just happened": an update.
    Update(&'a [u8]),
    /// Awareness states.
    Awareness(&'a [u8]),
    /// "Send me all awareness states".
    QueryAwareness,
}

/// Why bytes are no sequence of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MessageError {
    /// A message is cut short or holds an impossible number.
    #[error("malformed message: {0}")]
    Malformed(#[from] ReadError),
    /// A message type that y-websocket does not have.
    #[error("unknown message type {0}")]
    UnknownType(u64),
    /// A sync message type that y-protocols does not have.
    #[error("unknown sync message type {0}")]
    UnknownSyncType(u64),
    /// An auth message: these are a server's to send.
    #[error("auth messages come from servers only")]
    Auth,
}

/// Reads the messages of a frame one by one.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    reader: Reader<'a>,
}

impl<'a> Messages<'a> {
    /// Starts at the front of a frame.
    #[must_use]
    pub const fn new(frame: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(frame),
        }
    }

    /// Whether all messages have been read.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.reader.is_empty()
    }

    /// The next message; `None` at the end of the frame.
    ///
    /// # Errors
    /// What follows is no message.
    pub fn read_next(&mut self) -> Result<Option<Message<'a>>, MessageError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        match self.reader.var_uint()? {
            SYNC => self.read_sync(),
            AWARENESS => Ok(Some(Message::Awareness(self.reader.var_bytes()?))),
            QUERY_AWARENESS => Ok(Some(Message::QueryAwareness)),
            AUTH => Err(MessageError::Auth),
            unknown => Err(MessageError::UnknownType(unknown)),
        }
    }

    fn read_sync(&mut self) -> Result<Option<Message<'a>>, MessageError> {
        let kind = self.reader.var_uint()?;
        // Old clients answer some messages with a bare `00 00`.
        if kind == STEP_1 && self.reader.is_empty() {
            return Ok(None);
        }
        let read = match kind {
            STEP_1 => Message::SyncStep1,
            STEP_2 => Message::SyncStep2,
            UPDATE => Message::Update,
            unknown => return Err(MessageError::UnknownSyncType(unknown)),
        };
        Ok(Some(read(self.reader.var_bytes()?)))
    }
}

/// A `SyncStep1` frame.
#[must_use]
pub fn sync_step_1(known: &StateVector) -> Bytes {
    frame(&[SYNC, STEP_1], &known.encode())
}

/// A `SyncStep2` frame.
#[must_use]
pub fn sync_step_2(update: &[u8]) -> Bytes {
    frame(&[SYNC, STEP_2], update)
}

/// An update frame.
#[must_use]
pub fn update(update: &[u8]) -> Bytes {
    frame(&[SYNC, UPDATE], update)
}

/// An awareness frame.
#[must_use]
pub fn awareness(states: &[u8]) -> Bytes {
    frame(&[AWARENESS], states)
}

/// The awareness of nobody: says nothing, but is a message.
#[must_use]
pub fn keepalive() -> Bytes {
    awareness(&[0])
}

/// Tells a client that something it sent was not taken, and why.
#[must_use]
pub fn permission_denied(reason: &str) -> Bytes {
    frame(&[AUTH, PERMISSION_DENIED], reason.as_bytes())
}

fn frame(types: &[u64], payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(types.len() + payload.len() + 5);
    for &number in types {
        write_var_uint(&mut out, number);
    }
    write_var_bytes(&mut out, payload);
    out.into()
}
