//! Says for people what bytes and commands say. Nothing here panics, whatever
//! the bytes: what hostile clients send is shown, too. What is long is cut, and
//! it is said how long it was.

mod bus;
mod update;
mod values;
mod words;

use std::fmt::Write;

use ysyncd_engine::{
    lib0::{ReadError, Reader},
    protocol::{Message, Messages},
    state_vector::StateVector,
};

use self::values::{clip, cut, printable};
pub use self::{
    update::{update, update_lines},
    words::{event, input, journal_command, journal_result, output, store_command, store_result},
};
use crate::story::ArrowKind;

/// One thing explained.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explained {
    /// In one line of at most [`Explained::TEXT_BYTES_MAX`] bytes.
    pub text: String,
    /// All of it, as far as somebody would read it; several lines.
    pub detail: String,
}

impl Explained {
    /// A text is cut after this many bytes.
    pub const TEXT_BYTES_MAX: usize = 200;
    /// A detail is cut after this many bytes.
    pub const DETAIL_BYTES_MAX: usize = 6_000;

    /// Takes a text and a detail, cutting what is too long.
    #[must_use]
    pub fn new(text: &str, detail: &str) -> Self {
        Self {
            text: clip(text, Self::TEXT_BYTES_MAX),
            detail: clip(detail, Self::DETAIL_BYTES_MAX),
        }
    }

    /// The same with words in front of the text.
    #[must_use]
    pub fn after(self, words: &str) -> Self {
        let detail = match self.detail.is_empty() {
            true => words.to_owned(),
            false => format!("{words}\n{}", self.detail),
        };
        Self::new(&format!("{words}{}", self.text), &detail)
    }
}

/// Says all in one line; what does not fit there is the detail.
impl<T: AsRef<str>> From<T> for Explained {
    fn from(text: T) -> Self {
        let text = text.as_ref();
        let is_short = text.len() <= Self::TEXT_BYTES_MAX && !text.contains('\n');
        Self {
            text: cut(&text.replace('\n', " "), Self::TEXT_BYTES_MAX),
            detail: match is_short {
                true => String::new(),
                false => cut(text, Self::DETAIL_BYTES_MAX),
            },
        }
    }
}

/// How much is told of one thing.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// Of a list, so many.
    things: usize,
    /// Of one text, so many bytes.
    bytes: usize,
}

/// For one line.
const SHORT: Extent = Extent {
    things: 4,
    bytes: 40,
};
/// For many.
const LONG: Extent = Extent {
    things: 60,
    bytes: 400,
};
/// So many bytes are shown in hex.
const HEX_BYTES_MAX: usize = 64;

/// What a y-websocket frame says, in one line.
#[must_use]
pub fn frame(bytes: &[u8]) -> String {
    clip(
        &messages(bytes, SHORT).join("; "),
        Explained::TEXT_BYTES_MAX,
    )
}

/// What a message of the bus says, to be drawn between nodes.
pub(crate) fn bus_message(message: &[u8]) -> Explained {
    bus::message(message)
}

/// What a y-websocket frame says, with its bytes.
#[must_use]
pub fn explained_frame(bytes: &[u8]) -> Explained {
    let mut lines = messages(bytes, LONG);
    lines.push(hex(bytes));
    Explained::new(&frame(bytes), &lines.join("\n"))
}

/// What kind of arrow a frame is, by its first message.
#[must_use]
pub fn kind(bytes: &[u8]) -> ArrowKind {
    match Messages::new(bytes).read_next() {
        Ok(Some(Message::SyncStep1(_) | Message::SyncStep2(_))) => ArrowKind::Sync,
        Ok(Some(Message::Update(_))) => ArrowKind::Update,
        Ok(Some(Message::Awareness(_) | Message::QueryAwareness)) => ArrowKind::Awareness,
        Ok(None) | Err(_) => ArrowKind::Frame,
    }
}

/// What each message of a frame says.
fn messages(bytes: &[u8], extent: Extent) -> Vec<String> {
    if let Some(reason) = permission_denied(bytes) {
        return vec![format!(
            "permission denied: {}",
            printable(&cut(reason, extent.bytes.max(120)))
        )];
    }
    let mut told = Vec::new();
    let mut messages = Messages::new(bytes);
    loop {
        if told.len() == extent.things && !messages.is_at_end() {
            told.push("…".to_owned());
            return told;
        }
        match messages.read_next() {
            Ok(Some(next)) => told.push(message(&next, extent)),
            Ok(None) => break,
            Err(error) => {
                told.push(malformed(error));
                return told;
            }
        }
    }
    if told.is_empty() {
        told.push(match bytes {
            [] => "an empty frame".to_owned(),
            _ => "SyncStep1 without a state vector".to_owned(),
        });
    }
    told
}

fn message(message: &Message<'_>, extent: Extent) -> String {
    let separator = if extent.things > SHORT.things {
        "\n  "
    } else {
        "; "
    };
    let tell = |name: &str, update| {
        let lines = update_lines(update, extent.things, extent.bytes);
        format!("{name}: {}", lines.join(separator))
    };
    match *message {
        Message::SyncStep1(known) => format!("SyncStep1 {}", state_vector_to(known, extent)),
        Message::SyncStep2(update) => tell("SyncStep2", update),
        Message::Update(update) => tell("Update", update),
        Message::Awareness(states) => {
            let lines = awareness_lines(states, extent);
            format!("Awareness: {}", lines.join(separator))
        }
        Message::QueryAwareness => "QueryAwareness".to_owned(),
    }
}

/// The reason of an auth message, which only servers send, alone in a frame.
fn permission_denied(bytes: &[u8]) -> Option<&str> {
    let mut reader = Reader::new(bytes);
    let is_denial = reader.var_uint() == Ok(2) && reader.var_uint() == Ok(0);
    let reason = reader.var_str().ok()?;
    (is_denial && reader.is_empty()).then_some(reason)
}

/// What a state vector says.
#[must_use]
pub fn state_vector(bytes: &[u8]) -> String {
    state_vector_to(bytes, SHORT)
}

fn state_vector_to(bytes: &[u8], extent: Extent) -> String {
    let vector = match StateVector::decode(bytes) {
        Ok(vector) => vector,
        Err(error) => return malformed(error),
    };
    let things = extent.things * 2;
    let mut entries: Vec<_> = vector
        .iter()
        .take(things)
        .map(|(client, clock)| format!("client {}: {clock}", client.0))
        .collect();
    let count = vector.iter().count();
    if count > things {
        entries.push(format!("… {} more", count - things));
    }
    format!("{{{}}}", entries.join(", "))
}

/// What an awareness message says.
#[must_use]
pub fn awareness(bytes: &[u8]) -> String {
    awareness_lines(bytes, SHORT).join("; ")
}

fn awareness_lines(bytes: &[u8], extent: Extent) -> Vec<String> {
    let mut told = Vec::new();
    let mut reader = Reader::new(bytes);
    if let Err(error) = read_awareness(&mut reader, &mut told, extent) {
        told.push(malformed(error));
    } else if told.is_empty() {
        told.push("nobody".to_owned());
    }
    told
}

fn read_awareness(
    reader: &mut Reader<'_>,
    told: &mut Vec<String>,
    extent: Extent,
) -> Result<(), ReadError> {
    let count = reader.var_uint()?;
    for at in 0..count {
        let (client, clock) = (reader.var_uint()?, reader.var_uint()?);
        let state = reader.var_str()?;
        if told.len() < extent.things {
            let state = match state {
                "null" => "gone".to_owned(),
                state => printable(&cut(state, extent.bytes)),
            };
            told.push(format!("client {client} at {clock} {state}"));
        } else if at + 1 == count {
            told.push(format!("… {} more", count - extent.things as u64));
        }
    }
    match reader.rest().len() {
        0 => Ok(()),
        more => {
            told.push(format!("malformed: {more} bytes too many"));
            Ok(())
        }
    }
}

/// Bytes in hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut out = match bytes.len() {
        1 => "1 byte:".to_owned(),
        count => format!("{count} bytes:"),
    };
    for byte in bytes.iter().take(HEX_BYTES_MAX) {
        write!(out, " {byte:02x}").expect("a string takes all");
    }
    if bytes.len() > HEX_BYTES_MAX {
        out.push_str(" …");
    }
    out
}

fn malformed(error: impl std::fmt::Display) -> String {
    let error = error.to_string();
    let error = error.strip_prefix("malformed message: ").unwrap_or(&error);
    format!("malformed: {error}")
}

#[cfg(test)]
mod tests;
