//! How long to wait between attempts to connect.

use std::time::Duration;

use fastrand::Rng;

const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(10);

/// Pauses that grow, each different from those of other nodes, so that they do
/// not all come back in the same moment.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    rng: Rng,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            next: FIRST,
            rng: Rng::with_seed(seed),
        }
    }

    /// From half of what is due to all of it.
    pub(super) fn next_pause(&mut self) -> Duration {
        let due = self.next;
        self.next = (due * 2).min(MOST);
        due.mul_f64(0.5 + self.rng.f64() / 2.0)
    }

    /// The next failure is a first one.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_differ() {
        let mut backoff = Backoff::new(1);
        let pauses: Vec<_> = std::iter::repeat_with(|| backoff.next_pause())
            .take(20)
            .collect();
        for (pause, due) in pauses.iter().zip([100, 200, 400, 800, 1_600, 3_200, 6_400]) {
            let due = Duration::from_millis(due);
            assert!((due / 2..=due).contains(pause), "{pauses:?}");
        }
        assert!(
            pauses[7..]
                .iter()
                .all(|pause| (MOST / 2..=MOST).contains(pause))
        );
        assert!(pauses[7..].windows(2).all(|pair| pair[0] != pair[1]));
        assert_ne!(Backoff::new(2).next_pause(), pauses[0]);
        backoff.reset();
        assert!(backoff.next_pause() <= FIRST);
    }
}
