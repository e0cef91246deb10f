//! What input costs: hostile shapes of it, at two sizes.
//!
//! Whoever sends much may have a server work much, but no more than in proportion: what
//! takes time with the square of a message stops a server for seconds by a megabyte.
//! Worlds do not see that, as their messages are small and simulated time does not pass
//! while an engine works. Here a seed draws a [`Shape`] of input, which is built at one
//! size and at eight times that, and told to engines as in production; what is judged
//! is the time of the processor that inputs take for what they have to do. Time is no
//! function of the seed: what fails is measured again, and only what fails each time
//! has failed.
//!
//! ```text
//! shape   what a seed draws
//! build   the shape at a size, as updates
//! wire    writes structs and messages
//! drive   engines with a store and a journal, and the time that each input takes
//! judge   what it may take
//! ```

mod build;
mod drive;
mod judge;
mod shape;
mod wire;

use std::{panic, time::Duration};

use bytes::Bytes;
use ysyncd_engine::{
    JournalRecord, Position,
    protocol::{Message, Messages},
};

pub use self::shape::Shape as CostShape;
use self::{
    build::Built,
    drive::{Account, Driven, JOINER, LISTENER, SPEAKER},
    shape::{Asking, Known, Listener, Shape, Then},
};
use crate::{hostile, oracle::Invariant, world::Outcome};

/// How many times larger than drawn it is built …
const SIZES: [usize; 2] = [1, 8];

/// … and once more if there seems to be something wrong.
const LARGEST: usize = 24;

/// How often it is measured before it has failed.
const TRIES: usize = 4;

/// How long it takes until a change is saved, and everything quiet.
const QUIET: Duration = Duration::from_secs(200);

/// What a seed draws.
#[must_use]
pub fn cost_shape(seed: u64) -> Shape {
    Shape::draw(seed)
}

/// Measures what a seed draws.
#[must_use]
pub fn cost(seed: u64) -> Outcome {
    let shape = Shape::draw(seed);
    let judged = panic::catch_unwind(|| judged(&shape));
    let (violation, last) = match judged {
        Ok((faults, lines)) => {
            let fault = faults.first().map(|fault| Invariant::Cost.violated(fault));
            (fault, lines)
        }
        Err(payload) => (Some(crate::panicked(&*payload)), Vec::new()),
    };
    Outcome {
        violation,
        end: Duration::ZERO,
        last,
        hash: 0,
        tapes: Vec::new(),
        story: None,
    }
}

/// What is wrong with it in the best of some tries, and what it took.
fn judged(shape: &Shape) -> (Vec<String>, Vec<String>) {
    let mut sizes: Vec<_> = SIZES.map(|times| measure(shape, times)).into();
    let mut faults = judge::faults(&sizes);
    for _ in 1..TRIES {
        if faults.is_empty() {
            break;
        }
        for (at, size) in sizes.iter_mut().enumerate() {
            let again = measure(shape, SIZES[at]);
            *size = judge::best(std::mem::take(size), &again);
        }
        faults = judge::faults(&sizes);
    }
    // A limit that the larger size reaches makes for a step, and what goes on growing for
    // none.
    if !faults.is_empty() {
        sizes.push(measure(shape, LARGEST));
        faults = judge::faults(&sizes);
    }
    let phases = sizes.last().expect("there are some").keys();
    let lines = phases.map(|phase| {
        let of_size = |size: &Account| {
            size.get(phase)
                .map_or_else(String::new, |one| judge::line(&one.0))
        };
        let lines: Vec<_> = sizes
            .iter()
            .map(|size| format!("{:<50}", of_size(size)))
            .collect();
        format!("{phase:<12} {}", lines.concat())
    });
    (faults, lines.collect())
}

/// Tells engines a shape at a size.
fn measure(shape: &Shape, times: usize) -> Account {
    let built = Built::new(&shape.layout, shape.size, times);
    let mut nodes = Nodes::new(shape);
    if let Some(before) = &shape.before {
        let built = Built::new(&before.layout, before.times * shape.size, times);
        let (told, _) = built.frames(before.telling);
        nodes.tell("before", &told);
    }
    let (told, fillers) = built.frames(shape.telling);
    nodes.open_listener(shape.listener);
    nodes.tell("told", &told);
    nodes.tell("told", &fillers);
    nodes.phase("caught up");
    nodes.one.reads_again();
    nodes.ask(shape.asking, &built);
    if shape.presence {
        nodes.tell("presence", &presence(times));
    }
    for then in &shape.then {
        nodes.then(*then, &built, &told);
    }
    nodes.account()
}

/// The one node that is told everything, and perhaps another.
struct Nodes {
    one: Driven,
    other: Option<Driven>,
    /// What the journal would hold of what was told, if nothing was saved.
    told: Vec<JournalRecord>,
    account: Account,
}

impl Nodes {
    fn new(shape: &Shape) -> Self {
        let node = |id| match shape.bus {
            true => Driven::new(shape.journal, Some(id)).on_bus(),
            false => Driven::new(shape.journal, None),
        };
        let mut nodes = Self {
            one: node(1),
            other: shape.bus.then(|| node(2)),
            told: Vec::new(),
            account: Account::new(),
        };
        nodes.one.open(SPEAKER);
        if let Some(other) = &mut nodes.other {
            other.open(SPEAKER);
        }
        nodes.carry();
        nodes
    }

    fn phase(&mut self, phase: &'static str) {
        self.one.phase = phase;
    }

    fn open_listener(&mut self, listener: Listener) {
        if listener == Listener::Nobody {
            return;
        }
        self.phase("joined");
        self.one.open(LISTENER);
        self.one.send(LISTENER, &wire::sync_step_1(&[]).into());
        self.one.stalled = (listener == Listener::Stalls).then_some(LISTENER);
    }

    fn tell(&mut self, phase: &'static str, frames: &[Vec<u8>]) {
        self.phase(phase);
        for frame in frames {
            self.note(frame);
            self.one.send(SPEAKER, &Bytes::from(frame.clone()));
            self.carry();
        }
    }

    /// Notes the updates of a frame as a journal would.
    fn note(&mut self, frame: &[u8]) {
        let mut messages = Messages::new(frame);
        while let Ok(Some(message)) = messages.read_next() {
            if let Message::Update(update) = message {
                let position = Position(self.told.len() as u64 + 1);
                let update = Bytes::copy_from_slice(update);
                self.told.push(JournalRecord { position, update });
            }
        }
    }

    /// Carries what nodes publish from one to the other.
    fn carry(&mut self) {
        let Some(other) = &mut self.other else {
            return;
        };
        let phase = std::mem::replace(&mut self.one.phase, "answered");
        other.phase = "other node";
        loop {
            let published = std::mem::take(&mut self.one.published);
            let answers = std::mem::take(&mut other.published);
            if published.is_empty() && answers.is_empty() {
                break;
            }
            published
                .into_iter()
                .for_each(|message| other.hear(message));
            answers
                .into_iter()
                .for_each(|message| self.one.hear(message));
        }
        self.one.phase = phase;
    }

    fn ask(&mut self, asking: Asking, built: &Built<'_>) {
        let clocks = built.clocks();
        let known: Vec<(u64, u32)> = match asking.known {
            Known::Nothing => Vec::new(),
            Known::All => clocks,
            Known::HalfOfClients => clocks.into_iter().step_by(2).collect(),
            Known::HalfOfClocks => {
                let half = clocks.into_iter().map(|(client, end)| (client, end / 2));
                half.collect()
            }
            Known::UnknownClients => clocks
                .into_iter()
                .map(|(client, end)| (client ^ (1 << 40), end))
                .collect(),
        };
        self.phase("joined");
        self.one.open(JOINER);
        self.phase("asked");
        let ask = wire::sync_step_1(&known);
        let (frame, times) = match asking.one_frame {
            true => (ask.repeat(asking.times), 1),
            false => (ask, asking.times),
        };
        let frame = Bytes::from(frame);
        for _ in 0..times {
            self.one.send(JOINER, &frame);
        }
        self.carry();
    }

    fn then(&mut self, then: Then, built: &Built<'_>, told: &[Vec<u8>]) {
        match then {
            Then::Save => self.save("saved"),
            Then::Conflict => {
                let mut writer = Driven::new(false, None);
                writer.open(SPEAKER);
                writer.send(SPEAKER, &built.end_in_order(built.count() / 2).into());
                writer.wait(QUIET);
                self.one.foreign = writer.stored.map(|stored| stored.body);
                // Something has to change.
                self.tell("told", &told[..1]);
                self.save("merged");
                return;
            }
            Then::Load => {
                self.save("saved");
                let mut again = Driven::new(self.one.records.len() > 1, None);
                again.stored = self.one.stored.clone();
                again.records = self.one.records.clone();
                self.come_up(again, "loaded");
                return;
            }
            Then::Replay => {
                let mut again = Driven::new(true, None);
                again.records = self.told.clone();
                self.come_up(again, "replayed");
                return;
            }
        }
        self.tell("again", told);
    }

    fn save(&mut self, phase: &'static str) {
        self.phase(phase);
        self.one.wait(QUIET);
        self.carry();
    }

    /// An engine starts with what is stored, and somebody asks for all.
    fn come_up(&mut self, mut again: Driven, phase: &'static str) {
        again.phase = phase;
        again.open(SPEAKER);
        again.send(SPEAKER, &wire::sync_step_1(&[]).into());
        again.wait(QUIET);
        add(&mut self.account, again.account);
    }

    fn account(mut self) -> Account {
        let other = self.other.map(|other| other.account).unwrap_or_default();
        add(&mut self.account, self.one.account);
        add(&mut self.account, other);
        self.account
    }
}

fn add(to: &mut Account, more: Account) {
    for (phase, (all, worst)) in more {
        let (to_all, to_worst) = to.entry(phase).or_default();
        to_all.time += all.time;
        to_all.bytes += all.bytes;
        to_all.document = to_all.document.max(all.document);
        if to_worst.excess() < worst.excess() {
            *to_worst = worst;
        }
    }
}

/// Awareness of ever other clients, which each may have as many of as it likes.
fn presence(times: usize) -> Vec<Vec<u8>> {
    let states: Vec<_> = (0..50 * times as u64)
        .map(|client| (client, "{}"))
        .collect();
    vec![hostile::awareness(&states); 20 * times]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ysyncd_engine::update::Update;

    use super::*;

    /// The updates of a seed's shape, at a small size.
    fn updates(seed: u64) -> Vec<Bytes> {
        let shape = Shape::draw(seed);
        let built = Built::new(&shape.layout, 100, 8);
        let (told, fillers) = built.frames(shape.telling);
        let mut nodes = Nodes::new(&shape);
        nodes.tell("told", &told);
        nodes.tell("told", &fillers);
        nodes.told.into_iter().map(|record| record.update).collect()
    }

    #[test]
    fn the_grammar_takes_what_is_built() {
        for seed in 0..300 {
            let updates = updates(seed);
            assert!(!updates.is_empty(), "{seed}");
            for update in updates {
                let decoded = Update::decode(&update);
                assert!(decoded.is_ok(), "{seed}: {:?}", decoded.err());
            }
        }
    }

    #[test]
    fn a_seed_is_a_shape() {
        let shapes: BTreeSet<_> = (0..100)
            .map(|seed| format!("{:?}", Shape::draw(seed)))
            .collect();
        assert_eq!(shapes.len(), 100);
        assert_eq!(updates(7), updates(7));
    }
}
