//! How much may be lost where something may.

use std::time::Duration;

use ysyncd_storage::journal::disk::SyncMode;

use crate::full::{
    scene::Scene,
    swarm::{Swarm, Trouble},
};

/// Power was lost where a node's journal is. If commits are synced later, what
/// has waited for that may be gone: as long as the interval, and as the disk
/// takes for the turn before the sync and for that itself.
pub(super) fn after_power_loss(now: Duration, node: usize, scene: &Scene) {
    let swarm = &scene.swarm;
    let SyncMode::Interval(interval) = swarm.sync else {
        return;
    };
    let window = interval + swarm.disk_latency.end * 4 + swarm.tick * 4;
    let victims = match swarm.is_one_machine {
        true => 0..swarm.nodes,
        false => node..node + 1,
    };
    // After a failure nothing is synced until the journal is written anew; and
    // of a sync that failed nobody hears before the next call.
    let recovery = swarm.engine.reopen_delay_max + window;
    let is_failing = |(at, trouble): &(Duration, Trouble)| match trouble {
        Trouble::Disk { node, .. } | Trouble::SyncFails { node, .. } => {
            *at <= now && victims.contains(node)
        }
        Trouble::DiskFull { node, time, .. } | Trouble::Unreadable { node, time } => {
            (*at..*at + *time + recovery).contains(&now) && victims.contains(node)
        }
        _ => false,
    };
    let since = match swarm.troubles.iter().any(is_failing) {
        true => Duration::ZERO,
        false => now.saturating_sub(window),
    };
    for victim in victims {
        // It may be down already since another loss.
        let sure_until = &scene.nodes[victim].sure_until;
        let before = sure_until.get();
        sure_until.set(Some(before.map_or(since, |before| before.min(since))));
    }
}

/// A node has ended without a word. Without a journal, what it did not save is
/// gone: no more than it may have left unsaved, if the store answered.
pub(super) fn after_end(now: Duration, node: usize, scene: &Scene) {
    if scene.swarm.engine.journal {
        return;
    }
    let since = match is_bounded(now, scene) {
        true => now.saturating_sub(window(&scene.swarm)),
        false => Duration::ZERO,
    };
    let lost = scene.ledger.borrow_mut().lose_window(now, node, since);
    scene.judge(lost);
}

/// A change waits for its write, that for the one under way and for its turn,
/// and some writes meet their own, of which they had not heard.
fn window(swarm: &Swarm) -> Duration {
    let engine = &swarm.engine;
    // And the one of somebody hostile.
    let documents = u32::try_from(swarm.documents + 1).expect("documents are few");
    let writes = operation(swarm) * (3 * documents + 3);
    let conflicts = match swarm.nodes {
        1 => Duration::ZERO,
        _ => engine.conflict_delay_max * 3,
    };
    engine.save_debounce.max(engine.save_wait_max) + writes + conflicts
}

/// What one thing takes that a store is asked, with a connection for it.
fn operation(swarm: &Swarm) -> Duration {
    // There and back for the connection, and once more for the rest.
    swarm.bucket.latency.end * 2 + (swarm.latency + swarm.tick * 2) * 4
}

/// Whether the store has answered for so long that there is a bound in time.
/// Somebody who writes all the time may keep others from it.
fn is_bounded(now: Duration, scene: &Scene) -> bool {
    let engine = &scene.swarm.engine;
    let is_let = scene.swarm.nodes == 1 || engine.save_debounce > engine.conflict_delay_max * 5;
    let trouble = scene.store_trouble.get();
    let is_calm =
        trouble.is_zero() || trouble + engine.retry_delay_max + window(&scene.swarm) < now;
    is_let && is_calm && operation(&scene.swarm) < scene.swarm.store_timeout
}

/// The store fails somebody, who may wait for an answer after that.
pub(in crate::full) fn store_fails_until(until: Duration, scene: &Scene) {
    let until = until + scene.swarm.store_timeout;
    let trouble = &scene.store_trouble;
    trouble.set(trouble.get().max(until));
}
