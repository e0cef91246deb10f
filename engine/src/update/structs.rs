//! One struct: garbage, or an item with its place and content.

use super::{
    CLOCK_MAX, ClientId, Clock, ClockRange, Content, Cursor, DecodeError, Id, Trust,
    content::{DELETED, GC, SKIP, STRING, read_len, read_text},
};
use crate::{
    lib0::{Reader, UINT_MAX, write_var_bytes, write_var_uint},
    planted::{self, Bug},
};

const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_PARENT_SUB: u8 = 0x20;
const KIND: u8 = 0x1f;

/// A struct together with the bytes that tell it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Struct<'a> {
    pub(crate) id: Id,
    /// How many clocks it takes, at least one.
    pub(crate) len: Clock,
    pub(crate) body: Body<'a>,
    /// All of it, as it came.
    pub(crate) bytes: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'a> {
    /// Deleted, and nothing is left but the length.
    Gc,
    /// Clocks of which nothing is told. Only in updates, never kept.
    Skip,
    Item(Item<'a>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) content: Content<'a>,
}

/// What stands before an item's content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    /// Its content reference.
    pub(crate) kind: u8,
    /// Bit 6 of the info byte: Yjs sets it for map entries, even where no key
    /// follows because a neighbour tells it.
    pub(crate) sub_bit: bool,
    pub(crate) position: Position<'a>,
}

/// How an item says where it belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Position<'a> {
    /// By its neighbours when it was made; at least one is there. Parent and
    /// key are theirs.
    Neighbours {
        origin: Option<Id>,
        right_origin: Option<Id>,
    },
    /// By its parent, and in maps its key.
    Parent {
        parent: ParentRef<'a>,
        sub: Option<&'a [u8]>,
    },
}

/// How an item names its parent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ParentRef<'a> {
    /// A type of the document itself, by name.
    Root(&'a [u8]),
    /// The item that holds the parent type.
    Item(Id),
}

impl<'a> Struct<'a> {
    /// Whether it holds a type, in which others may stand.
    pub(crate) fn is_type(&self) -> bool {
        matches!(self.body, Body::Item(item) if item.content.is_type())
    }

    /// Reads the struct that stands at `id`.
    #[inline(always)]
    pub(crate) fn read(reader: &mut Reader<'a>, id: Id, trust: Trust) -> Result<Self, DecodeError> {
        let before = reader.rest();
        let (len, body) = match Head::read(reader, trust)? {
            Lead::Gc => (u64::from(read_len(reader)?), Body::Gc),
            Lead::Skip => (u64::from(read_len(reader)?), Body::Skip),
            Lead::Item(head) => {
                if trust == Trust::Input {
                    head.position.check_references(id)?;
                }
                let content = Content::read(reader, head.kind, trust)?;
                (content.len(), Body::Item(Item { head, content }))
            }
        };
        let len = Clock::try_from(len)
            .ok()
            .filter(|len| {
                id.clock
                    .checked_add(*len)
                    .is_some_and(|end| end <= CLOCK_MAX)
            })
            .ok_or(DecodeError::ClockRange)?;
        let bytes = &before[..before.len() - reader.rest().len()];
        Ok(Self {
            id,
            len,
            body,
            bytes,
        })
    }

    /// Takes bytes that are one stored struct and nothing else. Its length is
    /// told, so that its content need not be looked at.
    pub(crate) fn read_whole(bytes: &'a [u8], id: Id, len: Clock) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let body = match Head::read(&mut reader, Trust::Stored)? {
            Lead::Gc => Body::Gc,
            Lead::Skip => Body::Skip,
            Lead::Item(head) => {
                let content = Content::read_rest(&mut reader, head.kind)?;
                Body::Item(Item { head, content })
            }
        };
        Ok(Self {
            id,
            len,
            body,
            bytes,
        })
    }

    /// What is kept of it where its bytes are.
    pub(crate) fn keep(&self) -> KeptStruct {
        let beside_others = |item: Item<'_>| {
            let (content, size) = (item.content.without_bytes(), item.content.bytes().len());
            let head = item.head.beside_others()?;
            Some((Item { head, content }, size))
        };
        KeptStruct {
            id: self.id,
            len: self.len,
            size: self.bytes.len(),
            read: match self.body {
                Body::Item(item) => beside_others(item),
                Body::Gc | Body::Skip => None,
            },
        }
    }

    /// The clocks it takes.
    pub(crate) const fn clocks(&self) -> ClockRange {
        self.id.clock..self.end()
    }

    /// The first clock after it.
    pub(crate) const fn end(&self) -> Clock {
        self.id.clock + self.len
    }

    /// Appends the clocks `from..to` of it. A part that does not begin where
    /// the struct does follows, as its own origin, what was cut off.
    ///
    /// Parts that ascend share a cursor, which begins as its default.
    pub(crate) fn write_part(
        &self,
        from: Clock,
        to: Clock,
        cursor: &mut Cursor,
        out: &mut Vec<u8>,
    ) {
        debug_assert!(self.id.clock <= from && from < to && to <= self.end());
        if from == self.id.clock && to == self.end() {
            out.extend_from_slice(self.bytes);
            return;
        }
        match self.body {
            Body::Gc => write_gc(to - from, out),
            Body::Skip => write_skip(to - from, out),
            Body::Item(item) => {
                item.head.part(self.id, from).write(item.head.kind, out);
                item.content.write(self.units(from, to), cursor, out);
            }
        }
    }

    /// Appends the clocks `from..to` of it as deleted content.
    pub(crate) fn write_deleted_part(&self, from: Clock, to: Clock, out: &mut Vec<u8>) {
        match self.body {
            Body::Gc => write_gc(to - from, out),
            Body::Skip => write_skip(to - from, out),
            Body::Item(item) => {
                let content = Content::Deleted(to - from);
                item.head.part(self.id, from).write(content.kind(), out);
                content.write(0..u64::from(to - from), &mut Cursor::default(), out);
            }
        }
    }

    /// The units of the content that stand at the clocks `from..to`.
    pub(crate) fn units(&self, from: Clock, to: Clock) -> std::ops::Range<u64> {
        u64::from(from - self.id.clock)..u64::from(to - self.id.clock)
    }
}

/// A struct that is kept with its bytes for a while. If it stands beside others, as
/// nearly all do, what was read of it is kept too.
#[derive(Debug)]
pub(crate) struct KeptStruct {
    id: Id,
    len: Clock,
    /// How many bytes tell it.
    size: usize,
    /// It without its bytes, and how many of these, the last ones, are its content's.
    read: Option<(Item<'static>, usize)>,
}

impl KeptStruct {
    /// The struct with its bytes, which are the last of these.
    pub(crate) fn at_end_of<'a>(&self, bytes: &'a [u8]) -> Struct<'a> {
        let bytes = &bytes[bytes.len() - self.size..];
        match self.read {
            Some((Item { head, content }, size)) => Struct {
                id: self.id,
                len: self.len,
                body: Body::Item(Item {
                    head,
                    content: content.with_bytes(&bytes[bytes.len() - size..]),
                }),
                bytes,
            },
            None => Struct::read_whole(bytes, self.id, self.len).expect("it was read before"),
        }
    }
}

/// A struct of plain form, as nearly all are in a text: it stands beside others, and
/// holds ASCII text or tells that it was deleted. Of these little is read but their
/// bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain<'a> {
    pub(crate) clock: Clock,
    pub(crate) len: Clock,
    /// Its content reference.
    pub(crate) kind: u8,
    /// How many bytes tell it.
    pub(crate) size: usize,
    /// These, and all that come after them: plain structs that follow each other are
    /// copied as one.
    pub(crate) from: &'a [u8],
}

impl<'a> Plain<'a> {
    /// Reads the struct that stands at `id` if it is such a one, it `may_name` what it
    /// does of other clients, and it does not continue one of the kind `last` that
    /// its client made just before. All rules of the grammar are checked. Otherwise
    /// [`Struct::read`] says what it is.
    #[inline(always)]
    pub(crate) fn read(
        mut reader: Reader<'a>,
        id: Id,
        last: Option<u8>,
        mut may_name: impl FnMut(Id) -> bool,
    ) -> Option<Self> {
        let mut may_name = |named: Id| match named.client == id.client {
            true => named.clock < id.clock,
            false => may_name(named),
        };
        let from = reader.rest();
        let reader = &mut reader;
        let info = reader.u8().ok()?;
        let kind = info & KIND;
        // Before anybody is asked about what it names: garbage, whatever else its info
        // byte says, names nothing.
        if kind != DELETED && kind != STRING {
            return None;
        }
        let (has_origin, has_right_origin) = (info & HAS_ORIGIN != 0, info & HAS_RIGHT_ORIGIN != 0);
        let mut continues = false;
        if has_origin {
            let origin = read_id(reader).ok().filter(|origin| may_name(*origin))?;
            continues = origin.client == id.client && origin.clock + 1 == id.clock;
        }
        if has_right_origin {
            read_id(reader).ok().filter(|right| may_name(*right))?;
        }
        // Before the text is looked at: it would be once more by who joins the two.
        if continues && last == Some(kind) {
            return None;
        }
        let len = match kind {
            _ if !has_origin && !has_right_origin => return None,
            DELETED => read_len(reader).ok()?,
            STRING => {
                let text = reader.var_bytes().ok().filter(|text| text.is_ascii())?;
                Clock::try_from(text.len()).ok().filter(|len| *len > 0)?
            }
            _ => return None,
        };
        if len > CLOCK_MAX - id.clock {
            return None;
        }
        Some(Self {
            clock: id.clock,
            len,
            kind,
            size: from.len() - reader.rest().len(),
            from,
        })
    }

    /// Whether it tells that it was deleted.
    pub(crate) const fn is_deleted(&self) -> bool {
        self.kind == DELETED
    }

    /// The clocks it takes.
    pub(crate) const fn clocks(&self) -> ClockRange {
        self.clock..self.end()
    }

    /// The first clock after it.
    pub(crate) const fn end(&self) -> Clock {
        self.clock + self.len
    }
}

/// What the info byte announces.
pub(crate) enum Lead<'a> {
    Gc,
    Skip,
    Item(Head<'a>),
}

impl<'a> Head<'a> {
    /// Reads the info byte and, for an item, what stands before its content.
    #[inline(always)]
    pub(crate) fn read(reader: &mut Reader<'a>, trust: Trust) -> Result<Lead<'a>, DecodeError> {
        let info = reader.u8()?;
        match info & KIND {
            GC => return Ok(Lead::Gc),
            // Yjs takes any other info byte of this kind for an item.
            SKIP if info == SKIP => return Ok(Lead::Skip),
            _ => {}
        }
        let origin = read_id_if(reader, info & HAS_ORIGIN != 0)?;
        let right_origin = read_id_if(reader, info & HAS_RIGHT_ORIGIN != 0)?;
        let sub_bit = info & HAS_PARENT_SUB != 0;
        let position = if origin.is_some() || right_origin.is_some() {
            Position::Neighbours {
                origin,
                right_origin,
            }
        } else {
            Position::read_parent(reader, sub_bit, trust)?
        };
        Ok(Lead::Item(Self {
            kind: info & KIND,
            sub_bit,
            position,
        }))
    }

    /// Whether two structs, told by these bytes, are of the same kind.
    #[inline]
    pub(crate) fn is_same_kind(a: &[u8], b: &[u8]) -> bool {
        Self::kind(a) == Self::kind(b)
    }

    /// The content reference of a struct that is told by these bytes.
    #[inline]
    pub(crate) fn kind(bytes: &[u8]) -> Option<u8> {
        bytes.first().map(|info| info & KIND)
    }

    /// The same, if it says where it belongs by its neighbours.
    const fn beside_others(self) -> Option<Head<'static>> {
        let Position::Neighbours {
            origin,
            right_origin,
        } = self.position
        else {
            return None;
        };
        Some(Head {
            kind: self.kind,
            sub_bit: self.sub_bit,
            position: Position::Neighbours {
                origin,
                right_origin,
            },
        })
    }

    /// The head of the part of the struct `id` that begins at `from`.
    pub(crate) fn part(self, id: Id, from: Clock) -> Self {
        if from == id.clock || planted::is(Bug::SlicedOriginKept) {
            return self;
        }
        let origin = Some(Id {
            client: id.client,
            clock: from - 1,
        });
        let right_origin = self.position.right_origin();
        Self {
            position: Position::Neighbours {
                origin,
                right_origin,
            },
            ..self
        }
    }

    /// Appends the head with another kind of content.
    pub(crate) fn write(&self, kind: u8, out: &mut Vec<u8>) {
        let sub = if self.sub_bit { HAS_PARENT_SUB } else { 0 };
        match self.position {
            Position::Neighbours {
                origin,
                right_origin,
            } => {
                let has_origin = origin.map_or(0, |_| HAS_ORIGIN);
                let has_right_origin = right_origin.map_or(0, |_| HAS_RIGHT_ORIGIN);
                out.push(kind | sub | has_origin | has_right_origin);
                for id in [origin, right_origin].into_iter().flatten() {
                    write_id(id, out);
                }
            }
            Position::Parent { parent, sub: key } => {
                out.push(kind | sub);
                parent.write(out);
                if let Some(key) = key {
                    write_var_bytes(out, key);
                }
            }
        }
    }
}

impl<'a> Position<'a> {
    fn read_parent(
        reader: &mut Reader<'a>,
        has_sub: bool,
        trust: Trust,
    ) -> Result<Self, DecodeError> {
        let parent = match reader.var_uint()? {
            0 => ParentRef::Item(read_id(reader)?),
            1 => ParentRef::Root(read_text(reader, trust)?),
            unknown => return Err(DecodeError::ParentInfo(unknown)),
        };
        let sub = match has_sub {
            true => Some(read_text(reader, trust)?),
            false => None,
        };
        Ok(Self::Parent { parent, sub })
    }

    /// Checks that what the item names of its own client came before it. Yjs
    /// waits for nothing else of the same client, and throws.
    #[inline]
    fn check_references(&self, id: Id) -> Result<(), DecodeError> {
        let is_before = |named: Id| named.client != id.client || named.clock < id.clock;
        let are_before = match *self {
            Self::Neighbours {
                origin,
                right_origin,
            } => origin.is_none_or(is_before) && right_origin.is_none_or(is_before),
            Self::Parent {
                parent: ParentRef::Item(id),
                ..
            } => is_before(id),
            Self::Parent { .. } => true,
        };
        match are_before {
            true => Ok(()),
            false => Err(DecodeError::SelfReference),
        }
    }

    /// The ids it names: these must be known before it can be integrated.
    pub(crate) fn references(&self) -> impl Iterator<Item = Id> {
        match *self {
            Self::Neighbours {
                origin,
                right_origin,
            } => [origin, right_origin],
            Self::Parent {
                parent: ParentRef::Item(id),
                ..
            } => [Some(id), None],
            Self::Parent { .. } => [None, None],
        }
        .into_iter()
        .flatten()
    }

    pub(crate) const fn origin(&self) -> Option<Id> {
        match *self {
            Self::Neighbours { origin, .. } => origin,
            Self::Parent { .. } => None,
        }
    }

    pub(crate) const fn right_origin(&self) -> Option<Id> {
        match *self {
            Self::Neighbours { right_origin, .. } => right_origin,
            Self::Parent { .. } => None,
        }
    }
}

impl ParentRef<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Item(id) => {
                write_var_uint(out, 0);
                write_id(id, out);
            }
            Self::Root(name) => {
                write_var_uint(out, 1);
                write_var_bytes(out, name);
            }
        }
    }
}

/// Appends garbage of a length.
pub(crate) fn write_gc(len: Clock, out: &mut Vec<u8>) {
    out.push(GC);
    write_var_uint(out, u64::from(len));
}

/// Appends clocks of which nothing is told.
pub(crate) fn write_skip(len: Clock, out: &mut Vec<u8>) {
    out.push(SKIP);
    write_var_uint(out, u64::from(len));
}

/// Reads the client id of a section, by whose bytes those in the section are
/// known: most structs stand beside others of the same client.
pub(crate) fn read_client(reader: &mut Reader<'_>) -> Result<ClientId, DecodeError> {
    const { assert!(UINT_MAX == (1 << 53) - 1) };
    Ok(ClientId(reader.var_uint_to_recur()?))
}

/// Reads a clock that something may stand at.
#[inline]
pub(crate) fn read_clock(reader: &mut Reader<'_>) -> Result<Clock, DecodeError> {
    Clock::try_from(reader.var_uint()?)
        .ok()
        .filter(|clock| *clock < CLOCK_MAX)
        .ok_or(DecodeError::ClockRange)
}

#[inline(always)]
fn read_id(reader: &mut Reader<'_>) -> Result<Id, DecodeError> {
    let client = ClientId(reader.recurring_var_uint()?);
    let clock = read_clock(reader)?;
    Ok(Id { client, clock })
}

#[inline(always)]
fn read_id_if(reader: &mut Reader<'_>, present: bool) -> Result<Option<Id>, DecodeError> {
    present.then(|| read_id(reader)).transpose()
}

fn write_id(id: Id, out: &mut Vec<u8>) {
    write_var_uint(out, id.client.0);
    write_var_uint(out, u64::from(id.clock));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: Id = Id {
        client: ClientId(200_000_000),
        clock: 300,
    };

    /// Bytes that are a struct, or nearly.
    fn told() -> impl Strategy<Value = Vec<u8>> {
        let client = prop_oneof![Just(ID.client.0), 0..3_u64, 0..=UINT_MAX];
        let clock = prop_oneof![290..302_u64, 0..(1_u64 << 32)];
        let len = prop_oneof![0..4_u64, 0..(1_u64 << 32)];
        let content = prop_oneof!["[a-z]{0,20}", ".{0,5}"].prop_map(String::into_bytes);
        let neighbours = prop_oneof![
            Just(HAS_ORIGIN),
            Just(HAS_RIGHT_ORIGIN),
            Just(HAS_ORIGIN | HAS_RIGHT_ORIGIN)
        ];
        let kind = prop_oneof![Just(DELETED), Just(STRING)];
        let typed_or_deleted = (neighbours, kind).prop_map(|(neighbours, kind)| neighbours | kind);
        (
            prop_oneof![typed_or_deleted, any::<u8>()],
            [client.clone(), client],
            [clock.clone(), clock],
            len,
            content,
        )
            .prop_map(|(info, clients, clocks, len, content)| {
                let mut out = vec![info];
                for (at, flag) in [HAS_ORIGIN, HAS_RIGHT_ORIGIN].into_iter().enumerate() {
                    if info & flag != 0 {
                        write_var_uint(&mut out, clients[at]);
                        write_var_uint(&mut out, clocks[at]);
                    }
                }
                match info & KIND {
                    STRING => write_var_bytes(&mut out, &content),
                    _ => write_var_uint(&mut out, len),
                }
                out
            })
    }

    /// What both ways of reading say of a struct, as far as the quick one says it.
    fn read_both(bytes: &[u8]) -> (Option<Plain<'_>>, Result<Struct<'_>, DecodeError>) {
        let plain = Plain::read(Reader::new(bytes), ID, None, |_| true);
        let item = Struct::read(&mut Reader::new(bytes), ID, Trust::Input);
        (plain, item)
    }

    #[test]
    fn what_is_typed_and_deleted_is_read_as_plain() {
        let typed = [0x84, 1, 0, 1, b'a'];
        let deleted = [0xc1, 1, 0, 1, 5, 7];
        for (bytes, len) in [(&typed[..], 1), (&deleted, 7)] {
            assert_eq!(read_both(bytes).0.map(|plain| plain.len), Some(len));
        }
    }

    #[test]
    fn what_may_not_be_named_keeps_it_from_being_read_as_plain() {
        for typed in [[0x84, 1, 0, 1, b'a'], [0x44, 1, 0, 1, b'a']] {
            assert!(Plain::read(Reader::new(&typed), ID, None, |_| false).is_none());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn what_was_kept_of_a_struct_is_all_of_it(mut bytes in told(), more: [u8; 8]) {
            bytes.extend(more);
            if let Ok(item) = Struct::read(&mut Reader::new(&bytes), ID, Trust::Input) {
                let kept_in = [b"before", item.bytes].concat();
                let again = item.keep();
                let again = again.at_end_of(&kept_in);
                prop_assert_eq!(format!("{again:?}"), format!("{item:?}"));
            }
        }

        #[test]
        fn a_plain_struct_is_what_it_is_in_full(mut bytes in told(), more: [u8; 8]) {
            bytes.extend(more);
            let (Some(plain), item) = read_both(&bytes) else {
                return Ok(());
            };
            let item = item.expect("what is plain is a struct");
            prop_assert_eq!((plain.clock, plain.len), (item.id.clock, item.len));
            prop_assert_eq!(&plain.from[..plain.size], item.bytes);
            let Body::Item(body) = item.body else {
                panic!("what is plain is an item");
            };
            prop_assert_eq!(plain.kind, body.content.kind());
            prop_assert_eq!(plain.is_deleted(), body.content.is_deleted());
            let before = Id { clock: ID.clock - 1, ..ID };
            let continues = body.head.position.origin() == Some(before);
            for (last, is_read) in [(plain.kind, !continues), (plain.kind + 1, true)] {
                let apart = Plain::read(Reader::new(&bytes), ID, Some(last), |_| true);
                prop_assert_eq!(apart.is_some(), is_read);
            }
        }
    }
}
