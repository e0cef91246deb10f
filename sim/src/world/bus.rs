//! The bus between nodes: messages on their way, and what becomes of them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use rand::{RngExt, rngs::ChaCha8Rng};
use ysyncd_engine::{
    Config, DocId, Input, Node as NodeName,
    bus::{BusCommand, BusInput},
};

use super::{Event, Place, World, node::Life};
use crate::{
    oracle::Violation,
    story::ArrowId,
    swarm::{BusFaults, Purpose, Swarm, between, millis, stream},
};

/// Messages that may come once more, long after.
const REMEMBERED_MAX: usize = 64;

/// The bus as nobody sees it.
pub(super) struct Bus {
    rng: ChaCha8Rng,
    links: Vec<Link>,
    /// What was published some time ago.
    past: VecDeque<(DocId, Bytes)>,
    /// Messages published so far.
    pub(super) published: usize,
}

/// One node's connection to it.
#[derive(Default)]
struct Link {
    is_up: bool,
    /// Counts its connections: what was on its way on an earlier one does not
    /// come.
    epoch: u64,
    /// What it has asked for, and which time it was; and whether that is in
    /// force.
    wanted: BTreeMap<DocId, u64>,
    subscribed: BTreeSet<DocId>,
    asked: u64,
    /// There is no connection until then.
    down_until: Duration,
    /// Nothing is told to it or by it until then, and it does not notice.
    split_until: Duration,
    /// Messages come in order, but for those that are late.
    free: Duration,
}

/// Something on its way to a node.
#[derive(Debug)]
pub(super) enum Told {
    Up,
    Subscribed(DocId, u64),
    Message(DocId, Bytes, Option<ArrowId>),
}

/// What a node's engine is configured as.
pub(super) fn configuration(swarm: &Swarm, at: usize, life: u64) -> Config {
    let name = NodeName {
        id: at as u64,
        incarnation: life + 1,
    };
    Config {
        node: swarm.bus.as_ref().map(|_| name),
        ..swarm.engine.clone()
    }
}

impl Bus {
    pub(super) fn new(seed: u64, nodes: usize) -> Self {
        Self {
            rng: stream(seed, Purpose::Bus),
            links: (0..nodes).map(|_| Link::default()).collect(),
            past: VecDeque::new(),
            published: 0,
        }
    }
}

impl World {
    /// A node has just started: it connects, if there is a bus.
    pub(super) fn connect_bus(&mut self, node: usize) {
        if self.swarm.bus.is_none() {
            return;
        }
        let delay = between(&mut self.bus.rng, &(millis(1)..millis(200)));
        let link = &mut self.bus.links[node];
        link.epoch += 1;
        link.is_up = false;
        (link.wanted, link.subscribed) = (BTreeMap::new(), BTreeSet::new());
        let up = (self.now + delay).max(link.down_until);
        let event = Event::Bus(self.life(node), self.bus.links[node].epoch, Told::Up);
        self.after(up - self.now, event);
    }

    /// A node asks the bus for something.
    pub(super) fn ask_bus(&mut self, node: usize, command: BusCommand) {
        if !self.bus.links[node].is_up {
            return;
        }
        match command {
            BusCommand::Subscribe { doc } => {
                let latency = self.bus_latency();
                let link = &mut self.bus.links[node];
                link.asked += 1;
                link.wanted.insert(doc.clone(), link.asked);
                let told = Told::Subscribed(doc, link.asked);
                let event = Event::Bus(self.life(node), self.bus.links[node].epoch, told);
                self.after(latency, event);
            }
            BusCommand::Unsubscribe { doc } => {
                let link = &mut self.bus.links[node];
                link.wanted.remove(&doc);
                link.subscribed.remove(&doc);
            }
            BusCommand::Publish { doc, message } => {
                self.bus.published += 1;
                self.publish(node, &doc, &message);
            }
        }
    }

    fn publish(&mut self, from: usize, doc: &DocId, message: &Bytes) {
        let faults = self.bus_faults();
        self.bus.past.push_back((doc.clone(), message.clone()));
        if self.bus.past.len() > REMEMBERED_MAX {
            self.bus.past.pop_front();
        }
        if self.bus.links[from].split_until > self.now {
            return;
        }
        for to in 0..self.nodes.len() {
            let rng = &mut self.bus.rng;
            let way = (Some(from), to);
            if rng.random_bool(faults.loss) {
                self.is_lost(way, doc, message);
                continue;
            }
            let is_late = rng.random_bool(faults.late);
            let is_double = rng.random_bool(faults.double);
            self.carry(way, doc, message.clone(), is_late);
            if is_double {
                self.carry(way, doc, message.clone(), true);
            }
            if self.bus.rng.random_bool(faults.old) {
                let at = self.bus.rng.random_range(0..self.bus.past.len());
                let (doc, message) = self.bus.past[at].clone();
                self.carry((None, to), &doc, message, true);
            }
            if self.bus.rng.random_bool(faults.garbage) {
                let garbage = self.garbage(message);
                self.carry((None, to), doc, garbage, false);
            }
        }
    }

    /// What is left of a message, or never was one.
    fn garbage(&mut self, message: &Bytes) -> Bytes {
        let rng = &mut self.bus.rng;
        match rng.random_bool(0.5) {
            true => message.slice(..rng.random_range(0..message.len())),
            false => {
                let mut bytes = vec![1, rng.random_range(0..9)];
                bytes.extend((0..rng.random_range(0..40)).map(|_| rng.random::<u8>()));
                bytes.into()
            }
        }
    }

    /// Takes a message from a node, or from nobody, to another.
    fn carry(&mut self, way: (Option<usize>, usize), doc: &DocId, message: Bytes, is_late: bool) {
        let to = way.1;
        let latency = self.bus_latency();
        if !self.bus.links[to].is_up || self.bus.links[to].split_until > self.now {
            self.is_lost(way, doc, &message);
            return;
        }
        let link = &mut self.bus.links[to];
        let delay = match is_late {
            true => latency + between(&mut self.bus.rng, &(millis(1)..millis(5_000))),
            false => {
                link.free = link.free.max(self.now + latency);
                link.free - self.now
            }
        };
        let arrow = self.leaves_by_bus(way, doc, &message);
        let told = Told::Message(doc.clone(), message, arrow);
        let event = Event::Bus(self.life(to), self.bus.links[to].epoch, told);
        self.after(delay, event);
    }

    fn leaves_by_bus(
        &mut self,
        way: (Option<usize>, usize),
        doc: &DocId,
        message: &[u8],
    ) -> Option<ArrowId> {
        let narration = self.narration.as_mut()?;
        narration.bus_carries(self.now, way, doc, message)
    }

    fn is_lost(&mut self, way: (Option<usize>, usize), doc: &DocId, message: &[u8]) {
        let arrow = self.leaves_by_bus(way, doc, message);
        self.bus_arrow_ends(arrow, true);
    }

    fn bus_arrow_ends(&mut self, arrow: Option<ArrowId>, is_lost: bool) {
        if let Some(narration) = &mut self.narration {
            narration.bus_tells(self.now, arrow, is_lost);
        }
    }

    /// Something comes to a node.
    pub(super) fn bus_tells(
        &mut self,
        life: Life,
        epoch: u64,
        told: Told,
    ) -> Result<(), Violation> {
        let link = &mut self.bus.links[life.node];
        let is_lost = link.epoch != epoch
            || matches!(&told, Told::Message(doc, ..) if !link.subscribed.contains(doc));
        if let Told::Message(_, _, arrow) = &told {
            let arrow = *arrow;
            self.bus_arrow_ends(arrow, is_lost);
        }
        if is_lost {
            return Ok(());
        }
        let link = &mut self.bus.links[life.node];
        let told = match told {
            Told::Up => {
                link.is_up = true;
                BusInput::Up
            }
            Told::Subscribed(doc, asked) => {
                if link.wanted.get(&doc) == Some(&asked) {
                    link.subscribed.insert(doc.clone());
                }
                BusInput::Subscribed { doc }
            }
            Told::Message(doc, message, _) => BusInput::Received { doc, message },
        };
        self.input(life.node, Input::Bus(told))
    }

    /// What was drawn befalls the bus.
    pub(super) fn befall_bus(&mut self, at: usize) -> Result<(), Violation> {
        let Some(incident) = self.bus_incident(at) else {
            return Ok(());
        };
        let node = incident.node;
        self.note(Place::Elsewhere, format_args!("bus: {incident:?}"));
        if let Some(narration) = &mut self.narration {
            narration.lacks_bus(self.now, &incident);
        }
        let until = self.now + incident.lasts;
        let link = &mut self.bus.links[node];
        if !incident.is_noticed {
            link.split_until = link.split_until.max(until);
            return Ok(());
        }
        let was_up = link.is_up;
        link.down_until = link.down_until.max(until);
        self.connect_bus(node);
        match was_up {
            true => self.input(node, Input::Bus(BusInput::Down)),
            false => Ok(()),
        }
    }

    /// What befalls the bus, unless everything has healed.
    fn bus_incident(&self, at: usize) -> Option<crate::swarm::BusIncident> {
        let faults = self.swarm.bus.as_ref().filter(|_| !self.healed)?;
        let incident = faults.incidents[at];
        (incident.node < self.nodes.len()).then_some(incident)
    }

    /// The node of an incident of the bus.
    pub(super) fn bus_incident_node(&self, at: usize) -> Option<usize> {
        Some(self.bus_incident(at)?.node)
    }

    /// Nothing goes wrong with the bus any more.
    pub(super) fn heal_bus(&mut self) {
        for node in 0..self.nodes.len() {
            let link = &mut self.bus.links[node];
            link.split_until = self.now;
            link.down_until = self.now;
            if !link.is_up {
                self.connect_bus(node);
            }
        }
    }

    fn bus_latency(&mut self) -> Duration {
        let faults = self.swarm.bus.as_ref();
        let latency = faults.map_or(millis(0)..millis(1), |faults| faults.latency.clone());
        between(&mut self.bus.rng, &latency)
    }

    /// What goes wrong now.
    fn bus_faults(&self) -> BusFaults {
        let none = BusFaults {
            latency: millis(0)..millis(1),
            loss: 0.0,
            double: 0.0,
            late: 0.0,
            old: 0.0,
            garbage: 0.0,
            incidents: Vec::new(),
        };
        let faults = self.swarm.bus.clone().filter(|_| !self.healed);
        faults.unwrap_or(none)
    }
}
