use bytes::Bytes;
use proptest::prelude::*;
use yrs::{Any, Array, ArrayPrelim, Doc, Map, MapPrelim, ReadTxn, StateVector, Text, Transact};
use ysyncd_engine::{
    Condition, ConnId, DocId, Input, JournalCommand, OpId, Output, Position, StoreCommand,
    StoreError, StoreResult, lib0::write_var_bytes, protocol,
};

use super::*;

/// A document of client 3 with something of everything.
fn sample() -> Vec<u8> {
    let doc = Doc::with_client_id(3);
    let (text, map) = (doc.get_or_insert_text("text"), doc.get_or_insert_map("map"));
    let array = doc.get_or_insert_array("array");
    let mut txn = doc.transact_mut();
    text.insert(&mut txn, 0, "hello");
    text.insert(&mut txn, 2, "\u{1f600}");
    text.remove_range(&mut txn, 0, 1);
    map.insert(&mut txn, "k", "v\n");
    map.insert(&mut txn, "k", MapPrelim::from([("n", Any::from(-70))]));
    array.insert_range(
        &mut txn,
        0,
        [Any::Null, true.into(), 1.5.into(), "x".into()],
    );
    array.insert(&mut txn, 0, ArrayPrelim::from([1_i32]));
    txn.encode_state_as_update_v1(&StateVector::default())
}

#[test]
fn an_update_is_told_struct_by_struct() {
    let told = update_lines(&sample(), 60, 100);
    let expected = [
        r#"client 3 [0..1) String "h" in "text""#,
        r#"client 3 [1..2) String "e" after (3,0)"#,
        r#"client 3 [2..5) String "llo" after (3,1)"#,
        r#"client 3 [5..7) String "😀" after (3,1) before (3,2)"#,
        r#"client 3 [7..8) Any "v\n" in "map" at "k""#,
        r#"client 3 [8..9) new Map after (3,7)"#,
        r#"client 3 [9..10) Any -70 in (3,8) at "n""#,
        r#"client 3 [10..14) Any null, true, 1.5, "x" in "array""#,
        r#"client 3 [14..15) new Array before (3,10)"#,
        r#"client 3 [15..16) Any 1 in (3,14)"#,
        "deletes client 3 [0..1)",
        "deletes client 3 [7..8)",
    ];
    assert_eq!(told, expected);
}

/// What yrs does not make, or not as easily.
#[test]
fn rare_contents_are_told() {
    #[rustfmt::skip]
    let contents: [(&[u8], &str); 10] = [
        (&[0, 5], "GC"),
        (&[1, 1, 1, b't', 5], r#"Deleted in "t""#),
        (&[2, 1, 1, b't', 1, 1, b'7'], r#"JSON 7 in "t""#),
        (&[3, 1, 1, b't', 2, 0, 0], r#"Binary of 2 bytes in "t""#),
        (&[5, 1, 1, b't', 2, b'{', b'}'], r#"Embed {} in "t""#),
        (&[6, 1, 1, b't', 1, b'b', 4, b't', b'r', b'u', b'e'], r#"Format b = true in "t""#),
        (&[7, 1, 1, b't', 3, 1, b'p'], r#"new XmlElement "p" in "t""#),
        (&[8, 1, 1, b't', 1, 122, 0, 0, 0, 0, 0, 0, 1, 0], r#"Any 256n in "t""#),
        (&[8, 1, 1, b't', 1, 116, 2, 0, 0], r#"Any 2 binary bytes in "t""#),
        (&[9, 1, 1, b't', 1, b'g', 118, 1, 1, b'a', 121], r#"Document "g" {"a": false} in "t""#),
    ];
    for (content, told) in contents {
        let bytes = [&[1, 1, 9, 0], content, &[0]].concat();
        let clocks = update(&bytes);
        let (_, rest) = clocks.split_once(") ").unwrap_or(("", &clocks));
        assert_eq!(rest, told);
    }
    // Skipped clocks between two others.
    let skip = [1, 3, 9, 0, 0, 1, 10, 4, 0, 1, 0];
    assert_eq!(
        update(&skip),
        "client 9 [0..1) GC; client 9 [1..5) Skip; client 9 [5..6) GC"
    );
}

#[test]
fn frames_are_told_in_one_line() {
    let typed = [1, 1, 3, 17, 0x84, 3, 16, 3, b'a', b'b', b'c', 1, 4, 1, 2, 3];
    let cases: [(&[u8], &str); 14] = [
        (
            &protocol::update(&typed),
            "Update: client 3 [17..20) String \"abc\" after (3,16); deletes client 4 [2..5)",
        ),
        (&protocol::sync_step_2(&[0, 0]), "SyncStep2: nothing"),
        (&[0, 0, 3, 1, 3, 17], "SyncStep1 {client 3: 17}"),
        (&[0, 0, 1, 0], "SyncStep1 {}"),
        (&[0, 0], "SyncStep1 without a state vector"),
        (
            &[
                1, 13, 2, 7, 1, 2, b'{', b'}', 8, 3, 4, b'n', b'u', b'l', b'l',
            ],
            "Awareness: client 7 at 1 {}; client 8 at 3 gone",
        ),
        (&protocol::keepalive(), "Awareness: nobody"),
        (&[3, 3], "QueryAwareness; QueryAwareness"),
        (
            &protocol::permission_denied("full"),
            "permission denied: full",
        ),
        (&[], "an empty frame"),
        (&[9], "malformed: unknown message type 9"),
        (
            &[3, 2],
            "QueryAwareness; malformed: auth messages come from servers only",
        ),
        (&[0, 2, 5, 1], "malformed: unexpected end"),
        (
            &[0, 2, 2, 1, 1],
            "Update: malformed: a count exceeds the bytes that follow",
        ),
    ];
    for (bytes, told) in cases {
        assert_eq!(frame(bytes), told);
    }
}

#[test]
fn kinds_are_those_of_the_first_message() {
    assert_eq!(kind(&protocol::sync_step_2(&[0, 0])), ArrowKind::Sync);
    assert_eq!(kind(&protocol::update(&[])), ArrowKind::Update);
    assert_eq!(kind(&[3, 9]), ArrowKind::Awareness);
    assert_eq!(kind(&[0, 0]), ArrowKind::Frame);
    assert_eq!(kind(&[9]), ArrowKind::Frame);
}

#[test]
fn a_frame_is_told_in_full_with_its_bytes() {
    let typed = [
        1, 2, 7, 0, 4, 1, 1, b't', 2, b'h', b'i', 0xc4, 7, 1, 8, 0, 1, b'!', 0,
    ];
    let explained = explained_frame(&protocol::update(&typed));
    assert_eq!(
        explained.detail,
        "Update: client 7 [0..2) String \"hi\" in \"t\"\n  \
         client 7 [2..3) String \"!\" after (7,1) before (8,0)\n\
         22 bytes: 00 02 13 01 02 07 00 04 01 01 74 02 68 69 c4 07 01 08 00 01 21 00"
    );
}

#[test]
fn what_could_be_mistaken_for_something_else_is_escaped() {
    let state = "{\"\u{202e}\u{1b}[0m\"}";
    let mut states = vec![1, 7, 1];
    write_var_bytes(&mut states, state.as_bytes());
    let told = awareness(&states);
    assert_eq!(told, "client 7 at 1 {\"\\u{202e}\\u{1b}[0m\"}");
    assert!(!frame(&protocol::permission_denied("\u{202e}")).contains('\u{202e}'));
}

#[test]
fn commands_and_answers_are_told() {
    let doc = DocId::new("notes").unwrap();
    let update = Bytes::from_static(&[1, 1, 7, 0, 4, 1, 1, b't', 2, b'h', b'i', 0]);
    let command = JournalCommand::Append {
        doc: doc.clone(),
        position: Position(4),
        update: update.clone(),
    };
    let append = Output::Journal {
        op: OpId(2),
        command,
    };
    assert_eq!(
        output(&append).text,
        "journal 2: append notes #4: 12 bytes: client 7 [0..2) String \"hi\" in \"t\""
    );
    let command = StoreCommand::Save {
        doc,
        body: update.clone(),
        condition: Condition::Absent,
    };
    assert_eq!(
        store_command(&command).text,
        "save notes if absent: 12 bytes: client 7 [0..2) String \"hi\" in \"t\""
    );
    let result = StoreResult::Saved(Err(StoreError::Conflict));
    let answer = Input::Store {
        op: OpId(3),
        result,
    };
    assert_eq!(
        input(&answer).text,
        "store 3: not saved: the stored snapshot is not the one that was expected"
    );
    let received = Input::Received {
        conn: ConnId(5),
        bytes: protocol::update(&update),
    };
    let explained = input(&received);
    assert_eq!(
        explained.text,
        "5: Update: client 7 [0..2) String \"hi\" in \"t\""
    );
    assert!(
        explained.detail.contains("15 bytes: 00 02 0c"),
        "{}",
        explained.detail
    );
}

/// However much there is, somebody has to read it.
fn check_short(bytes: &[u8]) {
    let explained = explained_frame(bytes);
    assert!(
        explained.text.len() <= Explained::TEXT_BYTES_MAX + 30,
        "{}",
        explained.text
    );
    assert!(
        !explained.text.contains(['\n', '\u{1b}']),
        "{:?}",
        explained.text
    );
    assert!(explained.detail.len() <= Explained::DETAIL_BYTES_MAX + 30);
    let _ = kind(bytes);
    for told in [update(bytes), awareness(bytes), state_vector(bytes)] {
        assert!(!told.is_empty());
    }
}

#[test]
fn large_things_are_told_shortly() {
    check_short(&[3; 100_000]);
    let mut states = Vec::new();
    ysyncd_engine::lib0::write_var_uint(&mut states, 5_000);
    (0..5_000).for_each(|_| states.extend([7, 1, 2, b'{', b'}']));
    check_short(&protocol::awareness(&states));
    let mut nested = vec![1, 1, 7, 0, 8, 1, 1, b'a', 1];
    nested.extend([117, 1].repeat(60));
    nested.extend([126, 0]);
    assert!(
        !update(&nested).contains("malformed"),
        "{}",
        update(&nested)
    );
    check_short(&protocol::update(&nested));
    let doc = Doc::with_client_id(9);
    let text = doc.get_or_insert_text("text");
    text.insert(&mut doc.transact_mut(), 0, &"é".repeat(50_000));
    let update = doc
        .transact()
        .encode_state_as_update_v1(&StateVector::default());
    check_short(&protocol::sync_step_2(&update));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_short(&bytes);
    }

    #[test]
    fn no_messages_make_it_panic(
        lead in prop::sample::select(vec![&[0, 0][..], &[0, 1], &[0, 2], &[1], &[2, 0], &[2, 1]]),
        payload in prop::collection::vec(prop_oneof![0..12_u8, 116..128_u8, any::<u8>()], 0..120),
    ) {
        let mut frame = lead.to_vec();
        write_var_bytes(&mut frame, &payload);
        check_short(&frame);
    }

    /// Most that is nearly an update breaks a rule late, or none.
    #[test]
    fn no_damage_to_an_update_makes_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = sample();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        check_short(&protocol::update(&bytes));
        check_short(&protocol::update(&bytes[..at]));
    }
}
