//! Bytes as updates. The input is a few updates, each with its length in
//! front, and whatever is left is a state vector.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ysyncd_engine::{
    document::{Ahead, DocumentState, NewPart},
    lib0::Reader,
    state_vector::StateVector,
    update::Update,
};
use ysyncd_fuzz::cost::Bound;

/// Reading an update allocates nothing but a stack for values nested deep.
const DECODING: Bound = Bound {
    peak_per_byte: 0,
    total_per_byte: 8,
    fixed: 2 << 10,
};

/// A struct of two bytes, a garbage of its own client, takes a tree's node and
/// a block. What it brings may complete all that waited, so all bytes that
/// came are its input; what is told again is built up in growing vectors. The
/// worst seen was 45 a byte at a moment, and 115 in all.
const APPLYING: Bound = Bound {
    peak_per_byte: 1 << 7,
    total_per_byte: 1 << 9,
    fixed: 16 << 10,
};

fuzz_target!(|input: &[u8]| {
    let mut reader = Reader::new(input);
    let mut state = DocumentState::default();
    // One update and nothing else, as corpora from elsewhere have it.
    take(&mut state.clone(), input, input.len());
    while let Ok(update) = reader.clone().var_bytes() {
        take(&mut state, update, input.len());
        let _ = reader.var_bytes();
    }
    if let Ok(known) = StateVector::decode(reader.rest()) {
        assert_update(&APPLYING.keep(input.len(), || state.diff(&known)));
        let round = StateVector::decode(&known.encode()).expect("it was just encoded");
        assert_eq!(round, known);
    }
    for gc in [false, true] {
        let mut compacted = state.clone();
        APPLYING.keep(input.len(), || compacted.compact(gc));
        compacted.check();
        assert!(compacted.covers(&state));
        assert_told_again(&compacted);
        // What was never compacted may tell of map entries that came before it
        // was known that they are such: whoever loads that knows at once, and
        // we when we compact.
        let mut again = DocumentState::default();
        again.apply(&state.encode()).expect("it was just encoded");
        assert!(again.covers(&state));
        assert_eq!(again.state_vector(), state.state_vector());
        again.compact(gc);
        assert!(again.covers(&compacted) && compacted.covers(&again));
    }
});

/// `bytes` came so far, and are still to come.
fn take(state: &mut DocumentState, update: &[u8], bytes: usize) {
    let Ok(decoded) = DECODING.keep(update.len(), || Update::decode(update)) else {
        assert!(state.apply(update).is_err());
        return;
    };
    let _ = state.pending_in(&decoded, &Ahead::default());
    assert_adds_nothing(state, &state.part_of_use(&decoded, &Ahead::default()));
    let applied = APPLYING.keep(bytes, || state.apply_decoded(&decoded));
    state.check();
    if let NewPart::Some(part) = &applied.new_part {
        assert_update(part);
    }
    if let Some(resend) = &applied.resend {
        assert_update(resend);
    }
    assert_eq!(state.apply_decoded(&decoded).new_part, NewPart::Nothing);
}

fn assert_update(bytes: &[u8]) {
    Update::decode(bytes).expect("what the engine writes is an update");
}

fn assert_adds_nothing(state: &DocumentState, part: &[u8]) {
    let part = Update::decode(part).expect("what the engine writes is an update");
    let (before, after) = (state.pending(), state.pending_after(&part));
    assert!(after.gap_runs <= before.gap_runs && after.delete_ranges <= before.delete_ranges);
}

/// Loading what a state tells gives that state, and the same bytes again.
fn assert_told_again(state: &DocumentState) {
    let mut again = DocumentState::default();
    again.apply(&state.encode()).expect("it was just encoded");
    again.check();
    assert!(again.covers(state) && state.covers(&again));
    assert_eq!(again.state_vector(), state.state_vector());
    let bytes = again.encode();
    let mut third = DocumentState::default();
    third.apply(&bytes).expect("it was just encoded");
    assert_eq!(third.encode(), bytes);
}
