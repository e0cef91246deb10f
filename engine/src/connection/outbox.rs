//! What is on its way to a client, and what the client misses while that is
//! too much.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    config::Config,
    planted::{self, Bug},
    state_vector::StateVector,
    update::ClientId,
};

/// Of how many that left meanwhile it is remembered that a lagging connection
/// was not told.
const GONE_MAX: usize = 1_000;

/// Bytes on their way to a client. Past the budget the connection lags: what
/// others are sent is left out for it, until its transport has written so much
/// that it can be told all it missed at once.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    sent: u64,
    written: u64,
    /// `sent` at the end of the last answer. What was sent up to there does not
    /// count against the budget.
    answered: u64,
    lag: Option<Lag>,
    /// When its transport last wrote something, or came to have something to
    /// write that must not wait for ever.
    progress: Duration,
}

/// What a connection misses.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    /// What its client knows of the document once everything on its way has
    /// come. `None` as long as it misses no update.
    pub(crate) knows: Option<Arc<StateVector>>,
    /// Whether it was not told who is there.
    pub(crate) misses_awareness: bool,
    /// Who left meanwhile, with their clocks: they may be forgotten when it
    /// catches up.
    pub(crate) gone: BTreeMap<ClientId, u64>,
}

impl Outbox {
    /// Notes that a frame is sent. True if the connection lags from now on.
    pub(super) fn sent(&mut self, now: Duration, bytes: usize, config: &Config) -> bool {
        if self.has_caught_up(config) {
            // It waits, and may come to have much to read again.
            self.progress = now;
        }
        self.sent += bytes as u64;
        self.is_over_budget(config) && self.begin_lag(now)
    }

    /// Leaves the connection out from now on, as if too much were on its way.
    /// True if it was not left out before.
    pub(crate) fn begin_lag(&mut self, now: Duration) -> bool {
        if self.lags() {
            return false;
        }
        self.must_progress(now);
        self.lag = Some(Lag::default());
        true
    }

    /// Notes that an answer is sent: something that the client asked for, or
    /// missed. There is one on its way at a time.
    pub(super) fn answered(&mut self, now: Duration, bytes: usize) {
        self.must_progress(now);
        self.sent += bytes as u64;
        self.answered = self.sent;
    }

    /// Notes how much the transport has written in all.
    pub(crate) fn written(&mut self, now: Duration, total_bytes: u64) {
        debug_assert!(total_bytes <= self.sent, "only what was sent is written");
        if total_bytes > self.written {
            self.written = total_bytes;
            self.progress = now;
        }
    }

    /// Whether the last answer is still on its way.
    pub(crate) const fn answer_pending(&self) -> bool {
        self.written < self.answered
    }

    /// Whether it is left out of what is sent to many.
    pub(crate) const fn lags(&self) -> bool {
        self.lag.is_some()
    }

    /// Whether it is left out of updates.
    pub(crate) fn misses_updates(&self) -> bool {
        matches!(&self.lag, Some(lag) if lag.knows.is_some())
    }

    /// Whether it is to be noted what it knows, as it will miss what comes now.
    pub(crate) fn will_miss_updates(&self) -> bool {
        matches!(&self.lag, Some(lag) if lag.knows.is_none())
    }

    /// What it is noted to know.
    pub(crate) fn knows(&self) -> Option<&Arc<StateVector>> {
        self.lag.as_ref()?.knows.as_ref()
    }

    /// Leaves it out of updates; it knows this much.
    pub(crate) fn leave_out(&mut self, knows: Arc<StateVector>) {
        if let Some(lag) = &mut self.lag {
            lag.knows = Some(knows);
        }
    }

    /// Leaves it out of an awareness message, if it lags, which says that these
    /// are gone.
    pub(crate) fn leaves_out_awareness(&mut self, gone: &[(ClientId, u64)]) -> bool {
        let Some(lag) = &mut self.lag else {
            return false;
        };
        lag.misses_awareness = true;
        for (client, clock) in gone {
            if lag.gone.len() < GONE_MAX || lag.gone.contains_key(client) {
                lag.gone.insert(*client, *clock);
            }
        }
        true
    }

    /// Whether it lags, and so much is written that it can be told what it
    /// missed.
    pub(crate) fn has_caught_up(&self, config: &Config) -> bool {
        let is_low = self.backlog() <= Self::low(config);
        self.lags() && is_low && !self.answer_pending()
    }

    /// Whether it lags, but has missed nothing.
    pub(crate) fn misses_nothing(&self) -> bool {
        let misses = |lag: &Lag| lag.knows.is_some() || lag.misses_awareness;
        self.lag.as_ref().is_some_and(|lag| !misses(lag))
    }

    /// What it missed: it is told now, and lags no more.
    pub(crate) fn take_lag(&mut self) -> Option<Lag> {
        self.lag.take()
    }

    /// When it has stalled for too long, unless its transport writes something.
    pub(crate) fn stalled_at(&self, config: &Config) -> Option<Duration> {
        let is_answered = !self.answer_pending() || planted::is(Bug::AnswerStallIgnored);
        let is_idle = !self.lags() && is_answered;
        // Who waits for what it missed has read the rest.
        let is_idle = is_idle || self.has_caught_up(config);
        (!is_idle).then(|| self.progress + config.stall_max)
    }

    /// Panics if something does not hold that always must.
    pub(crate) fn check(&self, config: &Config, waits: bool) {
        assert!(self.written <= self.sent && self.answered <= self.sent);
        let is_told = !self.has_caught_up(config) || waits;
        assert!(is_told, "who has caught up is told");
    }

    /// There is something to write from now on that must not wait for ever,
    /// unless there was already.
    fn must_progress(&mut self, now: Duration) {
        if !self.lags() && !self.answer_pending() {
            self.progress = now;
        }
    }

    fn is_over_budget(&self, config: &Config) -> bool {
        self.backlog() > config.outbox_bytes_max as u64 && !planted::is(Bug::LagUnseen)
    }

    /// Bytes that were sent in all.
    pub(crate) const fn sent_bytes(&self) -> u64 {
        self.sent
    }

    /// Bytes on their way, answers included.
    pub(crate) const fn waiting_bytes(&self) -> u64 {
        self.sent - self.written
    }

    fn backlog(&self) -> u64 {
        self.sent - self.written.max(self.answered)
    }

    /// Bytes on their way at which a connection that lagged goes on. Some, so
    /// that its transport has something to write meanwhile.
    const fn low(config: &Config) -> u64 {
        config.outbox_bytes_max as u64 / 2
    }
}
