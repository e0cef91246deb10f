//! Updates that follow what is unknown: how many there may be, and that their
//! senders are asked for what is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ysyncd_engine::{Config, ConnId, DocId};

use super::{Ids, Invariant, Violation};

/// The gaps in what one engine holds.
#[derive(Debug)]
pub(super) struct Gaps {
    runs_max: usize,
    resync_delay: Duration,
    /// Who has to be asked, and by when.
    due: BTreeMap<ConnId, Duration>,
    /// What was loaded and replayed knows no limits.
    has_unlimited: BTreeSet<DocId>,
    violation: Option<Violation>,
}

impl Gaps {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            runs_max: config.gap_runs_max,
            resync_delay: config.resync_delay,
            due: BTreeMap::new(),
            has_unlimited: BTreeSet::new(),
            violation: None,
        }
    }

    pub(super) fn is_unlimited(&mut self, doc: &DocId) {
        self.has_unlimited.insert(doc.clone());
    }

    /// This became part of what is `here`, with an update of a connection.
    pub(super) fn applied(
        &mut self,
        now: Duration,
        doc: &DocId,
        from: ConnId,
        news: &Ids,
        here: &Ids,
    ) -> Result<(), Violation> {
        if !news.open_a_gap_in(here) {
            return Ok(());
        }
        self.due.entry(from).or_insert(now + self.resync_delay);
        let runs = here.gap_runs();
        let is_within = self.has_unlimited.contains(doc) || runs <= self.runs_max;
        Invariant::Bounded.holds(is_within, || {
            format!("{runs} runs follow gaps, and {} may", self.runs_max)
        })
    }

    /// Whether there may be no more gaps than those that are `here` and at
    /// most so many others.
    pub(super) fn are_too_many(&self, here: &Ids, others: usize) -> bool {
        here.gap_runs() + others > self.runs_max
    }

    /// A connection was asked, or it is known that it has to be.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.due.remove(&conn);
    }

    /// Who does not read is asked within the usual time once it does.
    pub(super) fn put_off(&mut self, now: Duration, reads: impl Fn(ConnId) -> bool) {
        if self.due.is_empty() {
            return;
        }
        let due = self.due.iter_mut();
        for (_, due) in due.filter(|(conn, _)| !reads(**conn)) {
            *due = (*due).max(now + self.resync_delay);
        }
    }

    /// Time has passed: who has to be asked by now has been.
    pub(super) fn are_asked(
        &mut self,
        now: Duration,
        is_in: impl Fn(&ConnId) -> bool,
    ) -> Result<(), Violation> {
        self.due.retain(|conn, _| is_in(conn));
        let missed = self.due.iter().find(|(_, due)| **due <= now);
        Invariant::GapAsked.holds(missed.is_none(), || format!("{missed:?} was not asked"))
    }

    /// Notes what is to be told when all is settled.
    pub(super) fn note(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    pub(super) fn take_violation(&mut self) -> Result<(), Violation> {
        self.violation.take().map_or(Ok(()), Err)
    }
}
