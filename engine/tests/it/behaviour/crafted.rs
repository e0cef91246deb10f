//! Updates that no Yjs writes but every Yjs reads: what is kept and told of
//! them must not make a client throw that loads the document.

use ysyncd_engine::{document::DocumentState, lib0::write_var_bytes, protocol};

use super::{
    wire::{self, update},
    world::{Stage, World, secs},
};

/// What is left of `long_map_entry("k", &[1, 2, 3])` at a client's clock 0.
fn last_of_three(client: u64) -> Vec<u8> {
    let deleted = [&[0x21, 1, 1, b'm', 1, b'k'][..], &[2]].concat();
    let id = u8::try_from(client).expect("a small id");
    let last = vec![0xa8, id, 1, 1, 125, 3];
    update(&[(client, 0, vec![deleted, last])], &[(client, 0, 2)])
}

#[test]
fn of_a_map_entry_of_several_units_the_last_one_is_left() {
    // Once split, the type that holds it cannot be collected: Yjs throws
    // whenever it loads the document.
    let mut world = World::new();
    let (writer, reader) = (world.joined("d"), world.joined("d"));
    let entry = wire::long_map_entry("k", &[1, 2, 3]);
    world.send_update(writer, &update(&[(1, 0, vec![entry])], &[]));
    assert_eq!(world.take(reader), [protocol::update(&last_of_three(1))]);
}

#[test]
fn old_values_that_a_client_keeps_are_kept() {
    // Yjs without garbage collection joins the values that a key had before.
    let entry = wire::long_map_entry("k", &[1, 2, 3]);
    let deleted = update(&[(1, 0, vec![entry])], &[(1, 0, 3)]);
    let mut world = World::new();
    let (writer, reader) = (world.joined("d"), world.joined("d"));
    world.send_update(writer, &deleted);
    assert_eq!(world.take(reader), [protocol::update(&deleted)]);

    let mut state = DocumentState::default();
    state.apply(&deleted).unwrap();
    state.compact(false);
    assert_eq!(state.encode(), deleted);
}

#[test]
fn so_it_is_where_the_key_is_that_of_a_neighbour() {
    let mut world = World::new();
    let (writer, reader) = (world.joined("d"), world.joined("d"));
    let first = update(&[(1, 0, vec![wire::map_entry("k", 0)])], &[]);
    world.send_update(writer, &first);
    world.take(reader);
    let next = wire::values_after(1, 0, &[1, 2, 3]);
    world.send_update(writer, &update(&[(2, 0, vec![next])], &[]));
    let deleted = vec![0x81, 1, 0, 2];
    let last = wire::values_after(2, 1, &[3]);
    let left = update(&[(2, 0, vec![deleted, last])], &[(2, 0, 2)]);
    assert_eq!(world.take(reader), [protocol::update(&left)]);
}

#[test]
fn what_turns_out_to_be_such_an_entry_is_not_saved_as_it_came() {
    for gc in [true, false] {
        let config = ysyncd_engine::Config {
            gc,
            ..Default::default()
        };
        let mut world = World::with(config);
        let (writer, reader) = (world.joined("d"), world.joined("d"));
        // What it hangs on is not known yet: it may stand in a list.
        let next = wire::values_after(1, 0, &[1, 2, 3]);
        let early = update(&[(2, 0, vec![next])], &[]);
        world.send_update(writer, &early);
        assert_eq!(world.take(reader), [protocol::update(&early)]);
        let first = vec![wire::map_entry("k", 0)];
        world.send_update(writer, &update(&[(1, 0, first.clone())], &[]));
        let deletes = &[(2, 0, 2)];
        let told = update(&[(1, 0, first.clone())], deletes);
        let told = [told, early].map(|update| protocol::update(&update));
        assert_eq!(world.take(reader), told);
        world.advance(secs(5));
        let save = world.take_save();
        let before = match gc {
            true => vec![0x81, 1, 0, 2],
            false => wire::values_after(1, 0, &[1, 2]),
        };
        let theirs = vec![before, wire::values_after(2, 1, &[3])];
        let left = update(&[(2, 0, theirs), (1, 0, first)], deletes);
        assert_eq!(save.body, left, "gc {gc}");
    }
}

#[test]
fn values_in_a_list_stay_together() {
    let mut world = World::new();
    let (writer, reader) = (world.joined("d"), world.joined("d"));
    let first = update(&[(1, 0, vec![wire::first_text("a")])], &[]);
    world.send_update(writer, &first);
    let more = wire::values_after(1, 0, &[1, 2, 3]);
    let more = update(&[(2, 0, vec![more])], &[]);
    world.send_update(writer, &more);
    assert_eq!(
        world.take(reader),
        [first, more].map(|update| protocol::update(&update))
    );
}

#[test]
fn a_delete_set_out_of_order_is_put_in_order() {
    // Yjs garbles it if it has to keep it for later.
    let mut world = World::new();
    let (writer, reader) = (world.joined("d"), world.joined("d"));
    let mut unordered = vec![0, 1, 1, 2];
    unordered.extend([5, 1, 0, 2]);
    world.send_update(writer, &unordered);
    let mut ordered = vec![0, 1, 1, 2];
    ordered.extend([0, 2, 5, 1]);
    let mut twice = vec![0, 2, 2, 1, 5, 1];
    twice.extend([2, 1, 0, 2]);
    world.send_update(writer, &twice);
    let mut once = vec![0, 1, 2, 2];
    once.extend([0, 2, 5, 1]);
    assert_eq!(
        world.take(reader),
        [ordered, once].map(|update| protocol::update(&update))
    );
}

#[test]
fn a_subdocument_with_options_that_break_it_is_refused() {
    for (option, taken) in [(&b"meta"[..], true), (b"guid", false), (b"gcFilter", false)] {
        let mut world = World::new();
        let writer = world.joined("d");
        let mut subdocument = vec![9, 1, 1, b'm', 1, b'g', 118, 1];
        write_var_bytes(&mut subdocument, option);
        subdocument.extend([125, 5]);
        world.send_update(writer, &update(&[(1, 0, vec![subdocument])], &[]));
        assert_eq!(world.stage(writer) == Stage::Open, taken, "{option:?}");
    }
}
