//! Many seeds, on several threads.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ysyncd_sim::Outcome;

/// What came of a batch.
pub(crate) struct Batch {
    /// The first seed that failed among those that ran, and how.
    pub(crate) failure: Option<(u64, Outcome)>,
    /// Of all that held, in the order of seeds; equal for equal batches.
    pub(crate) hash: u64,
    pub(crate) took: Duration,
}

/// Runs seeds on so many threads, until one fails or all have held. Each seed
/// gets a thread's attention alone, so that what a thread keeps is a seed's.
pub(crate) fn run(seeds: Range<u64>, jobs: usize, one: impl Fn(u64) -> Outcome + Sync) -> Batch {
    let start = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicBool::new(false);
    let results = Mutex::new((BTreeMap::new(), BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = one(seed);
                    let mut results = results.lock().expect("no job panics while it holds this");
                    if outcome.violation.is_some() {
                        failed.store(true, Ordering::Relaxed);
                        results.1.insert(seed, outcome);
                    } else {
                        results.0.insert(seed, outcome.hash);
                    }
                }
            });
        }
        report_progress(&next, &seeds, &failed);
    });
    let (held, mut failures) = results.into_inner().expect("all jobs have ended");
    let mix = |hash: u64, one: &u64| hash.rotate_left(1) ^ one;
    Batch {
        failure: failures.pop_first(),
        hash: held.values().fold(0, mix),
        took: start.elapsed(),
    }
}

/// On a terminal, says every second how far it is.
fn report_progress(next: &AtomicU64, seeds: &Range<u64>, failed: &AtomicBool) {
    let mut out = std::io::stderr();
    if !out.is_terminal() {
        return;
    }
    let count = seeds.end - seeds.start;
    let start = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(200));
        let begun = next.load(Ordering::Relaxed).min(seeds.end) - seeds.start;
        let rate = begun as f64 / start.elapsed().as_secs_f64();
        let is_over = begun == count || failed.load(Ordering::Relaxed);
        let line = match is_over {
            true => String::from("\r\x1b[K"),
            false => format!("\r\x1b[K{begun} of {count} seeds, {rate:.0} a second"),
        };
        // Nobody is harmed if it cannot be told.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        if is_over {
            return;
        }
    }
}
