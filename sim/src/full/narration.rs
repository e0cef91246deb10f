//! Tells a run as a story, for it to be drawn: only if that is wanted, and on
//! the thread of the run.

mod journal;

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

pub(super) use self::journal::Narrated;
use super::{
    swarm::{Place, Swarm, Trouble},
    timeline::Lane,
    traffic::Traffic,
};
use crate::{
    oracle::Violation,
    story::{Heading, LaneId, LaneKind, MomentKind, ShadeId, Storyteller},
};

thread_local! {
    static NARRATION: RefCell<Option<Narration>> = const { RefCell::new(None) };
}

/// What becomes a story.
#[derive(Debug)]
pub(super) struct Narration {
    pub(super) teller: Storyteller,
    pub(super) traffic: Traffic,
    /// The time, as far as anybody has told.
    pub(super) now: Duration,
    cast: Vec<(Lane, LaneId)>,
    /// Troubles that last.
    troubles: Vec<(Trouble, ShadeId)>,
    /// When the disk of each node last did something.
    turns: BTreeMap<usize, Duration>,
    /// Nodes that do not run.
    down: Vec<(Lane, ShadeId)>,
}

/// Begins a story.
pub(super) fn begin(swarm: &Swarm) {
    NARRATION.set(Some(Narration::new(swarm)));
}

/// Goes on with the story, if one is told.
pub(super) fn tell(what: impl FnOnce(&mut Narration)) {
    NARRATION.with_borrow_mut(|narration| {
        if let Some(narration) = narration {
            narration.now = turmoil::sim_elapsed().unwrap_or(narration.now);
            what(narration);
        }
    });
}

/// Ends the story, if one was told.
pub(super) fn end(now: Duration, violation: Option<&Violation>) -> Option<Storyteller> {
    let Narration { mut teller, .. } = NARRATION.take()?;
    if let Some(Violation { invariant, detail }) = violation {
        teller.violated(now, None, invariant.to_string(), detail.clone());
    }
    Some(teller)
}

/// The lane of somebody, if a story is told.
pub(super) fn lane_of(lane: Lane) -> LaneId {
    let mut id = 0;
    tell(|narration| id = narration.lane(lane));
    id
}

impl Narration {
    fn new(swarm: &Swarm) -> Self {
        let teller = Storyteller::new(Heading::default());
        let mut narration = Self {
            teller,
            traffic: Traffic::default(),
            now: Duration::ZERO,
            cast: Vec::new(),
            troubles: Vec::new(),
            turns: BTreeMap::new(),
            down: Vec::new(),
        };
        for (at, visitor) in swarm.visitors.iter().enumerate() {
            narration.add(Lane::Client(at), format!("c{at} doc{}", visitor.doc));
        }
        if swarm.hostile.is_some() {
            narration.lane(Lane::Hostile);
        }
        for at in 0..swarm.nodes {
            narration.lane(Lane::Node(at));
            if swarm.engine.journal {
                narration.lane(Lane::Journal(at));
            }
        }
        narration.lane(Lane::Bucket);
        narration.lane(Lane::World);
        narration.shade_until(Duration::ZERO, swarm.storm, None, "storm");
        for split in swarm.twists.bus.iter().flat_map(|bus| &bus.splits) {
            let (node, time) = (narration.lane(Lane::Node(split.node)), &split.time);
            let until = time.end.min(swarm.storm);
            narration.shade_until(time.start, until, Some(node), "the bus tells it nothing");
        }
        let outages = [
            (&swarm.bucket.outage, "outage"),
            (&swarm.twists.mislaid, "there is no such bucket"),
        ];
        for (time, what) in outages {
            if let Some(time) = time {
                let (bucket, until) = (narration.lane(Lane::Bucket), time.end.min(swarm.storm));
                narration.shade_until(time.start, until, Some(bucket), what);
            }
        }
        narration
    }

    fn shade_until(&mut self, from: Duration, until: Duration, lane: Option<LaneId>, what: &str) {
        let shade = self.teller.shade(from, lane, what);
        self.teller.shade_ends(until, shade);
    }

    fn add(&mut self, lane: Lane, name: String) -> LaneId {
        let id = self.teller.lane(name, lane.kind());
        self.cast.push((lane, id));
        id
    }

    pub(super) fn lane(&mut self, lane: Lane) -> LaneId {
        match self.cast.iter().find(|(known, _)| *known == lane) {
            Some((_, id)) => *id,
            None => self.add(lane, lane.to_string()),
        }
    }

    /// Something is noted.
    pub(super) fn note(&mut self, now: Duration, lane: Lane, text: &str) {
        self.now = now;
        if lane == Lane::Bucket && text.ends_with(": Served") {
            // The arrows say so.
            return;
        }
        let id = self.lane(lane);
        self.teller.moment(now, id, kind_of(lane, text), text);
        if let Lane::Node(_) = lane {
            if text.starts_with("starts") {
                let ended = self.down.extract_if(.., |(down, _)| *down == lane);
                for (_, shade) in ended {
                    self.teller.shade_ends(now, shade);
                }
            } else if is_end(text) && self.down.iter().all(|(down, _)| *down != lane) {
                let shade = self.teller.shade(now, Some(id), "down");
                self.down.push((lane, shade));
            }
        }
    }

    /// Something begins to be wrong.
    pub(super) fn begins(&mut self, now: Duration, trouble: &Trouble) {
        self.now = now;
        let node = |place: &Place| match place {
            Place::Node(at) => Some(Lane::Node(*at)),
            Place::Homes(_) | Place::Bucket => None,
        };
        let lane = match trouble {
            Trouble::Hold { one, other, .. } | Trouble::Partition { one, other, .. } => {
                node(one).or(node(other))
            }
            Trouble::Disk { node, .. }
            | Trouble::DiskFull { node, .. }
            | Trouble::Unreadable { node, .. } => Some(Lane::Journal(*node)),
            Trouble::Clock { node, .. } => Some(Lane::Node(*node)),
            Trouble::BucketDown { .. } => Some(Lane::Bucket),
            // The nodes are shown as being down, and the rest is over at once.
            _ => return,
        };
        let lane = lane.map(|lane| self.lane(lane));
        let shade = self.teller.shade(now, lane, words(trouble));
        self.troubles.push((trouble.clone(), shade));
    }

    /// It is no longer wrong.
    pub(super) fn passes(&mut self, now: Duration, trouble: &Trouble) {
        self.now = now;
        let at = self.troubles.iter().position(|(other, _)| other == trouble);
        if let Some(at) = at {
            let (_, shade) = self.troubles.remove(at);
            self.teller.shade_ends(now, shade);
        }
    }
}

impl Lane {
    const fn kind(self) -> LaneKind {
        match self {
            Self::Node(_) => LaneKind::Node,
            Self::Journal(_) => LaneKind::Journal,
            Self::Client(_) | Self::Looker => LaneKind::Client,
            Self::Bucket => LaneKind::Store,
            Self::World | Self::Hostile => LaneKind::Other,
        }
    }
}

fn kind_of(lane: Lane, text: &str) -> MomentKind {
    let begins = |beginnings: &[&str]| beginnings.iter().any(|begin| text.starts_with(begin));
    match lane {
        Lane::Client(_) if begins(&["edits"]) => MomentKind::Edit,
        Lane::Client(_) if begins(&["connects"]) => MomentKind::Connect,
        Lane::Client(_) => MomentKind::Close,
        Lane::Node(_) if begins(&["starts"]) => MomentKind::Restart,
        Lane::Node(_) if is_end(text) => MomentKind::Crash,
        Lane::Node(_) => MomentKind::Event,
        _ => MomentKind::Note,
    }
}

/// What is wrong, in the few words that there is room for.
fn words(trouble: &Trouble) -> String {
    let others = |one: &Place, other: &Place| match (one, other) {
        (Place::Node(_), other) => other.name(),
        (other, _) => other.name(),
    };
    match trouble {
        Trouble::Kill { .. } | Trouble::Shutdown { .. } | Trouble::BucketDown { .. } => {
            "down".to_owned()
        }
        Trouble::Hold { one, other, .. } => format!("{} held up", others(one, other)),
        Trouble::Partition { one, other, .. } => format!("{} cut off", others(one, other)),
        Trouble::Disk { .. } => "fails".to_owned(),
        Trouble::SyncFails { .. } => "fails to sync".to_owned(),
        Trouble::Vanish { doc } => format!("doc{doc} is removed"),
        Trouble::Unreadable { .. } => "unreadable".to_owned(),
        Trouble::DiskFull { bytes, .. } => format!("{bytes} B free"),
        Trouble::Clock { ahead, .. } if *ahead < 0 => format!("{} s late", -ahead),
        Trouble::Clock { ahead, .. } => format!("{ahead} s ahead"),
    }
}

/// Whether a node says that its process is over.
fn is_end(text: &str) -> bool {
    ["is dead", "ends:", "gives up"]
        .iter()
        .any(|end| text.starts_with(end))
}
