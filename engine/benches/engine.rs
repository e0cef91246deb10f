//! What the engine costs, on recorded sessions and on documents of any size.
//!
//!     cargo bench -p ysyncd-engine                 # all
//!     cargo bench -p ysyncd-engine -- apply        # those with this in their name
//!
//! Machines are noisy: compare what ran together. For figures that are the same
//! everywhere there is `scripts/instructions`.

mod workload;

use std::{hint::black_box, time::Duration};

use criterion::{
    BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use ysyncd_engine::{document::DocumentState, protocol, state_vector::StateVector, update::Update};

use self::workload::{
    Served, cursor, document, keystroke, recorded_snapshot, scattered, snapshot_in_turns, typed,
};

/// Structs and clients of documents, from small to the largest that may be.
const SIZES: [(u64, u64); 4] = [(10_000, 1), (100_000, 1), (1_000_000, 1), (100_000, 10_000)];

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = recorded, update_on_document, whole_document, fan_out, awareness
}
criterion_main!(benches);

/// Whole sessions, an update after the other.
fn recorded(c: &mut Criterion) {
    let mut group = c.benchmark_group("recorded");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for name in ["automerge-paper", "sveltecomponent"] {
        let Some(updates) = typed(name) else {
            println!("skipped: no recording {name}; set YSYNCD_SHARED");
            continue;
        };
        group.throughput(Throughput::Elements(updates.len() as u64));
        group.bench_function(BenchmarkId::new("decode", name), |b| {
            b.iter(|| {
                for update in &updates {
                    black_box(Update::decode(update)).expect("it is an update");
                }
            });
        });
        group.bench_function(BenchmarkId::new("apply", name), |b| {
            b.iter(|| document(&updates));
        });
        let frames: Vec<_> = updates
            .iter()
            .map(|update| protocol::update(update))
            .collect();
        group.bench_function(BenchmarkId::new("engine", name), |b| {
            b.iter(|| {
                let mut served = Served::with(1);
                for frame in &frames {
                    served.receive(1, frame.clone());
                }
                served
            });
        });
    }
}

/// One update more, on documents of all sizes: the cost is to be the same.
fn update_on_document(c: &mut Criterion) {
    let mut group = c.benchmark_group("keystroke on a document");
    for (structs, clients) in SIZES {
        let mut state = document([scattered(structs, clients)]);
        let (writer, mut clock) = (1_000_000, 0);
        let size = format!("{structs} structs of {clients}");
        group.bench_function(BenchmarkId::new("apply", size), |b| {
            b.iter_batched(
                || {
                    clock += 1;
                    keystroke(writer, clock - 1)
                },
                |update| state.apply(&update).map(drop),
                BatchSize::SmallInput,
            );
        });
    }
}

/// What is done with a whole document now and then.
fn whole_document(c: &mut Criterion) {
    // About a megabyte, as most documents are: text, and what was deleted of it.
    let paper = recorded_snapshot("automerge-paper", 4);
    let mut documents = vec![
        ("100000 structs", scattered(100_000, 1)),
        ("100000 structs of 10000", scattered(100_000, 10_000)),
    ];
    documents.extend(paper.map(|paper| ("4 of automerge-paper", paper)));
    let in_turns = snapshot_in_turns("automerge-paper", 4, 5);
    documents.extend(in_turns.map(|paper| ("4 of automerge-paper, 5 writers each", paper)));
    let mut group = c.benchmark_group("whole document");
    for (name, encoded) in &documents {
        let state = document([encoded]);
        let ours = state.state_vector();
        let id = |what| BenchmarkId::new(what, name);
        group.throughput(Throughput::Bytes(encoded.len() as u64));
        group.bench_function(id("load a snapshot"), |b| {
            b.iter(|| DocumentState::load(encoded));
        });
        group.bench_function(id("apply to nothing"), |b| b.iter(|| document([encoded])));
        group.bench_function(id("encode"), |b| b.iter(|| state.encode()));
        group.bench_function(id("diff to one who has all"), |b| {
            b.iter(|| state.diff(&ours));
        });
        group.bench_function(id("diff to one who has nothing"), |b| {
            b.iter(|| state.diff(&StateVector::default()));
        });
        group.bench_function(id("merge with itself"), |b| {
            let mut state = state.clone();
            b.iter(|| state.apply(encoded).map(drop));
        });
        group.bench_function(id("compact"), |b| {
            let compacted = |mut state: DocumentState| {
                state.compact(true);
                state
            };
            b.iter_batched(|| state.clone(), compacted, BatchSize::LargeInput);
        });
        group.bench_function(id("how deep types stand"), |b| b.iter(|| state.nesting()));
    }
}

/// One writes, all others are told.
fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("keystroke in a room");
    for connections in [2, 100, 1_000] {
        let mut served = Served::with(connections);
        served.receive(1, protocol::update(&scattered(100, 1)));
        let (writer, mut clock) = (1_000_000, 0);
        group.throughput(Throughput::Elements(connections - 1));
        group.bench_function(BenchmarkId::from_parameter(connections), |b| {
            b.iter_batched(
                || {
                    clock += 1;
                    protocol::update(&keystroke(writer, clock - 1))
                },
                |frame| served.receive(1, frame),
                BatchSize::SmallInput,
            );
        });
        assert!(served.frames() > clock * (connections - 1), "all are told");
    }
}

/// Somebody's cursor moves, all are told, the sender too.
fn awareness(c: &mut Criterion) {
    let mut group = c.benchmark_group("cursor in a room");
    for connections in [2, 100, 1_000] {
        let mut served = Served::with(connections);
        let mut moves = 0;
        let mut next = || {
            moves += 1;
            let client = 1 + moves % connections;
            (client, cursor(client, moves))
        };
        for _ in 0..connections {
            let (client, frame) = next();
            served.receive(client, frame);
        }
        group.throughput(Throughput::Elements(connections));
        group.bench_function(BenchmarkId::from_parameter(connections), |b| {
            b.iter_batched(
                &mut next,
                |(client, frame)| served.receive(client, frame),
                BatchSize::SmallInput,
            );
        });
    }
}
