//! What befalls a world, and when.

use std::{io, time::Duration};

use rand::{RngExt, rngs::ChaCha8Rng};
use serde::{Deserialize, Serialize};

use super::{HOMES, one_of, written};
use crate::{full::bucket, swarm::millis};

/// Something that goes wrong at a certain time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Trouble {
    /// A node's process ends without a word.
    Kill {
        /// Which.
        node: usize,
        /// Whether the whole machine loses power.
        power: bool,
        /// Amid the disk's work, after so many more changes.
        at_change: Option<usize>,
        /// When it has removed a file.
        at_removal: bool,
        /// How long until it is started again.
        down: Duration,
    },
    /// A node is told to end.
    Shutdown {
        /// Which.
        node: usize,
        /// How long until it is started again.
        down: Duration,
    },
    /// The bucket's process ends, and starts again.
    BucketDown {
        /// How long it is down.
        down: Duration,
    },
    /// What two hosts send each other waits.
    Hold {
        /// One of them.
        one: Place,
        /// The other.
        other: Place,
        /// How long.
        time: Duration,
    },
    /// What two hosts send each other is lost, and connections with it.
    Partition {
        /// One of them.
        one: Place,
        /// The other.
        other: Place,
        /// How long.
        time: Duration,
    },
    /// A node's disk fails.
    Disk {
        /// Which.
        node: usize,
        /// After so many more changes.
        after: usize,
        /// With which error.
        #[serde(with = "written::error_kind")]
        kind: io::ErrorKind,
        /// How long.
        time: Duration,
    },
    /// A node's disk fails to sync once, and drops what was to be synced.
    SyncFails {
        /// Which.
        node: usize,
        /// Whether it cannot even be read any more.
        forgets: bool,
    },
    /// Somebody removes what the bucket holds of a document.
    Vanish {
        /// Of which.
        doc: usize,
    },
    /// Nothing can be read from a node's disk.
    Unreadable {
        /// Which.
        node: usize,
        /// How long.
        time: Duration,
    },
    /// A node's wall clock is wrong.
    Clock {
        /// Which.
        node: usize,
        /// Seconds that it is ahead of the others; below zero, that it is late.
        ahead: i64,
        /// How long.
        time: Duration,
    },
    /// A node's disk is full but for so many bytes.
    DiskFull {
        /// Which.
        node: usize,
        /// Room that is left.
        bytes: usize,
        /// How long.
        time: Duration,
    },
}

/// A host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A server.
    Node(usize),
    /// One of the hosts where clients live.
    Homes(usize),
    /// The bucket.
    Bucket,
}

impl Trouble {
    /// Whether it keeps nodes from the bucket.
    pub(in crate::full) fn is_of_store(&self) -> bool {
        match self {
            Self::BucketDown { .. } | Self::Clock { .. } => true,
            Self::Hold { one, other, .. } | Self::Partition { one, other, .. } => {
                [one, other].contains(&&Place::Bucket)
            }
            _ => false,
        }
    }
}

impl Place {
    pub(in crate::full) fn name(self) -> String {
        match self {
            Self::Node(at) => format!("node{at}"),
            Self::Homes(at) => format!("homes{at}"),
            Self::Bucket => bucket::HOST.to_owned(),
        }
    }
}

pub(super) fn draw_troubles(
    rng: &mut ChaCha8Rng,
    nodes: usize,
    storm: Duration,
    is_interval: bool,
    has_journal: bool,
) -> Vec<(Duration, Trouble)> {
    let mut troubles = Vec::new();
    if is_interval && rng.random_bool(0.5) {
        // What no sync came to shows only then.
        let power_loss = Trouble::Kill {
            node: rng.random_range(0..nodes),
            power: true,
            at_change: None,
            at_removal: false,
            down: millis(100),
        };
        troubles.push((storm.mul_f64(rng.random_range(0.2..1.0)), power_loss));
    }
    // Each kind exists in some worlds only. Without a journal disks do nothing,
    // and nobody would mind what goes wrong with them.
    for kind in 0..9 {
        if rng.random_bool(0.6) {
            continue;
        }
        let kind = match OF_DISKS.contains(&kind) && !has_journal {
            true => one_of(rng, &OF_ALL),
            false => kind,
        };
        for _ in 0..rng.random_range(1..=3) {
            let at = storm.mul_f64(rng.random_range(0.05..0.95));
            let trouble = draw_trouble(rng, kind, nodes);
            if let Trouble::Disk { node, time, .. } = trouble
                && !is_interval
                && rng.random_bool(0.3)
            {
                // What a disk dropped when it failed shows only then.
                let later = at + time + millis(rng.random_range(500..3_000));
                let power_loss = Trouble::Kill {
                    node,
                    power: true,
                    at_change: None,
                    at_removal: false,
                    down: millis(100),
                };
                troubles.push((later.min(storm), power_loss));
            }
            troubles.push((at, trouble));
        }
    }
    troubles.sort_by_key(|(at, _)| *at);
    troubles
}

/// The kinds of trouble that disks have.
const OF_DISKS: [usize; 3] = [5, 6, 8];

/// The others.
const OF_ALL: [usize; 6] = [0, 1, 2, 3, 4, 7];

fn draw_trouble(rng: &mut ChaCha8Rng, kind: usize, nodes: usize) -> Trouble {
    let node = rng.random_range(0..nodes);
    let time = millis(rng.random_range(50..5_000));
    let down = millis(rng.random_range(10..2_000));
    let (one, other) = draw_places(rng, node);
    match kind {
        0 => Trouble::Kill {
            node,
            power: rng.random_bool(0.7),
            at_change: rng.random_bool(0.5).then(|| rng.random_range(0..6)),
            at_removal: false,
            down,
        },
        1 => Trouble::Shutdown { node, down },
        2 => Trouble::BucketDown { down },
        3 => Trouble::Hold { one, other, time },
        4 => Trouble::Partition { one, other, time },
        5 => Trouble::Disk {
            node,
            after: rng.random_range(0..10),
            kind: one_of(rng, &[io::ErrorKind::Other, io::ErrorKind::StorageFull]),
            time,
        },
        6 => Trouble::Unreadable { node, time },
        7 => Trouble::Clock {
            node,
            ahead: rng.random_range(-100_000..100_000),
            time,
        },
        _ => Trouble::DiskFull {
            node,
            bytes: rng.random_range(0..2_000),
            time,
        },
    }
}

fn draw_places(rng: &mut ChaCha8Rng, node: usize) -> (Place, Place) {
    match rng.random_bool(0.5) {
        true => (Place::Node(node), Place::Bucket),
        false => (Place::Node(node), Place::Homes(rng.random_range(0..HOMES))),
    }
}
