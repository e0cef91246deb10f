//! Cases that random histories rarely meet, made by hand.

use yrs::{ReadTxn, Transact, updates::encoder::Encode};
use ysyncd_engine::{
    document::{Ahead, DocumentState, NewPart},
    state_vector::StateVector,
    update::{ClientId, DecodeError},
};

use crate::{
    content::{BIG_INT, assert_same, load, tell},
    differential::{Strict, relayed},
    handmade::{Item, Update},
};

fn state_of(update: &Update) -> DocumentState {
    let mut state = DocumentState::default();
    state.apply(&update.encode()).unwrap();
    state
}

fn compacted(update: &Update, gc: bool) -> DocumentState {
    let mut state = state_of(update);
    state.compact(gc);
    state.check();
    state
}

fn known(entries: &[(u64, u32)]) -> StateVector {
    let entries = entries
        .iter()
        .map(|&(client, clock)| (ClientId(client), clock));
    entries.collect()
}

/// Compaction must leave what a client loads as it was.
#[track_caller]
fn assert_loads_the_same(update: &Update) {
    let truth = tell(&load([update.encode()]));
    for gc in [true, false] {
        let bytes = compacted(update, gc).encode();
        assert_same(&tell(&load([&bytes])), &truth, format!("gc {gc}"));
    }
}

#[test]
fn map_entries_that_follow_each_other_are_not_squashed() {
    let mut update = Update::default();
    update
        .push(1, 0, &Item::in_root("map").with_key("k").any(&[&[125, 1]]))
        .push(1, 1, &Item::after(1, 0).any(&[&[125, 2]]));
    // One struct of both values would be one live entry; the first is deleted.
    assert_loads_the_same(&update);
    assert_eq!(compacted(&update, true).encode(), update.encode());
}

#[test]
fn map_entries_are_known_as_such_however_far_the_key_is() {
    let mut update = Update::default();
    update.push(1, 0, &Item::in_root("map").with_key("k").any(&[&[125, 0]]));
    let mut last = (1, 0);
    // Every entry names the one before; three clients take turns.
    for turn in 1..60 {
        let client = [1, 2, 3][turn % 3];
        let clock = u32::try_from(turn / 3).unwrap();
        let entry = Item::after(last.0, last.1).any(&[&[125, 9]]);
        update.push(client, clock, &entry);
        last = (client, clock);
    }
    // And two of one client at the end.
    let clock = last.1 + 1;
    update.push(last.0, clock, &Item::after(last.0, last.1).any(&[&[126]]));
    assert_loads_the_same(&update);
    // The same, the key coming last.
    let mut late = DocumentState::default();
    let singles: Vec<_> = (0..61).map(|at| single(&update, at)).collect();
    for single in singles.iter().rev() {
        late.apply(single).unwrap();
        late.check();
    }
    late.compact(true);
    let truth = tell(&load([update.encode()]));
    assert_same(&tell(&load([late.encode()])), &truth, "reversed");
}

/// One struct of an update by itself.
fn single(update: &Update, at: usize) -> Vec<u8> {
    update.struct_at(at).encode()
}

#[test]
fn map_entries_that_were_put_in_front_are_not_squashed() {
    let mut update = Update::default();
    update
        .push(1, 0, &Item::in_root("map").with_key("k").any(&[&[125, 0]]))
        .push(2, 0, &Item::before(1, 0).any(&[&[125, 1]]))
        .push(2, 1, &Item::between((2, 0), (1, 0)).any(&[&[125, 2]]));
    assert_loads_the_same(&update);
}

#[test]
fn values_of_a_list_are_squashed_and_cut_again() {
    let mut update = Update::default();
    update
        .push(1, 0, &Item::in_root("array").json(&["1", "{\"a\":[]}"]))
        .push(1, 2, &Item::after(1, 1).json(&["undefined"]))
        .push(1, 3, &Item::after(1, 2).any(&[&BIG_INT]))
        .push(
            1,
            4,
            &Item::after(1, 3).any(&[&[124, 0x3f, 0x80, 0, 0], &[125, 0x40]]),
        );
    let state = compacted(&update, true);
    let mut joined = Update::default();
    let json = Item::in_root("array").json(&["1", "{\"a\":[]}", "undefined"]);
    let any = Item::after(1, 2).any(&[&BIG_INT, &[124, 0x3f, 0x80, 0, 0], &[125, 0x40]]);
    joined.push(1, 0, &json).push(1, 3, &any);
    assert_eq!(state.encode(), joined.encode());

    let mut rest = Update::default();
    rest.push(1, 2, &Item::after(1, 1).json(&["undefined"]))
        .push(1, 3, &any);
    assert_eq!(state.diff(&known(&[(1, 2)])), rest.encode());
    let mut rest = Update::default();
    rest.push(1, 5, &Item::after(1, 4).any(&[&[125, 0x40]]));
    assert_eq!(state.diff(&known(&[(1, 5)])), rest.encode());
}

#[test]
fn a_cut_inside_a_surrogate_pair_leaves_replacement_characters() {
    let mut update = Update::default();
    update.push(1, 0, &Item::in_root("text").text("a\u{1f600}b"));
    let state = state_of(&update);
    let cut = |from: u32, text: &str| {
        let mut rest = Update::default();
        rest.push(1, from, &Item::after(1, from - 1).text(text));
        assert_eq!(state.diff(&known(&[(1, from)])), rest.encode());
    };
    cut(1, "\u{1f600}b");
    cut(2, "\u{fffd}b");
    cut(3, "b");
    // The first half came before: only the second is new.
    let mut first = Update::default();
    first.push(1, 0, &Item::in_root("text").text("a\u{fffd}"));
    let mut state = state_of(&first);
    let applied = state.apply(&update.encode()).unwrap();
    let mut new = Update::default();
    new.push(1, 2, &Item::after(1, 1).text("\u{fffd}b"));
    assert_eq!(applied.new_part, NewPart::Some(new.encode().into()));
    assert_eq!(state.state_vector().encode(), [1, 1, 4]);
}

#[test]
fn what_a_deleted_element_held_becomes_garbage() {
    let mut update = Update::default();
    update
        .push(1, 0, &Item::in_root("xml").element("p"))
        .push(1, 1, &Item::in_type(1, 0).holding_type(6))
        .push(1, 2, &Item::in_type(1, 1).text("hello"))
        .push(1, 7, &Item::after(1, 0).element("p"))
        .delete(1, &[(0, 1)]);
    assert_loads_the_same(&update);
    let mut collected = Update::default();
    collected
        .push(1, 0, &Item::in_root("xml").deleted(1))
        .push(1, 1, &Item::garbage(6))
        .push(1, 7, &Item::after(1, 0).element("p"))
        .delete(1, &[(0, 7)]);
    assert_eq!(compacted(&update, true).encode(), collected.encode());
    assert_eq!(compacted(&update, false).encode(), update.encode());
}

#[test]
fn sections_stand_with_clients_descending() {
    // Y.mergeUpdates loses data otherwise, without a word.
    let mut update = Update::default();
    for client in [300, 7, 1 << 40, 1] {
        update.push(client, 0, &Item::in_root("text").text("x"));
        update.delete(client, &[(0, 1)]);
    }
    let mut descending = Update::default();
    for client in [1 << 40, 300, 7, 1] {
        descending.push(client, 0, &Item::in_root("text").text("x"));
        descending.delete(client, &[(0, 1)]);
    }
    let mut state = DocumentState::default();
    let applied = state.apply(&update.encode()).unwrap();
    let descending = descending.encode();
    assert_eq!(state.encode(), descending);
    assert_eq!(state.diff(&StateVector::default()), descending);
    assert_eq!(applied.new_part, NewPart::Some(descending.into()));
}

#[test]
fn what_still_waits_keeps_its_words() {
    let mut update = Update::default();
    update
        .push(1, 0, &Item::in_root("xml").element("p"))
        .push(1, 1, &Item::in_type(1, 0).element("b"))
        .push(2, 0, &Item::between((1, 1), (3, 0)).element("i"))
        .delete(1, &[(0, 1)]);
    // As garbage it would not wait for the client 3 any more.
    let truth = tell(&load([update.encode()]));
    assert!(truth.waits);
    assert_loads_the_same(&update);
}

#[test]
fn a_snapshot_tells_the_state_that_wrote_it() {
    let mut update = Update::default();
    update
        .push(1, 0, &Item::in_root("xml").element("p"))
        .push(2, 0, &Item::in_type(1, 0).element("b"))
        .delete(1, &[(0, 1)]);
    let state = compacted(&update, true);
    let mut loaded = DocumentState::default();
    loaded.apply(&state.encode()).unwrap();
    assert!(state.covers(&loaded), "garbage is deleted");
    assert_eq!(loaded.encode(), state.encode());
}

#[test]
fn a_partly_deleted_text_is_cut_where_that_saves_bytes() {
    let text = "0123456789".repeat(4);
    for (clock, len) in [(0, 40), (0, 30), (10, 30), (5, 25), (3, 2), (0, 1), (39, 1)] {
        let mut update = Update::default();
        update
            .push(1, 0, &Item::in_root("text").text(&text))
            .delete(1, &[(clock, len)]);
        assert_loads_the_same(&update);
        let bytes = compacted(&update, true).encode();
        assert!(bytes.len() <= update.encode().len(), "{clock} {len}");
        assert_eq!(
            bytes.len() < update.encode().len(),
            len > 10,
            "{clock} {len}"
        );
    }
}

#[test]
fn a_deleted_part_is_cut_out_if_it_is_longer_than_the_heads_that_this_takes() {
    let text = "0123456789".repeat(4);
    // A head: what kind, the left origin, the right origin, how much is deleted.
    let cases = [
        ((1, 2), Item::in_root("text"), 1 + 2 + 1),
        ((300, 301), Item::in_root("text"), 1 + 3 + 1),
        ((1, 2), Item::before(2, 0), 1 + 2 + 2 + 1),
        ((1, 300), Item::before(300, 0), 1 + 2 + 3 + 1),
    ];
    for ((client, other), item, head) in cases {
        let is_cut = |clock: u32, len: u32| {
            let mut update = Update::default();
            update
                .push(other, 0, &Item::in_root("text").text("x"))
                .push(client, 0, &item.clone().text(&text))
                .delete(client, &[(clock, len)]);
            compacted(&update, true).encode() != update.encode()
        };
        for (edges, clock) in [(1, 0), (2, 5)] {
            let heads = edges * head;
            assert!(!is_cut(clock, heads), "{client} {item:?} {edges}");
            assert!(is_cut(clock, heads + 1), "{client} {item:?} {edges}");
        }
    }
}

#[test]
fn a_document_is_empty_until_something_is_written_or_deleted() {
    assert!(DocumentState::default().is_empty());
    let (mut writes, mut deletes) = (Update::default(), Update::default());
    writes.push(1, 0, &Item::in_root("text").text("a"));
    deletes.delete(1, &[(0, 1)]);
    assert!(!state_of(&writes).is_empty());
    assert!(!state_of(&deletes).is_empty());
}

#[test]
fn a_deletion_waits_if_there_is_a_gap_before_what_it_names() {
    let mut early = Update::default();
    early.push(1, 2, &Item::after(1, 1).text("c"));
    let state = state_of(&early);
    for (text, waits) in [("a", 1), ("ab", 0)] {
        let mut update = Update::default();
        update
            .push(1, 0, &Item::in_root("text").text(text))
            .delete(1, &[(2, 1)]);
        let bytes = update.encode();
        let update = ysyncd_engine::update::Update::decode(&bytes).unwrap();
        let pending = state.pending_in(&update, &Ahead::default());
        assert_eq!(pending.delete_ranges, waits, "{text}");
    }
}

#[test]
fn nothing_may_hang_on_a_clock_that_nothing_can_have() {
    let behind = |clock| {
        let mut update = Update::default();
        update.push(1, 0, &Item::after(2, clock).text("a"));
        DocumentState::default().apply(&update.encode()).err()
    };
    assert_eq!(behind((1 << 31) - 2), None);
    assert_eq!(behind((1 << 31) - 1), Some(DecodeError::ClockRange));
}

#[test]
fn what_came_too_early_is_told_again_in_every_order() {
    // Each waits for the next: by origin, by right origin, by parent.
    let mut chain = [const { Vec::new() }; 5];
    let items = [
        Item::after(2, 0).text("a"),
        Item::before(3, 0).text("b"),
        Item::in_type(4, 0).text("c"),
        Item::in_root("array").holding_type(2),
        Item::after(1, 0).text("e"),
    ];
    let ids = [(1, 0), (2, 0), (3, 0), (4, 0), (1, 1)];
    for (at, (client, clock)) in ids.into_iter().enumerate() {
        let mut update = Update::default();
        chain[at] = update.push(client, clock, &items[at]).encode();
    }
    let truth = tell(&load(&chain));
    assert!(
        !truth.waits && truth.content.contains("bae"),
        "{}",
        truth.content
    );
    for order in permutations(5) {
        let mut state = DocumentState::default();
        let mut strict = Strict::new();
        for at in order.iter().map(|&at| &chain[at]) {
            let applied = state.apply(at).unwrap();
            state.check();
            for part in relayed(&applied, at) {
                strict.apply(part);
            }
        }
        assert_same(&tell(&strict.doc), &truth, format!("{order:?}"));
    }
}

fn permutations(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(of - 1);
    let longer = shorter.iter().flat_map(|order| {
        (0..of).map(|at| {
            let mut order = order.clone();
            order.insert(at, of - 1);
            order
        })
    });
    longer.collect()
}

#[test]
fn a_diff_completes_a_peer_at_every_clock() {
    // Two clients take turns; what one client writes in a row is squashed.
    let words = ["hello ", "w\u{f6}rld", ", and ", "so on"];
    let mut singles = Vec::new();
    let mut clocks = [0, 0];
    let mut last: Option<(u64, u32)> = None;
    for (turn, word) in words.into_iter().enumerate() {
        let client = turn % 2;
        for char in word.chars() {
            let place = match last {
                Some((client, clock)) => Item::after(client, clock),
                None => Item::in_root("text"),
            };
            let id = (client as u64 + 1, clocks[client]);
            let mut update = Update::default();
            update.push(id.0, id.1, &place.text(&char.to_string()));
            singles.push((client, update.encode()));
            clocks[client] += 1;
            last = Some(id);
        }
    }
    let truth = tell(&load(singles.iter().map(|single| &single.1)));
    let mut state = DocumentState::default();
    for (_, single) in &singles {
        state.apply(single).unwrap();
    }
    for first in 0..=clocks[0] as usize {
        for second in 0..=clocks[1] as usize {
            let of = |client, known| {
                let theirs = singles.iter().filter(move |single| single.0 == client);
                theirs.take(known).map(|single| &single.1)
            };
            let peer = load(of(0, first).chain(of(1, second)));
            let known = peer.transact().state_vector().encode_v1();
            let diff = state.diff(&StateVector::decode(&known).unwrap());
            crate::content::apply(&peer, &diff);
            assert_same(&tell(&peer), &truth, format!("{first} {second}"));
        }
    }
}

/// A range that is deleted behind a gap is known as soon as the gap closes,
/// with the very update that tells both.
#[test]
fn an_update_that_closes_a_gap_leaves_no_delete_pending_behind_it() {
    let mut state = DocumentState::default();
    let mut first = Update::default();
    first.push(1, 0, &Item::in_root("t").text("a"));
    first.push(1, 3, &Item::after(1, 2).text("de"));
    state.apply(&first.encode()).unwrap();
    let mut filler = Update::default();
    filler.push(1, 1, &Item::after(1, 0).text("bc"));
    filler.delete(1, &[(3, 1)]);
    let filler = filler.encode();
    let filler = ysyncd_engine::update::Update::decode(&filler).unwrap();
    let pending = state.pending_in(&filler, &Ahead::default());
    assert_eq!(pending.delete_ranges, 0);
    let mut beyond = Update::default();
    beyond.push(1, 1, &Item::after(1, 0).text("bc"));
    beyond.delete(1, &[(4, 3)]);
    let beyond = beyond.encode();
    let beyond = ysyncd_engine::update::Update::decode(&beyond).unwrap();
    let pending = state.pending_in(&beyond, &Ahead::default());
    assert_eq!(pending.delete_ranges, 1);
}
