//! Bytes as what the store holds of a document. The input is the stored object
//! with its length in front, an update the same, and a state vector.

#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ysyncd_engine::{
    Config, Refusal,
    document::DocumentState,
    lib0::Reader,
    protocol::{self, Message, Messages},
    state_vector::StateVector,
    update::Update,
};
use ysyncd_fuzz::{cost::Bound, room::Room};

/// A struct of two bytes, a garbage of its own client, takes a tree's node and
/// a block; with all that the room keeps of what was sent and saved. The worst
/// seen was 73 a byte at a moment, and 1,334 in all.
const LOADING: Bound = Bound {
    peak_per_byte: 1 << 8,
    total_per_byte: 1 << 12,
    fixed: 256 << 10,
};

fuzz_target!(|input: &[u8]| {
    let mut reader = Reader::new(input);
    // An object and nothing else, as corpora from elsewhere have it.
    let stored = reader.var_bytes().unwrap_or(input);
    let update = reader.var_bytes().unwrap_or_default();
    let known = reader.rest();
    for gc in [false, true] {
        let config = Config {
            gc,
            ..Config::default()
        };
        let stored = Bytes::copy_from_slice(stored);
        let room = LOADING.keep(input.len(), || serve(config, &stored, update, known));
        judge(&room, &stored, update);
    }
});

fn serve(config: Config, stored: &Bytes, update: &[u8], known: &[u8]) -> Room {
    let mut room = Room::new(config, Some(stored.clone()));
    let conn = room.open();
    room.receive(conn, protocol::sync_step_1(&StateVector::default()));
    room.receive(conn, protocol::update(update));
    // Past the time after which it is saved.
    room.wait(Duration::from_secs(60));
    let conn = room.open();
    if let Ok(known) = StateVector::decode(known) {
        room.receive(conn, protocol::sync_step_1(&known));
    }
    room.wait(Duration::from_secs(1));
    room
}

fn judge(room: &Room, stored: &[u8], update: &[u8]) {
    let mut expected = DocumentState::default();
    if expected.apply(stored).is_err() {
        assert!(
            room.refused
                .iter()
                .all(|(_, reason)| *reason == Refusal::Undecodable)
        );
        assert_eq!(room.refused.len(), 2);
        assert!(
            room.sent.is_empty() && room.saved.is_empty(),
            "it is left untouched"
        );
        return;
    }
    assert_eq!(room.refused, []);
    for (_, frame) in &room.sent {
        if let Ok(Some(Message::SyncStep2(update) | Message::Update(update))) =
            Messages::new(frame).read_next()
        {
            Update::decode(update).expect("what is sent is an update");
        }
    }
    for saved in &room.saved {
        let mut again = DocumentState::default();
        again.apply(saved).expect("what is saved can be loaded");
        assert!(again.covers(&expected), "nothing is lost");
    }
    if expected.apply(update).is_ok()
        && let Some(saved) = room.saved.last()
    {
        let mut again = DocumentState::default();
        again.apply(saved).expect("what is saved can be loaded");
        assert!(again.covers(&expected), "nothing new is lost");
    }
}
