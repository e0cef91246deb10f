//! Many seeds, on several threads.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::{IsTerminal, Write},
    ops::Range,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
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

/// How long one seed may take, in real time. The longest take seconds; what takes this
/// long is in a loop in which simulated time stands still.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often it is looked how far a batch is.
const GLANCE: Duration = Duration::from_millis(200);

/// Which seed a thread runs, and since when.
type Running = Mutex<Option<(u64, Instant)>>;

/// Runs seeds on so many threads, until one fails or all have held. Each seed
/// gets a thread's attention alone, so that what a thread keeps is a seed's.
///
/// If a seed does not come to an end, nothing can be done about its thread: that
/// is told, and the program ends with 1.
pub(crate) fn run(seeds: Range<u64>, jobs: usize, one: impl Fn(u64) -> Outcome + Sync) -> Batch {
    let start = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicBool::new(false);
    let results = Mutex::new((BTreeMap::new(), BTreeMap::new()));
    let threads: Vec<Running> = (0..jobs.max(1)).map(|_| Mutex::default()).collect();
    thread::scope(|scope| {
        let (ended, all_ended) = mpsc::channel::<Infallible>();
        for thread in &threads {
            let ended = ended.clone();
            let (one, next, failed, results, seeds) = (&one, &next, &failed, &results, &seeds);
            scope.spawn(move || {
                let _ended = ended;
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    *lock(thread) = Some((seed, Instant::now()));
                    let outcome = one(seed);
                    *lock(thread) = None;
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
        drop(ended);
        let progress = Progress::of(&seeds);
        while let Err(RecvTimeoutError::Timeout) = all_ended.recv_timeout(GLANCE) {
            progress.report(next.load(Ordering::Relaxed));
            threads.iter().for_each(end_if_stuck);
        }
        progress.clear();
    });
    let (held, mut failures) = results.into_inner().expect("all jobs have ended");
    let mix = |hash: u64, one: &u64| hash.rotate_left(1) ^ one;
    Batch {
        failure: failures.pop_first(),
        hash: held.values().fold(0, mix),
        took: start.elapsed(),
    }
}

fn lock(thread: &Running) -> MutexGuard<'_, Option<(u64, Instant)>> {
    thread.lock().expect("nothing panics while it holds this")
}

/// Ends the program if a seed has run for too long.
fn end_if_stuck(thread: &Running) {
    if let Some((seed, since)) = *lock(thread)
        && since.elapsed() > PATIENCE
    {
        println!(
            "seed {seed} has not come to an end within {PATIENCE:?} of real time: simulated time \
             stands still, or nearly so; its last events are seen with --trace\nseed      {seed}"
        );
        std::process::exit(1);
    }
}

/// On a terminal, says how far a batch is.
struct Progress<'a> {
    seeds: &'a Range<u64>,
    start: Instant,
    is_shown: bool,
}

impl<'a> Progress<'a> {
    fn of(seeds: &'a Range<u64>) -> Self {
        Self {
            seeds,
            start: Instant::now(),
            is_shown: std::io::stderr().is_terminal(),
        }
    }

    fn report(&self, next: u64) {
        let count = self.seeds.end - self.seeds.start;
        let begun = next.min(self.seeds.end) - self.seeds.start;
        let rate = begun as f64 / self.start.elapsed().as_secs_f64();
        self.show(&format!("{begun} of {count} seeds, {rate:.0} a second"));
    }

    fn clear(&self) {
        self.show("");
    }

    fn show(&self, line: &str) {
        if self.is_shown {
            let mut out = std::io::stderr();
            // Nobody is harmed if it cannot be told.
            let _ = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
        }
    }
}
