//! Updates and frames, put together by hand.

use bytes::Bytes;
use ysyncd_engine::{
    document::DocumentState,
    lib0::{Reader, write_var_bytes, write_var_uint},
    protocol::{self, Message, Messages},
    state_vector::StateVector,
};

/// One section of an update: a client, its first clock, and structs.
pub(super) type Section = (u64, u64, Vec<Vec<u8>>);

/// Deleted clocks of a client: from, and how many.
pub(super) type Deleted = (u64, u64, u64);

pub(super) fn update(sections: &[Section], deletes: &[Deleted]) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_uint(&mut out, sections.len() as u64);
    for (client, clock, structs) in sections {
        for number in [structs.len() as u64, *client, *clock] {
            write_var_uint(&mut out, number);
        }
        out.extend(structs.concat());
    }
    write_var_uint(&mut out, deletes.len() as u64);
    for &(client, clock, len) in deletes {
        for number in [client, 1, clock, len] {
            write_var_uint(&mut out, number);
        }
    }
    out
}

/// A text that a client writes at a clock of its own, behind what it wrote
/// before.
pub(super) fn text(client: u64, clock: u64, text: &str) -> Vec<u8> {
    let item = match clock.checked_sub(1) {
        None => first_text(text),
        Some(last) => text_after(client, last, text),
    };
    update(&[(client, clock, vec![item])], &[])
}

/// An update that only deletes.
pub(super) fn deletion(client: u64, clock: u64, len: u64) -> Vec<u8> {
    update(&[], &[(client, clock, len)])
}

/// A text item at the start of the root type `t`.
pub(super) fn first_text(text: &str) -> Vec<u8> {
    let mut out = vec![4, 1];
    write_var_bytes(&mut out, b"t");
    write_var_bytes(&mut out, text.as_bytes());
    out
}

/// A text item behind another unit.
pub(super) fn text_after(client: u64, clock: u64, text: &str) -> Vec<u8> {
    let mut out = vec![0x84];
    write_var_uint(&mut out, client);
    write_var_uint(&mut out, clock);
    write_var_bytes(&mut out, text.as_bytes());
    out
}

/// An entry of the root map `m`: a number.
pub(super) fn map_entry(key: &str, value: u8) -> Vec<u8> {
    long_map_entry(key, &[value])
}

/// Some numbers at one key of the root map `m`, which no Yjs writes.
pub(super) fn long_map_entry(key: &str, values: &[u8]) -> Vec<u8> {
    let mut out = vec![0x28, 1];
    write_var_bytes(&mut out, b"m");
    write_var_bytes(&mut out, key.as_bytes());
    write_var_uint(&mut out, values.len() as u64);
    out.extend(values.iter().flat_map(|value| [125, *value]));
    out
}

/// Some numbers behind another unit.
pub(super) fn values_after(client: u8, clock: u8, values: &[u8]) -> Vec<u8> {
    let mut out = vec![0x88, client, clock];
    write_var_uint(&mut out, values.len() as u64);
    out.extend(values.iter().flat_map(|value| [125, *value]));
    out
}

pub(super) fn skip(len: u8) -> Vec<u8> {
    vec![10, len]
}

/// A `SyncStep1` of one who knows these clocks.
pub(super) fn sync_step_1(known: &[(u64, u64)]) -> Bytes {
    let mut sv = Vec::new();
    write_var_uint(&mut sv, known.len() as u64);
    for &(client, clock) in known {
        write_var_uint(&mut sv, client);
        write_var_uint(&mut sv, clock);
    }
    let known = StateVector::decode(&sv).expect("a good state vector");
    protocol::sync_step_1(&known)
}

/// An awareness frame: client, clock, JSON.
pub(super) fn awareness(said: &[(u64, u64, &str)]) -> Bytes {
    let mut states = Vec::new();
    write_var_uint(&mut states, said.len() as u64);
    for &(client, clock, state) in said {
        write_var_uint(&mut states, client);
        write_var_uint(&mut states, clock);
        write_var_bytes(&mut states, state.as_bytes());
    }
    protocol::awareness(&states)
}

/// What an awareness frame says.
#[track_caller]
pub(super) fn read_awareness(frame: &Bytes) -> Vec<(u64, u64, String)> {
    let Message::Awareness(states) = message(frame) else {
        panic!("no awareness: {frame:?}");
    };
    let mut reader = Reader::new(states);
    let count = reader.var_uint().expect("a count");
    let said = (0..count).map(|_| {
        let client = reader.var_uint().expect("a client");
        let clock = reader.var_uint().expect("a clock");
        let state = reader.var_str().expect("a state");
        (client, clock, state.to_owned())
    });
    said.collect()
}

/// The one message of a frame that the server sent.
#[track_caller]
pub(super) fn message(frame: &Bytes) -> Message<'_> {
    let mut messages = Messages::new(frame);
    let message = messages.read_next().expect("a message");
    assert!(messages.is_at_end(), "one message per frame");
    message.expect("a message")
}

/// The update in a `SyncStep2` frame.
#[track_caller]
pub(super) fn read_step_2(frame: &Bytes) -> &[u8] {
    match message(frame) {
        Message::SyncStep2(update) => update,
        other => panic!("no SyncStep2: {other:?}"),
    }
}

/// A document made of updates.
pub(super) fn state<'a>(updates: impl IntoIterator<Item = &'a [u8]>) -> DocumentState {
    let mut state = DocumentState::default();
    for update in updates {
        state.apply(update).expect("a good update");
    }
    state
}

/// A document made of the update and `SyncStep2` frames among some.
pub(super) fn state_of_frames(frames: &[Bytes]) -> DocumentState {
    state(frames.iter().filter_map(|frame| match message(frame) {
        Message::SyncStep2(update) | Message::Update(update) => Some(update),
        _ => None,
    }))
}

/// Fails unless both documents hold the same ids.
#[track_caller]
pub(super) fn assert_same(left: &DocumentState, right: &DocumentState) {
    assert!(left.covers(right), "{left:?} lacks something of {right:?}");
    assert!(right.covers(left), "{right:?} lacks something of {left:?}");
}
