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
//!
//! Whether a struct that waits is a map entry is not asked as it comes, because what
//! it stands beside may be unknown. That turns out when it is integrated: a struct
//! that stands beside others is no map entry if none of those is.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

use super::structs::{ClientStructs, Placement, StructStore, placement_of, placement_or_neighbour};
use crate::{
    planted::{self, Bug},
    update::{Body, ClientId, Clock, ClockRange, Id, Plain, Struct},
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
    /// How many of the references were looked at, in order.
    looked_at: usize,
    /// The first struct that may be a map entry by itself, as far as that is known: it
    /// tells a key, or one of the references that were looked at is its own, to what
    /// may be one.
    unlisted: Option<Clock>,
}

/// A part of one client's structs that is integrated.
struct Step {
    clocks: ClockRange,
    /// Everything below is certainly no map entry.
    listed_end: Clock,
}

/// That a struct, at a clock of its own client, names an id of another.
#[derive(Debug, Clone, Copy)]
struct Reference {
    by: Clock,
    clock: Clock,
    client: ClientId,
}

/// So many references are looked at for one that tells as much as a further one.
const LOOKED_BACK: usize = 4;

impl Named {
    pub(super) fn note(&mut self, item: &Struct<'_>, placement: Placement) {
        self.go_on(item.id.clock);
        self.clocks.end = item.end();
        if placement_or_neighbour(item) == Ok(Placement::Entry) {
            self.note_unlisted(item.id.clock);
        }
        if placement != Placement::List && Placement::Entry.superseded(item).is_some() {
            self.several.push(item.id.clock);
        }
        let Body::Item(body) = item.body else {
            return;
        };
        for id in body.head.position.references() {
            if id.client != item.id.client && !self.refers_to(id) {
                self.refer(item.id.clock, id);
            }
        }
    }

    /// Goes on to the struct at a clock; what was told is forgotten if that does not
    /// follow.
    #[inline]
    pub(super) fn go_on(&mut self, clock: Clock) {
        if clock != self.clocks.end {
            *self = Self::default();
            self.clocks = clock..clock;
        }
    }

    /// Whether it was noted lately that this id of another client is named, or a later
    /// one: what comes before that of the same client is there as well.
    #[inline]
    pub(super) fn refers_to(&self, Id { client, clock }: Id) -> bool {
        let latest = self.references.iter().rev().take(LOOKED_BACK);
        latest
            .filter(|named| named.client == client)
            .any(|named| clock <= named.clock)
    }

    /// Notes that the struct at a clock names an id of another client.
    pub(super) fn refer(&mut self, by: Clock, Id { client, clock }: Id) {
        self.references.push(Reference { by, clock, client });
    }

    /// Notes a plain struct, what it names having been.
    #[inline]
    pub(super) fn end_plain(&mut self, plain: &Plain<'_>) {
        self.clocks.end = plain.end();
        if plain.len > 1 && !plain.is_deleted() {
            self.several.push(plain.clock);
        }
    }

    pub(super) fn is_of_use(&self) -> bool {
        !self.clocks.is_empty()
    }

    /// Whether it tells all that structs name.
    fn tells_of(&self, clocks: &ClockRange) -> bool {
        self.clocks.start <= clocks.start && clocks.end <= self.clocks.end
    }

    fn note_unlisted(&mut self, clock: Clock) {
        self.unlisted = Some(self.unlisted.map_or(clock, |first| first.min(clock)));
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
        mut named: BTreeMap<ClientId, Named>,
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
            let mut named = named.get_mut(&client);
            let step = self.integrate_on(client, named.as_deref_mut());
            let Some(Step { clocks, listed_end }) = step else {
                continue;
            };
            if listed_end < clocks.end {
                let unlisted = listed_end..clocks.end;
                let superseded = self.superseded_within(client, &unlisted, named.as_deref());
                integrated.superseded.extend(superseded);
            }
            integrated.structs.push((client, clocks));
            self.wake(client, &mut todo);
        }
        integrated
    }

    fn integrated(&self, client: ClientId) -> Clock {
        self.clients.get(&client).map_or(0, |c| c.integrated_end)
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
        let waited_for = self.blocked.range(Id { client, clock: 0 }..up_to);
        let mut arrived: SmallVec<[Id; 4]> = waited_for.map(|(id, _)| *id).collect();
        if planted::is(Bug::OnlyFirstWoken) {
            arrived.truncate(1);
        }
        for id in arrived {
            for woken in self.blocked.remove(&id).into_iter().flatten() {
                self.known_client(woken).blocked = false;
                todo.push_back(woken);
            }
        }
    }

    /// Integrates a client's structs up to one that has to wait. `None` if it does not
    /// get any further.
    fn integrate_on(&mut self, client: ClientId, named: Option<&mut Named>) -> Option<Step> {
        let theirs = &self.clients[&client];
        if theirs.blocked || theirs.integrated_end == theirs.contiguous_end() {
            return None;
        }
        let mut step = Step {
            clocks: theirs.integrated_end..theirs.contiguous_end(),
            listed_end: theirs.listed_end,
        };
        let missing = match named.filter(|named| named.tells_of(&step.clocks)) {
            Some(named) => self.step_by(named, &mut step),
            None => self.step_reading(theirs, &mut step),
        };
        let theirs = self.known_client(client);
        theirs.integrated_end = step.clocks.end;
        theirs.list_up_to(step.listed_end);
        if let Some(missing) = missing {
            theirs.blocked = true;
            self.wait(client, missing);
        }
        step.listed_end = step.listed_end.max(step.clocks.start);
        (!step.clocks.is_empty()).then_some(step)
    }

    /// Cuts a step before the first struct that has to wait, and tells for what, by
    /// what the structs are known to name; and tells which of them are no map entries.
    ///
    /// A reference that was left out is told by an earlier one to the same client, to as
    /// much or more. What that is named by may have been integrated by an earlier step:
    /// then both are there. But whether all that is named is listed, an earlier step need
    /// not have asked: it may have read the structs again, or have known without that
    /// where they stand, by their left neighbour alone. So each reference is looked at
    /// here once, from the first on, whoever integrated the struct that it is of; and one
    /// to what may be a map entry is kept in mind, for all that comes behind it may owe
    /// its place to the same. What is before the first of these, in a step that begins
    /// where all is listed, is listed: all that it names is, of its own client, where that
    /// is before the step or was just found to be, and of others.
    fn step_by(&self, named: &mut Named, step: &mut Step) -> Option<Id> {
        let mut missing = None;
        while let Some(&Reference { by, client, clock }) = named.references.get(named.looked_at) {
            let theirs = self.client(client);
            if theirs.is_none_or(|theirs| theirs.integrated_end <= clock) {
                debug_assert!(
                    by >= step.clocks.start,
                    "what is integrated has all it names"
                );
                step.clocks.end = by;
                missing = Some(Id { client, clock });
                break;
            }
            if theirs.is_none_or(|theirs| theirs.listed_end <= clock) {
                named.note_unlisted(by);
            }
            named.looked_at += 1;
        }
        if step.listed_end >= step.clocks.start {
            let end = step.clocks.end;
            let end = named.unlisted.map_or(end, |unlisted| unlisted.min(end));
            step.listed_end = step.listed_end.max(end);
        }
        missing
    }

    /// The same where that is not known: the structs are read again.
    fn step_reading(&self, theirs: &ClientStructs, step: &mut Step) -> Option<Id> {
        let mut structs = theirs.structs_from(step.clocks.start);
        let (by, missing) =
            structs.find_map(|item| Some((item.id.clock, self.first_missing(&item)?)))?;
        step.clocks.end = by;
        Some(missing)
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
