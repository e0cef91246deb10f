//! Nothing costs more because a document is large. Times are compared with
//! each other, never with a clock on the wall.

use std::time::Duration;

use cpu_time::ThreadTime;
use ysyncd_engine::{
    document::{Ahead, DocumentState},
    lib0::write_var_uint,
    update::Update,
};

use super::wire;

/// How long it takes to type behind something, the best of some tries.
fn typing_behind(first: &[u8]) -> Duration {
    let before = wire::update(&[(1, 0, vec![first.to_vec()])], &[]);
    let mut keystrokes = vec![wire::update(&[(1, 1, vec![wire::first_text("a")])], &[])];
    let more = (2..10_000).map(|clock| wire::text(1, clock, "a"));
    keystrokes.extend(more);
    let one_try = || {
        let mut state = DocumentState::default();
        state.apply(&before).expect("an update");
        let start = ThreadTime::now();
        for keystroke in &keystrokes {
            state.apply(keystroke).expect("an update");
        }
        start.elapsed()
    };
    (0..10).map(|_| one_try()).min().expect("some tries")
}

#[test]
fn typing_behind_a_map_entry_costs_what_it_costs_elsewhere() {
    let elsewhere = typing_behind(&wire::first_text("x"));
    let behind_entry = typing_behind(&wire::map_entry("k", 5));
    assert!(
        behind_entry < 5 * elsewhere,
        "{behind_entry:?}, not {elsewhere:?}"
    );
}

/// How long it takes to see that an update tells nothing new which names all that
/// one client has written again and again, the best of some tries.
fn seeing_nothing_new(letters: u64, first: u64) -> Duration {
    let mut state = DocumentState::default();
    for clock in first..first + letters {
        // Each begins anew, so that none is joined with the last.
        let letter = wire::first_text("a");
        let update = wire::update(&[(1, clock, vec![letter])], &[]);
        state.apply(&update).expect("an update");
    }
    let mut gc = vec![0];
    write_var_uint(&mut gc, letters);
    let again = wire::update(&vec![(1, first, vec![gc]); 1_000], &[]);
    let again = Update::decode(&again).expect("an update");
    let one_try = || {
        let start = ThreadTime::now();
        assert!(!state.lacks(&again));
        start.elapsed()
    };
    (0..10).map(|_| one_try()).min().expect("some tries")
}

#[test]
fn to_see_that_nothing_is_new_costs_no_more_in_a_large_document() {
    // From the first clock on, and behind a gap.
    for first in [0, 1] {
        let small = seeing_nothing_new(100, first);
        let large = seeing_nothing_new(1_000_000, first);
        assert!(large < 10 * small, "{first}: {large:?}, not {small:?}");
    }
}

/// What it takes for each byte to answer one who asks for a document of many
/// clients, and what to see that an update tells nothing new, the best of some
/// tries.
fn asking_and_telling_again(clients: u64) -> (Duration, Duration) {
    let letter = |client| (client, 0, vec![wire::first_text("a")]);
    let sections: Vec<_> = (1..=clients).rev().map(letter).collect();
    let update = wire::update(&sections, &[]);
    let state = DocumentState::load(&update).expect("an update");
    let best = |mut once: Box<dyn FnMut() + '_>| {
        let one_try = |_| {
            let start = ThreadTime::now();
            once();
            start.elapsed()
        };
        (0..10).map(one_try).min().expect("some tries")
    };
    let asks = best(Box::new(|| assert_eq!(state.encode().len(), update.len())));
    let tells = best(Box::new(|| {
        let again = Update::decode(&update).expect("an update");
        assert!(!state.lacks(&again));
    }));
    (asks, tells)
}

#[test]
fn to_ask_for_a_document_of_many_clients_costs_about_what_it_costs_to_tell_it() {
    let (asks, tells) = asking_and_telling_again(50_000);
    assert!(asks < 4 * tells, "{asks:?}, not {tells:?}");
}

/// Letters of one client, the last first, each a section of its own.
fn backwards(letters: u64) -> Vec<wire::Section> {
    let letter = |clock| (1, clock, vec![wire::text_after(2, 0, "a")]);
    (0..letters).rev().map(letter).collect()
}

fn time_to_apply(updates: &[Vec<u8>]) -> Duration {
    let one_try = |_| {
        let mut state = DocumentState::default();
        let start = ThreadTime::now();
        for update in updates {
            state.apply(update).expect("an update");
        }
        start.elapsed()
    };
    (0..3).map(one_try).min().expect("some tries")
}

#[test]
fn what_comes_backwards_costs_about_what_it_costs_forwards() {
    let sections = backwards(100_000);
    let backwards = time_to_apply(&[wire::update(&sections, &[])]);
    let forwards: Vec<_> = sections.into_iter().rev().collect();
    let forwards = time_to_apply(&[wire::update(&forwards, &[])]);
    assert!(backwards < 5 * forwards, "{backwards:?}, not {forwards:?}");
}

#[test]
fn updates_that_come_backwards_do_not_cost_more_the_more_there_are() {
    let apart = |letters| -> Vec<_> {
        let sections = backwards(letters).into_iter();
        sections
            .map(|section| wire::update(&[section], &[]))
            .collect()
    };
    let (few, many) = (
        time_to_apply(&apart(10_000)),
        time_to_apply(&apart(100_000)),
    );
    assert!(many < 30 * few, "{many:?}, not {few:?}");
}

/// A section of garbage, each unit so many clocks after the last.
fn scattered(from: u64, every: u8, times: u32) -> wire::Section {
    let units = (0..times).flat_map(|_| [vec![0, 1], vec![10, every - 1]]);
    (1, from, units.collect())
}

/// Sections of one client, each struct of which comes between two of the other's.
fn interleaved(times: u32) -> [wire::Section; 2] {
    [scattered(0, 6, times), scattered(3, 6, times)]
}

#[test]
fn what_interleaves_costs_no_more_the_more_there_is() {
    let update = |times: u32| {
        let mut rest = vec![0];
        write_var_uint(&mut rest, 6 * u64::from(times));
        let rest: [wire::Section; 2] = [(1, 1, vec![vec![0, 4]]), (1, 5, vec![rest])];
        wire::update(&[&interleaved(times)[..], &rest].concat(), &[])
    };
    let (few, many) = (
        time_to_apply(&[update(5_000)]),
        time_to_apply(&[update(50_000)]),
    );
    assert!(many < 30 * few, "{many:?}, not {few:?}");
}

#[test]
fn what_is_of_use_of_an_update_costs_no_more_the_more_there_is() {
    let time = |times| {
        let update = wire::update(&interleaved(times), &[]);
        let update = Update::decode(&update).expect("an update");
        let state = DocumentState::default();
        let one_try = |_| {
            let start = ThreadTime::now();
            let _ = state.part_of_use(&update, &Ahead::default());
            start.elapsed()
        };
        (0..3).map(one_try).min().expect("some tries")
    };
    let (few, many) = (time(5_000), time(50_000));
    assert!(many < 30 * few, "{many:?}, not {few:?}");
}

/// How long it takes to judge and to apply a thousand updates, of which each leaves
/// one more delete waiting or lets one of many come, the best of some tries.
/// `waiting` are deleted before, and the updates tell of the first client.
fn time_where_deletes_wait(waiting: &[wire::Deleted]) -> Duration {
    let mut before = DocumentState::default();
    before
        .apply(&wire::update(&[], waiting))
        .expect("an update");
    let letters = (0..1_000).map(|clock| {
        let letter = (1, clock, vec![wire::text_after(2, 0, "a")]);
        wire::update(&[letter], &[(1, 10_000_000 + 2 * clock, 1)])
    });
    let letters: Vec<_> = letters.collect();
    let one_try = |_| {
        let mut state = before.clone();
        let start = ThreadTime::now();
        for letter in &letters {
            let update = Update::decode(letter).expect("an update");
            let foretold = state.pending_after(&update);
            state.apply_decoded(&update);
            assert_eq!(state.pending(), foretold);
        }
        start.elapsed()
    };
    (0..5).map(one_try).min().expect("some tries")
}

#[test]
fn what_leaves_a_delete_waiting_costs_no_more_where_many_wait() {
    let of_one = |count| -> Vec<_> { (1..=count).map(|at| (1, 2 * at, 1)).collect() };
    let of_many = |count| -> Vec<_> { (1..=count).map(|client| (client, 5_000, 1)).collect() };
    let few = time_where_deletes_wait(&of_one(1_000));
    for many in [of_one(100_000), of_many(100_000)] {
        let many = time_where_deletes_wait(&many);
        assert!(many < 10 * few, "{many:?}, not {few:?}");
    }
}

/// How long it takes to let a struct of each of many clients come that waits, where
/// so many of the client's own stand before it, the best of some tries.
fn letting_come_behind(own: usize) -> Duration {
    let mut before = DocumentState::default();
    let anchor = wire::update(&[(2_000, 0, vec![wire::first_text("a")])], &[]);
    before.apply(&anchor).expect("an update");
    let clients = 0..1_000;
    for client in clients.clone() {
        let mut letters = vec![wire::text_after(2_000, 0, "a"); own];
        letters.push(wire::text_after(2_001, client, "b"));
        let update = wire::update(&[(client + 1, 0, letters)], &[]);
        before.apply(&update).expect("an update");
    }
    let awaited = clients.map(|clock| wire::text(2_001, clock, "c"));
    let awaited: Vec<_> = awaited.collect();
    let one_try = |_| {
        let mut state = before.clone();
        let start = ThreadTime::now();
        for update in &awaited {
            let applied = state.apply(update).expect("an update");
            assert!(applied.resend.is_some());
        }
        start.elapsed()
    };
    (0..5).map(one_try).min().expect("some tries")
}

#[test]
fn what_waited_comes_no_slower_behind_many_structs() {
    let few = letting_come_behind(1);
    let many = letting_come_behind(250);
    assert!(many < 3 * few, "{many:?}, not {few:?}");
}

/// How long it takes to tell clocks in front of so many others of the same client, which
/// came with gaps between them that were `filled` then, the best of some tries.
fn telling_before(others: usize, first: &[u8], filled: &[u8]) -> Duration {
    const FAR: u64 = 10_000_000;
    // No more gaps at once than may wait.
    const AT_ONCE: usize = 500;
    let mut before = DocumentState::default();
    for from in (0..others).step_by(AT_ONCE) {
        let from = FAR + 2 * from as u64;
        for (at, item) in [(from, first), (from + 1, filled)] {
            let items = vec![[item.to_vec(), wire::skip(1)]; AT_ONCE].concat();
            let update = wire::update(&[(1, at, items)], &[]);
            before.apply(&update).expect("an update");
        }
    }
    assert_eq!(before.pending().gap_runs, 1);
    let in_front = (1..=500).map(|at| wire::update(&[(1, 3 * at, vec![vec![0, 1]])], &[]));
    let in_front: Vec<_> = in_front.collect();
    let one_try = |_| {
        let mut state = before.clone();
        let start = ThreadTime::now();
        for update in &in_front {
            state.apply(update).expect("an update");
        }
        start.elapsed()
    };
    (0..3).map(one_try).min().expect("some tries")
}

#[test]
fn what_comes_before_costs_no_more_before_many() {
    let (garbage, letter) = (vec![0, 1], wire::first_text("a"));
    let entry = wire::map_entry("k", 5);
    let pairs = [(&garbage, &garbage), (&letter, &entry), (&entry, &letter)];
    for (first, filled) in pairs {
        let few = telling_before(10_000, first, filled);
        let many = telling_before(100_000, first, filled);
        assert!(many < 4 * few, "{many:?}, not {few:?}");
    }
}
