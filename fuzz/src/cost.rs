//! What reading an input may cost: time and memory linear in its length.

use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use cpu_time::ThreadTime;

/// Bytes allocated at most for each byte of input.
///
/// How the figures were chosen: each target ran for a while, then over its
/// corpus and all that was found with `FUZZ_COSTS` set; a bound is two to four
/// times the worst of that. What is not linear goes past any figure.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// At one moment.
    pub peak_per_byte: u64,
    /// From beginning to end: copying the same bytes over and over shows here.
    pub total_per_byte: u64,
    /// On top of that, both, however short the input.
    pub fixed: u64,
}

/// Processor time for each byte of input, and on top of that. Generous, as it
/// is real time, under a sanitizer: it is about what takes seconds.
const TIME_PER_BYTE: Duration = Duration::from_micros(20);
const TIME_FIXED: Duration = Duration::from_millis(500);

impl Bound {
    /// Does some work on so many bytes of input, and panics if it costs more
    /// than it may.
    pub fn keep<T>(self, input_bytes: usize, work: impl FnOnce() -> T) -> T {
        let mut result = None;
        let start = ThreadTime::now();
        let cost = measure(|| result = Some(work()));
        let time = start.elapsed();
        let bytes = input_bytes as u64;
        let most =
            TIME_FIXED + TIME_PER_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX));
        if std::env::var_os("FUZZ_COSTS").is_some() {
            self.report(bytes, &cost);
            eprintln!("time: {bytes} bytes, {time:?} of {most:?}");
        }
        assert!(
            cost.bytes_max <= self.fixed + bytes * self.peak_per_byte,
            "{bytes} bytes of input took {} bytes of memory",
            cost.bytes_max
        );
        assert!(
            cost.bytes_total <= self.fixed + bytes * self.total_per_byte,
            "{bytes} bytes of input had {} bytes allocated",
            cost.bytes_total
        );
        assert!(time <= most, "{bytes} bytes of input took {time:?}");
        result.expect("the work was done")
    }

    /// Tells how near a cost comes to its bound, with `FUZZ_COSTS` set.
    fn report(self, bytes: u64, cost: &AllocationInfo) {
        let per_byte = |cost: u64| cost.saturating_sub(self.fixed) as f64 / bytes.max(1) as f64;
        eprintln!(
            "cost: {bytes} bytes, peak {} ({:.1} per byte of {}), total {} ({:.1} of {})",
            cost.bytes_max,
            per_byte(cost.bytes_max),
            self.peak_per_byte,
            cost.bytes_total,
            per_byte(cost.bytes_total),
            self.total_per_byte,
        );
    }
}
