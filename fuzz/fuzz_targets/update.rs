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

fuzz_target!(|input: &[u8]| {
    let mut reader = Reader::new(input);
    let mut state = DocumentState::default();
    // One update and nothing else, as corpora from elsewhere have it.
    take(&mut state.clone(), input);
    while let Ok(update) = reader.clone().var_bytes() {
        take(&mut state, update);
        let _ = reader.var_bytes();
    }
    if let Ok(known) = StateVector::decode(reader.rest()) {
        assert_update(&state.diff(&known));
        let round = StateVector::decode(&known.encode()).expect("it was just encoded");
        assert_eq!(round, known);
    }
    for gc in [false, true] {
        let mut compacted = state.clone();
        compacted.compact(gc);
        compacted.check();
        assert!(compacted.covers(&state));
        assert_told_again(&compacted);
    }
    assert_told_again(&state);
});

fn take(state: &mut DocumentState, update: &[u8]) {
    let Ok(decoded) = Update::decode(update) else {
        assert!(state.apply(update).is_err());
        return;
    };
    let _ = state.pending_in(&decoded, &Ahead::default());
    let applied = state.apply_decoded(&decoded);
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
