//! Whatever bytes come: no panic, no broken state, and what is accepted can be
//! told again.

use std::{collections::BTreeSet, time::Instant};

use proptest::prelude::*;
use ysyncd_engine::{
    document::{DocumentState, NewPart},
    protocol::Messages,
    state_vector::StateVector,
    update::{ClientId, Update},
};

use crate::{
    handmade::{self, Item},
    histories::History,
};

/// Applies what may be an update to a state; if it is one, everything the
/// engine does with a state must work.
fn survive(state: &mut DocumentState, bytes: &[u8], known: &StateVector) {
    let decoded = Update::decode(bytes);
    let before = state.encode();
    let applied = match state.apply(bytes) {
        Ok(applied) => applied,
        Err(error) => {
            assert_eq!(decoded.unwrap_err(), error);
            assert_eq!(state.encode(), before, "what is refused changes nothing");
            return;
        }
    };
    state.check();
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

fn assert_told_again(state: &DocumentState) {
    let mut again = DocumentState::default();
    again.apply(&state.encode()).unwrap();
    again.check();
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
    fn a_state_covers_another_if_it_has_all_of_it(a in part(), b in part()) {
        let covers = a.clocks.is_superset(&b.clocks) && a.deletes.is_superset(&b.deletes);
        prop_assert_eq!(a.state().covers(&b.state()), covers);
        let mut both = a.state();
        both.apply(&b.state().encode()).unwrap();
        prop_assert!(both.covers(&a.state()) && both.covers(&b.state()));
        prop_assert_eq!(a.state().covers(&both), covers);
    }
}

#[test]
fn time_is_linear_in_the_size_of_an_update() {
    let time = |structs: u32| {
        let mut update = handmade::Update::default();
        update.push(1, 0, &Item::in_root("text").text("x"));
        for clock in 1..structs {
            // Always in front: nothing of it can be squashed.
            update.push(1, clock, &Item::before(1, clock - 1).text("x"));
        }
        let bytes = update.encode();
        let one = || {
            let start = Instant::now();
            let mut state = DocumentState::default();
            state.apply(&bytes).unwrap();
            state.compact(true);
            let diff = state.diff(&[(ClientId(1), structs / 2)].into_iter().collect());
            assert!(!diff.is_empty());
            start.elapsed()
        };
        (0..2).map(|_| one()).min().unwrap()
    };
    // Sixteen times as many; quadratic work would take 256 times as long. A
    // busy machine may slow one measurement down, but not all of them.
    let ratios = (0..10).map(|_| time(80_000).as_secs_f64() / time(5_000).as_secs_f64());
    let mut tried = Vec::new();
    for ratio in ratios {
        if ratio < 64.0 {
            return;
        }
        tried.push(ratio);
    }
    panic!("sixteen times the structs take {tried:.0?} times as long");
}
