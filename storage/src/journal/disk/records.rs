//! What is to be written, and the records that share a frame.
//!
//! Records of a document at positions that follow each other go into one frame,
//! within bounds: those of somebody who types are smaller than a head. The body holds
//! the length (2) and the update of each but the last, and the last update.

use std::{fmt, iter, mem};

use bytes::{Buf, Bytes};
use ysyncd_engine::{DocId, JournalRecord, Position};

use super::{folder::Found, frame::Kind};
use crate::journal::JournalWrite;

/// Records in one frame, at most. More would save next to nothing.
pub(super) const RECORDS_MAX: u64 = 256;

/// Bytes of a body that several records share, at most: what a changed byte costs, and
/// what is read at once for one of them.
const SHARED_MAX: usize = 16 << 10;

/// Bytes of the length of a record.
const LENGTH: usize = size_of::<u16>();

const _: () = assert!(SHARED_MAX <= u16::MAX as usize, "a length holds it");

/// Positions that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Position,
    pub(super) last: Position,
}

/// What is written: a frame, or part of one that records share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) kind: Kind,
    pub(super) doc: &'a DocId,
    pub(super) span: Span,
    body: &'a [u8],
}

/// What makes an entry.
pub(super) trait Write {
    fn entry(&self) -> Entry<'_>;
}

/// What is written once more, elsewhere.
#[derive(Debug)]
pub(super) struct Copied {
    kind: Kind,
    doc: DocId,
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

impl Write for JournalWrite {
    fn entry(&self) -> Entry<'_> {
        let (kind, doc, position, body) = match self {
            Self::Append {
                doc,
                position,
                update,
            } => (Kind::Append, doc, *position, &update[..]),
            Self::Trim { doc, through } => (Kind::Trim, doc, *through, &[][..]),
        };
        let span = Span::one(position);
        Entry {
            kind,
            doc,
            span,
            body,
        }
    }
}

impl Write for Copied {
    fn entry(&self) -> Entry<'_> {
        Entry {
            kind: self.kind,
            doc: &self.doc,
            span: self.span,
            body: &self.body,
        }
    }
}

impl Copied {
    /// What to write for records that were found.
    pub(super) fn from(doc: &DocId, span: Span, found: Found) -> Vec<Self> {
        let copied = |kind, span, body| Self {
            kind,
            doc: doc.clone(),
            span,
            body,
        };
        match found {
            Found::Damage(bytes) => vec![copied(Kind::Damage, span, bytes)],
            Found::Records(records) => {
                let span = |record: &JournalRecord| Span::one(record.position);
                let records = records.into_iter();
                records
                    .map(|record| copied(Kind::Append, span(&record), record.update))
                    .collect()
            }
        }
    }
}

impl Entry<'_> {
    /// Whether it may share a frame with the one before.
    fn follows(&self, before: &Self) -> bool {
        let position = before.span.last.0.checked_add(1);
        [self.kind, before.kind] == [Kind::Append; 2]
            && position == Some(self.span.first.0)
            && self.doc == before.doc
    }
}

/// The writes, by the frames that they go into.
pub(super) fn by_frame<W: Write>(writes: &[W]) -> impl Iterator<Item = &[W]> {
    let mut rest = writes;
    iter::from_fn(move || {
        let (frame, after) = rest.split_at(in_first_frame(rest)?);
        rest = after;
        Some(frame)
    })
}

fn in_first_frame<W: Write>(writes: &[W]) -> Option<usize> {
    let (first, others) = writes.split_first()?;
    let mut last = first.entry();
    let mut bytes = last.body.len();
    let following = others.iter().zip(1..RECORDS_MAX).take_while(|(write, _)| {
        let before = mem::replace(&mut last, write.entry());
        bytes += LENGTH + last.body.len();
        bytes <= SHARED_MAX && last.follows(&before)
    });
    Some(1 + following.count())
}

/// What stands in a frame: an entry for all that share it, and the body. `room` is for
/// the body if they are several.
pub(super) fn packed<'f: 'r, 'r, W: Write>(
    frame: &'f [W],
    room: &'r mut Vec<u8>,
) -> (Entry<'f>, &'r [u8]) {
    let (last, others) = frame.split_last().expect("a frame holds something");
    let mut entry = last.entry();
    let Some(first) = others.first() else {
        return (entry, entry.body);
    };
    room.clear();
    for other in others {
        let body = other.entry().body;
        let len = u16::try_from(body.len()).expect("it shares a frame");
        room.extend_from_slice(&len.to_le_bytes());
        room.extend_from_slice(body);
    }
    room.extend_from_slice(entry.body);
    entry.span.first = first.entry().span.first;
    (entry, room)
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
