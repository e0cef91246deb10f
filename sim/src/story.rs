//! What a run is told as: lanes, and what happened in and between them. Made
//! as things happen, then drawn (see `page`).

use std::time::Duration;

use serde::Serialize;

use crate::explain::{self, Explained};

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    /// What it is a run of.
    pub heading: Heading,
    /// Who takes part, in the order in which they are drawn.
    pub lanes: Vec<Lane>,
    /// What happened at one place.
    pub moments: Vec<Moment>,
    /// What went from one place to another.
    pub arrows: Vec<Arrow>,
    /// When and where something was wrong.
    pub shades: Vec<Shade>,
    /// What did not hold, if anything.
    pub violation: Option<Verdict>,
    /// When it begins, in nanoseconds: later than 0 if the beginning was left
    /// out.
    pub start: u64,
    /// When it ends.
    pub end: u64,
    /// How many moments and arrows were left out.
    pub left_out: usize,
}

/// What a story is about, for people.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Heading {
    /// In one line.
    pub title: String,
    /// The seed. A text, as a page could not hold all of its digits otherwise.
    pub seed: String,
    /// Which simulation: engine or full.
    pub layer: String,
    /// Of the code that ran.
    pub commit: String,
    /// Runs it again.
    pub command: String,
    /// What the seed drew; several lines.
    pub configuration: String,
}

/// The number of a lane.
pub type LaneId = usize;

/// Who takes part.
#[derive(Debug, Clone, Serialize)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: LaneKind,
}

/// What a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum LaneKind {
    Client,
    Node,
    Journal,
    Store,
    Network,
    Other,
}

/// Something that happened at one place.
#[derive(Debug, Clone, Serialize)]
pub struct Moment {
    /// When, in nanoseconds.
    pub at: u64,
    /// Its place among all that is told, for what happens at one time.
    pub order: u64,
    /// Where.
    pub lane: LaneId,
    /// What.
    pub kind: MomentKind,
    /// In a few words.
    pub text: String,
    /// All of it; several lines.
    pub detail: String,
}

/// What a moment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum MomentKind {
    Edit,
    Connect,
    Close,
    Tick,
    Crash,
    Restart,
    Event,
    Note,
}

/// Something that went from one place to another.
#[derive(Debug, Clone, Serialize)]
pub struct Arrow {
    /// From where.
    pub from: LaneId,
    /// When, in nanoseconds.
    pub left: u64,
    /// Its place among all that is told.
    pub order: u64,
    /// To where.
    pub to: LaneId,
    /// What became of it.
    pub end: ArrowEnd,
    /// What it is.
    pub kind: ArrowKind,
    /// The document it is about, if it is about one.
    pub document: String,
    /// In a few words.
    pub text: String,
    /// All of it; several lines.
    pub detail: String,
    /// Whether it tells of a failure.
    pub failed: bool,
}

/// What became of an arrow. Times in nanoseconds; `order` as with moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum ArrowEnd {
    Arrived {
        at: u64,
        order: u64,
    },
    Lost {
        at: u64,
        order: u64,
    },
    /// It was still on its way when the story ended.
    UnderWay,
}

/// What an arrow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum ArrowKind {
    Open,
    Accept,
    Refuse,
    Close,
    /// A state vector, or what is missing by one.
    Sync,
    Update,
    Awareness,
    /// A frame that is none of these, or not understood.
    Frame,
    Load,
    Save,
    StoreAnswer,
    JournalCommand,
    JournalAnswer,
    /// Between nodes.
    Bus,
}

/// A time during which something is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Shade {
    /// Where; `None`: everywhere.
    pub lane: Option<LaneId>,
    /// From when, in nanoseconds.
    pub from: u64,
    /// Until when.
    pub until: u64,
    /// What is wrong.
    pub text: String,
}

/// What did not hold.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// When, in nanoseconds.
    pub at: u64,
    /// Its place among all that is told.
    pub order: u64,
    /// Where, if at one place.
    pub lane: Option<LaneId>,
    /// Which invariant, with its number.
    pub invariant: String,
    /// How; maybe several lines.
    pub detail: String,
}

/// An arrow that has left: whoever knows what becomes of it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct ArrowId(usize);

/// A shade that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct ShadeId(usize);

/// Takes down what happens, in the order in which it does.
#[derive(Debug)]
pub struct Storyteller {
    story: Story,
    told: u64,
}

impl Storyteller {
    /// Begins a story without anybody in it.
    #[must_use]
    pub const fn new(heading: Heading) -> Self {
        let story = Story {
            heading,
            lanes: Vec::new(),
            moments: Vec::new(),
            arrows: Vec::new(),
            shades: Vec::new(),
            violation: None,
            start: 0,
            end: 0,
            left_out: 0,
        };
        Self { story, told: 0 }
    }

    /// Adds somebody, to the right of all so far.
    pub fn lane(&mut self, name: impl Into<String>, kind: LaneKind) -> LaneId {
        let name = name.into();
        self.story.lanes.push(Lane { name, kind });
        self.story.lanes.len() - 1
    }

    /// Something happens at one place.
    pub fn moment(
        &mut self,
        now: Duration,
        lane: LaneId,
        kind: MomentKind,
        what: impl Into<Explained>,
    ) {
        let (at, order) = self.next(now);
        let Explained { text, detail } = what.into();
        self.story.moments.push(Moment {
            at,
            order,
            lane,
            kind,
            text,
            detail,
        });
    }

    /// Something leaves for another place.
    pub fn leaves(
        &mut self,
        now: Duration,
        (from, to): (LaneId, LaneId),
        kind: ArrowKind,
        what: impl Into<Explained>,
    ) -> ArrowId {
        let (left, order) = self.next(now);
        let Explained { text, detail } = what.into();
        self.story.arrows.push(Arrow {
            from,
            left,
            order,
            to,
            end: ArrowEnd::UnderWay,
            kind,
            document: String::new(),
            text,
            detail,
            failed: false,
        });
        ArrowId(self.story.arrows.len() - 1)
    }

    /// A frame leaves for another place.
    pub fn frame_leaves(
        &mut self,
        now: Duration,
        way: (LaneId, LaneId),
        document: &str,
        frame: &[u8],
    ) -> ArrowId {
        let kind = explain::kind(frame);
        let id = self.leaves(now, way, kind, explain::explained_frame(frame));
        self.about(id, document);
        id
    }

    /// An arrow is about a document.
    pub fn about(&mut self, ArrowId(id): ArrowId, document: &str) {
        document.clone_into(&mut self.story.arrows[id].document);
    }

    /// An arrow tells of a failure.
    pub fn failed(&mut self, ArrowId(id): ArrowId) {
        self.story.arrows[id].failed = true;
    }

    /// What left has arrived. Not before it left: where each host goes a step
    /// of time at its turn, the reader's clock may be a little behind.
    pub fn arrives(&mut self, now: Duration, ArrowId(id): ArrowId) {
        let (at, order) = self.next(now);
        let arrow = &mut self.story.arrows[id];
        let at = at.max(arrow.left);
        arrow.end = ArrowEnd::Arrived { at, order };
    }

    /// What left never arrives.
    pub fn is_lost(&mut self, now: Duration, ArrowId(id): ArrowId) {
        let (at, order) = self.next(now);
        let arrow = &mut self.story.arrows[id];
        let at = at.max(arrow.left);
        arrow.end = ArrowEnd::Lost { at, order };
    }

    /// From now on something is wrong, there or everywhere, until it is told
    /// that it ends.
    pub fn shade(
        &mut self,
        now: Duration,
        lane: Option<LaneId>,
        text: impl Into<String>,
    ) -> ShadeId {
        let from = nanos(now);
        self.story.shades.push(Shade {
            lane,
            from,
            until: u64::MAX,
            text: text.into(),
        });
        ShadeId(self.story.shades.len() - 1)
    }

    /// From now on it is no longer wrong.
    pub fn shade_ends(&mut self, now: Duration, ShadeId(id): ShadeId) {
        self.story.shades[id].until = nanos(now);
    }

    /// Something does not hold.
    pub fn violated(
        &mut self,
        now: Duration,
        lane: Option<LaneId>,
        invariant: impl Into<String>,
        detail: impl Into<String>,
    ) {
        let (at, order) = self.next(now);
        self.story.violation = Some(Verdict {
            at,
            order,
            lane,
            invariant: invariant.into(),
            detail: detail.into(),
        });
    }

    /// Ends the story. What is wrong still is so until now.
    #[must_use]
    pub fn finish(mut self, now: Duration) -> Story {
        let end = nanos(now);
        self.story.end = end.max(
            self.story
                .violation
                .as_ref()
                .map_or(0, |verdict| verdict.at),
        );
        for shade in &mut self.story.shades {
            shade.until = shade.until.min(self.story.end);
        }
        self.story
    }

    const fn next(&mut self, now: Duration) -> (u64, u64) {
        self.told += 1;
        (nanos(now), self.told)
    }
}

impl Story {
    /// Leaves out what was over longer than this before the violation, or the
    /// end, so that a long run makes a page that can be sent to somebody.
    pub fn keep_last(&mut self, last: Duration) {
        let violated = self.violation.as_ref().map(|verdict| verdict.at);
        let until = violated.unwrap_or(self.end);
        self.keep(Duration::from_nanos(until).saturating_sub(last)..Duration::MAX);
    }

    /// Leaves out what was over before the window, or came after it.
    pub fn keep(&mut self, window: std::ops::Range<Duration>) {
        let (from, until) = (nanos(window.start), nanos(window.end));
        let before = self.moments.len() + self.arrows.len();
        self.moments
            .retain(|moment| from <= moment.at && moment.at <= until);
        self.arrows.retain(|arrow| {
            let over = match arrow.end {
                ArrowEnd::Arrived { at, .. } | ArrowEnd::Lost { at, .. } => at,
                ArrowEnd::UnderWay => u64::MAX,
            };
            from <= over && arrow.left <= until
        });
        self.shades
            .retain(|shade| from <= shade.until && shade.from <= until);
        self.start = self.start.max(from);
        self.end = self.end.min(until).max(self.start);
        self.left_out += before - self.moments.len() - self.arrows.len();
    }
}

/// Simulated time fits: 2^64 nanoseconds are 584 years.
#[allow(clippy::cast_possible_truncation, reason = "cut to what fits before")]
const fn nanos(time: Duration) -> u64 {
    let nanos = time.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    }
}
