//! Sending all clients away, a few at a time.

use std::{collections::VecDeque, time::Duration};

use crate::id::ConnId;

/// Connections closed at once.
const AT_ONCE_MIN: usize = 50;

/// Pause between two batches.
const PAUSE: Duration = Duration::from_millis(50);

/// Who is still to be sent away. All come back at once otherwise, to a server
/// that has just started.
#[derive(Debug)]
pub(super) struct Closing {
    conns: VecDeque<ConnId>,
    at_once: usize,
    next: Duration,
}

impl Closing {
    /// Spreads connections over `time`, or over less if they are few.
    pub(super) fn new(now: Duration, conns: VecDeque<ConnId>, time: Duration) -> Self {
        let batches = (time.as_millis() / PAUSE.as_millis()).max(1);
        let batches = usize::try_from(batches).unwrap_or(usize::MAX);
        Self {
            at_once: conns.len().div_ceil(batches).max(AT_ONCE_MIN),
            conns,
            next: now,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        (!self.conns.is_empty()).then_some(self.next)
    }

    /// Who is to go now.
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<ConnId> {
        if now < self.next {
            return Vec::new();
        }
        self.next = now + PAUSE;
        let count = self.at_once.min(self.conns.len());
        self.conns.drain(..count).collect()
    }
}
