//! Adding the structs of an update, one section after the other.
//!
//! The structs of a section are one client's, and mostly follow all that it
//! has done before. So what is known of that client is looked up once per
//! section, and what is asked about another is remembered for the next struct.
//!
//! Three words say what need not be looked at. A struct is plain by its form: it
//! stands beside others, and holds text or was deleted. It is *settled* if it is
//! integrated and certainly no map entry, which it is if all that it names is
//! settled. It *waits* if it, or one before it of the same client, names what is not
//! integrated. Nearly all structs are plain, and come in runs that are settled or
//! wait: these are appended as they are, and noted as a whole. All others, and those
//! that are to be joined to the last, are looked at one by one.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::{
    causality::{Named, Stretch, Stretches},
    delete_set::DeleteSet,
    state::read_part,
    structs::{
        ClientStructs, Placement, Standing, StructStore, placement_of, placement_or_neighbour,
    },
};
use crate::{
    marks::{self, Mark},
    update::{
        Body, ClientId, Clock, ClockRange, Cursor, DecodeError, Id, Item, Position, Sections,
        Struct,
    },
};

/// What of an update's structs was new.
#[derive(Debug)]
pub(super) struct Added {
    /// Their clocks.
    pub(super) structs: Stretches,
    /// The clocks of those that tell by themselves that they are deleted.
    pub(super) deleted: Stretches,
    /// What those name of other clients that wait.
    pub(super) named: BTreeMap<ClientId, Named>,
    /// What is superseded unless it is deleted, where nobody could tell.
    pub(super) superseded: Vec<Stretch>,
    /// Whether they are all that there were, and were added as they came.
    pub(super) as_it_is: bool,
}

impl StructStore {
    /// Adds what is unknown of the structs in the sections of an update.
    /// `deletes` is what was deleted, by that update too, if that can be told.
    ///
    /// # Errors
    /// The bytes are no valid update. What is here then is of no use.
    pub(super) fn append(
        &mut self,
        sections: &mut Sections<'_>,
        deletes: Option<&DeleteSet>,
    ) -> Result<Added, DecodeError> {
        let mut added = Added::nothing();
        while let Some(client) = sections.next_section()? {
            let mut appender = Appender::new(self, client, deletes, &mut added);
            loop {
                appender.add_runs(sections);
                let Some(item) = sections.next_struct()? else {
                    break;
                };
                if !matches!(item.body, Body::Skip) {
                    appender.add(&item);
                }
            }
            appender.finish();
        }
        Ok(added)
    }

    /// Adds what is unknown of one struct, which is no Skip.
    pub(super) fn append_one(&mut self, item: &Struct<'_>, deletes: &DeleteSet) -> Added {
        debug_assert!(!matches!(item.body, Body::Skip));
        let mut added = Added::nothing();
        if !self.append_settled(item, &mut added) {
            let mut appender = Appender::new(self, item.id.client, Some(deletes), &mut added);
            appender.add(item);
            appender.finish();
        }
        added
    }

    /// Adds a struct if it follows all others of its client and is settled, as what
    /// somebody types is. The client's structs stay where they are for that.
    fn append_settled(&mut self, item: &Struct<'_>, added: &mut Added) -> bool {
        let client = item.id.client;
        let is_settled = |named: Id| {
            let theirs = self.client(named.client);
            theirs.is_some_and(|theirs| named.clock < theirs.settled_end())
        };
        let follows = |theirs: &ClientStructs| {
            theirs.end() == item.id.clock && theirs.standing() == Standing::Settled
        };
        let is_settled = self.client(client).is_some_and(follows)
            && is_settled_by(item, |named| named.client == client || is_settled(named));
        let theirs = self.clients.get_mut(&client).filter(|_| is_settled);
        let Some(theirs) = theirs else {
            return false;
        };
        theirs.push(item, true);
        push(&mut added.structs, client, theirs.settle());
        if item.is_deleted() {
            push(&mut added.deleted, client, item.clocks());
        }
        true
    }
}

impl Added {
    fn nothing() -> Self {
        Self {
            structs: Stretches::new(),
            deleted: Stretches::new(),
            named: BTreeMap::new(),
            superseded: Vec::new(),
            as_it_is: true,
        }
    }

    /// Whose structs they are.
    pub(super) fn clients(&self) -> SmallVec<[ClientId; 2]> {
        let mut clients: SmallVec<_> = self.structs.iter().map(|(client, _)| *client).collect();
        clients.dedup();
        clients
    }
}

/// Adds a stretch, as part of the last if it continues that.
#[inline]
fn push(stretches: &mut Stretches, client: ClientId, range: ClockRange) {
    if range.is_empty() {
        return;
    }
    match stretches.last_mut() {
        Some((last, run)) if *last == client && run.end == range.start => run.end = range.end,
        _ => stretches.push((client, range)),
    }
}

/// Adds the structs of one section.
struct Appender<'s> {
    store: &'s mut StructStore,
    client: ClientId,
    /// The client's structs, taken out of the store meanwhile.
    theirs: ClientStructs,
    /// What holds of all of them.
    standing: Standing,
    /// Where those stand that were added last, and are not settled.
    placed: Placed,
    /// What those name that wait.
    named: Named,
    /// The client that was asked about last.
    other: Other,
    deletes: Option<&'s DeleteSet>,
    added: &'s mut Added,
}

/// Where structs stand that follow each other: neighbours mostly are among
/// those that came last, and need not be looked for then.
#[derive(Default)]
struct Placed {
    /// From which clock on they stand so, ascending.
    runs: Vec<(Clock, Placement)>,
    end: Clock,
}

impl Placed {
    fn push(&mut self, clocks: ClockRange, placement: Placement) {
        if clocks.is_empty() {
            return;
        }
        if clocks.start != self.end {
            self.runs.clear();
        }
        if self.runs.last().is_none_or(|(_, last)| *last != placement) {
            self.runs.push((clocks.start, placement));
        }
        self.end = clocks.end;
    }

    /// Where the struct stands that holds a clock.
    fn at(&self, clock: Clock) -> Option<Placement> {
        let after = self.runs.partition_point(|(start, _)| *start <= clock);
        let run = self.runs.get(after.checked_sub(1)?)?;
        (clock < self.end).then_some(run.1)
    }
}

/// What is known of another client, which nothing changes during a section.
struct Other {
    client: ClientId,
    listed_end: Clock,
    integrated_end: Clock,
    settled_end: Clock,
}

impl Other {
    /// Nothing is known of it.
    const fn unknown(client: ClientId) -> Self {
        Self {
            client,
            listed_end: 0,
            integrated_end: 0,
            settled_end: 0,
        }
    }

    /// Turns to another client, unless it is the one that was asked about last.
    #[inline(always)]
    fn turn_to(&mut self, client: ClientId, store: &StructStore) -> &Self {
        if self.client != client {
            *self = Self::of(client, store);
        }
        self
    }

    /// Apart from what asks: with a search within them, loops over structs get too large
    /// to have what they ask inlined.
    #[inline(never)]
    fn of(client: ClientId, store: &StructStore) -> Self {
        let known = |theirs: &ClientStructs| Self {
            client,
            listed_end: theirs.listed_end,
            integrated_end: theirs.integrated_end,
            settled_end: theirs.settled_end(),
        };
        let theirs = store.client(client);
        theirs.map_or(Self::unknown(client), known)
    }

    /// Whether what another client made is settled.
    #[inline(always)]
    fn is_settled(&mut self, named: Id, store: &StructStore) -> bool {
        named.clock < self.turn_to(named.client, store).settled_end
    }
}

/// Whether a struct is settled that follows such, by what it names.
#[inline(always)]
fn is_settled_by(item: &Struct<'_>, mut is_settled: impl FnMut(Id) -> bool) -> bool {
    match item.body {
        Body::Gc => true,
        Body::Item(Item { head, .. }) => match head.position {
            Position::Neighbours {
                origin,
                right_origin,
            } => origin.is_none_or(&mut is_settled) && right_origin.is_none_or(is_settled),
            Position::Parent { .. } => false,
        },
        Body::Skip => false,
    }
}

impl<'s> Appender<'s> {
    fn new(
        store: &'s mut StructStore,
        client: ClientId,
        deletes: Option<&'s DeleteSet>,
        added: &'s mut Added,
    ) -> Self {
        let theirs = store.take(client);
        Self {
            standing: theirs.standing(),
            placed: Placed::default(),
            named: Named::default(),
            theirs,
            store,
            client,
            // Nobody asks about the client itself.
            other: Other::unknown(client),
            deletes,
            added,
        }
    }

    fn finish(self) {
        if self.named.is_of_use() {
            self.added.named.insert(self.client, self.named);
        }
        self.store.put_back(self.client, self.theirs);
    }

    /// Adds the plain structs that come next and follow all others, if those are
    /// settled or wait.
    #[inline(always)]
    fn add_runs(&mut self, sections: &mut Sections<'_>) {
        if self.theirs.end() != sections.next_clock() {
            return;
        }
        match self.standing {
            Standing::Settled => self.add_settled(sections),
            // What comes from another node may have to be cut.
            Standing::Waiting if !self.store.from_elsewhere => self.add_waiting(sections),
            Standing::Waiting | Standing::Mixed => {}
        }
    }

    /// Adds those plain structs that come next and are settled.
    #[inline(always)]
    fn add_settled(&mut self, sections: &mut Sections<'_>) {
        let (client, store, other) = (self.client, &*self.store, &mut self.other);
        let deleted = &mut self.added.deleted;
        let Some(mut run) = self.theirs.run(true) else {
            return;
        };
        let mut is_settled = |named| other.is_settled(named, store);
        while run.has_room()
            && let Some(plain) = sections.next_plain(run.last_kind(), &mut is_settled)
        {
            if plain.is_deleted() {
                push(deleted, client, plain.clocks());
            }
            run.push(&plain);
        }
        run.finish();
        push(&mut self.added.structs, client, self.theirs.settle());
    }

    /// Adds those plain structs that come next, and notes what they wait for.
    fn add_waiting(&mut self, sections: &mut Sections<'_>) {
        let (client, store, other) = (self.client, &*self.store, &mut self.other);
        let (deleted, named) = (&mut self.added.deleted, &mut self.named);
        let Some(mut run) = self.theirs.run(false) else {
            return;
        };
        let mut by = sections.next_clock();
        named.go_on(by);
        while run.has_room()
            && let Some(plain) = sections.next_plain(run.last_kind(), |id| {
                if !named.refers_to(id) && !other.is_settled(id, store) {
                    named.refer(by, id);
                }
                true
            })
        {
            by = plain.end();
            named.end_plain(&plain);
            if plain.is_deleted() {
                push(deleted, client, plain.clocks());
            }
            run.push(&plain);
        }
        run.finish();
        let clocks = self.theirs.connect();
        self.placed.push(clocks.clone(), Placement::Unknown);
        push(&mut self.added.structs, client, clocks);
    }

    /// Adds the parts of a struct that are unknown.
    #[inline(always)]
    fn add(&mut self, item: &Struct<'_>) {
        if self.standing == Standing::Settled
            && self.theirs.end() == item.id.clock
            && self.is_settled(item)
        {
            self.theirs.push(item, true);
            push(&mut self.added.structs, self.client, self.theirs.settle());
            if item.is_deleted() {
                push(&mut self.added.deleted, self.client, item.clocks());
            }
        } else {
            self.add_in_general(item);
            self.standing = self.theirs.standing();
        }
    }

    /// Whether a struct is settled that follows such. Of its own client it may name
    /// nothing else.
    #[inline(always)]
    fn is_settled(&mut self, item: &Struct<'_>) -> bool {
        let (client, store, other) = (self.client, &*self.store, &mut self.other);
        is_settled_by(item, |named| {
            named.client == client || other.is_settled(named, store)
        })
    }

    fn add_in_general(&mut self, item: &Struct<'_>) {
        match item.id.clock >= self.theirs.end() {
            true => self.add_new(item),
            false => self.add_missing(item),
        }
    }

    fn add_missing(&mut self, item: &Struct<'_>) {
        let all = item.id.clock..item.end();
        let missing = self.theirs.missing(all.clone());
        if *missing == [all] {
            return self.add_new(item);
        }
        self.added.as_it_is = false;
        let mut cursor = Cursor::default();
        for part in missing {
            let mut bytes = Vec::new();
            item.write_part(part.start, part.end, &mut cursor, &mut bytes);
            self.add_new(&read_part(&bytes, self.client, part.start));
        }
    }

    /// Adds a struct that is unknown.
    fn add_new(&mut self, new: &Struct<'_>) {
        let placement = self.placement(new);
        match placement.superseded(new) {
            Some(before) if self.is_next(new) && self.is_superseded(&before) => {
                self.add_last_unit(new, before);
            }
            Some(before) if self.lives_on(new) => self.add_apart(new, &before),
            _ => self.add_placed(new, placement),
        }
    }

    /// Whether a struct can be integrated. What cannot yet may turn out to stand
    /// elsewhere; what it supersedes is told then.
    fn is_next(&mut self, new: &Struct<'_>) -> bool {
        self.theirs.integrated_end == new.id.clock && self.first_missing(new).is_none()
    }

    /// Whether units of a map entry before its last are deleted by nobody. Yjs
    /// joins old values of a key only once they are deleted, and where it keeps
    /// deleted content, theirs is to be kept.
    fn is_superseded(&mut self, before: &ClockRange) -> bool {
        match self.deletes {
            Some(deletes) => !deletes.has(self.client, before.clone()),
            None => {
                self.added.superseded.push((self.client, before.clone()));
                false
            }
        }
    }

    /// Whether the last unit of a map entry is deleted by nobody, though those
    /// before it are. Yjs has joined them as it knew them all to be deleted; what
    /// told of the last has not come by the bus.
    fn lives_on(&self, new: &Struct<'_>) -> bool {
        let deletes = self.deletes.filter(|_| self.store.from_elsewhere);
        deletes.is_some_and(|deletes| !deletes.has(self.client, new.clocks()))
    }

    /// Adds a map entry whose last unit lives, apart from what was `before` it.
    fn add_apart(&mut self, new: &Struct<'_>, before: &ClockRange) {
        self.added.as_it_is = false;
        for part in [before.clone(), before.end..new.end()] {
            let mut bytes = Vec::new();
            new.write_part(part.start, part.end, &mut Cursor::default(), &mut bytes);
            let part = read_part(&bytes, self.client, part.start);
            self.add_placed(&part, Placement::Entry);
        }
    }

    /// Adds a map entry of which only the unit after `before` is left.
    fn add_last_unit(&mut self, new: &Struct<'_>, before: ClockRange) {
        let (mut deleted, mut last) = (Vec::new(), Vec::new());
        new.write_deleted_part(before.start, before.end, &mut deleted);
        new.write_part(before.end, new.end(), &mut Cursor::default(), &mut last);
        marks::hit(Mark::Superseded);
        self.added.as_it_is = false;
        let deleted = read_part(&deleted, self.client, before.start);
        self.add_placed(&deleted, Placement::Entry);
        self.add_placed(&read_part(&last, self.client, before.end), Placement::Entry);
    }

    fn add_placed(&mut self, new: &Struct<'_>, placement: Placement) {
        let touched = self.theirs.insert(new, placement == Placement::List);
        self.store.count_gaps(new, &touched);
        self.placed.push(new.clocks(), placement);
        self.integrate_if_next(new, placement);
        if new.is_deleted() {
            push(&mut self.added.deleted, self.client, new.clocks());
        }
        push(&mut self.added.structs, self.client, new.clocks());
    }

    /// Integrates a struct that was just added, if it is its client's next.
    fn integrate_if_next(&mut self, new: &Struct<'_>, placement: Placement) {
        if self.theirs.integrated_end == new.id.clock {
            match self.first_missing(new) {
                None => self.theirs.integrated_end = new.end(),
                Some(missing) => {
                    self.theirs.blocked = true;
                    self.store.wait(self.client, missing);
                }
            }
        }
        if self.theirs.blocked {
            self.named.note(new, placement);
        }
    }

    /// The first id that a struct names and that is not integrated.
    fn first_missing(&mut self, new: &Struct<'_>) -> Option<Id> {
        let Body::Item(body) = new.body else {
            return None;
        };
        body.head.position.references().find(|named| {
            named.client != self.client
                && named.clock >= self.other.turn_to(named.client, self.store).integrated_end
        })
    }

    /// Where a struct stands, as it tells or the neighbours do from which it
    /// takes its parent.
    fn placement(&mut self, new: &Struct<'_>) -> Placement {
        let neighbour = match placement_or_neighbour(new) {
            Ok(placement) => return placement,
            Err(neighbour) => neighbour,
        };
        let listed_end = match neighbour.client == self.client {
            true => self.theirs.listed_end,
            false => self.other.turn_to(neighbour.client, self.store).listed_end,
        };
        if neighbour.clock < listed_end {
            return Placement::List;
        }
        let placed = match neighbour.client == self.client {
            true => self.placed.at(neighbour.clock),
            false => None,
        };
        // What waits is asked once more when it is integrated.
        if self.theirs.blocked && !self.store.from_elsewhere {
            return placed.unwrap_or(Placement::Unknown);
        }
        placed.unwrap_or_else(|| {
            placement_of(neighbour, |client| match client == self.client {
                true => Some(&self.theirs),
                false => self.store.client(client),
            })
        })
    }
}
