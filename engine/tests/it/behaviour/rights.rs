//! Those who may only read, and those whose time ends.

use ysyncd_engine::{CloseCode, ConnId, Event, auth::Access, protocol};

use super::{
    wire::{awareness, deletion, sync_step_1, text},
    world::{Stage, World, secs},
};

/// Opens a document as one who may only read, and gets updates.
fn reader(world: &mut World) -> ConnId {
    let conn = world.open_as("d", Access::Read, None);
    assert_eq!(world.stage(conn), Stage::Open);
    assert!(world.take(conn).is_empty(), "it is not asked what it knows");
    world.send(conn, sync_step_1(&[]));
    conn
}

fn is_denied(frames: &[bytes::Bytes]) -> bool {
    matches!(frames, [frame] if frame.starts_with(&[2, 0]))
}

#[test]
fn a_reader_gets_everything_and_shows_itself() {
    let mut world = World::new();
    let writer = world.joined("d");
    world.send_update(writer, &text(1, 0, "a"));
    let conn = reader(&mut world);
    assert_eq!(world.take(conn), [protocol::sync_step_2(&text(1, 0, "a"))]);
    world.send_update(writer, &text(1, 1, "b"));
    assert_eq!(world.take(conn), [protocol::update(&text(1, 1, "b"))]);
    let state = awareness(&[(7, 1, "{}")]);
    world.send(conn, state.clone());
    assert_eq!(world.take(writer), [state]);
}

#[test]
fn what_a_reader_writes_is_ignored_and_it_is_told_once() {
    let mut world = World::new();
    let writer = world.joined("d");
    world.send_update(writer, &text(1, 0, "abc"));
    let conn = reader(&mut world);
    world.take(conn);
    let state = world.joined("d");
    for update in [text(2, 0, "x"), deletion(1, 0, 1), text(2, 1, "y")] {
        world.send_update(conn, &update);
        world.send(conn, protocol::sync_step_2(&update));
    }
    assert!(is_denied(&world.take(conn)));
    assert!(world.take(writer).is_empty() && world.take(state).is_empty());
    assert_eq!(world.stage(conn), Stage::Open);
    let forbidden = |event: &&Event| matches!(event, Event::UpdateForbidden { .. });
    assert_eq!(world.events.iter().filter(forbidden).count(), 6);

    // Who comes now sees none of it.
    let late = world.greeted("d");
    world.send(late, sync_step_1(&[]));
    assert_eq!(
        world.take(late),
        [protocol::sync_step_2(&text(1, 0, "abc"))]
    );
    // And it is never asked for it, as one is whose updates were refused.
    world.advance(secs(600));
    let asked = |frame: &bytes::Bytes| frame.starts_with(&[0, 0]);
    assert!(!world.take(conn).iter().any(asked));
}

#[test]
fn a_reader_may_tell_what_is_known() {
    let mut world = World::new();
    let writer = world.joined("d");
    world.send_update(writer, &text(1, 0, "abc"));
    let conn = reader(&mut world);
    world.take(conn);
    world.send_update(conn, &text(1, 0, "abc"));
    world.send(conn, protocol::sync_step_2(&[0, 0]));
    assert!(world.take(conn).is_empty());
}

#[test]
fn bad_input_of_a_reader_closes_it_as_anybody() {
    let mut world = World::new();
    world.joined("d");
    let conn = reader(&mut world);
    world.send_update(conn, &[1, 1]);
    assert_eq!(world.closed(conn).0, CloseCode::InvalidPayload);
}

#[test]
fn connections_are_closed_when_their_time_is_over_and_not_before() {
    let mut world = World::new();
    let stays = world.joined("d");
    let first = world.open_as("d", Access::Write, Some(secs(100)));
    let second = world.open_as("d", Access::Read, Some(secs(160)));
    world.send(first, awareness(&[(1, 1, "{}")]));
    world.advance(secs(99));
    assert_eq!(world.stage(first), Stage::Open);
    world.take(stays);
    world.send(first, awareness(&[(1, 2, "{}")]));
    world.take(stays);
    world.advance(secs(1));
    let (code, reason) = world.closed(first);
    assert_eq!(
        (code.number(), reason.as_str()),
        (4401, "the token has expired")
    );
    let gone = awareness(&[(1, 2, "null")]);
    assert!(world.take(stays).contains(&gone), "others see it go");
    world.advance(secs(59));
    assert_eq!(world.stage(second), Stage::Open);
    world.advance(secs(1));
    assert_eq!(world.closed(second).0, CloseCode::TokenExpired);
    world.advance(secs(3_600));
    assert_eq!(world.stage(stays), Stage::Open);
}

#[test]
fn who_waits_until_its_time_is_over_is_let_in_and_closed() {
    let mut world = World::new();
    let conn = world.open_as("d", Access::Write, Some(secs(5)));
    let load = world.take_load();
    world.advance(secs(10));
    assert_eq!(world.stage(conn), Stage::Waiting);
    world.loaded(load, Ok(None));
    world.advance(secs(0));
    assert_eq!(world.closed(conn).0, CloseCode::TokenExpired);
}
