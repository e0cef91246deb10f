//! What becomes of a request.

use std::time::Duration;

use rand::{RngExt, rngs::ChaCha8Rng};

use super::Command;
use crate::{
    full::{scene::Scene, swarm::BucketFaults},
    swarm::{between, millis},
};

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    /// It is carried out and answered.
    Served,
    /// The same, but the answer's body breaks off after so many thousandths.
    Truncated(usize),
    /// It is not carried out, and an error says so.
    Refused(u16, &'static str),
    /// It is carried out, and answered with an error that leaves that open.
    InternalAfter,
    /// It is carried out, and the connection breaks.
    ReplyLost,
    /// The connection breaks.
    RequestLost,
    /// There is no answer.
    Hangs { lands: bool },
    /// The connection breaks, and it is carried out after that.
    Late(Duration),
}

/// The bucket itself is not there, or not yet.
const NO_BUCKET: Fate = Fate::Refused(404, "NoSuchBucket");

/// A fate and its times.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) fate: Fate,
    pub(super) before: Duration,
    pub(super) after: Duration,
}

/// Draws what becomes of a request. Nothing goes wrong once all has healed, but
/// that a bucket may take nothing for a while longer.
pub(super) fn plan(scene: &Scene, command: &Command) -> Plan {
    let faults = &scene.swarm.bucket;
    let now = scene.now();
    let is_locked = is_locked(scene, command);
    let rng = &mut scene.bucket.borrow_mut().rng;
    if scene.is_healed() {
        let quick = millis(1)..millis(20);
        let is_shut = scene.is_store_shut.get() && written(scene, command).is_some();
        return Plan {
            fate: match is_shut {
                true => Fate::Refused(403, "AccessDenied"),
                false => Fate::Served,
            },
            before: between(rng, &quick),
            after: between(rng, &quick),
        };
    }
    let mislaid = scene.swarm.twists.mislaid.as_ref();
    let is_mislaid = mislaid.is_some_and(|mislaid| mislaid.contains(&now));
    let is_out = faults
        .outage
        .as_ref()
        .is_some_and(|outage| outage.contains(&now));
    Plan {
        fate: match is_out {
            true => draw_outage(rng),
            false if is_mislaid && rng.random_bool(0.5) => NO_BUCKET,
            false if is_mislaid => Fate::Refused(404, ""),
            false if is_locked => Fate::Refused(403, "AccessDenied"),
            false => draw(rng, faults, command),
        },
        before: between(rng, &faults.latency),
        after: between(rng, &faults.latency),
    }
}

/// Whether the object that is to be written may not be.
fn is_locked(scene: &Scene, command: &Command) -> bool {
    let locked = &scene.swarm.twists.locked;
    !locked.is_empty() && written(scene, command).is_some_and(|doc| locked.contains(&doc))
}

/// The number of the document that is to be written.
fn written(scene: &Scene, command: &Command) -> Option<usize> {
    match command {
        Command::Put { key, .. } => super::number(scene, key),
        _ => None,
    }
}

fn draw_outage(rng: &mut ChaCha8Rng) -> Fate {
    match rng.random_range(0..5) {
        0 => Fate::RequestLost,
        1 => Fate::Hangs { lands: false },
        2 => Fate::Refused(503, "ServiceUnavailable"),
        3 => Fate::Refused(503, ""),
        _ => NO_BUCKET,
    }
}

fn draw(rng: &mut ChaCha8Rng, faults: &BucketFaults, command: &Command) -> Fate {
    let is_put = matches!(command, Command::Put { .. });
    // Each is drawn, so that one fault does not change what others draw.
    let strikes = [
        faults.refused,
        faults.denied,
        faults.internal,
        faults.reply_lost,
        faults.request_lost,
        faults.hangs,
        faults.late,
        faults.truncated,
    ]
    .map(|chance| rng.random_bool(chance));
    let (coin, part) = (rng.random_bool(0.5), rng.random_range(0..1_000));
    let delay = millis(rng.random_range(1..4_000));
    let refusals: &[(u16, &'static str)] = match is_put {
        true => &[
            (503, "SlowDown"),
            (409, "ConditionalRequestConflict"),
            (409, "OperationAborted"),
            (400, "RequestTimeout"),
        ],
        false => &[(503, "SlowDown"), (404, ""), (400, "RequestTimeout")],
    };
    let refusal = refusals[rng.random_range(0..refusals.len())];
    match strikes.iter().position(|strikes| *strikes) {
        Some(0) => Fate::Refused(refusal.0, refusal.1),
        Some(1) if coin => NO_BUCKET,
        Some(1) => Fate::Refused(403, "AccessDenied"),
        Some(2) if coin => Fate::InternalAfter,
        Some(2) => Fate::Refused(500, "InternalError"),
        Some(3) => Fate::ReplyLost,
        Some(4) => Fate::RequestLost,
        Some(5) => Fate::Hangs { lands: coin },
        Some(6) if is_put => Fate::Late(delay),
        Some(7) if !is_put => Fate::Truncated(part),
        _ => Fate::Served,
    }
}
