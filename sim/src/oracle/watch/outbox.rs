//! What waits for a reader, as seen from outside: when a connection may be left
//! out of what others are told, and when it has to be told.

use std::time::Duration;

use ysyncd_engine::{
    Config,
    protocol::{Message, Messages},
};

/// How much may wait, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutboxLimits {
    bytes_max: u64,
    stall_max: Duration,
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
    /// When it last read something, or came to be behind.
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
}

impl OutboxLimits {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            bytes_max: config.outbox_bytes_max as u64,
            stall_max: config.stall_max,
        }
    }
}

impl Outbox {
    pub(super) const fn bytes_sent(&self) -> u64 {
        self.sent
    }

    /// Whether it may be left out of what others are told.
    pub(super) const fn is_behind(&self) -> bool {
        matches!(self.stage, Stage::FallsBehind | Stage::Behind)
    }

    /// Notes a frame for it. False if that may not be sent now.
    pub(super) fn sent(&mut self, now: Duration, frame: &[u8], limits: OutboxLimits) -> bool {
        let first = Messages::new(frame).read_next();
        let is_update = matches!(first, Ok(Some(Message::Update(_))));
        let is_for_all = is_update || matches!(first, Ok(Some(Message::Awareness(_))));
        let is_allowed = match self.stage {
            Stage::InStep | Stage::CatchesUp => true,
            Stage::FallsBehind if is_update => {
                self.stage = Stage::Behind;
                true
            }
            Stage::FallsBehind | Stage::Behind => !is_for_all,
        };
        self.sent += frame.len() as u64;
        let is_answer = matches!(first, Ok(Some(Message::SyncStep2(_))));
        if is_answer || self.stage == Stage::CatchesUp {
            self.answered = self.sent;
        } else if self.stage == Stage::InStep && self.backlog() > limits.bytes_max {
            (self.stage, self.progress) = (Stage::FallsBehind, now);
        }
        is_allowed
    }

    /// Notes how much of it is written. True if that is more than before.
    pub(super) fn written(&mut self, now: Duration, total: u64, limits: OutboxLimits) -> bool {
        let is_more = total > self.written;
        if is_more {
            (self.written, self.progress) = (total, now);
        }
        let is_low = self.backlog() <= limits.bytes_max / 2 && self.written >= self.answered;
        if self.is_behind() && is_low {
            self.stage = Stage::CatchesUp;
        }
        is_more
    }

    /// All is said in answer to an input. Whether it had to be told with it
    /// what it had missed.
    pub(super) fn take_caught_up(&mut self) -> bool {
        let has_caught_up = self.stage == Stage::CatchesUp;
        self.stage = match self.stage {
            Stage::InStep | Stage::CatchesUp => Stage::InStep,
            Stage::FallsBehind | Stage::Behind => Stage::Behind,
        };
        has_caught_up
    }

    /// Whether it is behind and has read nothing for too long.
    pub(super) fn stalls(&self, now: Duration, limits: OutboxLimits) -> bool {
        self.is_behind() && self.progress + limits.stall_max <= now
    }

    /// Bytes that count against the budget.
    fn backlog(&self) -> u64 {
        self.sent - self.written.max(self.answered)
    }
}
