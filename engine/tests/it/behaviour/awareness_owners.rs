//! Who is there: who may say so.

use ysyncd_engine::{Config, Unshown};

use super::{
    wire::awareness,
    world::{Stage, World, is_unshown, secs},
};

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
