//! Whatever bytes come: no panic, no broken state, and what is accepted can be
//! told again.

use std::collections::BTreeSet;

use cpu_time::ThreadTime;
use proptest::prelude::*;
use ysyncd_engine::{
    document::{Ahead, DocumentState, NewPart},
    protocol::Messages,
    state_vector::StateVector,
    update::{ClientId, Update},
};

use crate::{
    handmade::{self, Item},
    histories::History,
    loading::load,
};

/// Applies what may be an update to a state; if it is one, everything the
/// engine does with a state must work.
fn survive(state: &mut DocumentState, bytes: &[u8], known: &StateVector) {
    let decoded = Update::decode(bytes);
    let _ = load(bytes);
    let before = state.encode();
    let foretold = decoded.as_ref().map(|update| state.pending_after(update));
    if let Ok(update) = &decoded {
        assert_part_of_use(state, update, bytes.len());
    }
    let applied = match state.apply(bytes) {
        Ok(applied) => applied,
        Err(error) => {
            assert_eq!(decoded.unwrap_err(), error);
            assert_eq!(state.encode(), before, "what is refused changes nothing");
            return;
        }
    };
    state.check();
    let (foretold, pending) = (foretold.unwrap(), state.pending());
    assert_eq!(foretold.gap_runs, pending.gap_runs);
    assert!(foretold.delete_ranges >= pending.delete_ranges);
    let parts = [state.diff(known), state.encode()];
    let part = match &applied.new_part {
        NewPart::Some(part) => Some(part),
        NewPart::Nothing | NewPart::All => None,
    };
    for bytes in parts.iter().chain(part).chain(&applied.resend) {
        Update::decode(bytes).expect("what the engine writes is an update");
    }
    assert_eq!(state.apply(bytes).unwrap().new_part, NewPart::Nothing);
    for gc in [false, true] {
        let mut compacted = state.clone();
        compacted.compact(gc);
        compacted.check();
        assert!(compacted.covers(state));
        assert_told_again(&compacted);
    }
    assert_told_again(state);
}

/// What of an update waits for nothing adds to nothing that waits, and is all there is:
/// as much is known after it as after the whole.
fn assert_part_of_use(state: &DocumentState, update: &Update<'_>, update_len: usize) {
    let bytes = state.part_of_use(update, &Ahead::default());
    let part = Update::decode(&bytes).expect("what the engine writes is an update");
    assert!(bytes.len() <= update_len, "{} of {update_len}", bytes.len());
    let (before, after) = (state.pending(), state.pending_after(&part));
    assert!(after.gap_runs <= before.gap_runs && after.delete_ranges <= before.delete_ranges);
    let (mut with_part, mut with_all) = (state.clone(), state.clone());
    with_part.apply_decoded(&part);
    with_all.apply_decoded(update);
    with_part.check();
    assert!(with_all.covers(&with_part));
    let known = with_all.state_vector();
    assert_eq!(with_part.state_vector(), known);
    // Damaged updates delete as many ids as they like.
    let is_known = |(client, range): (ClientId, std::ops::Range<u32>)| {
        let range = range.start..range.end.min(known.clock(client));
        (!range.is_empty()).then_some((client, range))
    };
    let deleted = |update: &Update<'_>| -> BTreeSet<_> {
        let known = update.deletes().filter_map(is_known);
        known
            .flat_map(|(client, range)| range.map(move |clock| (client, clock)))
            .collect()
    };
    assert_eq!(deleted(&part), deleted(update));
}

fn assert_told_again(state: &DocumentState) {
    let again = load(&state.encode()).unwrap();
    assert!(again.covers(state) && state.covers(&again));
    assert_eq!(again.state_vector(), state.state_vector());
    let bytes = again.encode();
    let mut third = DocumentState::default();
    third.apply(&bytes).unwrap();
    assert_eq!(third.encode(), bytes);
}

/// Updates of some random history, of all kinds.
fn valid_updates() -> impl Strategy<Value = Vec<Vec<u8>>> {
    (0..1_000_u64).prop_map(|seed| History::random(seed, 12).log)
}

/// A change to some bytes, at places given as fractions.
#[derive(Debug, Clone)]
enum Damage {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Copy(prop::sample::Index, prop::sample::Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let byte = || prop_oneof![0..12_u8, any::<u8>()];
    prop_oneof![
        4 => (at(), byte()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => at().prop_map(Damage::Cut),
        1 => (at(), byte()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        1 => at().prop_map(Damage::Remove),
        1 => (at(), at(), 1..20_u8).prop_map(|(from, to, len)| Damage::Copy(from, to, len)),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        match self {
            Self::Set(at, byte) => bytes[at.index(len)] = *byte,
            Self::Cut(at) => bytes.truncate(at.index(len)),
            Self::Insert(at, byte) => bytes.insert(at.index(len), *byte),
            Self::Remove(at) => drop(bytes.remove(at.index(len))),
            Self::Copy(from, to, count) => {
                let from = from.index(len);
                let copy = bytes[from..len.min(from + usize::from(*count))].to_vec();
                let to = to.index(len);
                bytes.splice(to..to, copy);
            }
        }
    }
}

/// A part of one client's text, one character per clock, and some deletes.
#[derive(Debug, Clone, Default)]
struct Part {
    clocks: BTreeSet<u32>,
    deletes: BTreeSet<u32>,
}

fn part() -> impl Strategy<Value = Part> {
    let some = || prop::collection::btree_set(0..12_u32, 0..12);
    (some(), some()).prop_map(|(clocks, deletes)| Part { clocks, deletes })
}

impl Part {
    fn state(&self) -> DocumentState {
        let mut state = DocumentState::default();
        for &clock in &self.clocks {
            let place = match clock {
                0 => Item::in_root("text"),
                _ => Item::after(1, clock - 1),
            };
            let mut update = handmade::Update::default();
            update.push(1, clock, &place.text("x"));
            state.apply(&update.encode()).unwrap();
        }
        for &clock in &self.deletes {
            let mut update = handmade::Update::default();
            state
                .apply(&update.delete(1, &[(clock, 1)]).encode())
                .unwrap();
        }
        state
    }
}

/// An update with some stretches of two clients' texts and some deleted ranges, in
/// any order: client, clock, and how many.
fn stretches() -> impl Strategy<Value = Vec<u8>> {
    let some = || prop::collection::vec((1..3_u64, 0..40_u32, 1..8_u32), 0..4);
    (some(), some()).prop_map(|(texts, deletes)| {
        let mut update = handmade::Update::default();
        for (client, clock, len) in texts {
            let text = "x".repeat(len as usize);
            update.push(client, clock, &Item::in_root("text").text(&text));
        }
        for (client, clock, len) in deletes {
            update.delete(client, &[(clock, len)]);
        }
        update.encode()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_survived(
        bytes in prop::collection::vec(prop_oneof![0..12_u8, any::<u8>()], 0..80),
    ) {
        survive(&mut DocumentState::default(), &bytes, &StateVector::default());
        let _ = StateVector::decode(&bytes);
        let mut messages = Messages::new(&bytes);
        while let Ok(Some(_)) = messages.read_next() {}
    }

    #[test]
    fn damaged_updates_are_survived(
        updates in valid_updates(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), damage()), 0..8),
        known in prop::collection::vec((1..9_u64, 0..30_u32), 0..4),
    ) {
        let mut updates = updates;
        for (at, damage) in &damages {
            if !updates.is_empty() {
                damage.apply(at.get_mut(&mut updates));
            }
        }
        let known: std::collections::BTreeMap<_, _> = known.into_iter().collect();
        let known = known.into_iter().map(|(client, clock)| (ClientId(client), clock)).collect();
        let mut state = DocumentState::default();
        for update in updates {
            survive(&mut state, &update, &known);
        }
    }

    #[test]
    fn what_waits_is_counted_and_foretold(updates in prop::collection::vec(stretches(), 0..20)) {
        let mut state = DocumentState::default();
        for update in updates {
            let len = update.len();
            let update = Update::decode(&update).unwrap();
            let foretold = state.pending_after(&update);
            assert_part_of_use(&state, &update, len);
            state.apply_decoded(&update);
            state.check();
            prop_assert_eq!(state.pending(), foretold);
        }
    }

    #[test]
    fn a_state_covers_another_if_it_has_all_of_it(a in part(), b in part()) {
        let covers = a.clocks.is_superset(&b.clocks) && a.deletes.is_superset(&b.deletes);
        prop_assert_eq!(a.state().covers(&b.state()), covers);
        let mut both = a.state();
        both.apply(&b.state().encode()).unwrap();
        prop_assert!(both.covers(&a.state()) && both.covers(&b.state()));
        prop_assert_eq!(a.state().covers(&both), covers);
    }
}

/// Fails if a case of sixteen times the size takes far more than sixteen times
/// processor time; quadratic work would take 256 times as much. Whoever shares the
/// processor's caches may slow one measurement down, but not all of them.
fn assert_linear(small: u32, case: impl Fn(u32) -> Box<dyn FnOnce()>) {
    let time = |size| {
        let one = || {
            let case = case(size);
            let start = ThreadTime::now();
            case();
            start.elapsed()
        };
        one().min(one()).as_secs_f64()
    };
    let mut tried = Vec::new();
    for _ in 0..10 {
        let ratio = time(16 * small) / time(small);
        if ratio < 64.0 {
            return;
        }
        tried.push(ratio);
    }
    panic!("sixteen times the size takes {tried:.0?} times as much time");
}

#[test]
fn time_is_linear_in_the_number_of_structs() {
    assert_linear(5_000, |structs| {
        let mut update = handmade::Update::default();
        update.push(1, 0, &Item::in_root("text").text("x"));
        for clock in 1..structs {
            // Always in front: nothing of it can be squashed.
            update.push(1, clock, &Item::before(1, clock - 1).text("x"));
        }
        let bytes = update.encode();
        Box::new(move || {
            let mut state = DocumentState::default();
            state.apply(&bytes).unwrap();
            state.compact(true);
            let diff = state.diff(&[(ClientId(1), structs / 2)].into_iter().collect());
            assert!(!diff.is_empty());
        })
    });
}

#[test]
fn time_is_linear_where_one_long_struct_is_cut_in_many_places() {
    assert_linear(10_000, |len| {
        let text = "ä".repeat(len as usize);
        let values = vec![&b"\x7d\x01"[..]; len as usize];
        let mut update = handmade::Update::default();
        update.push(1, 0, &Item::in_root("text").text(&text));
        update.push(2, 0, &Item::in_root("list").any(&values));
        let cuts: Vec<_> = (0..len / 40).map(|cut| (cut * 40, 1 + cut % 30)).collect();
        update.delete(1, &cuts).delete(2, &cuts);
        let mut state = DocumentState::default();
        state.apply(&update.encode()).unwrap();
        Box::new(move || {
            state.compact(true);
            state.compact(true);
        })
    });
}

#[test]
fn time_is_linear_where_much_hangs_on_one_long_struct() {
    assert_linear(4_000, |len| {
        let mut update = handmade::Update::default();
        let text = "x".repeat(len as usize * 10);
        update.push(1, 0, &Item::in_root("map").with_key("k").text(&text));
        let mut state = DocumentState::default();
        state.apply(&update.encode()).unwrap();
        let hanging: Vec<_> = (0..len / 10)
            .map(|at| {
                let mut update = handmade::Update::default();
                update.push(2, at, &Item::after(1, at * 10).text("y"));
                update.encode()
            })
            .collect();
        Box::new(move || {
            for update in hanging {
                state.apply(&update).unwrap();
            }
        })
    });
}

#[test]
fn time_is_linear_where_one_long_struct_fills_many_gaps() {
    assert_linear(5_000, |len| {
        let mut state = DocumentState::default();
        for at in 0..len / 50 {
            let mut update = handmade::Update::default();
            update.push(1, at * 50 + 25, &Item::in_root("text").text("y"));
            state.apply(&update.encode()).unwrap();
        }
        let mut update = handmade::Update::default();
        let text = "x".repeat(len as usize);
        update.push(1, 0, &Item::in_root("text").text(&text));
        let bytes = update.encode();
        Box::new(move || {
            state.apply(&bytes).unwrap();
        })
    });
}
