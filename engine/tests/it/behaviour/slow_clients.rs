//! Clients that do not read, and clients that nothing is said to.

use ysyncd_engine::{CloseCode, Config, protocol};

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

#[test]
fn who_reads_too_slowly_is_closed_with_1013() {
    let mut world = World::with(small_outbox());
    let (writer, slow, quick) = (world.joined("d"), world.joined("d"), world.joined("d"));
    world.stall(slow);
    for clock in 0..20 {
        world.send_update(writer, &text(1, clock, "a"));
    }
    assert_eq!(world.closed(slow).0, CloseCode::TryAgainLater);
    assert_eq!(world.take(quick).len(), 20, "others miss nothing");
    assert_eq!(world.stage(writer), Stage::Open);

    // It comes back and gets exactly what it missed.
    let read = state_of_frames(&world.take(slow));
    let known = read.state_vector();
    let back = world.greeted("d");
    world.send(back, protocol::sync_step_1(&known));
    let frames = world.take(back);
    let mut after = read.clone();
    after
        .apply(wire::read_step_2(&frames[0]))
        .expect("an update");
    wire::assert_same(
        &after,
        &wire::state([text(1, 0, &"a".repeat(20)).as_slice()]),
    );
}

#[test]
fn one_frame_may_pass_the_budget() {
    let mut world = World::with(small_outbox());
    let (writer, slow) = (world.joined("d"), world.joined("d"));
    world.stall(slow);
    world.send_update(writer, &text(1, 0, &"a".repeat(500)));
    assert_eq!(world.stage(slow), Stage::Open);
    world.send_update(writer, &text(2, 0, "b"));
    assert_eq!(world.closed(slow).0, CloseCode::TryAgainLater);
}

#[test]
fn nobody_can_make_others_lag_with_one_frame() {
    let mut world = World::new();
    let (writer, reader) = (world.joined("d"), world.joined("d"));
    let letters = "a".repeat(1 << 20);
    let mut frame = Vec::new();
    for client in 1..15 {
        frame.extend_from_slice(&protocol::update(&text(client, 0, &letters)));
    }
    assert!(frame.len() <= Config::default().frame_bytes_max);
    world.send(writer, frame);
    assert_eq!(world.stage(reader), Stage::Open);
    assert_eq!(world.take(reader).len(), 14);
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
    assert_eq!(world.stage(slow), Stage::Open);
    assert_eq!(world.take(slow).len(), 4);
}

#[test]
fn who_does_not_read_its_own_awareness_is_closed() {
    let mut world = World::with(small_outbox());
    let (slow, other) = (world.joined("d"), world.joined("d"));
    world.stall(slow);
    let mut clock = 1;
    let mut state = || {
        clock += 1;
        awareness(&[(1, clock, "{}")])
    };
    for _ in 0..=100 / state().len() {
        world.send(slow, state());
    }
    assert_eq!(world.stage(slow), Stage::Open);
    world.take(other);
    // It is closed over the first message, and the others are not heard.
    let late = protocol::update(&text(9, 0, "late"));
    world.send(slow, [state(), late, wire::sync_step_1(&[])].concat());
    assert_eq!(world.closed(slow).0, CloseCode::TryAgainLater);
    let heard: Vec<_> = world.take(other);
    assert_eq!(heard.len(), 2);
    assert_eq!(wire::read_awareness(&heard[1])[0].2, "null");
}

#[test]
fn who_does_not_read_what_is_sent_again_is_closed() {
    let mut world = World::with(small_outbox());
    let slow = world.joined("d");
    world.stall(slow);
    for client in 2..12 {
        let waits = wire::update(&[(client, 0, vec![wire::text_after(1, 0, "waits")])], &[]);
        world.send_update(slow, &waits);
    }
    world.send_update(slow, &text(1, 0, "a"));
    assert_eq!(world.stage(slow), Stage::Open);
    let waits = wire::update(&[(20, 0, vec![wire::text_after(21, 0, "waits")])], &[]);
    let frame = [
        protocol::update(&waits),
        protocol::update(&text(21, 0, "b")),
    ]
    .concat();
    world.send(slow, frame);
    assert_eq!(world.closed(slow).0, CloseCode::TryAgainLater);
}

#[test]
fn many_that_lag_together_are_each_closed_once() {
    let mut world = World::with(small_outbox());
    let writer = world.joined("d");
    let slow: Vec<_> = (0..50).map(|_| world.joined("d")).collect();
    for (client, &conn) in (10..).zip(&slow) {
        world.send(conn, awareness(&[(client, 1, "{}")]));
    }
    for &conn in &slow {
        world.stall(conn);
    }
    world.send_update(writer, &text(1, 0, &"a".repeat(100)));
    world.take(writer);
    world.send_update(writer, &text(1, 100, "b"));
    for &conn in &slow {
        assert_eq!(world.closed(conn).0, CloseCode::TryAgainLater);
    }
    let told = world.take(writer);
    let gone: Vec<_> = told.iter().flat_map(wire::read_awareness).collect();
    let expected: Vec<_> = (10..60)
        .map(|client| (client, 1, "null".to_owned()))
        .collect();
    assert_eq!(gone, expected);
    assert_eq!(told.len(), 1, "those who go together are told together");
}

#[test]
fn who_asks_for_awareness_without_reading_is_closed() {
    let mut world = World::with(small_outbox());
    let slow = world.joined("d");
    world.stall(slow);
    for _ in 0..100 {
        world.send(slow, vec![3]);
    }
    assert_eq!(world.closed(slow).0, CloseCode::TryAgainLater);
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
