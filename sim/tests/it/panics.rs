//! Documents whose code panics: that is borne where it is made to be, and never
//! goes unseen.

use ysyncd_engine::planted::Bug;
use ysyncd_sim::{
    Configuration, Invariant, Outcome, Recording, Shape, Swarm, Violation, full, plant,
};

fn draw<C: Configuration>(seed: u64) -> C {
    C::draw(seed, Shape::Swarm)
}

fn violation(outcome: &Outcome) -> Option<String> {
    let violation = outcome.violation.as_ref();
    violation.map(Violation::to_string)
}

#[test]
fn documents_that_panic_cost_their_own_connections_alone() {
    // In 2778 a document fails as it hears that the journal has not taken a change; in
    // 11255 others have room again, then; in 16523 somebody goes for good before the
    // failure, and what comes after is there without what it builds on.
    for seed in (0..48).chain([2778, 11255, 16523]) {
        let swarm = draw::<Swarm>(seed).with_panics();
        let outcome = swarm.run(seed, Recording::Last);
        assert_eq!(violation(&outcome), None, "seed {seed}");
    }
}

#[test]
fn the_same_holds_in_the_full_stack() {
    // In 142 a process is killed in the moment in which everything heals.
    for seed in (0..12).chain([142]) {
        let swarm = draw::<full::Swarm>(seed).with_panics();
        let outcome = swarm.run(seed, Recording::Last);
        assert_eq!(violation(&outcome), None, "seed {seed}");
    }
}

#[test]
fn a_panic_that_nobody_made_is_a_violation() {
    fn first<C: Configuration>() -> Option<Invariant> {
        plant(Some(Bug::DocumentPanics));
        let outcomes = (0..10).map(|seed| draw::<C>(seed).run(seed, Recording::Last));
        let mut violations = outcomes.filter_map(|outcome| outcome.violation);
        let first = violations.next();
        plant(None);
        first.map(|violation| violation.invariant)
    }
    assert_eq!(first::<Swarm>(), Some(Invariant::Panic));
    assert_eq!(first::<full::Swarm>(), Some(Invariant::Panic));
}
