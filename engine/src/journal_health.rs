//! Whether the journal works, and when to try again if it does not.

use std::time::Duration;

use crate::{
    config::Config,
    planted::{self, Bug},
    random::Jitter,
};

/// What documents need to know of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JournalHealth {
    /// There is none: updates are applied at once.
    Off,
    /// Updates are applied once it has them.
    Works,
    /// It has failed, and takes nothing: no updates are taken.
    Failed,
}

/// The journal as the engine sees it. After a failure it is reopened, again
/// and again with growing pauses.
#[derive(Debug)]
pub(crate) struct Journaling {
    health: JournalHealth,
    /// When to reopen it. `None` while that is being done.
    retry: Option<Duration>,
    failures: u32,
}

impl Journaling {
    pub(crate) const fn new(config: &Config) -> Self {
        Self {
            health: if config.journal {
                JournalHealth::Works
            } else {
                JournalHealth::Off
            },
            retry: None,
            failures: 0,
        }
    }

    pub(crate) const fn health(&self) -> JournalHealth {
        self.health
    }

    /// When it wants to be reopened.
    pub(crate) const fn next_timeout(&self) -> Option<Duration> {
        self.retry
    }

    /// An operation failed. True if none had before.
    pub(crate) fn failed(&mut self, now: Duration, config: &Config, jitter: &mut Jitter) -> bool {
        if self.health != JournalHealth::Works {
            return false;
        }
        self.health = JournalHealth::Failed;
        self.retry_later(now, config, jitter);
        true
    }

    /// It has taken something. One that is reopened and takes nothing still
    /// does not work, and is reopened less and less often.
    pub(crate) const fn appended(&mut self) {
        self.failures = 0;
    }

    /// Whether to reopen it now.
    pub(crate) fn take_due(&mut self, now: Duration) -> bool {
        self.retry.take_if(|due| *due <= now).is_some()
    }

    /// Reopening has ended. True if it works again.
    pub(crate) fn reopened(
        &mut self,
        now: Duration,
        is_ok: bool,
        config: &Config,
        jitter: &mut Jitter,
    ) -> bool {
        if is_ok {
            self.health = JournalHealth::Works;
        } else if !planted::is(Bug::ReopenGivenUp) {
            self.retry_later(now, config, jitter);
        }
        is_ok
    }

    fn retry_later(&mut self, now: Duration, config: &Config, jitter: &mut Jitter) {
        let longest = config.retry_delay_min * (1 << self.failures.min(20));
        self.failures += 1;
        self.retry = Some(now + jitter.up_to(longest.min(config.reopen_delay_max)));
    }
}
