//! Reading an update: all of the grammar is checked before anything is used.

use std::{cmp::Reverse, collections::BTreeSet};

use bytes::Bytes;
use thiserror::Error;

use super::{
    CLOCK_MAX, ClientId, Clock, ClockRange, Id, Outline, Trust,
    structs::{Body, KeptStruct, Plain, Struct, read_client, read_clock},
};
use crate::{
    lib0::{ReadError, Reader},
    planted::{self, Bug},
};

/// Why bytes are no update, or none that every client could load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Bytes follow after the end.
    #[error("trailing bytes")]
    TrailingBytes,
    /// A count exceeds what the bytes left can hold.
    #[error("a count exceeds the bytes that follow")]
    Count,
    /// A content reference that Yjs does not know.
    #[error("unknown content reference {0}")]
    UnknownContent(u8),
    /// A type reference that Yjs does not know.
    #[error("unknown type reference {0}")]
    UnknownType(u64),
    /// An "any" value that lib0 does not know.
    #[error("unknown any value {0}")]
    UnknownAny(u8),
    /// A parent is neither named (1) nor an item (0).
    #[error("unknown parent info {0}")]
    ParentInfo(u64),
    /// Values nested more than 64 deep.
    #[error("values nested too deep")]
    TooDeep,
    /// A text that should be JSON is not, or nests too deep.
    #[error("invalid JSON")]
    Json,
    /// A subdocument's options are no object, or hold what breaks it.
    #[error("invalid subdocument options")]
    DocOptions,
    /// A struct or a deleted range without length.
    #[error("empty struct or range")]
    EmptyStruct,
    /// A clock past 2^31.
    #[error("clock out of range")]
    ClockRange,
    /// A struct names something of its own client that is not before it.
    #[error("a struct refers to its own future")]
    SelfReference,
}

/// Bytes that are a whole valid update.
///
/// Nothing is allocated: what an update holds is read again whenever it is
/// looked at, so that its size in memory is that of its bytes.
#[derive(Debug, Clone)]
pub struct Update<'a> {
    bytes: &'a [u8],
    found: Found,
    /// The struct, if there is only one, as in what somebody types: it is not
    /// read again.
    only: Option<Struct<'a>>,
}

/// What was found when an update was checked.
#[derive(Debug, Clone)]
struct Found {
    /// Where the deletes begin.
    deletes_at: usize,
    canonical: bool,
    types: usize,
    /// All structs, if they are one run of one client.
    run: Option<(ClientId, ClockRange)>,
}

/// An update that is kept for a while.
#[derive(Debug)]
pub(crate) struct KeptUpdate {
    /// What it is kept in; it stands at the end of that.
    kept: Bytes,
    at: usize,
    found: Found,
    /// The struct, if there is only one. It ends where the deletes begin.
    only: Option<KeptStruct>,
}

impl KeptUpdate {
    /// Keeps an update in bytes that end with it.
    pub(crate) fn new(kept: Bytes, update: &Update<'_>) -> Self {
        let at = kept.len() - update.bytes.len();
        debug_assert_eq!(&kept[at..], update.bytes);
        Self {
            kept,
            at,
            found: update.found.clone(),
            only: update.only.as_ref().map(Struct::keep),
        }
    }

    /// What it is kept in.
    pub(crate) const fn kept(&self) -> &Bytes {
        &self.kept
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.kept[self.at..]
    }

    /// It, without checking the bytes again.
    pub(crate) fn update(&self) -> Update<'_> {
        let bytes = self.bytes();
        let before_deletes = &bytes[..self.found.deletes_at];
        Update {
            bytes,
            found: self.found.clone(),
            only: self
                .only
                .as_ref()
                .map(|only| only.at_end_of(before_deletes)),
        }
    }
}

impl<'a> Update<'a> {
    /// Checks that the bytes are an update that Yjs 13.6 decodes and
    /// integrates.
    ///
    /// # Errors
    /// The first rule that is broken. Time is linear in the bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut sections = Sections::new(bytes, Trust::Input)?;
        let (mut skips, mut types, mut runs) = (false, 0, 0);
        let (mut run, mut only, mut structs) = (None, None, 0_usize);
        while let Some(client) = sections.next_section()? {
            let start = sections.next.clock;
            while let Some(item) = sections.next_struct()? {
                skips |= matches!(item.body, Body::Skip);
                types += usize::from(item.is_type());
                if structs == 0 {
                    only = Some(item);
                }
                structs += 1;
                while sections.next_plain(None, |_| true).is_some() {
                    structs += 1;
                }
            }
            runs += 1;
            run = Some((client, start..sections.next.clock));
        }
        let deletes = sections.rest();
        let mut ranges = Deletes::new(deletes)?;
        while ranges.next_range()?.is_some() {}
        let found = Found {
            deletes_at: bytes.len() - deletes.len(),
            canonical: sections.canonical && !skips && ranges.canonical,
            types,
            run: run.filter(|(_, clocks)| runs == 1 && !skips && !clocks.is_empty()),
        };
        if structs != 1 || skips {
            only = None;
        }
        Ok(Self { bytes, found, only })
    }

    /// What it is.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The struct, if it is known that there is only one.
    pub(crate) const fn only(&self) -> Option<&Struct<'a>> {
        self.only.as_ref()
    }

    /// The clocks of all structs, if they are one run of one client, as what
    /// somebody types is.
    pub(crate) const fn run(&self) -> Option<&(ClientId, ClockRange)> {
        self.found.run.as_ref()
    }

    /// How many structs hold a type.
    pub(crate) const fn types(&self) -> usize {
        self.found.types
    }

    /// Whether it stands as Yjs would write it: one section per client in
    /// descending order, each a single run, and the deletes in order too. Yjs
    /// takes others, but loses some of what they tell.
    pub(crate) const fn is_canonical(&self) -> bool {
        self.found.canonical
    }

    /// What it holds, section after section, for people to read.
    pub fn outline(&self) -> impl Iterator<Item = Outline<'a>> {
        self.all_structs().map(|item| Outline::of(&item))
    }

    /// The structs, section after section; no Skip among them.
    pub(crate) fn structs(&self) -> impl Iterator<Item = Struct<'a>> + use<'a> {
        self.all_structs()
            .filter(|item| !matches!(item.body, Body::Skip))
    }

    fn all_structs(&self) -> impl Iterator<Item = Struct<'a>> + use<'a> {
        self.sections().into_structs()
    }

    /// Its sections, to be walked without errors.
    pub(crate) fn sections(&self) -> Sections<'a> {
        Sections::new(self.bytes, Trust::Stored).expect(CHECKED)
    }

    /// The same in the order in which they are written: clients descend. What comes
    /// of one client in several sections ascends, though a client may send the last
    /// first, or sections that interleave: those come struct by struct.
    pub(crate) fn sections_in_order(&self) -> Sections<'a> {
        let sections = self.sections();
        if self.is_canonical() {
            return sections;
        }
        let mut order = self.pieces();
        order.sort_unstable();
        let interleaved = interleaved(&order);
        if let Some(interleaved) = interleaved.filter(|_| !planted::is(Bug::InterleavedTakenWhole))
        {
            order = self.pieces_of(&interleaved);
            order.sort_unstable();
        }
        Sections {
            sections_left: order.len() as u64,
            order: Some(order.into_iter()),
            ..sections
        }
    }

    /// The sections as they stand.
    fn pieces(&self) -> Vec<Piece> {
        self.pieces_of(&BTreeSet::new())
    }

    /// The sections as they stand, those of some clients struct by struct.
    fn pieces_of(&self, apart: &BTreeSet<ClientId>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut sections = self.sections();
        while let Some(client) = sections.next_section().expect(CHECKED) {
            let is_apart = apart.contains(&client);
            let mut piece = sections.next_piece();
            while let Some(item) = sections.next_struct().expect(CHECKED) {
                if is_apart {
                    (piece.structs, piece.end) = (1, item.end());
                    pieces.extend((!matches!(item.body, Body::Skip)).then_some(piece));
                    piece = sections.next_piece();
                }
            }
            if !is_apart {
                piece.end = sections.next.clock;
                pieces.push(piece);
            }
        }
        pieces
    }

    /// The deleted ranges, in the order they came.
    pub fn deletes(&self) -> impl Iterator<Item = (ClientId, ClockRange)> {
        let deletes = &self.bytes[self.found.deletes_at..];
        let mut ranges = Deletes::new(deletes).expect(CHECKED);
        std::iter::from_fn(move || ranges.next_range().expect(CHECKED))
    }
}

const CHECKED: &str = "an update was checked as a whole";

/// Structs of one client that follow each other in an update, a section or a part of
/// one. Pieces are sorted as sections are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    client: Reverse<ClientId>,
    clock: Clock,
    /// Where its first struct stands.
    at: u32,
    end: Clock,
    structs: u32,
}

/// The clients of which sections interleave, if there are any. To take such sections in
/// one after the other would take time with the square of their structs: each of the
/// second comes between two of the first.
fn interleaved(sections: &[Piece]) -> Option<BTreeSet<ClientId>> {
    let mut interleaved = BTreeSet::new();
    let mut before: Option<(Reverse<ClientId>, Clock)> = None;
    for section in sections {
        let same = before.filter(|(client, _)| *client == section.client);
        let end = same.map_or(0, |(_, end)| end);
        if section.clock < end {
            interleaved.insert(section.client.0);
        }
        before = Some((section.client, section.end.max(end)));
    }
    (!interleaved.is_empty()).then_some(interleaved)
}

/// Walks the sections of an update, and in each its structs.
pub(crate) struct Sections<'a> {
    reader: Reader<'a>,
    trust: Trust,
    sections_left: u64,
    structs_left: u64,
    next: Id,
    /// The client of the section being read.
    section: Option<ClientId>,
    /// What is to be read in place of the sections, if not those as they stand.
    order: Option<std::vec::IntoIter<Piece>>,
    bytes: &'a [u8],
    /// Whether the sections so far descend by client, one each, none empty.
    canonical: bool,
}

impl<'a> Sections<'a> {
    pub(crate) fn new(bytes: &'a [u8], trust: Trust) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let sections_left = read_count(&mut reader)?;
        Ok(Self {
            reader,
            trust,
            sections_left,
            structs_left: 0,
            next: Id {
                client: ClientId(0),
                clock: 0,
            },
            section: None,
            order: None,
            bytes,
            canonical: true,
        })
    }

    /// All structs of an update that was checked as a whole.
    fn into_structs(mut self) -> impl Iterator<Item = Struct<'a>> + use<'a> {
        std::iter::from_fn(move || {
            loop {
                if let Some(item) = self.next_struct().expect(CHECKED) {
                    return Some(item);
                }
                self.next_section().expect(CHECKED)?;
            }
        })
    }

    /// Whether those that were read stand in the order in which they are written.
    pub(crate) const fn are_in_order(&self) -> bool {
        self.canonical
    }

    /// Goes to the next section, once all structs of the last have been read.
    pub(crate) fn next_section(&mut self) -> Result<Option<ClientId>, DecodeError> {
        debug_assert_eq!(self.structs_left, 0);
        if self.sections_left == 0 {
            return Ok(None);
        }
        self.sections_left -= 1;
        let (client, clock);
        if let Some(order) = &mut self.order {
            let piece = order.next().expect("it names all that are left");
            self.reader = Reader::new(&self.bytes[piece.at as usize..]);
            self.structs_left = u64::from(piece.structs);
            (client, clock) = (piece.client.0, piece.clock);
        } else {
            self.structs_left = read_count(&mut self.reader)?;
            client = read_client(&mut self.reader)?;
            clock = read_clock(&mut self.reader)?;
        }
        let descends = self.section.is_none_or(|last| client < last);
        self.canonical &= descends && self.structs_left > 0;
        self.section = Some(client);
        self.next = Id { client, clock };
        Ok(Some(client))
    }

    /// The next struct of the section.
    #[inline(always)]
    pub(crate) fn next_struct(&mut self) -> Result<Option<Struct<'a>>, DecodeError> {
        if self.structs_left == 0 {
            return Ok(None);
        }
        self.structs_left -= 1;
        let item = Struct::read(&mut self.reader, self.next, self.trust)?;
        self.next.clock = item.end();
        Ok(Some(item))
    }

    /// The next struct of the section if it is a plain one, may name what it does of
    /// other clients, and continues none of the kind `last`. Otherwise it is still
    /// the next.
    #[inline(always)]
    pub(crate) fn next_plain(
        &mut self,
        last: Option<u8>,
        may_name: impl FnMut(Id) -> bool,
    ) -> Option<Plain<'a>> {
        if self.structs_left == 0 {
            return None;
        }
        let plain = Plain::read(self.reader.clone(), self.next, last, may_name)?;
        self.reader.pass(plain.size);
        self.structs_left -= 1;
        self.next.clock = plain.clocks().end;
        Some(plain)
    }

    /// What is left of the section.
    fn next_piece(&self) -> Piece {
        const FITS: &str = "a message is smaller than 4 GiB";
        let at = self.bytes.len() - self.reader.rest().len();
        Piece {
            client: Reverse(self.next.client),
            clock: self.next.clock,
            at: u32::try_from(at).expect(FITS),
            end: self.next.clock,
            structs: u32::try_from(self.structs_left).expect(FITS),
        }
    }

    /// Where the next struct stands.
    pub(crate) const fn next_clock(&self) -> Clock {
        self.next.clock
    }

    /// What follows the sections, once all have been read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        debug_assert!(self.sections_left == 0 && self.structs_left == 0);
        self.reader.rest()
    }
}

/// Walks a delete set, with which the bytes have to end.
pub(crate) struct Deletes<'a> {
    reader: Reader<'a>,
    clients_left: u64,
    ranges_left: u64,
    client: Option<ClientId>,
    /// The end of the last range of the client.
    end: Option<Clock>,
    /// Whether clients so far descend, each with ascending ranges that do not
    /// touch.
    canonical: bool,
}

impl<'a> Deletes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let clients_left = read_count(&mut reader)?;
        Ok(Self {
            reader,
            clients_left,
            ranges_left: 0,
            client: None,
            end: None,
            canonical: true,
        })
    }

    pub(crate) fn next_range(&mut self) -> Result<Option<(ClientId, ClockRange)>, DecodeError> {
        while self.ranges_left == 0 {
            if self.clients_left == 0 {
                return match self.reader.is_empty() {
                    true => Ok(None),
                    false => Err(DecodeError::TrailingBytes),
                };
            }
            self.clients_left -= 1;
            let client = ClientId(self.reader.var_uint()?);
            self.ranges_left = read_count(&mut self.reader)?;
            self.canonical &= self.client.is_none_or(|last| client < last);
            self.client = Some(client);
            self.end = None;
        }
        self.ranges_left -= 1;
        let start = read_clock(&mut self.reader)?;
        let len = self.reader.var_uint()?;
        if len == 0 {
            return Err(DecodeError::EmptyStruct);
        }
        let end = Clock::try_from(u64::from(start) + len)
            .ok()
            .filter(|end| *end <= CLOCK_MAX)
            .ok_or(DecodeError::ClockRange)?;
        self.canonical &= self.end.is_none_or(|last| last < start);
        self.end = Some(end);
        let client = self.client.expect("ranges follow their client");
        Ok(Some((client, start..end)))
    }
}

/// Reads a count of things that take at least two bytes each.
fn read_count(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let count = reader.var_uint()?;
    if count > reader.rest().len() as u64 / 2 {
        return Err(DecodeError::Count);
    }
    Ok(count)
}
