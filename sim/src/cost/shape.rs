//! What a seed draws: a shape of input that can be built at any size.

use rand::{RngExt, rngs::ChaCha8Rng, seq::IndexedRandom};

use crate::swarm::{Purpose, stream};

/// What somebody tells an engine, and what comes after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// How many structs there are at the smaller size.
    pub(super) size: usize,
    pub(super) before: Option<Before>,
    pub(super) layout: Layout,
    pub(super) telling: Telling,
    pub(super) asking: Asking,
    /// Whether somebody else has the document open, and reads.
    pub(super) listener: Listener,
    pub(super) then: Vec<Then>,
    /// Whether there is a journal.
    pub(super) journal: bool,
    /// Whether another node has the document, too.
    pub(super) bus: bool,
    pub(super) presence: bool,
}

/// What the document holds before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) layout: Layout,
    pub(super) telling: Telling,
    /// How many times as large it is as what is told then.
    pub(super) times: usize,
}

/// Structs, and how updates tell them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) clients: Clients,
    pub(super) turns: Turns,
    pub(super) start: Start,
    pub(super) ids: Ids,
    /// Taken in turns.
    pub(super) contents: Vec<Content>,
    pub(super) origin: Neighbour,
    pub(super) right: Neighbour,
    pub(super) parent: Parent,
    pub(super) key: Key,
    pub(super) gaps: Gaps,
    pub(super) filler: Filler,
    pub(super) cut: Cut,
    pub(super) order: Order,
    pub(super) deletes: Deletes,
}

/// How many clients write, as a function of the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clients {
    Few(usize),
    Root,
    Quarter,
    Each,
}

/// Who writes which struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turns {
    /// One after the other.
    InTurns,
    /// First all of the first.
    InBlocks,
}

/// Where the clocks of each client begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    First,
    /// Far behind all others.
    Far,
}

/// What the numbers of clients look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    Small,
    Large,
    /// As large as they may be.
    Huge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Text(u32),
    Astral,
    Any(u32),
    Json(u32),
    Binary,
    Embed,
    Format,
    Type,
    Deleted(u32),
    Garbage(u32),
}

/// What stands beside a struct, as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Neighbour {
    Nothing,
    /// What its client wrote last.
    Own,
    /// The first of all.
    First,
    /// What was written last, by whom ever.
    Last,
    /// What comes next, of another client.
    Next,
    /// What stands at the other end of all.
    Mirrored,
    /// Anything before it.
    Scattered,
    /// Anything, also behind it.
    ScatteredAhead,
    /// An id that never comes.
    Unknown,
    /// One of many that never come.
    UnknownOfMany,
}

/// What holds a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    Root,
    /// A root for each.
    Roots,
    /// The first of all.
    First,
    /// What was written last.
    Last,
    /// What comes next, of another client.
    Next,
    Scattered,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    No,
    One,
    /// So many.
    Some(usize),
    Each,
}

/// Clocks that no struct has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gaps {
    No,
    /// The first of each client.
    First,
    /// So many at the largest size, nearly as many as may wait.
    Many(usize),
    /// In front of each struct.
    Each,
}

/// What the clocks get in the end that no struct had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filler {
    Nothing,
    /// It comes in the same update, first.
    Ahead,
    /// It comes in the same update, last.
    Behind,
    /// An update of its own.
    Later,
    /// An update for each.
    OneByOne,
    /// The same from the last to the first.
    OneByOneBack,
    /// One struct of garbage over all of a client.
    Whole,
}

/// How the structs of a client are split into sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Whole,
    Each,
    Every(usize),
    /// So many sections that interleave.
    Interleaved(usize),
    /// About as many sections as each has structs, all of which interleave.
    InterleavedRoot,
    /// Sections that overlap: each tells half of the next again.
    Overlapping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As it is written by Yjs.
    Canonical,
    Ascending,
    Descending,
    /// The first section of each client, then the second of each.
    Rotating,
    Scattered,
    /// From both ends to the middle.
    Inwards,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletes {
    No,
    All,
    Whole,
    EverySecond,
    Descending,
    Overlapping,
    Nested,
    /// The same one again and again.
    Same,
    Scattered,
    UnknownClients,
    UnknownClocks,
    UnknownDescending,
    /// Each range reaches from what is known into what is not.
    Across,
}

/// How it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    Once,
    Again,
    /// So many frames.
    Frames(usize),
    /// A frame each, unless there are very many.
    FrameEach,
    FrameEachBack,
    /// One frame of so many messages.
    Messages(usize),
    Halves,
    /// Again as garbage.
    AsGarbage,
    /// Again, cut and ordered in another way.
    OtherWords(Cut, Order),
    /// Ever more of it, from the start.
    Prefixes(usize),
    /// So many at a time, of these every second one first.
    EverySecondFirst(usize),
}

/// What is asked when all is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asking {
    pub(super) known: Known,
    pub(super) times: usize,
    pub(super) one_frame: bool,
}

/// What the one who asks knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    All,
    HalfOfClients,
    HalfOfClocks,
    UnknownClients,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    Nobody,
    Reads,
    /// It reads nothing until all is told.
    Stalls,
}

/// What comes in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It is saved, and told once more.
    Save,
    /// Another has written meanwhile.
    Conflict,
    /// It is loaded by another engine, and somebody joins.
    Load,
    /// What was told is replayed from the journal, with nothing stored.
    Replay,
}

impl Shape {
    pub(super) fn draw(seed: u64) -> Self {
        let rng = &mut stream(seed, Purpose::Shape);
        let layout = Layout::draw(rng);
        let before = rng.random_bool(0.5).then(|| Before::draw(rng, &layout));
        let thens = [Then::Save, Then::Conflict, Then::Load, Then::Replay];
        let is_much = before.as_ref().is_some_and(|before| before.times > 1);
        let most = if is_much { 1_500 } else { usize::MAX };
        Self {
            size: pick(rng, &[400, 1_500, 1_500, 4_000, 12_000]).min(most),
            before,
            layout,
            telling: match is_much && rng.random() {
                true => Telling::EverySecondFirst(1_800),
                false => Telling::draw(rng),
            },
            asking: Asking::draw(rng),
            listener: pick(rng, &[Listener::Nobody, Listener::Reads, Listener::Stalls]),
            then: thens.into_iter().filter(|_| rng.random_bool(0.5)).collect(),
            journal: rng.random(),
            bus: rng.random_bool(0.25),
            presence: rng.random_bool(0.1),
        }
    }
}

impl Before {
    fn draw(rng: &mut ChaCha8Rng, then: &Layout) -> Self {
        let layout = match rng.random_range(0..5) {
            0 => then.clone(),
            1 => Layout {
                gaps: pick(rng, &[Gaps::First, Gaps::Many(900)]),
                filler: Filler::Nothing,
                ..then.clone()
            },
            2 | 3 => return Self::behind(then),
            _ => Layout::draw(rng),
        };
        let tellings = [
            Telling::Once,
            Telling::Once,
            Telling::Frames(100),
            Telling::FrameEachBack,
            Telling::EverySecondFirst(1_800),
        ];
        Self {
            layout,
            telling: pick(rng, &tellings),
            times: 1,
        }
    }

    /// Much of the same clients, far behind what comes then.
    fn behind(then: &Layout) -> Self {
        Self {
            layout: Layout {
                start: Start::Far,
                gaps: Gaps::No,
                ..then.clone()
            },
            telling: Telling::EverySecondFirst(1_800),
            times: 8,
        }
    }
}

fn pick<T: Copy>(rng: &mut ChaCha8Rng, among: &[T]) -> T {
    *among.choose(rng).expect("there are some")
}

impl Layout {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        use Neighbour as N;
        let clients = [
            Clients::Few(1),
            Clients::Few(1),
            Clients::Few(2),
            Clients::Few(7),
            Clients::Root,
            Clients::Quarter,
            Clients::Each,
        ];
        let neighbours = [
            N::Own,
            N::First,
            N::Last,
            N::Next,
            N::Mirrored,
            N::Scattered,
            N::ScatteredAhead,
            N::Unknown,
            N::UnknownOfMany,
        ];
        let neighbour = |rng: &mut ChaCha8Rng, often: f64| match rng.random_bool(often) {
            true => pick(rng, &neighbours),
            false => N::Nothing,
        };
        let gaps = [Gaps::First, Gaps::Many(900), Gaps::Many(900), Gaps::Each];
        let fillers = [
            Filler::Nothing,
            Filler::Ahead,
            Filler::Behind,
            Filler::Later,
            Filler::OneByOne,
            Filler::OneByOneBack,
            Filler::Whole,
        ];
        let gaps = match rng.random_bool(0.5) {
            true => pick(rng, &gaps),
            false => Gaps::No,
        };
        // So many may not wait: what fills them is mostly there.
        let filler = match gaps == Gaps::Each && rng.random_bool(0.75) {
            true => pick(rng, &[Filler::Ahead, Filler::Behind]),
            false => pick(rng, &fillers),
        };
        Self {
            clients: pick(rng, &clients),
            turns: pick(rng, &[Turns::InTurns, Turns::InBlocks]),
            start: pick(rng, &[Start::First, Start::First, Start::First, Start::Far]),
            ids: pick(rng, &[Ids::Small, Ids::Large, Ids::Huge]),
            contents: Content::draw(rng),
            origin: neighbour(rng, 0.7),
            right: neighbour(rng, 0.4),
            parent: Parent::draw(rng),
            key: pick(rng, &[Key::No, Key::No, Key::One, Key::Some(30), Key::Each]),
            gaps,
            filler,
            cut: Cut::draw(rng),
            order: Order::draw(rng),
            deletes: Deletes::draw(rng),
        }
    }
}

impl Content {
    fn draw(rng: &mut ChaCha8Rng) -> Vec<Self> {
        let all = [
            Self::Text(1),
            Self::Text(1),
            Self::Text(3),
            Self::Text(200),
            Self::Astral,
            Self::Any(1),
            Self::Any(20),
            Self::Json(2),
            Self::Binary,
            Self::Embed,
            Self::Format,
            Self::Type,
            Self::Type,
            Self::Deleted(1),
            Self::Deleted(5),
            Self::Garbage(1),
            Self::Garbage(4),
        ];
        let count = pick(rng, &[1, 1, 2, 3]);
        (0..count).map(|_| pick(rng, &all)).collect()
    }
}

impl Parent {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let all = [
            Self::Root,
            Self::Root,
            Self::Roots,
            Self::First,
            Self::Last,
            Self::Next,
            Self::Scattered,
            Self::Unknown,
        ];
        pick(rng, &all)
    }
}

impl Cut {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let all = [
            Self::Whole,
            Self::Whole,
            Self::Each,
            Self::Every(2),
            Self::Every(16),
            Self::Interleaved(2),
            Self::Interleaved(3),
            Self::InterleavedRoot,
            Self::Overlapping,
        ];
        pick(rng, &all)
    }
}

impl Order {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let all = [
            Self::Canonical,
            Self::Ascending,
            Self::Descending,
            Self::Rotating,
            Self::Scattered,
            Self::Inwards,
        ];
        pick(rng, &all)
    }
}

impl Deletes {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let all = [
            Self::All,
            Self::Whole,
            Self::EverySecond,
            Self::Descending,
            Self::Overlapping,
            Self::Nested,
            Self::Same,
            Self::Scattered,
            Self::UnknownClients,
            Self::UnknownClocks,
            Self::UnknownDescending,
            Self::Across,
        ];
        match rng.random_bool(0.5) {
            true => pick(rng, &all),
            false => Self::No,
        }
    }
}

impl Telling {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..11) {
            0 | 1 => Self::Once,
            2 => Self::Again,
            3 => Self::Frames(pick(rng, &[2, 10, 100])),
            4 => Self::FrameEach,
            5 => Self::FrameEachBack,
            6 => Self::Messages(pick(rng, &[10, 100, 4_000])),
            7 => Self::Halves,
            8 => Self::AsGarbage,
            9 => Self::EverySecondFirst(pick(rng, &[100, 1_800])),
            _ => match rng.random() {
                true => Self::OtherWords(Cut::draw(rng), Order::draw(rng)),
                false => Self::Prefixes(pick(rng, &[3, 20])),
            },
        }
    }
}

impl Asking {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let known = [
            Known::Nothing,
            Known::All,
            Known::HalfOfClients,
            Known::HalfOfClocks,
            Known::UnknownClients,
        ];
        Self {
            known: pick(rng, &known),
            times: pick(rng, &[1, 1, 10, 50]),
            one_frame: rng.random(),
        }
    }
}
