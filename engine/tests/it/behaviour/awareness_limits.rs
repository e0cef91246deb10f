//! Who is there: how much of it is shown.

use std::num::NonZeroUsize;

use ysyncd_engine::{Config, Unshown};

use super::{
    wire::{awareness, read_awareness},
    world::{Stage, World, is_unshown, secs},
};

fn said(client: u64, clock: u64, state: &str) -> (u64, u64, String) {
    (client, clock, state.to_owned())
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
