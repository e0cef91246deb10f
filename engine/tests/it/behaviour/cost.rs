//! Nothing costs more because a document is large. Times are compared with
//! each other, never with a clock on the wall.

use std::time::{Duration, Instant};

use ysyncd_engine::document::DocumentState;

use super::wire;

/// How long it takes to type behind something, the best of some tries.
fn typing_behind(first: &[u8]) -> Duration {
    let before = wire::update(&[(1, 0, vec![first.to_vec()])], &[]);
    let mut keystrokes = vec![wire::update(&[(1, 1, vec![wire::first_text("a")])], &[])];
    let more = (2..10_000).map(|clock| wire::text(1, clock, "a"));
    keystrokes.extend(more);
    let one_try = || {
        let mut state = DocumentState::default();
        state.apply(&before).expect("an update");
        let start = Instant::now();
        for keystroke in &keystrokes {
            state.apply(keystroke).expect("an update");
        }
        start.elapsed()
    };
    (0..10).map(|_| one_try()).min().expect("some tries")
}

#[test]
fn typing_behind_a_map_entry_costs_what_it_costs_elsewhere() {
    let elsewhere = typing_behind(&wire::first_text("x"));
    let behind_entry = typing_behind(&wire::map_entry("k", 5));
    assert!(
        behind_entry < 5 * elsewhere,
        "{behind_entry:?}, not {elsewhere:?}"
    );
}
