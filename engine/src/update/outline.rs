//! What an update holds, for those who show it to people. Nothing here decides
//! what becomes of an update.

use super::{
    Body, ClientId, Clock, ClockRange, Content, Id, ParentRef, Position, Struct, content,
    content::Values,
};

/// One struct of an update.
#[derive(Debug, Clone, Copy)]
pub struct Outline<'a> {
    /// Who made it, and the first clock that it takes.
    pub id: Id,
    /// How many clocks it takes.
    pub len: Clock,
    /// Where it belongs; `None` for garbage and for what is skipped.
    pub place: Option<Place<'a>>,
    /// What it holds.
    pub holds: Holds<'a>,
}

/// Where an item belongs.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// Between these neighbours; at least one is told.
    Between {
        /// What it follows.
        origin: Option<Id>,
        /// What it precedes.
        right_origin: Option<Id>,
    },
    /// In a type of the document itself, at the front or at a key.
    Root {
        /// The name of the type: UTF-8.
        name: &'a [u8],
        /// The key, where the type is a map: UTF-8.
        key: Option<&'a [u8]>,
    },
    /// In a type that an item holds, at the front or at a key.
    Inside {
        /// The item.
        parent: Id,
        /// The key, where the type is a map: UTF-8.
        key: Option<&'a [u8]>,
    },
}

/// What a struct holds. Bytes are as Yjs encodes the content, without the
/// count in front of runs.
#[derive(Debug, Clone, Copy)]
pub enum Holds<'a> {
    /// Nothing any more.
    Garbage,
    /// Nothing is told of these clocks.
    Skipped,
    /// Content that was deleted.
    Deleted,
    /// JSON texts, one per clock.
    Json(&'a [u8]),
    /// lib0 "any" values, one per clock.
    Any(&'a [u8]),
    /// Text: UTF-8.
    String(&'a [u8]),
    /// A byte array, its length in front.
    Binary(&'a [u8]),
    /// A JSON text, its length in front as with all texts but `String`.
    Embed(&'a [u8]),
    /// A key, and a JSON text.
    Format(&'a [u8]),
    /// The number of a type, and the name of some.
    Type(&'a [u8]),
    /// The id of a subdocument, and its options as an "any" value.
    Document(&'a [u8]),
}

impl Outline<'_> {
    /// The clocks it takes.
    #[must_use]
    pub const fn clocks(&self) -> ClockRange {
        self.id.clock..self.id.clock + self.len
    }

    /// Who made it.
    #[must_use]
    pub const fn client(&self) -> ClientId {
        self.id.client
    }
}

impl<'a> Outline<'a> {
    pub(super) fn of(item: &Struct<'a>) -> Self {
        let (place, holds) = match item.body {
            Body::Gc => (None, Holds::Garbage),
            Body::Skip => (None, Holds::Skipped),
            Body::Item(item) => (
                Some(Place::of(item.head.position)),
                Holds::of(&item.content),
            ),
        };
        Self {
            id: item.id,
            len: item.len,
            place,
            holds,
        }
    }
}

impl<'a> Place<'a> {
    const fn of(position: Position<'a>) -> Self {
        match position {
            Position::Neighbours {
                origin,
                right_origin,
            } => Self::Between {
                origin,
                right_origin,
            },
            Position::Parent {
                parent: ParentRef::Root(name),
                sub: key,
            } => Self::Root { name, key },
            Position::Parent {
                parent: ParentRef::Item(parent),
                sub: key,
            } => Self::Inside { parent, key },
        }
    }
}

impl<'a> Holds<'a> {
    fn of(content: &Content<'a>) -> Self {
        match *content {
            Content::Deleted(_) => Self::Deleted,
            Content::Values {
                kind: Values::Json,
                bytes,
                ..
            } => Self::Json(bytes),
            Content::Values {
                kind: Values::Any,
                bytes,
                ..
            } => Self::Any(bytes),
            Content::Text(text) => Self::String(text),
            Content::Unit { kind, bytes } => match kind {
                content::BINARY => Self::Binary(bytes),
                content::EMBED => Self::Embed(bytes),
                content::FORMAT => Self::Format(bytes),
                content::TYPE => Self::Type(bytes),
                content::DOC => Self::Document(bytes),
                _ => unreachable!("these are the kinds of length one"),
            },
        }
    }
}
