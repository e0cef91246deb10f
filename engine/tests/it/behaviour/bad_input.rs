//! What a peer does wrong costs its own connection and nothing else.

use bytes::Bytes;
use ysyncd_engine::{CloseCode, Config, ConnId, Event, Input, MessageFault, protocol};

use super::{
    wire::{self, text},
    world::{Stage, World, secs},
};

/// Sends a frame and tells how the connection was closed, and that nothing
/// else changed.
#[track_caller]
fn closed_for(frame: impl Into<Bytes>) -> (CloseCode, String) {
    let mut world = World::new();
    let witness = world.joined("d");
    world.send_update(witness, &text(1, 0, "abc"));
    world.send(witness, wire::awareness(&[(1, 1, "{}")]));
    let offender = world.joined("d");
    world.take(witness);

    world.send(offender, frame);
    let (code, reason) = world.closed(offender);
    let told = |event: &Event| matches!(event, Event::ConnectionClosed { conn, code: told, reason: said, .. } if *conn == offender && *told == code && *said == reason);
    assert!(world.told(told), "the reason is told to the log");
    assert!(!reason.is_empty());

    world.send(offender, protocol::update(&text(9, 0, "late")));
    assert!(world.take(witness).is_empty(), "nobody else notices");
    let joiner = world.open("d");
    let greeting = world.take(joiner);
    assert_eq!(greeting[0], wire::sync_step_1(&[(1, 3)]));
    (code, reason)
}

#[test]
fn malformed_frames_close_with_1007() {
    for (frame, says) in [
        (&[5][..], "unknown message type 5"),
        (&[0, 3, 0], "unknown sync message type 3"),
        (&[0], "malformed message: unexpected end"),
        (&[0, 2], "malformed message: unexpected end"),
        (&[0, 2, 9, 0], "malformed message: unexpected end"),
        (&[0, 0, 1, 1], "malformed state vector"),
        (&[0, 2, 3, 0, 0, 0], "malformed update: trailing bytes"),
        (&[0, 2, 2, 1, 0], "malformed update"),
        (&[1, 2, 1, 1], "malformed awareness"),
        (&[1, 2, 0, 0], "malformed awareness: trailing bytes"),
        (&[0xff; 12], "malformed message: number out of range"),
        (&[0, 2, 0xff, 0xff, 0xff, 0xff, 0x0f], "malformed message"),
    ] {
        let (code, reason) = closed_for(frame.to_vec());
        assert_eq!(code, CloseCode::InvalidPayload, "{frame:?}");
        assert!(reason.starts_with(says), "{frame:?}: {reason}");
    }
}

#[test]
fn updates_that_yjs_would_choke_on_close_with_1007() {
    let own_future = wire::update(&[(1, 3, vec![wire::text_after(1, 3, "x")])], &[]);
    let no_length = wire::update(&[(2, 0, vec![wire::first_text("")])], &[]);
    let no_range = wire::deletion(1, 0, 0);
    let skip_with_bits = wire::update(&[(2, 0, vec![vec![0x4a, 1]])], &[]);
    for update in [own_future, no_length, no_range, skip_with_bits] {
        let (code, reason) = closed_for(protocol::update(&update));
        assert_eq!(code, CloseCode::InvalidPayload);
        assert!(reason.starts_with("malformed update"), "{reason}");
        assert_eq!(closed_for(protocol::sync_step_2(&update)).0, code);
    }
}

#[test]
fn a_message_that_is_too_big_closes_with_1009() {
    let fits = protocol::update(&text(1, 0, "12345678"));
    let config = Config {
        frame_bytes_max: fits.len(),
        ..Config::default()
    };
    let mut world = World::with(config);
    let conn = world.joined("d");
    world.send(conn, fits);
    assert_eq!(world.stage(conn), Stage::Open);
    world.send(conn, protocol::update(&text(2, 0, "123456789")));
    assert_eq!(world.closed(conn).0, CloseCode::MessageTooBig);
}

#[test]
fn an_auth_message_closes_with_1008() {
    let (code, _) = closed_for(protocol::permission_denied("no"));
    assert_eq!(code, CloseCode::PolicyViolation);
}

#[test]
fn each_reason_not_to_take_a_message_is_told() {
    let config = Config {
        frame_bytes_max: 20_000,
        state_vector_entries_max: 1,
        ..Config::default()
    };
    let frames = [
        (MessageFault::TooBig, vec![0; 20_001].into()),
        (
            MessageFault::TooMany,
            [3].repeat(Config::FRAME_MESSAGES_MAX + 1).into(),
        ),
        (MessageFault::Malformed, vec![0, 2, 9, 0].into()),
        (MessageFault::Malformed, vec![5].into()),
        (MessageFault::Malformed, vec![0, 3, 0].into()),
        (MessageFault::Auth, protocol::permission_denied("no")),
        (MessageFault::MalformedUpdate, protocol::update(&[1, 0])),
        (MessageFault::MalformedStateVector, vec![0, 0, 1, 1].into()),
        (
            MessageFault::StateVectorTooLong,
            wire::sync_step_1(&[(1, 1), (2, 1)]),
        ),
        (MessageFault::MalformedAwareness, vec![1, 2, 1, 1].into()),
        (
            MessageFault::MalformedAwareness,
            wire::awareness(&[(1, 1, "{")]),
        ),
    ];
    for fault in MessageFault::ALL {
        assert!(frames.iter().any(|(reason, _)| *reason == fault));
    }
    for (expected, frame) in frames {
        let mut world = World::with(config.clone());
        let conn = world.joined("d");
        world.send(conn, frame);
        let refused = |event: &Event| matches!(event, Event::MessageRefused { conn: of, reason, .. } if *of == conn && *reason == expected);
        assert!(world.told(refused), "{expected:?}");
        assert_eq!(world.closed(conn).0, expected.code(), "{expected:?}");
    }
}

#[test]
fn what_stands_before_the_bad_message_of_a_frame_is_taken() {
    let mut world = World::new();
    let (writer, reader) = (world.joined("d"), world.joined("d"));
    let good = protocol::update(&text(1, 0, "a"));
    let frame = [&good[..], &[9], &protocol::update(&text(2, 0, "b"))].concat();
    world.send(writer, frame);
    assert_eq!(world.closed(writer).0, CloseCode::InvalidPayload);
    assert_eq!(world.take(reader), [good]);
}

#[test]
fn too_many_gaps_are_refused_without_closing() {
    let config = Config {
        gap_runs_max: 1,
        ..Config::default()
    };
    let mut world = World::with(config);
    let (writer, reader) = (world.joined("d"), world.joined("d"));
    world.send_update(writer, &text(1, 5, "a"));
    world.take(reader);
    world.send_update(writer, &text(2, 5, "b"));
    world.send_update(writer, &text(2, 7, "c"));
    assert!(world.take(reader).is_empty());
    let told = world.take(writer);
    assert_eq!(told.len(), 1, "it is told once");
    assert_eq!(told[0][..2], [2, 0], "permission denied");
    // What builds on the refused is not taken; reading goes on.
    world.send_update(writer, &text(3, 0, "d"));
    world.send_update(reader, &text(4, 0, "e"));
    assert!(world.take(reader).is_empty());
    assert_eq!(world.take(writer), [protocol::update(&text(4, 0, "e"))]);
    // It is asked for everything again, and taken by its word.
    world.advance(secs(5));
    assert_eq!(world.take(writer), [wire::sync_step_1(&[(4, 1)])]);
    world.send(writer, protocol::sync_step_2(&text(3, 0, "d")));
    assert_eq!(world.take(reader), [protocol::update(&text(3, 0, "d"))]);
    // Refused again, it is asked again but not told again.
    world.send_update(writer, &text(2, 5, "b"));
    assert!(world.take(writer).is_empty());
    world.advance(secs(5));
    assert_eq!(world.take(writer), [wire::sync_step_1(&[(3, 1), (4, 1)])]);
}

#[test]
fn too_many_deletes_of_unknown_ids_are_refused() {
    let config = Config {
        pending_delete_ranges_max: 2,
        ..Config::default()
    };
    let mut world = World::with(config);
    let writer = world.joined("d");
    world.send_update(writer, &text(1, 0, "abc"));
    let refused = |event: &Event| matches!(event, Event::UpdateRefused { .. });
    for (client, clock) in [(1, 1), (1, 5), (2, 0), (1, 5)] {
        world.send_update(writer, &wire::deletion(client, clock, 1));
    }
    assert!(!world.told(refused), "two unknown ids and some repeated");
    world.send_update(writer, &wire::deletion(2, 2, 1));
    assert!(world.told(refused));
}

#[test]
fn input_of_unknown_connections_is_ignored() {
    let mut world = World::new();
    let conn = world.joined("d");
    for stranger in [ConnId(77), ConnId(78)] {
        let frame = protocol::update(&text(1, 0, "a"));
        world.handle(Input::Received {
            conn: stranger,
            bytes: frame,
        });
        world.handle(Input::Written {
            conn: stranger,
            total_bytes: 5,
        });
        world.handle(Input::Closed { conn: stranger });
    }
    assert!(world.take(conn).is_empty());
}

#[test]
fn a_frame_from_one_that_was_not_accepted_yet_is_ignored() {
    let mut world = World::new();
    let early = world.open("d");
    world.send(early, protocol::update(&text(1, 0, "a")));
    world.handle(Input::Written {
        conn: early,
        total_bytes: 0,
    });
    let op = world.take_load();
    world.loaded(op, Ok(None));
    assert_eq!(world.take(early), [wire::sync_step_1(&[])]);
}
