//! Awareness messages: `n (client clock json)*n`, JSON `null` for one who left.
//!
//! Format: `awareness.js` of the npm package y-protocols.

use super::AwarenessError;
use crate::{
    config::Config,
    json,
    lib0::{ReadError, Reader, write_var_bytes, write_var_uint},
    update::ClientId,
};

const NULL: &[u8] = b"null";

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

    pub(super) fn check_size(&self, config: &Config) -> Result<(), AwarenessError> {
        match self.state.map_or(0, <[u8]>::len) <= config.awareness_state_bytes_max {
            true => Ok(()),
            false => Err(AwarenessError::StateTooBig),
        }
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
    let mut out = Vec::new();
    write_var_uint(&mut out, said.len() as u64);
    for said in said {
        write_var_uint(&mut out, said.client.0);
        write_var_uint(&mut out, said.clock);
        write_var_bytes(&mut out, said.state.unwrap_or(NULL));
    }
    out
}
