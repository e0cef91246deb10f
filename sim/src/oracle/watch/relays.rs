//! Updates that are relayed: in which form, what they tell that is new, and what
//! is told again because only now it can be integrated.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use ysyncd_engine::{
    ConnId, DocId,
    update::{ClientId, Holds, Id, Outline, Place, Update},
};

use super::{Ids, Invariant, Violation, connections::Connections};

/// What is relayed of the documents of one engine.
#[derive(Debug, Default)]
pub(super) struct Relays {
    /// Structs that were told and that build on what nobody knows.
    waiting: BTreeMap<DocId, AllWaiting>,
    /// Documents that came with such structs: which is not looked into.
    unsure: BTreeSet<DocId>,
    /// How many records of the journal became part of documents.
    record: u64,
    /// What was told with the input under way.
    told: Vec<Told>,
    /// What has to be told again with the input under way.
    due: Vec<Due>,
}

/// What was told, and to whom.
#[derive(Debug)]
struct Told {
    conns: Vec<ConnId>,
    ids: Ids,
    /// With which record, counted, it was relayed; or it is what they missed.
    with: Option<u64>,
}

/// What can be integrated only now.
#[derive(Debug)]
struct Due {
    doc: DocId,
    ids: Vec<Ids>,
    /// With which record, counted.
    with: u64,
}

/// The structs of one document that wait, by client and first clock. One waits
/// for all before it of its client, too.
#[derive(Debug, Default)]
struct AllWaiting(BTreeMap<u64, BTreeMap<u32, Waiting>>);

/// What a struct names: at most two neighbours, or its parent.
type BuildsOn = [Option<Id>; 2];

/// A struct that waits.
#[derive(Debug)]
struct Waiting {
    clocks: Range<u32>,
    on: BuildsOn,
    /// It came with the update that was applied last.
    is_new: bool,
}

impl Relays {
    /// An update is relayed. It is what of the news it tells, or nothing new at
    /// all, being told again.
    pub(super) fn relayed(
        &mut self,
        conns: &[ConnId],
        update: &[u8],
        told: &Ids,
        news: &Ids,
    ) -> Result<(), Violation> {
        is_canonical(update)?;
        // A struct may come deleted, which may have been known before it.
        let old = news.lacking(told).structs();
        let is_whole = old.is_empty() || news.lacks_all_of(&told.structs());
        Invariant::Relayed.holds(is_whole, || {
            format!("of what is told together some is known already: {old:?}; new is {news:?}")
        })?;
        self.told.push(Told {
            conns: conns.to_vec(),
            ids: told.clone(),
            with: Some(self.record),
        });
        Ok(())
    }

    /// They are told what they missed, in which there may be what they know.
    pub(super) fn caught_up(&mut self, conns: &[ConnId], told: &Ids) {
        self.told.push(Told {
            conns: conns.to_vec(),
            ids: told.clone(),
            with: None,
        });
    }

    /// Another record becomes part of a document.
    pub(super) const fn next_record(&mut self) {
        self.record += 1;
    }

    /// An update became part of a document, which now knows what `here` says.
    pub(super) fn applied(&mut self, doc: &DocId, update: &[u8], here: &Ids) {
        self.applied_of(doc, update, |_| true, here);
    }

    /// The same of a part of it, which these structs are.
    pub(super) fn applied_part(&mut self, doc: &DocId, update: &[u8], part: &Ids, here: &Ids) {
        let is_of_it = |told: &Outline<'_>| part.knows(told.client().0, told.id.clock);
        self.applied_of(doc, update, is_of_it, here);
    }

    fn applied_of(
        &mut self,
        doc: &DocId,
        update: &[u8],
        is_taken: impl Fn(&Outline<'_>) -> bool,
        here: &Ids,
    ) {
        let waiting = self.waiting.entry(doc.clone()).or_default();
        let update = Update::decode(update).ok();
        let taken = || update.iter().flat_map(Update::outline).filter(&is_taken);
        let mut told = taken();
        // Mostly nothing waits before, nor afterwards.
        let builds_on_known = |outline: Outline<'_>| {
            here.knows_up_to(outline.client().0, outline.id.clock)
                && knows_all(here, builds_on(&outline))
        };
        if waiting.is_empty() && told.all(builds_on_known) {
            return;
        }
        waiting.grow_old();
        taken().for_each(|outline| waiting.add(&outline));
        let mut due = Vec::new();
        while let Some((client, ready)) = waiting.take_ready(here) {
            if !ready.is_new {
                due.push(Ids::run(client, ready.clocks));
            }
        }
        if !due.is_empty() && !self.unsure.contains(doc) {
            self.due.push(Due {
                doc: doc.clone(),
                ids: due,
                with: self.record,
            });
        }
    }

    /// A document is read, with the ids that it holds, or records of it are.
    pub(super) fn read(&mut self, doc: &DocId, body: &[u8], ids: &Ids) {
        let waits = |outline: Outline<'_>| !knows_all(ids, builds_on(&outline));
        let update = Update::decode(body);
        if !update.is_ok_and(|update| !update.outline().any(waits)) {
            self.unsure.insert(doc.clone());
        }
    }

    /// A document has left memory.
    pub(super) fn forget(&mut self, doc: &DocId) {
        self.waiting.remove(doc);
        self.unsure.remove(doc);
    }

    /// All is said in answer to an input: what can be integrated only now was
    /// told again to all who follow, and is to be told to those who lag.
    pub(super) fn settled(&mut self, connections: &mut Connections) -> Result<(), Violation> {
        if self.due.is_empty() {
            self.told.clear();
            return Ok(());
        }
        let (told, due) = (
            std::mem::take(&mut self.told),
            std::mem::take(&mut self.due),
        );
        for Due { doc, ids, with } in due {
            // What was relayed with another record was of no use yet, or is late.
            let in_time = |told: &&Told| told.with.is_none_or(|record| record == with);
            let was_told = |conn: ConnId, ids: &Ids| {
                let mut to_it = told.iter().filter(in_time);
                to_it.any(|told| told.conns.contains(&conn) && told.ids.cover(ids))
            };
            for conn in connections.followers(&doc) {
                let missed = ids.iter().find(|ids| !was_told(conn, ids));
                Invariant::ToldAgain.holds(missed.is_none(), || {
                    format!("{doc}: {conn:?} was not told again of {missed:?}")
                })?;
            }
            for conn in connections.lagging(&doc) {
                let missed = ids.iter().filter(|ids| !was_told(conn, ids));
                missed.for_each(|ids| connections.knows_not(conn, ids));
            }
        }
        Ok(())
    }
}

impl AllWaiting {
    fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }

    fn grow_old(&mut self) {
        let all = self.0.values_mut().flat_map(BTreeMap::values_mut);
        all.for_each(|waiting| waiting.is_new = false);
    }

    /// Adds what an update tells. What waits already and is told again stays
    /// what it is; what it grew by since is new.
    fn add(&mut self, told: &Outline<'_>) {
        if matches!(told.holds, Holds::Skipped) {
            return;
        }
        let (client, clocks) = (told.client().0, told.clocks());
        let of_client = self.0.entry(client).or_default();
        let (mut start, mut on) = (clocks.start, builds_on(told));
        while let Some(waiting) = of_client.get(&start) {
            start = waiting.clocks.end;
            on = [None; 2];
        }
        if start < clocks.end {
            let (clocks, is_new) = (start..clocks.end, true);
            let waiting = Waiting { clocks, on, is_new };
            of_client.insert(start, waiting);
        }
    }

    /// Takes out one that waits no more, of the lowest of all clients: others
    /// wait for theirs.
    fn take_ready(&mut self, here: &Ids) -> Option<(u64, Waiting)> {
        let lowest = self.0.iter().filter_map(|(client, of_client)| {
            let (_, waiting) = of_client.first_key_value()?;
            Some((*client, waiting))
        });
        let mut ready = lowest.filter(|(client, waiting)| self.is_ready(*client, waiting, here));
        let client = ready.next()?.0;
        let (_, ready) = self.0.get_mut(&client)?.pop_first()?;
        Some((client, ready))
    }

    /// Whether what a struct builds on is known and does not wait itself, it
    /// being the lowest of its client.
    fn is_ready(&self, client: u64, lowest: &Waiting, here: &Ids) -> bool {
        let waits = |id: &Id| {
            let of_client = self.0.get(&id.client.0);
            let first = of_client.and_then(BTreeMap::first_key_value);
            first.is_some_and(|(start, _)| *start <= id.clock)
        };
        here.knows_up_to(client, lowest.clocks.start)
            && knows_all(here, lowest.on)
            && !lowest.on.iter().flatten().any(waits)
    }
}

/// Whether all that a struct builds on is known, and all before that.
fn knows_all(ids: &Ids, on: BuildsOn) -> bool {
    let mut on = on.iter().flatten();
    on.all(|id| ids.knows_up_to(id.client.0, id.clock + 1))
}

fn builds_on(outline: &Outline<'_>) -> BuildsOn {
    match outline.place {
        Some(Place::Between {
            origin,
            right_origin,
        }) => [origin, right_origin],
        Some(Place::Inside { parent, .. }) => [Some(parent), None],
        Some(Place::Root { .. }) | None => [None; 2],
    }
}

/// Yjs loses data of updates that tell a client in two sections, and is free to
/// expect ranges in order.
fn is_canonical(update: &[u8]) -> Result<(), Violation> {
    let update = Update::decode(update).map_err(|error| Invariant::Understood.violated(error))?;
    let mut last: Option<(ClientId, u32)> = None;
    for outline in update.outline() {
        let follows = last.is_none_or(|(client, end)| match outline.client() == client {
            true => outline.id.clock == end,
            false => outline.client() < client,
        });
        Invariant::Relayed.holds(follows, || format!("{outline:?} follows {last:?}"))?;
        last = Some((outline.client(), outline.clocks().end));
    }
    let mut last: Option<(ClientId, Range<u32>)> = None;
    for (client, range) in update.deletes() {
        let follows = last
            .as_ref()
            .is_none_or(|(before, ended)| client != *before || range.start > ended.end);
        Invariant::Relayed.holds(follows, || {
            format!("deletes of {client:?}: {range:?} follows {last:?}")
        })?;
        last = Some((client, range));
    }
    Ok(())
}
