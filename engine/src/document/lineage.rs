//! What a struct inherits from the structs it hangs on.

use std::collections::BTreeMap;

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
    structs: &'a StructStore,
    deletes: &'a DeleteSet,
    places: BTreeMap<ClientId, Vec<Place<'a>>>,
}

/// Where a struct stands, and its descent once known.
struct Place<'a> {
    clock: Clock,
    at: u32,
    block: &'a Block,
    descent: Found,
}

#[derive(Debug, Clone, Copy)]
enum Found {
    NotYet,
    /// It is being looked for: who comes across this hangs on itself.
    Searching,
    Descent(Descent),
}

/// How a struct that was followed inherits from the next one.
#[derive(Debug, Clone, Copy)]
enum Inherit {
    /// As this neighbour of the same parent.
    Neighbour,
    /// As a child of the type that this item holds.
    Child { parent: Id, placement: Placement },
}

impl<'a> Lineage<'a> {
    pub(super) fn new(structs: &'a StructStore, deletes: &'a DeleteSet) -> Self {
        let places_of = |client: ClientId, block: &'a Block| {
            block.places(client).map(move |(at, item)| Place {
                clock: item.id.clock,
                at,
                block,
                descent: Found::NotYet,
            })
        };
        let places = structs.clients.iter().map(|(&client, theirs)| {
            let blocks = theirs.blocks();
            // Most clients have one block with one struct.
            let mut places = Vec::with_capacity(blocks.len());
            places.extend(blocks.iter().flat_map(|block| places_of(client, block)));
            (client, places)
        });
        Self {
            structs,
            deletes,
            places: places.collect(),
        }
    }

    /// The descent of the struct that holds an id. What cannot be found out,
    /// because something is unknown, is answered with [`UNKNOWN`].
    pub(super) fn descent(&mut self, id: Id) -> Descent {
        let mut followed = Vec::new();
        let mut next = id;
        let mut found = loop {
            let Some(place) = self.place(next) else {
                break None;
            };
            match place.descent {
                Found::Descent(descent) => break Some(descent),
                Found::Searching => break None,
                Found::NotYet => place.descent = Found::Searching,
            }
            let item = place.block.read_at(next.client, place.clock, place.at);
            match inherit(&item) {
                Ok(descent) => {
                    place.descent = Found::Descent(descent);
                    break Some(descent);
                }
                Err((inherit, from)) => {
                    followed.push((next, inherit));
                    next = from;
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
        match inherit {
            Inherit::Neighbour => from.unwrap_or(UNKNOWN),
            Inherit::Child { parent, placement } => Descent {
                dead: from.is_some_and(|type_item| {
                    type_item.dead || self.deletes.contains(parent.client, parent.clock)
                }),
                placement,
                depth: from.and_then(|type_item| Some(type_item.depth? + 1)),
            },
        }
    }

    fn place(&mut self, id: Id) -> Option<&mut Place<'a>> {
        if !self.structs.knows(id) {
            return None;
        }
        let places = self.places.get_mut(&id.client)?;
        let after = places.partition_point(|place| place.clock <= id.clock);
        places.get_mut(after.checked_sub(1)?)
    }
}

/// What a struct says of its descent: all, or from whom it inherits.
fn inherit(item: &Struct<'_>) -> Result<Descent, (Inherit, Id)> {
    // What hangs on garbage is garbage to Yjs, for it has no parent.
    const GARBAGE: Descent = Descent {
        dead: true,
        placement: Placement::List,
        depth: Some(0),
    };
    let Body::Item(body) = item.body else {
        return Ok(GARBAGE);
    };
    if planted::is(Bug::DeletedTakenForGarbage) && body.content.is_deleted() {
        return Ok(GARBAGE);
    }
    let position = body.head.position;
    match position.key_or_neighbour() {
        Err(neighbour) => Err((Inherit::Neighbour, neighbour)),
        Ok(key) => {
            let placement = Placement::of_key(key);
            match position.parent_item() {
                None => Ok(Descent {
                    dead: false,
                    placement,
                    depth: Some(0),
                }),
                Some(parent) => Err((Inherit::Child { parent, placement }, parent)),
            }
        }
    }
}
