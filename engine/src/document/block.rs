//! Consecutive structs of one client, encoded back to back.

use std::ops::Range;

use crate::{
    lib0::{Reader, overwrite_var_uint, var_uint_len, write_var_uint},
    marks::{self, Mark},
    planted::{self, Bug},
    update::{
        Body, ClientId, Clock, ClockRange, Cursor, Head, Id, Item, Lead, Payload, Plain, Struct,
        Trust, write_skip,
    },
};

/// A block takes no further struct once it has this many bytes, so that a
/// struct is found by reading few others. The last struct may still grow.
const BYTES_FULL: usize = 2 << 10;

/// Of so many structs, one is remembered by where it begins.
const INDEX_STEP: u8 = 8;

/// A run of structs without gaps. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) clocks: ClockRange,
    /// How many structs the bytes tell.
    structs: u32,
    bytes: Vec<u8>,
    /// Where the last struct begins, in the bytes and in clocks. It may be
    /// long, as text that is typed is joined to it, so that it is not read
    /// without need.
    last_at: usize,
    last_clock: Clock,
    /// Where every so manieth struct begins, in clocks and in the bytes …
    index: Vec<(Clock, u32)>,
    /// … from this one on, if there are that many.
    index_from: u8,
    /// Whether the last struct is certainly no map entry …
    last_is_listed: bool,
    /// … and whether that holds for all of them.
    all_listed: bool,
}

/// A piece of a section that is being written.
#[derive(Debug)]
pub(crate) enum Segment<'a> {
    /// Whole structs, as many as said.
    Whole { bytes: &'a [u8], structs: u32 },
    /// A part of one struct.
    Part { of: Struct<'a>, range: ClockRange },
    /// Clocks of which nothing is known.
    Skip(Clock),
}

impl Block {
    /// Starts with one struct. `listed`: it is certainly no map entry.
    pub(crate) fn new(first: &Struct<'_>, listed: bool) -> Self {
        Self::of(first.bytes, first.clocks(), listed)
    }

    /// The same, by the bytes of the struct and its clocks.
    pub(crate) fn of(first: &[u8], clocks: ClockRange, listed: bool) -> Self {
        Self {
            structs: 1,
            bytes: first.to_vec(),
            last_at: 0,
            last_clock: clocks.start,
            clocks,
            index: Vec::new(),
            index_from: INDEX_STEP,
            last_is_listed: listed,
            all_listed: listed,
        }
    }

    /// Appends the struct that follows the last one, joined to it where that
    /// loses nothing. If the block is full, it starts the next one.
    #[must_use]
    #[inline]
    pub(crate) fn push(&mut self, next: &Struct<'_>, listed: bool) -> Option<Self> {
        debug_assert_eq!(self.clocks.end, next.id.clock);
        if !self.may_be_continued(next) || !self.squash(next, listed) {
            return self.push_apart(next.bytes, next.clocks(), listed);
        }
        self.all_listed &= listed;
        self.clocks.end = next.end();
        None
    }

    /// Appends the struct that follows the last one, told by its bytes and clocks,
    /// and does not join it to that.
    #[must_use]
    #[inline]
    pub(crate) fn push_apart(
        &mut self,
        next: &[u8],
        clocks: ClockRange,
        listed: bool,
    ) -> Option<Self> {
        debug_assert_eq!(self.clocks.end, clocks.start);
        if self.is_full() {
            return Some(self.start_next(next, clocks, listed));
        }
        self.last_at = self.bytes.len();
        self.last_clock = clocks.start;
        self.last_is_listed = listed;
        self.all_listed &= listed;
        self.bytes.extend_from_slice(next);
        self.note_place();
        self.clocks.end = clocks.end;
        None
    }

    /// Takes over the structs of the block that follows without a gap. False if both
    /// are more than one block takes.
    #[must_use]
    pub(crate) fn take_over(&mut self, client: ClientId, next: &Self) -> bool {
        debug_assert_eq!(self.clocks.end, next.clocks.start);
        let fits = self.bytes.len() + next.bytes.len() <= BYTES_FULL;
        if planted::is(Bug::BlocksLeftApart) || !fits {
            return false;
        }
        marks::hit(Mark::BlocksJoined);
        for item in next.structs(client) {
            let listed = next.is_listed(item.id.clock);
            let full = self.push_apart(item.bytes, item.clocks(), listed);
            debug_assert!(full.is_none(), "they fit");
        }
        true
    }

    /// Begins a run of plain structs that follow the last one. `listed`: they are
    /// certainly no map entries.
    #[inline]
    pub(crate) fn run<'a>(&mut self, listed: bool) -> Run<'_, 'a> {
        Run {
            room: BYTES_FULL.saturating_sub(self.bytes.len()),
            last_kind: self.last_kind(),
            listed,
            bytes: &[],
            size: 0,
            block: self,
        }
    }

    /// Counts the last struct, which was just added, and notes where it begins.
    #[inline(always)]
    fn note_place(&mut self) {
        if self.is_indexed(self.structs) {
            let at = u32::try_from(self.last_at).expect("structs begin before a block is full");
            self.index.push((self.last_clock, at));
        }
        self.structs += 1;
    }

    /// Puts a struct before all others that adjoins the first. False if the block
    /// is full.
    #[must_use]
    pub(crate) fn push_front(&mut self, first: &Struct<'_>, listed: bool) -> bool {
        debug_assert_eq!(self.clocks.start, first.end());
        if self.bytes.len() + first.bytes.len() > BYTES_FULL {
            return false;
        }
        let len = u32::try_from(first.bytes.len()).expect("it is no longer than a block");
        self.bytes.splice(..0, first.bytes.iter().copied());
        self.last_at += first.bytes.len();
        self.structs += 1;
        self.all_listed &= listed;
        for (_, at) in &mut self.index {
            *at += len;
        }
        self.index_from += 1;
        if self.index_from > INDEX_STEP {
            self.index_from -= INDEX_STEP;
            self.index.insert(0, (self.clocks.start, len));
        }
        self.clocks.start = first.id.clock;
        true
    }

    /// Whether the struct of this number, from 0, is remembered.
    const fn is_indexed(&self, number: u32) -> bool {
        let from = self.index_from as u32;
        number >= from && (number - from).is_multiple_of(INDEX_STEP as u32)
    }

    /// The block after this one. As this one is full, that will be too.
    fn start_next(&mut self, first: &[u8], clocks: ClockRange, listed: bool) -> Self {
        self.finish();
        let mut next = Self::of(first, clocks, listed);
        next.bytes.reserve_exact(BYTES_FULL);
        next.index.reserve_exact(self.index.len());
        next
    }

    /// Gives back memory that only growing would need.
    pub(crate) fn finish(&mut self) {
        self.bytes.shrink_to_fit();
        self.index.shrink_to_fit();
    }

    /// Whether the struct that holds a clock was told to be no map entry.
    pub(crate) const fn is_listed(&self, clock: Clock) -> bool {
        self.all_listed || (self.last_is_listed && self.last_clock <= clock)
    }

    /// Whether it takes no further struct.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes.len() >= BYTES_FULL
    }

    /// Notes that none of its structs is a map entry, as turned out.
    pub(crate) const fn list_all(&mut self) {
        self.last_is_listed = true;
        self.all_listed = true;
    }

    /// The content reference of its last struct.
    fn last_kind(&self) -> Option<u8> {
        Head::kind(&self.bytes[self.last_at..])
    }

    /// Whether none of its structs is a map entry.
    pub(crate) const fn are_all_listed(&self) -> bool {
        self.all_listed
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) const fn len_structs(&self) -> usize {
        self.structs as usize
    }

    /// Its structs in order.
    pub(crate) fn structs(&self, client: ClientId) -> Structs<'_> {
        self.structs_from(client, self.clocks.start, 0)
    }

    /// Its structs from one on that is not far before a clock.
    pub(crate) fn structs_near(&self, client: ClientId, clock: Clock) -> Structs<'_> {
        let after = self.index.partition_point(|(start, _)| *start <= clock);
        let near = after.checked_sub(1).map(|at| self.index[at]);
        let (start, at) = near.unwrap_or((self.clocks.start, 0));
        self.structs_from(client, start, at as usize)
    }

    const fn structs_from(&self, client: ClientId, clock: Clock, at: usize) -> Structs<'_> {
        let next = Id { client, clock };
        Structs {
            block: self,
            at,
            next,
        }
    }

    /// Its structs, each with the place where it can be read again.
    pub(crate) fn places(&self, client: ClientId) -> impl Iterator<Item = (u32, Struct<'_>)> {
        let mut structs = self.structs(client);
        std::iter::from_fn(move || {
            let at = u32::try_from(structs.at).expect("structs begin before a block is full");
            Some((at, structs.next()?))
        })
    }

    /// The struct that holds a clock.
    pub(crate) fn struct_at(&self, client: ClientId, clock: Clock) -> Struct<'_> {
        if self.last_clock <= clock {
            return self.last(client);
        }
        self.structs_near(client, clock)
            .find(|item| clock < item.end())
            .expect("a block holds all of its clocks")
    }

    /// Panics if its structs are not those that are told of it.
    pub(crate) fn check(&self, client: ClientId) {
        let told = self.last(client);
        let mut reader = Reader::new(&self.bytes[self.last_at..]);
        let read = Struct::read(&mut reader, told.id, Trust::Stored);
        assert_eq!(read.map(|read| read.len), Ok(told.len));
        assert!(
            reader.is_empty(),
            "the last struct ends where the block does"
        );
        let (mut structs, mut end) = (0_u32, self.clocks.start);
        let mut index = self.index.iter().copied();
        for (at, item) in self.places(client) {
            if self.is_indexed(structs) {
                let place = Some((item.id.clock, at));
                assert_eq!(index.next(), place, "the index tells where structs begin");
            }
            structs += 1;
            end = item.end();
        }
        assert_eq!(index.next(), None, "no struct begins there");
        assert_eq!((structs, end), (self.structs, self.clocks.end));
    }

    /// The last struct, however long, without reading its content.
    fn last(&self, client: ClientId) -> Struct<'_> {
        let id = Id {
            client,
            clock: self.last_clock,
        };
        let len = self.clocks.end - self.last_clock;
        Struct::read_whole(&self.bytes[self.last_at..], id, len)
            .expect("blocks hold checked structs")
    }

    /// The pieces that tell the clocks `range` of it.
    pub(crate) fn segments<'a>(
        &'a self,
        client: ClientId,
        range: &ClockRange,
        out: &mut Vec<Segment<'a>>,
    ) {
        if range.start <= self.clocks.start && self.clocks.end <= range.end {
            out.push(Segment::Whole {
                bytes: &self.bytes,
                structs: self.structs,
            });
            return;
        }
        for item in self.structs_near(client, range.start) {
            if item.end() <= range.start {
                continue;
            }
            if item.id.clock >= range.end {
                break;
            }
            let range = item.id.clock.max(range.start)..item.end().min(range.end);
            out.push(Segment::Part { of: item, range });
        }
    }

    /// Whether `next` tells that it may be joined to the last struct, which
    /// need not be read otherwise.
    #[inline]
    fn may_be_continued(&self, next: &Struct<'_>) -> bool {
        let is_last = |id: Id| id.client == next.id.client && id.clock + 1 == next.id.clock;
        let follows = match next.body {
            Body::Gc => true,
            Body::Skip => false,
            Body::Item(item) => item.head.position.origin().is_some_and(is_last),
        };
        follows && Head::is_same_kind(&self.bytes[self.last_at..], next.bytes)
    }

    /// Joins `next` to the last struct if Yjs would load the same from both:
    /// same kind, following each other in the text, and no map entries (the
    /// values of a key are not one text: only the last of them lives).
    fn squash(&mut self, next: &Struct<'_>, listed: bool) -> bool {
        let tail = &self.bytes[self.last_at..];
        let mut reader = Reader::new(tail);
        let lead = Head::read(&mut reader, Trust::Stored).expect("blocks hold checked structs");
        let more = match (lead, next.body) {
            (Lead::Gc, Body::Gc) => Payload {
                number: u64::from(next.len),
                bytes: &[],
            },
            (Lead::Item(last), Body::Item(item))
                if self.follows(&last, next.id, &item)
                    && (item.content.is_deleted() || self.are_listed(listed)) =>
            {
                match item.content.payload() {
                    Some(payload) => payload,
                    None => return false,
                }
            }
            _ => return false,
        };
        let number_at = self.bytes.len() - reader.rest().len();
        let number = reader.var_uint().expect("blocks hold checked structs");
        let bytes_at = self.bytes.len() - reader.rest().len();
        marks::hit(Mark::Squash);
        self.write_number(number_at..bytes_at, number + more.number);
        self.bytes.extend_from_slice(more.bytes);
        true
    }

    /// Writes a number in place of another.
    fn write_number(&mut self, place: Range<usize>, number: u64) {
        if var_uint_len(number) == place.len() {
            overwrite_var_uint(&mut self.bytes[place], number);
        } else {
            let mut told = Vec::with_capacity(8);
            write_var_uint(&mut told, number);
            self.bytes.splice(place, told);
        }
    }

    /// Whether neither the last struct nor the next is a map entry.
    fn are_listed(&self, next_is_listed: bool) -> bool {
        let are_listed = next_is_listed && self.last_is_listed;
        marks::hit_if(Mark::MapEntryNotSquashed, || !are_listed);
        are_listed || planted::is(Bug::MapEntriesSquashed)
    }

    fn follows(&self, last: &Head<'_>, id: Id, item: &Item<'_>) -> bool {
        let last_id = Id {
            client: id.client,
            clock: id.clock - 1,
        };
        let same_right = item.head.position.right_origin() == last.position.right_origin();
        let continues =
            last.kind == item.content.kind() && item.head.position.origin() == Some(last_id);
        marks::hit_if(Mark::RightOriginsDiffer, || continues && !same_right);
        continues && (same_right || planted::is(Bug::SquashedAcrossRightOrigins))
    }
}

/// Plain structs that follow each other, which are appended to a block together: the
/// bytes of them all are copied at once.
pub(crate) struct Run<'b, 'a> {
    block: &'b mut Block,
    /// How many bytes the block takes before it is full.
    room: usize,
    last_kind: Option<u8>,
    listed: bool,
    /// Those that tell them, and more.
    bytes: &'a [u8],
    size: usize,
}

impl<'a> Run<'_, 'a> {
    /// Whether the block takes a further struct.
    #[inline]
    pub(crate) const fn has_room(&self) -> bool {
        self.size < self.room
    }

    /// The content reference of the last struct.
    #[inline]
    pub(crate) const fn last_kind(&self) -> Option<u8> {
        self.last_kind
    }

    /// Appends the struct that stands behind the last one, and is not to be joined
    /// to it.
    #[inline(always)]
    pub(crate) fn push(&mut self, next: &Plain<'a>) {
        debug_assert!(self.has_room());
        debug_assert_eq!(self.block.clocks.end, next.clock);
        if self.size == 0 {
            self.bytes = next.from;
        }
        self.block.last_at = self.block.bytes.len() + self.size;
        self.block.last_clock = next.clock;
        self.block.clocks.end = next.end();
        self.block.note_place();
        self.last_kind = Some(next.kind);
        self.size += next.size;
    }

    /// Has to be called once all were pushed.
    #[inline]
    pub(crate) fn finish(self) {
        if self.size > 0 {
            self.block.bytes.extend_from_slice(&self.bytes[..self.size]);
            self.block.last_is_listed = self.listed;
            self.block.all_listed &= self.listed;
        }
    }
}

/// Walks the structs of a block.
pub(crate) struct Structs<'a> {
    block: &'a Block,
    at: usize,
    next: Id,
}

impl<'a> Iterator for Structs<'a> {
    type Item = Struct<'a>;

    fn next(&mut self) -> Option<Struct<'a>> {
        if self.next.clock == self.block.clocks.end {
            return None;
        }
        let item = if self.at == self.block.last_at {
            self.block.last(self.next.client)
        } else {
            let mut reader = Reader::new(&self.block.bytes[self.at..]);
            Struct::read(&mut reader, self.next, Trust::Stored)
                .expect("blocks hold checked structs")
        };
        self.at += item.bytes.len();
        self.next.clock = item.end();
        Some(item)
    }
}

impl Segment<'_> {
    pub(crate) fn structs(&self) -> u64 {
        match self {
            Self::Whole { structs, .. } => u64::from(*structs),
            Self::Part { .. } | Self::Skip(_) => 1,
        }
    }

    /// Appends it. Parts of one struct that follow each other share a cursor.
    pub(crate) fn write(&self, cursor: &mut Cursor, out: &mut Vec<u8>) {
        match self {
            Self::Whole { bytes, .. } => out.extend_from_slice(bytes),
            Self::Part { of, range } => {
                marks::hit(Mark::DiffSliced);
                of.write_part(range.start, range.end, cursor, out);
            }
            Self::Skip(len) => write_skip(*len, out),
        }
    }
}
