//! What happened in a run: hashed all along, and remembered or written out on
//! demand.

use std::{
    collections::VecDeque,
    fmt::{self, Display, Write},
    hash,
    time::Duration,
};

use ysyncd_engine::{Input, Output};

use crate::explain;

/// How many events a failure shows.
const LAST: usize = 80;

/// A line of a trace is cut after this many bytes.
const LINE_BYTES_MAX: usize = 240;

/// What becomes of the events of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// None is kept. That is quickest, and whoever wants to know what came before a
    /// failure runs the seed again.
    Nothing,
    /// The last ones are remembered.
    Last,
    /// All are printed as they happen.
    Print,
    /// What engines are told is recorded, and replayed in the end.
    Tapes,
    /// All is told as a story, to be drawn.
    Story,
}

/// The events of one run so far.
#[derive(Debug)]
pub(crate) struct Trace {
    recording: Recording,
    last: VecDeque<(Duration, Happened)>,
    hash: Hash,
}

/// An event. It is made a line of only if somebody wants to read it: that
/// would take longer than all the rest.
#[derive(Debug)]
enum Happened {
    Input(usize, Input),
    Output(usize, Output),
    Note(String),
}

impl Trace {
    pub(crate) fn new(recording: Recording) -> Self {
        Self {
            recording,
            last: VecDeque::new(),
            hash: Hash::default(),
        }
    }

    /// Whether somebody looks at all of it.
    pub(crate) fn is_printed(&self) -> bool {
        self.recording == Recording::Print
    }

    /// Notes what the engine of a node is told.
    pub(crate) fn input(&mut self, now: Duration, node: usize, input: &Input) {
        self.hash.of((node, input));
        self.push(now, || Happened::Input(node, input.clone()));
    }

    /// Notes what the engine of a node says.
    pub(crate) fn output(&mut self, now: Duration, node: usize, output: &Output) {
        self.hash.of((node, output));
        self.push(now, || Happened::Output(node, output.clone()));
    }

    /// Notes anything else.
    pub(crate) fn note(&mut self, now: Duration, event: impl Display) {
        self.hash.text(format_args!("{event}"));
        self.push(now, || Happened::Note(event.to_string()));
    }

    /// Keeps an event for those who may want to read it, if there is anybody.
    fn push(&mut self, now: Duration, event: impl FnOnce() -> Happened) {
        self.hash.number(now.as_secs());
        self.hash.number(u64::from(now.subsec_nanos()));
        if self.recording == Recording::Nothing {
            return;
        }
        let event = event();
        if self.recording == Recording::Print {
            // The hash tells of what the line leaves out.
            println!("{} #{:016x}", line(now, &event), self.hash.value());
        }
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back((now, event));
    }

    /// A number that differs if anything in the run did.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// The last events, oldest first, cut short.
    pub(crate) fn last(&self) -> Vec<String> {
        let short = |(now, event): &(Duration, Happened)| {
            let mut line = line(*now, event);
            line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
            line
        };
        self.last.iter().map(short).collect()
    }
}

fn line(now: Duration, event: &Happened) -> String {
    let now = now.as_secs_f64();
    match event {
        Happened::Input(node, input) => {
            format!("{now:>10.6} {node} > {}", explain::input(input).text)
        }
        Happened::Output(node, output) => {
            format!("{now:>10.6} {node} < {}", explain::output(output).text)
        }
        Happened::Note(note) => format!("{now:>10.6}     {note}"),
    }
}

/// Multiplies and shifts: it need not resist anybody, only differ.
#[derive(Debug, Clone)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) const fn value(&self) -> u64 {
        self.0
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            // Its length is in a byte that none of them reaches.
            word[7] = rest.len().to_le_bytes()[0];
            self.number(u64::from_le_bytes(word));
        }
    }

    pub(crate) const fn number(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    pub(crate) fn of(&mut self, value: impl hash::Hash) {
        value.hash(self);
    }

    pub(crate) fn text(&mut self, text: fmt::Arguments<'_>) {
        self.write_fmt(text).expect("a hash takes all");
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

impl hash::Hasher for Hash {
    fn finish(&self) -> u64 {
        self.value()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
    }

    fn write_u8(&mut self, number: u8) {
        self.number(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.number(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.number(number);
    }

    /// Lengths, and which of its variants an enum is.
    fn write_usize(&mut self, number: usize) {
        self.number(number as u64);
    }
}
