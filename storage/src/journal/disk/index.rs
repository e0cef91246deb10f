//! Which records there are, and where.

use std::collections::{BTreeMap, VecDeque};

use ysyncd_engine::{DocId, Position};

use super::records::Span;

/// Where a frame with records stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// Of the whole frame.
    pub(super) len: usize,
    /// The positions of all its records.
    pub(super) span: Span,
    /// Whether what stands there is known not to be what was written.
    pub(super) damaged: bool,
}

/// Records that follow each other in one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The positions of those that were neither trimmed nor replaced.
    pub(super) span: Span,
    pub(super) place: Place,
}

/// Those of one document, ascending. Nearly all come behind all others, and go
/// from the front.
#[derive(Debug, Default)]
struct Runs(VecDeque<Run>);

/// Bytes of records by segment, where there are any.
#[derive(Debug, Default)]
struct Live(BTreeMap<u64, u64>);

/// The records that were neither trimmed nor replaced.
#[derive(Debug, Default)]
pub(super) struct Index {
    docs: BTreeMap<DocId, Runs>,
    live: Live,
}

impl Index {
    /// Adds the records of a frame; each replaces what had its position.
    pub(super) fn insert(&mut self, doc: &DocId, place: Place) {
        let runs = match self.docs.get_mut(doc) {
            Some(runs) => runs,
            None => self.docs.entry(doc.clone()).or_default(),
        };
        runs.insert(place, &mut self.live);
    }

    pub(super) fn trim(&mut self, doc: &DocId, through: Position) {
        let Some(runs) = self.docs.get_mut(doc) else {
            return;
        };
        runs.remove(Span::through(through), &mut self.live);
        if runs.0.is_empty() {
            self.docs.remove(doc);
        }
    }

    pub(super) fn mark_damaged(&mut self, doc: &DocId, place: Place) {
        let runs = self.docs.get_mut(doc).into_iter();
        for run in runs.flat_map(|runs| &mut runs.0) {
            run.place.damaged |= run.place == place;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.docs.is_empty()
    }

    /// The documents with records, in order.
    pub(super) fn docs(&self) -> impl Iterator<Item = &DocId> {
        self.docs.keys()
    }

    /// The records of a document, ascending.
    pub(super) fn runs(&self, doc: &DocId) -> impl Iterator<Item = Run> {
        let runs = self.docs.get(doc).into_iter();
        runs.flat_map(|runs| runs.0.iter().copied())
    }

    /// The records in a segment, by document, ascending.
    pub(super) fn in_segment(&self, segment: u64) -> Vec<(DocId, Run)> {
        let runs = |(doc, runs): (&DocId, &Runs)| {
            let here = runs.0.iter().filter(|run| run.place.segment == segment);
            here.map(|run| (doc.clone(), *run)).collect::<Vec<_>>()
        };
        self.docs.iter().flat_map(runs).collect()
    }

    /// Bytes of records in a segment.
    pub(super) fn live_in(&self, segment: u64) -> u64 {
        self.live.0.get(&segment).copied().unwrap_or(0)
    }

    /// Bytes of all records.
    pub(super) fn live(&self) -> u64 {
        self.live.0.values().sum()
    }
}

impl Runs {
    fn insert(&mut self, place: Place, live: &mut Live) {
        let span = place.span;
        let added = Run { span, place };
        live.add(&added);
        if self.0.back().is_none_or(|run| run.span.last < span.first) {
            return self.0.push_back(added);
        }
        self.remove(span, live);
        let at = self.0.partition_point(|run| run.span.last < span.first);
        self.0.insert(at, added);
    }

    /// Takes out records. Of a run that has others, too, these stay.
    fn remove(&mut self, span: Span, live: &mut Live) {
        let start = self.0.partition_point(|run| run.span.last < span.first);
        let end = self.0.partition_point(|run| run.span.first <= span.last);
        let mut rest = [None; 2];
        for run in self.0.drain(start..end) {
            live.remove(&run);
            let (before, after) = run.span.without(span);
            let of_run = |span| Run { span, ..run };
            rest[0] = rest[0].or(before.map(of_run));
            rest[1] = after.map(of_run);
        }
        for run in rest.into_iter().flatten().rev() {
            live.add(&run);
            self.0.insert(start, run);
        }
        // Where many were, there need not be many again.
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(2 * self.0.len());
        }
    }
}

impl Run {
    /// What of the frame its records take.
    pub(super) fn bytes(&self) -> u64 {
        let all = self.place.span.records();
        (self.place.len as u64 * self.span.records()).div_ceil(all)
    }
}

impl Live {
    fn add(&mut self, run: &Run) {
        *self.0.entry(run.place.segment).or_default() += run.bytes();
    }

    fn remove(&mut self, run: &Run) {
        let segment = run.place.segment;
        let live = self.0.get_mut(&segment);
        let live = live.expect("a run in the index is counted");
        *live -= run.bytes();
        if *live == 0 {
            self.0.remove(&segment);
        }
    }
}
