//! Recorded editing sessions, typed into yrs keystroke by keystroke.
//!
//! They lie in the folder that `YSYNCD_SHARED` names, or beside the repository
//! in `shared`; without it they are skipped, but not with `CI=true`.

use std::{fs::File, path::PathBuf, sync::mpsc};

use flate2::read::GzDecoder;
use serde_json::Value;
use yrs::{GetString, ReadTxn, Text, TextRef, Transact, TransactionMut};
use ysyncd_engine::document::{DocumentState, NewPart};

use crate::content::{load, yrs_doc};

#[test]
fn automerge_paper_loads_as_it_was_typed() {
    loads_as_it_was_typed("automerge-paper");
}

#[test]
fn sveltecomponent_loads_as_it_was_typed() {
    loads_as_it_was_typed("sveltecomponent");
}

fn loads_as_it_was_typed(name: &str) {
    let Some(trace) = trace(name) else {
        return;
    };
    let updates = type_in(&trace);
    let mut state = DocumentState::default();
    for update in &updates {
        let applied = state.apply(update).unwrap();
        assert_eq!(applied.new_part, NewPart::All);
    }
    state.check();
    let typed = load(&updates);
    let text = trace["endContent"].as_str().unwrap();
    for gc in [false, true] {
        let mut compacted = state.clone();
        compacted.compact(gc);
        let loaded = load([compacted.encode()]);
        let (typed, loaded) = (typed.transact(), loaded.transact());
        assert_eq!(loaded.get_text("text").unwrap().get_string(&loaded), text);
        // The state vector and the delete set.
        assert_eq!(loaded.snapshot(), typed.snapshot());
    }
}

/// The updates of a client who types a recorded session.
pub(crate) fn session(name: &str) -> Option<Vec<Vec<u8>>> {
    Some(type_in(&trace(name)?))
}

fn trace(name: &str) -> Option<Value> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
    let shared = std::env::var_os("YSYNCD_SHARED").map_or_else(beside, PathBuf::from);
    let path = shared.join("traces").join(format!("{name}.json.gz"));
    if !path.exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{} is not there",
            path.display()
        );
        println!("skipped: no trace {name}; set YSYNCD_SHARED");
        return None;
    }
    let file = GzDecoder::new(File::open(path).unwrap());
    Some(serde_json::from_reader(file).unwrap())
}

/// The updates that a client sends who types what was recorded.
fn type_in(trace: &Value) -> Vec<Vec<u8>> {
    let doc = yrs_doc(200_000_000, false);
    let (sent, updates) = mpsc::channel();
    doc.observe_update_v1("log", move |_, event| {
        sent.send(event.update.clone()).unwrap();
    })
    .unwrap();
    let text = doc.get_or_insert_text("text");
    text.push(
        &mut doc.transact_mut(),
        trace["startContent"].as_str().unwrap(),
    );
    for transaction in trace["txns"].as_array().unwrap() {
        let mut open = doc.transact_mut();
        for patch in transaction["patches"].as_array().unwrap() {
            apply(&text, &mut open, patch);
        }
    }
    updates.try_iter().collect()
}

/// A patch is `[position, deleted length, inserted text]`.
fn apply(text: &TextRef, open: &mut TransactionMut<'_>, patch: &Value) {
    let number = |at: usize| u32::try_from(patch[at].as_u64().unwrap()).unwrap();
    if number(1) > 0 {
        text.remove_range(open, number(0), number(1));
    }
    let inserted = patch[2].as_str().unwrap();
    if !inserted.is_empty() {
        text.insert(open, number(0), inserted);
    }
}
