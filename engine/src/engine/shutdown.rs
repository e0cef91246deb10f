//! The end of an engine: clients are sent away, a few at a time, and what is
//! not saved is.

use std::{collections::VecDeque, time::Duration};

use super::Engine;
use crate::{
    document::Document,
    id::ConnId,
    marks::{self, Mark},
    output::Output,
    planted::{self, Bug},
};

/// Connections closed at once.
const AT_ONCE_MIN: usize = 50;

/// Pause between two batches.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Shutdown {
    pub(super) deadline: Duration,
    pub(super) closing: Closing,
}

impl Engine {
    pub(super) fn shut_down(&mut self, now: Duration, deadline: Duration) {
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.deadline = shutdown.deadline.min(deadline);
            return;
        }
        let conns = self.connections.keys().copied().collect();
        // Most of the time is for saving what the last ones wrote.
        let time = deadline.saturating_sub(now) / 4;
        let closing = Closing::new(now, conns, time.min(self.config.closing_max));
        self.shutdown = Some(Shutdown { deadline, closing });
        for key in self.documents.keys().copied().collect::<Vec<_>>() {
            self.with(now, key, Document::shut_down);
        }
        self.send_away(now);
    }

    /// On shutdown, sends those away whose turn it is.
    pub(super) fn send_away(&mut self, now: Duration) {
        let Some(shutdown) = &mut self.shutdown else {
            return;
        };
        for conn in shutdown.closing.take_due(now) {
            self.with_connection(now, conn, |document, cx, out| {
                document.send_away(cx, conn, out);
            });
        }
    }

    pub(super) fn report_drained(&mut self, now: Duration) {
        let Some(Shutdown { deadline, .. }) = self.shutdown else {
            return;
        };
        let appending = self.failures.appending();
        let is_over = match planted::is(Bug::DrainedEarly) {
            true => self.connections.is_empty(),
            false => self.documents.is_empty() && appending.is_empty(),
        };
        if self.drained || !is_over && now < deadline {
            return;
        }
        marks::hit_if(Mark::ShutdownDeadline, || !is_over);
        self.drained = true;
        let health = self.journaling.health();
        let (mut unsaved, mut journaled) = (Vec::new(), Vec::new());
        for slot in self.documents.values() {
            if slot.document.is_undurable(health) || appending.contains(&slot.name) {
                unsaved.push(slot.name.clone());
            } else if slot.document.is_unsaved() || slot.entry.is_some() {
                journaled.push(slot.name.clone());
            }
        }
        if !planted::is(Bug::BacklogNotListed) {
            for doc in self.backlog.docs() {
                match appending.contains(doc) {
                    true => unsaved.push(doc.clone()),
                    false => journaled.push(doc.clone()),
                }
            }
        }
        marks::hit_if(Mark::DrainedUnsaved, || !unsaved.is_empty());
        marks::hit_if(Mark::DrainedJournaled, || !journaled.is_empty());
        self.outputs
            .push_back(Output::Drained { unsaved, journaled });
    }
}

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
    fn new(now: Duration, conns: VecDeque<ConnId>, time: Duration) -> Self {
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
    fn take_due(&mut self, now: Duration) -> Vec<ConnId> {
        if now < self.next {
            return Vec::new();
        }
        self.next = now + PAUSE;
        let count = self.at_once.min(self.conns.len());
        self.conns.drain(..count).collect()
    }
}
