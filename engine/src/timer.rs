//! The timers of a document.

use std::time::Duration;

/// Why a document wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// To write or read its snapshot.
    Store,
    /// To leave memory, nobody having it open.
    Idle,
    /// To send something to connections that got nothing for long.
    Keepalive,
    /// To drop the awareness of clients that fell silent.
    Awareness,
    /// To tell of who is there what had to wait.
    Presence,
    /// To ask connections for what was not taken from them.
    Resync,
    /// To close connections whose time is over.
    Expiry,
    /// To close connections whose transport writes nothing.
    Stall,
    /// To tell other nodes what it has.
    Digest,
    /// To ask another node for what is missing.
    Exchange,
    /// To forget an answer kept for those who come together.
    Join,
}

impl Timer {
    pub(crate) const ALL: [Self; 11] = [
        Self::Store,
        Self::Idle,
        Self::Keepalive,
        Self::Awareness,
        Self::Presence,
        Self::Resync,
        Self::Expiry,
        Self::Stall,
        Self::Digest,
        Self::Exchange,
        Self::Join,
    ];
}

/// When each timer is due, on the monotonic clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct TimerTable {
    due: [Option<Duration>; Timer::ALL.len()],
}

impl TimerTable {
    pub(crate) fn set(&mut self, timer: Timer, due: Duration) {
        self.due[timer as usize] = Some(due);
    }

    /// Sets a timer unless it is due earlier anyway.
    pub(crate) fn set_earlier(&mut self, timer: Timer, due: Duration) {
        let slot = &mut self.due[timer as usize];
        *slot = Some(slot.map_or(due, |set| set.min(due)));
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.due[timer as usize] = None;
    }

    /// Stops a timer; true if it was due.
    pub(crate) fn take_due(&mut self, timer: Timer, now: Duration) -> bool {
        self.due[timer as usize]
            .take_if(|due| *due <= now)
            .is_some()
    }

    pub(crate) const fn is_set(&self, timer: Timer) -> bool {
        self.due[timer as usize].is_some()
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.due.iter().flatten().min().copied()
    }
}
