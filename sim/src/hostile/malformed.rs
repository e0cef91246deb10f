//! Updates that the grammar refuses whatever the document holds.

use data_encoding::HEXLOWER;
use rand::{RngExt, rngs::ChaCha8Rng};

/// Whole updates.
const UPDATES: [(&str, &str); 12] = [
    (
        "clock + len past 2^31",
        "010303ffffffff0f210101780171030003000301020200050a03",
    ),
    ("trailing byte", "000000"),
    ("2^27 clients in a few bytes", "80808040"),
    ("2^29 clients in a few bytes", "8080808002"),
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
    ("a skip that names an origin", "010101008a0500"),
    (
        "a root that is called by no UTF-8",
        "01010100040102fffe016100",
    ),
];

/// What a struct must not hold: what is wrong with it, its kind as `contentRefs`
/// of Yjs numbers them, and the rest.
const CONTENTS: [(&str, u8, &[u8]); 26] = [
    ("nothing that is deleted", 1, b"\x00"),
    ("no JSON at all", 2, b"\x00"),
    ("JSON that is cut short", 2, b"\x01\x01{"),
    ("JSON that is no UTF-8", 2, b"\x01\x04\"\xff\xfe\""),
    ("bytes that are cut short", 3, b"\x09\x01"),
    ("text that is no UTF-8", 4, b"\x02\xff\xfe"),
    ("no text", 4, b"\x00"),
    ("an embed that is no JSON", 5, b"\x01{"),
    ("an embed of undefined", 5, b"\x09undefined"),
    ("an embed that is no UTF-8", 5, b"\x04\"\xff\xfe\""),
    (
        "a mark that is called by no UTF-8",
        6,
        b"\x02\xff\xfe\x04null",
    ),
    ("a mark whose value is no JSON", 6, b"\x01b\x04True"),
    ("a mark whose value is undefined", 6, b"\x01b\x09undefined"),
    ("a type of an unknown kind", 7, b"\x07"),
    (
        "an element that is called by no UTF-8",
        7,
        b"\x03\x02\xff\xfe",
    ),
    ("a hook that is called by no UTF-8", 7, b"\x05\x02\xff\xfe"),
    ("no value at all", 8, b"\x00"),
    ("a value of an unknown kind", 8, b"\x01\x73"),
    ("a value that is no UTF-8", 8, b"\x01\x77\x02\xff\xfe"),
    ("a key that is no UTF-8", 8, b"\x01\x76\x01\x02\xff\xfe\x7e"),
    ("lists that stand in each other 65 deep", 8, &DEEP),
    (
        "a subdocument that is called by no UTF-8",
        9,
        b"\x02\xff\xfe\x76\x00",
    ),
    ("a subdocument without options", 9, b"\x01g\x7e"),
    (
        "a subdocument of two names",
        9,
        b"\x01g\x76\x01\x04guid\x77\x01h",
    ),
    (
        "a subdocument with a filter",
        9,
        b"\x01g\x76\x01\x08gcFilter\x7e",
    ),
    ("content of an unknown kind", 11, b"\x01a"),
];

/// One value: 65 lists of one, the innermost of nothing.
const DEEP: [u8; 131] = {
    let mut bytes = [0x75; 131];
    let mut at = 0;
    while at < 131 {
        bytes[at] = if at == 130 { 0 } else { 1 };
        at += 2;
    }
    bytes
};

/// Draws one, and what is wrong with it.
pub(super) fn draw(rng: &mut ChaCha8Rng) -> (&'static str, Vec<u8>) {
    nth(rng.random_range(0..UPDATES.len() + CONTENTS.len()))
}

fn nth(at: usize) -> (&'static str, Vec<u8>) {
    match UPDATES.get(at) {
        Some((name, update)) => (name, hex(update)),
        None => {
            let (name, kind, content) = CONTENTS[at - UPDATES.len()];
            (name, holding(kind, content))
        }
    }
}

/// An update of one struct of client 1, in the root `t`, and no deletes.
fn holding(kind: u8, content: &[u8]) -> Vec<u8> {
    let start = [1, 1, 1, 0, kind, 1, 1, b't'];
    [&start, content, &[0]].concat()
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).expect("it is hex")
}

#[cfg(test)]
mod tests {
    use ysyncd_engine::{
        lib0::ReadError,
        update::{DecodeError, Update},
    };

    use super::*;

    const NO_UTF_8: DecodeError = DecodeError::Read(ReadError::Utf8);
    const CUT_SHORT: DecodeError = DecodeError::Read(ReadError::End);

    #[test]
    fn what_is_malformed_is_refused_for_what_it_is() {
        let of_updates = [
            DecodeError::ClockRange,
            DecodeError::TrailingBytes,
            DecodeError::Count,
            DecodeError::Count,
            DecodeError::ClockRange,
            DecodeError::SelfReference,
            CUT_SHORT,
            CUT_SHORT,
            DecodeError::SelfReference,
            DecodeError::EmptyStruct,
            DecodeError::UnknownContent(10),
            NO_UTF_8,
        ];
        let of_contents = [
            DecodeError::EmptyStruct,
            DecodeError::EmptyStruct,
            DecodeError::Json,
            NO_UTF_8,
            CUT_SHORT,
            NO_UTF_8,
            DecodeError::EmptyStruct,
            DecodeError::Json,
            DecodeError::Json,
            NO_UTF_8,
            NO_UTF_8,
            DecodeError::Json,
            DecodeError::Json,
            DecodeError::UnknownType(7),
            NO_UTF_8,
            NO_UTF_8,
            DecodeError::EmptyStruct,
            DecodeError::UnknownAny(115),
            NO_UTF_8,
            NO_UTF_8,
            DecodeError::TooDeep,
            NO_UTF_8,
            DecodeError::DocOptions,
            DecodeError::DocOptions,
            DecodeError::DocOptions,
            DecodeError::UnknownContent(11),
        ];
        let errors = of_updates.into_iter().chain(of_contents);
        for (at, error) in errors.enumerate() {
            let (name, update) = nth(at);
            assert_eq!(Update::decode(&update).err(), Some(error), "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_what_the_struct_holds() {
        for (kind, content) in [(1, &b"\x01"[..]), (5, b"\x04null"), (8, b"\x01\x75\x00")] {
            assert!(Update::decode(&holding(kind, content)).is_ok(), "{kind}");
        }
    }
}
