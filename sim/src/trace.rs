//! What happened in a run: hashed all along, the last events remembered, and
//! written out on demand.

use std::{
    collections::VecDeque,
    fmt::{Display, Write},
    time::Duration,
};

/// How many events a failure shows.
const LAST: usize = 80;

/// A line of a trace is cut after this many bytes.
const LINE_BYTES_MAX: usize = 240;

/// What becomes of the events of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// The last ones are remembered.
    Last,
    /// All are printed as they happen.
    Print,
}

/// The events of one run so far.
#[derive(Debug)]
pub(crate) struct Trace {
    recording: Recording,
    last: VecDeque<String>,
    hash: u64,
    line: String,
}

impl Trace {
    pub(crate) const fn new(recording: Recording) -> Self {
        Self {
            recording,
            last: VecDeque::new(),
            hash: 0xcbf2_9ce4_8422_2325,
            line: String::new(),
        }
    }

    /// Notes an event. The whole of it counts for the hash; what is shown is
    /// cut short.
    pub(crate) fn note(&mut self, now: Duration, event: impl Display) {
        self.line.clear();
        write!(self.line, "{:>10.6} {event}", now.as_secs_f64()).expect("strings take all");
        for byte in self.line.bytes() {
            // FNV-1a: it need not resist anybody, only differ.
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.recording == Recording::Print {
            println!("{}", self.line);
        }
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        let cut = self.line.floor_char_boundary(LINE_BYTES_MAX);
        self.last.push_back(self.line[..cut].to_owned());
    }

    /// A number that differs if anything in the run did.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// The last events, oldest first.
    pub(crate) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}
