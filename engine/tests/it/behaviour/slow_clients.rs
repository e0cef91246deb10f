//! Clients that do not read, and clients that nothing is said to.

use bytes::Bytes;
use ysyncd_engine::{CloseCode, Config, ConnId, Event, protocol, update::ClientId};

use super::{
    wire::{self, awareness, state_of_frames, text},
    world::{Stage, World, secs},
};

fn small_outbox() -> Config {
    Config {
        outbox_bytes_max: 100,
        ..Config::default()
    }
}

/// Letters of client 1, one an update.
fn write_letters(world: &mut World, writer: ConnId, clocks: std::ops::Range<u64>) {
    for clock in clocks {
        world.send_update(writer, &text(1, clock, "a"));
    }
}

fn bytes_of(frames: &[Bytes]) -> usize {
    frames.iter().map(Bytes::len).sum()
}

/// Client 1 shows itself over one connection, again and again, until somebody
/// lags. Returns its clock then.
fn chatter_until_it_lags(world: &mut World, conn: ConnId) -> u64 {
    let mut clock = 1;
    while lags(world) == 0 {
        clock += 1;
        world.send(conn, awareness(&[(1, clock, "{}")]));
    }
    clock
}

/// How often connections were told to lag.
fn lags(world: &World) -> usize {
    let lags = |event: &&Event| matches!(event, Event::ConnectionLags { .. });
    world.events.iter().filter(lags).count()
}

#[test]
fn who_reads_too_slowly_is_told_at_once_what_it_missed() {
    let mut world = World::with(small_outbox());
    let (writer, slow, quick) = (world.joined("d"), world.joined("d"), world.joined("d"));
    world.stall(slow);
    write_letters(&mut world, writer, 0..20);
    assert_eq!(world.stage(slow), Stage::Open);
    assert_eq!(world.take(quick).len(), 20, "others miss nothing");
    assert_eq!(lags(&world), 1);

    let on_its_way = world.take(slow);
    let bytes = bytes_of(&on_its_way);
    let one = protocol::update(&text(1, 0, "a")).len();
    assert!(bytes > 100 && bytes <= 100 + one, "{bytes}");
    // It reads the half of it: not enough, but for a byte.
    world.written(slow, bytes - 51);
    assert!(world.take(slow).is_empty());
    world.written(slow, 1);
    let missed = world.take(slow);
    assert_eq!(missed.len(), 1, "one update tells all");
    let known = [on_its_way, missed].concat();
    wire::assert_same(
        &state_of_frames(&known),
        &wire::state([text(1, 0, &"a".repeat(20)).as_slice()]),
    );

    // What was missed counts no more than an answer does.
    write_letters(&mut world, writer, 20..21);
    assert_eq!(world.take(slow).len(), 1);
}

#[test]
fn who_missed_nothing_is_told_nothing() {
    let mut world = World::with(small_outbox());
    let (writer, slow) = (world.joined("d"), world.joined("d"));
    world.stall(slow);
    world.send_update(writer, &text(1, 0, &"a".repeat(500)));
    let frames = world.take(slow);
    world.written(slow, frames[0].len());
    assert_eq!(lags(&world), 1);
    assert!(world.take(slow).is_empty());
}

#[test]
fn deletes_and_gaps_are_caught_up_with() {
    let mut world = World::with(small_outbox());
    let (writer, slow) = (world.joined("d"), world.joined("d"));
    world.send_update(writer, &text(1, 0, "abc"));
    let before = world.take(slow);
    world.stall(slow);
    world.send_update(writer, &text(2, 0, &"b".repeat(100)));
    world.send_update(writer, &wire::update(&[], &[(1, 1, 1)]));
    let waits = wire::update(&[(3, 0, vec![wire::text_after(9, 0, "waits")])], &[]);
    world.send_update(writer, &waits);
    let mut known = world.take(slow);
    world.written(slow, bytes_of(&known));
    known.extend(world.take(slow));
    known.extend(before);
    let late = world.joined("d");
    let asked = world.open("d");
    world.send(asked, wire::sync_step_1(&[]));
    let whole = state_of_frames(&world.take(asked)[1..]);
    wire::assert_same(&state_of_frames(&known), &whole);
    assert!(world.take(late).is_empty());
}

#[test]
fn a_large_update_comes_with_what_it_completes() {
    let mut world = World::with(small_outbox());
    let (writer, slow) = (world.joined("d"), world.joined("d"));
    let waits = wire::update(&[(2, 0, vec![wire::text_after(1, 0, "waits")])], &[]);
    world.send_update(writer, &waits);
    world.take(slow);
    world.stall(slow);
    world.send_update(writer, &text(1, 0, &"a".repeat(500)));
    let frames = world.take(slow);
    assert_eq!(frames.len(), 1);
    let told = state_of_frames(&frames).state_vector();
    assert_eq!(told.iter().count(), 2, "the update, and what waited for it");
    world.send_update(writer, &text(3, 0, "c"));
    assert_eq!(world.take(slow).len(), 1, "what is small goes on");
}

#[test]
fn nobody_can_make_others_miss_anything_with_one_frame() {
    let mut world = World::new();
    let (writer, slow) = (world.joined("d"), world.joined("d"));
    world.stall(slow);
    let letters = "a".repeat(1 << 20);
    let mut frame = Vec::new();
    for client in 1..15 {
        frame.extend_from_slice(&protocol::update(&text(client, 0, &letters)));
    }
    assert!(frame.len() <= Config::default().frame_bytes_max);
    world.send(writer, frame);
    let known = world.take(slow);
    assert_eq!(
        known.len(),
        1,
        "it is its turn, and all of it is told at once"
    );
    let texts: Vec<_> = (1..15).map(|client| text(client, 0, &letters)).collect();
    let all = wire::state(texts.iter().map(Vec::as_slice));
    wire::assert_same(&state_of_frames(&known), &all);
}

#[test]
fn an_answer_to_sync_step_1_does_not_count_against_the_budget() {
    let mut world = World::with(small_outbox());
    let writer = world.joined("d");
    world.send_update(writer, &text(1, 0, &"a".repeat(500)));
    let slow = world.greeted("d");
    world.stall(slow);
    world.send(slow, wire::sync_step_1(&[]));
    for clock in 0..3 {
        world.send_update(writer, &text(2, clock, "b"));
    }
    assert_eq!(world.take(slow).len(), 4);
    assert_eq!(lags(&world), 0);
}

#[test]
fn who_asks_while_it_lags_is_answered_when_it_has_read() {
    let mut world = World::with(small_outbox());
    let (writer, slow) = (world.joined("d"), world.joined("d"));
    world.stall(slow);
    write_letters(&mut world, writer, 0..20);
    let bytes = bytes_of(&world.take(slow));
    world.send(slow, wire::sync_step_1(&[(1, 2)]));
    assert!(world.take(slow).is_empty());
    world.written(slow, bytes);
    let answer = world.take(slow);
    assert_eq!(answer.len(), 1, "what was missed is not told twice");
    wire::assert_same(
        &wire::state([wire::read_step_2(&answer[0])]),
        &wire::state([text(1, 2, &"a".repeat(18)).as_slice()]),
    );
}

#[test]
fn who_lags_before_it_has_asked_gets_no_updates_for_that() {
    let mut world = World::with(small_outbox());
    let (writer, slow) = (world.joined("d"), world.greeted("d"));
    world.stall(slow);
    let mut clock = 1;
    while lags(&world) == 0 {
        clock += 1;
        world.send(writer, awareness(&[(1, clock, "{}")]));
    }
    let bytes = bytes_of(&world.take(slow));
    world.send_update(writer, &text(1, 0, "a"));
    world.written(slow, bytes);
    assert!(world.take(slow).is_empty());
}

#[test]
fn who_does_not_read_awareness_is_told_later_who_is_there() {
    let mut world = World::with(small_outbox());
    let (slow, other, gone) = (world.joined("d"), world.joined("d"), world.joined("d"));
    world.send(gone, awareness(&[(7, 1, "{}")]));
    world.take(slow);
    world.stall(slow);
    let clock = chatter_until_it_lags(&mut world, slow);
    let bytes = bytes_of(&world.take(slow));
    world.send(other, awareness(&[(2, 1, "{}")]));
    world.leave(gone);
    // It may speak on meanwhile, and is heard.
    world.take(other);
    world.send(slow, awareness(&[(1, clock + 1, "{}")]));
    assert_eq!(world.take(other).len(), 1);
    assert!(world.take(slow).is_empty());
    world.written(slow, bytes);
    let told = world.take(slow);
    assert_eq!(told.len(), 1);
    let expected = [
        (1, clock + 1, "{}".to_owned()),
        (2, 1, "{}".to_owned()),
        (7, 1, "null".to_owned()),
    ];
    assert_eq!(wire::read_awareness(&told[0]), expected);
}

#[test]
fn who_left_and_was_forgotten_meanwhile_is_told_to_be_gone() {
    let mut world = World::with(small_outbox());
    let (slow, other, gone) = (world.joined("d"), world.joined("d"), world.joined("d"));
    world.send(gone, awareness(&[(7, 3, "{}")]));
    world.take(slow);
    world.stall(slow);
    let mut clock = chatter_until_it_lags(&mut world, slow);
    let bytes = bytes_of(&world.take(slow));
    world.leave(gone);
    for _ in 0..4 {
        world.advance(secs(14));
        clock += 1;
        world.send(slow, awareness(&[(1, clock, "{}")]));
        world.take(other);
    }
    world.written(slow, bytes);
    let told = world.take(slow);
    let expected = [(1, clock, "{}".to_owned()), (7, 3, "null".to_owned())];
    assert_eq!(wire::read_awareness(&told[0]), expected);
}

#[test]
fn who_asks_for_awareness_without_reading_costs_its_budget() {
    let mut world = World::with(small_outbox());
    let slow = world.joined("d");
    world.stall(slow);
    for _ in 0..1_000 {
        world.send(slow, vec![3]);
    }
    let bytes = bytes_of(&world.take(slow));
    assert!(bytes <= 105, "{bytes}");
}

#[test]
fn who_reads_nothing_at_all_is_closed_in_the_end() {
    let mut world = World::with(small_outbox());
    let (writer, slow, still) = (world.joined("d"), world.joined("d"), world.joined("d"));
    world.send(still, awareness(&[(7, 1, "{}")]));
    world.take(writer);
    world.stall(slow);
    world.stall(still);
    write_letters(&mut world, writer, 0..20);
    world.advance(secs(59));
    world.written(slow, 1);
    world.send(still, awareness(&[(7, 2, "{}")]));
    world.advance(secs(1));
    let (code, reason) = world.closed(still);
    assert_eq!(code, CloseCode::TryAgainLater);
    assert_eq!(reason, "nothing was read for too long");
    let told = world.take(writer);
    let gone = wire::read_awareness(told.last().expect("it is told who left"));
    assert_eq!(gone, [(7, 2, "null".to_owned())]);
    assert_eq!(world.stage(slow), Stage::Open, "it reads, if slowly");
    world.advance(secs(59));
    assert_eq!(world.closed(slow).0, CloseCode::TryAgainLater);
}

#[test]
fn who_never_reads_an_answer_is_closed_in_the_end() {
    let mut world = World::new();
    let writer = world.joined("d");
    world.send_update(writer, &text(1, 0, "abc"));
    let (still, quick) = (world.greeted("d"), world.joined("d"));
    world.stall(still);
    world.send(still, wire::sync_step_1(&[]));
    world.advance(secs(59));
    assert_eq!(world.stage(still), Stage::Open);
    world.advance(secs(1));
    assert_eq!(world.closed(still).0, CloseCode::TryAgainLater);
    assert_eq!(world.stage(quick), Stage::Open, "it has read its own");
}

/// Answers of a document of 200 bytes are large, and one may be on its way to
/// each user, and two in all.
fn few_answers() -> World {
    let mut world = World::with(Config {
        answers_bytes_per_user_max: 200,
        answers_bytes_max: 400,
        ..small_outbox()
    });
    let writer = world.joined("d");
    world.send_update(writer, &text(1, 0, &"a".repeat(200)));
    world
}

fn asks_without_reading(world: &mut World, user: &str) -> ConnId {
    let conn = world.open_by(user, "d");
    world.take(conn);
    world.stall(conn);
    world.send(conn, wire::sync_step_1(&[]));
    conn
}

fn waits(world: &World) -> usize {
    let waits = |event: &&Event| matches!(event, Event::AnswerWaits { .. });
    world.events.iter().filter(waits).count()
}

#[test]
fn one_user_cannot_have_many_large_answers_on_their_way() {
    let mut world = few_answers();
    let one = asks_without_reading(&mut world, "mallory");
    let two = asks_without_reading(&mut world, "mallory");
    let three = asks_without_reading(&mut world, "mallory");
    let answer = bytes_of(&world.take(one));
    assert!(answer > 200);
    assert!(world.take(two).is_empty() && world.take(three).is_empty());
    assert_eq!(waits(&world), 2);
    assert_eq!(world.status().answers_bytes, answer);
    let other = asks_without_reading(&mut world, "alice");
    assert_eq!(world.take(other).len(), 1, "others need not wait");
    // In order, and only when the one before is read whole, or is gone, and what
    // was on its way to it as well.
    world.written(one, answer - 1);
    assert!(world.take(two).is_empty());
    world.written(one, 1);
    assert_eq!(world.take(two).len(), 1);
    assert!(world.take(three).is_empty());
    world.leave(two);
    assert!(world.take(three).is_empty(), "it takes memory still");
    world.freed(two);
    assert_eq!(world.take(three).len(), 1);
    for gone in [three, other] {
        world.leave(gone);
        world.freed(gone);
    }
    assert_eq!(world.status().answers_bytes, 0);
}

#[test]
fn who_reads_an_answer_too_slowly_goes_if_somebody_waits_for_it() {
    let mut world = World::with(Config {
        outbox_bytes_max: 100,
        answers_bytes_max: 300,
        answers_bytes_per_user_max: 300,
        answer_bytes_per_second_min: 10,
        ..Config::default()
    });
    let writer = world.joined("d");
    write_letters(&mut world, writer, 0..400);
    let slow = asks_without_reading(&mut world, "mallory");
    let answer = bytes_of(&world.take(slow));
    let drip = |world: &mut World, times: u64| {
        for _ in 0..times {
            world.advance(secs(10));
            world.written(slow, 1);
        }
    };
    // A minute, and a second for ten bytes.
    let late = 60 + answer as u64 / 10;
    drip(&mut world, late / 10 + 5);
    assert_eq!(world.stage(slow), Stage::Open, "nobody minds");
    let waits = asks_without_reading(&mut world, "alice");
    assert_eq!(world.closed(slow).0, CloseCode::TryAgainLater);
    assert!(world.take(waits).is_empty());
    world.freed(slow);
    let told = world.take(waits);
    assert_eq!(told.last().map(Bytes::len), Some(answer));
    // Who comes to be late while somebody waits.
    let next = asks_without_reading(&mut world, "bob");
    let read = |world: &mut World| {
        world.advance(secs(10));
        world.written(waits, 1);
    };
    for _ in 0..late / 10 {
        read(&mut world);
    }
    assert_eq!(world.stage(waits), Stage::Open);
    world.advance(secs(10));
    assert_eq!(world.closed(waits).0, CloseCode::TryAgainLater);
    world.freed(waits);
    let told = world.take(next);
    assert_eq!(told.last().map(Bytes::len), Some(answer));
}

#[test]
fn users_take_turns_when_many_large_answers_are_on_their_way() {
    let mut world = few_answers();
    let bob = asks_without_reading(&mut world, "bob");
    let carol = asks_without_reading(&mut world, "carol");
    let answer = bytes_of(&world.take(bob));
    let of_mallory: Vec<_> = (0..3)
        .map(|_| asks_without_reading(&mut world, "mallory"))
        .collect();
    let alice = asks_without_reading(&mut world, "alice");
    assert_eq!(waits(&world), 4);
    world.written(bob, answer);
    assert_eq!(world.take(of_mallory[0]).len(), 1);
    world.written(carol, answer);
    assert_eq!(world.take(alice).len(), 1, "before mallory's next");
    // Who does not read goes, and others go on.
    world.advance(secs(60));
    world.closed(of_mallory[0]);
    world.freed(of_mallory[0]);
    let told = world.take(of_mallory[1]);
    assert_eq!(told.last().map(Bytes::len), Some(answer));
}

#[test]
fn what_lagged_waits_for_its_turn_too() {
    let mut world = few_answers();
    let lagging = world.open_by("mallory", "d");
    world.send(lagging, wire::sync_step_1(&[]));
    world.stall(lagging);
    let writer = world.joined("d");
    world.take(lagging);
    write_letters(&mut world, writer, 200..240);
    let behind = bytes_of(&world.take(lagging));
    let asking = asks_without_reading(&mut world, "mallory");
    let answer = bytes_of(&world.take(asking));
    world.written(lagging, behind);
    assert!(world.take(lagging).is_empty());
    assert_eq!(waits(&world), 1);
    write_letters(&mut world, writer, 240..241);
    world.written(asking, answer);
    let told = world.take(lagging);
    assert_eq!(told.len(), 1);
    assert!(bytes_of(&told) > 40, "all that it missed");
}

#[test]
fn what_is_large_is_told_when_it_is_ones_turn() {
    let mut world = World::with(Config {
        answers_bytes_per_user_max: 200,
        ..small_outbox()
    });
    let join_by = |world: &mut World, user| {
        let conn = world.open_by(user, "d");
        if world.stage(conn) == Stage::Waiting {
            let op = world.take_load();
            world.loaded(op, Ok(None));
        }
        world.send(conn, wire::sync_step_1(&[]));
        world.take(conn);
        world.stall(conn);
        conn
    };
    let (one, two) = (
        join_by(&mut world, "mallory"),
        join_by(&mut world, "mallory"),
    );
    let other = join_by(&mut world, "alice");
    let writer = world.joined("d");
    let large = text(1, 0, &"a".repeat(300));
    world.send_update(writer, &large);
    let told = world.take(one);
    assert_eq!(told, [protocol::update(&large)]);
    assert!(world.take(two).is_empty(), "its user has enough to read");
    let alice = world.take(other);
    assert_eq!(alice, told);
    // Nor does more come to who has to wait, and nothing is lost.
    world.send_update(writer, &text(1, 300, "b"));
    assert!(world.take(two).is_empty());
    assert_eq!(world.take(other), [protocol::update(&text(1, 300, "b"))]);
    let bytes = bytes_of(&told);
    world.written(one, bytes);
    let all = text(1, 0, &("a".repeat(300) + "b"));
    assert_eq!(world.take(two), [protocol::update(&all)]);
}

#[test]
fn those_who_are_told_something_large_share_it() {
    let mut world = World::new();
    let (one, two, writer) = (world.joined("d"), world.joined("d"), world.joined("d"));
    world.send_update(writer, &text(1, 0, &"a".repeat(2 << 20)));
    let (first, second) = (world.take(one), world.take(two));
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].as_ptr(), second[0].as_ptr());
}

#[test]
fn what_waited_before_one_lagged_is_told_again_with_what_it_waited_for() {
    let mut world = World::with(small_outbox());
    let (writer, slow) = (world.joined("d"), world.joined("d"));
    // It builds on what nobody has.
    let waits = wire::update(&[(2, 0, vec![wire::text_after(3, 0, "waits")])], &[]);
    world.send_update(writer, &waits);
    world.take(slow);
    world.stall(slow);
    write_letters(&mut world, writer, 0..20);
    let behind = bytes_of(&world.take(slow));
    world.send_update(writer, &text(3, 0, "z"));
    world.written(slow, behind);
    let told = state_of_frames(&world.take(slow)).state_vector();
    let clients: Vec<_> = told.iter().map(|(client, _)| client.0).collect();
    assert!(clients.contains(&2) && clients.contains(&3), "{clients:?}");
}

#[test]
fn much_presence_is_told_when_it_is_ones_turn() {
    let mut world = World::with(Config {
        answers_bytes_per_user_max: 200,
        ..small_outbox()
    });
    let shows = world.greeted("d");
    let state = format!(r#"{{"a":"{}"}}"#, "x".repeat(294));
    world.send(shows, awareness(&[(1, 1, &state)]));
    let all = awareness(&[(1, 1, &state)]);
    let one = world.open_by("mallory", "d");
    assert_eq!(world.take(one).last(), Some(&all));
    world.stall(one);
    world.send(one, vec![3]);
    assert_eq!(world.take(one), std::slice::from_ref(&all));
    let two = world.open_by("mallory", "d");
    assert_eq!(world.take(two).len(), 1, "only what it is asked");
    world.written(one, all.len());
    assert_eq!(world.take(two), [all]);
}

#[test]
fn a_large_awareness_message_is_told_to_each_when_it_has_read() {
    let mut world = World::with(small_outbox());
    let (shows, slow) = (world.greeted("d"), world.greeted("d"));
    world.stall(slow);
    let state = format!(r#"{{"a":"{}"}}"#, "x".repeat(294));
    world.send(shows, awareness(&[(1, 1, &state)]));
    let told = world.take(slow);
    assert_eq!(told, [awareness(&[(1, 1, &state)])]);
    for clock in 2..10 {
        world.send(shows, awareness(&[(1, clock, &state)]));
    }
    assert!(world.take(slow).is_empty(), "it has not read the first");
    world.written(slow, bytes_of(&told));
    assert_eq!(world.take(slow), [awareness(&[(1, 9, &state)])]);
}

#[test]
fn what_clients_know_takes_no_more_memory_than_it_may() {
    let all = |world: &mut World, slow: ConnId, bytes: usize| {
        world.written(slow, bytes);
        state_of_frames(&world.take(slow)).state_vector()
    };
    let lags_having_read = |known_bytes_max| {
        let mut world = World::with(Config {
            known_bytes_max,
            ..small_outbox()
        });
        let (writer, slow) = (world.joined("d"), world.joined("d"));
        world.send_update(writer, &text(2, 0, "told"));
        world.take(slow);
        world.stall(slow);
        write_letters(&mut world, writer, 0..20);
        let on_its_way = bytes_of(&world.take(slow));
        let missed = all(&mut world, slow, on_its_way);
        missed.clock(ClientId(2))
    };
    assert_eq!(lags_having_read(32), 0, "it knows that");
    assert_eq!(lags_having_read(31), 4, "nobody knows what it knows");

    let asks_before_it_has_read = |known_bytes_max| {
        let mut world = World::with(Config {
            known_bytes_max,
            ..Config::default()
        });
        let writer = world.joined("d");
        world.send_update(writer, &text(1, 0, "told"));
        let slow = world.greeted("d");
        world.stall(slow);
        world.send(slow, wire::sync_step_1(&[]));
        let on_its_way = bytes_of(&world.take(slow));
        // Of clients that have written nothing nothing is kept.
        world.send(slow, wire::sync_step_1(&[(1, 4), (7, 9), (8, 9)]));
        let answer = all(&mut world, slow, on_its_way);
        answer.clock(ClientId(1))
    };
    assert_eq!(asks_before_it_has_read(16), 0, "it has that");
    assert_eq!(asks_before_it_has_read(15), 4);
}

#[test]
fn nothing_is_sent_to_keep_a_connection_alive_that_does_not_read() {
    let mut world = World::with(small_outbox());
    let (writer, slow) = (world.joined("d"), world.joined("d"));
    world.stall(slow);
    write_letters(&mut world, writer, 0..20);
    world.take(slow);
    world.advance(secs(45));
    assert!(world.take(slow).is_empty());
}

#[test]
fn who_waits_for_its_turn_is_kept_alive() {
    let mut world = World::with(Config {
        answers_bytes_per_user_max: 200,
        stall_max: secs(600),
        ..small_outbox()
    });
    let writer = world.joined("d");
    let (holds, waits) = (world.open_by("mallory", "d"), world.open_by("mallory", "d"));
    for conn in [holds, waits] {
        world.send(conn, wire::sync_step_1(&[]));
        world.take(conn);
    }
    world.stall(holds);
    world.send_update(writer, &text(1, 0, &"a".repeat(300)));
    assert_eq!(world.take(holds).len(), 1);
    assert!(world.take(waits).is_empty(), "its user has enough to read");
    world.advance(secs(15));
    assert_eq!(world.take(waits), [protocol::keepalive()]);
}

#[test]
fn who_sends_gaps_without_reading_is_not_asked_for_them() {
    let mut world = World::with(small_outbox());
    let (writer, slow) = (world.joined("d"), world.joined("d"));
    world.stall(slow);
    write_letters(&mut world, writer, 0..20);
    let bytes = bytes_of(&world.take(slow));
    world.send_update(slow, &text(3, 5, "follows a gap"));
    world.advance(secs(20));
    assert!(world.take(slow).is_empty());
    world.written(slow, bytes);
    assert_eq!(world.take(slow).len(), 1, "what it missed");
    world.advance(secs(5));
    let known = world.take(slow);
    assert_eq!(known.len(), 1, "and now it is asked");
    assert_eq!(known[0][..2], [0, 0]);
}

#[test]
fn those_who_come_together_share_one_answer() {
    let mut world = World::new();
    let writer = world.joined("d");
    world.send_update(writer, &text(1, 0, &"a".repeat(20_000)));
    let join = |world: &mut World| {
        let conn = world.greeted("d");
        world.send(conn, wire::sync_step_1(&[]));
        world.take(conn).pop().expect("an answer")
    };
    let (first, second) = (join(&mut world), join(&mut world));
    assert_eq!(first.as_ptr(), second.as_ptr());
    // What brings nothing new changes nothing.
    world.send_update(writer, &text(1, 0, "aaa"));
    assert_eq!(join(&mut world).as_ptr(), first.as_ptr());
    // Not when something has changed, nor for ever.
    world.send_update(writer, &text(1, 20_000, "b"));
    let third = join(&mut world);
    assert_ne!(first, third);
    let before = world.status().documents_bytes;
    world.advance(secs(1));
    assert_eq!(world.status().documents_bytes, before - third.len());
    assert_eq!(join(&mut world), third);
}

#[test]
fn a_quiet_connection_is_sent_something_every_15_s() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.advance(secs(14));
    assert!(world.take(conn).is_empty());
    world.advance(secs(1));
    assert_eq!(world.take(conn), [protocol::keepalive()]);
    world.advance(secs(45));
    assert_eq!(world.take(conn).len(), 3);
}

#[test]
fn only_quiet_connections_are_kept_alive() {
    let mut world = World::new();
    let (writer, reader) = (world.joined("d"), world.joined("d"));
    world.advance(secs(10));
    world.send_update(writer, &text(1, 0, "a"));
    world.take(reader);
    world.advance(secs(5));
    assert_eq!(
        world.take(writer),
        [protocol::keepalive()],
        "it heard nothing"
    );
    assert!(world.take(reader).is_empty(), "it heard of the update");
    world.advance(secs(10));
    assert_eq!(world.take(reader), [protocol::keepalive()]);
}
