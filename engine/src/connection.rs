//! One client's connection to a document.

mod outbox;

use std::time::Duration;

pub(crate) use self::outbox::{Lag, Outbox};
use crate::{
    auth::{Access, Grant, UserId},
    config::Config,
    planted::{self, Bug},
    state_vector::StateVector,
};

/// The state of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) rights: Rights,
    /// Whether it gets updates: from its first `SyncStep1` on.
    pub(crate) subscribed: bool,
    /// Whether it is to be asked for what it knows, and why.
    pub(crate) resync: Resync,
    /// When it is to be asked, if it is.
    pub(crate) resync_at: Duration,
    /// Updates of it that were refused in a row.
    pub(crate) refusals: u32,
    /// Whether it was told that an update was refused; once is enough.
    pub(crate) told_refused: bool,
    /// Messages on who is there that it was told and has not repeated.
    repeats: u32,
    /// A `SyncStep1` that came before the answer to the last one was written,
    /// or while the connection lags.
    pub(crate) pending_step_1: Option<StateVector>,
    /// Whether it waits for its turn to be told something large.
    pub(crate) waits: bool,
    /// When something was last sent to it.
    pub(crate) last_sent: Duration,
    pub(crate) outbox: Outbox,
}

/// Most messages that a connection may repeat without their counting: clients that
/// never do cannot save them up.
const REPEATS_MAX: u32 = 10_000;

/// What a connection may do, how long, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) user: UserId,
    pub(crate) access: Access,
    /// `None`: as long as it likes.
    pub(crate) until: Option<Duration>,
}

/// What a connection is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resync {
    /// Nothing.
    None,
    /// It sent something whose predecessors are unknown.
    Gap,
    /// Something it sent was not taken. What it sends until asked again builds
    /// on that, and is not taken either.
    Refused,
    /// It has been asked for what was not taken. What it sends before its
    /// answer was on its way already, and builds on that, too.
    Asked,
}

impl From<&Grant> for Rights {
    fn from(grant: &Grant) -> Self {
        Self {
            user: grant.user.clone(),
            access: grant.access,
            until: grant.until,
        }
    }
}

impl Connection {
    pub(crate) fn new(now: Duration, rights: Rights) -> Self {
        Self {
            rights,
            subscribed: false,
            resync: Resync::None,
            resync_at: Duration::ZERO,
            refusals: 0,
            told_refused: false,
            repeats: 0,
            pending_step_1: None,
            waits: false,
            last_sent: now,
            outbox: Outbox::default(),
        }
    }

    /// Whether it may change the document.
    pub(crate) fn may_write(&self) -> bool {
        self.rights.access == Access::Write || planted::is(Bug::ReadersWrite)
    }

    /// Whether its updates build on what was not taken.
    pub(crate) fn is_to_sync(&self) -> bool {
        matches!(self.resync, Resync::Refused | Resync::Asked)
    }

    /// Notes that it is told who is there, with all others.
    pub(crate) fn is_told_presence(&mut self) {
        self.repeats = REPEATS_MAX.min(self.repeats + 1);
    }

    /// Whether it may have repeated what it was told, once for each time.
    pub(crate) fn may_repeat(&mut self) -> bool {
        let may_repeat = self.repeats > 0 || planted::is(Bug::RepeatsUncounted);
        self.repeats = self.repeats.saturating_sub(1);
        may_repeat
    }

    /// Notes that it is being asked for what it knows; if updates of it were
    /// refused, again at `again` unless it answers.
    pub(crate) fn asked(&mut self, again: Duration) {
        if self.is_to_sync() {
            self.resync = Resync::Asked;
            self.resync_at = again;
        } else {
            self.resync = Resync::None;
        }
    }

    /// Notes that it tells what it knows.
    pub(crate) fn has_answered(&mut self) {
        if self.resync == Resync::Asked {
            self.resync = Resync::None;
        }
    }

    /// Notes that a frame is sent. True if it lags from now on.
    pub(crate) fn sent(&mut self, now: Duration, bytes: usize, config: &Config) -> bool {
        self.last_sent = now;
        self.outbox.sent(now, bytes, config)
    }

    /// Whether there is something to tell it that it asked for or missed, and
    /// it can take it now.
    pub(crate) fn can_be_told(&self, config: &Config) -> bool {
        match self.outbox.lags() {
            true => self.outbox.has_caught_up(config),
            false => self.pending_step_1.is_some() && !self.outbox.answer_pending(),
        }
    }

    /// Whether it has read so much that it is to be kept alive. What is on its
    /// way to others does that.
    pub(crate) fn has_read(&self, config: &Config) -> bool {
        let waits = self.outbox.has_caught_up(config) && !planted::is(Bug::WaitingNotKeptAlive);
        !self.outbox.lags() || waits
    }

    /// Notes that an answer is sent, whatever the budget.
    pub(crate) fn answered(&mut self, now: Duration, bytes: usize) {
        self.last_sent = now;
        self.outbox.answered(now, bytes);
    }
}
