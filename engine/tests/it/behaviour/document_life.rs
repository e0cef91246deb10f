//! The way of a document into memory and out of it.

use ysyncd_engine::{Config, DocId, Event, Refusal, StoreError, protocol};

use super::{
    wire::{self, text},
    world::{Stage, World, doc, secs, snapshot},
};

fn unloaded(name: &str) -> impl Fn(&Event) -> bool {
    let name = doc(name);
    move |event| matches!(event, Event::DocumentUnloaded { doc } if *doc == name)
}

#[test]
fn opens_wait_for_one_load() {
    let mut world = World::new();
    let conns = [world.open("d"), world.open("d"), world.open("d")];
    let op = world.take_load();
    assert!(world.store_is_idle(), "one load for all");
    assert!(
        conns
            .iter()
            .all(|conn| world.stage(*conn) == Stage::Waiting)
    );

    world.loaded(op, Ok(Some(snapshot(text(1, 0, "abc"), "e"))));
    for conn in conns {
        assert_eq!(world.take(conn), [wire::sync_step_1(&[(1, 3)])]);
    }
}

#[test]
fn one_that_gives_up_waiting_is_forgotten() {
    let mut world = World::new();
    let (gone, stays) = (world.open("d"), world.open("d"));
    world.leave(gone);
    let op = world.take_load();
    world.loaded(op, Ok(None));
    assert_eq!(world.stage(gone), Stage::Left);
    assert_eq!(world.stage(stays), Stage::Open);
}

#[test]
fn a_document_that_nobody_waits_for_any_more_leaves_after_the_grace() {
    let mut world = World::new();
    let conn = world.open("d");
    world.leave(conn);
    let op = world.take_load();
    world.loaded(op, Ok(None));
    world.advance(secs(29));
    assert!(!world.told(unloaded("d")));
    world.advance(secs(1));
    assert!(world.told(unloaded("d")));
}

#[test]
fn only_so_many_may_wait_for_a_document() {
    let config = Config {
        waiting_opens_max: 2,
        ..Config::default()
    };
    let mut world = World::with(config);
    let conns = [world.open("d"), world.open("d"), world.open("d")];
    assert_eq!(world.stage(conns[2]), Stage::Refused(Refusal::Busy));
    assert_eq!(world.stage(conns[1]), Stage::Waiting);
    world.open("other");
    world.leave(conns[0]);
    let fits = world.open("d");
    assert_eq!(world.stage(fits), Stage::Waiting);
}

#[test]
fn a_failed_load_refuses_all_who_wait_and_the_next_open_tries_again() {
    for error in [
        StoreError::Unavailable("down".into()),
        StoreError::Denied("no".into()),
        StoreError::Unknown("timeout".into()),
    ] {
        let mut world = World::new();
        let conns = [world.open("d"), world.open("d")];
        let op = world.take_load();
        world.loaded(op, Err(error.clone()));
        for conn in conns {
            assert_eq!(world.stage(conn), Stage::Refused(Refusal::LoadFailed));
        }
        let told = |event: &Event| matches!(event, Event::DocumentLoadFailed { error: told, .. } if *told == error);
        assert!(world.told(told));
        assert!(world.store_is_idle(), "it is not tried again by itself");

        let again = world.open("d");
        let op = world.take_load();
        world.loaded(op, Ok(Some(snapshot(text(1, 0, "abc"), "e"))));
        assert_eq!(world.take(again), [wire::sync_step_1(&[(1, 3)])]);
    }
}

#[test]
fn an_undecodable_snapshot_refuses_and_is_never_written_over() {
    let mut world = World::new();
    for _ in 0..2 {
        let conn = world.open("d");
        let op = world.take_load();
        world.loaded(op, Ok(Some(snapshot(vec![9, 9, 9], "e"))));
        assert_eq!(world.stage(conn), Stage::Refused(Refusal::Undecodable));
        assert!(world.told(|event| matches!(event, Event::DocumentUndecodable { .. })));
        world.events.clear();
    }
    world.advance(secs(1_000));
    world.shut_down(secs(10));
    assert!(world.store_is_idle());
    assert_eq!(world.drained, Some(vec![]));
}

#[test]
fn a_clean_document_leaves_after_the_grace_and_is_loaded_anew() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.advance(secs(100));
    assert!(!world.told(unloaded("d")), "somebody has it open");
    world.leave(conn);
    world.advance(secs(30));
    assert!(world.told(unloaded("d")));
    assert!(world.store_is_idle(), "there was nothing to save");
    assert_eq!(world.poll_timeout(), None, "nothing is left to do");
    world.open("d");
    world.take_load();
}

#[test]
fn coming_back_within_the_grace_keeps_the_document() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.leave(conn);
    world.advance(secs(29));
    let back = world.open("d");
    assert_eq!(world.stage(back), Stage::Open);
    world.advance(secs(29));
    world.leave(back);
    world.advance(secs(29));
    assert!(!world.told(unloaded("d")), "the grace starts anew");
    world.advance(secs(1));
    assert!(world.told(unloaded("d")));
}

#[test]
fn a_draining_document_leaves_once_it_is_saved() {
    let config = Config {
        idle_grace: secs(1),
        ..Config::default()
    };
    let mut world = World::with(config);
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.leave(conn);
    world.advance(secs(1));
    let save = world.take_save();
    assert!(!world.told(unloaded("d")), "not before it is saved");
    world.saved(save.op, Ok("1"));
    assert!(world.told(unloaded("d")));
    assert_eq!(world.poll_timeout(), None);
}

#[test]
fn a_draining_document_stays_until_a_save_succeeds() {
    let config = Config {
        idle_grace: secs(1),
        ..Config::default()
    };
    let mut world = World::with(config);
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.leave(conn);
    world.advance(secs(1));
    for _ in 0..8 {
        let save = world.take_save();
        world.saved(save.op, Err(StoreError::Unavailable("down".into())));
        assert!(!world.told(unloaded("d")));
        world.advance(secs(60));
    }
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    assert!(world.told(unloaded("d")));
}

#[test]
fn an_open_during_draining_revives_the_document() {
    let config = Config {
        idle_grace: secs(1),
        ..Config::default()
    };
    let mut world = World::with(config);
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "abc"));
    world.leave(conn);
    world.advance(secs(1));
    let save = world.take_save();

    let back = world.open("d");
    assert_eq!(world.take(back), [wire::sync_step_1(&[(1, 3)])]);
    assert!(world.store_is_idle(), "there is never a second instance");
    world.saved(save.op, Ok("1"));
    assert!(!world.told(unloaded("d")));
    world.advance(secs(100));
    assert_eq!(world.stage(back), Stage::Open);
    assert!(!world.told(unloaded("d")));

    // It drains once more as if nothing had been.
    world.send_update(back, &text(1, 3, "d"));
    world.leave(back);
    world.advance(secs(1));
    let save = world.take_save();
    world.saved(save.op, Ok("2"));
    assert!(world.told(unloaded("d")));
}

#[test]
fn a_document_drains_at_once_if_its_changes_are_already_being_saved() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.advance(secs(5));
    let save = world.take_save();
    world.leave(conn);
    world.advance(secs(30));
    assert!(world.store_is_idle(), "one write at a time");
    world.saved(save.op, Ok("1"));
    assert!(world.told(unloaded("d")));
}

#[test]
fn late_and_repeated_results_are_ignored() {
    let mut world = World::new();
    let conn = world.open("d");
    let op = world.take_load();
    world.loaded(op, Err(StoreError::Unavailable("down".into())));
    let again = world.open("d");
    let second = world.take_load();
    // The first operation has had its result, and its document is gone.
    world.loaded(op, Ok(Some(snapshot(text(1, 0, "old"), "e"))));
    assert_eq!(world.stage(conn), Stage::Refused(Refusal::LoadFailed));
    assert_eq!(world.stage(again), Stage::Waiting);
    world.loaded(second, Ok(None));
    world.loaded(second, Ok(Some(snapshot(text(1, 0, "old"), "e"))));
    assert_eq!(world.take(again), [wire::sync_step_1(&[])]);
}

#[test]
fn the_engine_wants_to_be_woken_when_something_is_due_and_not_otherwise() {
    let mut world = World::new();
    assert_eq!(world.poll_timeout(), None);
    world.advance(secs(100));
    let conn = world.joined("d");
    assert_eq!(world.poll_timeout(), Some(secs(115)), "the keepalive");
    world.send_update(conn, &text(1, 0, "a"));
    assert_eq!(world.poll_timeout(), Some(secs(105)), "the save");
    let before = world.log.len();
    world.tick();
    assert_eq!(world.log.len(), before, "a tick before that does nothing");
    world.advance(secs(5));
    world.take_save();
    assert_eq!(world.poll_timeout(), Some(secs(115)));
}

#[test]
fn a_driver_that_wakes_late_finds_everything_done_at_once() {
    let mut world = World::new();
    let (one, two) = (world.joined("a"), world.joined("b"));
    world.send_update(one, &text(1, 0, "a"));
    world.send_update(two, &text(1, 0, "a"));
    world.now = secs(20);
    world.tick();
    world.take_save();
    world.take_save();
    assert_eq!(world.take(one), [protocol::keepalive()]);
    assert!(world.poll_timeout().is_some_and(|due| due > secs(20)));
}

#[test]
fn the_same_inputs_and_seed_give_the_same_outputs() {
    let run = |seed| {
        let mut world = World::seeded(Config::default(), seed);
        for name in ["a", "b"] {
            let conn = world.joined(name);
            world.send_update(conn, &text(1, 0, "a"));
            world.send(conn, wire::awareness(&[(1, 1, "{}")]));
        }
        for _ in 0..20 {
            world.advance(secs(1));
            while !world.store_is_idle() {
                let save = world.take_save();
                world.saved(save.op, Err(StoreError::Unavailable("down".into())));
            }
        }
        (world.log, world.events)
    };
    assert_eq!(run(5), run(5));
    let timed = |seed| {
        let mut world = World::seeded(Config::default(), seed);
        let conn = world.joined("a");
        world.send_update(conn, &text(1, 0, "a"));
        world.advance(secs(5));
        let save = world.take_save();
        world.saved(save.op, Err(StoreError::Unavailable("down".into())));
        world.poll_timeout()
    };
    assert_ne!(timed(5), timed(6), "the seed spreads retries");
}

#[test]
fn names_are_taken_as_they_are() {
    let mut world = World::new();
    for name in ["a", "A", "a/", "ä", "a b"] {
        let conn = world.joined(name);
        world.send_update(conn, &text(1, 0, name));
        assert!(DocId::new(name).is_ok());
    }
    for name in ["a", "A", "a/", "ä", "a b"] {
        let conn = world.greeted(name);
        world.send(conn, wire::sync_step_1(&[]));
        let frames = world.take(conn);
        assert_eq!(wire::read_step_2(&frames[0]), text(1, 0, name));
    }
}
