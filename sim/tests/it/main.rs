//! The simulation itself: worlds hold, and repeat.

#[cfg(feature = "mutants")]
mod panics;
mod regressions;

use std::thread;

use ysyncd_sim::{Outcome, Recording, Shape, Swarm, full};

fn run(seed: u64, recording: Recording) -> Outcome {
    ysyncd_sim::run(seed, &Swarm::draw(seed, Shape::Swarm), recording)
}

fn run_full(seed: u64) -> Outcome {
    full::run(
        seed,
        &full::Swarm::draw(seed, Shape::Swarm),
        Recording::Last,
    )
}

#[test]
fn worlds_hold() {
    // In 7158 somebody comes to wait for a large answer, and is kept alive at once.
    for seed in (0..24).chain([7158]) {
        let outcome = run(seed, Recording::Last);
        let violation = outcome.violation.map(|violation| violation.to_string());
        assert_eq!(violation, None, "seed {seed}");
    }
}

#[test]
fn a_seed_runs_the_same_again_and_another_does_not() {
    let hash = |seed| run(seed, Recording::Last).hash;
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}

#[test]
fn worlds_of_the_full_stack_hold() {
    // In 3132 a server had a ping to answer as it closed. In 6155 a server is killed
    // twice, and what the first life showed comes when that has ended. In 12950 the word
    // that a token has expired is lost with what a partition swallowed before.
    for seed in (0..12).chain([3132, 6155, 12950]) {
        let outcome = run_full(seed);
        let violation = outcome.violation.map(|violation| violation.to_string());
        assert_eq!(violation, None, "seed {seed}");
    }
}

#[test]
fn a_seed_of_the_full_stack_runs_the_same_again_and_another_does_not() {
    let hash = |seed| run_full(seed).hash;
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}

/// A batch runs its seeds on several threads of one process.
#[test]
fn a_seed_of_the_full_stack_runs_the_same_whatever_runs_beside_it() {
    let hash = |seed| {
        let swarm = full::Swarm::draw(seed, Shape::Small);
        full::run(seed, &swarm, Recording::Last).hash
    };
    // In this one a server dies with two connections to its bucket.
    let alone = hash(20);
    thread::scope(|scope| {
        let beside = scope.spawn(|| (21..27).for_each(|seed| _ = hash(seed)));
        while !beside.is_finished() {
            assert_eq!(hash(20), alone);
        }
    });
}
