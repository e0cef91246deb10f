//! Which records there are, and where.

use std::collections::BTreeMap;

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

/// The records that were neither trimmed nor replaced.
#[derive(Debug, Default)]
pub(super) struct Index {
    docs: BTreeMap<DocId, BTreeMap<Position, Place>>,
    /// Bytes of such records by segment, where there are any.
    live: BTreeMap<u64, u64>,
}

impl Index {
    pub(super) fn insert(&mut self, doc: &DocId, position: Position, place: Place) {
        let records = match self.docs.get_mut(doc) {
            Some(records) => records,
            None => self.docs.entry(doc.clone()).or_default(),
        };
        let replaced = records.insert(position, place);
        *self.live.entry(place.segment).or_default() += place.len as u64;
        self.forget(replaced);
    }

    pub(super) fn trim(&mut self, doc: &DocId, through: Position) {
        let Some(records) = self.docs.get_mut(doc) else {
            return;
        };
        let mut trimmed = Vec::new();
        while let Some(first) = records.first_entry()
            && *first.key() <= through
        {
            trimmed.push(first.remove());
        }
        if records.is_empty() {
            self.docs.remove(doc);
        }
        self.forget(trimmed);
    }

    pub(super) fn mark_damaged(&mut self, doc: &DocId, position: Position) {
        let records = self.docs.get_mut(doc);
        if let Some(place) = records.and_then(|records| records.get_mut(&position)) {
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
        let records = self.docs.get(doc).into_iter().flatten();
        records.map(|(position, place)| (*position, *place))
    }

    /// The records in a segment, by document, ascending.
    pub(super) fn in_segment(&self, segment: u64) -> Vec<(DocId, Position, Place)> {
        let records = |(doc, records): (&DocId, &BTreeMap<Position, Place>)| {
            let here = records.iter().filter(|(_, p)| p.segment == segment);
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

    fn forget(&mut self, places: impl IntoIterator<Item = Place>) {
        for place in places {
            let live = self
                .live
                .get_mut(&place.segment)
                .expect("a place in the index is counted");
            *live -= place.len as u64;
            if *live == 0 {
                self.live.remove(&place.segment);
            }
        }
    }
}
