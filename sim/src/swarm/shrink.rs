//! Simpler worlds than one that fails.

use std::time::Duration;

use ysyncd_engine::Config;

use super::{BusFaults, Content, Habit, Swarm, millis};
use crate::shrink::{LIMITS, Shrink, Step, Steps};

impl Shrink for Swarm {
    fn simpler(&self) -> Vec<Step<Self>> {
        let mut steps = Steps::from(self);
        take_from_world(&mut steps, self);
        take_from_clients(&mut steps, self);
        for (what, take) in FAULTS {
            steps.add(*what, take);
        }
        for (what, reset) in LIMITS {
            steps.add(*what, |swarm| reset(&mut swarm.engine, &Config::default()));
        }
        steps.all()
    }
}

fn take_from_world(steps: &mut Steps<'_, Swarm>, swarm: &Swarm) {
    for part in [2, 4, 8] {
        let cut = swarm.storm / part;
        steps.add(format!("a storm {cut:?} shorter"), |swarm| {
            swarm.storm = (swarm.storm - cut).max(millis(10));
        });
    }
    steps.add("one node", |swarm| {
        swarm.nodes = 1;
        swarm.bus = None;
        swarm
            .clients
            .iter_mut()
            .for_each(|visitor| visitor.node = 0);
    });
    if swarm.bus.is_some() {
        take_from_bus(steps);
    }
    steps.add("no incident", |swarm| swarm.incidents.clear());
    for at in 0..swarm.incidents.len() {
        let what = &swarm.incidents[at].what;
        steps.add(format!("without {what:?}"), |swarm| {
            swarm.incidents.remove(at);
        });
    }
    steps.add("no intruder", |swarm| swarm.intruders = 0);
    steps.add("nobody else writes", |swarm| {
        swarm.other_writer = None;
    });
    steps.add("the last document less", drop_document);
}

fn take_from_bus(steps: &mut Steps<'_, Swarm>) {
    steps.add("no bus", |swarm| swarm.bus = None);
    steps.add("two nodes", |swarm| {
        swarm.nodes = swarm.nodes.min(2);
        let last = swarm.nodes - 1;
        for visitor in &mut swarm.clients {
            visitor.node = visitor.node.min(last);
        }
    });
    let mut of_bus = |what: &'static str, take: fn(&mut BusFaults)| {
        steps.add(what, |swarm| {
            if let Some(bus) = &mut swarm.bus {
                take(bus);
            }
        });
    };
    of_bus("nothing befalls the bus", |bus| bus.incidents.clear());
    of_bus("the bus loses nothing", |bus| bus.loss = 0.0);
    of_bus("the bus doubles nothing", |bus| bus.double = 0.0);
    of_bus("the bus delays nothing", |bus| bus.late = 0.0);
    of_bus("the bus repeats nothing", |bus| bus.old = 0.0);
    of_bus("no garbage", |bus| bus.garbage = 0.0);
    of_bus("a fast bus", |bus| bus.latency = Duration::ZERO..millis(1));
}

fn take_from_clients(steps: &mut Steps<'_, Swarm>, swarm: &Swarm) {
    for at in (0..swarm.clients.len()).rev() {
        steps.add(format!("without client {at}"), |swarm| {
            if swarm.clients.len() > 1 {
                swarm.clients.remove(at);
            }
        });
    }
    steps.add("nobody goes for good", |swarm| {
        swarm
            .clients
            .iter_mut()
            .for_each(|visitor| visitor.leaves = None);
    });
    steps.add("everybody as usual", |swarm| {
        let visitors = swarm.clients.iter_mut();
        visitors.for_each(|visitor| visitor.habit = Habit::Usual);
    });
    steps.add("no rich text", |swarm| {
        swarm.content = swarm.content.without_marks();
    });
    steps.add("values only", |swarm| swarm.content = Content::Flat);
    steps.add("tokens for ever", |swarm| swarm.token_lasts = None);
    steps.add("come back by chance", |swarm| swarm.backoff = None);
}

fn drop_document(swarm: &mut Swarm) {
    if swarm.documents > 1 {
        swarm.documents -= 1;
        swarm
            .clients
            .retain(|visitor| visitor.doc < swarm.documents);
    }
}

type Take = fn(&mut Swarm);

const FAULTS: &[(&str, Take)] = &[
    ("no connection is lost", |swarm| swarm.connection_loss = 0.0),
    ("no drips", |swarm| swarm.drips = 0.0),
    ("nothing lingers", |swarm| swarm.lingers = Duration::ZERO),
    ("no gossip", |swarm| swarm.gossip = 0.0),
    ("nothing is held up", |swarm| swarm.stall = 0.0),
    ("clients stay with their node", |swarm| {
        swarm.roaming = false;
    }),
    ("a fast network", |swarm| {
        swarm.latency = Duration::ZERO..millis(1);
    }),
    ("a fast store", |swarm| {
        swarm.store.latency = Duration::ZERO..millis(2);
    }),
    ("the store is never unavailable", |swarm| {
        swarm.store.unavailable = 0.0;
    }),
    ("the store forbids nothing", |swarm| {
        swarm.store.denied = 0.0;
    }),
    ("no outcome is unknown", |swarm| swarm.store.unknown = 0.0),
    ("no write straggles", |swarm| {
        swarm.store.straggles = millis(1);
    }),
    ("a fast journal", |swarm| {
        swarm.journal.latency = Duration::ZERO..millis(1);
    }),
    ("the journal does not fail", |swarm| {
        swarm.journal.failure = 0.0;
    }),
    ("no record is damaged", |swarm| swarm.journal.damage = false),
];
