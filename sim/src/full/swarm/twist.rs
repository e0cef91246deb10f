//! Habits that few have, and combinations that chance alone would bring
//! together too seldom. Drawn apart from everything else, so that worlds
//! without them stay as they are.

use std::time::Duration;

use rand::{RngExt, rngs::ChaCha8Rng};
use ysyncd_storage::journal::disk::SyncMode;

use super::{Caps, HOMES, Swarm, Token, Trouble, Visitor, fork, one_of};
use crate::swarm::{ENOUGH, millis};

type Twist = fn(&mut ChaCha8Rng, &mut Swarm);

/// Adds to a world what it draws of these.
pub(super) fn add(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    let twists: [(f64, Twist); 15] = [
        (0.2, ping),
        (0.2, lose_patience),
        (0.2, scrape),
        (0.2, |_, swarm| swarm.twists.scatters = true),
        (0.08, flood),
        (0.05, fail_a_sync),
        (0.03, fill_segments),
        (0.08, remove_objects),
        (0.04, forget_pages),
        (0.25, bear_little),
        (0.1, mislay_the_bucket),
        (0.15, heap),
        (0.2, probe),
        (0.05, fail_a_write),
        (0.05, sync_now_and_then),
    ];
    for (chance, twist) in twists {
        // Each draws from a stream of its own.
        let mut own = fork(rng);
        if rng.random_bool(chance) {
            twist(&mut own, swarm);
        }
    }
    swarm.troubles.sort_by_key(|(at, _)| *at);
}

fn ping(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    swarm.twists.pings = rng.random_range(0.05..0.4);
}

/// Where nothing but what a client says wakes a server, which takes all of it.
fn heap(_: &mut ChaCha8Rng, swarm: &mut Swarm) {
    if swarm.net.caps.is_none() {
        swarm.twists.heaps = true;
        swarm.net.ping_interval = millis(30_000);
        swarm.net.silence_max = millis(60_000);
    }
}

fn lose_patience(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    swarm.twists.patience = Some(millis(one_of(rng, &[50, 300, 2_000])));
}

fn scrape(_: &mut ChaCha8Rng, swarm: &mut Swarm) {
    swarm.twists.scrapes = Some(millis(100)..millis(1_000));
}

/// A proxy asks servers whether they take clients, which end now and then. It takes a
/// place of those who have not come in yet.
fn probe(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    swarm.twists.probes = true;
    swarm.net.handshakes_max = 1_024;
    swarm.net.header_timeout = millis(10_000);
    for _ in 0..2 {
        let (node, at) = (rng.random_range(0..swarm.nodes), during(rng, swarm));
        let down = millis(100);
        swarm.troubles.push((at, Trouble::Shutdown { node, down }));
    }
}

/// Clients send more than a slow disk takes, where little may wait for it.
fn flood(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    keep_a_journal(swarm);
    swarm.engine.staged_bytes_max = one_of(rng, &[0, 40]);
    swarm.disk_latency = millis(20)..millis(400);
    write_much(swarm, 30);
    swarm.twists.scrapes = Some(millis(10)..millis(60));
    // Who comes back says a lot at once.
    (swarm.connection_loss, swarm.stall) = (0.0, 0.0);
}

/// A disk fails to sync once, and power is lost soon after, while nothing can
/// be written to the bucket.
fn fail_a_sync(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    calm(swarm);
    keep_a_journal(swarm);
    swarm.twists.locked = (0..swarm.documents).collect();
    swarm.pause = millis(20)..millis(100);
    for _ in 0..3 {
        let (node, at) = (rng.random_range(0..swarm.nodes), during(rng, swarm));
        swarm.troubles.push((
            at,
            Trouble::SyncFails {
                node,
                forgets: false,
            },
        ));
        let later = at + millis(rng.random_range(50..1_500));
        swarm.troubles.push((later, lose_power(node, false)));
    }
}

/// A disk is synced now and then while one commit follows the other, and power is lost
/// in between.
fn sync_now_and_then(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    calm(swarm);
    keep_a_journal(swarm);
    swarm.sync = SyncMode::Interval(millis(500));
    swarm.twists.locked = (0..swarm.documents).collect();
    swarm.pause = millis(20)..millis(60);
    for _ in 0..2 {
        let (node, at) = (rng.random_range(0..swarm.nodes), during(rng, swarm));
        swarm.troubles.push((at, lose_power(node, false)));
    }
}

/// A disk fails in the middle of a write, and works again soon: what is written from
/// then on is there alone, and is read after the loss of power.
fn fail_a_write(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    calm(swarm);
    keep_a_journal(swarm);
    swarm.twists.locked = (0..swarm.documents).collect();
    swarm.engine.reopen_delay_max = millis(50);
    swarm.pause = millis(20)..millis(100);
    for _ in 0..3 {
        let (node, at) = (rng.random_range(0..swarm.nodes), during(rng, swarm));
        let fails = Trouble::Disk {
            node,
            after: rng.random_range(0..4),
            kind: std::io::ErrorKind::Other,
            time: millis(rng.random_range(50..300)),
        };
        swarm.troubles.push((at, fails));
        let later = at + millis(rng.random_range(1_000..2_500));
        swarm.troubles.push((later, lose_power(node, false)));
    }
}

/// The files of the journal fill up with what is soon of no use, and among it
/// is what stays: one document cannot be written to the bucket. Power is lost
/// when a file is removed.
fn fill_segments(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    calm(swarm);
    keep_a_journal(swarm);
    if swarm.documents == 1 {
        swarm.documents = 2;
        swarm.visitors.push(Visitor {
            doc: 1,
            home: rng.random_range(0..swarm.nodes),
            host: rng.random_range(0..HOMES),
            leaves: None,
            fragment_bytes_max: 1_000_000,
            token_in_query: false,
            token: Token::Plain,
        });
    }
    swarm.pause = millis(20)..millis(60);
    swarm.segment_bytes = 4 << 10;
    write_much(swarm, 15);
    swarm.twists.locked = vec![1];
    swarm.engine.save_debounce = millis(50);
    swarm.engine.save_wait_max = millis(300);
    for _ in 0..3 {
        let (node, at) = (rng.random_range(0..swarm.nodes), during(rng, swarm));
        swarm.troubles.push((at, lose_power(node, true)));
    }
}

/// Somebody removes what the bucket holds. Nobody goes for good: nothing else
/// would bring back what only they made.
fn remove_objects(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    if swarm.nodes > 1 {
        return;
    }
    calm(swarm);
    let visitors = swarm.visitors.iter_mut();
    visitors.for_each(|visitor| visitor.leaves = None);
    // What is written first is not written under a condition that fails.
    swarm.engine.save_debounce = millis(50);
    swarm.engine.save_wait_max = millis(300);
    for _ in 0..5 {
        let (doc, at) = (rng.random_range(0..swarm.documents), during(rng, swarm));
        swarm.troubles.push((at, Trouble::Vanish { doc }));
    }
}

/// Clients make so many edits at once. What one of them brings along when it
/// comes back may be more than a small outbox holds.
fn write_much(swarm: &mut Swarm, burst: usize) {
    swarm.twists.burst = burst;
    swarm.engine.outbox_bytes_max = ENOUGH;
}

/// Nothing else goes wrong that would keep clients from being let in.
fn calm(swarm: &mut Swarm) {
    swarm.storm = swarm.storm.max(millis(8_000));
    swarm.troubles.clear();
    swarm.twists.patience = None;
    swarm.bucket = swarm.bucket.spared();
}

/// A disk that is synced now and then fails to, and what was taken since cannot
/// be read back. That may be lost, and what is damaged is given up.
fn forget_pages(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    calm(swarm);
    keep_a_journal(swarm);
    swarm.pause = millis(20)..millis(100);
    swarm.sync = SyncMode::Interval(millis(500));
    swarm.twists.discards = true;
    let visitors = swarm.visitors.iter_mut();
    visitors.for_each(|visitor| visitor.leaves = None);
    for _ in 0..3 {
        let (node, at) = (rng.random_range(0..swarm.nodes), during(rng, swarm));
        let fails = Trouble::SyncFails {
            node,
            forgets: true,
        };
        swarm.troubles.push((at, fails));
    }
}

/// Servers bear little of one client, and somebody wants more. People get on:
/// what they say at once is soon taken, and then they pause.
fn bear_little(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    swarm.twists.burst = 0;
    swarm.twists.pings = 0.0;
    let visitors = swarm.visitors.iter_mut();
    visitors.for_each(|visitor| visitor.fragment_bytes_max = visitor.fragment_bytes_max.max(1_000));
    let of_doc = |doc: usize| swarm.visitors.iter().filter(|v| v.doc == doc).count();
    let most = (0..swarm.documents).map(of_doc).max().unwrap_or(0);
    swarm.hostile = Some(millis(50)..millis(1_000));
    swarm.net.caps = Some(Caps {
        messages_per_second: 200,
        messages_burst: one_of(rng, &[3, 20]),
        slowed_max: millis(4_000),
        message_timeout: millis(1_500),
        unfinished_bytes_max: 80 << 10,
        is_per_user: rng.random_bool(0.5),
        // One more than comes to it, or enough.
        connections_per_document_max: most + one_of(rng, &[1, 100]),
    });
}

/// The bucket is not there for a while, and documents are wanted that are in it:
/// nobody stays in memory, and servers start again.
fn mislay_the_bucket(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    swarm.bucket = swarm.bucket.spared();
    let start = swarm.storm.mul_f64(rng.random_range(0.2..0.6));
    let end = start + swarm.storm.mul_f64(rng.random_range(0.1..0.4));
    swarm.engine.idle_grace = millis(0);
    for node in 0..swarm.nodes {
        let at = start + (end - start).mul_f64(rng.random_range(0.0..0.8));
        swarm.troubles.push((at, lose_power(node, false)));
    }
    swarm.twists.mislaid = Some(start..end);
}

/// All that is taken is kept by a journal, which takes it.
fn keep_a_journal(swarm: &mut Swarm) {
    swarm.engine.journal = true;
    swarm.sync = SyncMode::Always;
    swarm.engine.unsaved_bytes_max = ENOUGH;
    swarm.engine.unsaved_bytes_total_max = ENOUGH;
}

fn lose_power(node: usize, at_removal: bool) -> Trouble {
    Trouble::Kill {
        node,
        power: true,
        at_change: None,
        at_removal,
        down: millis(100),
    }
}

fn during(rng: &mut ChaCha8Rng, swarm: &Swarm) -> Duration {
    swarm.storm.mul_f64(rng.random_range(0.1..0.9))
}
