//! Snapshots: when they are written, and what happens when that fails.

use std::time::Duration;

use ysyncd_engine::{Condition, Config, ConnId, Event, StoreError, protocol};

use super::{
    wire::{self, assert_same, state, text},
    world::{Save, Stage, World, matches, secs, snapshot},
};

fn down() -> StoreError {
    StoreError::Unavailable("down".into())
}

fn timeout() -> StoreError {
    StoreError::Unknown("timeout".into())
}

/// A document with one change whose save is under way.
fn saving() -> (World, ConnId, Save) {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "abc"));
    world.advance(secs(5));
    let save = world.take_save();
    (world, conn, save)
}

#[track_caller]
fn assert_holds(body: &[u8], updates: &[Vec<u8>]) {
    assert_same(&state([body]), &state(updates.iter().map(Vec::as_slice)));
}

/// How long the engine waits until it asks the store for something.
fn wait_for_store(world: &mut World) -> Duration {
    let start = world.now;
    while world.store_is_idle() {
        let due = world.poll_timeout().expect("something is planned");
        world.advance(due.saturating_sub(world.now));
        assert!(world.now - start < secs(1_000), "nothing is asked for");
    }
    world.now - start
}

#[test]
fn a_change_is_saved_5_s_after_the_last_one() {
    let mut world = World::new();
    let conn = world.joined("d");
    for clock in 0..4 {
        world.send_update(conn, &text(1, clock, "a"));
        world.advance(secs(4));
        assert!(world.store_is_idle());
    }
    world.advance(secs(1));
    let save = world.take_save();
    assert_holds(&save.body, &[text(1, 0, "aaaa")]);
    assert!(world.store_is_idle());
}

#[test]
fn a_change_is_saved_30_s_after_the_first_unsaved_one_at_the_latest() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.advance(secs(100));
    for clock in 0..30 {
        world.send_update(conn, &text(1, clock, "a"));
        assert!(world.store_is_idle());
        world.advance(secs(1));
    }
    let save = world.take_save();
    assert_holds(&save.body, &[text(1, 0, &"a".repeat(30))]);
}

#[test]
fn nothing_new_is_not_saved() {
    let (mut world, conn, save) = saving();
    world.saved(save.op, Ok("1"));
    world.send_update(conn, &text(1, 0, "abc"));
    world.send(conn, wire::awareness(&[(1, 1, "{}")]));
    world.advance(secs(100));
    assert!(world.store_is_idle());
}

#[test]
fn a_loaded_document_is_not_saved_unless_it_changes() {
    let mut world = World::new();
    let conn = world.open("d");
    let op = world.take_load();
    world.loaded(op, Ok(Some(snapshot(text(1, 0, "abc"), "e"))));
    world.advance(secs(100));
    world.leave(conn);
    world.advance(secs(100));
    assert!(world.store_is_idle());
}

#[test]
fn every_write_is_conditional_on_what_is_stored() {
    let (mut world, conn, save) = saving();
    assert_eq!(save.condition, Condition::Absent);
    world.saved(save.op, Ok("1"));
    for (clock, before, after) in [(3, "1", "2"), (4, "2", "3")] {
        world.send_update(conn, &text(1, clock, "d"));
        world.advance(secs(5));
        let save = world.take_save();
        assert_eq!(save.condition, matches(before));
        world.saved(save.op, Ok(after));
    }
}

#[test]
fn the_first_write_of_a_loaded_document_names_what_was_read() {
    let mut world = World::new();
    let conn = world.open("d");
    let op = world.take_load();
    world.loaded(op, Ok(Some(snapshot(text(1, 0, "abc"), "e"))));
    world.send_update(conn, &text(1, 3, "d"));
    world.advance(secs(5));
    let save = world.take_save();
    assert_eq!(save.condition, matches("e"));
    assert_holds(&save.body, &[text(1, 0, "abcd")]);
}

#[test]
fn one_write_is_in_flight_and_what_comes_meanwhile_is_written_after_it() {
    let (mut world, conn, save) = saving();
    world.send_update(conn, &text(1, 3, "d"));
    world.advance(secs(100));
    assert!(world.store_is_idle(), "one at a time");
    world.saved(save.op, Ok("1"));
    world.tick();
    let second = world.take_save();
    assert_eq!(second.condition, matches("1"));
    assert_holds(&second.body, &[text(1, 0, "abcd")]);
    world.saved(second.op, Ok("2"));
    world.advance(secs(100));
    assert!(world.store_is_idle());
}

#[test]
fn a_change_during_a_failed_write_is_written_with_the_rest() {
    let (mut world, conn, save) = saving();
    world.send_update(conn, &text(1, 3, "d"));
    world.saved(save.op, Err(down()));
    wait_for_store(&mut world);
    let second = world.take_save();
    assert_holds(&second.body, &[text(1, 0, "abcd")]);
    world.saved(second.op, Ok("1"));
    world.advance(secs(100));
    assert!(world.store_is_idle());
}

#[test]
fn failed_writes_are_retried_with_doubling_pauses_up_to_a_bound() {
    for error in [down(), StoreError::Denied("no".into())] {
        let (mut world, conn, mut save) = saving();
        let longest = [1, 2, 4, 8, 16, 32, 60, 60, 60];
        for (failure, longest) in longest.into_iter().enumerate() {
            world.saved(save.op, Err(error.clone()));
            // Going on to write does not hurry it.
            world.send_update(conn, &text(2, failure as u64, "x"));
            let pause = wait_for_store(&mut world);
            let (least, most) = (secs(longest) / 2, secs(longest));
            assert!(least <= pause && pause <= most, "{pause:?} of {most:?}");
            save = world.take_save();
            assert_eq!(save.condition, Condition::Absent);
        }
        world.saved(save.op, Ok("1"));
        // A success starts it over.
        world.send_update(conn, &text(3, 0, "y"));
        wait_for_store(&mut world);
        let save = world.take_save();
        world.saved(save.op, Err(down()));
        assert!(wait_for_store(&mut world) <= secs(1));
    }
}

#[test]
fn a_conflict_is_read_merged_told_to_clients_and_written_again() {
    let (mut world, conn, save) = saving();
    world.saved(save.op, Err(StoreError::Conflict));
    let load = world.take_load();
    let theirs = text(9, 0, "theirs");
    world.loaded(load, Ok(Some(snapshot(theirs.clone(), "other"))));
    assert_eq!(world.take(conn), [protocol::update(&theirs)]);
    assert!(world.told(|event| matches!(event, Event::SnapshotMerged { .. })));

    let pause = wait_for_store(&mut world);
    assert!(pause <= Duration::from_millis(200), "{pause:?}");
    let merged = world.take_save();
    assert_eq!(merged.condition, matches("other"));
    assert_holds(&merged.body, &[text(1, 0, "abc"), theirs]);
    world.saved(merged.op, Ok("mine"));
    world.advance(secs(100));
    assert!(world.store_is_idle());
}

#[test]
fn going_on_to_write_does_not_put_off_the_write_after_a_conflict() {
    let (mut world, conn, save) = saving();
    world.saved(save.op, Err(StoreError::Conflict));
    let load = world.take_load();
    let theirs = snapshot(text(9, 0, "theirs"), "other");
    world.loaded(load, Ok(Some(theirs)));
    world.send_update(conn, &text(1, 3, "d"));
    let pause = wait_for_store(&mut world);
    assert!(pause <= Duration::from_millis(200), "{pause:?}");
}

#[test]
fn conflicts_in_a_row_are_merged_one_by_one() {
    let (mut world, _, mut save) = saving();
    for round in 0..5 {
        world.saved(save.op, Err(StoreError::Conflict));
        let load = world.take_load();
        let other = text(100 + round, 0, "other");
        let name = format!("other {round}");
        world.loaded(load, Ok(Some(snapshot(other, &name))));
        assert!(wait_for_store(&mut world) <= Duration::from_millis(200));
        save = world.take_save();
        assert_eq!(save.condition, matches(&name));
    }
}

#[test]
fn a_conflict_with_our_own_write_that_landed_is_adopted_without_writing() {
    let (mut world, conn, save) = saving();
    world.events.clear();
    world.saved(save.op, Err(StoreError::Conflict));
    let load = world.take_load();
    world.loaded(load, Ok(Some(snapshot(save.body, "mine"))));
    world.advance(secs(100));
    assert!(world.store_is_idle());
    assert!(!world.told(|event| matches!(event, Event::SnapshotMerged { .. })));

    world.send_update(conn, &text(1, 3, "d"));
    world.advance(secs(5));
    assert_eq!(world.take_save().condition, matches("mine"));
}

#[test]
fn adopting_our_own_write_tells_clients_nothing_new() {
    // What compaction makes of deleted types is no news, and no merge.
    let mut world = World::new();
    let conn = world.joined("d");
    let mut outer = vec![7, 1];
    outer.extend([1, b'r', 0]);
    let child = [8, 0, 1, 0, 1, 125, 5].to_vec();
    let list = wire::update(&[(1, 0, vec![outer, child])], &[]);
    world.send_update(conn, &list);
    world.send_update(conn, &wire::deletion(1, 0, 1));
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(timeout()));
    world.take(conn);
    wait_for_store(&mut world);
    let load = world.take_load();
    world.loaded(load, Ok(Some(snapshot(save.body, "mine"))));
    assert!(world.take(conn).is_empty());
    assert!(!world.told(|event| matches!(event, Event::SnapshotMerged { .. })));
}

#[test]
fn a_merge_by_another_that_holds_ours_is_adopted_without_writing() {
    let (mut world, conn, save) = saving();
    world.saved(save.op, Err(timeout()));
    wait_for_store(&mut world);
    let load = world.take_load();
    let both = wire::update(
        &[
            (9, 0, vec![wire::first_text("x")]),
            (1, 0, vec![wire::first_text("abc")]),
        ],
        &[],
    );
    world.loaded(load, Ok(Some(snapshot(both, "merged"))));
    assert_eq!(world.take(conn), [protocol::update(&text(9, 0, "x"))]);
    world.advance(secs(100));
    assert!(world.store_is_idle(), "adopting does not make it dirty");
}

#[test]
fn after_an_unknown_outcome_it_is_read_before_the_next_write() {
    let (mut world, _, save) = saving();
    world.saved(save.op, Err(timeout()));
    assert!(world.store_is_idle());
    let pause = wait_for_store(&mut world);
    assert!(pause <= secs(1));
    let load = world.take_load();
    // It had not landed.
    world.loaded(load, Ok(None));
    wait_for_store(&mut world);
    let again = world.take_save();
    assert_eq!(again.condition, Condition::Absent);
    assert_eq!(again.body, save.body);
}

#[test]
fn a_read_that_fails_is_retried_with_growing_pauses() {
    let (mut world, _, save) = saving();
    world.saved(save.op, Err(StoreError::Conflict));
    let mut load = world.take_load();
    for longest in [1, 2, 4] {
        world.loaded(load, Err(down()));
        let pause = wait_for_store(&mut world);
        assert!(secs(longest) / 2 <= pause && pause <= secs(longest));
        load = world.take_load();
    }
    world.loaded(load, Ok(Some(snapshot(text(9, 0, "x"), "other"))));
    wait_for_store(&mut world);
    assert_eq!(world.take_save().condition, matches("other"));
}

#[test]
fn a_snapshot_that_vanished_is_written_anew() {
    let mut world = World::new();
    let conn = world.open("d");
    let op = world.take_load();
    world.loaded(op, Ok(Some(snapshot(text(1, 0, "abc"), "e"))));
    world.send_update(conn, &text(1, 3, "d"));
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Conflict));
    let load = world.take_load();
    world.loaded(load, Ok(None));
    wait_for_store(&mut world);
    let again = world.take_save();
    assert_eq!(again.condition, Condition::Absent);
    assert_holds(&again.body, &[text(1, 0, "abcd")]);
}

#[test]
fn a_snapshot_that_became_undecodable_is_never_written_over() {
    let (mut world, conn, save) = saving();
    world.saved(save.op, Err(StoreError::Conflict));
    for _ in 0..10 {
        let load = world.take_load();
        world.loaded(load, Ok(Some(snapshot(vec![9, 9], "bad"))));
        assert!(world.told(|event| matches!(event, Event::DocumentUndecodable { .. })));
        world.send_update(conn, &text(2, 0, "x"));
        wait_for_store(&mut world);
    }
    world.take_load();
    assert_eq!(world.stage(conn), Stage::Open, "who is in may go on");
}

#[test]
fn where_live_and_stored_disagree_on_an_id_the_stored_one_wins() {
    let (mut world, conn, save) = saving();
    world.saved(save.op, Err(StoreError::Conflict));
    let load = world.take_load();
    world.loaded(load, Ok(Some(snapshot(text(1, 0, "XY"), "other"))));
    wait_for_store(&mut world);
    let merged = world.take_save();
    let expected = [wire::first_text("XY"), wire::text_after(1, 1, "c")];
    let apart = wire::update(&[(1, 0, expected.to_vec())], &[]);
    assert_eq!(merged.body, state([apart.as_slice()]).encode());
    assert!(world.take(conn).is_empty(), "no id of it is new");
}

#[test]
fn a_change_while_the_stored_is_read_is_not_lost() {
    let (mut world, conn, save) = saving();
    world.saved(save.op, Err(timeout()));
    wait_for_store(&mut world);
    let load = world.take_load();
    world.send_update(conn, &text(1, 3, "d"));
    // Our write had landed, without the change.
    world.loaded(load, Ok(Some(snapshot(save.body, "mine"))));
    wait_for_store(&mut world);
    let second = world.take_save();
    assert_eq!(second.condition, matches("mine"));
    assert_holds(&second.body, &[text(1, 0, "abcd")]);
}

#[test]
fn saving_drops_deleted_content_unless_gc_is_off() {
    for gc in [true, false] {
        let config = Config {
            gc,
            ..Config::default()
        };
        let mut world = World::with(config);
        let conn = world.joined("d");
        world.send_update(conn, &text(1, 0, "a secret that is long"));
        world.send_update(conn, &wire::deletion(1, 0, 21));
        world.advance(secs(5));
        let save = world.take_save();
        let told = save.body.windows(6).any(|part| part == b"secret");
        assert_eq!(told, !gc);
    }
}

#[test]
fn a_conflict_while_draining_is_merged_before_the_document_leaves() {
    let (mut world, conn, save) = saving();
    world.leave(conn);
    world.advance(secs(30));
    world.saved(save.op, Err(StoreError::Conflict));
    let load = world.take_load();
    world.loaded(load, Ok(Some(snapshot(text(9, 0, "x"), "other"))));
    let unloaded = |event: &Event| matches!(event, Event::DocumentUnloaded { .. });
    assert!(!world.told(unloaded));
    wait_for_store(&mut world);
    let merged = world.take_save();
    world.saved(merged.op, Ok("mine"));
    assert!(world.told(unloaded));
}
