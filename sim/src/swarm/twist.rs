//! Combinations that chance alone would bring together too seldom. Drawn apart
//! from everything else, so that worlds without them stay as they are.

use std::time::Duration;

use rand::{RngExt, rngs::ChaCha8Rng, seq::IndexedRandom};

use super::{ENOUGH, Habit, Happening, Incident, Swarm, millis};

type Twist = fn(&mut ChaCha8Rng, &mut Swarm);

/// Adds to a world what it draws of these.
pub(super) fn add(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    let twists: [(f64, Twist); 6] = [
        (0.1, hurry_shutdowns),
        (0.12, clean_up),
        (0.08, leave_unsaved),
        (0.06, forget_updates),
        (0.16, fill_documents),
        (0.05, delete_from_full),
    ];
    for (chance, twist) in twists {
        // Each draws from a stream of its own.
        let mut own = super::random::fork(rng);
        if rng.random_bool(chance) {
            twist(&mut own, swarm);
        }
    }
}

/// A supervisor has no patience: what is on its way then is still on its way
/// when the server ends.
fn hurry_shutdowns(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    for _ in 0..3 {
        let node = rng.random_range(0..swarm.nodes);
        let within = millis(rng.random_range(0..100));
        push(rng, swarm, Happening::Shutdown { node, within });
    }
}

/// Somebody removes the stored object again and again, and the server ends
/// soon after, perhaps before it has written the document once more.
fn clean_up(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    if !swarm.may_vanish() {
        return;
    }
    for _ in 0..6 {
        let at = push(rng, swarm, Happening::Vanish { doc: 0 });
        let at = at + millis(rng.random_range(0..2_000));
        let within = millis(rng.random_range(0..50));
        let what = Happening::Shutdown { node: 0, within };
        swarm.incidents.push(Incident { at, what });
    }
}

/// Documents leave for the journal as the store is away, and little may be
/// unsaved.
fn leave_unsaved(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    swarm.engine.journal = true;
    swarm.engine.unsaved_bytes_total_max = *[100, 400, 1_000].choose(rng).expect("not empty");
    swarm.engine.idle_grace = millis(0);
    swarm.comeback = 0.1;
    swarm.connection_loss = swarm.connection_loss.max(0.2);
    let lasts = swarm.storm.mul_f64(rng.random_range(0.2..0.6));
    let at = push(rng, swarm, Happening::Outage { lasts });
    let node = rng.random_range(0..swarm.nodes);
    let at = at + lasts.mul_f64(rng.random_range(0.0..0.5));
    let what = Happening::Crash { node };
    swarm.incidents.push(Incident { at, what });
}

/// Clients leave gaps all the time and close them, and few may be open at
/// once.
fn forget_updates(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    swarm.engine.journal = true;
    swarm.engine.gap_runs_max = rng.random_range(1..=3);
    swarm.engine.pending_delete_ranges_max = ENOUGH;
    swarm.engine.resync_delay = millis(50);
    // What is missing for ever would fill it for ever.
    swarm.journal.damage = false;
    let vanishes = |incident: &Incident| matches!(incident.what, Happening::Vanish { .. });
    swarm.incidents.retain(|incident| !vanishes(incident));
    for visitor in &mut swarm.clients {
        visitor.leaves = None;
        visitor.habit = Habit::Forgetful;
    }
}

/// Documents may not grow much: in bytes, in clients, or in types that stand in
/// each other.
fn fill_documents(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    swarm.raises_limits = true;
    swarm.engine.journal = true;
    swarm.journal.damage = false;
    let engine = &mut swarm.engine;
    match rng.random_range(0..7) {
        0 | 1 => engine.document_bytes_max = *[150, 400, 1_500].choose(rng).expect("not empty"),
        2 => {
            engine.documents_growth_max = *[1_000, 4_000].choose(rng).expect("not empty");
            engine.documents_bytes_max =
                engine.documents_bytes_max.min(engine.documents_growth_max);
        }
        3 => engine.type_depth_max = rng.random_range(1..=3),
        _ => {
            // Those whose first word the journal does not take have not written.
            engine.document_clients_max = rng.random_range(1..=2);
            swarm.journal.failure = swarm.journal.failure.max(0.2);
        }
    }
    for visitor in &mut swarm.clients {
        visitor.leaves = None;
    }
}

/// Documents are full most of the time, and everybody is there and goes on, also with
/// deleting, which makes room.
fn delete_from_full(rng: &mut ChaCha8Rng, swarm: &mut Swarm) {
    swarm.raises_limits = true;
    swarm.journal.damage = false;
    swarm.engine.document_bytes_max = *[150, 400].choose(rng).expect("not empty");
    swarm.engine.unsaved_bytes_max = ENOUGH;
    swarm.engine.unsaved_bytes_total_max = ENOUGH;
    swarm.storm = swarm.storm.max(millis(10_000));
    swarm.pause = millis(5)..millis(200);
    swarm.connection_loss = 0.0;
    for visitor in &mut swarm.clients {
        visitor.leaves = None;
    }
}

/// Has something happen at some time of the storm, which is returned.
fn push(rng: &mut ChaCha8Rng, swarm: &mut Swarm, what: Happening) -> Duration {
    let at = swarm.storm.mul_f64(rng.random_range(0.1..0.9));
    swarm.incidents.push(Incident { at, what });
    at
}
