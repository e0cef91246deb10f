//! Bytes as state vectors.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ysyncd_engine::state_vector::StateVector;
use ysyncd_fuzz::cost::Bound;

/// An entry has two bytes or more, and 16 in memory, in a vector that grows and
/// is sorted. The worst seen was 8 a byte at a moment, and 12 in all.
const DECODING: Bound = Bound {
    peak_per_byte: 16,
    total_per_byte: 32,
    fixed: 1 << 10,
};

fuzz_target!(|input: &[u8]| {
    let decoded = DECODING.keep(input.len(), || StateVector::decode(input));
    let Ok(known) = decoded else {
        return;
    };
    let bytes = known.encode();
    assert!(bytes.len() <= input.len());
    let again = StateVector::decode(&bytes).expect("it was just encoded");
    assert_eq!(again, known);
    assert_eq!(again.encode(), bytes);
    assert!(known.iter().is_sorted_by(|a, b| a.0 < b.0));
    for (client, clock) in known.iter() {
        assert_eq!(known.clock(client), clock);
    }
});
