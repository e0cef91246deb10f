//! A saved document is read in another way than an update of a client, and has
//! to be the same.

use ysyncd_engine::{document::DocumentState, update::DecodeError};

use crate::{
    handmade::{Item, Update},
    histories::History,
};

/// Loads bytes; they make the document that they make when they are applied to
/// an empty one, or are refused for the same reason.
pub(crate) fn load(bytes: &[u8]) -> Result<DocumentState, DecodeError> {
    let mut applied = DocumentState::default();
    let outcome = applied.apply(bytes).map(drop);
    let loaded = DocumentState::load(bytes);
    match &loaded {
        Ok(loaded) => {
            loaded.check();
            assert_eq!(outcome, Ok(()));
            assert_eq!(loaded.encode(), applied.encode());
            assert_eq!(loaded.state_vector(), applied.state_vector());
            assert_eq!(loaded.integrated(), applied.integrated());
            assert_eq!(loaded.pending(), applied.pending());
        }
        Err(error) => assert_eq!(outcome, Err(*error)),
    }
    loaded
}

#[test]
fn saved_documents_are_loaded_as_they_are() {
    for seed in 0..100 {
        let mut log = History::random(seed, 60).log;
        if seed % 2 == 1 {
            // Nearly all has to wait for what comes later.
            log.reverse();
        }
        let mut state = DocumentState::default();
        for update in log {
            state.apply(&update).unwrap();
            assert_loaded(&state);
        }
        for gc in [false, true] {
            state.compact(gc);
            assert_loaded(&state);
        }
    }
}

fn assert_loaded(state: &DocumentState) {
    let loaded = load(&state.encode()).unwrap();
    assert_eq!(loaded.state_vector(), state.state_vector());
    assert_eq!(loaded.integrated(), state.integrated());
    assert_eq!(loaded.pending(), state.pending());
    assert!(loaded.covers(state) && state.covers(&loaded));
}

#[test]
fn what_waits_for_what_never_came_is_loaded() {
    let mut update = Update::default();
    update.push(3, 0, &Item::after(1, 5).text("ab"));
    update.push(2, 4, &Item::after(3, 0).text("c"));
    update.push(1, 0, &Item::in_root("text").text("d"));
    update.delete(2, &[(0, 2), (9, 1)]);
    assert_eq!(load(&update.encode()).unwrap().pending().gap_runs, 1);
}

#[test]
fn of_several_values_of_a_key_only_the_last_is_loaded_unless_they_are_deleted() {
    let values = Item::in_root("map")
        .with_key("k")
        .any(&[&[121], &[120], &[126]]);
    let update = |deletes: &[(u32, u32)]| {
        let mut update = Update::default();
        update.push(1, 0, &values).delete(1, deletes);
        update.encode()
    };
    for deletes in [&[(0, 2)][..], &[(0, 3)], &[(0, 1), (1, 1)]] {
        let kept = load(&update(deletes)).unwrap().encode();
        assert!(
            kept.windows(3).any(|bytes| bytes == [121, 120, 126]),
            "{kept:?}"
        );
    }
    for deletes in [&[(0, 1)][..], &[(1, 2)], &[(7, 1)]] {
        let left = load(&update(deletes)).unwrap().encode();
        assert!(!left.contains(&121), "{left:?}");
        assert!(left.contains(&126), "{left:?}");
    }
}

/// Whether values belong to a key is told by their neighbour, which may come later.
#[test]
fn values_before_the_last_of_a_key_are_deleted_in_whatever_order_they_come() {
    let entry = Item::in_root("map").with_key("k").text("x");
    for (entry_of, values_of) in [(1, 2), (2, 1)] {
        let values = Item::after(entry_of, 0).any(&[&[121], &[120], &[126]]);
        let mut parts = [Update::default(), Update::default()];
        parts[0].push(entry_of, 0, &entry);
        parts[1].push(values_of, 0, &values);
        for order in [[0, 1], [1, 0]] {
            let (mut state, mut whole) = (DocumentState::default(), Update::default());
            for part in order {
                state.apply(&parts[part].encode()).unwrap();
                whole.append(&parts[part]);
            }
            assert_loaded(&state);
            let loaded = load(&whole.encode()).unwrap();
            assert!(loaded.covers(&state) && state.covers(&loaded));
            let mut deleted = Update::default();
            state
                .apply(&deleted.delete(values_of, &[(0, 2)]).encode())
                .unwrap();
            assert!(loaded.covers(&state));
        }
    }
}

/// Behind a gap they wait like all else.
#[test]
fn values_of_a_key_behind_a_gap_are_deleted_once_it_closes() {
    let entry = Item::in_root("map").with_key("k").text("x");
    let values = Item::after(1, 0).any(&[&[121], &[120], &[126]]);
    let mut update = Update::default();
    update.push(1, 0, &entry).push(1, 2, &values);
    let mut state = load(&update.encode()).unwrap();
    let deletes = |state: &DocumentState| state.encode().ends_with(&[1, 1, 1, 2, 2]);
    assert!(!deletes(&state));
    assert_loaded(&state);
    let mut between = Update::default();
    between.push(1, 1, &Item::in_root("list").text("y"));
    state.apply(&between.encode()).unwrap();
    assert!(deletes(&state));
    assert_loaded(&state);
}
