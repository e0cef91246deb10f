//! Who would turn presence on others: those have to be seen all the same.

use std::{num::NonZeroUsize, time::Duration};

use ysyncd_engine::{Config, ConnId};

use super::{
    wire::{awareness, read_awareness},
    world::{World, secs},
};

/// The highest clock that somebody may say of whom nothing is known.
const NEW: u64 = (u32::MAX / 2) as u64;

/// A page of y-protocols, as far as its own clock goes.
struct Page {
    user: &'static str,
    conn: ConnId,
    client: u64,
    clock: u64,
}

impl Page {
    fn new(world: &mut World, user: &'static str, client: u64) -> Self {
        let conn = world.greeted_by(user, "d");
        Self {
            user,
            conn,
            client,
            clock: 0,
        }
    }

    /// It comes back, and goes on from what it hears of itself.
    fn comes_back(&mut self, world: &mut World) {
        self.conn = world.open_by(self.user, "d");
        self.hears(world);
    }

    fn hears(&mut self, world: &mut World) {
        let frames = world.take(self.conn);
        let frames = frames.iter().filter(|frame| frame[0] == 1);
        for (client, clock, _) in frames.flat_map(|frame| read_awareness(frame)) {
            if client == self.client {
                self.clock = self.clock.max(clock);
            }
        }
    }

    /// It shows something else. Whether another connection is told.
    fn is_seen(&mut self, world: &mut World, other: ConnId) -> bool {
        self.hears(world);
        world.take(other);
        self.clock += 1;
        world.send(self.conn, awareness(&[(self.client, self.clock, "{}")]));
        let told = awareness(&[(self.client, self.clock, "{}")]);
        world.take(other).contains(&told)
    }

    /// It goes for longer than it is remembered.
    fn is_away(&self, world: &mut World) {
        world.leave(self.conn);
        world.advance(secs(61));
    }
}

#[test]
fn a_clock_that_was_said_of_a_page_while_it_was_away_does_not_mute_it() {
    let mut world = World::new();
    let other = world.greeted_by("other", "d");
    let mut alice = Page::new(&mut world, "alice", 1);
    assert!(alice.is_seen(&mut world, other));
    alice.is_away(&mut world);
    let thief = world.greeted_by("thief", "d");
    for clock in [2, NEW, NEW + (1 << 20), u64::from(u32::MAX)] {
        world.send(thief, awareness(&[(1, clock, "{}")]));
    }
    alice.comes_back(&mut world);
    // The first may not be above what was said of it.
    let seen = [(); 3].map(|()| alice.is_seen(&mut world, other));
    assert_eq!(seen, [true; 3], "at {}", alice.clock);
}

#[test]
fn a_page_with_a_high_clock_is_seen_whenever_it_comes_back() {
    let mut world = World::new();
    let other = world.greeted_by("other", "d");
    let mut alice = Page::new(&mut world, "alice", 1);
    assert!(alice.is_seen(&mut world, other));
    alice.is_away(&mut world);
    let thief = world.greeted_by("thief", "d");
    world.send(thief, awareness(&[(1, NEW, "{}")]));
    alice.comes_back(&mut world);
    assert!(alice.is_seen(&mut world, other));
    assert!(alice.clock > NEW);
    alice.is_away(&mut world);
    alice.comes_back(&mut world);
    assert!(alice.is_seen(&mut world, other));
}

/// As when the server has started again, and others were back before the page.
#[test]
fn a_page_has_its_id_of_a_connection_that_said_it_beside_its_own() {
    let mut world = World::new();
    let (other, thief) = (
        world.greeted_by("other", "d"),
        world.greeted_by("thief", "d"),
    );
    for (client, clock) in [(9, 1), (1, 5), (1, NEW), (1, u64::from(u32::MAX))] {
        world.send(thief, awareness(&[(client, clock, "{}")]));
    }
    let mut alice = Page::new(&mut world, "alice", 1);
    alice.clock = NEW;
    assert!(alice.is_seen(&mut world, other));
    world.send(thief, awareness(&[(1, NEW + 2, "{}")]));
    alice.is_away(&mut world);
    alice.comes_back(&mut world);
    assert!(alice.is_seen(&mut world, other));
}

#[test]
fn ids_by_the_thousand_have_nobody_forgotten_but_their_own_user() {
    let mut world = World::new();
    let other = world.greeted_by("other", "d");
    let mut alice = Page::new(&mut world, "alice", 1);
    assert!(alice.is_seen(&mut world, other));
    world.leave(alice.conn);
    for round in 1..=200 {
        let thief = world.greeted_by("thief", "d");
        let ids: Vec<_> = (0..65).map(|id| (100 * round + id, 1, "{}")).collect();
        world.send(thief, awareness(&ids));
        world.leave(thief);
    }
    let thief = world.greeted_by("thief", "d");
    world.take(other);
    world.send(thief, awareness(&[(1, 5, "{\"name\":\"eve\"}")]));
    assert!(world.take(other).is_empty(), "she has just gone");
    alice.comes_back(&mut world);
    assert!(alice.is_seen(&mut world, other));
}

#[test]
fn much_presence_of_one_user_leaves_others_their_turn() {
    let config = Config {
        awareness_state_bytes_max: 2_000,
        awareness_bytes_max: 4_000,
        awareness_bytes_per_second: NonZeroUsize::new(10_000).expect("it is more than 0"),
        ..Config::default()
    };
    let mut world = World::with(config);
    let other = world.greeted_by("other", "d");
    let alice = world.greeted_by("alice", "d");
    let state = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_900));
    let crowd: Vec<_> = (0..80).map(|_| world.greeted_by("mallory", "d")).collect();
    let (mut silence, mut longest) = (0, 0);
    for second in 1..120 {
        for (conn, i) in crowd.iter().zip(0..) {
            let ids = [0, 1, 2].map(|id| (100 * i + id, second, state.as_str()));
            world.send(*conn, awareness(&ids));
        }
        world.send(alice, awareness(&[(5_050, second, "{}")]));
        world.advance(secs(1));
        let told = world.take(other);
        let mut told = told.iter().flat_map(|frame| read_awareness(frame));
        silence = match told.any(|(client, ..)| client == 5_050) {
            true => 0,
            false => silence + 1,
        };
        longest = longest.max(silence);
    }
    // Pages take one of whom they hear nothing for 30 s for gone.
    assert!(longest <= 15, "{longest} s");
}

#[test]
fn who_comes_and_goes_while_others_are_told_is_not_remembered_for_ever() {
    let config = Config {
        awareness_gone_max: 100,
        awareness_bytes_per_second: NonZeroUsize::new(1).expect("it is more than 0"),
        ..Config::default()
    };
    let mut world = World::with(config);
    let _other = world.greeted_by("other", "d");
    let mut bytes = Vec::new();
    for round in 1..=100 {
        let thief = world.greeted_by("thief", "d");
        for state in ["{}", "null"] {
            let ids: Vec<_> = (0..65).map(|id| (100 * round + id, 1, state)).collect();
            world.send(thief, awareness(&ids));
        }
        world.leave(thief);
        bytes.push(world.status().documents_bytes);
    }
    assert!(bytes[99] < 2 * bytes[9], "{bytes:?}");
}

/// Frames are made of all presence only for who takes them in its turn.
#[test]
fn who_joins_in_vain_costs_no_frames() {
    let config = Config {
        outbox_bytes_max: 200,
        answers_bytes_per_user_max: 200,
        ..Config::default()
    };
    let mut world = World::with(config);
    let shows = world.greeted_by("other", "d");
    world.stall(shows);
    let state = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000));
    world.send(shows, awareness(&[(1, 1, &state)]));
    let one = world.open_by("mallory", "d");
    world.stall(one);
    world.send(one, vec![3]);
    world.send(shows, awareness(&[(1, 2, &state)]));
    let before = world.status().documents_bytes;
    let two = world.open_by("mallory", "d");
    assert_eq!(world.status().documents_bytes, before);
    assert_eq!(world.take(two).len(), 1, "only what it is asked");
}

#[test]
fn a_state_that_grows_when_it_is_repeated_is_told_as_seldom_as_it_is_large() {
    let told = |number: &str| {
        let config = Config {
            awareness_bytes_per_second: NonZeroUsize::new(10_000).expect("it is more than 0"),
            ..Config::default()
        };
        let mut world = World::with(config);
        let (shows, other) = (
            world.greeted_by("mallory", "d"),
            world.greeted_by("other", "d"),
        );
        let state = format!(r#"{{"l":[{}]}}"#, vec![number; 500].join(","));
        for tenth in 1..=300 {
            world.send(shows, awareness(&[(1, tenth, &state)]));
            world.advance(Duration::from_millis(100));
        }
        world.take(other).len()
    };
    let (as_it_is, as_repeated) = (told("1e20"), told("100000000000000000000"));
    assert!(as_it_is <= as_repeated + 1, "{as_it_is}, not {as_repeated}");
}
