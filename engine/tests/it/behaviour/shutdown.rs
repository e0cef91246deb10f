//! Going down in order.

use ysyncd_engine::{CloseCode, Event, Refusal, StoreError};

use super::{
    wire::{self, text},
    world::{Stage, World, doc, secs},
};

#[test]
fn an_engine_without_documents_has_drained_at_once() {
    let mut world = World::new();
    world.shut_down(secs(10));
    assert_eq!(world.drained, Some(vec![]));
}

#[test]
fn shutdown_closes_everybody_with_1001_and_refuses_who_comes() {
    let mut world = World::new();
    let (one, two) = (world.joined("a"), world.joined("b"));
    world.send_update(one, &text(1, 0, "a"));
    world.shut_down(secs(10));
    for conn in [one, two] {
        assert_eq!(world.closed(conn).0, CloseCode::GoingAway);
    }
    assert_eq!(world.drained, None, "one document is not saved yet");
    let late = world.open("a");
    assert_eq!(world.stage(late), Stage::Refused(Refusal::ShuttingDown));
}

#[test]
fn shutdown_saves_at_once_and_then_has_drained() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.shut_down(secs(10));
    let save = world.take_save();
    assert_eq!(world.drained, None);
    world.saved(save.op, Ok("1"));
    assert_eq!(world.drained, Some(vec![]));
}

#[test]
fn shutdown_waits_for_a_write_in_flight_and_writes_what_it_lacks() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.advance(secs(5));
    let first = world.take_save();
    world.send_update(conn, &text(1, 1, "b"));
    world.shut_down(secs(10));
    assert!(world.store_is_idle());
    world.saved(first.op, Ok("1"));
    let second = world.take_save();
    world.saved(second.op, Ok("2"));
    assert_eq!(world.drained, Some(vec![]));
}

#[test]
fn at_the_deadline_the_unsaved_documents_are_told() {
    let mut world = World::new();
    let (stuck, fine) = (world.joined("stuck"), world.joined("fine"));
    world.joined("clean");
    world.send_update(stuck, &text(1, 0, "a"));
    world.send_update(fine, &text(1, 0, "a"));
    world.shut_down(secs(10));
    let (_stuck, fine) = (world.take_save(), world.take_save());
    // Documents are drained in the order in which they were opened.
    world.saved(fine.op, Ok("1"));
    assert_eq!(world.poll_timeout(), Some(world.now + secs(10)));
    world.advance(secs(9));
    assert_eq!(world.drained, None);
    world.advance(secs(1));
    assert_eq!(world.drained, Some(vec![doc("stuck")]));
}

#[test]
fn shutdown_tries_again_soon_even_after_a_long_outage() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    for _ in 0..10 {
        world.advance(secs(60));
        let save = world.take_save();
        world.saved(save.op, Err(StoreError::Unavailable("down".into())));
    }
    world.shut_down(secs(10));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Unavailable("down".into())));
    world.advance(secs(2));
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    assert_eq!(world.drained, Some(vec![]));
}

#[test]
fn shutdown_refuses_who_waits_for_a_load() {
    let mut world = World::new();
    let conn = world.open("d");
    let op = world.take_load();
    world.shut_down(secs(10));
    assert_eq!(world.stage(conn), Stage::Refused(Refusal::ShuttingDown));
    assert_eq!(world.drained, Some(vec![]));
    world.loaded(op, Ok(None));
}

#[test]
fn shutdown_does_not_tell_everybody_that_everybody_leaves() {
    let mut world = World::new();
    let conns: Vec<_> = (0..20).map(|_| world.joined("d")).collect();
    for (client, &conn) in (1..).zip(&conns) {
        world.send(conn, wire::awareness(&[(client, 1, "{}")]));
    }
    for &conn in &conns {
        world.take(conn);
    }
    world.shut_down(secs(10));
    for &conn in &conns {
        assert!(world.take(conn).is_empty());
        assert_eq!(world.closed(conn).0, CloseCode::GoingAway);
    }
}

#[test]
fn a_second_shutdown_can_only_bring_the_deadline_forward() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.shut_down(secs(10));
    world.shut_down(secs(20));
    assert_eq!(world.poll_timeout(), Some(world.now + secs(10)));
    world.shut_down(secs(0));
    assert_eq!(world.drained, Some(vec![doc("d")]));
}

#[test]
fn a_document_that_was_draining_is_shut_down_like_others() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.leave(conn);
    world.advance(secs(5));
    let save = world.take_save();
    world.advance(secs(25));
    world.shut_down(secs(10));
    assert!(world.store_is_idle());
    world.saved(save.op, Ok("1"));
    assert!(world.told(|event| matches!(event, Event::DocumentUnloaded { .. })));
    assert_eq!(world.drained, Some(vec![]));
}

#[test]
fn a_document_that_drains_in_a_long_outage_is_tried_again_at_once() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.leave(conn);
    let down = || StoreError::Unavailable("down".into());
    for _ in 0..10 {
        world.advance(secs(60));
        let save = world.take_save();
        world.saved(save.op, Err(down()));
    }
    world.shut_down(secs(10));
    let save = world.take_save();
    world.saved(save.op, Err(down()));
    assert!(world.store_is_idle(), "but not without any pause");
    world.advance(secs(1));
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    assert_eq!(world.drained, Some(vec![]));
}
