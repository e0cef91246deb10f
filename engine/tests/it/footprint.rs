//! What a document takes in memory, in proportion to the bytes that it is
//! saved as. Counted is what is asked of the allocator, the same everywhere.

use allocation_counter::measure;
use ysyncd_engine::{
    document::DocumentState,
    lib0::{write_var_bytes, write_var_uint},
};

use crate::traces::session;

/// Memory per byte, once loaded and at the worst moment of loading.
#[derive(Debug)]
struct Footprint {
    loaded: f64,
    #[expect(dead_code, reason = "it is there to be printed")]
    peak: f64,
}

#[test]
fn recorded_sessions_take_one_and_a_half_times_their_bytes() {
    for name in ["automerge-paper", "sveltecomponent"] {
        if let Some(updates) = session(name) {
            assert_footprint(name, &snapshot(updates), 1.5);
        }
    }
}

#[test]
fn the_smallest_structs_take_one_and_a_half_times_their_bytes() {
    assert_footprint("200000 structs", &scattered(200_000, 1), 1.5);
    assert_footprint("of 100 clients", &scattered(200_000, 100), 1.5);
}

#[test]
fn a_document_that_is_all_deleted_takes_little_more_than_its_bytes() {
    let mut all = scattered(200_000, 1);
    all.pop();
    all.extend([1, 1]);
    write_var_uint(&mut all, 100_000);
    for clock in 0..100_000 {
        write_var_uint(&mut all, 2 * clock);
        all.push(1);
    }
    assert_footprint("every other deleted", &all, 2.5);
}

/// Each time that a page is opened is a client, and many type but once.
#[test]
fn a_client_of_one_struct_takes_little_more_than_a_block() {
    const CLIENTS: u64 = 10_000;
    let encoded = scattered(CLIENTS, CLIENTS);
    let mut state = DocumentState::default();
    let taken = measure(|| drop(state.apply(&encoded).unwrap()));
    let each = taken.bytes_current.cast_unsigned() / CLIENTS;
    println!("{each} bytes for a client, {taken:?}");
    assert!(each <= 250, "{each} bytes");
}

fn assert_footprint(name: &str, encoded: &[u8], most: f64) {
    let footprint = footprint(encoded);
    println!("{name}, {} bytes: {footprint:.2?}", encoded.len());
    assert!(footprint.loaded <= most, "{name}: {footprint:?}");
}

#[expect(
    clippy::cast_precision_loss,
    reason = "these are ratios of small numbers"
)]
fn footprint(encoded: &[u8]) -> Footprint {
    let mut state = DocumentState::default();
    let allocated = measure(|| state = DocumentState::load(encoded).unwrap());
    Footprint {
        loaded: allocated.bytes_current as f64 / encoded.len() as f64,
        peak: allocated.bytes_max as f64 / encoded.len() as f64,
    }
}

/// What is saved of a document that these updates made.
fn snapshot(updates: Vec<Vec<u8>>) -> Vec<u8> {
    let mut state = DocumentState::default();
    for update in updates {
        state.apply(&update).unwrap();
    }
    state.compact(true);
    state.encode().to_vec()
}

/// So many structs of one letter, of so many clients: none continues another.
fn scattered(structs: u64, clients: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_uint(&mut out, clients);
    for client in (1..=clients).rev() {
        write_var_uint(&mut out, structs / clients);
        write_var_uint(&mut out, client);
        write_var_uint(&mut out, 0);
        for clock in 0..structs / clients {
            match (client, clock) {
                (1, 0) => out.extend([4, 1, 1, b't']),
                // All behind the first letter of all.
                _ => out.extend([0x84, 1, 0]),
            }
            write_var_bytes(&mut out, b"a");
        }
    }
    out.push(0);
    out
}
