//! Smaller worlds than one that fails.

use std::time::Duration;

use ysyncd_engine::Config;

use super::{Content, Habit, Swarm, millis};

/// Worlds that are a step simpler than one, each with what was taken away, the
/// boldest steps first.
#[must_use]
pub fn simpler(swarm: &Swarm) -> Vec<(String, Swarm)> {
    let mut all = Vec::new();
    let mut step = |what: String, change: &dyn Fn(&mut Swarm)| {
        let mut changed = swarm.clone();
        change(&mut changed);
        if changed != *swarm {
            all.push((what, changed));
        }
    };
    for part in [2, 4, 8] {
        let cut = swarm.storm / part;
        step(format!("a storm {cut:?} shorter"), &|swarm| {
            swarm.storm = (swarm.storm - cut).max(millis(10));
        });
    }
    step("one node".to_owned(), &|swarm| {
        swarm.nodes = 1;
        swarm
            .clients
            .iter_mut()
            .for_each(|visitor| visitor.node = 0);
    });
    step("no incident".to_owned(), &|swarm| swarm.incidents.clear());
    for at in 0..swarm.incidents.len() {
        let what = &swarm.incidents[at].what;
        step(format!("without {what:?}"), &|swarm| {
            swarm.incidents.remove(at);
        });
    }
    step("no intruder".to_owned(), &|swarm| swarm.intruders = 0);
    step("nobody else writes".to_owned(), &|swarm| {
        swarm.other_writer = None;
    });
    step("the last document less".to_owned(), &drop_document);
    for at in (0..swarm.clients.len()).rev() {
        step(format!("without client {at}"), &|swarm| {
            if swarm.clients.len() > 1 {
                swarm.clients.remove(at);
            }
        });
    }
    step("nobody goes for good".to_owned(), &|swarm| {
        swarm
            .clients
            .iter_mut()
            .for_each(|visitor| visitor.leaves = None);
    });
    step("everybody as usual".to_owned(), &|swarm| {
        let visitors = swarm.clients.iter_mut();
        visitors.for_each(|visitor| visitor.habit = Habit::Usual);
    });
    step("values only".to_owned(), &|swarm| {
        swarm.content = Content::Flat;
    });
    step("tokens for ever".to_owned(), &|swarm| {
        swarm.token_lasts = None;
    });
    for (what, take) in FAULTS {
        step((*what).to_owned(), take);
    }
    for (what, reset) in LIMITS {
        step((*what).to_owned(), &|swarm| {
            reset(&mut swarm.engine, &Config::default());
        });
    }
    all
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
type Reset = fn(&mut Config, &Config);

const FAULTS: &[(&str, Take)] = &[
    ("no connection is lost", |swarm| swarm.connection_loss = 0.0),
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

const LIMITS: &[(&str, Reset)] = &[
    ("the usual outbox", |to, from| {
        to.outbox_bytes_max = from.outbox_bytes_max;
    }),
    ("as much staged as usual", |to, from| {
        to.staged_bytes_max = from.staged_bytes_max;
    }),
    ("as much unsaved as usual", |to, from| {
        to.unsaved_bytes_max = from.unsaved_bytes_max;
        to.unsaved_bytes_total_max = from.unsaved_bytes_total_max;
    }),
    ("as much memory as usual", |to, from| {
        to.documents_bytes_max = from.documents_bytes_max;
    }),
    ("as many turns as usual", |to, from| {
        to.store_operations_max = from.store_operations_max;
        to.pushes_max = from.pushes_max;
    }),
    ("as many gaps as usual", |to, from| {
        to.gap_runs_max = from.gap_runs_max;
        to.pending_delete_ranges_max = from.pending_delete_ranges_max;
    }),
    ("as many may wait as usual", |to, from| {
        to.waiting_opens_max = from.waiting_opens_max;
    }),
    ("as many gone as usual", |to, from| {
        to.awareness_gone_max = from.awareness_gone_max;
    }),
    ("the usual pauses of the store", |to, from| {
        to.retry_delay_min = from.retry_delay_min;
        to.retry_delay_max = from.retry_delay_max;
        to.reopen_delay_max = from.reopen_delay_max;
    }),
    ("the usual pauses of a resync", |to, from| {
        to.resync_delay = from.resync_delay;
        to.resync_delay_max = from.resync_delay_max;
    }),
    ("the usual debounce", |to, from| {
        to.save_debounce = from.save_debounce;
        to.save_wait_max = from.save_wait_max;
    }),
    ("the usual grace", |to, from| {
        to.idle_grace = from.idle_grace;
    }),
    ("with gc", |to, from| to.gc = from.gc),
];
