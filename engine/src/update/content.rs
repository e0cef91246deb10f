//! What structs hold. Contents stay the bytes they came as: a value that is
//! decoded and encoded again may not be the same (-0, `BigInt`, float32).

use super::{CLOCK_MAX, Clock, DecodeError, Trust};
use crate::{
    json,
    lib0::{ReadError, Reader, UINT_MAX, write_var_uint},
    marks::{self, Mark},
    planted::{self, Bug},
};

/// Content references, as `contentRefs` of Yjs numbers them.
pub(crate) const GC: u8 = 0;
pub(super) const DELETED: u8 = 1;
const JSON: u8 = 2;
pub(super) const BINARY: u8 = 3;
pub(super) const STRING: u8 = 4;
pub(super) const EMBED: u8 = 5;
pub(super) const FORMAT: u8 = 6;
pub(super) const TYPE: u8 = 7;
const ANY: u8 = 8;
pub(super) const DOC: u8 = 9;
pub(crate) const SKIP: u8 = 10;

/// The content of an item.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// Content that was deleted; only its length is left.
    Deleted(Clock),
    /// A run of values, told as JSON texts or as lib0 "any" values.
    Values {
        kind: Values,
        count: Clock,
        bytes: &'a [u8],
    },
    /// UTF-8 text; its length counts UTF-16 units.
    Text(&'a [u8]),
    /// Content of length one, which nothing ever cuts or joins.
    Unit { kind: u8, bytes: &'a [u8] },
}

/// The two ways to tell a run of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    Json,
    Any,
}

/// The parts of a content that can be joined with more of its kind: a number
/// in front, and the bytes that it counts or measures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payload<'a> {
    pub(crate) number: u64,
    pub(crate) bytes: &'a [u8],
}

/// Where a unit of a content begins in its bytes. Whoever cuts a content in
/// several places, ascending, keeps one, so that all cuts together read the
/// content once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    unit: u64,
    offset: usize,
}

impl<'a> Content<'a> {
    /// Takes the content of a stored struct, all that is left being its own:
    /// nothing is looked for, so that it takes no time, however long.
    pub(crate) fn read_rest(reader: &mut Reader<'a>, kind: u8) -> Result<Self, DecodeError> {
        let values = |kind, reader: &mut Reader<'a>| {
            let count = read_len(reader)?;
            let bytes = reader.rest();
            Ok(Self::Values { kind, count, bytes })
        };
        match kind {
            DELETED => Ok(Self::Deleted(read_len(reader)?)),
            JSON => values(Values::Json, reader),
            ANY => values(Values::Any, reader),
            STRING => {
                reader.var_uint()?;
                Ok(Self::Text(reader.rest()))
            }
            _ => {
                let bytes = reader.rest();
                Ok(Self::Unit { kind, bytes })
            }
        }
    }

    /// Reads the content of a struct whose info byte names `kind`.
    #[inline(always)]
    pub(crate) fn read(
        reader: &mut Reader<'a>,
        kind: u8,
        trust: Trust,
    ) -> Result<Self, DecodeError> {
        match kind {
            DELETED => Ok(Self::Deleted(read_len(reader)?)),
            JSON => read_values(reader, Values::Json, trust),
            ANY => read_values(reader, Values::Any, trust),
            STRING => match read_text(reader, trust)? {
                [] => Err(DecodeError::EmptyStruct),
                text => Ok(Self::Text(text)),
            },
            BINARY | EMBED | FORMAT | TYPE | DOC => {
                let before = reader.rest();
                skip_unit(reader, kind, trust)?;
                let bytes = &before[..before.len() - reader.rest().len()];
                Ok(Self::Unit { kind, bytes })
            }
            _ => Err(DecodeError::UnknownContent(kind)),
        }
    }

    /// The bytes at its end that are not read.
    pub(super) const fn bytes(&self) -> &'a [u8] {
        match *self {
            Self::Deleted(_) => &[],
            Self::Text(bytes) | Self::Values { bytes, .. } | Self::Unit { bytes, .. } => bytes,
        }
    }

    /// The same with such bytes.
    pub(super) const fn with_bytes(self, bytes: &[u8]) -> Content<'_> {
        match self {
            Self::Deleted(len) => Content::Deleted(len),
            Self::Values { kind, count, .. } => Content::Values { kind, count, bytes },
            Self::Text(_) => Content::Text(bytes),
            Self::Unit { kind, .. } => Content::Unit { kind, bytes },
        }
    }

    /// The same without them.
    pub(super) const fn without_bytes(self) -> Content<'static> {
        self.with_bytes(&[])
    }

    /// The content reference that names this kind.
    pub(crate) const fn kind(&self) -> u8 {
        match *self {
            Self::Deleted(_) => DELETED,
            Self::Values { kind, .. } => match kind {
                Values::Json => JSON,
                Values::Any => ANY,
            },
            Self::Text(_) => STRING,
            Self::Unit { kind, .. } => kind,
        }
    }

    /// Whether it is a type, in which other structs may stand.
    pub(crate) const fn is_type(&self) -> bool {
        matches!(self, Self::Unit { kind: TYPE, .. })
    }

    pub(crate) const fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted(_))
    }

    /// How many clocks it takes.
    pub(crate) fn len(&self) -> u64 {
        match *self {
            Self::Deleted(len) => u64::from(len),
            Self::Values { count, .. } => u64::from(count),
            Self::Text(text) => utf16_len(text),
            Self::Unit { .. } => 1,
        }
    }

    /// How to join more of the same kind to it, if its kind can be joined.
    pub(crate) const fn payload(&self) -> Option<Payload<'a>> {
        match *self {
            Self::Deleted(len) => Some(Payload {
                number: len as u64,
                bytes: &[],
            }),
            Self::Values { count, bytes, .. } => Some(Payload {
                number: count as u64,
                bytes,
            }),
            Self::Text(text) => Some(Payload {
                number: text.len() as u64,
                bytes: text,
            }),
            Self::Unit { .. } => None,
        }
    }

    /// Appends the units `from..to` of it, as Yjs cuts: a cut inside a
    /// surrogate pair leaves U+FFFD on both sides.
    pub(crate) fn write(
        &self,
        range: std::ops::Range<u64>,
        cursor: &mut Cursor,
        out: &mut Vec<u8>,
    ) {
        match *self {
            Self::Deleted(_) => write_var_uint(out, range.end - range.start),
            Self::Values { kind, bytes, .. } => {
                write_var_uint(out, range.end - range.start);
                out.extend_from_slice(cut_values(bytes, kind, &range, cursor));
            }
            Self::Text(text) => {
                let cut = cut_text(text, &range, cursor);
                write_var_uint(out, cut.encoded_len());
                cut.write(out);
            }
            Self::Unit { bytes, .. } => out.extend_from_slice(bytes),
        }
    }

    /// Size in bytes of the units `range` of it, without the number in front.
    pub(crate) fn payload_size(&self, range: &std::ops::Range<u64>, cursor: &mut Cursor) -> u64 {
        match *self {
            Self::Deleted(_) => 0,
            Self::Values { kind, bytes, .. } => cut_values(bytes, kind, range, cursor).len() as u64,
            Self::Text(text) => cut_text(text, range, cursor).encoded_len(),
            Self::Unit { bytes, .. } => bytes.len() as u64,
        }
    }
}

/// Reads a length in clocks: at least one, at most [`CLOCK_MAX`].
#[inline]
pub(crate) fn read_len(reader: &mut Reader<'_>) -> Result<Clock, DecodeError> {
    match reader.var_uint()? {
        0 => Err(DecodeError::EmptyStruct),
        len => Clock::try_from(len)
            .ok()
            .filter(|len| *len <= CLOCK_MAX)
            .ok_or(DecodeError::ClockRange),
    }
}

/// Reads a string, checking that it is UTF-8 if it comes from outside.
#[inline]
pub(crate) fn read_text<'a>(
    reader: &mut Reader<'a>,
    trust: Trust,
) -> Result<&'a [u8], DecodeError> {
    let text = reader.var_bytes()?;
    // Most texts are short and ASCII, which is seen sooner.
    if trust == Trust::Input && !text.is_ascii() {
        std::str::from_utf8(text).map_err(|_| ReadError::Utf8)?;
    }
    Ok(text)
}

fn read_values<'a>(
    reader: &mut Reader<'a>,
    kind: Values,
    trust: Trust,
) -> Result<Content<'a>, DecodeError> {
    let count = read_len(reader)?;
    let before = reader.rest();
    for _ in 0..count {
        kind.skip_one(reader, trust)?;
    }
    let bytes = &before[..before.len() - reader.rest().len()];
    Ok(Content::Values { kind, count, bytes })
}

impl Values {
    fn skip_one(self, reader: &mut Reader<'_>, trust: Trust) -> Result<(), DecodeError> {
        match self {
            Self::Any => skip_any(reader, trust),
            Self::Json => {
                let text = read_text(reader, trust)?;
                // ContentJSON has a word of its own for what JSON cannot say.
                if trust == Trust::Stored || text == b"undefined" || json::is_valid(text) {
                    Ok(())
                } else {
                    Err(DecodeError::Json)
                }
            }
        }
    }
}

fn skip_unit(reader: &mut Reader<'_>, kind: u8, trust: Trust) -> Result<(), DecodeError> {
    match kind {
        BINARY => reader.var_bytes().map(drop).map_err(Into::into),
        EMBED => skip_json(reader, trust),
        FORMAT => {
            read_text(reader, trust)?;
            skip_json(reader, trust)
        }
        TYPE => match reader.var_uint()? {
            // An XML element's or hook's name.
            3 | 5 => read_text(reader, trust).map(drop),
            0..=6 => Ok(()),
            unknown => Err(DecodeError::UnknownType(unknown)),
        },
        DOC => {
            read_text(reader, trust)?;
            skip_doc_options(reader, trust)
        }
        _ => unreachable!("the caller passes the kinds of length one"),
    }
}

fn skip_json(reader: &mut Reader<'_>, trust: Trust) -> Result<(), DecodeError> {
    let text = read_text(reader, trust)?;
    let is_undefined = planted::is(Bug::UndefinedIsJson) && text == b"undefined";
    if trust == Trust::Stored || is_undefined || json::is_valid(text) {
        Ok(())
    } else {
        Err(DecodeError::Json)
    }
}

/// Lead bytes of lib0's "any" values that hold others.
const ANY_OBJECT: u8 = 118;
const ANY_ARRAY: u8 = 117;

/// A subdocument's options: an object. An option `guid` would take the place
/// of the guid itself, and unless a string make Yjs throw when it encodes; a
/// `gcFilter` is no function, and Yjs throws when it calls it.
fn skip_doc_options(reader: &mut Reader<'_>, trust: Trust) -> Result<(), DecodeError> {
    if reader.u8()? != ANY_OBJECT {
        return Err(DecodeError::DocOptions);
    }
    for _ in 0..reader.var_uint()? {
        if matches!(read_text(reader, trust)?, b"guid" | b"gcFilter") {
            return Err(DecodeError::DocOptions);
        }
        skip_any_below(reader, trust, 1)?;
    }
    Ok(())
}

fn skip_any(reader: &mut Reader<'_>, trust: Trust) -> Result<(), DecodeError> {
    skip_any_below(reader, trust, 0)
}

/// An object or array that has been entered.
struct Open {
    left: u64,
    keyed: bool,
}

/// Passes over one "any" value that stands inside `depth` others, keeping its
/// own stack: input must not be able to exhaust the thread's.
fn skip_any_below(reader: &mut Reader<'_>, trust: Trust, depth: usize) -> Result<(), DecodeError> {
    let mut open: smallvec::SmallVec<[Open; 8]> = smallvec::SmallVec::new();
    loop {
        match reader.u8()? {
            // undefined, null, false, true
            127 | 126 | 121 | 120 => {}
            // integer
            125 => reader.skip_var_int()?,
            // float32
            124 => reader.bytes(4).map(drop)?,
            // float64, BigInt
            123 | 122 => reader.bytes(8).map(drop)?,
            // string
            119 => read_text(reader, trust).map(drop)?,
            // Uint8Array
            116 => reader.var_bytes().map(drop)?,
            lead @ (ANY_OBJECT | ANY_ARRAY) => {
                if depth + open.len() >= json::DEPTH_MAX {
                    return Err(DecodeError::TooDeep);
                }
                open.push(Open {
                    left: reader.var_uint()?,
                    keyed: lead == ANY_OBJECT,
                });
            }
            lead => return Err(DecodeError::UnknownAny(lead)),
        }
        while open.last().is_some_and(|inner| inner.left == 0) {
            open.pop();
        }
        let Some(inner) = open.last_mut() else {
            return Ok(());
        };
        inner.left -= 1;
        if inner.keyed {
            read_text(reader, trust)?;
        }
    }
}

/// Length of valid UTF-8 in UTF-16 units: one per character, and one more for
/// those of four bytes.
pub(crate) fn utf16_len(text: &[u8]) -> u64 {
    if text.is_ascii() {
        return text.len() as u64;
    }
    text.iter()
        .map(|&byte| u64::from((byte & 0xc0) != 0x80) + u64::from(byte >= 0xf0))
        .sum()
}

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// A part of a text, each side possibly cut inside a surrogate pair.
struct TextCut<'a> {
    half_before: bool,
    whole: &'a [u8],
    half_after: bool,
}

impl TextCut<'_> {
    fn encoded_len(&self) -> u64 {
        let halves = u64::from(self.half_before) + u64::from(self.half_after);
        self.whole.len() as u64 + halves * REPLACEMENT.len() as u64
    }

    fn write(&self, out: &mut Vec<u8>) {
        if self.half_before {
            out.extend_from_slice(REPLACEMENT);
        }
        out.extend_from_slice(self.whole);
        if self.half_after {
            out.extend_from_slice(REPLACEMENT);
        }
    }
}

/// Cuts the UTF-16 units `range`, which is not empty, out of a text.
fn cut_text<'a>(text: &'a [u8], range: &std::ops::Range<u64>, cursor: &mut Cursor) -> TextCut<'a> {
    let (start, half_before) = utf16_offset(text, range.start, cursor);
    let (end, half_after) = utf16_offset(text, range.end, cursor);
    marks::hit_if(Mark::SurrogateCut, || half_before || half_after);
    // A pair cut in front starts after itself; one cut behind ends before.
    let start = if half_before { start + 4 } else { start };
    TextCut {
        half_before,
        whole: &text[start..end],
        half_after,
    }
}

/// The byte at which a UTF-16 unit starts; if the unit is the second half of a
/// pair, the byte at which the pair starts, and true.
fn utf16_offset(text: &[u8], unit: u64, cursor: &mut Cursor) -> (usize, bool) {
    if unit < cursor.unit {
        *cursor = Cursor::default();
    }
    while cursor.offset < text.len() && cursor.unit < unit {
        // Lead bytes tell how long a character is, in bytes and in units.
        let (bytes, units) = match text[cursor.offset] {
            0xf0.. if planted::is(Bug::AstralCountedOnce) => (4, 1),
            0xf0.. => (4, 2),
            0xe0.. => (3, 1),
            0xc0.. => (2, 1),
            _ => (1, 1),
        };
        if cursor.unit + units > unit {
            return (cursor.offset, true);
        }
        cursor.offset += bytes;
        cursor.unit += units;
    }
    (cursor.offset, false)
}

/// The bytes of the values `range` of a run.
fn cut_values<'a>(
    bytes: &'a [u8],
    kind: Values,
    range: &std::ops::Range<u64>,
    cursor: &mut Cursor,
) -> &'a [u8] {
    if range.start < cursor.unit {
        *cursor = Cursor::default();
    }
    let mut reader = Reader::new(&bytes[cursor.offset..]);
    let mut pass_to = |unit| {
        while cursor.unit < unit {
            kind.skip_one(&mut reader, Trust::Stored)
                .expect("stored values were checked when they came");
            cursor.unit += 1;
        }
        cursor.offset = bytes.len() - reader.rest().len();
        cursor.offset
    };
    let start = pass_to(range.start);
    let end = pass_to(range.end);
    &bytes[start..end]
}

const _: () = assert!(CLOCK_MAX as u64 <= UINT_MAX);
