//! What neither the store nor the journal holds, and what both hold more than
//! once.

use std::time::Duration;

use bytes::Bytes;
use ysyncd_engine::{
    Config, ConnId, DocId, Event, Input, JournalCommand, JournalError, JournalRecord,
    JournalResult, Position, StoreError, protocol,
};

use super::{
    wire::{self, text},
    world::{Stage, World, doc, secs, snapshot},
};

fn journaling() -> Config {
    Config {
        journal: true,
        ..Config::default()
    }
}

fn down() -> StoreError {
    StoreError::Unavailable("down".into())
}

fn read(update: Vec<u8>) -> JournalResult {
    let (position, update) = (Position(1), Bytes::from(update));
    JournalResult::Read(Ok(vec![JournalRecord { position, update }]))
}

/// A document of which the store alone held most, whose object then
/// vanished: memory has the only copy. The store takes no writes.
fn only_copy(world: &mut World, base: &str) -> ConnId {
    vanishes(world, text(9, 0, base))
}

fn vanishes(world: &mut World, stored: Vec<u8>) -> ConnId {
    let conn = world.open("d");
    let op = world.take_load();
    world.loaded(op, Ok(Some(snapshot(stored, "1"))));
    world.send_update(conn, &text(1, 0, "a"));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Conflict));
    let op = world.take_load();
    world.loaded(op, Ok(None));
    world.advance(secs(1));
    let save = world.take_save();
    world.saved(save.op, Err(down()));
    conn
}

#[test]
fn the_only_copy_of_a_snapshot_is_not_told_to_be_in_the_journal() {
    let mut world = World::with(journaling());
    only_copy(&mut world, "base");
    world.shut_down(secs(1));
    world.advance(secs(1));
    assert_eq!(world.journaled, [] as [DocId; 0]);
    assert_eq!(world.drained, Some(vec![doc("d")]));
}

#[test]
fn nothing_is_lost_with_a_stored_object_that_held_nothing() {
    let mut world = World::with(journaling());
    vanishes(&mut world, vec![0, 0]);
    world.shut_down(secs(1));
    world.advance(secs(1));
    assert_eq!(world.journaled, [doc("d")]);
    assert_eq!(world.drained, Some(vec![]));
}

#[test]
fn what_was_never_stored_is_told_to_be_in_the_journal() {
    let mut world = World::with(journaling());
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Unknown("no answer".into())));
    world.advance(secs(1));
    let op = world.take_load();
    world.loaded(op, Ok(None));
    world.shut_down(secs(1));
    world.advance(secs(1));
    assert_eq!(world.journaled, [doc("d")]);
    assert_eq!(world.drained, Some(vec![]));
}

#[test]
fn the_only_copy_of_a_snapshot_does_not_leave_memory() {
    let mut world = World::with(Config {
        documents_bytes_max: 50,
        ..journaling()
    });
    let conn = only_copy(&mut world, &"b".repeat(60));
    world.leave(conn);
    world.open("other");
    let unloaded = |event: &Event| matches!(event, Event::DocumentUnloaded { .. });
    assert!(!world.told(unloaded));
}

#[test]
fn the_only_copy_does_not_leave_where_the_stored_one_became_undecodable() {
    let mut world = World::with(Config {
        documents_bytes_max: 50,
        ..journaling()
    });
    let conn = world.open("d");
    let op = world.take_load();
    world.loaded(op, Ok(Some(snapshot(text(9, 0, &"b".repeat(60)), "1"))));
    world.send_update(conn, &text(1, 0, "a"));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Conflict));
    let op = world.take_load();
    world.loaded(op, Ok(Some(snapshot(&b"garbage"[..], "2"))));
    world.leave(conn);
    world.open("other");
    let unloaded = |event: &Event| matches!(event, Event::DocumentUnloaded { .. });
    assert!(!world.told(unloaded));
}

/// A snapshot landed while the journal had failed, so that it was not told to
/// forget the record that it held; then its object vanished.
#[test]
fn the_journal_keeps_what_only_a_vanished_snapshot_held() {
    let failed = || JournalError::Failed("no room".into());
    let mut world = World::with(journaling());
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.send_update(conn, &text(1, 1, "b"));
    world.sync();
    world.send_update(conn, &text(1, 2, "c"));
    let (op, _) = world.take_journal();
    world.journal(op, JournalResult::Appended(Err(failed())));
    world.saved(save.op, Ok("1"));
    // What came during the save is written next; the object is gone by then.
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Conflict));
    let op = world.take_load();
    world.loaded(op, Ok(None));
    let (op, command) = world.take_journal();
    assert_eq!(command, JournalCommand::Reopen);
    world.journal(op, JournalResult::Reopened(Ok(())));
    assert!(world.journal_is_idle(), "nothing may be forgotten");
    // The snapshot that is written anew holds it.
    world.advance(secs(1));
    let save = world.take_save();
    world.saved(save.op, Ok("2"));
    let (_, command) = world.take_journal();
    assert!(
        matches!(command, JournalCommand::Trim { .. }),
        "{command:?}"
    );
}

#[test]
fn documents_that_cannot_be_saved_do_not_keep_others_from_being_pushed() {
    let mut world = World::with(Config {
        pushes_max: 1,
        ..journaling()
    });
    let docs: Vec<DocId> = ["a", "b"].map(doc).into();
    world.handle(Input::JournalHolds { docs });
    let (op, _) = world.take_journal();
    world.journal(op, read(text(1, 0, "a")));
    let op = world.take_load();
    world.loaded(op, Ok(None));
    // This one is refused for ever; the other would be taken.
    for _ in 0..20 {
        if world.store_is_idle() {
            world.advance(secs(60));
        }
        if !world.journal_is_idle() {
            let (_, command) = world.take_journal();
            assert_eq!(command, JournalCommand::Read { doc: doc("b") });
            return;
        }
        let save = world.take_save();
        world.saved(save.op, Err(StoreError::Denied("not this one".into())));
    }
    panic!("the other document is never pushed");
}

#[test]
fn a_journal_that_reopens_but_takes_nothing_is_reopened_with_growing_pauses() {
    let full = || JournalError::Failed("the disk is full".into());
    let mut world = World::with(journaling());
    let one = world.joined("d");
    let mut pauses = Vec::<Duration>::new();
    world.send_update(one, &text(1, 0, "large"));
    for _ in 0..10 {
        // What is small still fits: a trim. The update does not.
        let op = loop {
            match world.take_journal() {
                (op, JournalCommand::Trim { .. }) => {
                    world.journal(op, JournalResult::Trimmed(Ok(())));
                }
                (op, _) => break op,
            }
        };
        world.journal(op, JournalResult::Appended(Err(full())));
        let before = world.now;
        while world.journal_is_idle() {
            let due = world.poll_timeout().expect("it is tried again");
            world.advance(due.saturating_sub(world.now));
        }
        pauses.push(world.now - before);
        let (op, command) = world.take_journal();
        assert_eq!(command, JournalCommand::Reopen);
        world.take(one);
        world.journal(op, JournalResult::Reopened(Ok(())));
        // It is asked, and brings the same again.
        while !world.take(one).contains(&wire::sync_step_1(&[])) {
            let due = world.poll_timeout().expect("it is asked");
            world.advance(due.saturating_sub(world.now));
        }
        world.send(one, protocol::sync_step_2(&text(1, 0, "large")));
    }
    assert!(pauses[9] >= secs(5), "{pauses:?}");
}

#[test]
fn what_was_taken_in_from_another_writer_counts_as_memory() {
    let mut world = World::new();
    let one = world.joined("d");
    world.send_update(one, &text(1, 0, "a"));
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Unknown("timeout".into())));
    world.advance(secs(1));
    let op = world.take_load();
    // Another node's merge holds ours, and much more.
    let stored = wire::state([
        text(1, 0, "a").as_slice(),
        text(2, 0, &"x".repeat(100_000)).as_slice(),
    ]);
    world.loaded(op, Ok(Some(snapshot(stored.encode(), "2"))));
    assert_eq!(world.stage(one), Stage::Open);
    assert!(world.status().documents_bytes > 100_000);
}

#[test]
fn what_the_journal_holds_twice_counts_twice() {
    let mut world = World::with(Config {
        unsaved_bytes_max: 10_000,
        ..journaling()
    });
    let conn = world.joined("d");
    let mut kept = 0;
    for clock in 0..50 {
        let update = text(1, clock * 100, &"x".repeat(100));
        // A frame holds many; each is new until the first is durable.
        let frame: Vec<u8> = (0..20)
            .flat_map(|_| protocol::update(&update).to_vec())
            .collect();
        world.send(conn, frame);
        while !world.journal_is_idle() {
            let (op, update) = world.take_append();
            kept += update.len();
            world.journal(op, JournalResult::Appended(Ok(())));
        }
    }
    // Nothing was saved, so that all of it is in the journal.
    assert!(kept <= 20_000, "the journal holds {kept} bytes");
}

#[test]
fn a_document_that_comes_back_from_the_backlog_counts_once() {
    let mut world = World::with(Config {
        documents_bytes_max: 50,
        unsaved_bytes_total_max: 150,
        ..journaling()
    });
    let one = world.joined("a");
    let update = text(1, 0, &"a".repeat(100));
    world.send_update(one, &update);
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(down()));
    world.leave(one);
    let two = world.open("b");
    let op = world.take_load();
    world.loaded(op, Ok(None));
    world.leave(two);
    world.advance(secs(5));
    let (op, _) = world.take_journal();
    world.journal(op, read(update));
    let op = world.take_load();
    world.loaded(op, Ok(None));
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    world.sync();
    let three = world.joined("c");
    world.send_update(three, &text(3, 0, &"c".repeat(100)));
    assert!(!world.journal_is_idle(), "there is room for it");
    world.send_update(three, &text(3, 100, &"c".repeat(10)));
    world.sync();
    assert!(!world.told(|event| matches!(event, Event::UpdateRefused { .. })));
}
