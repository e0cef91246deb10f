//! Awareness messages: `n (client clock json)*n`, JSON `null` for one who left.
//!
//! Format: `awareness.js` of the npm package y-protocols.

use std::borrow::Cow;

use bytes::Bytes;

use super::AwarenessError;
use crate::{
    config::Config,
    json,
    lib0::{ReadError, Reader, write_var_bytes, write_var_uint},
    protocol,
    update::ClientId,
};

const NULL: &[u8] = b"null";

/// Bytes of the states that one frame holds, about.
pub(super) const FRAME_BYTES: usize = 256 << 10;

/// What an id, a clock, a length and no state take, at most.
const NUMBERS_BYTES: usize = 28;

/// Bytes of a message that tells of one cursor, as most do, or more.
const CURSOR_BYTES: usize = 256;

/// What a client says of one id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) client: ClientId,
    pub(super) clock: u64,
    /// JSON; `None` is `null`.
    pub(super) state: Option<&'a [u8]>,
}

impl Said<'_> {
    pub(super) fn check_json(&self) -> Result<(), AwarenessError> {
        match self.state.is_none_or(json::is_valid) {
            true => Ok(()),
            false => Err(AwarenessError::Json),
        }
    }

    /// Bytes of the state as JavaScript writes it when it repeats it.
    pub(super) fn written(&self) -> usize {
        self.state.map_or(0, json::written_len)
    }
}

/// Reads a message, one client at a time.
pub(super) struct Entries<'a> {
    reader: Reader<'a>,
    left: u64,
}

impl<'a> Entries<'a> {
    pub(super) fn of(message: &'a [u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(message);
        let left = reader.var_uint()?;
        Ok(Self { reader, left })
    }

    pub(super) fn next(&mut self) -> Result<Option<Said<'a>>, ReadError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let (client, clock) = (ClientId(self.reader.var_uint()?), self.reader.var_uint()?);
        let state = self.reader.var_str()?.as_bytes();
        let state = (state.trim_ascii() != NULL).then_some(state);
        Ok(Some(Said {
            client,
            clock,
            state,
        }))
    }

    /// Nothing follows after the last.
    pub(super) fn end(&self) -> Result<(), AwarenessError> {
        match self.reader.is_empty() {
            true => Ok(()),
            false => Err(AwarenessError::TrailingBytes),
        }
    }
}

/// Who is gone by a message of our own, with their clocks.
pub(crate) fn gone(message: &[u8]) -> Vec<(ClientId, u64)> {
    let mut gone = Vec::new();
    let Ok(mut entries) = Entries::of(message) else {
        return gone;
    };
    while let Ok(Some(said)) = entries.next() {
        if said.state.is_none() {
            gone.push((said.client, said.clock));
        }
    }
    gone
}

pub(super) fn encode<'a>(said: impl ExactSizeIterator<Item = Said<'a>>) -> Vec<u8> {
    // Most tell of one cursor, and need not grow step by step.
    let mut out = Vec::with_capacity(CURSOR_BYTES);
    write_var_uint(&mut out, said.len() as u64);
    for said in said {
        write_var_uint(&mut out, said.client.0);
        write_var_uint(&mut out, said.clock);
        write_var_bytes(&mut out, said.state.unwrap_or(NULL));
    }
    out
}

/// An awareness message in frames that are not too large.
pub(crate) fn split<'a>(
    message: &'a [u8],
    config: &Config,
) -> impl Iterator<Item = Bytes> + use<'a> {
    parts(message, config).map(|part| protocol::awareness(&part))
}

/// The states of an awareness message in parts that are not too large: clients repeat
/// what they hear in one go, and what JavaScript writes may be five times as long.
pub(super) fn parts<'a>(
    message: &'a [u8],
    config: &Config,
) -> impl Iterator<Item = Cow<'a, [u8]>> + use<'a> {
    let most = FRAME_BYTES.min(config.frame_bytes_max / 2);
    let is_small = message.len() <= most.min(config.frame_bytes_max / 5);
    let mut entries = Entries::of(message).ok();
    let mut next = None;
    std::iter::from_fn(move || {
        if is_small {
            return entries.take().map(|_| message.into());
        }
        let entries = entries.as_mut()?;
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some(said) = next.take().or_else(|| entries.next().ok().flatten()) {
            let len = said.written() + NUMBERS_BYTES;
            if bytes + len > most && !part.is_empty() {
                next = Some(said);
                break;
            }
            bytes += len;
            part.push(said);
        }
        (!part.is_empty()).then(|| encode(part.into_iter()).into())
    })
}
