//! What once went wrong does not, on the inputs that it went wrong on.

use std::{fs, path::PathBuf};

use ysyncd_sim::{Configuration, Recording, Shape, Tape, Violation, full};

fn tapes() -> Vec<(PathBuf, Tape)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "tape")
        })
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("it can be read");
        let tape = Tape::from_text(&text).expect("it is a tape");
        (path, tape)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn tapes_of_what_went_wrong_hold() {
    let tapes = tapes();
    assert!(!tapes.is_empty());
    for (path, tape) in tapes {
        let name = path.display();
        let played = tape.replay();
        let played = played.unwrap_or_else(|violation| panic!("{name}: {violation}"));
        assert_eq!(
            played,
            tape.inputs.len(),
            "{name}: the engine goes another way, and the tape has to be recorded anew"
        );
    }
}

/// A token ends in the moment in which somebody goes for good: whoever comes back with
/// another sees those who were there when they say so again.
#[test]
fn who_comes_back_as_another_goes_may_take_its_time_to_see_it() {
    full_world_holds(1_795_808_966_272);
}

/// What another node took is saved by that, and only when it has had twice the time for
/// it, here.
#[test]
fn what_another_node_took_may_wait_twice_as_long_to_be_saved() {
    full_world_holds(1_795_814_000_858);
}

/// Two clients at two nodes know each what the other's node lacks, and send all they
/// have with a part that waits for it, where nothing may wait.
#[test]
fn of_what_opens_too_many_gaps_the_rest_reaches_the_other_node() {
    full_world_holds(1_795_808_969_002);
}

fn full_world_holds(seed: u64) {
    let swarm = full::Swarm::draw(seed, Shape::Swarm);
    let outcome = swarm.run(seed, Recording::Last);
    let violation = outcome.violation.as_ref().map(Violation::to_string);
    assert_eq!(violation, None, "seed {seed}");
}

/// That they can fail: with the bug that they were recorded with they do.
#[cfg(feature = "mutants")]
#[test]
fn tapes_of_planted_bugs_fail_with_these() {
    for (path, tape) in tapes() {
        let Some(planted) = &tape.head.planted else {
            continue;
        };
        ysyncd_sim::plant(Some(planted.parse().expect("the bug is known")));
        let replayed = tape.replay();
        ysyncd_sim::plant(None);
        let violated = replayed.err().map(|violation| violation.invariant);
        assert_eq!(violated, tape.head.invariant, "{}", path.display());
    }
}
