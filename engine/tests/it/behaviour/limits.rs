//! How large one document may become.

use ysyncd_engine::{CloseCode, Config, ConfigError, Event, Rejection, StoreError, protocol};

use super::{
    wire::{self, deletion, sync_step_1, text},
    world::{Stage, World, secs, snapshot},
};

fn denied(frames: &[bytes::Bytes]) -> bool {
    frames.iter().any(|frame| frame.starts_with(&[2, 0]))
}

#[test]
fn a_full_document_takes_what_deletes_and_nothing_else() {
    let config = Config {
        document_bytes_max: 2_000,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("d"), world.joined("d"));
    world.send_update(one, &text(1, 0, &"x".repeat(1_500)));
    world.take(two);
    world.send_update(one, &text(1, 1_500, &"y".repeat(1_000)));
    assert!(denied(&world.take(one)), "it is told");
    assert!(world.take(two).is_empty(), "nobody else is");
    assert_eq!(world.stage(one), Stage::Open);
    let full = |event: &&Event| {
        matches!(
            event,
            Event::UpdateRefused {
                reason: Rejection::DocumentFull,
                ..
            }
        )
    };
    assert_eq!(world.events.iter().filter(full).count(), 1);

    // It was written in case that makes room; now another one does.
    let save = world.take_save();
    world.saved(save.op, Ok("0"));
    world.send_update(two, &deletion(1, 0, 1_400));
    assert_eq!(world.take(one), [protocol::update(&deletion(1, 0, 1_400))]);
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    world.advance(secs(60));
    let asked = |frame: &bytes::Bytes| frame.starts_with(&[0, 0]);
    assert!(
        world.take(one).iter().any(asked),
        "it is asked for what was refused"
    );
    world.send(
        one,
        protocol::sync_step_2(&text(1, 1_500, &"y".repeat(1_000))),
    );
    assert!(!world.take(two).is_empty(), "now there is room");
}

#[test]
fn what_is_read_again_after_a_write_does_not_count_twice() {
    let config = Config {
        document_bytes_max: 2_000,
        ..Config::default()
    };
    let mut world = World::with(config);
    let one = world.joined("d");
    world.send_update(one, &text(1, 0, &"x".repeat(1_200)));
    world.advance(secs(5));
    let save = world.take_save();
    let body = save.body.clone();
    world.saved(save.op, Err(StoreError::Unknown("timeout".into())));
    world.advance(secs(1));
    let load = world.take_load();
    world.loaded(load, Ok(Some(snapshot(body, "1"))));
    world.take(one);
    world.send_update(one, &text(1, 1_200, &"y".repeat(500)));
    assert!(!denied(&world.take(one)), "there is room");
    world.send_update(one, &text(1, 1_700, &"z".repeat(500)));
    assert!(denied(&world.take(one)), "now it is full");
}

#[test]
fn a_document_full_of_what_was_deleted_is_written_at_once() {
    let config = Config {
        document_bytes_max: 2_000,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("d"), world.joined("d"));
    world.send_update(one, &text(1, 0, &"x".repeat(1_500)));
    world.send_update(one, &deletion(1, 0, 1_500));
    assert!(world.store_is_idle(), "there is time");
    world.send_update(one, &text(1, 1_500, &"y".repeat(1_000)));
    assert!(denied(&world.take(one)));
    let save = world.take_save();
    world.saved(save.op, Ok("1"));
    world.tick();
    let asked = |frame: &bytes::Bytes| frame.starts_with(&[0, 0]);
    assert!(world.take(one).iter().any(asked), "it is asked at once");
    world.take(two);
    let again = protocol::sync_step_2(&text(1, 1_500, &"y".repeat(1_000)));
    world.send(one, again);
    assert_eq!(world.take(two).len(), 1, "now there is room");

    // It is not written for every refusal.
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Ok("2"));
    world.send_update(one, &deletion(1, 1_500, 1));
    world.send_update(one, &text(1, 2_500, &"z".repeat(1_500)));
    assert!(world.store_is_idle());
}

#[test]
fn what_is_stored_is_served_however_large_it_is() {
    let config = Config {
        document_bytes_max: 100,
        document_clients_max: 1,
        ..Config::default()
    };
    let mut world = World::with(config);
    let conn = world.open("d");
    let op = world.take_load();
    let sections = [
        (7, 0, vec![wire::first_text(&"x".repeat(500))]),
        (3, 0, vec![wire::first_text("y")]),
    ];
    let body = wire::update(&sections, &[]);
    world.loaded(op, Ok(Some(snapshot(body.clone(), "1"))));
    world.take(conn);
    world.send(conn, sync_step_1(&[]));
    assert_eq!(wire::read_step_2(&world.take(conn)[0]), body);
}

#[test]
fn so_many_clients_may_write_and_no_more() {
    let config = Config {
        document_clients_max: 2,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("d"), world.joined("d"));
    world.send_update(one, &text(1, 0, "a"));
    world.send_update(one, &text(2, 0, "b"));
    world.take(two);
    world.send_update(two, &text(3, 0, "c"));
    assert!(denied(&world.take(two)));
    assert_eq!(world.stage(two), Stage::Open);
    world.send_update(one, &text(1, 1, "a"));
    assert_eq!(world.take(two), [protocol::update(&text(1, 1, "a"))]);
}

#[test]
fn clients_count_whose_updates_wait_for_the_journal() {
    let config = Config {
        document_clients_max: 2,
        journal: true,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (one, two) = (world.joined("d"), world.joined("d"));
    for client in [1, 1, 2, 3] {
        world.send_update(one, &text(client, 0, "a"));
    }
    assert!(denied(&world.take(one)), "it would be the third");
    world.sync();
    assert_eq!(world.take(two).len(), 2);
    world.send_update(two, &text(4, 0, "a"));
    assert!(denied(&world.take(two)));
    let three = world.joined("d");
    world.send_update(three, &text(2, 1, "b"));
    world.sync();
    assert_eq!(world.take(one), [protocol::update(&text(2, 1, "b"))]);
}

#[test]
fn where_too_many_have_written_already_these_write_on() {
    let config = Config {
        document_clients_max: 1,
        ..Config::default()
    };
    let mut world = World::with(config);
    let one = world.open("d");
    let op = world.take_load();
    let sections = [
        (7, 0, vec![wire::first_text("x")]),
        (3, 0, vec![wire::first_text("y")]),
    ];
    let body = wire::update(&sections, &[]);
    world.loaded(op, Ok(Some(snapshot(body, "1"))));
    let two = world.joined("d");
    world.take(two);
    for update in [text(7, 1, "x"), deletion(3, 0, 1)] {
        world.send_update(one, &update);
        assert_eq!(world.take(two), [protocol::update(&update)]);
    }
    world.take(one);
    world.send_update(one, &text(8, 0, "z"));
    assert!(denied(&world.take(one)), "another one is one too many");
}

#[test]
fn a_state_vector_of_too_many_clients_closes_its_connection() {
    let config = Config {
        state_vector_entries_max: 3,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (few, many) = (world.greeted("d"), world.greeted("d"));
    world.send(few, sync_step_1(&[(1, 1), (2, 1), (3, 1)]));
    assert_eq!(world.stage(few), Stage::Open);
    world.send(many, sync_step_1(&[(1, 1), (2, 1), (3, 1), (4, 1)]));
    assert_eq!(world.closed(many).0, CloseCode::PolicyViolation);
}

#[test]
fn limits_fit_together_or_are_told_not_to() {
    assert_eq!(Config::default().check(), Ok(()));
    let frame_bytes_max = Config::default().document_bytes_max + Config::FRAME_OVERHEAD;
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = Config {
            frame_bytes_max,
            ..Config::default()
        };
        change(&mut config);
        config.check()
    };
    assert_eq!(with(&|_| {}), Ok(()));
    assert!(matches!(
        with(&|config| config.frame_bytes_max -= 1),
        Err(ConfigError::FrameTooSmall { .. })
    ));
    assert_eq!(
        with(&|config| config.document_clients_max = config.state_vector_entries_max + 1),
        Err(ConfigError::StateVectorTooSmall)
    );
    assert_eq!(
        with(&|config| config.keepalive = secs(0)),
        Err(ConfigError::NoKeepalive)
    );
}
