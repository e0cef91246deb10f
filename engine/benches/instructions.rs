//! The hot paths, each alone, to have their instructions counted by callgrind:
//! figures that do not depend on what else the machine does. `scripts/instructions`
//! runs this and compares.
//!
//!     instructions                 # names what there is to measure
//!     instructions NAME            # does it once; prints how many units that were

mod workload;

use bytes::Bytes;
use ysyncd_engine::{document::DocumentState, protocol, state_vector::StateVector};

use self::workload::{
    Served, cursor, document, keystroke, recorded_snapshot, scattered, snapshot_in_turns, typed,
};

type Measure = (&'static str, fn() -> u64);

/// Names, and what does it and says how many units it did.
const MEASURES: [Measure; 14] = [
    ("apply an update of a session", apply_session),
    ("receive an update of a session", receive_session),
    (
        "receive an update of a session, journaled",
        receive_journaled,
    ),
    ("deliver a keystroke in a room of 100", keystrokes_in_room),
    ("deliver a cursor in a room of 100", cursors_in_room),
    ("load a struct of a snapshot", load_snapshot),
    ("load a KiB of a recorded snapshot", load_recorded),
    ("load a KiB that many wrote in turns", load_in_turns),
    ("apply a struct of a first update", apply_first),
    ("apply a KiB of a recorded first update", apply_recorded),
    ("encode a struct", encode),
    ("compact a struct", compact),
    ("apply a keystroke among 100000 structs", among_structs),
    ("apply a keystroke among 10000 clients", among_clients),
];

fn main() {
    // Run with what criterion's benchmarks are run with, it has nothing to do.
    let name = std::env::args()
        .skip(1)
        .find(|name| !name.starts_with("--"));
    let named = MEASURES
        .iter()
        .find(|(known, _)| Some(*known) == name.as_deref());
    match (named, name) {
        (Some((_, measure)), _) => println!("{}", measure()),
        (None, None) => MEASURES.iter().for_each(|(name, _)| println!("{name}")),
        (None, Some(name)) => eprintln!("there is no {name:?}"),
    }
}

/// Counts what something takes, after the allocator has tidied up.
fn count<T>(what: impl FnOnce() -> T) -> T {
    // What was freed until now is joined when something large is asked for next.
    // That is much after a session was read, and no part of what is measured.
    drop(std::hint::black_box(vec![1_u8; 64 << 10]));
    measured(what)
}

/// All that is counted happens in here.
#[inline(never)]
fn measured<T>(what: impl FnOnce() -> T) -> T {
    std::hint::black_box(what())
}

fn session() -> Vec<Vec<u8>> {
    let mut updates = typed("sveltecomponent").expect("the recordings; set YSYNCD_SHARED");
    updates.truncate(5_000);
    updates
}

fn apply_session() -> u64 {
    let updates = session();
    let mut state = DocumentState::default();
    count(|| {
        for update in &updates {
            state.apply(update).expect("it is an update");
        }
    });
    updates.len() as u64
}

fn receive_session() -> u64 {
    receive_session_by(Served::with(1))
}

fn receive_journaled() -> u64 {
    receive_session_by(Served::with_journal())
}

fn receive_session_by(mut served: Served) -> u64 {
    let frames: Vec<_> = session()
        .iter()
        .map(|update| protocol::update(update))
        .collect();
    count(|| receive(&mut served, &frames));
    frames.len() as u64
}

fn keystrokes_in_room() -> u64 {
    let frames: Vec<_> = (0..1_000)
        .map(|clock| protocol::update(&keystroke(1_000_000, clock)))
        .collect();
    let mut served = Served::with(100);
    served.receive(1, protocol::update(&scattered(100, 1)));
    let before = served.frames();
    count(|| receive(&mut served, &frames));
    served.frames() - before
}

fn cursors_in_room() -> u64 {
    let frames: Vec<_> = (1..=1_000).map(|clock| cursor(1, clock)).collect();
    let mut served = Served::with(100);
    let before = served.frames();
    count(|| receive(&mut served, &frames));
    served.frames() - before
}

fn receive(served: &mut Served, frames: &[Bytes]) {
    for frame in frames {
        served.receive(1, frame.clone());
    }
}

fn load_snapshot() -> u64 {
    let snapshot = scattered(20_000, 10);
    count(|| load(&snapshot));
    20_000
}

fn load_recorded() -> u64 {
    let snapshot = recorded();
    count(|| load(&snapshot));
    snapshot.len() as u64 / 1024
}

fn load_in_turns() -> u64 {
    let snapshot = snapshot_in_turns("sveltecomponent", 4, 5);
    let snapshot = snapshot.expect("the recordings; set YSYNCD_SHARED");
    count(|| load(&snapshot));
    snapshot.len() as u64 / 1024
}

fn apply_first() -> u64 {
    let update = scattered(20_000, 10);
    count(|| document([&update]));
    20_000
}

fn apply_recorded() -> u64 {
    let update = recorded();
    count(|| document([&update]));
    update.len() as u64 / 1024
}

fn recorded() -> Vec<u8> {
    recorded_snapshot("sveltecomponent", 4).expect("the recordings; set YSYNCD_SHARED")
}

fn load(snapshot: &[u8]) -> DocumentState {
    DocumentState::load(snapshot).expect("it is an update")
}

fn encode() -> u64 {
    let state = document([scattered(20_000, 10)]);
    count(|| state.diff(&StateVector::default()));
    20_000
}

fn compact() -> u64 {
    let mut state = document([scattered(20_000, 10)]);
    count(|| state.compact(true));
    20_000
}

fn among_structs() -> u64 {
    keystrokes_on(document([scattered(100_000, 1)]))
}

fn among_clients() -> u64 {
    keystrokes_on(document([scattered(10_000, 10_000)]))
}

fn keystrokes_on(mut state: DocumentState) -> u64 {
    let updates: Vec<_> = (0..1_000)
        .map(|clock| keystroke(1_000_000, clock))
        .collect();
    count(|| {
        for update in &updates {
            state.apply(update).expect("it is an update");
        }
    });
    updates.len() as u64
}
