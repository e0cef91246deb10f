//! What happened in a run, where and when.

use std::{
    collections::VecDeque,
    fmt::{self, Display, Write},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use bytes::Bytes;

use super::narration;
use crate::trace::Recording;

/// How many events a failure shows.
const LAST: usize = 120;

/// Bytes of a line that a failure shows.
const LINE_BYTES_MAX: usize = 240;

/// Where something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Nowhere in particular: faults, and what is found out at the end.
    World,
    Node(usize),
    Client(usize),
    Hostile,
    Looker,
    Bucket,
    Journal(usize),
}

impl Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World => f.pad("world"),
            Self::Node(at) => f.pad(&format!("node{at}")),
            Self::Journal(at) => f.pad(&format!("disk{at}")),
            Self::Client(at) => f.pad(&format!("client{at}")),
            Self::Hostile => f.pad("hostile"),
            Self::Looker => f.pad("looker"),
            Self::Bucket => f.pad("bucket"),
        }
    }
}

/// The events of one run so far: hashed, and printed or remembered on demand.
#[derive(Debug)]
pub(super) struct Timeline {
    recording: Recording,
    last: VecDeque<Event>,
    hash: DefaultHasher,
}

#[derive(Debug)]
struct Event {
    at: Duration,
    lane: Lane,
    text: Text,
}

/// A line is made only if somebody wants to read it.
#[derive(Debug)]
enum Text {
    Note(String),
    Bytes(&'static str, Bytes),
}

impl Timeline {
    pub(super) fn new(recording: Recording) -> Self {
        Self {
            recording,
            last: VecDeque::new(),
            hash: DefaultHasher::new(),
        }
    }

    /// Notes an event.
    pub(super) fn note(&mut self, at: Duration, lane: Lane, text: impl Display) {
        (at, lane).hash(&mut self.hash);
        write!(Hashed(&mut self.hash), "{text}").expect("a hash takes all");
        // So that two texts are not taken for one.
        self.hash.write_u8(0xff);
        if self.recording == Recording::Nothing {
            return;
        }
        let note = text.to_string();
        narration::tell(|narration| narration.note(at, lane, &note));
        self.push(at, lane, Text::Note(note));
    }

    /// Notes bytes on a wire.
    pub(super) fn bytes(&mut self, at: Duration, lane: Lane, verb: &'static str, bytes: &[u8]) {
        (at, lane).hash(&mut self.hash);
        (verb, bytes).hash(&mut self.hash);
        if self.recording == Recording::Nothing {
            return;
        }
        self.push(at, lane, Text::Bytes(verb, Bytes::copy_from_slice(bytes)));
    }

    fn push(&mut self, at: Duration, lane: Lane, text: Text) {
        let event = Event { at, lane, text };
        if self.recording == Recording::Print {
            println!("{event}");
        }
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(event);
    }

    /// A number that differs if anything in the run did.
    pub(super) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// The last events, oldest first, cut short.
    pub(super) fn last(&self) -> Vec<String> {
        let short = |event: &Event| {
            let mut line = event.to_string();
            line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
            line
        };
        self.last.iter().map(short).collect()
    }
}

/// Hashes a text as it is written.
struct Hashed<'a>(&'a mut DefaultHasher);

impl Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lane) = (self.at.as_secs_f64(), self.lane);
        write!(f, "{at:>10.6} {lane:<8} {}", self.text)
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(note) => f.write_str(note),
            Self::Bytes(verb, bytes) => {
                write!(f, "{verb} {}: {}", bytes.len(), bytes.escape_ascii())
            }
        }
    }
}
