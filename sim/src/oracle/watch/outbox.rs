//! What waits for a reader, as seen from outside: when a connection may be left
//! out of what others are told, and when it has to be told.

use std::time::Duration;

use ysyncd_engine::{
    Config,
    protocol::{self, Message, Messages},
};

/// How much may wait, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutboxLimits {
    bytes_max: u64,
    stall_max: Duration,
    /// Bytes a second of large answers.
    rate_min: u64,
}

/// Bytes on their way to a connection.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    sent: u64,
    written: u64,
    /// `sent` at the end of what it was sent last that it had asked for, or
    /// missed.
    answered: u64,
    stage: Stage,
    /// Bytes of what it was told last, as far as that is large, and since when
    /// they are on their way.
    large: u64,
    large_since: Duration,
    /// Whether it waits for its turn to be told something large.
    has_to_wait: bool,
    /// Whether it was told who is there with the input under way, as it catches up.
    knows_who_is_there: bool,
    /// When it last read something, or came to be behind, or was answered.
    progress: Duration,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    InStep,
    /// With the input under way so much has come to wait that it is left out of
    /// what follows. What the last update completes may follow it still.
    FallsBehind,
    Behind,
    /// With the input under way it has read so much that it has to be told all
    /// that it missed.
    CatchesUp,
    /// It is to be told what it missed as soon as it is its turn.
    Waits,
}

impl OutboxLimits {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            bytes_max: config.outbox_bytes_max as u64,
            stall_max: config.stall_max,
            rate_min: config.answer_bytes_per_second_min as u64,
        }
    }

    /// When so large an answer should have been read, if others wait. A
    /// millisecond later, as it is rounded somehow.
    fn is_late_at(&self, since: Duration, bytes: u64) -> Option<Duration> {
        let takes = bytes.saturating_mul(1_000).checked_div(self.rate_min)?;
        Some(since + self.stall_max + Duration::from_millis(takes))
    }

    /// Whether what a frame tells is so large that it had to wait for its turn:
    /// what a document comes to in memory is known about only. Awareness is
    /// never so.
    pub(super) fn is_surely_large(&self, frame: &[u8]) -> bool {
        let first = Messages::new(frame).read_next();
        let is_awareness = matches!(first, Ok(Some(Message::Awareness(_))));
        !is_awareness && frame.len() as u64 > 2 * self.bytes_max + 64
    }
}

impl Outbox {
    pub(super) const fn bytes_sent(&self) -> u64 {
        self.sent
    }

    /// Whether it is told what all are told, as always.
    pub(super) fn is_in_step(&self) -> bool {
        self.stage == Stage::InStep
    }

    /// Whether it is told what it missed with the input under way.
    pub(super) fn catches_up(&self) -> bool {
        self.stage == Stage::CatchesUp
    }

    /// Whether it may be left out of what others are told.
    pub(super) const fn is_behind(&self) -> bool {
        matches!(
            self.stage,
            Stage::FallsBehind | Stage::Behind | Stage::Waits
        )
    }

    /// Bytes on their way of large answers.
    pub(super) const fn large(&self) -> u64 {
        self.large
    }

    /// It is left out of something that is too large to be sent to all at once,
    /// or has just come to be behind.
    pub(super) fn is_left_out(&mut self, now: Duration, limits: OutboxLimits) {
        if self.stage != Stage::InStep {
            return;
        }
        if self.written >= self.answered {
            self.progress = now;
        }
        self.stage = match self.is_low(limits) {
            true => Stage::CatchesUp,
            false => Stage::Behind,
        };
    }

    /// It waits for its turn to be told something large.
    pub(super) const fn has_to_wait(&mut self) {
        self.has_to_wait = true;
    }

    /// It is its turn, which it may miss as it has come to be behind.
    pub(super) fn has_its_turn(&mut self, limits: OutboxLimits) {
        (self.has_to_wait, self.knows_who_is_there) = (false, false);
        if self.stage == Stage::Waits {
            self.stage = match self.is_low(limits) {
                true => Stage::CatchesUp,
                false => Stage::Behind,
            };
        }
    }

    /// Another one is closed: what follows on who is there is that it has gone, unless
    /// it is this one's turn after that.
    pub(super) const fn hears_of_a_close(&mut self) {
        self.knows_who_is_there = true;
    }

    /// So much of a large answer takes memory until it is let go of.
    pub(super) const fn still_has(&mut self, large: u64) {
        self.large = large;
    }

    /// What it had still to be written is let go of.
    pub(super) const fn freed(&mut self) {
        self.large = 0;
    }

    /// Whether it reads a large answer too slowly if others wait; or comes to
    /// within a millisecond.
    pub(super) fn is_late(&self, now: Duration, limits: OutboxLimits) -> bool {
        let late_at = limits.is_late_at(self.large_since, self.large);
        self.large > 0 && late_at.is_some_and(|at| at <= now)
    }

    /// Whether it has read all but what it waits for, and so is kept alive.
    pub(super) fn is_kept_alive(&self, limits: OutboxLimits) -> bool {
        match self.stage {
            Stage::InStep => true,
            Stage::Waits => self.is_low(limits),
            _ => false,
        }
    }

    /// Whether it waits for its turn.
    pub(super) const fn is_waiting(&self) -> bool {
        self.has_to_wait
    }

    /// Whether it could be told at once if it were its turn.
    pub(super) fn can_be_told(&self, limits: OutboxLimits) -> bool {
        match self.stage {
            Stage::InStep => self.written >= self.answered,
            Stage::Waits => self.is_low(limits),
            _ => false,
        }
    }

    /// Notes a frame for it, alone or for others, too. False if that may not be
    /// sent now.
    pub(super) fn sent(
        &mut self,
        now: Duration,
        frame: &[u8],
        is_alone: bool,
        limits: OutboxLimits,
    ) -> bool {
        let first = Messages::new(frame).read_next();
        let is_update = matches!(first, Ok(Some(Message::Update(_))));
        let is_for_all = is_update || matches!(first, Ok(Some(Message::Awareness(_))));
        let is_answer = matches!(first, Ok(Some(Message::SyncStep2(_))));
        let is_allowed = match self.stage {
            Stage::InStep => !is_update || frame.len() as u64 <= limits.bytes_max,
            Stage::CatchesUp => true,
            Stage::FallsBehind if is_update => {
                self.stage = Stage::Behind;
                true
            }
            Stage::Waits if frame == &protocol::keepalive()[..] => true,
            Stage::FallsBehind | Stage::Behind | Stage::Waits => !is_for_all,
        };
        let bytes = frame.len() as u64;
        if self.stage == Stage::Waits && self.is_low(limits) {
            self.progress = now;
        }
        let must_read = self.is_behind() || self.written < self.answered;
        self.sent += bytes;
        // It may have come to wait with the input under way, and be kept alive already.
        let is_kept_alive = self.has_to_wait && frame == &protocol::keepalive()[..];
        // Of who is there it is told once when it catches up. What comes after that, or
        // goes to others, too, is what all are told.
        let is_awareness = matches!(first, Ok(Some(Message::Awareness(_))));
        let is_missed = self.stage == Stage::CatchesUp
            && !(is_awareness
                && (!is_alone || std::mem::replace(&mut self.knows_who_is_there, true)));
        if (is_answer || is_missed) && !is_kept_alive {
            self.has_to_wait = false;
            self.answered = self.sent;
            if bytes > limits.bytes_max {
                self.large_since = if self.large > 0 {
                    self.large_since
                } else {
                    now
                };
                self.large += bytes;
            }
            self.progress = if must_read { self.progress } else { now };
        } else if self.stage == Stage::InStep && self.backlog() > limits.bytes_max {
            self.stage = Stage::FallsBehind;
            self.progress = if must_read { self.progress } else { now };
        }
        is_allowed
    }

    /// Notes how much of it is written. True if that is more than before.
    pub(super) fn written(&mut self, now: Duration, total: u64, limits: OutboxLimits) -> bool {
        let is_more = total > self.written;
        if is_more {
            (self.written, self.progress) = (total, now);
        }
        if self.written >= self.answered {
            self.large = 0;
        }
        let is_left_out = self.is_behind() && self.stage != Stage::Waits;
        if is_left_out && self.is_low(limits) {
            self.stage = Stage::CatchesUp;
        }
        is_more
    }

    /// All is said in answer to an input. Whether it had to be told with it
    /// what it had missed, if it did not have to wait.
    pub(super) fn take_caught_up(&mut self, may_wait: bool) -> bool {
        let waits = self.has_to_wait && may_wait;
        let has_caught_up = self.stage == Stage::CatchesUp && !waits;
        self.knows_who_is_there = false;
        self.stage = match self.stage {
            Stage::CatchesUp if waits => Stage::Waits,
            Stage::InStep | Stage::CatchesUp => Stage::InStep,
            Stage::FallsBehind | Stage::Behind => Stage::Behind,
            Stage::Waits => Stage::Waits,
        };
        has_caught_up
    }

    /// Whether it is behind, or has something to read that it asked for, and has
    /// read nothing for too long.
    pub(super) fn stalls(&self, now: Duration, limits: OutboxLimits) -> bool {
        let must_read = self.is_behind() || self.written < self.answered;
        let waits = self.stage == Stage::Waits && self.is_low(limits);
        must_read && !waits && self.progress + limits.stall_max <= now
    }

    /// Whether it can be told what it missed.
    fn is_low(&self, limits: OutboxLimits) -> bool {
        self.backlog() <= limits.bytes_max / 2 && self.written >= self.answered
    }

    /// Bytes that count against the budget.
    fn backlog(&self) -> u64 {
        self.sent - self.written.max(self.answered)
    }
}
