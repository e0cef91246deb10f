//! The engine against yrs, in random histories.
//!
//! What clients load from the engine must be what they load from the updates
//! themselves, however these came. yrs is the judge; where it disagrees with
//! itself, which happens, the history proves nothing and is counted.

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::SliceRandom};
use yrs::{
    Doc, IdSet, ReadTxn, Transact, Update, WriteTxn, updates::decoder::Decode,
    updates::encoder::Encode,
};
use ysyncd_engine::{
    document::{Applied, DocumentState, NewPart},
    state_vector::StateVector,
};

use crate::{
    content::{Told, apply, assert_same, load, reader, tell},
    histories::{History, random_writers},
};

const HISTORIES: u64 = 1_000;
const STEPS: usize = 60;

#[test]
fn clients_load_from_the_engine_what_the_updates_tell() {
    let mut without_judge = 0;
    for seed in 0..HISTORIES {
        let mut history = History::random(seed, STEPS);
        history.settle();
        let Some(truth) = truth(&history) else {
            without_judge += 1;
            continue;
        };
        let states = states_in_any_order(&mut history);
        for state in &states {
            check_loads(seed, &truth, state);
        }
        check_diffs(seed, &truth, &states[0], &mut history);
    }
    println!("yrs disagreed with itself in {without_judge} of {HISTORIES} histories");
    assert!(without_judge * 50 <= HISTORIES, "{without_judge}");
}

#[test]
fn peers_that_get_only_what_the_engine_relays_converge() {
    let mut without_judge = 0;
    for seed in 0..HISTORIES {
        let mut history = History::random(seed, STEPS);
        history.settle();
        match truth(&history) {
            Some(truth) => check_relay(seed, &truth, &mut history),
            None => without_judge += 1,
        }
    }
    assert!(without_judge * 50 <= HISTORIES, "{without_judge}");
}

#[test]
fn editors_that_meet_only_in_the_engine_converge() {
    let mut without_judge = 0;
    for seed in 0..HISTORIES {
        without_judge += u64::from(!edit_through_the_engine(seed));
    }
    println!("yrs disagreed with itself in {without_judge} of {HISTORIES} histories");
    assert!(without_judge * 50 <= HISTORIES, "{without_judge}");
}

/// What the updates of a history tell, if yrs tells the same however it loads
/// them.
fn truth(history: &History) -> Option<Told> {
    let told = tell(&load(&history.log));
    assert!(!told.waits, "a whole history waits for nothing");
    let merged = yrs::merge_updates_v1(&history.log).expect("yrs merges its own updates");
    let lossy = told.clone().without_big_ints();
    let mut writers = history.writers.iter().map(|writer| tell(&writer.doc));
    let agreed = tell(&load([merged])).without_big_ints() == lossy
        && writers.all(|writer| {
            let writer = writer.without_big_ints();
            writer.content == lossy.content && !writer.waits
        });
    agreed.then_some(told)
}

/// The history in engines that got it in order, and shuffled with repeats,
/// some compacting on the way.
fn states_in_any_order(history: &mut History) -> Vec<DocumentState> {
    let mut states = vec![DocumentState::default()];
    for update in &history.log {
        states[0].apply(update).unwrap();
    }
    for every in [usize::MAX, 10] {
        let mut state = DocumentState::default();
        for (at, update) in shuffled_with_repeats(&history.log, &mut history.rng)
            .into_iter()
            .enumerate()
        {
            state.apply(update).unwrap();
            state.check();
            if at % every == every - 1 {
                state.compact(history.rng.random_bool(0.5));
                state.check();
            }
        }
        states.push(state);
    }
    // A state that was compacted knows more of what is deleted.
    let mut compacted = states.clone();
    for state in &mut compacted {
        state.compact(true);
    }
    for states in [&states[..2], &compacted] {
        for state in states {
            assert_eq!(state.state_vector(), states[0].state_vector());
            assert_eq!(deletes(&state.encode()), deletes(&states[0].encode()));
            assert!(state.covers(&states[0]) && states[0].covers(state));
        }
    }
    states
}

fn shuffled_with_repeats<'a>(log: &'a [Vec<u8>], rng: &mut SmallRng) -> Vec<&'a Vec<u8>> {
    let mut order: Vec<_> = log.iter().collect();
    for _ in 0..log.len() / 5 {
        order.push(&log[rng.random_range(0..log.len())]);
    }
    order.shuffle(rng);
    order
}

fn deletes(update: &[u8]) -> IdSet {
    Update::decode_v1(update).unwrap().delete_set().clone()
}

/// A state must load as the truth before and after compaction, and encode to
/// itself.
fn check_loads(seed: u64, truth: &Told, state: &DocumentState) {
    let mut kept = state.clone();
    kept.compact(false);
    let mut collected = kept.clone();
    collected.compact(true);
    for (name, state) in [("raw", state), ("kept", &kept), ("collected", &collected)] {
        state.check();
        let bytes = state.encode();
        assert_same(
            &tell(&load([&bytes])),
            truth,
            format!("seed {seed}, {name}"),
        );
        let mut again = DocumentState::default();
        again.apply(&bytes).unwrap();
        assert!(
            again.covers(state) && state.covers(&again),
            "seed {seed}, {name}"
        );
        assert_eq!(again.apply(&bytes).unwrap().new_part, NewPart::Nothing);
        let twice = again.encode();
        let mut third = DocumentState::default();
        third.apply(&twice).unwrap();
        assert_eq!(third.encode(), twice, "seed {seed}, {name}");
    }
    let bytes = collected.encode();
    let mut again = DocumentState::default();
    again.apply(&bytes).unwrap();
    assert_eq!(again.encode(), bytes, "seed {seed}: compacted is canonical");
}

/// A diff must complete whoever knows a part of the history, whether that part
/// ends where the engine's structs do or not.
fn check_diffs(seed: u64, truth: &Told, state: &DocumentState, history: &mut History) {
    let mut compacted = state.clone();
    compacted.compact(true);
    for _ in 0..3 {
        let known = history.rng.random_range(0..=history.log.len());
        let peer = load(&history.log[..known]);
        let state = match history.rng.random_bool(0.5) {
            true => state,
            false => &compacted,
        };
        apply(&peer, &state.diff(&state_vector(&peer)));
        let which = format!("seed {seed}, peer knew {known}");
        assert_same(&tell(&peer), truth, which);
    }
}

fn state_vector(doc: &Doc) -> StateVector {
    StateVector::decode(&doc.transact().state_vector().encode_v1()).unwrap()
}

/// Peers that get what is new, and what is told again, in the order in which
/// the engine says it, must hold the truth in the end: one keeps what it cannot
/// integrate yet, one forgets it.
fn check_relay(seed: u64, truth: &Told, history: &mut History) {
    let mut state = DocumentState::default();
    let patient = reader();
    let mut strict = Strict::new();
    for update in shuffled_with_repeats(&history.log, &mut history.rng) {
        let applied = state.apply(update).unwrap();
        state.check();
        for part in relayed(&applied, update) {
            apply(&patient, part);
            strict.apply(part);
        }
    }
    let truth = &truth.clone().without_big_ints();
    let strict = tell(&strict.doc).without_big_ints();
    assert_same(&strict, truth, format!("seed {seed}, strict peer"));
    let patient = tell(&patient).without_big_ints();
    assert_same(&patient, truth, format!("seed {seed}, patient peer"));
}

/// What the engine sends on after an update.
pub(crate) fn relayed<'a>(applied: &'a Applied, update: &'a [u8]) -> Vec<&'a [u8]> {
    let new: Option<&[u8]> = match &applied.new_part {
        NewPart::Nothing => None,
        NewPart::All => Some(update),
        NewPart::Some(part) => Some(part),
    };
    new.into_iter().chain(applied.resend.as_deref()).collect()
}

/// A client that integrates at once what it gets, and forgets the structs that
/// it cannot. Yjs remembers them, but may not notice that it can go on.
pub(crate) struct Strict {
    pub(crate) doc: Doc,
}

impl Strict {
    pub(crate) fn new() -> Self {
        Self { doc: reader() }
    }

    pub(crate) fn apply(&mut self, update: &[u8]) {
        apply(&self.doc, update);
        let pruned = self.doc.transact_mut().prune_pending();
        if let Some(deletes) = pruned.map(|pruned| pruned.delete_set().encode_v1()) {
            apply(&self.doc, &[&[0][..], &deletes].concat());
        }
    }
}

/// Editors that send to the engine, in disorder, and get from it what it
/// relays. Returns whether yrs could judge the outcome.
fn edit_through_the_engine(seed: u64) -> bool {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut writers = random_writers(&mut rng);
    let mut server = Server::default();
    let mut log = Vec::new();
    let mut up: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut down: Vec<Vec<Vec<u8>>> = vec![Vec::new(); writers.len()];
    for step in 0..STEPS * 2 {
        let at = rng.random_range(0..writers.len());
        let choice = match step < STEPS {
            true => rng.random_range(0..3),
            false => rng.random_range(1..3),
        };
        match choice {
            0 => {
                let made = writers[at].edit(&mut rng);
                log.extend(made.iter().cloned());
                up.extend(made.into_iter().map(|update| (at, update)));
            }
            1 if !up.is_empty() => {
                let next = rng.random_range(0..up.len().min(4));
                let (from, update) = up[next].clone();
                if rng.random_bool(0.9) {
                    up.remove(next);
                }
                server.take(from, &update, &mut down);
            }
            _ => {
                let some = rng.random_range(0..=down[at].len());
                for part in down[at].drain(..some) {
                    apply(&writers[at].doc, &part);
                }
            }
        }
    }
    for (from, update) in up {
        server.take(from, &update, &mut down);
    }
    for (writer, parts) in writers.iter().zip(&down) {
        parts.iter().for_each(|part| apply(&writer.doc, part));
    }
    judge_editors(
        seed,
        &server.state,
        &log,
        writers.iter().map(|writer| &writer.doc),
    )
}

/// The engine between the editors. A seed does not quite make a history, since
/// yrs keeps attributes in hash maps with keys of their own; so on a failure
/// it prints what was delivered.
#[derive(Default)]
struct Server {
    state: DocumentState,
    delivered: Vec<(usize, Vec<u8>)>,
}

impl Server {
    fn take(&mut self, from: usize, update: &[u8], down: &mut [Vec<Vec<u8>>]) {
        self.delivered.push((from, update.to_vec()));
        let applied = self.state.apply(update).unwrap();
        self.state.check();
        for (to, parts) in down.iter_mut().enumerate() {
            if to != from && applied.new_part != NewPart::Nothing {
                parts.push(relayed(&applied, update)[0].to_vec());
            }
            parts.extend(applied.resend.iter().map(|resend| resend.to_vec()));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("delivered, by editor: {:02x?}", self.delivered);
        }
    }
}

fn judge_editors<'a>(
    seed: u64,
    state: &DocumentState,
    log: &[Vec<u8>],
    editors: impl Iterator<Item = &'a Doc>,
) -> bool {
    let truth = tell(&load(log));
    if tell(&load([yrs::merge_updates_v1(log).unwrap()])) != truth {
        return false;
    }
    check_loads(seed, &truth, state);
    for editor in editors {
        let told = tell(editor);
        assert!(!told.waits, "seed {seed}");
        assert_eq!(
            told.snapshot.state_map, truth.snapshot.state_map,
            "seed {seed}"
        );
        assert_eq!(told.content, truth.content, "seed {seed}");
    }
    true
}
