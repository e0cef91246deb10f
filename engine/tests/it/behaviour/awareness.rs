//! Who is there.

use std::num::NonZeroUsize;

use ysyncd_engine::{CloseCode, Config, ConnId, Event, Unshown};

use super::{
    wire::{awareness, read_awareness},
    world::{Stage, World, secs},
};

fn said(client: u64, clock: u64, state: &str) -> (u64, u64, String) {
    (client, clock, state.to_owned())
}

/// Something that a connection said is not shown, and why.
fn is_unshown(conn: ConnId, why: Unshown) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::PresenceUnshown { conn: of, reason, .. } if *of == conn && *reason == why)
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
fn a_state_is_as_large_as_javascript_writes_it() {
    let (said, repeated) = (r#"{"a":1e20}"#, r#"{"a":100000000000000000000}"#);
    for (most, is_shown) in [(repeated.len(), true), (repeated.len() - 1, false)] {
        let config = Config {
            awareness_state_bytes_max: most,
            ..Config::default()
        };
        let mut world = World::with(config);
        let (one, two) = (world.greeted("d"), world.greeted("d"));
        world.send(one, awareness(&[(1, 1, said)]));
        assert_eq!(!world.take(two).is_empty(), is_shown);
        world.send(two, awareness(&[(1, 1, repeated)]));
        assert_eq!(world.stage(two), Stage::Open);
    }
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
fn a_connection_may_not_pass_its_limits_by_telling_of_a_client_twice() {
    let config = Config {
        awareness_bytes_max: 600,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, owner) = (world.greeted("d"), world.greeted("d"));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(292));
    world.send(owner, awareness(&[(7, 5, "{}")]));
    world.send(one, awareness(&[(6, 1, "{}")]));
    world.take(owner);
    // Its own null does not make room for what it says of the same client again.
    world.send(
        one,
        awareness(&[
            (7, 6, &large),
            (8, 1, &large),
            (7, 6, "null"),
            (7, 7, &large),
            (9, 1, "{}"),
        ]),
    );
    let told = awareness(&[(7, 7, &large), (8, 1, &large)]);
    assert_eq!(world.take(owner), [told]);
    assert!(world.told(is_unshown(one, Unshown::TooMuch)));
}

#[test]
fn connections_of_one_user_share_what_it_may_show() {
    let config = Config {
        awareness_bytes_max: 700,
        awareness_bytes_per_user_max: 1_000,
        ..Config::default()
    };
    let mut world = World::with(config);
    let other = world.greeted_by("other", "d");
    let (one, two) = (world.greeted_by("u", "d"), world.greeted_by("u", "d"));
    let of = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
    let large = of(300);
    world.send(one, awareness(&[(1, 1, &large), (2, 1, &large)]));
    world.take(other);
    // A page's own goes before what else it says, and counts.
    world.send(two, awareness(&[(3, 1, &large), (4, 1, &large)]));
    assert_eq!(world.take(other), [awareness(&[(3, 1, &large)])]);
    assert!(world.told(is_unshown(two, Unshown::TooMuchOfUser)));
    // What takes no more than before is shown, and so is what others say.
    world.send(two, awareness(&[(3, 2, &large)]));
    assert_eq!(world.take(other), [awareness(&[(3, 2, &large)])]);
    world.send(two, awareness(&[(3, 3, &of(401))]));
    assert!(world.take(other).is_empty());
    world.send(other, awareness(&[(5, 1, &large)]));
    assert_eq!(world.take(one).last(), Some(&awareness(&[(5, 1, &large)])));
    // What goes makes room.
    world.leave(one);
    world.send(two, awareness(&[(3, 4, &of(401)), (4, 2, &large)]));
    let told = awareness(&[(3, 4, &of(401)), (4, 2, &large)]);
    assert_eq!(world.take(other).last(), Some(&told));
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
fn who_says_a_higher_clock_owns_the_id() {
    let mut world = World::new();
    let (old, new) = (world.greeted("d"), world.greeted("d"));
    let other = world.greeted("d");
    world.send(old, awareness(&[(1, 1, "{}")]));
    world.send(new, awareness(&[(1, 2, "{}")]));
    world.take(other);
    world.leave(old);
    assert!(world.take(other).is_empty(), "it is another's now");
    world.leave(new);
    assert_eq!(world.take(other), [awareness(&[(1, 2, "null")])]);
}

#[test]
fn a_clock_that_cannot_be_raised_goes_with_its_connection() {
    let (most, new) = (u64::from(u32::MAX), u64::from(u32::MAX) / 2);
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(1, new, "{}")]));
    world.send(one, awareness(&[(1, most, "{}")]));
    let told = [awareness(&[(1, new, "{}")]), awareness(&[(1, most, "{}")])];
    assert_eq!(world.take(two), told);
    world.take(one);
    world.send(two, awareness(&[(1, most, " {}")]));
    assert!(world.take(two).is_empty(), "it says nothing new");
    // Whoever heard a higher one of itself would go on from there, up to what nobody
    // can read.
    for clock in [most + 1, (1 << 53) - 1] {
        world.send(two, awareness(&[(1, clock, "{}"), (2, clock, "{}")]));
        world.send(one, awareness(&[(1, clock, "null")]));
    }
    assert!(world.take(one).is_empty() && world.take(two).is_empty());
    assert_eq!(world.stage(two), Stage::Open);
    world.leave(one);
    assert_eq!(world.take(two), [awareness(&[(1, most, "null")])]);
}

#[test]
fn what_somebody_else_says_of_a_client_leaves_it_room_for_more() {
    let new = u64::from(u32::MAX) / 2;
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(1, 7, "{}")]));
    world.take(two);
    for (clock, counts) in [(new + 1, false), (new, true)] {
        world.send(two, awareness(&[(1, clock, "{}")]));
        assert_eq!(!world.take(two).is_empty(), counts);
    }
    world.send(one, awareness(&[(1, new + 1, "{}")]));
    assert_eq!(world.take(two), [awareness(&[(1, new + 1, "{}")])]);
}

#[test]
fn a_null_counts_only_from_the_owner() {
    let mut world = World::new();
    let (owner, other) = (world.greeted("d"), world.greeted("d"));
    world.send(owner, awareness(&[(1, 3, "{}")]));
    world.take(owner);
    world.take(other);
    world.send(other, awareness(&[(1, 3, "null")]));
    world.send(other, awareness(&[(1, 9, "null")]));
    world.send(other, awareness(&[(5, 1, "null")]));
    assert!(world.take(owner).is_empty() && world.take(other).is_empty());

    world.send(owner, awareness(&[(1, 3, "null")]));
    assert_eq!(world.take(other), [awareness(&[(1, 3, "null")])]);
    world.leave(owner);
    assert!(world.take(other).is_empty(), "it had left already");
}

#[test]
fn a_client_that_is_named_dead_but_lives_hears_of_it_and_is_seen_again() {
    let mut world = World::new();
    let (old, other) = (world.greeted("d"), world.greeted("d"));
    world.send(old, awareness(&[(1, 4, "{}")]));
    // It comes back on a new connection while the old one hangs on.
    let new = world.greeted("d");
    world.send(new, awareness(&[(1, 4, "{}")]));
    world.take(other);
    world.leave(old);
    let gone = [awareness(&[(1, 4, "null")])];
    assert_eq!(world.take(new), gone, "the named one is told too");
    assert_eq!(world.take(other), gone);

    world.send(new, awareness(&[(1, 5, "{}")]));
    assert_eq!(world.take(other), [awareness(&[(1, 5, "{}")])]);
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
fn a_connection_speaks_for_so_many_and_those_that_went_lately() {
    let config = Config {
        awareness_ids_max: 2,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    // Its own comes first.
    let first = [(9, 1, "{}")];
    let all = [(1, 1, "{}"), (2, 1, "{}"), (3, 1, "{}")];
    world.send(one, awareness(&first));
    world.send(one, awareness(&all));
    assert_eq!(world.take(two), [awareness(&first), awareness(&all[..2])]);
    assert!(world.told(is_unshown(one, Unshown::TooManyIds)));
    world.send(one, awareness(&[(2, 1, "null")]));
    world.take(two);
    world.send(one, awareness(&all[2..]));
    assert!(world.take(two).is_empty());
    // Nor can it have those forgotten whom others may repeat.
    let many: Vec<_> = (100..10_000).map(|client| (client, 1, "{}")).collect();
    world.send(one, awareness(&many));
    assert!(world.take(two).is_empty());
    assert_eq!(world.stage(one), Stage::Open);
    world.advance(secs(20));
    world.send(one, awareness(&[(9, 2, "{}"), (1, 2, "{}")]));
    world.advance(secs(11));
    world.take(two);
    world.send(one, awareness(&all[2..]));
    assert_eq!(world.take(two), [awareness(&all[2..])]);
    // Echoing many is no offence.
    world.send(two, awareness(&[(9, 2, "{}"), (1, 2, "{}"), (3, 1, "{}")]));
    assert_eq!(world.stage(two), Stage::Open);
}
#[test]
fn who_comes_and_goes_all_the_time_is_not_remembered_without_end() {
    let config = Config {
        awareness_gone_max: 3,
        ..Config::default()
    };
    let mut world = World::with(config);
    let conn = world.greeted("d");
    for client in 1..=5 {
        world.send(conn, awareness(&[(client, 1, "{}")]));
        world.advance(secs(1));
        world.send(conn, awareness(&[(client, 2, "null")]));
    }
    let told = awareness(&[(3, 2, "null"), (4, 2, "null"), (5, 2, "null")]);
    let joiner = world.open("d");
    assert_eq!(world.take(joiner).last(), Some(&told));
}

#[test]
fn a_connection_may_not_speak_of_too_much_in_all() {
    let config = Config {
        awareness_bytes_max: 20,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    let ten = r#"{"a":1234}"#;
    // Its own has room of its own.
    world.send(one, awareness(&[(9, 1, ten)]));
    let both = awareness(&[(1, 1, ten), (2, 1, ten)]);
    world.send(one, both.clone());
    assert_eq!(world.take(two), [awareness(&[(9, 1, ten)]), both]);
    world.send(one, awareness(&[(3, 1, "{}")]));
    assert!(world.take(two).is_empty());
    assert!(world.told(is_unshown(one, Unshown::TooMuch)));
    // What is gone does not count, and what was shown before stays.
    world.send(
        one,
        awareness(&[(1, 2, "null"), (2, 2, "{\"a\":1234567890123456}")]),
    );
    assert_eq!(world.take(two), [awareness(&[(1, 2, "null")])]);
    world.send(one, awareness(&[(3, 1, ten)]));
    assert_eq!(world.take(two), [awareness(&[(3, 1, ten)])]);
    // Nor does what is of others.
    world.send(two, awareness(&[(2, 1, ten), (3, 1, ten), (5, 1, ten)]));
    assert_eq!(world.take(one).last(), Some(&awareness(&[(5, 1, ten)])));
    assert_eq!(world.stage(one), Stage::Open);
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
fn a_state_that_is_too_big_or_no_object_is_not_shown() {
    let config = Config {
        awareness_state_bytes_max: 10,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    let fits = awareness(&[(1, 1, r#"{"a":1234}"#)]);
    world.send(one, fits.clone());
    assert_eq!(world.take(two), [fits]);
    world.send(one, awareness(&[(1, 2, r#"{"a":12345}"#)]));
    assert!(world.told(is_unshown(one, Unshown::TooBig)));
    // A client that hears of itself that it is 0 has no state from then on.
    for state in ["0", "false", r#""""#, "[]", " 1", "true"] {
        world.send(one, awareness(&[(1, 3, state)]));
    }
    assert!(world.told(is_unshown(one, Unshown::NoObject)));
    assert!(world.take(two).is_empty());
    world.send(one, awareness(&[(1, 3, " {}")]));
    assert_eq!(world.take(two), [awareness(&[(1, 3, " {}")])]);
    assert_eq!(world.stage(one), Stage::Open);
}

#[test]
fn a_state_that_is_no_json_closes_its_connection() {
    let mut world = World::new();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(2, 1, "{}"), (3, 1, "{")]));
    assert_eq!(world.closed(one).0, CloseCode::InvalidPayload);
    assert!(world.take(two).is_empty(), "none of it was taken");
}

#[test]
fn nobody_speaks_for_a_client_of_another_user() {
    let mut world = World::new();
    let (alice, thief) = (
        world.greeted_by("alice", "d"),
        world.greeted_by("thief", "d"),
    );
    world.send(thief, awareness(&[(2, 1, "{}")]));
    world.send(alice, awareness(&[(1, 1, "{}")]));
    world.take(thief);
    world.take(alice);
    let stolen = [(1, 2, "{}"), (1, 2, "null"), (1, u64::from(u32::MAX), "{}")];
    for said in stolen {
        world.send(thief, awareness(&[said]));
    }
    world.send(thief, awareness(&stolen));
    assert!(world.take(alice).is_empty() && world.take(thief).is_empty());
    assert!(world.told(is_unshown(thief, Unshown::SomeoneElses)));
    // She may herself, as when her page comes back before the old connection is gone.
    let again = world.greeted_by("alice", "d");
    world.send(again, awareness(&[(1, 3, "{}")]));
    assert_eq!(world.take(thief), [awareness(&[(1, 3, "{}")])]);
    world.leave(alice);
    world.leave(again);
    world.take(thief);
    // Nor is it anybody's when she has just gone.
    world.send(thief, awareness(&[(1, 4, "{}")]));
    assert!(world.take(thief).is_empty());
}

#[test]
fn who_comes_back_late_gets_an_id_back_that_was_its_first() {
    let mut world = World::new();
    let other = world.greeted_by("other", "d");
    let alice = world.greeted_by("alice", "d");
    world.send(alice, awareness(&[(1, 4, "{}")]));
    let thief = world.greeted_by("thief", "d");
    // A thief that is early gains nothing by that.
    world.send(thief, awareness(&[(1, 5, "{}")]));
    world.leave(alice);
    world.send(thief, awareness(&[(1, 6, "{}")]));
    let told = [awareness(&[(1, 4, "{}")]), awareness(&[(1, 4, "null")])];
    assert_eq!(world.take(other), told);
    world.advance(secs(61));
    world.send(thief, awareness(&[(1, 5, "{}")]));
    let alice = world.greeted_by("alice", "d");
    world.take(thief);
    world.send(alice, awareness(&[(1, 4, "{}")]));
    assert!(world.take(thief).is_empty(), "it hears of a higher clock");
    world.send(alice, awareness(&[(1, 6, "{}")]));
    assert_eq!(world.take(thief), [awareness(&[(1, 6, "{}")])]);
    world.send(thief, awareness(&[(1, 7, "{}")]));
    assert!(world.take(thief).is_empty());
}

/// Pages in one browser tell each other, and each says to the server what it hears.
#[test]
fn what_a_page_says_of_itself_goes_before_what_others_passed_on() {
    let mut world = World::new();
    let [other, bob] = ["other", "bob"].map(|user| world.greeted_by(user, "d"));
    world.send(bob, awareness(&[(2, 1, "{}")]));
    world.send(bob, awareness(&[(1, 1, "{}")]));
    let alice = world.greeted_by("alice", "d");
    world.send(alice, awareness(&[(1, 1, "{}")]));
    world.take(other);
    world.send(alice, awareness(&[(1, 2, "{}")]));
    assert_eq!(world.take(other), [awareness(&[(1, 2, "{}")])]);
    world.send(bob, awareness(&[(1, 3, "{}")]));
    assert!(world.take(other).is_empty());
    world.leave(bob);
    assert_eq!(world.take(other), [awareness(&[(2, 1, "null")])]);
    world.send(alice, awareness(&[(1, 3, "{}")]));
    assert_eq!(world.take(other), [awareness(&[(1, 3, "{}")])]);
    let thief = world.greeted_by("thief", "d");
    world.send(thief, awareness(&[(1, 4, "{}")]));
    assert!(world.take(other).is_empty(), "its own it is not");
}

#[test]
fn a_page_may_go_on_as_another_user_when_it_was_away() {
    let mut world = World::new();
    let (stranger, other) = (world.greeted_by("stranger", "d"), world.greeted("d"));
    world.send(stranger, awareness(&[(1, 4, "{}")]));
    world.leave(stranger);
    world.take(other);
    let alice = world.greeted_by("alice", "d");
    world.send(alice, awareness(&[(1, 5, "{}")]));
    assert!(world.take(other).is_empty());
    world.advance(secs(31));
    world.take(other);
    world.send(alice, awareness(&[(1, 6, "{}")]));
    assert_eq!(world.take(other), [awareness(&[(1, 6, "{}")])]);
}

#[test]
fn no_limit_is_passed_by_saying_old_things_beside_new_ones() {
    let config = Config {
        awareness_ids_max: 4,
        awareness_bytes_max: 40,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    let ten = r#"{"a":1234}"#;
    world.send(one, awareness(&[(1_000, 1, "{}")]));
    let four = [(900, 1, ten), (901, 1, ten), (902, 1, ten), (903, 1, ten)];
    world.send(one, awareness(&four));
    world.take(two);
    for round in 0..20 {
        // New ids in front of those that are there, or behind others that go.
        let low = 800 - 4 * round;
        let old = if round % 2 == 0 { ten } else { "null" };
        let clock = round + 2;
        let new = [(low, 1, ten), (low + 1, 1, ten)];
        let said = [&new[..], &[(900, clock, old), (901, clock, old)]].concat();
        world.send(one, awareness(&said));
    }
    let joiner = world.open("d");
    let all = read_awareness(world.take(joiner).last().expect("it is told"));
    assert!(all.len() <= 5, "{all:?}");
    let here = all.iter().filter(|(_, _, state)| state != "null");
    assert!(here.map(|(.., state)| state.len()).sum::<usize>() <= 42);
}

#[test]
fn where_nobody_may_speak_for_others_each_is_seen() {
    let config = Config {
        awareness_ids_max: 0,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&[(1, 1, "{}")]));
    world.send(one, awareness(&[(2, 1, "{}")]));
    assert_eq!(world.take(two), [awareness(&[(1, 1, "{}")])]);
}

#[test]
fn only_so_much_is_told_a_second_and_of_each_client_the_last() {
    let config = Config {
        awareness_bytes_per_second: NonZeroUsize::new(100).expect("it is more than 0"),
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    let fifty = format!(r#"{{"a":"{}"}}"#, "x".repeat(42));
    for clock in 1..=50 {
        world.send(one, awareness(&[(1, clock, &fifty)]));
        world.send(two, awareness(&[(2, clock, "{}")]));
    }
    let told = world.take(two).len();
    assert!((2..=4).contains(&told), "{told}");
    world.advance(secs(3));
    let frames = world.take(two);
    let told: Vec<_> = frames
        .iter()
        .flat_map(|frame| read_awareness(frame))
        .collect();
    assert!(told.contains(&said(1, 50, &fifty)) && told.contains(&said(2, 50, "{}")));
    // Who goes does so at once, and is not told of again.
    for clock in 51..=54 {
        world.send(one, awareness(&[(1, clock, &fifty)]));
    }
    world.take(two);
    world.leave(one);
    assert_eq!(world.take(two), [awareness(&[(1, 54, "null")])]);
    world.advance(secs(5));
    let frames = world.take(two);
    assert!(frames.iter().all(|frame| read_awareness(frame).is_empty()));
}

#[test]
fn presence_is_told_in_frames_that_may_be_repeated() {
    let config = Config {
        frame_bytes_max: 120_000,
        document_bytes_max: 1_000,
        ..Config::default()
    };
    let mut world = World::with(config.clone());
    let state = format!(r#"{{"a":"{}"}}"#, "x".repeat(3_000));
    let shown: Vec<_> = (1..=30).map(|client| (client, 1, &*state)).collect();
    let (one, two) = (world.greeted("d"), world.greeted("d"));
    world.send(one, awareness(&shown[..1]));
    world.take(two);
    world.send(one, awareness(&shown[1..]));
    let joiner = world.open("d");
    for (conn, expected) in [(two, &shown[1..]), (joiner, &shown[..])] {
        let frames = world.take(conn);
        let frames = frames.iter().filter(|frame| frame[0] == 1);
        let mut told = Vec::new();
        for frame in frames {
            assert!(frame.len() <= config.frame_bytes_max / 2, "{}", frame.len());
            told.extend(read_awareness(frame));
        }
        let expected = expected.iter();
        let expected: Vec<_> = expected
            .map(|(id, clock, state)| said(*id, *clock, state))
            .collect();
        assert_eq!(told, expected);
    }
}
