//! Bytes as frames of a client.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ysyncd_engine::{
    protocol::{self, Message, Messages},
    state_vector::StateVector,
};
use ysyncd_fuzz::cost::Bound;

/// Messages are parts of the frame.
const READING: Bound = Bound {
    peak_per_byte: 0,
    total_per_byte: 0,
    fixed: 0,
};

fuzz_target!(|input: &[u8]| {
    READING.keep(input.len(), || {
        let mut messages = Messages::new(input);
        while let Ok(Some(_)) = messages.read_next() {}
    });
    let mut messages = Messages::new(input);
    while let Ok(Some(message)) = messages.read_next() {
        let again = match message {
            Message::SyncStep1(known) => match StateVector::decode(known) {
                Ok(known) => protocol::sync_step_1(&known),
                Err(_) => continue,
            },
            Message::SyncStep2(update) => protocol::sync_step_2(update),
            Message::Update(update) => protocol::update(update),
            Message::Awareness(states) => protocol::awareness(states),
            Message::QueryAwareness => continue,
        };
        let mut round = Messages::new(&again);
        let read = round.read_next().expect("it was just written");
        assert!(round.is_at_end());
        match (message, read.expect("one message was written")) {
            // The entries of a state vector may stand in another order.
            (Message::SyncStep1(_), Message::SyncStep1(_)) => {}
            (message, read) => assert_eq!(message, read),
        }
    }
});
