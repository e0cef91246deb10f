//! Durable before visible: what the journal has not taken, nobody is shown.

use bytes::Bytes;
use ysyncd_engine::{
    Config, ConnId, DocId, Event, Input, JournalCommand, JournalError, JournalRecord,
    JournalResult, OpId, Position, Refusal, StoreError, protocol,
};

use super::{
    wire::{self, assert_same, state, text},
    world::{Stage, World, doc, secs, snapshot},
};

fn journaling() -> Config {
    Config {
        journal: true,
        ..Config::default()
    }
}

fn world() -> World {
    World::with(journaling())
}

fn full() -> JournalError {
    JournalError::Failed("the disk is full".into())
}

const APPENDED: JournalResult = JournalResult::Appended(Ok(()));

fn records(updates: &[Vec<u8>]) -> JournalResult {
    let records = (1..).zip(updates).map(|(position, update)| JournalRecord {
        position: Position(position),
        update: Bytes::copy_from_slice(update),
    });
    JournalResult::Read(Ok(records.collect()))
}

/// A world whose journal holds updates of documents from an earlier life.
fn with_records(docs: &[&str]) -> World {
    let mut world = world();
    let docs: Vec<DocId> = docs.iter().copied().map(doc).collect();
    world.handle(Input::JournalHolds { docs });
    world
}

#[track_caller]
fn take_read(world: &mut World, name: &str) -> OpId {
    let (op, command) = world.take_journal();
    assert_eq!(command, JournalCommand::Read { doc: doc(name) });
    op
}

#[track_caller]
fn take_reopen(world: &mut World) -> OpId {
    let (op, command) = world.take_journal();
    assert_eq!(command, JournalCommand::Reopen);
    op
}

fn fail_all(world: &mut World) {
    while !world.journal_is_idle() {
        let (op, _) = world.take_append();
        world.journal(op, JournalResult::Appended(Err(full())));
    }
}

/// Fails the journal under a client's update.
fn failed(world: &mut World, conn: ConnId) {
    world.send_update(conn, &text(1, 0, "lost?"));
    fail_all(world);
}

fn is_refusal(frame: &Bytes) -> bool {
    frame.starts_with(&[2, 0])
}

#[test]
fn an_update_is_shown_to_others_once_it_is_durable() {
    let mut world = world();
    let (one, two) = (world.joined("d"), world.joined("d"));
    world.send_update(one, &text(1, 0, "a"));
    assert!(world.take(two).is_empty());
    let (op, update) = world.take_append();
    assert_eq!(update, text(1, 0, "a"));
    world.journal(op, APPENDED);
    assert_eq!(world.take(two), [protocol::update(&text(1, 0, "a"))]);
}

#[test]
fn one_answer_may_make_many_updates_durable() {
    let mut world = world();
    let (one, two) = (world.joined("d"), world.joined("d"));
    let (other, beside) = (world.joined("e"), world.joined("e"));
    world.send_update(one, &text(1, 0, "a"));
    world.send_update(one, &text(1, 1, "b"));
    world.send_update(other, &text(1, 0, "c"));
    world.send_update(one, &text(1, 2, "d"));
    world.send_update(one, &text(1, 3, "e"));
    let ops: Vec<_> = (0..5).map(|_| world.take_append().0).collect();
    world.journal(ops[3], APPENDED);
    let told = |updates: &[Vec<u8>]| -> Vec<_> {
        updates
            .iter()
            .map(|bytes| protocol::update(bytes))
            .collect()
    };
    let [a, b, d] = [(0, "a"), (1, "b"), (2, "d")].map(|(clock, is)| text(1, clock, is));
    assert_eq!(world.take(two), told(&[a, b, d]), "and not the last one");
    assert_eq!(world.take(beside), told(&[text(1, 0, "c")]));
    world.journal(ops[4], APPENDED);
    assert_eq!(world.take(two), told(&[text(1, 3, "e")]));
}

#[test]
fn one_answer_may_fail_many_updates() {
    let mut world = world();
    let (one, two) = (world.joined("d"), world.joined("d"));
    let other = world.joined("e");
    world.send_update(one, &text(1, 0, "a"));
    world.send_update(two, &text(2, 0, "b"));
    world.send_update(other, &text(1, 0, "c"));
    let ops: Vec<_> = (0..3).map(|_| world.take_append().0).collect();
    world.journal(ops[2], JournalResult::Appended(Err(full())));
    for conn in [one, two, other] {
        let told = world.take(conn);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(is_refusal(&told[0]));
    }
}

#[test]
fn an_answer_to_an_update_is_one_to_what_is_forgotten_before_it() {
    let mut world = world();
    let one = world.joined("d");
    world.send_update(one, &text(1, 0, "a"));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    assert_eq!(world.take_trim().1, Position(1));
    world.send_update(one, &text(1, 1, "b"));
    let (op, _) = world.take_append();
    world.journal(op, APPENDED);
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Ok("2"));
    assert_eq!(world.take_trim().1, Position(2));
}

#[test]
fn nothing_that_is_told_covers_what_is_not_durable() {
    let mut world = world();
    let one = world.joined("d");
    world.send_update(one, &text(1, 0, "a"));
    let two = world.open("d");
    assert_eq!(world.take(two), [wire::sync_step_1(&[])]);
    world.send(two, wire::sync_step_1(&[]));
    let answer = world.take(two);
    assert_same(&state([wire::read_step_2(&answer[0])]), &state([]));
    world.sync();
    assert_eq!(world.take(two), [protocol::update(&text(1, 0, "a"))]);
}

#[test]
fn nothing_new_makes_no_record() {
    let mut world = world();
    let one = world.joined("d");
    world.send_update(one, &text(1, 0, "a"));
    world.sync();
    world.send_update(one, &text(1, 0, "a"));
    assert!(world.journal_is_idle());
}

#[test]
fn the_same_sent_twice_before_it_is_durable_is_shown_once() {
    let mut world = world();
    let (one, two) = (world.joined("d"), world.joined("d"));
    world.send_update(one, &text(1, 0, "a"));
    world.send_update(one, &text(1, 0, "a"));
    world.sync();
    assert_eq!(world.take(two).len(), 1);
}

#[test]
fn what_a_client_sent_before_it_went_is_kept() {
    let mut world = world();
    let (one, two) = (world.joined("d"), world.joined("d"));
    world.send_update(one, &text(1, 0, "a"));
    world.leave(one);
    world.sync();
    assert_eq!(world.take(two), [protocol::update(&text(1, 0, "a"))]);
}

#[test]
fn typing_faster_than_the_disk_opens_no_gap() {
    let config = Config {
        gap_runs_max: 3,
        ..journaling()
    };
    let mut world = World::with(config);
    let one = world.joined("d");
    for clock in 0..20 {
        world.send_update(one, &text(1, clock, "a"));
    }
    world.sync();
    world.advance(secs(10));
    assert!(world.take(one).iter().all(|frame| !is_refusal(frame)));
    assert!(!world.told(|event| matches!(event, Event::UpdateRefused { .. })));
}

#[test]
fn gaps_on_their_way_to_the_disk_count_too() {
    let config = Config {
        gap_runs_max: 3,
        ..journaling()
    };
    let mut world = World::with(config);
    let one = world.joined("d");
    for nth in 1..=5 {
        world.send_update(one, &text(1, nth * 2, "a"));
    }
    assert!(world.told(|event| matches!(event, Event::UpdateRefused { .. })));
    world.sync();
}

#[test]
fn of_what_opens_too_many_gaps_only_what_opens_none_is_recorded() {
    let config = Config {
        gap_runs_max: 0,
        ..journaling()
    };
    let mut world = World::with(config);
    let one = world.joined("d");
    world.send_update(one, &text(1, 0, "ab"));
    world.take_append();
    // It follows what is on its way.
    let letters = |client, clock, letters| (client, clock, vec![wire::text_after(1, 0, letters)]);
    let (follows, waits) = (letters(1, 2, "c"), letters(2, 1, "b"));
    world.send_update(one, &wire::update(&[waits, follows.clone()], &[]));
    let (_, update) = world.take_append();
    assert_eq!(update, wire::update(&[follows], &[]));
    assert!(world.take(one).iter().any(is_refusal));
}

#[test]
fn an_update_that_cannot_be_made_durable_is_refused_without_closing() {
    let mut world = world();
    let (one, two) = (world.joined("d"), world.joined("d"));
    failed(&mut world, one);
    let told = world.take(one);
    assert_eq!(told.iter().filter(|frame| is_refusal(frame)).count(), 1);
    assert_eq!(world.stage(one), Stage::Open);
    assert!(world.take(two).is_empty());
    assert!(world.told(|event| matches!(event, Event::JournalFailed { .. })));
    assert!(world.status().journal_failed);
}

#[test]
fn while_the_journal_does_not_work_reads_go_on() {
    let mut world = world();
    let one = world.joined("d");
    world.send_update(one, &text(2, 0, "kept"));
    world.sync();
    failed(&mut world, one);
    let two = world.joined("d");
    let three = world.greeted("other");
    world.send(two, wire::sync_step_1(&[]));
    let answer = world.take(two);
    let shown = state([wire::read_step_2(&answer[0])]);
    assert_same(&shown, &state([text(2, 0, "kept").as_slice()]));
    // What comes now is not even tried.
    world.send_update(three, &text(3, 0, "b"));
    assert!(world.journal_is_idle());
}

#[test]
fn when_the_journal_works_again_what_was_refused_is_asked_for() {
    let mut world = world();
    let one = world.joined("d");
    failed(&mut world, one);
    world.take(one);
    world.advance(secs(1));
    let op = take_reopen(&mut world);
    world.journal(op, JournalResult::Reopened(Err(full())));
    world.advance(secs(2));
    let op = take_reopen(&mut world);
    assert!(world.take(one).is_empty(), "it is not asked in vain");
    world.journal(op, JournalResult::Reopened(Ok(())));
    world.advance(secs(0));
    assert_eq!(world.take(one), [wire::sync_step_1(&[])]);
    assert!(world.told(|event| matches!(event, Event::JournalRecovered)));
    world.send(one, protocol::sync_step_2(&text(1, 0, "lost?")));
    world.sync();
    assert_eq!(world.status().oldest_undurable, None);
}

#[test]
fn a_journal_that_stays_away_is_reopened_with_growing_pauses() {
    let mut world = world();
    let one = world.joined("d");
    failed(&mut world, one);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let before = world.now;
        while world.journal_is_idle() {
            let due = world.poll_timeout().expect("it is tried again");
            world.advance(due.saturating_sub(world.now));
        }
        pauses.push(world.now - before);
        let op = take_reopen(&mut world);
        world.journal(op, JournalResult::Reopened(Err(full())));
    }
    assert!(pauses[0] <= secs(1) && pauses[7] >= secs(5), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= secs(10)), "{pauses:?}");
}

#[test]
fn a_record_is_forgotten_once_a_snapshot_holds_it() {
    let mut world = world();
    let one = world.joined("d");
    world.send_update(one, &text(1, 0, "a"));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    // This one is not in the snapshot.
    world.send_update(one, &text(1, 1, "b"));
    let (op, _) = world.take_append();
    world.journal(op, APPENDED);
    assert!(world.journal_is_idle());
    world.saved(save.op, Ok("1"));
    let (op, through) = world.take_trim();
    assert_eq!(through, Position(1));
    world.journal(op, JournalResult::Trimmed(Ok(())));
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Ok("2"));
    assert_eq!(world.take_trim().1, Position(2));
}

#[test]
fn a_failed_save_forgets_nothing() {
    let mut world = world();
    let one = world.joined("d");
    world.send_update(one, &text(1, 0, "a"));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Unavailable("down".into())));
    world.advance(secs(1));
    assert!(world.journal_is_idle());
}

#[test]
fn records_are_replayed_before_the_document_is_served() {
    let mut world = with_records(&["d"]);
    let conn = world.open("d");
    let op = take_read(&mut world, "d");
    world.journal(op, records(&[text(1, 0, "a"), text(1, 1, "b")]));
    let op = world.take_load();
    assert_eq!(world.stage(conn), Stage::Waiting);
    world.loaded(op, Ok(Some(snapshot(text(2, 0, "c"), "1"))));
    assert_eq!(world.stage(conn), Stage::Open);
    assert_eq!(world.take(conn), [wire::sync_step_1(&[(1, 2), (2, 1)])]);
    assert!(world.told(|event| matches!(event, Event::DocumentLoaded { replayed: 2, .. })));
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Ok("2"));
    assert_eq!(world.take_trim().1, Position(2));
}

#[test]
fn new_records_come_after_those_that_were_replayed() {
    let mut world = with_records(&["d"]);
    let conn = world.open("d");
    let op = take_read(&mut world, "d");
    world.journal(op, records(&[text(1, 0, "a"), text(1, 1, "b")]));
    let op = world.take_load();
    world.loaded(op, Ok(None));
    world.send_update(conn, &text(1, 2, "c"));
    let (_, command) = world.take_journal();
    assert!(matches!(
        command,
        JournalCommand::Append {
            position: Position(3),
            ..
        }
    ));
}

#[test]
fn records_that_the_snapshot_holds_are_forgotten_without_a_save() {
    let mut world = with_records(&["d"]);
    let op = take_read(&mut world, "d");
    world.journal(op, records(&[text(1, 0, "a")]));
    let op = world.take_load();
    world.loaded(op, Ok(Some(snapshot(text(1, 0, "a"), "1"))));
    assert!(world.store_is_idle());
    assert_eq!(world.take_trim().1, Position(1));
}

#[test]
fn what_the_journal_holds_at_the_start_is_saved_without_anybody_asking() {
    let mut world = with_records(&["a", "b"]);
    for name in ["a", "b"] {
        let op = take_read(&mut world, name);
        world.journal(op, records(&[text(1, 0, name)]));
    }
    for _ in ["a", "b"] {
        let op = world.take_load();
        world.loaded(op, Ok(None));
    }
    for _ in ["a", "b"] {
        let save = world.take_save();
        world.saved(save.op, Ok("1"));
    }
    assert_eq!(world.status().documents_to_push, 2);
    world.sync();
    assert_eq!(world.status(), ysyncd_engine::Status::default());
    let unloaded = |event: &&Event| matches!(event, Event::DocumentUnloaded { .. });
    assert_eq!(world.events.iter().filter(unloaded).count(), 2);
}

#[test]
fn only_so_many_are_pushed_at_once() {
    let names: Vec<String> = (10..60).map(|nth| nth.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = with_records(&names);
    assert_eq!(
        world.status().documents_loading,
        Config::default().pushes_max
    );
    assert_eq!(world.status().documents_to_push, 50);
}

#[test]
fn what_cannot_be_pushed_now_is_pushed_later() {
    let mut world = with_records(&["d"]);
    let op = take_read(&mut world, "d");
    world.journal(op, records(&[text(1, 0, "a")]));
    let op = world.take_load();
    world.loaded(op, Err(StoreError::Unavailable("down".into())));
    assert_eq!(world.status().documents_to_push, 1);
    world.advance(secs(2));
    let op = take_read(&mut world, "d");
    world.journal(op, records(&[text(1, 0, "a")]));
    let op = world.take_load();
    world.loaded(op, Ok(None));
    world.take_save();
}

#[test]
fn who_opens_a_document_that_is_being_pushed_gets_it() {
    let mut world = with_records(&["d"]);
    let op = take_read(&mut world, "d");
    let conn = world.open("d");
    world.journal(op, records(&[text(1, 0, "a")]));
    let op = world.take_load();
    world.loaded(op, Ok(None));
    assert_eq!(world.stage(conn), Stage::Open);
    assert_eq!(world.status().documents_to_push, 0);
    world.advance(secs(4));
    assert!(world.store_is_idle(), "it is in use like any other");
}

#[test]
fn damaged_records_refuse_their_document_alone() {
    let mut world = with_records(&["bad", "good"]);
    let bad = world.open("bad");
    let good = world.open("good");
    let op = take_read(&mut world, "bad");
    let damaged = JournalError::Damaged("record 7".into());
    world.journal(op, JournalResult::Read(Err(damaged)));
    assert_eq!(world.stage(bad), Stage::Refused(Refusal::JournalDamaged));
    let op = take_read(&mut world, "good");
    world.journal(op, records(&[text(1, 0, "a")]));
    let op = world.take_load();
    world.loaded(op, Ok(None));
    assert_eq!(world.stage(good), Stage::Open);
    assert!(!world.status().journal_failed);
    // It stays refused, and is not read again and again by itself.
    world.advance(secs(4));
    assert!(world.journal_is_idle());
    let again = world.open("bad");
    let op = take_read(&mut world, "bad");
    let damaged = JournalError::Damaged("record 7".into());
    world.journal(op, JournalResult::Read(Err(damaged)));
    assert_eq!(world.stage(again), Stage::Refused(Refusal::JournalDamaged));
}

#[test]
fn a_record_that_is_no_update_refuses_its_document() {
    let mut world = with_records(&["d"]);
    let conn = world.open("d");
    let op = take_read(&mut world, "d");
    world.journal(op, records(&[vec![9, 9, 9]]));
    let op = world.take_load();
    world.loaded(op, Ok(None));
    assert_eq!(world.stage(conn), Stage::Refused(Refusal::JournalDamaged));
    assert!(world.journal_is_idle(), "and is not forgotten");
}

#[test]
fn a_document_leaves_only_when_nothing_of_it_is_on_its_way() {
    let mut world = world();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.leave(conn);
    world.advance(secs(30));
    assert_eq!(world.status().documents_draining, 1);
    world.sync();
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    assert_eq!(world.status().documents_draining, 1, "a record is left");
    world.sync();
    assert_eq!(world.status().documents_draining, 0);
    world.open("d");
    assert!(world.journal_is_idle(), "there is nothing to read");
}

#[test]
fn records_that_could_not_be_forgotten_are_read_when_the_document_comes_back() {
    let mut world = world();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.sync();
    world.leave(conn);
    world.advance(secs(30));
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    let (op, _) = world.take_trim();
    world.journal(op, JournalResult::Trimmed(Err(full())));
    assert_eq!(world.status().documents_draining, 0);
    assert_eq!(world.status().documents_to_push, 1);
    world.open("d");
    take_read(&mut world, "d");
}

#[test]
fn what_the_journal_failed_to_forget_is_kept_if_the_snapshot_is_gone_by_then() {
    let mut world = world();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    let (trim, through) = world.take_trim();
    assert_eq!(through, Position(1));
    // Meanwhile somebody damages what is stored, which the next save finds.
    world.send_update(conn, &text(1, 1, "b"));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Conflict));
    let load = world.take_load();
    world.loaded(load, Ok(Some(snapshot(vec![9], "2"))));
    world.journal(trim, JournalResult::Trimmed(Err(full())));
    world.advance(secs(1));
    let reopen = take_reopen(&mut world);
    world.journal(reopen, JournalResult::Reopened(Ok(())));
    assert!(
        world.journal_is_idle(),
        "both updates are in the journal alone"
    );
}

#[test]
fn who_sends_more_than_the_disk_takes_is_not_read_from_for_a_while() {
    let config = Config {
        staged_bytes_max: 60,
        ..journaling()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("d"), world.joined("d"));
    for clock in 0..6 {
        world.send_update(one, &text(1, clock, "a"));
    }
    assert!(world.paused.contains(&one) && !world.paused.contains(&two));
    world.sync();
    assert!(world.paused.is_empty());
    assert_eq!(world.take(two).len(), 6, "nothing is lost");
}

#[test]
fn reading_goes_on_once_half_of_the_room_is_free() {
    let update = |clock| text(1, clock, "a");
    // All but the first are equally long.
    let len = update(1).len();
    let config = Config {
        staged_bytes_max: 4 * len,
        ..journaling()
    };
    let mut world = World::with(config);
    let one = world.joined("d");
    world.send_update(one, &update(0));
    world.sync();
    let send = |world: &mut World, clocks: std::ops::RangeInclusive<u64>| {
        clocks.for_each(|clock| world.send_update(one, &update(clock)));
        world.paused.contains(&one)
    };
    assert!(!send(&mut world, 1..=4), "that much is allowed");
    assert!(send(&mut world, 5..=5));
    for left in (0..5).rev() {
        let (op, _) = world.take_append();
        world.journal(op, APPENDED);
        assert_eq!(world.paused.contains(&one), left > 2, "{left} left");
    }
}

#[test]
fn of_small_changes_only_so_many_wait_for_the_disk() {
    let mut world = world();
    let one = world.joined("d");
    for clock in 0..4_097 {
        assert!(world.paused.is_empty(), "{clock} are allowed");
        world.send_update(one, &text(1, clock, "a"));
    }
    assert!(world.paused.contains(&one));
    for left in (0..4_097).rev() {
        let (op, _) = world.take_append();
        world.journal(op, APPENDED);
        assert_eq!(world.paused.contains(&one), left > 2_048, "{left} left");
    }
}

#[test]
fn at_the_deadline_documents_that_the_journal_holds_are_no_loss() {
    let mut world = world();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.sync();
    world.shut_down(secs(10));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Unavailable("down".into())));
    world.advance(secs(10));
    assert_eq!(world.drained, Some(vec![]));
    assert_eq!(world.journaled, [doc("d")]);
}

#[test]
fn at_the_deadline_what_the_journal_has_not_taken_is_told() {
    let mut world = world();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.shut_down(secs(10));
    world.advance(secs(10));
    assert_eq!(world.drained, Some(vec![doc("d")]));
}

#[test]
fn large_documents_are_saved_less_often_where_there_is_a_journal() {
    let nearly_full = Config {
        unsaved_bytes_max: 3 << 20,
        unsaved_bytes_total_max: 3 << 20,
        ..journaling()
    };
    for (config, after) in [(journaling(), 15), (nearly_full, 5), (Config::default(), 5)] {
        let mut world = World::with(config);
        let conn = world.joined("d");
        world.send_update(conn, &text(1, 0, &"a".repeat(2 << 20)));
        world.sync();
        world.advance(secs(after - 1));
        assert!(world.store_is_idle());
        world.advance(secs(1));
        world.take_save();
    }
}

#[test]
fn what_failed_to_become_durable_is_not_counted_on() {
    let mut world = world();
    let one = world.joined("d");
    failed(&mut world, one);
    world.advance(secs(1));
    let op = take_reopen(&mut world);
    world.journal(op, JournalResult::Reopened(Ok(())));
    let two = world.joined("d");
    // It follows what was lost: a gap, which its sender is asked about.
    world.send_update(two, &text(1, 5, "behind"));
    world.sync();
    world.take(two);
    world.advance(secs(5));
    assert!(world.take(two).contains(&wire::sync_step_1(&[])));
}

/// A document that the store does not take, nobody has open, and of which the
/// journal holds everything but what is still on its way.
fn stuck() -> World {
    let mut world = World::with(Config {
        documents_bytes_max: 50,
        ..journaling()
    });
    let one = world.joined("d");
    world.send_update(one, &text(1, 0, &"a".repeat(60)));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Unavailable("down".into())));
    world.send_update(one, &text(1, 60, "b"));
    world.leave(one);
    world
}

#[test]
fn a_document_does_not_make_way_while_something_is_on_its_way_to_the_journal() {
    let mut world = stuck();
    let other = world.open("other");
    assert_eq!(world.stage(other), Stage::Refused(Refusal::Full));
    world.sync();
    let other = world.open("other");
    assert_eq!(world.stage(other), Stage::Waiting);
}

#[test]
fn a_document_does_not_make_way_while_the_journal_could_not_read_it_back() {
    let mut world = stuck();
    let (op, _) = world.take_append();
    world.journal(op, JournalResult::Appended(Err(full())));
    let other = world.open("other");
    assert_eq!(world.stage(other), Stage::Refused(Refusal::Full));
}

#[test]
fn what_waits_to_be_durable_and_saved_is_counted_over_all_documents() {
    let mut world = world();
    let mut bytes = 0;
    for name in ["a", "b", "c"] {
        let conn = world.joined(name);
        let update = text(1, 0, name);
        world.send_update(conn, &update);
        bytes += update.len();
    }
    assert_eq!(world.status().staged_bytes, bytes);
    assert_eq!(world.status().unsaved_bytes, bytes);
    world.sync();
    assert_eq!(world.status().staged_bytes, 0);
    assert_eq!(world.status().unsaved_bytes, bytes);
    world.advance(secs(5));
    while !world.store_is_idle() {
        let save = world.take_save();
        world.saved(save.op, Ok("1"));
    }
    assert_eq!(world.status().unsaved_bytes, 0);
}

#[test]
fn what_came_twice_and_was_not_taken_is_asked_for_though_its_first_sender_is_gone() {
    let mut world = world();
    let old = world.joined("d");
    let edit = text(1, 0, "kept?");
    world.send_update(old, &edit);
    let (op, _) = world.take_append();
    // Its client comes back on another connection, and brings it along.
    let new = world.joined("d");
    world.send(new, protocol::sync_step_2(&edit));
    let again = (!world.journal_is_idle()).then(|| world.take_append().0);
    world.leave(old);
    for op in [op].into_iter().chain(again) {
        world.journal(op, JournalResult::Appended(Err(full())));
    }
    world.advance(secs(30));
    let op = take_reopen(&mut world);
    world.journal(op, JournalResult::Reopened(Ok(())));
    world.advance(secs(60));
    let told = world.take(new);
    let is_asked = told.iter().any(|frame| frame.starts_with(&[0, 0]));
    assert!(is_asked, "nobody else has it");
}
