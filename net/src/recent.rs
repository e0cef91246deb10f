//! What costs something to find out, and anybody may ask for.

use std::time::Duration;

use bytes::Bytes;
use tokio::{sync::Mutex, time::Instant};

/// Of a thread's time, finding out takes one part in so many, …
const SHARE: u32 = 50;

/// … but for so much of it, which is there again after a rest, so that who asks
/// now and then hears what is so now.
const BURST: Duration = Duration::from_millis(250);

/// More than this one time never counts for: however long it takes, what is told
/// again is no older than [`SHARE`] times this, a second.
const COST_MAX: Duration = Duration::from_millis(20);

/// What was found out last. It is told again to those who ask so often that to
/// find it out each time would take too much of the time that others need.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    told: Bytes,
    /// When the time that was spent is made up for. `None`: nothing was.
    even: Option<Instant>,
}

impl Recent {
    /// What is so, or was a moment ago.
    pub(crate) async fn told(&self, find_out: impl AsyncFnOnce() -> String) -> Bytes {
        // Whoever else asks meanwhile waits, and asks then.
        let mut last = self.0.lock().await;
        let now = Instant::now();
        let even = last.even.map_or(now, |even| even.max(now));
        if even > now + BURST * SHARE {
            return last.told.clone();
        }
        last.told = find_out().await.into();
        last.even = Some(even + now.elapsed().min(COST_MAX) * SHARE);
        last.told.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::{advance, pause};

    use super::*;

    #[tokio::test]
    async fn who_asks_too_often_is_told_what_was_so_a_moment_ago() {
        pause();
        let (recent, found) = (Recent::default(), Cell::new(0));
        let ask = async |cost: u64| {
            let find_out = async || {
                advance(Duration::from_millis(cost)).await;
                found.set(found.get() + 1);
                found.get().to_string()
            };
            recent.told(find_out).await
        };
        for _ in 0..1_000 {
            ask(0).await;
        }
        assert_eq!(found.replace(0), 1_000, "it costs nothing");
        for _ in 0..1_000 {
            ask(10).await;
        }
        assert_eq!(found.get(), 26, "the burst, and the one that exceeds it");
        assert_eq!(ask(10).await, "26");
        advance(Duration::from_secs(1)).await;
        assert_eq!(ask(10).await, "27");
        for _ in 0..1_000 {
            ask(10).await;
            advance(Duration::from_millis(20)).await;
        }
        assert!((60..=75).contains(&found.get()), "{found:?}, one in 50");
    }

    #[tokio::test]
    async fn however_long_it_takes_nothing_is_told_that_is_older_than_a_second() {
        pause();
        let recent = Recent::default();
        let ask = async |word: &str| {
            let find_out = async || {
                advance(Duration::from_secs(5)).await;
                word.to_owned()
            };
            recent.told(find_out).await
        };
        for _ in 0..100 {
            ask("old").await;
        }
        assert_eq!(ask("new").await, "new", "five seconds are rest enough");
    }
}
