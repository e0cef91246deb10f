//! The format of a segment: a header, then frames, one after the other.
//!
//! A frame is head, body, and the head once more, so that damage to one place
//! leaves known whose frame it is and where the next one starts. Each head has
//! a checksum over itself, where the frame stands and the salt of the segment:
//! bytes that a client has sent, or that the disk held before, are no frames.
//! Numbers are little-endian.
//!
//! ```text
//! head    mark(4) kind(1) doc length(2) records but for one(1) position of the first(8)
//!         body length(8) synced through(8) checksum of the body(8) doc checksum(8)
//! header  mark(8) salt(16) number(8) length of the segment before(8)
//!         target length(8) target checksum(8), written twice
//! ```

use std::borrow::Borrow;

use xxhash_rust::xxh3::xxh3_64_with_seed;
use ysyncd_engine::{DocId, Position};

use super::records::{RECORDS_MAX, Span};

const HEAD: [u8; 4] = *b"ysJ<";
const TAIL: [u8; 4] = *b"ysJ>";
const HEADER: [u8; 8] = *b"ysyncdJ3";

/// Bytes of a head but for the document's name.
const HEAD_FIXED: usize = 48;

/// Bytes of a header but for the target.
const HEADER_FIXED: usize = 56;

/// XXH3: this is about damage, which 64 bits tell well.
type Sum = [u8; 8];

/// Makes a segment's checksums differ from those of all others. Whoever does
/// not know it cannot write a head.
pub(super) type Salt = [u8; 16];

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Records; the body holds their updates.
    Append = 1,
    /// Records up to the position are gone.
    Trim = 2,
    /// The bytes of a frame that was found damaged, as they were found.
    Damage = 3,
    /// All that stands before is durable. It has no document.
    Synced = 4,
}

/// What a frame is about, and how long it is. To write one, its document's name is
/// borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head<D = DocId> {
    pub(super) kind: Kind,
    /// `None` for [`Kind::Synced`] alone.
    pub(super) doc: Option<D>,
    /// The positions of its records, or of those that were in what was found damaged.
    pub(super) span: Span,
    /// How much of the segment was durable when the frame was written.
    pub(super) synced_through: u64,
    body_len: u64,
    body_sum: Sum,
}

impl<'a> Head<&'a DocId> {
    pub(super) fn new(
        kind: Kind,
        doc: Option<&'a DocId>,
        span: Span,
        synced_through: u64,
        body: &[u8],
    ) -> Self {
        Self {
            kind,
            doc,
            span,
            synced_through,
            body_len: body.len() as u64,
            body_sum: sum(body),
        }
    }
}

impl<D: Borrow<DocId>> Head<D> {
    /// Writes the frame that will stand at `offset` of its segment.
    pub(super) fn write(&self, body: &[u8], salt: &Salt, offset: u64, out: &mut Vec<u8>) {
        let doc = self.doc.as_ref().map_or("", |doc| doc.borrow().as_str());
        let doc_len = u16::try_from(doc.len()).expect("a document id has 300 bytes at most");
        let records = self.span.records();
        debug_assert!(records <= RECORDS_MAX);
        // Written as words: a small record is mostly its heads.
        let mark_kind_len = u64::from(u32::from_le_bytes(HEAD))
            | u64::from(self.kind as u8) << 32
            | u64::from(doc_len) << 40
            | (records - 1) << 56;
        let words = [
            mark_kind_len,
            self.span.first.0,
            self.body_len,
            self.synced_through,
            u64::from_le_bytes(self.body_sum),
        ];
        out.reserve(2 * self.len() + body.len());
        let fields = out.len() + HEAD.len();
        out.extend_from_slice(words.map(u64::to_le_bytes).as_flattened());
        out.extend_from_slice(doc.as_bytes());
        let sum = head_sum(salt, offset, &out[fields..]);
        out.extend_from_slice(&sum);
        let end = out.len();
        out.extend_from_slice(body);
        out.extend_from_slice(&TAIL);
        out.extend_from_within(fields..end);
    }

    fn len(&self) -> usize {
        let doc = self.doc.as_ref();
        HEAD_FIXED + doc.map_or(0, |doc| doc.borrow().as_str().len())
    }

    /// The length of the whole frame; `None` if no file could hold it.
    pub(super) fn frame_len(&self) -> Option<usize> {
        let body = usize::try_from(self.body_len).ok()?;
        body.checked_add(2 * self.len())
    }

    /// The body within the frame's bytes; `None` if it is not what was
    /// written.
    pub(super) fn body<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let end = frame.len().checked_sub(self.len())?;
        let body = frame.get(self.len()..end)?;
        (body.len() as u64 == self.body_len && sum(body) == self.body_sum).then_some(body)
    }
}

impl Head {
    /// The head of the frame whose bytes begin at `at`, if it is whole.
    pub(super) fn front(bytes: &[u8], at: usize, salt: &Salt) -> Option<Self> {
        Self::parse(bytes.get(at..)?, HEAD, |_| Some(at), salt)
    }

    /// The head of the frame that these bytes, read at `offset`, are; from
    /// either end.
    pub(super) fn of_frame(frame: &[u8], offset: u64, salt: &Salt) -> Option<Self> {
        let start = |_: &Self| usize::try_from(offset).ok();
        let is_all = |head: &Self| head.frame_len() == Some(frame.len());
        let front = Self::parse(frame, HEAD, start, salt).filter(is_all);
        front.or_else(|| {
            let mut tails = places_of(&TAIL, frame, 0);
            tails.find_map(|at| Self::parse(&frame[at..], TAIL, start, salt).filter(is_all))
        })
    }

    /// The same from the end of the frame: the first whole tail of a frame
    /// that begins at `at`.
    pub(super) fn from_tail(bytes: &[u8], at: usize, salt: &Salt) -> Option<Self> {
        places_of(&TAIL, bytes, at).find_map(|tail| {
            let start = |head: &Self| (tail + head.len()).checked_sub(head.frame_len()?);
            let head = Self::parse(&bytes[tail..], TAIL, start, salt)?;
            (start(&head) == Some(at)).then_some(head)
        })
    }

    /// Where the next frame with a whole head begins, after `at`.
    pub(super) fn next_front(bytes: &[u8], at: usize, salt: &Salt) -> Option<usize> {
        places_of(&HEAD, bytes, at + 1).find(|&at| Self::front(bytes, at, salt).is_some())
    }

    fn parse(
        bytes: &[u8],
        mark: [u8; 4],
        start: impl Fn(&Self) -> Option<usize>,
        salt: &Salt,
    ) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&mark)?;
        let fields = rest;
        let [kind] = take(&mut rest)?;
        let doc_len = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let [more_records] = take(&mut rest)?;
        let position = Position(u64::from_le_bytes(take(&mut rest)?));
        let span = Span::from(position, u64::from(more_records) + 1)?;
        let body_len = u64::from_le_bytes(take(&mut rest)?);
        let synced_through = u64::from_le_bytes(take(&mut rest)?);
        let body_sum = take(&mut rest)?;
        let (doc, after) = rest.split_at_checked(doc_len)?;
        rest = after;
        let expected: Sum = take(&mut rest)?;
        let kind = match kind {
            1 => Kind::Append,
            2 => Kind::Trim,
            3 => Kind::Damage,
            4 => Kind::Synced,
            _ => return None,
        };
        let doc = DocId::new(std::str::from_utf8(doc).ok()?).ok();
        if doc.is_none() != (kind == Kind::Synced) {
            return None;
        }
        let head = Self {
            kind,
            doc,
            span,
            synced_through,
            body_len,
            body_sum,
        };
        let fields = &fields[..HEAD_FIXED - 12 + doc_len];
        let actual = head_sum(salt, start(&head)? as u64, fields);
        (actual == expected).then_some(head)
    }
}

/// The beginning of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) salt: Salt,
    pub(super) number: u64,
    /// How long the segment before is; none is ever written to after the next
    /// one was begun.
    pub(super) previous_len: u64,
    /// Where the records belong.
    pub(super) target: String,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut copy = HEADER.to_vec();
        copy.extend(self.salt);
        copy.extend(self.number.to_le_bytes());
        copy.extend(self.previous_len.to_le_bytes());
        copy.extend((self.target.len() as u64).to_le_bytes());
        copy.extend(self.target.as_bytes());
        copy.extend(sum(&copy));
        [copy.as_slice(), &copy].concat()
    }

    /// Reads it from the front of a segment.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Self::decode_copy(bytes).or_else(|| {
            // The second copy begins where it ends if counted from the front.
            places_of(&HEADER, bytes, 1).find_map(|at| {
                let header = Self::decode_copy(&bytes[at..])?;
                (header.len() == 2 * at).then_some(header)
            })
        })
    }

    /// Where the frames begin.
    pub(super) fn len(&self) -> usize {
        2 * (HEADER_FIXED + self.target.len())
    }

    fn decode_copy(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&HEADER)?;
        let salt = take(&mut rest)?;
        let number = u64::from_le_bytes(take(&mut rest)?);
        let previous_len = u64::from_le_bytes(take(&mut rest)?);
        let target_len = usize::try_from(u64::from_le_bytes(take(&mut rest)?)).ok()?;
        let (target, after) = rest.split_at_checked(target_len)?;
        rest = after;
        let expected: Sum = take(&mut rest)?;
        let actual = sum(&bytes[..HEADER_FIXED - 8 + target_len]);
        (actual == expected).then_some(())?;
        Some(Self {
            salt,
            number,
            previous_len,
            target: String::from_utf8(target.to_vec()).ok()?,
        })
    }
}

fn head_sum(salt: &Salt, offset: u64, fields: &[u8]) -> Sum {
    let place = xxh3_64_with_seed(salt, offset);
    xxh3_64_with_seed(fields, place).to_le_bytes()
}

fn sum(bytes: &[u8]) -> Sum {
    xxh3_64_with_seed(bytes, 0).to_le_bytes()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn places_of<'a>(mark: &'a [u8], bytes: &'a [u8], from: usize) -> impl Iterator<Item = usize> + 'a {
    let windows = bytes.get(from..).unwrap_or_default().windows(mark.len());
    let found = windows
        .enumerate()
        .filter(move |(_, window)| *window == mark);
    found.map(move |(at, _)| from + at)
}
