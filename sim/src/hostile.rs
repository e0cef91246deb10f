//! Frames that break servers, and what they deserve.
//!
//! Those with a verdict are refused by the grammar whatever the document holds:
//! they may be sent to documents that model clients have open, too. The others
//! are updates that the grammar takes and that yrs 0.28.1 does not survive.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use rand::{RngExt, rngs::ChaCha8Rng, seq::IndexedRandom};
use ysyncd_engine::{
    CloseCode, Config,
    lib0::{write_var_bytes, write_var_uint},
    protocol,
    state_vector::StateVector,
};

/// Asks who is there.
const QUERY_AWARENESS: &[u8] = &[3];

/// A frame that its sender is closed for.
#[derive(Debug, Clone)]
pub(crate) struct BadFrame {
    pub(crate) name: &'static str,
    pub(crate) frame: Bytes,
    pub(crate) code: CloseCode,
}

/// Updates that the grammar refuses.
const MALFORMED: [(&str, &str); 17] = [
    (
        "clock + len past 2^31",
        "010303ffffffff0f210101780171030003000301020200050a03",
    ),
    ("trailing byte", "000000"),
    ("2^27 clients in a few bytes", "80808040"),
    ("2^29 clients in a few bytes", "8080808002"),
    ("JSON of no values", "010102120201016d000103010b00"),
    ("JSON that is none", "010102000201016d01017b00"),
    ("clock past 2^31", "010303ffffffff0f000100"),
    ("reference to the own clock", "01010100840100016100"),
    ("cut short", "0104090003010161026162250009000171027b7d8609"),
    ("no deletes, not even none", "0101010001010101ff7f"),
    (
        "reference to the own future",
        "0203070484070708f09f9880f09f9880440210016129010174016b0267677d33010902a4090c0b68656c6c6f20776f726c640109010a05",
    ),
    (
        "delete of nothing",
        "0204071424000106016b08f09f9880f09f9880280101610177027d347804010161000002010909000500",
    ),
    ("text that is no UTF-8", "010101000401017402fffe00"),
    ("content of an unknown kind", "010101000b0101740100"),
    ("a skip that names an origin", "010101008a0500"),
    ("a subdocument without options", "010101000901017401677e00"),
    (
        "lists that stand in each other 70 deep",
        "010101000801017401\
         750175017501750175017501750175017501750175017501750175017501\
         750175017501750175017501750175017501750175017501750175017501\
         750175017501750175017501750175017501750175017501750175017501\
         750175017501750175017501750175017501750175017501750175017501\
         7501750175017501750175017501750175017501\
         7e00",
    ),
];

/// Updates that the grammar takes and that break others.
const BREAKING: [&str; 6] = [
    "0105010027010174016b0024000100016b0b68656c6c6f20776f726c64a4010506e282ac75726f87010002c601090107016904747275650101010d04",
    "01030200c401040101036162630401016d0361626384010401610101010905",
    "0101030004010174016100",
    "0104090003010161026162250009000171027b7d860900016904747275658109010200",
    "010165012801016d026b30017e00",
    "010166002801016d016b027d017d0200",
];

/// Draws a frame that its sender is to be closed for.
pub(crate) fn bad_frame(rng: &mut ChaCha8Rng, state_bytes_max: usize) -> BadFrame {
    let bad = |name, frame: Vec<u8>, code| BadFrame {
        name,
        frame: frame.into(),
        code,
    };
    match rng.random_range(0..13) {
        0 => bad("unknown message", vec![9, 0], CloseCode::InvalidPayload),
        1 => bad(
            "unknown sync message",
            vec![0, 7, 0],
            CloseCode::InvalidPayload,
        ),
        2 => bad(
            "auth from a client",
            vec![2, 0, 1, b'x'],
            CloseCode::PolicyViolation,
        ),
        3 => bad(
            "message cut short",
            vec![0, 2, 200, 1],
            CloseCode::InvalidPayload,
        ),
        4 => bad(
            "state vector of 2^29 clients",
            vec![0, 0, 5, 0x80, 0x80, 0x80, 0x80, 0x02],
            CloseCode::InvalidPayload,
        ),
        5 => bad(
            "awareness that is no JSON",
            awareness(&[(1, "{\"a\":")]),
            CloseCode::InvalidPayload,
        ),
        6 => {
            let state = format!("\"{}\"", "x".repeat(state_bytes_max));
            let frame = awareness(&[(1, &state)]);
            bad("awareness state too big", frame, CloseCode::PolicyViolation)
        }
        12 => {
            let state = format!("\"{}\"", "x".repeat(state_bytes_max - 2));
            let frame = awareness(&[(1, &state), (2, &state), (3, &state)]);
            bad(
                "awareness of three large states",
                frame,
                CloseCode::PolicyViolation,
            )
        }
        7 => {
            let many: Vec<_> = (0..200).map(|id| (id, "1")).collect();
            let frame = awareness(&many);
            bad(
                "awareness of 200 clients",
                frame,
                CloseCode::PolicyViolation,
            )
        }
        _ => {
            let (name, update) = *MALFORMED.choose(rng).expect("not empty");
            let frame = match rng.random_bool(0.5) {
                true => protocol::update(&hex(update)),
                false => protocol::sync_step_2(&hex(update)),
            };
            BadFrame {
                name,
                frame,
                code: CloseCode::InvalidPayload,
            }
        }
    }
}

/// Draws a frame that would be no fault if it were not too large by little.
pub(crate) fn oversized_frame(rng: &mut ChaCha8Rng, limits: &Config) -> BadFrame {
    match rng.random_bool(0.5) {
        true => BadFrame {
            name: "frame too big",
            frame: QUERY_AWARENESS.repeat(limits.frame_bytes_max + 1).into(),
            code: CloseCode::MessageTooBig,
        },
        false => {
            let clients = limits.state_vector_entries_max as u64 + 1;
            let mut vector = Vec::new();
            write_var_uint(&mut vector, clients);
            for client in 0..clients {
                write_var_uint(&mut vector, client);
                write_var_uint(&mut vector, 1);
            }
            let vector = StateVector::decode(&vector).expect("it was just written");
            BadFrame {
                name: "state vector too long",
                frame: protocol::sync_step_1(&vector),
                code: CloseCode::PolicyViolation,
            }
        }
    }
}

/// Draws a frame of any kind, to be sent only where no model client listens.
pub(crate) fn wild_frame(rng: &mut ChaCha8Rng) -> Bytes {
    let breaking = hex(BREAKING.choose(rng).expect("not empty"));
    match rng.random_range(0..4) {
        0 => {
            let len = rng.random_range(0..60);
            (0..len)
                .map(|_| rng.random::<u8>())
                .collect::<Vec<_>>()
                .into()
        }
        1 => {
            let mut update = breaking;
            let at = rng.random_range(0..update.len());
            update[at] = rng.random();
            protocol::update(&update)
        }
        _ => protocol::update(&breaking),
    }
}

/// Draws an update that breaks others, or would if the grammar took it.
pub(crate) fn crafted_update(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let malformed = MALFORMED.iter().map(|(_, update)| *update);
    let all: Vec<_> = malformed.chain(BREAKING).collect();
    hex(all.choose(rng).expect("not empty"))
}

fn awareness(states: &[(u64, &str)]) -> Vec<u8> {
    let mut message = Vec::new();
    write_var_uint(&mut message, states.len() as u64);
    for (client, state) in states {
        write_var_uint(&mut message, *client);
        write_var_uint(&mut message, 1);
        write_var_bytes(&mut message, state.as_bytes());
    }
    protocol::awareness(&message).to_vec()
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).expect("it is hex")
}

#[cfg(test)]
mod tests {
    use ysyncd_engine::{
        lib0::ReadError,
        update::{DecodeError, Update},
    };

    use super::*;

    #[test]
    fn what_is_malformed_is_refused_for_what_it_is() {
        let errors = [
            DecodeError::ClockRange,
            DecodeError::TrailingBytes,
            DecodeError::Count,
            DecodeError::Count,
            DecodeError::EmptyStruct,
            DecodeError::Json,
            DecodeError::ClockRange,
            DecodeError::SelfReference,
            DecodeError::Read(ReadError::End),
            DecodeError::Read(ReadError::End),
            DecodeError::SelfReference,
            DecodeError::EmptyStruct,
            DecodeError::Read(ReadError::Utf8),
            DecodeError::UnknownContent(11),
            DecodeError::UnknownContent(10),
            DecodeError::DocOptions,
            DecodeError::TooDeep,
        ];
        assert_eq!(MALFORMED.len(), errors.len());
        for ((name, update), error) in MALFORMED.iter().zip(errors) {
            let update = hex(update);
            assert_eq!(Update::decode(&update).err(), Some(error), "{name}");
        }
    }

    #[test]
    fn the_grammar_takes_what_breaks_others() {
        for update in BREAKING {
            assert!(Update::decode(&hex(update)).is_ok(), "{update}");
        }
    }
}
