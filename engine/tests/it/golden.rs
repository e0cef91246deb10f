//! Bytes made by Yjs, and what must come of them: see golden/README.md.

use serde_json::Value;
use ysyncd_engine::{
    document::{DocumentState, NewPart},
    lib0::write_var_uint,
    protocol::{self, Message, MessageError, Messages},
    state_vector::StateVector,
    update::Update,
};

#[test]
fn updates_are_known_by_state_vector_and_delete_set() {
    for case in cases("golden.json", "updates") {
        let state = applied(&case);
        assert_eq!(
            state.state_vector().encode(),
            bytes(&case["state_vector"]),
            "{}",
            name(&case)
        );
        let encoded = state.encode();
        let deletes = encoded_delete_set(&case["delete_set"]);
        assert!(
            encoded.ends_with(&deletes),
            "{}: {encoded:02x?} ends in another delete set than {deletes:02x?}",
            name(&case)
        );
    }
}

#[test]
fn canonical_updates_come_back_byte_for_byte_and_are_relayed_as_they_are() {
    let mut canonical = 0;
    for case in cases("golden.json", "updates") {
        if case["canonical"] == true {
            canonical += 1;
            let update = bytes(&case["updates"][0]);
            let mut state = DocumentState::default();
            let applied = state.apply(&update).unwrap();
            let relayed = match applied.new_part {
                NewPart::Nothing => vec![0, 0].into(),
                NewPart::All => update.clone().into(),
                NewPart::Some(part) => part,
            };
            assert_eq!(relayed, update, "{}", name(&case));
            assert_eq!(state.encode(), update, "{}", name(&case));
        }
    }
    assert!(canonical > 60, "only {canonical} updates are canonical");
}

#[test]
fn what_was_encoded_is_the_same_document() {
    for case in cases("golden.json", "updates") {
        let mut state = applied(&case);
        for compact in [None, Some(false), Some(true)] {
            if let Some(gc) = compact {
                state.compact(gc);
            }
            let encoded = state.encode();
            let mut again = DocumentState::default();
            again.apply(&encoded).unwrap();
            let context = format!("{} {compact:?}", name(&case));
            assert_eq!(again.state_vector(), state.state_vector(), "{context}");
            assert!(again.covers(&state), "{context}");
            assert!(state.covers(&again), "{context}");
        }
    }
}

#[test]
fn a_repeated_update_brings_nothing() {
    for case in cases("golden.json", "updates") {
        let mut state = applied(&case);
        for update in updates(&case) {
            let applied = state.apply(&update).unwrap();
            assert_eq!(applied.new_part, NewPart::Nothing, "{}", name(&case));
        }
    }
}

#[test]
fn diffs_are_cut_as_yjs_cuts_them() {
    let mut diffs = 0;
    for case in cases("golden.json", "updates") {
        let state = applied(&case);
        for diff in case["diffs"].as_array().into_iter().flatten() {
            diffs += 1;
            let known = StateVector::decode(&bytes(&diff["state_vector"])).unwrap();
            assert_eq!(
                state.diff(&known),
                bytes(&diff["update"]),
                "{} from {known:?}",
                name(&case)
            );
        }
    }
    assert!(diffs > 10, "only {diffs} diffs");
}

/// Yjs forgets the first of two sections of one client, so such bytes must
/// not be relayed as they came.
#[test]
fn only_what_yjs_reads_alike_is_relayed_as_it_came() {
    for case in cases("golden.json", "updates") {
        let mut state = DocumentState::default();
        for update in updates(&case) {
            if case["merged"].is_null() {
                let applied = state.apply(&update).unwrap();
                assert_ne!(applied.new_part, NewPart::All, "{}", name(&case));
            }
        }
    }
}

#[test]
fn malformed_input_is_refused() {
    for case in cases("malformed.json", "inputs") {
        let input = bytes(&case["hex"]);
        let taken = match case["kind"].as_str().unwrap() {
            "update" => Update::decode(&input).is_ok(),
            "state_vector" => StateVector::decode(&input).is_ok(),
            "awareness" => continue,
            other => panic!("unknown kind {other}"),
        };
        assert!(!taken, "{}: {}", name(&case), case["why"]);
    }
}

#[test]
fn every_prefix_of_an_update_is_refused() {
    for case in cases("golden.json", "updates") {
        for update in updates(&case) {
            for end in 0..update.len().min(2_000) {
                assert!(
                    Update::decode(&update[..end]).is_err(),
                    "{} cut at {end}",
                    name(&case)
                );
            }
        }
    }
}

#[test]
fn state_vectors_are_read_and_written() {
    for case in cases("golden.json", "state_vectors") {
        let input = bytes(&case["hex"]);
        let vector = StateVector::decode(&input).unwrap();
        assert_eq!(vector.encode(), input, "{}", name(&case));
    }
}

#[test]
fn messages_are_read_and_written() {
    for case in cases("golden.json", "messages") {
        let (frame, payload) = (bytes(&case["frame"]), bytes(&case["payload"]));
        let mut messages = Messages::new(&frame);
        let read = messages.read_next();
        let known = || StateVector::decode(&payload).unwrap();
        let (message, written) = match case["kind"].as_str().unwrap() {
            "sync_step_1" => (
                Message::SyncStep1(&payload),
                protocol::sync_step_1(&known()),
            ),
            "sync_step_2" => (
                Message::SyncStep2(&payload),
                protocol::sync_step_2(&payload),
            ),
            "update" => (Message::Update(&payload), protocol::update(&payload)),
            "awareness" => (Message::Awareness(&payload), protocol::awareness(&payload)),
            "query_awareness" => (Message::QueryAwareness, frame.clone().into()),
            "auth" => {
                let reason = std::str::from_utf8(&payload).unwrap();
                assert_eq!(protocol::permission_denied(reason), frame);
                assert_eq!(read, Err(MessageError::Auth));
                continue;
            }
            other => panic!("unknown kind {other}"),
        };
        assert_eq!(read, Ok(Some(message)), "{}", name(&case));
        assert_eq!(messages.read_next(), Ok(None), "{}", name(&case));
        assert_eq!(written, frame, "{}", name(&case));
    }
}

fn applied(case: &Value) -> DocumentState {
    let mut state = DocumentState::default();
    for update in updates(case) {
        let applied = state.apply(&update);
        applied.unwrap_or_else(|error| panic!("{}: {error}", name(case)));
    }
    state
}

/// A delete set as an update ends with it.
fn encoded_delete_set(value: &Value) -> Vec<u8> {
    type Ranges = Vec<(u64, u64)>;
    let clients: Vec<(u64, Ranges)> = serde_json::from_value(value.clone()).unwrap();
    let mut out = Vec::new();
    write_var_uint(&mut out, clients.len() as u64);
    for (client, ranges) in clients {
        write_var_uint(&mut out, client);
        write_var_uint(&mut out, ranges.len() as u64);
        for (clock, len) in ranges {
            write_var_uint(&mut out, clock);
            write_var_uint(&mut out, len);
        }
    }
    out
}

fn cases(file: &str, list: &str) -> Vec<Value> {
    let text = match file {
        "golden.json" => include_str!("golden/golden.json"),
        _ => include_str!("golden/malformed.json"),
    };
    let data: Value = serde_json::from_str(text).unwrap();
    let cases = data[list].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

fn updates(case: &Value) -> Vec<Vec<u8>> {
    case["updates"]
        .as_array()
        .unwrap()
        .iter()
        .map(bytes)
        .collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER
        .decode(value.as_str().unwrap().as_bytes())
        .unwrap()
}
