//! Updates that are known to break yrs 0.28.1: crash, hang, exhaust the stack
//! or the memory. None of them may cost the engine more than reading it does.

use std::time::Duration;

use cpu_time::ThreadTime;
use ysyncd_engine::{
    document::{Applied, DocumentState, NewPart},
    lib0::{ReadError, write_var_uint},
    state_vector::StateVector,
    update::{DecodeError, Update},
};

use crate::handmade::{self, Item};

/// In a debug build on a busy machine; quadratic work takes minutes.
const FAST: Duration = Duration::from_secs(15);

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
    digits.map(|pair| byte(pair).unwrap()).collect()
}

/// Does with an update all that the engine does with updates.
fn take(state: &mut DocumentState, update: &[u8]) -> Result<Applied, DecodeError> {
    let start = ThreadTime::now();
    let applied = state.apply(update)?;
    state.check();
    let mut compacted = state.clone();
    compacted.compact(true);
    compacted.check();
    for bytes in [
        state.encode(),
        compacted.encode(),
        state.diff(&StateVector::default()),
    ] {
        let mut again = DocumentState::default();
        again.apply(&bytes)?;
        assert_eq!(again.state_vector(), state.state_vector());
        assert!(again.covers(state));
    }
    assert!(start.elapsed() < FAST, "took {:?}", start.elapsed());
    Ok(applied)
}

#[track_caller]
fn refused(update: &[u8]) -> DecodeError {
    let start = ThreadTime::now();
    let error = Update::decode(update).expect_err("it is refused");
    assert!(start.elapsed() < FAST, "took {:?}", start.elapsed());
    let mut state = DocumentState::default();
    assert_eq!(state.apply(update).unwrap_err(), error);
    assert!(state.is_empty(), "nothing of it is applied");
    error
}

#[test]
fn structs_that_name_their_own_future_or_are_empty_are_refused() {
    let first = hex(
        "0203070484070708f09f9880f09f9880440210016129010174016b0267677d33010902a4090c0b68656c6c6f20776f726c640109010a05",
    );
    let second =
        hex("0204071424000106016b08f09f9880f09f9880280101610177027d347804010161000002010909000500");
    assert_eq!(refused(&first), DecodeError::SelfReference);
    assert_eq!(refused(&second), DecodeError::EmptyStruct);
}

#[test]
fn structs_that_make_integration_loop_are_only_kept() {
    let mut state = DocumentState::default();
    let first = hex(
        "0105010027010174016b0024000100016b0b68656c6c6f20776f726c64a4010506e282ac75726f87010002c601090107016904747275650101010d04",
    );
    let second = hex("01030200c401040101036162630401016d0361626384010401010101010905");
    take(&mut state, &first).unwrap();
    take(&mut state, &second).unwrap();
}

#[test]
fn clocks_past_31_bits_are_refused() {
    let at_the_end = hex("010303ffffffff0f210101780171030003000301020200050a03");
    assert_eq!(refused(&at_the_end), DecodeError::ClockRange);
    let mut state = DocumentState::default();
    take(&mut state, &hex("0101030004010174016100")).unwrap();
    let before = state.encode();
    assert!(take(&mut state, &hex("010103ffffffff0f000100")).is_err());
    assert_eq!(state.encode(), before);
}

#[test]
fn values_nested_without_end_are_refused() {
    let mut update = hex("010105000801016101");
    update.extend([0x75, 0x01].repeat(20_000));
    update.extend([0x7e, 0x00]);
    assert_eq!(refused(&update), DecodeError::TooDeep);
}

#[test]
fn types_nested_without_end_cost_no_stack() {
    let mut nested = handmade::Update::default();
    nested.push(1, 0, &Item::in_root("array").holding_type(0));
    for clock in 1..10_000 {
        nested.push(1, clock, &Item::in_type(1, clock - 1).holding_type(0));
    }
    nested.delete(1, &[(0, 1)]);
    let mut state = DocumentState::default();
    take(&mut state, &nested.encode()).unwrap();
    state.compact(true);
    assert!(state.struct_bytes() < 20, "all of it is garbage");
}

#[test]
fn counts_without_bytes_are_refused() {
    assert!(StateVector::decode(&hex("8080808002")).is_err());
    assert_eq!(refused(&hex("8080804000")), DecodeError::Count);
    let map = hex("010101000801016101768080804000");
    assert_eq!(refused(&map), DecodeError::Read(ReadError::End));
}

#[test]
fn many_clients_cost_no_more_than_their_bytes() {
    let mut vector = Vec::new();
    write_var_uint(&mut vector, 40_000);
    for client in 0..40_000_u64 {
        write_var_uint(&mut vector, client << 20);
        vector.push(1);
    }
    let start = ThreadTime::now();
    let known = StateVector::decode(&vector).unwrap();
    let mut update = handmade::Update::default();
    for client in 0..20_000 {
        update.push(client << 20, 0, &Item::garbage(1));
    }
    let mut state = DocumentState::default();
    take(&mut state, &update.encode()).unwrap();
    assert!(state.diff(&known).len() < 200_000);
    assert!(start.elapsed() < FAST, "took {:?}", start.elapsed());
}

#[test]
fn values_without_any_value_are_refused() {
    let json = hex("010102120201016d000103010b00");
    assert_eq!(refused(&json), DecodeError::EmptyStruct);
}

#[test]
fn children_of_what_is_no_type_are_only_kept() {
    let update = hex("0104090003010161026162250009000171027b7d860900016904747275658109010200");
    take(&mut DocumentState::default(), &update).unwrap();
}

#[test]
fn updates_that_wait_for_ever_cost_no_more_than_their_bytes() {
    let start = ThreadTime::now();
    let mut state = DocumentState::default();
    for client in 10..5_010 {
        let mut update = handmade::Update::default();
        update.push(client, 0, &Item::after(1, 7).text("x"));
        let applied = state.apply(&update.encode()).unwrap();
        assert_eq!(applied.new_part, NewPart::All);
    }
    let mut key = handmade::Update::default();
    key.push(1, 0, &Item::in_root("text").text("12345678"));
    assert!(take(&mut state, &key.encode()).unwrap().resend.is_some());
    assert!(start.elapsed() < FAST, "took {:?}", start.elapsed());
}

#[test]
fn conflicts_without_end_cost_no_more_than_their_bytes() {
    let mut update = handmade::Update::default();
    for client in 1..8_000 {
        update.push(client, 0, &Item::in_root("text").text("x"));
    }
    let ranges: Vec<_> = (0..30_000).rev().map(|at| (2 * at, 1)).collect();
    update.delete(9_000, &ranges);
    take(&mut DocumentState::default(), &update.encode()).unwrap();
}

#[test]
fn what_follows_a_gap_is_relayed_as_it_came() {
    let update = hex("010165012801016d026b30017e00");
    let mut state = DocumentState::default();
    let applied = take(&mut state, &update).unwrap();
    assert_eq!(applied.new_part, NewPart::All);
    assert_eq!(state.encode(), update);
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut update = hex("0101030004010174016100");
    update.push(0);
    assert_eq!(refused(&update), DecodeError::TrailingBytes);
}
