//! Which records there are, and where.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use ysyncd_engine::{DocId, Position};

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// Of the whole frame.
    pub(super) len: usize,
    /// Whether what stands there is known not to be what was written.
    pub(super) damaged: bool,
}

/// Those of one document, ascending. Nearly all come behind all others, and go
/// from the front.
#[derive(Debug, Default)]
struct Records(VecDeque<(Position, Place)>);

/// The records that were neither trimmed nor replaced.
#[derive(Debug, Default)]
pub(super) struct Index {
    docs: BTreeMap<DocId, Records>,
    /// Bytes of such records by segment, where there are any.
    live: BTreeMap<u64, u64>,
}

impl Index {
    /// Adds records of a document that stand in one segment; each replaces what had
    /// its position.
    pub(super) fn insert(
        &mut self,
        doc: &DocId,
        segment: u64,
        added: impl IntoIterator<Item = (Position, Place)>,
    ) {
        let records = match self.docs.get_mut(doc) {
            Some(records) => records,
            None => self.docs.entry(doc.clone()).or_default(),
        };
        let (mut bytes, mut replaced) = (0, Vec::new());
        for (position, place) in added {
            debug_assert_eq!(place.segment, segment);
            bytes += place.len as u64;
            replaced.extend(records.insert(position, place));
        }
        *self.live.entry(segment).or_default() += bytes;
        self.forget(&replaced);
    }

    pub(super) fn trim(&mut self, doc: &DocId, through: Position) {
        let Some(records) = self.docs.get_mut(doc) else {
            return;
        };
        let trimmed = records.trim(through);
        if records.0.is_empty() {
            self.docs.remove(doc);
        }
        self.forget(&trimmed);
    }

    pub(super) fn mark_damaged(&mut self, doc: &DocId, position: Position) {
        let records = self.docs.get_mut(doc);
        if let Some(place) = records.and_then(|records| records.get_mut(position)) {
            place.damaged = true;
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
    pub(super) fn records(&self, doc: &DocId) -> impl Iterator<Item = (Position, Place)> {
        let records = self.docs.get(doc).into_iter();
        records.flat_map(|records| records.0.iter().copied())
    }

    /// The records in a segment, by document, ascending.
    pub(super) fn in_segment(&self, segment: u64) -> Vec<(DocId, Position, Place)> {
        let records = |(doc, records): (&DocId, &Records)| {
            let here = records.0.iter().filter(|(_, p)| p.segment == segment);
            let here = here.map(|(position, place)| (doc.clone(), *position, *place));
            here.collect::<Vec<_>>()
        };
        self.docs.iter().flat_map(records).collect()
    }

    /// Bytes of records in a segment.
    pub(super) fn live_in(&self, segment: u64) -> u64 {
        self.live.get(&segment).copied().unwrap_or(0)
    }

    /// Bytes of all records.
    pub(super) fn live(&self) -> u64 {
        self.live.values().sum()
    }

    fn forget(&mut self, places: &[Place]) {
        for of_segment in places.chunk_by(|one, next| one.segment == next.segment) {
            let segment = of_segment[0].segment;
            let bytes: usize = of_segment.iter().map(|place| place.len).sum();
            let live = self.live.get_mut(&segment);
            let live = live.expect("a place in the index is counted");
            *live -= bytes as u64;
            if *live == 0 {
                self.live.remove(&segment);
            }
        }
    }
}

impl Records {
    /// Adds a record; gives the one that it replaces.
    fn insert(&mut self, position: Position, place: Place) -> Option<Place> {
        if self.0.back().is_none_or(|(last, _)| *last < position) {
            self.0.push_back((position, place));
            return None;
        }
        match self.find(position) {
            Ok(at) => Some(mem::replace(&mut self.0[at].1, place)),
            Err(at) => {
                self.0.insert(at, (position, place));
                None
            }
        }
    }

    /// Takes out those up to a position.
    fn trim(&mut self, through: Position) -> Vec<Place> {
        let len = self.0.partition_point(|(position, _)| *position <= through);
        let trimmed = self.0.drain(..len).map(|(_, place)| place).collect();
        // Where many were, there need not be many again.
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(2 * self.0.len());
        }
        trimmed
    }

    fn get_mut(&mut self, position: Position) -> Option<&mut Place> {
        let at = self.find(position).ok()?;
        Some(&mut self.0[at].1)
    }

    fn find(&self, position: Position) -> Result<usize, usize> {
        self.0.binary_search_by_key(&position, |(here, _)| *here)
    }
}
