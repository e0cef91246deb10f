//! How deep types may stand in each other.

use std::time::Duration;

use ysyncd_engine::{Config, ConnId, Event, JournalResult, Rejection};

use super::{
    wire::{self, text, text_after},
    world::{World, secs, snapshot},
};

const MAX: u64 = 50;

fn world() -> World {
    World::with(config())
}

fn config() -> Config {
    Config {
        type_depth_max: usize::try_from(MAX).expect("it is small"),
        ..Config::default()
    }
}

/// An array in the root array `a`.
fn outermost() -> Vec<u8> {
    vec![7, 1, 1, b'a', 0]
}

/// An array, the first thing in another one of client 1.
fn inside(clock: u64) -> Vec<u8> {
    let mut out = vec![7, 0, 1];
    ysyncd_engine::lib0::write_var_uint(&mut out, clock);
    out.push(0);
    out
}

/// An array behind something of client 1, in the same parent.
fn behind(clock: u64) -> Vec<u8> {
    let mut out = vec![0x87, 1];
    ysyncd_engine::lib0::write_var_uint(&mut out, clock);
    out.push(0);
    out
}

/// Arrays of client 1, each in the one before.
fn chain(clocks: std::ops::Range<u64>) -> Vec<u8> {
    let array = |clock| match clock {
        0 => outermost(),
        _ => inside(clock - 1),
    };
    let start = clocks.start;
    wire::update(&[(1, start, clocks.map(array).collect())], &[])
}

fn refusals(world: &World) -> usize {
    let refused = |event: &&Event| {
        matches!(
            event,
            Event::UpdateRefused {
                reason: Rejection::TooDeep,
                ..
            }
        )
    };
    world.events.iter().filter(refused).count()
}

/// Sends an update over a connection of its own, so that nothing is refused
/// for what was refused before. True if it is taken.
fn is_taken(world: &mut World, update: &[u8]) -> bool {
    let conn: ConnId = world.joined("d");
    let before = refusals(world);
    world.send_update(conn, update);
    world.leave(conn);
    refusals(world) == before
}

#[test]
fn so_deep_and_no_deeper_at_once() {
    let mut world = world();
    let reader = world.joined("d");
    assert!(!is_taken(&mut world, &chain(0..MAX + 1)));
    assert!(world.take(reader).is_empty());
    assert!(is_taken(&mut world, &chain(0..MAX)));
    assert!(is_taken(&mut world, &chain(0..MAX)), "it is known already");
    assert!(!is_taken(&mut world, &chain(MAX..MAX + 1)));
}

#[test]
fn so_deep_and_no_deeper_one_by_one() {
    let mut world = world();
    for clock in 0..MAX {
        assert!(is_taken(&mut world, &chain(clock..clock + 1)), "{clock}");
    }
    for _ in 0..3 {
        assert!(!is_taken(&mut world, &chain(MAX..MAX + 1)));
        world.advance(secs(10));
    }
}

#[test]
fn what_comes_innermost_first_is_no_way_around() {
    let mut world = world();
    let mut taken = 0;
    // Each waits for the one that it stands in, of a client of its own.
    for client in (2..200).rev() {
        let mut array = vec![7, 0];
        ysyncd_engine::lib0::write_var_uint(&mut array, client - 1);
        array.extend([0, 0]);
        let update = wire::update(&[(client, 0, vec![array])], &[]);
        world.advance(secs(6));
        taken += u64::from(is_taken(&mut world, &update));
    }
    assert_eq!(taken, MAX);
}

#[test]
fn as_many_side_by_side_as_one_likes() {
    let mut world = world();
    let conn = world.joined("d");
    for clock in 0..2_000 {
        let array = match clock {
            0 => outermost(),
            _ => behind(clock - 1),
        };
        world.send_update(conn, &wire::update(&[(1, clock, vec![array])], &[]));
        if clock % 40 == 0 {
            world.advance(secs(6));
        }
    }
    // And many at once.
    let many = (3_000..5_000).map(|_| outermost()).collect();
    world.send_update(conn, &wire::update(&[(2, 0, many)], &[]));
    assert_eq!(refusals(&world), 0);
}

#[test]
fn much_may_be_pasted_again_and_again() {
    let mut world = world();
    let conn = world.joined("d");
    let long = text(1, 0, &"a".repeat(200_000));
    world.send_update(conn, &long);
    for paste in 0..5 {
        let start = paste * 2 * MAX;
        let many = (0..2 * MAX).map(|_| outermost()).collect();
        world.send_update(conn, &wire::update(&[(2, start, many)], &[]));
        world.advance(Duration::from_millis(100));
    }
    assert_eq!(refusals(&world), 0);
    // But not without end: each time the whole document is looked at.
    for paste in 5..10 {
        let start = paste * 2 * MAX;
        let many = (0..2 * MAX).map(|_| outermost()).collect();
        world.send_update(conn, &wire::update(&[(2, start, many)], &[]));
        world.advance(Duration::from_millis(10));
    }
    assert_eq!(refusals(&world), 1, "then it is asked to sync again");
}

#[test]
fn one_document_after_the_other_is_looked_at() {
    let mut world = world();
    let conns: Vec<_> = ["a", "b", "c"].map(|doc| world.joined(doc)).into();
    for &conn in &conns {
        world.send_update(conn, &text(1, 0, &"a".repeat(400_000)));
        world.send_update(conn, &wire::update(&[(4, 0, vec![outermost()])], &[]));
    }
    world.advance(secs(1));
    let many = |client| {
        let many = (0..2 * MAX).map(|_| outermost()).collect();
        wire::update(&[(client, 0, many)], &[])
    };
    // Each is due, and the server has others to serve.
    for &conn in &conns {
        world.send_update(conn, &many(2));
        world.advance(Duration::from_millis(20));
    }
    assert_eq!(refusals(&world), 2);
    world.advance(Duration::from_millis(200));
    let other = world.joined("b");
    world.send_update(other, &many(3));
    assert_eq!(refusals(&world), 2);
}

#[test]
fn a_depth_is_passed_on_from_neighbour_to_neighbour() {
    let mut world = world();
    let mut clock = 0;
    let mut structs = vec![outermost()];
    // In each array a letter, and the next array behind that.
    for _ in 1..=MAX {
        let mut letter = vec![4, 0, 1];
        ysyncd_engine::lib0::write_var_uint(&mut letter, clock);
        letter.extend([1, b'x']);
        structs.push(letter);
        structs.push(behind(clock + 1));
        clock += 2;
    }
    assert!(!is_taken(
        &mut world,
        &wire::update(&[(1, 0, structs.clone())], &[])
    ));
    structs.truncate(structs.len() - 2);
    assert!(is_taken(&mut world, &wire::update(&[(1, 0, structs)], &[])));
    world.advance(secs(6));
    let letters = wire::update(&[(9, 0, vec![text_after(1, 1, "letters")])], &[]);
    assert!(is_taken(&mut world, &letters), "what is no type is taken");
}

#[test]
fn what_is_stored_counts() {
    let mut world = world();
    let conn = world.open("d");
    let op = world.take_load();
    world.loaded(op, Ok(Some(snapshot(chain(0..MAX - 1), "1"))));
    world.take(conn);
    assert!(is_taken(&mut world, &chain(MAX - 1..MAX)));
    assert!(!is_taken(&mut world, &chain(MAX..MAX + 1)));
}

#[test]
fn what_is_on_its_way_to_the_disk_counts() {
    let config = Config {
        journal: true,
        ..config()
    };
    let mut world = World::with(config);
    let conn = world.joined("d");
    for clock in 0..2 * MAX {
        world.send_update(conn, &chain(clock..clock + 1));
    }
    assert_eq!(refusals(&world), 1, "then it is asked to sync again");
    let mut staged = 0;
    while !world.journal_is_idle() {
        world.take_append();
        staged += 1;
    }
    assert_eq!(staged, MAX);
}

#[test]
fn what_has_arrived_counts_no_longer_as_on_its_way() {
    let config = Config {
        journal: true,
        ..config()
    };
    let mut world = World::with(config);
    let conn = world.joined("d");
    world.send_update(conn, &wire::update(&[(1, 0, vec![outermost()])], &[]));
    for clock in 1..4 * MAX {
        // Beside the one before, and on its way before that has arrived.
        world.send_update(
            conn,
            &wire::update(&[(1, clock, vec![behind(clock - 1)])], &[]),
        );
        let (op, _) = world.take_append();
        world.journal(op, JournalResult::Appended(Ok(())));
        world.advance(Duration::from_millis(10));
    }
    assert_eq!(refusals(&world), 0);
}
