//! What a struct inherits from the structs it hangs on.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::{
    block::Block,
    delete_set::DeleteSet,
    structs::{Placement, StructStore},
};
use crate::{
    planted::{self, Bug},
    update::{Body, ClientId, Clock, Id, Struct},
};

/// What a struct inherits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descent {
    /// The type that holds it is deleted, itself or further up: Yjs makes
    /// garbage of it.
    pub(super) dead: bool,
    pub(super) placement: Placement,
    /// How many types it stands in, one in the other. `None` if that depends
    /// on what is not here.
    pub(super) depth: Option<u32>,
}

/// What is to be assumed where nothing can be found out.
const UNKNOWN: Descent = Descent {
    dead: false,
    placement: Placement::Unknown,
    depth: None,
};

/// Finds the descent of structs, following each only once.
pub(super) struct Lineage<'a> {
    deletes: &'a DeleteSet,
    places: BTreeMap<ClientId, Vec<Place>>,
}

/// Where a struct stands, and its descent, or where that is to be found.
struct Place {
    clock: Clock,
    end: Clock,
    descent: Found,
}

#[derive(Debug, Clone, Copy)]
enum Found {
    NotYet(Inherit),
    /// It is being looked for: who comes across this hangs on itself.
    Searching,
    Descent(Descent),
}

/// From whom a struct inherits.
#[derive(Debug, Clone, Copy)]
struct Inherit {
    from: Id,
    /// Where it stands in the type that this item holds; `None`: it is a
    /// neighbour of the same parent.
    child: Option<Placement>,
}

impl<'a> Lineage<'a> {
    pub(super) fn new(structs: &StructStore, deletes: &'a DeleteSet) -> Self {
        let place = |item: Struct<'_>| Place {
            clock: item.id.clock,
            end: item.end(),
            descent: descent(&item),
        };
        let clients = structs.clients.iter();
        let places = clients.map(|(&client, theirs)| {
            let structs = theirs.blocks().iter().map(Block::len_structs).sum();
            let mut places = Vec::with_capacity(structs);
            places.extend(theirs.structs().map(place));
            (client, places)
        });
        Self {
            deletes,
            places: places.collect(),
        }
    }

    /// The descent of the struct that holds an id. What cannot be found out,
    /// because something is unknown, is answered with [`UNKNOWN`].
    pub(super) fn descent(&mut self, id: Id) -> Descent {
        let mut followed = SmallVec::<[_; 4]>::new();
        let mut next = id;
        let mut found = loop {
            let Some(place) = self.place(next) else {
                break None;
            };
            match place.descent {
                Found::Descent(descent) => break Some(descent),
                Found::Searching => break None,
                Found::NotYet(inherit) => {
                    place.descent = Found::Searching;
                    followed.push((next, inherit));
                    next = inherit.from;
                }
            }
        };
        for (id, inherit) in followed.into_iter().rev() {
            let descent = self.inherited(inherit, found);
            self.place(id).expect("it was just followed").descent = Found::Descent(descent);
            found = Some(descent);
        }
        found.unwrap_or(UNKNOWN)
    }

    fn inherited(&self, inherit: Inherit, from: Option<Descent>) -> Descent {
        let parent = inherit.from;
        match inherit.child {
            None => from.unwrap_or(UNKNOWN),
            Some(placement) => Descent {
                dead: from.is_some_and(|type_item| {
                    type_item.dead || self.deletes.contains(parent.client, parent.clock)
                }),
                placement,
                depth: from.and_then(|type_item| Some(type_item.depth? + 1)),
            },
        }
    }

    fn place(&mut self, id: Id) -> Option<&mut Place> {
        let places = self.places.get_mut(&id.client)?;
        let after = places.partition_point(|place| place.clock <= id.clock);
        let place = places.get_mut(after.checked_sub(1)?)?;
        (id.clock < place.end).then_some(place)
    }
}

/// What a struct says of its descent: all, or from whom it inherits.
fn descent(item: &Struct<'_>) -> Found {
    // What hangs on garbage is garbage to Yjs, for it has no parent.
    const GARBAGE: Found = Found::Descent(Descent {
        dead: true,
        placement: Placement::List,
        depth: Some(0),
    });
    let Body::Item(body) = item.body else {
        return GARBAGE;
    };
    if planted::is(Bug::DeletedTakenForGarbage) && body.content.is_deleted() {
        return GARBAGE;
    }
    let position = body.head.position;
    match position.key_or_neighbour() {
        Err(from) => Found::NotYet(Inherit { from, child: None }),
        Ok(key) => {
            let placement = Placement::of_key(key);
            match position.parent_item() {
                None => Found::Descent(Descent {
                    dead: false,
                    placement,
                    depth: Some(0),
                }),
                Some(from) => Found::NotYet(Inherit {
                    from,
                    child: Some(placement),
                }),
            }
        }
    }
}
