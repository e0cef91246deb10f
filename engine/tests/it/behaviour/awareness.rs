//! Who is there: what is told of it, and to whom.

use ysyncd_engine::{CloseCode, Config};

use super::{
    wire::{awareness, read_awareness},
    world::{Stage, World, secs},
};

fn said(client: u64, clock: u64, state: &str) -> (u64, u64, String) {
    (client, clock, state.to_owned())
}

#[test]
fn a_state_is_told_to_all_and_to_its_sender() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(1, 1, r#"{"name":"a"}"#)]));
    let told = [awareness(&[(1, 1, r#"{"name":"a"}"#)])];
    assert_eq!(world.take(two), told, "updates or not");
    assert_eq!(world.take(one), told, "y-websocket wants to hear things");
}

#[test]
fn an_echo_is_neither_relayed_nor_an_offence() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(1, 5, "{}")]));
    world.take(one);
    world.take(two);
    world.send(two, awareness(&[(1, 5, "{}")]));
    world.send(two, awareness(&[(1, 4, "{}")]));
    world.send(one, awareness(&[(1, 5, "{}")]));
    assert!(world.take(one).is_empty() && world.take(two).is_empty());
    assert_eq!(world.stage(two), Stage::Open);

    // The echo made nobody the owner.
    world.leave(two);
    assert!(world.take(one).is_empty());
}

#[test]
fn to_repeat_what_one_was_told_does_not_count_as_a_message() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.repeated.clear();
    world.send(one, awareness(&[(1, 5, "{}")]));
    world.send(two, awareness(&[(1, 5, "{}"), (2, 1, "{}")]));
    let query = [&awareness(&[(1, 5, "{}")])[..], &[3]].concat();
    world.send(two, query);
    world.send(two, Vec::new());
    assert!(world.repeated.is_empty(), "something is new, or asked");
    let twice = [awareness(&[(1, 5, "{}")]), awareness(&[(2, 1, "null")])].concat();
    world.send(one, twice);
    world.send(two, awareness(&[(1, 5, "{}")]));
    assert_eq!(world.repeated, [one, two]);

    // Once for each time that it was told.
    for _ in 0..10 {
        world.send(two, awareness(&[(1, 5, "{}")]));
    }
    assert_eq!(world.repeated, [one, two, two]);
}

#[test]
fn of_all_that_a_frame_says_of_a_client_the_last_word_is_relayed() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    let many = (1..1_000).flat_map(|clock| awareness(&[(7, clock, "{}")]));
    let mut frame: Vec<_> = many.collect();
    frame.extend(awareness(&[(8, 1, " {}"), (9, 1, "{}")]));
    frame.extend(awareness(&[(9, 1, "null")]));
    world.send(one, frame);
    let told = awareness(&[(7, 999, "{}"), (8, 1, " {}"), (9, 1, "null")]);
    assert_eq!(world.take(two), [told]);

    // Also if it ends with what its sender is closed for.
    let frame = [&awareness(&[(7, 1_000, "{}")])[..], &[9]].concat();
    world.send(one, frame);
    assert_ne!(world.stage(one), Stage::Open);
    let gone = awareness(&[(7, 1_000, "null"), (8, 1, "null")]);
    assert_eq!(world.take(two), [awareness(&[(7, 1_000, "{}")]), gone]);
}

#[test]
fn of_a_message_only_what_is_new_is_relayed() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(1, 1, "{}")]));
    world.take(one);
    world.send(two, awareness(&[(1, 1, "{}"), (2, 1, "{}")]));
    assert_eq!(world.take(one), [awareness(&[(2, 1, "{}")])]);
}

#[test]
fn of_a_message_only_the_last_word_on_each_client_is_relayed() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    let comes_and_goes = (100..1_000).map(|id| [(id, 1, "{}"), (id, 1, "null")]);
    let comes_and_goes: Vec<_> = comes_and_goes.collect();
    let mut message = comes_and_goes.concat();
    message.extend((1..1_000).map(|clock| (7, clock, "{}")));
    message.extend([(7, 5, "1"), (8, 1, "{}"), (8, 2, " {}")]);
    world.send(one, awareness(&message));
    let told = awareness(&[(7, 999, "{}"), (8, 2, " {}")]);
    assert_eq!(world.take(two), [told]);
    world.leave(one);
    let gone = awareness(&[(7, 999, "null"), (8, 2, "null")]);
    assert_eq!(world.take(two), [gone]);
}

#[test]
fn when_a_connection_goes_what_it_owned_is_removed_at_the_same_clock() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(1, 7, "{}"), (10, 3, "{}")]));
    world.send(two, awareness(&[(2, 1, "{}")]));
    world.take(two);
    world.leave(one);
    let gone = awareness(&[(1, 7, "null"), (10, 3, "null")]);
    assert_eq!(world.take(two), [gone]);
}

#[test]
fn a_late_echo_does_not_bring_back_who_left() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(1, 4, "{}")]));
    world.send(two, awareness(&[(2, 1, "{}")]));
    world.advance(secs(20));
    world.leave(one);
    // Meanwhile another falls silent.
    world.advance(secs(29));
    world.take(two);
    world.send(two, awareness(&[(1, 4, "{}")]));
    assert!(world.take(two).is_empty());
}

#[test]
fn one_who_comes_back_with_the_same_clock_learns_that_it_was_removed() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(1, 4, "{}")]));
    world.send(two, awareness(&[(2, 1, "{}")]));
    world.leave(one);
    let again = world.open("d");
    let greeting = world.take(again);
    let told = read_awareness(&greeting[1]);
    assert_eq!(told, [said(1, 4, "null"), said(2, 1, "{}")]);
}

#[test]
fn silent_clients_are_removed_after_30_s() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(1, 1, "{}")]));
    world.send(two, awareness(&[(2, 1, "{}")]));
    world.advance(secs(20));
    world.send(one, awareness(&[(1, 2, "{}")]));
    world.advance(secs(9));
    world.take(one);
    world.advance(secs(1));
    assert_eq!(world.take(one), [awareness(&[(2, 1, "null")])]);

    // It was only silent, and is seen again as soon as it says something.
    world.send(two, awareness(&[(2, 2, "{}")]));
    assert_eq!(world.take(one), [awareness(&[(2, 2, "{}")])]);
    world.leave(two);
    assert_eq!(world.take(one), [awareness(&[(2, 2, "null")])]);
}

#[test]
fn who_left_is_forgotten_after_30_s_more() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(1, 1, "{}")]));
    world.leave(one);
    world.take(two);
    world.advance(secs(31));
    let joiner = world.open("d");
    assert_eq!(world.take(joiner).len(), 1, "a SyncStep1 and no awareness");
}

#[test]
fn a_query_is_answered_with_all_states() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(two, vec![3]);
    assert_eq!(world.take(two), [awareness(&[])]);
    world.send(one, awareness(&[(1, 1, "{}")]));
    world.take(two);
    world.send(two, vec![3]);
    assert_eq!(world.take(two), [awareness(&[(1, 1, "{}")])]);
}

#[test]
fn many_queries_in_a_frame_cost_one_answer() {
    let mut world = World::new();
    let conn = world.greeted("d");
    world.send(conn, awareness(&[(1, 1, "{}")]));
    world.take(conn);
    world.send(conn, vec![3; Config::FRAME_MESSAGES_MAX]);
    assert_eq!(world.take(conn), [awareness(&[(1, 1, "{}")])]);
}

#[test]
fn who_joins_shares_what_is_told_of_awareness_which_counts() {
    let mut world = World::new();
    let conn = world.greeted("d");
    let before = world.status().documents_bytes;
    let state = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000));
    world.send(conn, awareness(&[(1, 1, &state)]));
    // What is known of a client takes room beside its state.
    let taken = world.status().documents_bytes - before;
    assert!(
        (state.len() + 100..state.len() + 300).contains(&taken),
        "{taken}"
    );
    let join = |world: &mut World| {
        let conn = world.open("d");
        world.take(conn).pop().expect("it is told who is there")
    };
    let (first, second) = (join(&mut world), join(&mut world));
    assert_eq!(first.as_ptr(), second.as_ptr());
    let both = taken + first.len();
    assert_eq!(world.status().documents_bytes, before + both);
    world.send(conn, awareness(&[(1, 2, "{}")]));
    assert_eq!(join(&mut world), awareness(&[(1, 2, "{}")]));
    world.leave(conn);
    assert_eq!(join(&mut world), awareness(&[(1, 2, "null")]));
}

/// Also where only those stay that show nothing.
#[test]
fn who_left_is_forgotten_in_time() {
    let mut world = World::new();
    let (shown, _reader) = (world.greeted("d"), world.greeted("d"));
    world.send(shown, awareness(&[(1, 1, "{}")]));
    world.advance(secs(29));
    world.send(shown, awareness(&[(1, 2, "{}")]));
    world.advance(secs(11));
    world.leave(shown);
    let told = |world: &mut World| {
        let conn = world.open("d");
        world.take(conn).contains(&awareness(&[(1, 2, "null")]))
    };
    assert!(told(&mut world));
    world.advance(secs(61));
    assert!(!told(&mut world));
}

#[test]
fn a_state_that_is_no_json_closes_its_connection() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(2, 1, "{}"), (3, 1, "{")]));
    assert_eq!(world.closed(one).0, CloseCode::InvalidPayload);
    assert!(world.take(two).is_empty(), "none of it was taken");
}
