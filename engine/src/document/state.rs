//! The content of a document: structs and delete set, nothing integrated.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    ahead::Ahead,
    block::Segment,
    causality::{Stretch, Stretches},
    compaction,
    delete_set::DeleteSet,
    lineage::Lineage,
    pending::{Awaited, Pending},
    structs::{ClientStructs, Runs, StructStore},
};
use crate::{
    lib0::{Reader, write_var_uint},
    marks::{self, Mark},
    planted::{self, Bug},
    state_vector::StateVector,
    update::{Body, ClientId, Clock, ClockRange, Cursor, DecodeError, Id, Struct, Trust, Update},
};

/// A document as the updates that made it tell it.
///
/// It holds validated Yjs structs as bytes and is never integrated: to answer
/// a peer, merge, and save, it only has to know which ids there are. What
/// clients make of the content is their business.
///
/// Two are equal if they tell the same in the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentState {
    pub(super) structs: StructStore,
    pub(super) deletes: DeleteSet,
    pub(super) awaited: Awaited,
}

/// What an update brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What of it was new.
    pub new_part: NewPart,
    /// An update with what had come too early and is complete only now; to be
    /// relayed after the new part, to everybody.
    pub resend: Option<Bytes>,
    /// What either tells of.
    told: Stretches,
}

/// What of an update was new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewPart {
    /// Nothing: the document is as it was.
    Nothing,
    /// All of it, and it is in canonical form: the very bytes can be relayed.
    All,
    /// This much, as an update.
    Some(Bytes),
}

impl DocumentState {
    /// Adds what an update tells. Of what is known already, the first that
    /// came stays.
    ///
    /// # Errors
    /// The bytes are no valid update; nothing has changed.
    pub fn apply(&mut self, update: &[u8]) -> Result<Applied, DecodeError> {
        Ok(self.apply_decoded(&Update::decode(update)?))
    }

    /// As [`DocumentState::apply`], for an update that was decoded before.
    pub fn apply_decoded(&mut self, update: &Update<'_>) -> Applied {
        marks::hit_if(Mark::PendingDeleteResolved, || {
            update.structs().any(|item| self.was_awaited(&item))
        });
        let mut deleted = Stretches::new();
        let mut all_new = update.is_canonical() || planted::is(Bug::CanonicalUnchecked);
        for (client, range) in update.deletes() {
            if planted::is(Bug::DeleteSetNotMerged) && self.deletes.names(client)
                || planted::is(Bug::PendingDeletesDropped) && self.is_ahead(&range, client, update)
            {
                continue;
            }
            all_new &= self.delete(client, range, &mut deleted);
        }
        for (client, range) in self.deletes_told_by_structs(update) {
            all_new = false;
            self.delete(client, range, &mut deleted);
        }
        let added = match update.only() {
            Some(item) => self.structs.append_one(item, &self.deletes),
            None => self
                .structs
                .append(&mut update.sections_in_order(), Some(&self.deletes))
                .expect("an update was checked as a whole"),
        };
        all_new &= added.as_it_is;
        let grown = added.clients();
        for client in &grown {
            self.awaited
                .mind_known(*client, &self.structs, &self.deletes);
        }
        for (client, range) in &added.deleted {
            self.delete(*client, range.clone(), &mut deleted);
        }
        let integrated = self.structs.integrate_waiting(&grown, added.named);
        for (client, range) in integrated.superseded {
            all_new &= self.deletes.has(client, range.clone());
            self.delete(client, range, &mut deleted);
        }
        let resend = without(integrated.structs, &added.structs);
        all_new |= planted::is(Bug::PartRelayedWhole);
        let nothing_new = added.structs.is_empty() && deleted.is_empty();
        marks::hit_if(Mark::CanonicalRelay, || !nothing_new && all_new);
        marks::hit_if(Mark::SlicedRelay, || !nothing_new && !all_new);
        marks::hit_if(Mark::ResendCausality, || !resend.is_empty());
        let new_part = match (nothing_new, all_new) {
            (true, _) => NewPart::Nothing,
            (false, true) => NewPart::All,
            (false, false) => {
                let deleted = DeleteSet::from(deleted.into_vec());
                NewPart::Some(self.encode_stretches(added.structs.clone(), &deleted))
            }
        };
        let mut told = added.structs;
        told.extend(resend.iter().cloned());
        Applied {
            new_part,
            resend: (!resend.is_empty())
                .then(|| self.encode_stretches(resend, &DeleteSet::default())),
            told,
        }
    }

    /// Adds a deleted range; what of it is new is added to `fresh`. True if that is
    /// all of it.
    fn delete(&mut self, client: ClientId, range: ClockRange, fresh: &mut Stretches) -> bool {
        self.awaited
            .mind_deleted(client, &range, &self.structs, &self.deletes);
        self.deletes.insert(client, range, fresh)
    }

    /// What another node tells to be deleted with the structs alone: it sends on what
    /// was new to it, and that a struct was deleted may have been known to it before.
    /// Clients name all that is deleted.
    fn deletes_told_by_structs(&self, update: &Update<'_>) -> Vec<Stretch> {
        if !self.structs.from_elsewhere {
            return Vec::new();
        }
        let deleted = update.structs().filter(Struct::is_deleted);
        let deleted = deleted.map(|item| (item.id.client, item.clocks()));
        let is_new = |(client, clocks): &Stretch| !self.deletes.has(*client, clocks.clone());
        deleted.filter(is_new).collect()
    }

    /// Whether an update tells something that is not here yet.
    #[must_use]
    pub fn lacks(&self, update: &Update<'_>) -> bool {
        if let Some((client, clocks)) = update.run()
            && self.end(*client) <= clocks.start
        {
            return true;
        }
        let lacks_struct = |item: Struct<'_>| match self.structs.client(item.id.client) {
            Some(structs) => !structs.missing(item.id.clock..item.end()).is_empty(),
            None => true,
        };
        let lacks_delete = |(client, range)| {
            !self.deletes.has(client, range) && !planted::is(Bug::DeleteOnlyIgnored)
        };
        update.deletes().any(lacks_delete) || update.structs().any(lacks_struct)
    }

    /// Whether a client has written to it.
    pub(super) fn knows_client(&self, client: ClientId) -> bool {
        self.structs.client(client).is_some()
    }

    /// How many clients have written to it.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.structs.clients.len()
    }

    /// How many clients an update tells of that have not written yet, what is on
    /// its way included.
    #[must_use]
    pub fn new_clients(&self, update: &Update<'_>, ahead: &Ahead) -> usize {
        let is_new = |client| !ahead.has(client) && self.structs.client(client).is_none();
        if let Some((client, _)) = update.run() {
            return usize::from(is_new(*client));
        }
        let (mut new, mut last) = (BTreeSet::new(), None);
        for item in update.structs() {
            let client = item.id.client;
            let is_next = last.replace(client) != Some(client);
            if is_next && is_new(client) {
                new.insert(client);
            }
        }
        new.len()
    }

    /// How many types an update tells of that are not here.
    #[must_use]
    pub fn new_types(&self, update: &Update<'_>) -> usize {
        if update.types() == 0 {
            return 0;
        }
        let is_new = |item: &Struct<'_>| item.is_type() && !self.structs.knows(item.id);
        update.structs().filter(is_new).count()
    }

    /// How deep types stand in each other. Those of which that cannot be found
    /// out are taken to stand in each other, in the deepest one. Takes time in
    /// proportion to the document.
    #[must_use]
    pub fn nesting(&self) -> usize {
        let mut lineage = Lineage::new(&self.structs, &self.deletes);
        let (mut deepest, mut loose) = (0, 0);
        for theirs in self.structs.clients.values() {
            for item in theirs.structs().filter(Struct::is_type) {
                match lineage.descent(item.id).depth {
                    Some(depth) => deepest = deepest.max(depth as usize + 1),
                    None => loose += 1,
                }
            }
        }
        deepest + loose
    }

    /// Notes that an update, which opens so many gaps and tells of so many new clients,
    /// is on its way. Returns how many types it brings.
    pub fn expect(
        &self,
        update: &Update<'_>,
        opens: Pending,
        newcomers: usize,
        ahead: &mut Ahead,
    ) -> usize {
        let types = self.new_types(update);
        match update.run() {
            Some((client, run)) => {
                let clock = self.clock_after(*client, run, ahead);
                ahead.add([(*client, clock)], opens, types, newcomers);
            }
            None => ahead.add(self.clocks_after(update, ahead), opens, types, newcomers),
        }
        types
    }

    /// What is known, gaps left out.
    #[must_use]
    pub fn state_vector(&self) -> StateVector {
        self.structs
            .clients
            .iter()
            .map(
                |(client, structs)| match planted::is(Bug::StateVectorCoversGaps) {
                    true => (*client, structs.end()),
                    false => (*client, structs.contiguous_end()),
                },
            )
            .filter(|(_, clock)| *clock > 0)
            .collect()
    }

    /// What a client has surely integrated that was told all there is: what waits
    /// for something is left out, as it has to be told again when that comes.
    #[must_use]
    pub fn integrated(&self) -> StateVector {
        let clients = self.structs.clients.iter();
        clients
            .map(|(client, structs)| (*client, structs.integrated_end))
            .filter(|(_, clock)| *clock > 0)
            .collect()
    }

    /// The same as it was before the last update was applied, or less.
    #[must_use]
    pub fn integrated_before(&self, last: &Applied) -> StateVector {
        let mut starts = BTreeMap::<_, Clock>::new();
        for (client, told) in &last.told {
            let start = starts.entry(client).or_insert(told.start);
            *start = told.start.min(*start);
        }
        let before = |(client, end): (ClientId, Clock)| {
            (
                client,
                starts.get(&client).map_or(end, |start| end.min(*start)),
            )
        };
        let integrated = self.integrated();
        let clocks = integrated.iter().map(before);
        clocks.filter(|(_, clock)| *clock > 0).collect()
    }

    /// An update that brings a peer, which knows what `known` says, up to date.
    #[must_use]
    pub fn diff(&self, known: &StateVector) -> Bytes {
        let next = Clock::from(planted::is(Bug::OffByOneInDiff));
        let sections = self.sections(|client| known.clock(client) + next);
        encode(&sections, &self.deletes)
    }

    /// The same, without the deletes if a peer knows them.
    #[must_use]
    pub fn diff_for(&self, known: &StateVector, deletes: bool) -> Bytes {
        let sections = self.sections(|client| known.clock(client));
        match deletes {
            true => encode(&sections, &self.deletes),
            false => encode(&sections, &DeleteSet::default()),
        }
    }

    /// The whole document as an update.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(&self.sections(|_| 0), &self.deletes)
    }

    /// Tells the same document in fewer bytes. With `gc`, content that was
    /// deleted is dropped, as Yjs does. True if it tells of more that is deleted,
    /// which follows from what was: its parent is, or another value of its key came.
    pub fn compact(&mut self, gc: bool) -> bool {
        let is_more = compaction::compact(&mut self.structs, &mut self.deletes, gc);
        self.awaited = Awaited::of(&self.structs, &self.deletes);
        is_more
    }

    /// Whether every id of `other`, present or deleted, is here too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let has_structs = other.structs.clients.iter().all(|(client, theirs)| {
            let runs = theirs.runs(0);
            match self.structs.client(*client) {
                Some(ours) => runs.into_iter().all(|run| ours.missing(run).is_empty()),
                None => runs.is_empty(),
            }
        });
        let has_deletes = self.deletes.covers(&other.deletes);
        has_structs && (has_deletes || planted::is(Bug::AdoptedWithoutDeletes))
    }

    /// Whether nothing was ever written to it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.structs.clients.is_empty() && self.deletes.is_empty()
    }

    /// Panics if something does not hold that always must.
    pub fn check(&self) {
        let mut lineage = Lineage::new(&self.structs, &self.deletes);
        self.structs.check(|id| lineage.descent(id).placement);
        assert_eq!(self.awaited, Awaited::of(&self.structs, &self.deletes));
    }

    /// How many structs it holds; `None` if more than `pieces` had to be looked
    /// at for that. Those that were are taken off.
    #[must_use]
    pub fn count_structs(&self, pieces: &mut usize) -> Option<usize> {
        let mut structs = 0;
        for client in self.structs.clients.values() {
            for block in client.blocks() {
                *pieces = pieces.checked_sub(1)?;
                structs += block.len_structs();
            }
        }
        Some(structs)
    }

    /// Size in bytes of its structs as they are kept now.
    #[must_use]
    pub fn struct_bytes(&self) -> usize {
        let blocks = self
            .structs
            .clients
            .values()
            .flat_map(ClientStructs::blocks);
        blocks.map(super::block::Block::len_bytes).sum()
    }

    /// Whether a struct is unknown, and deleted.
    fn was_awaited(&self, new: &Struct<'_>) -> bool {
        let mut deleted = self.deletes.within(new.id.client, new.id.clock..new.end());
        !self.structs.knows(new.id) && deleted.next().is_some()
    }

    /// Whether a range names ids that are unknown even after an update.
    fn is_ahead(&self, range: &ClockRange, client: ClientId, update: &Update<'_>) -> bool {
        let after = self.clocks_after(update, &Ahead::default());
        let known = after.get(&client).copied();
        range.end > known.unwrap_or_else(|| self.structs.clock(client))
    }

    /// The clocks of those clients that an update tells of, as they are after
    /// it.
    pub(super) fn clocks_after(
        &self,
        update: &Update<'_>,
        ahead: &Ahead,
    ) -> BTreeMap<ClientId, Clock> {
        if let Some((client, run)) = update.run() {
            return BTreeMap::from([(*client, self.clock_after(*client, run, ahead))]);
        }
        let mut clocks = BTreeMap::new();
        for item in update.structs() {
            let client = item.id.client;
            let clock = clocks
                .entry(client)
                .or_insert_with(|| self.clock(client, ahead));
            if item.id.clock <= *clock {
                let end = item.end().max(*clock);
                *clock = self.structs.end_of_known(Id { client, clock: end });
            }
        }
        clocks
    }

    /// The clock of a client as it is after a run of its structs.
    fn clock_after(&self, client: ClientId, run: &ClockRange, ahead: &Ahead) -> Clock {
        let known = self.clock(client, ahead);
        if run.start > known {
            return known;
        }
        let clock = run.end.max(known);
        self.structs.end_of_known(Id { client, clock })
    }

    pub(super) fn clock(&self, client: ClientId, ahead: &Ahead) -> Clock {
        self.structs.clock(client).max(ahead.clock(client))
    }

    /// The end of all that a client has written, gaps or not.
    fn end(&self, client: ClientId) -> Clock {
        let structs = self.structs.client(client);
        structs.map_or(0, ClientStructs::end)
    }

    /// A section per client with something to tell from a clock on.
    fn sections(&self, from: impl Fn(ClientId) -> Clock) -> Vec<Section<'_>> {
        self.structs
            .clients
            .iter()
            .rev()
            .filter_map(|(client, structs)| {
                let mut runs = structs.runs(from(*client));
                if planted::is(Bug::GapRunsNotEncoded) {
                    runs.retain(|run| run.start < structs.contiguous_end());
                }
                Section::new(*client, structs, runs)
            })
            .collect()
    }

    /// An update with these structs and deletes alone.
    pub(super) fn encode_stretches(&self, mut stretches: Stretches, deletes: &DeleteSet) -> Bytes {
        stretches.sort_by_key(|(client, range)| (std::cmp::Reverse(*client), range.start));
        let sections: Vec<_> = stretches
            .chunk_by(|a, b| a.0 == b.0)
            .filter_map(|stretches| {
                let client = stretches[0].0;
                let ranges = stretches.iter().map(|(_, range)| range.clone());
                Section::new(client, self.structs.client(client)?, ranges.collect())
            })
            .collect();
        encode(&sections, deletes)
    }
}

/// Reads back a part of a struct that was just written.
pub(super) fn read_part(bytes: &[u8], client: ClientId, clock: Clock) -> Struct<'_> {
    Struct::read(&mut Reader::new(bytes), Id { client, clock }, Trust::Stored)
        .expect("a part of a checked struct is one")
}

/// What of some stretches is not in others.
fn without(stretches: Stretches, others: &[Stretch]) -> Stretches {
    if stretches.is_empty() {
        return stretches;
    }
    let mut have = DeleteSet::from(others.to_vec());
    let mut rest = Stretches::new();
    for (client, range) in stretches {
        have.insert(client, range, &mut rest);
    }
    DeleteSet::from(rest.into_vec()).stretches().into()
}

/// One client's part of an update: ascending ranges of known clocks, at least one,
/// told with Skips between them.
struct Section<'a> {
    client: ClientId,
    structs: &'a ClientStructs,
    ranges: Runs,
}

impl<'a> Section<'a> {
    /// None if there are no ranges.
    fn new(client: ClientId, structs: &'a ClientStructs, ranges: Runs) -> Option<Self> {
        (!ranges.is_empty()).then_some(Self {
            client,
            structs,
            ranges,
        })
    }

    /// The pieces that tell it, in place of what was in `segments`.
    fn find_segments(&self, segments: &mut Vec<Segment<'a>>) {
        segments.clear();
        let mut end = self.ranges[0].start;
        for range in &self.ranges {
            if end < range.start && !planted::is(Bug::SkippedSkip) {
                marks::hit(Mark::SkipWritten);
                segments.push(Segment::Skip(range.start - end));
            }
            self.structs.segments(range, segments);
            end = range.end;
        }
    }

    fn write(&self, segments: &[Segment<'_>], out: &mut Vec<u8>) {
        let structs = segments.iter().map(Segment::structs).sum();
        write_var_uint(out, structs);
        write_var_uint(out, self.client.0);
        write_var_uint(out, u64::from(self.ranges[0].start));
        // The parts of one struct ascend and follow each other, Skips between.
        let (mut cursor, mut cut) = (Cursor::default(), None);
        for segment in segments {
            if let Segment::Part { of, .. } = segment
                && cut.replace(of.id) != Some(of.id)
            {
                cursor = Cursor::default();
            }
            segment.write(&mut cursor, out);
        }
    }
}

/// Writes an update. Sections come with clients descending: the merging of
/// Yjs loses data otherwise.
fn encode(sections: &[Section<'_>], deletes: &DeleteSet) -> Bytes {
    let mut out = Vec::new();
    write_var_uint(&mut out, sections.len() as u64);
    // There may be a section for each of a great many clients.
    let mut segments = Vec::new();
    for section in sections {
        section.find_segments(&mut segments);
        section.write(&segments, &mut out);
    }
    deletes.write(&mut out);
    out.into()
}

impl Struct<'_> {
    /// Whether it tells by itself that it is deleted.
    pub(super) fn is_deleted(&self) -> bool {
        match self.body {
            Body::Gc => true,
            Body::Skip => false,
            Body::Item(item) => item.content.is_deleted(),
        }
    }
}
