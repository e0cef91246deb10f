//! What once went wrong does not, on the inputs that it went wrong on.

use std::{fs, path::PathBuf};

use ysyncd_sim::{Configuration, Recorded, Swarm, Tape, can_plant, full};

/// The files of the folder whose names end so, each as a text.
fn files(ending: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let entries = fs::read_dir(folder).expect("the folder is there");
    let entries = entries.map(|entry| entry.expect("it can be listed").path());
    let named = entries.map(|path| (path.display().to_string(), path));
    let mut named: Vec<_> = named.filter(|(name, _)| name.ends_with(ending)).collect();
    named.sort();
    let read = |(name, path)| (name, fs::read_to_string(path).expect("it can be read"));
    named.into_iter().map(read).collect()
}

fn tapes() -> Vec<(String, Tape)> {
    let read = |(name, text): (String, String)| {
        let tape = Tape::from_text(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, tape)
    };
    files(".tape").into_iter().map(read).collect()
}

fn worlds<C: Configuration>(ending: &str) -> Vec<(String, Recorded<C>)> {
    let read = |(name, text): (String, String)| {
        let world = Recorded::from_text(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, world)
    };
    files(ending).into_iter().map(read).collect()
}

const ENGINE: &str = ".engine.json";
const FULL: &str = ".full.json";

#[test]
fn tapes_of_what_went_wrong_hold() {
    let tapes = tapes();
    assert!(!tapes.is_empty());
    for (name, tape) in tapes {
        let played = tape.replay();
        let played = played.unwrap_or_else(|violation| panic!("{name}: {violation}"));
        assert_eq!(
            played,
            tape.inputs.len(),
            "{name}: the engine goes another way, and the tape has to be recorded anew"
        );
    }
}

#[test]
fn worlds_of_the_engine_layer_that_went_wrong_hold() {
    hold::<Swarm>(ENGINE);
}

#[test]
fn worlds_of_the_full_layer_that_went_wrong_hold() {
    hold::<full::Swarm>(FULL);
}

fn hold<C: Configuration>(ending: &str) {
    let worlds = worlds::<C>(ending);
    assert!(!worlds.is_empty());
    // Where documents are made to panic, that takes a build that can.
    let can_run = |world: &Recorded<C>| can_plant().is_ok() || !world.swarm.panics();
    for (name, world) in worlds.into_iter().filter(|(_, world)| can_run(world)) {
        let violation = world.run().violation;
        assert!(
            violation.is_none(),
            "{name}: {}",
            violation.expect("it is one")
        );
    }
}

/// That they can fail: with the bug that they were recorded with they do.
#[cfg(feature = "mutants")]
#[test]
fn tapes_of_planted_bugs_fail_with_these() {
    for (name, tape) in tapes() {
        let Some(planted) = &tape.head.planted else {
            continue;
        };
        ysyncd_sim::plant(Some(planted.parse().expect("the bug is known")));
        let replayed = tape.replay();
        ysyncd_sim::plant(None);
        let violated = replayed.err().map(|violation| violation.invariant);
        assert_eq!(violated, tape.head.invariant, "{name}");
    }
}

#[cfg(feature = "mutants")]
#[test]
fn worlds_of_planted_bugs_fail_with_these() {
    fail::<Swarm>(ENGINE);
    fail::<full::Swarm>(FULL);
}

#[cfg(feature = "mutants")]
fn fail<C: Configuration>(ending: &str) {
    for (name, world) in worlds::<C>(ending) {
        let Some(planted) = &world.planted else {
            continue;
        };
        ysyncd_sim::plant(Some(planted.parse().expect("the bug is known")));
        let violation = world.run().violation;
        ysyncd_sim::plant(None);
        let violated = violation.map(|violation| violation.invariant);
        assert_eq!(
            violated,
            Some(world.invariant),
            "{name}: it goes another way, and has to be recorded anew"
        );
    }
}
