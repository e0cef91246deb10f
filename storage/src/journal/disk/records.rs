//! What is to be written, and the records that share a frame.
//!
//! Records of a document at positions that follow each other go into one frame,
//! within bounds: those of somebody who types are smaller than a head. The body holds
//! the length (2) and the update of each but the last, and the last update.

use std::{fmt, iter};

use bytes::{Buf, Bytes};
use ysyncd_engine::{DocId, JournalRecord, Position};

use super::{folder::Found, frame::Kind};
use crate::journal::JournalWrite;

/// Records in one frame, at most. More would save next to nothing.
pub(super) const RECORDS_MAX: u64 = 256;

/// Bytes of a body that several records share, at most: what a changed byte costs, and
/// what is read at once for one of them.
const SHARED_MAX: usize = 16 << 10;

const _: () = assert!(SHARED_MAX <= u16::MAX as usize, "lengths have two bytes");

/// Positions that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Position,
    pub(super) last: Position,
}

/// A frame to be written, or a record, which may share one.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) doc: DocId,
    pub(super) span: Span,
    pub(super) body: Bytes,
}

impl Span {
    /// That of a frame which is about no record.
    pub(super) const NONE: Self = Self::one(Position(0));

    pub(super) const fn one(position: Position) -> Self {
        Self {
            first: position,
            last: position,
        }
    }

    /// So many positions from the first one on; `None` if there are not so many.
    pub(super) fn from(first: Position, records: u64) -> Option<Self> {
        let last = first.0.checked_add(records.checked_sub(1)?)?;
        let last = Position(last);
        Some(Self { first, last })
    }

    /// Up to a position, that one included.
    pub(super) const fn through(last: Position) -> Self {
        let first = Position(0);
        Self { first, last }
    }

    pub(super) const fn records(self) -> u64 {
        (self.last.0 - self.first.0).saturating_add(1)
    }

    pub(super) fn contains(self, position: Position) -> bool {
        self.first <= position && position <= self.last
    }

    /// What of it comes before and after others.
    pub(super) fn without(self, others: Self) -> (Option<Self>, Option<Self>) {
        let before = (self.first < others.first).then(|| Self {
            first: self.first,
            last: self.last.min(Position(others.first.0 - 1)),
        });
        let after = (others.last < self.last).then(|| Self {
            first: self.first.max(Position(others.last.0 + 1)),
            last: self.last,
        });
        (before, after)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first.0, self.last.0) {
            (one, same) if one == same => write!(f, "record {one}"),
            (first, last) => write!(f, "records {first} to {last}"),
        }
    }
}

impl Entry {
    /// What to write where records that were found are to be copied to.
    pub(super) fn copies(doc: &DocId, span: Span, found: Found) -> Vec<Self> {
        let copy = |kind, span, body| Self {
            kind,
            doc: doc.clone(),
            span,
            body,
        };
        match found {
            Found::Damage(bytes) => vec![copy(Kind::Damage, span, bytes)],
            Found::Records(records) => {
                let records = records.into_iter();
                let span = |record: &JournalRecord| Span::one(record.position);
                records
                    .map(|record| copy(Kind::Append, span(&record), record.update))
                    .collect()
            }
        }
    }

    fn follows(&self, before: &Self) -> bool {
        let position = before.span.last.0.checked_add(1);
        [self.kind, before.kind] == [Kind::Append; 2]
            && position == Some(self.span.first.0)
            && self.doc == before.doc
    }
}

impl From<JournalWrite> for Entry {
    fn from(write: JournalWrite) -> Self {
        let (kind, doc, position, body) = match write {
            JournalWrite::Append {
                doc,
                position,
                update,
            } => (Kind::Append, doc, position, update),
            JournalWrite::Trim { doc, through } => (Kind::Trim, doc, through, Bytes::new()),
        };
        let span = Span::one(position);
        Self {
            kind,
            doc,
            span,
            body,
        }
    }
}

/// The entries, by the frames that they go into.
pub(super) fn by_frame(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    let mut rest = entries;
    iter::from_fn(move || {
        let (frame, after) = rest.split_at_checked(in_first_frame(rest))?;
        rest = after;
        (!frame.is_empty()).then_some(frame)
    })
}

fn in_first_frame(entries: &[Entry]) -> usize {
    let Some(first) = entries.first() else {
        return 0;
    };
    let mut bytes = first.body.len();
    let pairs = entries.windows(2).zip(1..RECORDS_MAX);
    let following = pairs.take_while(|(pair, _)| {
        bytes += size_of::<u16>() + pair[1].body.len();
        pair[1].follows(&pair[0]) && bytes <= SHARED_MAX
    });
    1 + following.count()
}

/// The body of a frame with these entries, and the positions that it is about. `room` is
/// for those who share one.
pub(super) fn packed<'a>(frame: &'a [Entry], room: &'a mut Vec<u8>) -> (Span, &'a [u8]) {
    let (last, others) = frame.split_last().expect("a frame holds something");
    let Some(first) = others.first() else {
        return (last.span, &last.body);
    };
    room.clear();
    for entry in others {
        let len = u16::try_from(entry.body.len()).expect("it shares a frame");
        room.extend_from_slice(&len.to_le_bytes());
        room.extend_from_slice(&entry.body);
    }
    room.extend_from_slice(&last.body);
    let (first, last) = (first.span.first, last.span.last);
    (Span { first, last }, room)
}

/// The records in the body of a frame. `None` if it is no such body.
pub(super) fn unpacked(span: Span, mut body: Bytes) -> Option<Vec<JournalRecord>> {
    let mut records = Vec::with_capacity(usize::try_from(span.records()).ok()?);
    for position in span.first.0..span.last.0 {
        let len = usize::from(body.try_get_u16_le().ok()?);
        if body.len() < len {
            return None;
        }
        let (position, update) = (Position(position), body.split_to(len));
        records.push(JournalRecord { position, update });
    }
    let (position, update) = (span.last, body);
    records.push(JournalRecord { position, update });
    Some(records)
}
