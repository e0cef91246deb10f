//! Which structs a client that has what we have could integrate.
//!
//! A Yjs client integrates the structs of each client in order, each once all
//! that it names is integrated. A struct that came before what it names is
//! relayed at once like any other, but a client may then be left waiting even
//! after the missing part has come; so it is relayed once more after that.
//!
//! As clients integrate in order, one clock per client tells it all: everything
//! below `integrated_end` can be integrated, and the struct there waits for one
//! id at a time.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

use super::structs::{ClientStructs, Placement, StructStore, placement_of, placement_or_neighbour};
use crate::{
    planted::{self, Bug},
    update::{Body, ClientId, Clock, ClockRange, Id, Struct},
};

/// The clients whose next struct waits for an id.
pub(super) type Blocked = BTreeMap<Id, SmallVec<[ClientId; 1]>>;

/// A stretch of one client's history.
pub(crate) type Stretch = (ClientId, ClockRange);

/// Some of them: an update mostly tells of one or two, for which nothing is
/// allocated.
pub(crate) type Stretches = SmallVec<[Stretch; 2]>;

/// What was integrated by what came.
#[derive(Debug, Default)]
pub(super) struct Integrated {
    pub(super) structs: Stretches,
    /// What map entries among it supersede.
    pub(super) superseded: Vec<Stretch>,
}

/// What structs that follow each other name of other clients, so that they need
/// not be read again when those come.
#[derive(Debug, Default)]
pub(super) struct Named {
    clocks: ClockRange,
    /// Ascending by the struct.
    references: Vec<Reference>,
    /// Those among them that may be map entries of several units, ascending.
    several: Vec<Clock>,
}

/// That a struct, at a clock of its own client, names an id of another.
#[derive(Debug, Clone, Copy)]
struct Reference {
    by: Clock,
    clock: Clock,
    client: ClientId,
}

impl Named {
    pub(super) fn note(&mut self, item: &Struct<'_>, placement: Placement) {
        if item.id.clock != self.clocks.end {
            self.references.clear();
            self.several.clear();
            self.clocks.start = item.id.clock;
        }
        self.clocks.end = item.end();
        if placement != Placement::List && Placement::Entry.superseded(item).is_some() {
            self.several.push(item.id.clock);
        }
        let Body::Item(body) = item.body else {
            return;
        };
        for id in body.head.position.references() {
            // What comes before that of the same client is there as well.
            let is_there = |last: &Reference| last.client == id.client && id.clock <= last.clock;
            if id.client != item.id.client && !self.references.last().is_some_and(is_there) {
                self.references.push(Reference {
                    by: item.id.clock,
                    clock: id.clock,
                    client: id.client,
                });
            }
        }
    }

    pub(super) fn is_of_use(&self) -> bool {
        !self.clocks.is_empty()
    }

    /// Whether it tells all that structs name.
    fn tells_of(&self, clocks: &ClockRange) -> bool {
        self.clocks.start <= clocks.start && clocks.end <= self.clocks.end
    }

    /// What structs name from a clock on.
    fn references_from(&self, clock: Clock) -> &[Reference] {
        let before = self.references.partition_point(|named| named.by < clock);
        &self.references[before..]
    }

    /// Those of several units that begin within some clocks.
    fn several_within(&self, clocks: &ClockRange) -> &[Clock] {
        let before = |end: Clock| self.several.partition_point(|clock| *clock < end);
        &self.several[before(clocks.start)..before(clocks.end)]
    }
}

impl StructStore {
    /// Carries on, after the clients `grown` have grown, with all that waited
    /// for them. Returns what was integrated in doing so.
    pub(super) fn integrate_waiting(
        &mut self,
        grown: &[ClientId],
        named: &BTreeMap<ClientId, Named>,
    ) -> Integrated {
        let mut integrated = Integrated::default();
        let mut todo: VecDeque<ClientId> = VecDeque::new();
        for &client in grown {
            // A gap may have closed in front of structs that came earlier.
            if self.has_more(client) {
                todo.push_back(client);
            }
            self.wake(client, &mut todo);
        }
        while let Some(client) = todo.pop_front() {
            let named = named.get(&client);
            let clocks = self.integrate_on(client, named);
            if !clocks.is_empty() {
                let superseded = self.superseded_within(client, &clocks, named);
                integrated.superseded.extend(superseded);
                integrated.structs.push((client, clocks));
                self.wake(client, &mut todo);
            }
        }
        integrated
    }

    fn integrated(&self, client: ClientId) -> Clock {
        self.clients.get(&client).map_or(0, |c| c.integrated_end)
    }

    fn set_integrated(&mut self, client: ClientId, end: Clock) {
        self.known_client(client).integrated_end = end;
    }

    /// Whether a client has structs to integrate and waits for nothing.
    fn has_more(&self, client: ClientId) -> bool {
        self.clients
            .get(&client)
            .is_some_and(|c| !c.blocked && c.integrated_end < c.contiguous_end())
    }

    /// Notes that a client's next struct waits for an id.
    pub(super) fn wait(&mut self, client: ClientId, missing: Id) {
        self.blocked.entry(missing).or_default().push(client);
    }

    fn known_client(&mut self, client: ClientId) -> &mut ClientStructs {
        self.clients
            .get_mut(&client)
            .expect("only clients with structs integrate or wait")
    }

    /// Has the clients go on that waited for what is integrated now.
    fn wake(&mut self, client: ClientId, todo: &mut VecDeque<ClientId>) {
        if self.blocked.is_empty() {
            return;
        }
        let up_to = Id {
            client,
            clock: self.integrated(client),
        };
        while let Some((&id, _)) = self.blocked.range(Id { client, clock: 0 }..up_to).next() {
            for woken in self.blocked.remove(&id).into_iter().flatten() {
                self.known_client(woken).blocked = false;
                todo.push_back(woken);
            }
            if planted::is(Bug::OnlyFirstWoken) {
                break;
            }
        }
    }

    /// Integrates a client's structs up to one that has to wait.
    fn integrate_on(&mut self, client: ClientId, named: Option<&Named>) -> ClockRange {
        let start = self.integrated(client);
        if !self.has_more(client) {
            return start..start;
        }
        let rest = start..self.clock(client);
        let waits = match named.filter(|named| named.tells_of(&rest)) {
            Some(named) => self.first_named_missing(named.references_from(start)),
            None => self.first_waiting(client, start),
        };
        let end = waits.map_or(rest.end, |(end, _)| end);
        self.set_integrated(client, end);
        if let Some((_, missing)) = waits {
            self.known_client(client).blocked = true;
            self.wait(client, missing);
        }
        start..end
    }

    /// Where the first struct of a client that has to wait begins, and for what.
    fn first_waiting(&self, client: ClientId, from: Clock) -> Option<(Clock, Id)> {
        let mut structs = self.clients[&client].structs_from(from);
        structs.find_map(|item| Some((item.id.clock, self.first_missing(&item)?)))
    }

    /// The same, by what they are known to name.
    fn first_named_missing(&self, references: &[Reference]) -> Option<(Clock, Id)> {
        let missing = references
            .iter()
            .find(|named| named.clock >= self.integrated(named.client))?;
        let Reference { by, clock, client } = *missing;
        Some((by, Id { client, clock }))
    }

    /// What map entries supersede that were just integrated: where they stand could
    /// not always be told as they came.
    fn superseded_within(
        &self,
        client: ClientId,
        clocks: &ClockRange,
        named: Option<&Named>,
    ) -> Vec<Stretch> {
        let theirs = &self.clients[&client];
        let superseded = |item: Struct<'_>| {
            let before = Placement::Entry.superseded(&item)?;
            let placement = placement_or_neighbour(&item)
                .unwrap_or_else(|next| placement_of(next, |client| self.client(client)));
            (placement == Placement::Entry).then_some((client, before))
        };
        match named.filter(|named| named.tells_of(clocks)) {
            Some(named) => {
                let several = named.several_within(clocks).iter();
                let structs = several.filter_map(|clock| theirs.structs_from(*clock).next());
                structs.filter_map(superseded).collect()
            }
            None => {
                let structs = theirs.structs_from(clocks.start);
                let structs = structs.take_while(|item| item.id.clock < clocks.end);
                structs.filter_map(superseded).collect()
            }
        }
    }

    /// The first id that a struct names and that is not integrated.
    fn first_missing(&self, item: &Struct<'_>) -> Option<Id> {
        let Body::Item(body) = item.body else {
            return None;
        };
        body.head.position.references().find(|named| {
            named.client != item.id.client && named.clock >= self.integrated(named.client)
        })
    }
}
