//! Simpler worlds than one that fails.

use std::time::Duration;

use ysyncd_engine::Config;
use ysyncd_storage::journal::disk::SyncMode;

use super::{Place, Swarm, Token, Trouble, Twists};
use crate::{
    shrink::{LIMITS, Shrink, Step, Steps},
    swarm::{Content, millis},
};

impl Shrink for Swarm {
    fn simpler(&self) -> Vec<Step<Self>> {
        let mut steps = Steps::from(self);
        take_from_world(&mut steps, self);
        take_from_clients(&mut steps, self);
        for (what, take) in TWISTS.iter().chain(FAULTS).chain(USUAL) {
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
            let (storm, troubles) = (swarm.storm, &mut swarm.troubles);
            troubles.retain(|(at, _)| *at < storm);
        });
    }
    steps.add("one node", |swarm| {
        swarm.nodes = 1;
        let visitors = swarm.visitors.iter_mut();
        visitors.for_each(|visitor| visitor.home = 0);
        swarm.troubles.retain(|(_, trouble)| trouble.fits(1));
        let bus = swarm.twists.bus.iter_mut();
        bus.for_each(|bus| bus.splits.retain(|split| split.node == 0));
    });
    steps.add("no trouble", |swarm| swarm.troubles.clear());
    for at in 0..swarm.troubles.len() {
        let what = &swarm.troubles[at].1;
        steps.add(format!("without {what:?}"), |swarm| {
            swarm.troubles.remove(at);
        });
    }
    steps.add("the usual caps", |swarm| swarm.net.caps = None);
    steps.add("the usual rates of users", |swarm| {
        swarm.net.user_rates = None;
    });
    steps.add("nobody hostile", |swarm| swarm.hostile = None);
    steps.add("the last document less", |swarm| {
        if swarm.documents > 1 {
            swarm.documents -= 1;
            let documents = swarm.documents;
            swarm.visitors.retain(|visitor| visitor.doc < documents);
            swarm.twists.locked.retain(|doc| *doc < documents);
            let is_of_another =
                |trouble: &Trouble| matches!(trouble, Trouble::Vanish { doc } if *doc >= documents);
            swarm
                .troubles
                .retain(|(_, trouble)| !is_of_another(trouble));
        }
    });
}

fn take_from_clients(steps: &mut Steps<'_, Swarm>, swarm: &Swarm) {
    for at in (0..swarm.visitors.len()).rev() {
        // Of each document somebody has to stay who can say what it is.
        let stays = |other: usize| {
            let visitor = &swarm.visitors[other];
            let is_writer = visitor.token != Token::Reads;
            visitor.doc == swarm.visitors[at].doc && visitor.leaves.is_none() && is_writer
        };
        if (0..swarm.visitors.len()).any(|other| other != at && stays(other)) {
            steps.add(format!("without client {at}"), |swarm| {
                swarm.visitors.remove(at);
            });
        }
    }
    steps.add("nobody goes for good", |swarm| {
        let visitors = swarm.visitors.iter_mut();
        visitors.for_each(|visitor| visitor.leaves = None);
    });
    steps.add("all clients on one host", |swarm| {
        let visitors = swarm.visitors.iter_mut();
        visitors.for_each(|visitor| visitor.host = 0);
    });
    steps.add("frames in one piece", |swarm| {
        let visitors = swarm.visitors.iter_mut();
        visitors.for_each(|visitor| visitor.fragment_bytes_max = 1_000_000);
    });
    steps.add("everybody may write", |swarm| {
        let readers = swarm.visitors.iter_mut();
        let readers = readers.filter(|visitor| visitor.token == Token::Reads);
        readers.for_each(|visitor| visitor.token = Token::Jwt);
    });
    steps.add("plain tokens", |swarm| {
        let holders = swarm.visitors.iter_mut();
        let holders = holders.filter(|visitor| visitor.token == Token::Jwt);
        holders.for_each(|visitor| visitor.token = Token::Plain);
    });
    steps.add("tokens that last", |swarm| swarm.token_lasts = None);
    steps.add("tokens in the header", |swarm| {
        let visitors = swarm.visitors.iter_mut();
        visitors.for_each(|visitor| visitor.token_in_query = false);
    });
}

impl Trouble {
    /// Whether a world with so many nodes can have this.
    fn fits(&self, nodes: usize) -> bool {
        let is_there = |place: &Place| match place {
            Place::Node(node) => *node < nodes,
            Place::Homes(_) | Place::Bucket => true,
        };
        match self {
            Self::Kill { node, .. }
            | Self::Shutdown { node, .. }
            | Self::Disk { node, .. }
            | Self::SyncFails { node, .. }
            | Self::Unreadable { node, .. }
            | Self::Clock { node, .. }
            | Self::DiskFull { node, .. } => *node < nodes,
            Self::Hold { one, other, .. } | Self::Partition { one, other, .. } => {
                is_there(one) && is_there(other)
            }
            Self::BucketDown { .. } | Self::Vanish { .. } => true,
        }
    }
}

/// Where journals are not given up, no disk may forget what it has taken.
fn keep_journals(swarm: &mut Swarm) {
    swarm.twists.discards = false;
    let forgets = |trouble: &Trouble| matches!(trouble, Trouble::SyncFails { forgets: true, .. });
    swarm.troubles.retain(|(_, trouble)| !forgets(trouble));
}

type Take = fn(&mut Swarm);

/// What only some worlds have.
const TWISTS: &[(&str, Take)] = &[
    ("no twists", |swarm| {
        keep_journals(swarm);
        swarm.twists = Twists::default();
    }),
    ("nobody pings", |swarm| swarm.twists.pings = 0.0),
    ("no bursts of edits", |swarm| swarm.twists.burst = 0),
    ("clients wait to be let in", |swarm| {
        swarm.twists.patience = None;
    }),
    ("nobody reads metrics", |swarm| swarm.twists.scrapes = None),
    ("nobody asks whether servers are ready", |swarm| {
        swarm.twists.probes = false;
    }),
    ("no document is locked", |swarm| swarm.twists.locked.clear()),
    ("the bucket stays", |swarm| swarm.twists.mislaid = None),
    ("journals are kept", keep_journals),
    ("no bus between nodes", |swarm| swarm.twists.bus = None),
    ("nodes notice when they are apart", |swarm| {
        let bus = swarm.twists.bus.iter_mut();
        bus.for_each(|bus| bus.splits.clear());
    }),
    ("the bucket heals with all else", |swarm| {
        let bus = swarm.twists.bus.iter_mut();
        bus.for_each(|bus| bus.heals_alone = false);
    }),
    ("one engine a node", |swarm| swarm.net.shards = 1),
    ("writes that go to the journal together", |swarm| {
        swarm.twists.scatters = false;
    }),
    ("nobody asks behind a large message", |swarm| {
        swarm.twists.heaps = false;
    }),
];

/// What goes wrong by chance.
const FAULTS: &[(&str, Take)] = &[
    ("no connection is lost", |swarm| swarm.connection_loss = 0.0),
    ("everybody reads", |swarm| swarm.stall = 0.0),
    ("clients stay with their node", |swarm| {
        swarm.wandering = 0.0;
    }),
    ("the bucket refuses nothing", |swarm| {
        swarm.bucket.refused = 0.0;
    }),
    ("the bucket denies nothing", |swarm| {
        swarm.bucket.denied = 0.0;
    }),
    ("the bucket has no errors inside", |swarm| {
        swarm.bucket.internal = 0.0;
    }),
    ("no reply is lost", |swarm| swarm.bucket.reply_lost = 0.0),
    ("no request is lost", |swarm| {
        swarm.bucket.request_lost = 0.0;
    }),
    ("no request hangs", |swarm| swarm.bucket.hangs = 0.0),
    ("no write is late", |swarm| swarm.bucket.late = 0.0),
    ("no body breaks off", |swarm| swarm.bucket.truncated = 0.0),
    ("no outage", |swarm| swarm.bucket.outage = None),
];

/// What is unusual, though nothing is wrong with it.
const USUAL: &[(&str, Take)] = &[
    ("no rich text", |swarm| {
        swarm.content = swarm.content.without_marks();
    }),
    ("values only", |swarm| swarm.content = Content::Flat),
    ("a machine for each node", |swarm| {
        swarm.is_one_machine = false;
    }),
    ("etags of their own", |swarm| {
        swarm.bucket.content_etags = false;
    }),
    ("a fast bucket", |swarm| {
        swarm.bucket.latency = millis(1)..millis(12);
    }),
    ("a fast network", |swarm| {
        swarm.latency = millis(2);
        swarm.tick = millis(5);
    }),
    ("roomy connections", |swarm| swarm.segments_max = 1_024),
    ("streams in one piece", |swarm| swarm.piece_bytes_max = None),
    ("a fast disk", |swarm| {
        swarm.disk_latency = Duration::ZERO..millis(1);
    }),
    ("each commit synced", |swarm| swarm.sync = SyncMode::Always),
    ("long segments", |swarm| swarm.segment_bytes = 4 << 20),
    ("a patient store", |swarm| {
        swarm.store_timeout = Duration::from_secs(60);
    }),
    ("room for handshakes", |swarm| {
        swarm.net.handshakes_max = 1_024;
        swarm.net.header_timeout = Duration::from_secs(10);
    }),
    ("the usual pings", |swarm| {
        swarm.net.ping_interval = Duration::from_secs(30);
        swarm.net.silence_max = Duration::from_secs(60);
    }),
    ("the usual closes", |swarm| {
        swarm.net.close_timeout = Duration::from_secs(5);
    }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    #[test]
    fn each_step_leaves_a_world_that_can_be_run_and_written_down() {
        for seed in 0..40 {
            let drawn = Swarm::draw(seed, Shape::Swarm);
            for Step { what, left } in drawn.simpler() {
                let text = serde_json::to_string(&left).unwrap();
                let read: Swarm = serde_json::from_str(&text).unwrap();
                assert_eq!(read, left, "{what}");
                for doc in 0..left.documents {
                    let mut visitors = left.visitors.iter();
                    let stays = visitors.any(|v| v.doc == doc && v.leaves.is_none());
                    assert!(stays, "{what}: nobody stays with document {doc}");
                }
                assert!(left.visitors.iter().all(|v| v.home < left.nodes), "{what}");
                let mut troubles = left.troubles.iter();
                assert!(troubles.all(|(_, trouble)| trouble.fits(left.nodes)));
            }
        }
    }
}
