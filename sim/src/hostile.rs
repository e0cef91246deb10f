//! Frames that break servers, and what they deserve.
//!
//! Those with a verdict are refused by the grammar whatever the document holds:
//! they may be sent to documents that model clients have open, too. The others
//! are updates that the grammar takes and that yrs 0.28.1 does not survive.

mod malformed;

use bytes::Bytes;
use rand::{RngExt, rngs::ChaCha8Rng, seq::IndexedRandom};
use ysyncd_engine::{
    CloseCode, Config,
    lib0::{write_var_bytes, write_var_uint},
    protocol,
    state_vector::StateVector,
};

use self::malformed::hex;

/// Asks who is there.
const QUERY_AWARENESS: &[u8] = &[3];

/// A frame that its sender is closed for.
#[derive(Debug, Clone)]
pub(crate) struct BadFrame {
    pub(crate) name: &'static str,
    pub(crate) frame: Bytes,
    /// What its sender is closed with. `None`: it goes on, and some or all of it is
    /// shown to nobody.
    pub(crate) code: Option<CloseCode>,
}

/// Updates that the grammar takes and that break others.
const BREAKING: [&str; 6] = [
    "0105010027010174016b0024000100016b0b68656c6c6f20776f726c64a4010506e282ac75726f87010002c601090107016904747275650101010d04",
    "01030200c401040101036162630401016d0361626384010401610101010905",
    "0101030004010174016100",
    "0104090003010161026162250009000171027b7d860900016904747275658109010200",
    "010165012801016d026b30017e00",
    "010166002801016d016b027d017d0200",
];

/// Draws a frame that its sender is to be closed for, or is shown to nobody; to
/// those of its own document in part. The clients that it tells of there are those of
/// this intruder alone.
pub(crate) fn bad_frame(
    rng: &mut ChaCha8Rng,
    state_bytes_max: usize,
    is_own: bool,
    intruder: usize,
) -> BadFrame {
    let bad = |name, frame: Vec<u8>, code| BadFrame {
        name,
        frame: frame.into(),
        code: Some(code),
    };
    let unshown = |name, frame: Vec<u8>| BadFrame {
        name,
        frame: frame.into(),
        code: None,
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
        12 if is_own => much_presence(state_bytes_max, intruder),
        7 if is_own => {
            let many: Vec<_> = (0..200).map(|id| (id, "{}")).collect();
            unshown("awareness of 200 clients", awareness(&many))
        }
        6 => unshown("awareness that is no object", awareness(&[(1, "0")])),
        7 | 12 => {
            let frame = awareness(&[(1, &large_state(state_bytes_max + 1))]);
            unshown("awareness state too big", frame)
        }
        _ => {
            let (name, update) = malformed::draw(rng);
            let frame = match rng.random_bool(0.5) {
                true => protocol::update(&update),
                false => protocol::sync_step_2(&update),
            };
            BadFrame {
                name,
                frame,
                code: Some(CloseCode::InvalidPayload),
            }
        }
    }
}

/// More presence than a connection may show, of clients of this intruder's own.
pub(crate) fn much_presence(state_bytes_max: usize, intruder: usize) -> BadFrame {
    // The first, its own, counts for its user alone.
    let state = large_state(state_bytes_max * 9 / 10);
    let first = intruder as u64 * 10 + 1;
    let states: Vec<_> = (first..first + 7).map(|id| (id, &*state)).collect();
    BadFrame {
        name: "awareness of seven large states",
        frame: awareness(&states).into(),
        code: None,
    }
}

/// Draws a frame that would be no fault if it were not too large by little.
pub(crate) fn oversized_frame(rng: &mut ChaCha8Rng, limits: &Config) -> BadFrame {
    match rng.random_bool(0.5) {
        true => BadFrame {
            name: "frame too big",
            frame: QUERY_AWARENESS.repeat(limits.frame_bytes_max + 1).into(),
            code: Some(CloseCode::MessageTooBig),
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
                code: Some(CloseCode::PolicyViolation),
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

/// Draws an update that breaks others, or would if the grammar took it. Whether it
/// must not be taken is told, too.
pub(crate) fn crafted_update(rng: &mut ChaCha8Rng) -> (Vec<u8>, bool) {
    match rng.random_bool(0.75) {
        true => (malformed::draw(rng).1, true),
        false => (hex(BREAKING.choose(rng).expect("not empty")), false),
    }
}

pub(crate) fn awareness(states: &[(u64, &str)]) -> Vec<u8> {
    let mut message = Vec::new();
    write_var_uint(&mut message, states.len() as u64);
    for (client, state) in states {
        write_var_uint(&mut message, *client);
        write_var_uint(&mut message, 1);
        write_var_bytes(&mut message, state.as_bytes());
    }
    protocol::awareness(&message).to_vec()
}

/// A state of so many bytes.
fn large_state(bytes: usize) -> String {
    format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8))
}

#[cfg(test)]
mod tests {
    use ysyncd_engine::update::Update;

    use super::*;

    #[test]
    fn the_grammar_takes_what_breaks_others() {
        for update in BREAKING {
            assert!(Update::decode(&hex(update)).is_ok(), "{update}");
        }
    }
}
