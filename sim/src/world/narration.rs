//! Tells a run as a story, for it to be drawn.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use ysyncd_engine::{
    ConnId, DocId, JournalCommand, JournalResult, OpId, StoreCommand, StoreResult,
};

use super::{Place, network::Down, node::Life};
use crate::{
    explain::{self, Explained},
    oracle::Violation,
    story::{ArrowId, ArrowKind, Heading, LaneId, LaneKind, MomentKind, Storyteller},
    swarm::{BusIncident, Happening, Swarm},
};

/// What becomes a story.
#[derive(Debug)]
pub(super) struct Narration {
    teller: Storyteller,
    clients: Vec<LaneId>,
    intruders: LaneId,
    nodes: Vec<LaneId>,
    journals: Vec<LaneId>,
    store: LaneId,
    /// What is on its way on each connection, to the server and from it.
    up: BTreeMap<ConnId, VecDeque<ArrowId>>,
    down: BTreeMap<ConnId, VecDeque<ArrowId>>,
    /// What was asked, or answered, of the store and of journals.
    asked: BTreeMap<(Life, OpId), ArrowId>,
    /// What lasts, until then.
    shades: Vec<(Duration, crate::story::ShadeId)>,
    /// Whose connections, to which node, about which document.
    ways: BTreeMap<ConnId, Way>,
}

#[derive(Debug)]
struct Way {
    client: LaneId,
    node: LaneId,
    doc: DocId,
}

impl Narration {
    pub(super) fn new(swarm: &Swarm) -> Self {
        let mut teller = Storyteller::new(Heading::default());
        let clients = swarm.clients.iter().enumerate();
        let clients = clients
            .map(|(at, visitor)| teller.lane(format!("c{at} doc{}", visitor.doc), LaneKind::Client))
            .collect();
        let nodes: Vec<_> = (0..swarm.nodes)
            .map(|at| teller.lane(format!("node {at}"), LaneKind::Node))
            .collect();
        let journals = (0..swarm.nodes)
            .map(|at| teller.lane(format!("journal {at}"), LaneKind::Journal))
            .collect();
        let store = teller.lane("store", LaneKind::Store);
        let intruders = teller.lane("others", LaneKind::Other);
        let storm = teller.shade(Duration::ZERO, None, "storm");
        teller.shade_ends(swarm.storm, storm);
        Self {
            teller,
            clients,
            intruders,
            nodes,
            journals,
            store,
            up: BTreeMap::new(),
            down: BTreeMap::new(),
            asked: BTreeMap::new(),
            shades: Vec::new(),
            ways: BTreeMap::new(),
        }
    }

    /// Ends the story.
    pub(super) fn finish(mut self, now: Duration, violation: Option<&Violation>) -> Storyteller {
        for (until, shade) in std::mem::take(&mut self.shades) {
            self.teller.shade_ends(until.min(now), shade);
        }
        if let Some(violation) = violation {
            let invariant = violation.invariant.to_string();
            self.teller
                .violated(now, None, invariant, violation.detail.clone());
        }
        self.teller
    }

    fn lane(&mut self, place: Place) -> LaneId {
        match place {
            Place::Client(at) => {
                while self.clients.len() <= at {
                    let name = format!("c{} (new)", self.clients.len());
                    self.clients.push(self.teller.lane(name, LaneKind::Client));
                }
                self.clients[at]
            }
            Place::Node(at) => self.nodes[at],
            Place::Store => self.store,
            Place::Elsewhere => self.intruders,
        }
    }

    pub(super) fn note(&mut self, now: Duration, place: Place, text: &str) {
        let kind = match place {
            Place::Client(_) if text.contains("edits") => MomentKind::Edit,
            Place::Client(_) if text.contains("connects") => MomentKind::Connect,
            Place::Client(_) => MomentKind::Close,
            Place::Node(_) if text.contains("ends") => MomentKind::Crash,
            _ => MomentKind::Note,
        };
        let lane = self.lane(place);
        self.teller.moment(now, lane, kind, text);
    }

    pub(super) fn event(&mut self, now: Duration, node: usize, event: &ysyncd_engine::Event) {
        let lane = self.nodes[node];
        let what = explain::event(event);
        self.teller.moment(now, lane, MomentKind::Event, what);
    }

    pub(super) fn befalls(&mut self, now: Duration, what: &Happening) {
        let (node, lasts) = match what {
            Happening::Freeze { node, lasts }
            | Happening::Hold { node, lasts }
            | Happening::CutOff { node, lasts } => (Some(*node), *lasts),
            Happening::Outage { lasts } => (None, *lasts),
            _ => return,
        };
        let lane = node.map_or(self.store, |node| self.nodes[node]);
        let shade = self.teller.shade(now, Some(lane), format!("{what:?}"));
        self.shades.push((now + lasts, shade));
    }

    /// A client asks to be let in.
    pub(super) fn connects(
        &mut self,
        now: Duration,
        conn: ConnId,
        client: Place,
        node: usize,
        doc: DocId,
    ) {
        let (client, node) = (self.lane(client), self.nodes[node]);
        let text = format!("open {doc} as {}", conn.0);
        self.ways.insert(conn, Way { client, node, doc });
        self.rises(now, conn, ArrowKind::Open, text);
    }

    /// A client sends a frame.
    pub(super) fn sends(&mut self, now: Duration, conn: ConnId, frame: &[u8]) {
        let (kind, what) = (explain::kind(frame), explain::explained_frame(frame));
        self.rises(now, conn, kind, what);
    }

    fn rises(&mut self, now: Duration, conn: ConnId, kind: ArrowKind, what: impl Into<Explained>) {
        let Some(way) = self.ways.get(&conn) else {
            return;
        };
        let arrow = self.teller.leaves(now, (way.client, way.node), kind, what);
        self.teller.about(arrow, way.doc.as_str());
        self.up.entry(conn).or_default().push_back(arrow);
    }

    /// What a client sent arrives, or does not.
    pub(super) fn arrives(&mut self, now: Duration, conn: ConnId, is_lost: bool) {
        let arrow = self.up.get_mut(&conn).and_then(VecDeque::pop_front);
        self.settle(now, arrow, is_lost);
    }

    /// A server says something.
    pub(super) fn says(&mut self, now: Duration, conn: ConnId, down: &Down) {
        let Some(way) = self.ways.get(&conn) else {
            return;
        };
        let (kind, what) = match down {
            Down::Accepted => (ArrowKind::Accept, Explained::from("accept")),
            Down::Closed => (ArrowKind::Close, Explained::from("close, or refuse")),
            Down::Frame(frame) => (explain::kind(frame), explain::explained_frame(frame)),
        };
        let arrow = self.teller.leaves(now, (way.node, way.client), kind, what);
        self.teller.about(arrow, way.doc.as_str());
        self.down.entry(conn).or_default().push_back(arrow);
    }

    /// What a server said arrives, or does not.
    pub(super) fn is_heard(&mut self, now: Duration, conn: ConnId, is_lost: bool) {
        let arrow = self.down.get_mut(&conn).and_then(VecDeque::pop_front);
        self.settle(now, arrow, is_lost);
    }

    fn settle(&mut self, now: Duration, arrow: Option<ArrowId>, is_lost: bool) {
        match arrow {
            Some(arrow) if is_lost => self.teller.is_lost(now, arrow),
            Some(arrow) => self.teller.arrives(now, arrow),
            None => {}
        }
    }

    /// Something leaves a node for another by the bus, or comes to it from nobody.
    pub(super) fn bus_carries(
        &mut self,
        now: Duration,
        (from, to): (Option<usize>, usize),
        doc: &DocId,
        message: &[u8],
    ) -> Option<ArrowId> {
        if from == Some(to) {
            // What it has said itself comes back.
            return None;
        }
        let from = from.map_or(self.intruders, |from| self.nodes[from]);
        let what = explain::bus_message(message);
        let way = (from, self.nodes[to]);
        let arrow = self.teller.leaves(now, way, ArrowKind::Bus, what);
        self.teller.about(arrow, doc.as_str());
        Some(arrow)
    }

    /// What a node was told by the bus arrives, or does not.
    pub(super) fn bus_tells(&mut self, now: Duration, arrow: Option<ArrowId>, is_lost: bool) {
        self.settle(now, arrow, is_lost);
    }

    /// A node is without the bus for some time.
    pub(super) fn lacks_bus(&mut self, now: Duration, incident: &BusIncident) {
        let what = match incident.is_noticed {
            true => "the bus is down",
            false => "the bus tells it nothing",
        };
        let lane = self.nodes[incident.node];
        let shade = self.teller.shade(now, Some(lane), what);
        self.shades.push((now + incident.lasts, shade));
    }

    /// A node asks the store.
    pub(super) fn asks_store(
        &mut self,
        now: Duration,
        life: Life,
        op: OpId,
        command: &StoreCommand,
    ) {
        let (kind, doc) = match command {
            StoreCommand::Load { doc } => (ArrowKind::Load, doc),
            StoreCommand::Save { doc, .. } => (ArrowKind::Save, doc),
        };
        let way = (self.nodes[life.node], self.store);
        let what = explain::store_command(command);
        let arrow = self.teller.leaves(now, way, kind, what);
        self.teller.about(arrow, doc.as_str());
        self.asked.insert((life, op), arrow);
    }

    /// The store does it, and answers.
    pub(super) fn store_does(&mut self, now: Duration, life: Life, op: OpId, result: &StoreResult) {
        let arrow = self.asked.remove(&(life, op));
        self.settle(now, arrow, false);
        let way = (self.store, self.nodes[life.node]);
        let what = explain::store_result(result);
        let arrow = self.teller.leaves(now, way, ArrowKind::StoreAnswer, what);
        let is_ok = matches!(
            result,
            StoreResult::Loaded(Ok(_)) | StoreResult::Saved(Ok(_))
        );
        if !is_ok {
            self.teller.failed(arrow);
        }
        self.asked.insert((life, op), arrow);
    }

    /// A node asks its journal.
    pub(super) fn asks_journal(
        &mut self,
        now: Duration,
        life: Life,
        op: OpId,
        command: &JournalCommand,
    ) {
        let way = (self.nodes[life.node], self.journals[life.node]);
        let what = explain::journal_command(command);
        let arrow = self
            .teller
            .leaves(now, way, ArrowKind::JournalCommand, what);
        self.asked.insert((life, op), arrow);
    }

    /// The journal does it, and answers.
    pub(super) fn journal_does(
        &mut self,
        now: Duration,
        life: Life,
        op: OpId,
        result: &JournalResult,
    ) {
        let arrow = self.asked.remove(&(life, op));
        self.settle(now, arrow, false);
        let way = (self.journals[life.node], self.nodes[life.node]);
        let what = explain::journal_result(result);
        let arrow = self.teller.leaves(now, way, ArrowKind::JournalAnswer, what);
        if matches!(
            result,
            JournalResult::Appended(Err(_))
                | JournalResult::Trimmed(Err(_))
                | JournalResult::Read(Err(_))
                | JournalResult::Reopened(Err(_))
        ) {
            self.teller.failed(arrow);
        }
        self.asked.insert((life, op), arrow);
    }

    /// An answer of the store or the journal reaches the node, or nobody.
    pub(super) fn is_answered(&mut self, now: Duration, life: Life, op: OpId, is_lost: bool) {
        let arrow = self.asked.remove(&(life, op));
        self.settle(now, arrow, is_lost);
    }
}
