//! Documents between clients: greetings, diffs, relaying.

use bytes::Bytes;
use ysyncd_engine::{
    Event,
    protocol::{self, Message},
};

use super::{
    wire::{self, assert_same, message, state, text, update},
    world::{Stage, World, secs},
};

#[test]
fn a_connection_is_greeted_with_sync_step_1_and_the_awareness() {
    let mut world = World::new();
    let first = world.joined("d");
    world.send_update(first, &text(1, 0, "hello"));
    world.send(first, wire::awareness(&[(1, 1, "{}")]));

    let second = world.open("d");
    let greeting = world.take(second);
    let expected = [
        wire::sync_step_1(&[(1, 5)]),
        wire::awareness(&[(1, 1, "{}")]),
    ];
    assert_eq!(greeting, expected);
}

#[test]
fn without_awareness_the_greeting_is_sync_step_1_alone() {
    let mut world = World::new();
    let conn = world.open("d");
    let op = world.take_load();
    world.loaded(op, Ok(None));
    assert_eq!(world.take(conn), [wire::sync_step_1(&[])]);
}

#[test]
fn sync_step_1_is_answered_with_what_is_missing() {
    let mut world = World::new();
    let writer = world.joined("d");
    world.send_update(writer, &text(1, 0, "hello"));
    world.send_update(writer, &text(2, 0, "you"));

    let reader = world.greeted("d");
    world.send(reader, wire::sync_step_1(&[(1, 2), (2, 3)]));
    let answer = world.take(reader);
    assert_eq!(answer.len(), 1);
    let expected = update(&[(1, 2, vec![wire::text_after(1, 1, "llo")])], &[]);
    assert_eq!(wire::read_step_2(&answer[0]), expected);
}

#[test]
fn nothing_is_relayed_before_the_first_sync_step_1() {
    let mut world = World::new();
    let writer = world.joined("d");
    let reader = world.greeted("d");
    world.send_update(writer, &text(1, 0, "a"));
    assert!(world.take(reader).is_empty());

    // What was missed comes with the answer, what follows after it.
    world.send(reader, wire::sync_step_1(&[]));
    world.send_update(writer, &text(1, 1, "b"));
    let frames = world.take(reader);
    assert_eq!(frames.len(), 2);
    assert_eq!(wire::read_step_2(&frames[0]), text(1, 0, "a"));
    assert_eq!(frames[1], protocol::update(&text(1, 1, "b")));
}

#[test]
fn a_client_may_write_before_it_asks_for_anything() {
    let mut world = World::new();
    let reader = world.joined("d");
    let writer = world.greeted("d");
    world.send_update(writer, &text(1, 0, "a"));
    assert_eq!(world.take(reader), [protocol::update(&text(1, 0, "a"))]);
    assert!(world.take(writer).is_empty());
}

#[test]
fn an_update_that_is_all_new_is_relayed_as_the_very_bytes_that_came() {
    let mut world = World::new();
    let writer = world.joined("d");
    let reader = world.joined("d");
    // The numbers are longer than they need be, which nobody would write anew.
    let frame = Bytes::from_static(b"\x00\x82\x00\x0c\x01\x01\x81\x00\x00\x04\x01\x01t\x01a\x00");
    world.send(writer, frame.clone());
    let relayed = world.take(reader);
    assert_eq!(relayed, std::slice::from_ref(&frame));
    assert_eq!(relayed[0].as_ptr(), frame.as_ptr(), "nothing was copied");
    assert!(world.take(writer).is_empty(), "the sender gets no echo");
}

#[test]
fn what_is_known_is_not_relayed_again() {
    let mut world = World::new();
    let writer = world.joined("d");
    let reader = world.joined("d");
    world.send_update(writer, &text(1, 0, "a"));
    world.take(reader);
    world.send_update(writer, &text(1, 0, "a"));
    world.send_update(reader, &text(1, 0, "a"));
    assert!(world.take(reader).is_empty() && world.take(writer).is_empty());
    let applied = |event: &&Event| matches!(event, Event::UpdateApplied { .. });
    assert_eq!(world.events.iter().filter(applied).count(), 1);
}

#[test]
fn of_an_update_that_is_partly_known_only_the_new_part_is_relayed() {
    let mut world = World::new();
    let writer = world.joined("d");
    let reader = world.joined("d");
    world.send_update(writer, &text(1, 0, "ab"));
    world.take(reader);
    world.send_update(writer, &text(1, 0, "abcd"));
    let new = update(&[(1, 2, vec![wire::text_after(1, 1, "cd")])], &[]);
    assert_eq!(world.take(reader), [protocol::update(&new)]);
}

#[test]
fn a_sync_step_2_that_repeats_a_delete_set_is_relayed_as_its_new_part() {
    let mut world = World::new();
    let writer = world.joined("d");
    let reader = world.joined("d");
    world.send_update(writer, &text(1, 0, "abcdef"));
    world.send_update(writer, &wire::deletion(1, 0, 2));
    world.take(reader);
    let section = (1, 6, vec![wire::text_after(1, 5, "g")]);
    let all_deletes = [(1, 0, 2), (1, 4, 1)];
    world.send(
        writer,
        protocol::sync_step_2(&update(std::slice::from_ref(&section), &all_deletes)),
    );
    let new = update(&[section], &[(1, 4, 1)]);
    assert_eq!(world.take(reader), [protocol::update(&new)]);
}

#[test]
fn a_sync_step_2_that_is_all_new_is_relayed_as_an_update() {
    let mut world = World::new();
    let writer = world.joined("d");
    let reader = world.joined("d");
    world.send(writer, protocol::sync_step_2(&text(1, 0, "a")));
    assert_eq!(world.take(reader), [protocol::update(&text(1, 0, "a"))]);
}

#[test]
fn two_sections_of_one_client_are_relayed_as_one() {
    // Yjs keeps only the last section of a client that it reads.
    let mut world = World::new();
    let writer = world.joined("d");
    let reader = world.joined("d");
    let twice = update(
        &[
            (1, 0, vec![wire::first_text("a")]),
            (1, 1, vec![wire::text_after(1, 0, "b")]),
        ],
        &[],
    );
    world.send_update(writer, &twice);
    assert_eq!(world.take(reader), [protocol::update(&text(1, 0, "ab"))]);
}

#[test]
fn sections_in_ascending_order_are_relayed_in_descending_order() {
    // Y.mergeUpdates loses what does not come in descending order.
    let mut world = World::new();
    let writer = world.joined("d");
    let reader = world.joined("d");
    let one = (1, 0, vec![wire::first_text("a")]);
    let two = (2, 0, vec![wire::first_text("b")]);
    world.send_update(writer, &update(&[one.clone(), two.clone()], &[]));
    let ordered = update(&[two, one], &[]);
    assert_eq!(world.take(reader), [protocol::update(&ordered)]);
}

#[test]
fn what_waited_for_its_origin_is_relayed_again_once_that_has_come() {
    let mut world = World::new();
    let writer = world.joined("d");
    let reader = world.joined("d");
    let child = update(&[(2, 0, vec![wire::text_after(1, 0, "b")])], &[]);
    world.send_update(writer, &child);
    assert_eq!(world.take(reader), [protocol::update(&child)]);

    world.send_update(writer, &text(1, 0, "a"));
    let again = protocol::update(&child);
    assert_eq!(
        world.take(reader),
        [protocol::update(&text(1, 0, "a")), again.clone()]
    );
    assert_eq!(world.take(writer), [again], "its sender may need it too");
}

#[test]
fn a_gap_is_kept_for_joiners_and_its_sender_asked_for_the_rest() {
    let mut world = World::new();
    let writer = world.joined("d");
    world.send_update(writer, &text(1, 0, "a"));
    world.send_update(writer, &text(1, 2, "c"));
    world.advance(secs(5));
    assert_eq!(world.take(writer), [wire::sync_step_1(&[(1, 1)])]);

    let joiner = world.greeted("d");
    world.send(joiner, wire::sync_step_1(&[]));
    let section = vec![
        wire::first_text("a"),
        wire::skip(1),
        wire::text_after(1, 1, "c"),
    ];
    let frames = world.take(joiner);
    assert_eq!(
        wire::read_step_2(&frames[0]),
        update(&[(1, 0, section)], &[])
    );

    world.send_update(writer, &text(1, 1, "b"));
    world.take(joiner);
    world.send(joiner, wire::sync_step_1(&[(1, 1)]));
    let frames = world.take(joiner);
    assert_same(
        &state([text(1, 0, "a").as_slice(), wire::read_step_2(&frames[0])]),
        &state([text(1, 0, "abc").as_slice()]),
    );
}

#[test]
fn several_messages_in_one_frame_are_all_heard() {
    let mut world = World::new();
    let writer = world.greeted("d");
    let reader = world.joined("d");
    let frame = [
        wire::sync_step_1(&[]),
        protocol::update(&text(1, 0, "a")),
        protocol::update(&text(1, 1, "b")),
        wire::awareness(&[(1, 1, "{}")]),
    ];
    world.send(writer, frame.concat());
    let relayed = [
        protocol::update(&text(1, 0, "a")),
        protocol::update(&text(1, 1, "b")),
        wire::awareness(&[(1, 1, "{}")]),
    ];
    assert_eq!(world.take(reader), relayed);
    assert!(matches!(
        message(&world.take(writer)[0]),
        Message::SyncStep2(_)
    ));
}

#[test]
fn a_stray_00_00_is_ignored() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send(conn, vec![0, 0]);
    let after_another = [&protocol::update(&text(1, 0, "a"))[..], &[0, 0]].concat();
    world.send(conn, after_another);
    assert_eq!(world.stage(conn), Stage::Open);
    assert!(world.take(conn).is_empty());
    let reader = world.greeted("d");
    world.send(reader, wire::sync_step_1(&[]));
    let frames = world.take(reader);
    assert_eq!(wire::read_step_2(&frames[0]), text(1, 0, "a"));
}

#[test]
fn an_empty_frame_is_ignored() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send(conn, Vec::new());
    assert_eq!(world.stage(conn), Stage::Open);
}

#[test]
fn documents_do_not_hear_of_each_other() {
    let mut world = World::new();
    let here = world.joined("a");
    let there = world.joined("b");
    world.send_update(here, &text(1, 0, "x"));
    world.send(here, wire::awareness(&[(1, 1, "{}")]));
    assert!(world.take(there).is_empty());
}

#[test]
fn many_sync_step_1_in_a_frame_cost_one_answer() {
    let mut world = World::new();
    let conn = world.greeted("d");
    world.send_update(conn, &text(1, 0, "abc"));
    let mut frame = wire::sync_step_1(&[]).repeat(100);
    frame.extend_from_slice(&wire::sync_step_1(&[(1, 2)]));
    world.send(conn, frame);
    let answers = world.take(conn);
    assert_eq!(answers.len(), 1);
    let last = update(&[(1, 2, vec![wire::text_after(1, 1, "c")])], &[]);
    assert_eq!(wire::read_step_2(&answers[0]), last);
}

#[test]
fn a_sync_step_1_waits_until_the_answer_to_the_one_before_is_written() {
    let mut world = World::new();
    let conn = world.greeted("d");
    world.send_update(conn, &text(1, 0, "abc"));
    world.stall(conn);
    for known in 0..3 {
        world.send(conn, wire::sync_step_1(&[(1, known)]));
    }
    let first = world.take(conn);
    assert_eq!(first.len(), 1);
    world.written(conn, first[0].len() - 1);
    assert!(world.take(conn).is_empty());
    world.written(conn, 1);
    let second = world.take(conn);
    assert_eq!(second.len(), 1, "the last one stands for all that waited");
    let last = update(&[(1, 2, vec![wire::text_after(1, 1, "c")])], &[]);
    assert_eq!(wire::read_step_2(&second[0]), last);
}

#[test]
fn a_large_document_with_its_deletes_can_be_brought_along() {
    // None of its deletes is left waiting, as what they name comes along.
    let mut world = World::new();
    let writer = world.joined("d");
    let letters = "ab".repeat(10_100);
    let mut import = text(7, 0, &letters);
    import.pop();
    import.extend([1, 7]);
    ysyncd_engine::lib0::write_var_uint(&mut import, 10_100);
    for at in 0..10_100 {
        ysyncd_engine::lib0::write_var_uint(&mut import, 2 * at);
        import.push(1);
    }
    world.send(writer, protocol::sync_step_2(&import));
    assert!(!world.told(|event| matches!(event, Event::UpdateRefused { .. })));
    let reader = world.greeted("d");
    world.send(reader, wire::sync_step_1(&[]));
    let frames = world.take(reader);
    assert_eq!(wire::read_step_2(&frames[0]), import);
}
