//! Limits on what documents take together, and turns at the store.

use std::time::Duration;

use bytes::Bytes;
use ysyncd_engine::{
    CloseCode, Config, ConnId, Event, Refusal, Rejection, StoreError,
    document::{Ahead, DocumentState},
    protocol,
    update::Update,
};

use super::{
    wire::{self, text},
    world::{Stage, World, secs},
};

fn down() -> StoreError {
    StoreError::Unavailable("down".into())
}

fn is_refusal(frame: &Bytes) -> bool {
    frame.starts_with(&[2, 0])
}

/// How many frames are of a kind.
fn count(frames: &[Bytes], kind: [u8; 2]) -> usize {
    frames.iter().filter(|frame| frame[..2] == kind).count()
}

/// Opens a document, with a snapshot of about so many bytes stored.
fn open_large(world: &mut World, name: &str, bytes: usize) -> ConnId {
    let conn = world.open(name);
    let op = world.take_load();
    let body = text(9, 0, &"x".repeat(bytes));
    world.loaded(op, Ok(Some(super::world::snapshot(body, "1"))));
    assert_eq!(world.stage(conn), Stage::Open);
    conn
}

#[test]
fn past_the_cap_updates_are_refused_until_a_snapshot_lands() {
    let config = Config {
        unsaved_bytes_max: 60,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("d"), world.joined("d"));
    let mut clock = 0;
    while !world.take(one).iter().any(is_refusal) {
        world.send_update(one, &text(1, clock, "a"));
        clock += 1;
    }
    let shown = world.take(two).len() as u64;
    assert_eq!(shown, clock - 1);
    assert_eq!(world.stage(one), Stage::Open);
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(down()));
    world.advance(secs(20));
    let asks = |world: &mut World| count(&world.take(one), [0, 0]);
    assert_eq!(asks(&mut world), 0, "it is not asked in vain");
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    world.advance(secs(0));
    assert_eq!(asks(&mut world), 1);
    world.send(one, protocol::sync_step_2(&text(1, clock - 1, "a")));
    assert_eq!(count(&world.take(two), [0, 2]), 1);
}

#[test]
fn what_was_on_its_way_when_it_was_asked_is_taken_with_the_answer() {
    let config = Config {
        unsaved_bytes_max: 60,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("d"), world.joined("d"));
    world.send_update(one, &text(1, 0, &"a".repeat(50)));
    world.send_update(one, &text(1, 50, "refused"));
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    world.advance(secs(0));
    assert!(world.take(one).contains(&wire::sync_step_1(&[(1, 50)])));
    world.take(two);
    world.send_update(one, &text(1, 57, "b"));
    assert!(world.take(two).is_empty(), "it would open a gap");
    world.send(one, protocol::sync_step_2(&text(1, 50, "refusedb")));
    world.send_update(one, &text(1, 58, "c"));
    assert_eq!(count(&world.take(two), [0, 2]), 2);
}

#[test]
fn who_does_not_answer_is_asked_again() {
    let config = Config {
        gap_runs_max: 0,
        ..Config::default()
    };
    let mut world = World::with(config);
    let one = world.joined("d");
    world.send_update(one, &text(1, 5, "behind a gap"));
    world.advance(secs(5));
    assert!(world.take(one).contains(&wire::sync_step_1(&[])));
    world.advance(secs(60));
    assert!(world.take(one).contains(&wire::sync_step_1(&[])));
}

#[test]
fn so_many_gaps_may_be_open_and_no_more() {
    let config = Config {
        gap_runs_max: 3,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("d"), world.joined("d"));
    let is_taken = |world: &mut World, client| {
        world.send_update(one, &text(client, 1, "behind a gap"));
        !world.take(two).is_empty()
    };
    assert!((1..=3).all(|client| is_taken(&mut world, client)));
    assert!(!is_taken(&mut world, 4));
}

#[test]
fn what_fills_gaps_may_open_as_many() {
    let config = Config {
        gap_runs_max: 1,
        pending_delete_ranges_max: 1,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("d"), world.joined("d"));
    let mut is_taken = |sections: &[_], deletes: &[_]| {
        world.send_update(one, &wire::update(sections, deletes));
        world.advance(secs(60));
        world.send(one, protocol::sync_step_2(&wire::update(&[], &[])));
        count(&world.take(two), [0, 2]) > 0
    };
    let letters = |client, clock, letters| (client, clock, vec![wire::text_after(99, 0, letters)]);
    assert!(is_taken(&[letters(1, 2, "c")], &[(2, 0, 2)]));
    assert!(!is_taken(&[letters(3, 2, "c")], &[]), "a second gap");
    assert!(!is_taken(&[], &[(4, 0, 1)]), "a second wait");
    assert!(is_taken(&[letters(1, 0, "ab"), letters(3, 2, "c")], &[]));
    assert!(is_taken(&[letters(2, 0, "ab")], &[(4, 0, 1)]));
    assert!(!is_taken(&[], &[(5, 0, 1)]));
}

/// Of two clients each of which knows what the other waits for, both would be refused
/// for ever.
#[test]
fn of_what_opens_too_many_gaps_what_opens_none_is_taken() {
    let config = Config {
        gap_runs_max: 0,
        pending_delete_ranges_max: 0,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("d"), world.joined("d"));
    let letters = |client, clock, letters| (client, clock, vec![wire::text_after(99, 0, letters)]);
    let sections = [letters(1, 0, "ab"), letters(2, 2, "cd"), letters(3, 1, "b")];
    let deletes = [(1, 1, 4), (2, 0, 3), (4, 0, 1)];
    world.send_update(one, &wire::update(&sections, &deletes));
    let of_use = wire::update(&sections[..1], &[(1, 1, 1)]);
    assert_eq!(world.take(two), [protocol::update(&of_use)]);
    assert_eq!(count(&world.take(one), [2, 0]), 1, "the rest is refused");
    world.send_update(
        two,
        &wire::update(&[letters(2, 0, "ab"), letters(1, 3, "d")], &[]),
    );
    assert_eq!(count(&world.take(one), [0, 2]), 1);
    world.advance(secs(5));
    let asked = wire::sync_step_1(&[(1, 2), (2, 2)]);
    assert!(world.take(one).contains(&asked) && world.take(two).contains(&asked));
    world.send(
        one,
        protocol::sync_step_2(&wire::update(&sections[1..2], &[])),
    );
    assert_eq!(count(&world.take(two), [0, 2]), 1);
}

#[test]
fn too_many_gaps_do_not_keep_out_deletions_that_wait_nor_these_gaps() {
    let (gap, deletion) = (text(1, 5, "behind a gap"), wire::deletion(2, 0, 1));
    let cases = [(0, 9, &gap, &deletion), (9, 0, &deletion, &gap)];
    for (gap_runs_max, pending_delete_ranges_max, stored, sent) in cases {
        let config = Config {
            gap_runs_max,
            pending_delete_ranges_max,
            ..Config::default()
        };
        let mut world = World::with(config);
        let one = world.open("d");
        let op = world.take_load();
        world.loaded(op, Ok(Some(super::world::snapshot(stored.clone(), "1"))));
        let two = world.joined("d");
        world.send_update(one, sent);
        assert_eq!(count(&world.take(two), [0, 2]), 1);
    }
}

#[test]
fn one_update_fits_where_nothing_is_unsaved() {
    let config = Config {
        unsaved_bytes_max: 10,
        unsaved_bytes_total_max: 10,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("d"), world.joined("d"));
    world.send_update(one, &text(1, 0, "longer than that"));
    assert_eq!(world.take(two).len(), 1);
}

#[test]
fn the_cap_on_all_documents_together_frees_the_others_too() {
    let config = Config {
        unsaved_bytes_total_max: 60,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("a"), world.joined("b"));
    world.send_update(one, &text(1, 0, &"a".repeat(55)));
    world.send_update(two, &text(2, 0, "refused"));
    assert!(world.take(two).iter().any(is_refusal));
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    world.advance(secs(0));
    assert_eq!(world.take(two), [wire::sync_step_1(&[])]);
}

#[test]
fn what_is_known_is_not_refused() {
    let config = Config {
        unsaved_bytes_max: 20,
        ..Config::default()
    };
    let mut world = World::with(config);
    let one = world.joined("d");
    world.send_update(one, &text(1, 0, "aaaaaaaaaaaaaaaa"));
    world.send_update(one, &text(1, 0, "aaaaaaaaaaaaaaaa"));
    assert!(world.take(one).is_empty());
}

/// How many seconds it takes until who sends these, one as an answer to each question, is
/// asked again, where nothing may wait.
fn pauses(answers: impl IntoIterator<Item = Vec<u8>>) -> Vec<u64> {
    let config = Config {
        gap_runs_max: 0,
        ..Config::default()
    };
    let mut world = World::with(config);
    let one = world.joined("d");
    let mut pause_after = |answer: Vec<u8>| {
        world.send(one, protocol::sync_step_2(&answer));
        let before = world.now;
        while count(&world.take(one), [0, 0]) == 0 {
            world.advance(secs(1));
        }
        (world.now - before).as_secs()
    };
    answers.into_iter().map(&mut pause_after).collect()
}

#[test]
fn a_client_that_is_refused_again_is_asked_less_and_less_often() {
    let answers = std::iter::repeat_n(text(1, 5, "behind a gap"), 7);
    assert_eq!(pauses(answers), [5, 10, 20, 40, 60, 60, 60]);
}

#[test]
fn who_is_refused_in_part_is_asked_less_and_less_often_too() {
    let answer = |letters| {
        let sections = [
            (2, 0, vec![wire::first_text(&"a".repeat(letters))]),
            (1, 5, vec![wire::text_after(9, 0, "behind a gap")]),
        ];
        wire::update(&sections, &[])
    };
    assert_eq!(pauses((1..6).map(answer)), [5, 10, 20, 40, 60]);
}

/// What of a map entry is kept depends on what the document knows to be deleted.
#[test]
fn what_is_of_use_is_taken_in_its_own_words() {
    let mut state = DocumentState::default();
    state.apply(&wire::deletion(1, 0, 3)).expect("an update");
    let entry = (1, 0, vec![wire::long_map_entry("k", &[1, 2, 3])]);
    let (whole, gap) = (
        wire::update(std::slice::from_ref(&entry), &[]),
        (2, 5, vec![vec![0, 1]]),
    );
    let both = wire::update(&[gap, entry], &[]);
    let both = Update::decode(&both).expect("an update");
    assert_eq!(state.part_of_use(&both, &Ahead::default()), whole);
}

#[test]
fn idle_documents_leave_when_room_is_needed_the_longest_unused_first() {
    let config = Config {
        documents_bytes_max: 3_500,
        ..Config::default()
    };
    let mut world = World::with(config);
    for name in ["a", "b", "c"] {
        let conn = open_large(&mut world, name, 1_000);
        world.leave(conn);
        world.advance(secs(1));
    }
    assert_eq!(world.status().documents_live, 3);
    open_large(&mut world, "d", 1_000);
    // `a` is gone and is loaded anew, `c` is still here.
    world.open("c");
    assert!(world.store_is_idle());
    world.open("a");
    world.take_load();
}

#[test]
fn where_all_documents_are_in_use_no_more_are_loaded() {
    let config = Config {
        documents_bytes_max: 1_500,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, _two) = (
        open_large(&mut world, "a", 1_000),
        open_large(&mut world, "b", 1_000),
    );
    let three = world.open("c");
    assert_eq!(world.stage(three), Stage::Refused(Refusal::Full));
    world.open("a");
    world.leave(one);
    let four = world.open("c");
    assert_eq!(
        world.stage(four),
        Stage::Refused(Refusal::Full),
        "a is in use still"
    );
}

#[test]
fn room_is_not_looked_for_in_vain_all_the_time() {
    let config = Config {
        documents_bytes_max: 100_000,
        ..Config::default()
    };
    let mut world = World::with(config);
    for doc in 0.. {
        let conn = world.open(&doc.to_string());
        if world.stage(conn) == Stage::Refused(Refusal::Full) {
            break;
        }
        let op = world.take_load();
        world.loaded(op, Ok(None));
        world.send_update(conn, &text(1, 0, "a"));
        world.leave(conn);
    }
    world.advance(secs(5));
    let opens = |world: &mut World| {
        let conn = world.open("another");
        world.stage(conn) != Stage::Refused(Refusal::Full)
    };
    assert!(!opens(&mut world), "nothing is saved");
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    assert!(!opens(&mut world), "it has just been looked for");
    world.advance(Duration::from_millis(20));
    assert!(opens(&mut world));
}

#[test]
fn what_grows_is_counted_update_by_update_and_with_room_for_each_client() {
    let config = Config {
        documents_bytes_max: 4_000,
        documents_growth_max: 4_000,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, other) = (world.joined("d"), world.joined("d"));
    let updates = (1..100).map(|client| protocol::update(&text(client, 0, "a")));
    world.send(one, updates.collect::<Vec<_>>().concat());
    let taken = world.take(other).len();
    assert!(
        (8..=9).contains(&taken),
        "{taken} clients of some 420 bytes"
    );
    let status = world.status();
    assert!(status.documents_bytes <= 4_000, "{status:?}");
}

#[test]
fn documents_do_not_grow_past_the_memory_that_all_may_take() {
    let config = Config {
        documents_bytes_max: 3_000,
        documents_growth_max: 4_000,
        ..Config::default()
    };
    let mut world = World::with(config);
    let idle = open_large(&mut world, "idle", 1_000);
    world.leave(idle);
    let (one, other) = (open_large(&mut world, "a", 1_000), world.open("a"));
    for conn in [one, other] {
        world.send(conn, wire::sync_step_1(&[]));
        world.take(conn);
    }
    // What nobody has open makes room.
    let more = |clock, bytes| text(1, clock, &"x".repeat(bytes));
    world.send_update(one, &more(0, 500));
    assert_eq!(world.take(other).len(), 1);
    assert_eq!(world.status().documents_live, 2);
    world.send_update(one, &more(500, 500));
    assert_eq!(world.take(other).len(), 1);
    assert_eq!(world.status().documents_live, 1, "it made room");
    world.send_update(one, &more(1_000, 1_500));
    assert!(world.take(other).is_empty());
    let refused = |event: &Event| matches!(event, Event::UpdateRefused { reason, .. } if *reason == Rejection::MemoryFull);
    assert!(world.told(refused));
    assert_eq!(world.stage(one), Stage::Open);
    // What deletes is taken, and when there is room it is asked for the rest.
    world.send_update(other, &wire::update(&[], &[(9, 0, 1_000)]));
    assert!(
        world
            .take(one)
            .iter()
            .any(|frame| frame.starts_with(&[0, 2]))
    );
}

#[test]
fn clients_that_write_a_little_count_as_the_memory_that_they_take() {
    let mut world = World::new();
    let conn = world.joined("d");
    let before = world.status().documents_bytes;
    for client in 1..=100 {
        world.send_update(conn, &text(client, 0, "a"));
    }
    let bytes = world.status().documents_bytes - before;
    assert!(bytes > 100 * 300, "{bytes}");
}

#[test]
fn without_a_journal_what_is_unsaved_never_leaves() {
    let config = Config {
        documents_bytes_max: 50,
        ..Config::default()
    };
    let mut world = World::with(config);
    let one = world.joined("a");
    world.send_update(one, &text(1, 0, &"a".repeat(60)));
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(down()));
    world.leave(one);
    let two = world.open("b");
    assert_eq!(world.stage(two), Stage::Refused(Refusal::Full));
}

#[test]
fn what_the_journal_holds_may_leave_when_the_store_does_not_take_it() {
    let config = Config {
        journal: true,
        documents_bytes_max: 50,
        ..Config::default()
    };
    let mut world = World::with(config);
    let one = world.joined("a");
    world.send_update(one, &text(1, 0, &"a".repeat(60)));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(down()));
    world.leave(one);
    let two = world.open("b");
    assert_eq!(world.stage(two), Stage::Waiting);
    assert_eq!(world.status().documents_to_push, 1);
    assert_eq!(world.status().documents_live, 0);
}

#[test]
fn what_has_left_and_only_the_journal_holds_counts_towards_the_cap() {
    let config = Config {
        journal: true,
        documents_bytes_max: 50,
        unsaved_bytes_total_max: 120,
        ..Config::default()
    };
    let mut world = World::with(config);
    let one = world.joined("a");
    world.send_update(one, &text(1, 0, &"a".repeat(60)));
    world.sync();
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(down()));
    world.leave(one);
    let two = world.joined("b");
    assert_eq!(world.status().documents_to_push, 1);
    world.send_update(two, &text(1, 0, &"a".repeat(60)));
    assert!(world.take(two).iter().any(is_refusal));
    let three = world.joined("b");
    world.send_update(three, &text(2, 0, &"a".repeat(30)));
    world.take_append();
}

#[test]
fn store_operations_wait_for_their_turn() {
    let config = Config {
        store_operations_max: 2,
        ..Config::default()
    };
    let mut world = World::with(config);
    let conns: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|name| world.open(name))
        .collect();
    let first = world.take_load();
    let second = world.take_load();
    assert!(world.store_is_idle());
    world.loaded(first, Ok(None));
    let third = world.take_load();
    world.loaded(second, Ok(None));
    let fourth = world.take_load();
    world.loaded(third, Ok(None));
    world.loaded(fourth, Ok(None));
    assert!(conns.iter().all(|conn| world.stage(*conn) == Stage::Open));
}

#[test]
fn loads_have_their_turn_in_the_order_of_asking() {
    let config = Config {
        store_operations_max: 2,
        ..Config::default()
    };
    let mut world = World::with(config);
    // Not the order of their names; some are asked for by several.
    let asked = ["f", "b", "e", "f", "a", "b", "d", "a", "c"];
    let conns = asked.map(|name| (name, world.open(name)));
    let mut under_way = vec![world.take_load(), world.take_load()];
    let mut opened = Vec::new();
    while let Some(op) = under_way.pop() {
        assert!(world.store_is_idle(), "no more than two at once");
        world.loaded(op, Ok(None));
        for (name, conn) in conns {
            if world.stage(conn) == Stage::Open && !opened.contains(&name) {
                opened.push(name);
            }
        }
        // The last to begin ends first: all behind the first two pass by one of them.
        if opened.len() <= 4 {
            under_way.push(world.take_load());
        }
    }
    assert_eq!(opened, ["b", "e", "a", "d", "c", "f"]);
}

#[test]
fn saves_that_hang_do_not_hold_up_loads() {
    let config = Config {
        store_operations_max: 1,
        ..Config::default()
    };
    let mut world = World::with(config);
    for name in ["a", "b"] {
        let conn = world.joined(name);
        world.send_update(conn, &text(1, 0, name));
    }
    world.advance(secs(5));
    let save = world.take_save();
    assert!(world.store_is_idle());
    world.greeted("c");
    world.saved(save.op, Ok("1"));
    world.take_save();
}

#[test]
fn a_document_that_waited_for_its_turn_is_saved_as_it_is_then() {
    let config = Config {
        store_operations_max: 1,
        ..Config::default()
    };
    let mut world = World::with(config);
    let conns = ["a", "b"].map(|name| world.joined(name));
    for conn in conns {
        world.send_update(conn, &text(1, 0, "a"));
    }
    world.advance(secs(5));
    let save = world.take_save();
    world.send_update(conns[1], &text(1, 1, "b"));
    world.saved(save.op, Ok("1"));
    let save = world.take_save();
    let whole = wire::state([text(1, 0, "ab").as_slice()]);
    wire::assert_same(&wire::state([&*save.body]), &whole);
}

#[test]
fn many_clients_are_sent_away_a_few_at_a_time() {
    let mut world = World::new();
    let conns: Vec<_> = (0..200).map(|_| world.joined("d")).collect();
    world.shut_down(secs(20));
    let closed = |world: &World| {
        let gone = |conn: &&ConnId| matches!(world.stage(**conn), Stage::Closed(..));
        conns.iter().filter(gone).count()
    };
    assert_eq!(closed(&world), 50);
    world.advance(std::time::Duration::from_millis(50));
    assert_eq!(closed(&world), 100);
    world.advance(secs(1));
    assert_eq!(closed(&world), 200);
    assert_eq!(world.closed(conns[199]).0, CloseCode::GoingAway);
    assert_eq!(world.drained, Some(vec![]));
}

#[test]
fn however_many_they_are_they_leave_time_to_save() {
    let mut world = World::new();
    let conns: Vec<_> = (0..2_000).map(|_| world.joined("d")).collect();
    world.send_update(conns[0], &text(1, 0, "a"));
    world.shut_down(secs(4));
    world.advance(secs(1));
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    assert_eq!(world.drained, Some(vec![]));
}
