//! The structs of a document: per client, blocks in the order of clocks.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::{
    block::{Block, Run, Segment},
    causality::Blocked,
};
use crate::{
    marks::{self, Mark},
    update::{Body, ClientId, Clock, ClockRange, Id, ParentRef, Position, Struct},
};

/// Every struct that is known, gaps or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StructStore {
    pub(super) clients: BTreeMap<ClientId, ClientStructs>,
    pub(super) blocked: Blocked,
    /// Whether what is added comes from another node, and may come in part.
    pub(super) from_elsewhere: bool,
    gap_runs: usize,
}

/// How far a struct's neighbours are followed to learn whether it is a map
/// entry. One step suffices nearly always, because a block remembers it.
const NEIGHBOUR_STEPS_MAX: usize = 16;

/// Where a struct stands in the type that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// In a list or a text.
    List,
    /// As the value of a key in a map.
    Entry,
    /// What it hangs on is unknown, or too far to look, or it waits itself.
    Unknown,
}

/// Ascending ranges of a client's clocks, mostly one.
pub(super) type Runs = SmallVec<[ClockRange; 1]>;

/// The structs of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientStructs {
    client: ClientId,
    /// Ascending; adjacent unless clocks between them are unknown.
    blocks: Vec<Block>,
    /// Everything below is known: the client's clock in the state vector.
    contiguous_end: Clock,
    /// The runs of known clocks behind the first gap: start to end. There may be
    /// many blocks, of which an update may name all again and again.
    behind_gaps: BTreeMap<Clock, Clock>,
    /// Everything below can be integrated by whoever has what we have.
    pub(super) integrated_end: Clock,
    /// Whether its next struct waits for another client's.
    pub(super) blocked: bool,
    /// Everything below is certainly no map entry. In texts that is all, and
    /// nothing has to be looked up.
    pub(super) listed_end: Clock,
}

impl StructStore {
    /// Runs of structs whose predecessors are unknown.
    pub(crate) const fn gap_runs(&self) -> usize {
        self.gap_runs
    }

    pub(crate) fn client(&self, client: ClientId) -> Option<&ClientStructs> {
        self.clients.get(&client)
    }

    /// The clock of a client in the state vector.
    pub(crate) fn clock(&self, client: ClientId) -> Clock {
        self.clients
            .get(&client)
            .map_or(0, |structs| structs.contiguous_end)
    }

    /// Whether an id is known, behind a gap or not.
    pub(crate) fn knows(&self, id: Id) -> bool {
        self.clients
            .get(&id.client)
            .is_some_and(|structs| structs.block(id.clock).is_some())
    }

    /// Up to where all is known from an id on, behind a gap or not.
    pub(super) fn end_of_known(&self, id: Id) -> Clock {
        let structs = self.clients.get(&id.client);
        structs.map_or(id.clock, |structs| structs.end_of_known(id.clock))
    }

    /// Tells all structs of a client in other words, clocks unchanged.
    pub(super) fn replace_blocks(&mut self, client: ClientId, blocks: Vec<Block>) {
        if let Some(structs) = self.clients.get_mut(&client) {
            debug_assert_eq!(
                blocks.last().map(|block| block.clocks.end),
                structs.blocks.last().map(|block| block.clocks.end)
            );
            structs.listed_end = listed_end(&blocks);
            structs.blocks = blocks;
        }
    }

    /// Takes out the structs of a client, to be put back when more are added.
    pub(super) fn take(&mut self, client: ClientId) -> ClientStructs {
        let nothing = || ClientStructs::new(client);
        let theirs = self.clients.get_mut(&client);
        theirs.map_or_else(nothing, |theirs| std::mem::replace(theirs, nothing()))
    }

    /// Puts back what was taken out, unless there is nothing.
    pub(super) fn put_back(&mut self, client: ClientId, theirs: ClientStructs) {
        if theirs.blocks.is_empty() {
            return;
        }
        match self.clients.get_mut(&client) {
            Some(place) => *place = theirs,
            None => {
                self.clients.insert(client, theirs);
            }
        }
    }

    /// Counts the gaps that a struct opens or fills which was just added.
    pub(super) fn count_gaps(&mut self, new: &Struct<'_>, touched: &Touched) {
        let opens_gap = !touched.left && new.id.clock != 0;
        marks::hit_if(Mark::GapOpened, || opens_gap && !touched.right);
        marks::hit_if(Mark::GapFilled, || !opens_gap && touched.right);
        self.gap_runs += usize::from(opens_gap);
        self.gap_runs -= usize::from(touched.right);
    }

    /// Panics if something does not hold that always must, as far as that can be told
    /// by the structs and where those stand.
    pub(super) fn check(&self, mut placement: impl FnMut(Id) -> Placement) {
        for structs in self.clients.values() {
            structs.check();
            for item in structs.listed() {
                assert_ne!(
                    placement(item.id),
                    Placement::Entry,
                    "what is listed is no map entry: {:?}",
                    item.id
                );
            }
        }
        let behind_gaps = |structs: &ClientStructs| {
            let runs = structs.runs(0);
            runs.iter().filter(|run| run.start > 0).count()
        };
        let gap_runs: usize = self.clients.values().map(behind_gaps).sum();
        assert_eq!(self.gap_runs, gap_runs);
        let blocked = self.blocked.values().flatten();
        assert!(blocked.copied().all(|client| self.clients[&client].blocked));
    }
}

/// Where a struct says itself that it stands, or the neighbour that tells.
pub(super) fn placement_or_neighbour(item: &Struct<'_>) -> Result<Placement, Id> {
    match item.body {
        Body::Gc | Body::Skip => Ok(Placement::List),
        Body::Item(item) => item.head.position.key_or_neighbour().map(Placement::of_key),
    }
}

/// Where the struct stands that holds an id.
pub(super) fn placement_of<'a>(
    mut next: Id,
    structs: impl Fn(ClientId) -> Option<&'a ClientStructs>,
) -> Placement {
    for _ in 0..NEIGHBOUR_STEPS_MAX {
        let Some(block) = structs(next.client).and_then(|structs| structs.block(next.clock)) else {
            return Placement::Unknown;
        };
        if block.is_listed(next.clock) {
            return Placement::List;
        }
        match placement_or_neighbour(&block.struct_at(next.client, next.clock)) {
            Ok(placement) => return placement,
            Err(neighbour) => next = neighbour,
        }
    }
    Placement::Unknown
}

impl Placement {
    /// Where an item stands that tells its parent, with this key or none.
    pub(super) fn of_key(key: Option<&[u8]>) -> Self {
        key.map_or(Self::List, |_| Self::Entry)
    }

    /// The clocks of a struct here that only its last unit is left of, unless
    /// they are deleted: no Yjs writes a living map entry of several units, and
    /// one that gets it splits it in places and then fails for ever to collect
    /// the type that holds it.
    pub(super) fn superseded(self, item: &Struct<'_>) -> Option<ClockRange> {
        let last = item.end() - 1;
        let several = self == Self::Entry && item.id.clock < last && !item.is_deleted();
        several.then_some(item.id.clock..last)
    }
}

/// What holds of all structs of a client, so that those which follow them can be
/// added in runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// They are settled, see [`ClientStructs::settled_end`].
    Settled,
    /// One waits for another client's, and there are no gaps: whatever follows
    /// waits as well.
    Waiting,
    /// Neither.
    Mixed,
}

/// Whether a new struct adjoins what was known.
pub(super) struct Touched {
    left: bool,
    right: bool,
}

impl ClientStructs {
    const fn new(client: ClientId) -> Self {
        Self {
            client,
            blocks: Vec::new(),
            contiguous_end: 0,
            behind_gaps: BTreeMap::new(),
            integrated_end: 0,
            blocked: false,
            listed_end: 0,
        }
    }

    pub(crate) const fn contiguous_end(&self) -> Clock {
        self.contiguous_end
    }

    /// The end of all, gaps or not.
    pub(crate) fn end(&self) -> Clock {
        self.blocks.last().map_or(0, |last| last.clocks.end)
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    fn check(&self) {
        for pair in self.blocks.windows(2) {
            assert!(
                pair[0].clocks.end <= pair[1].clocks.start,
                "blocks are in order"
            );
        }
        for block in &self.blocks {
            block.check(self.client);
        }
        let mut told: Vec<ClockRange> = Vec::new();
        for block in &self.blocks {
            match told.last_mut() {
                Some(run) if run.end == block.clocks.start => run.end = block.clocks.end,
                _ => told.push(block.clocks.clone()),
            }
        }
        assert_eq!(self.runs(0).to_vec(), told, "runs are what blocks tell");
        assert!(self.integrated_end <= self.contiguous_end);
        assert!(self.blocked || self.integrated_end == self.contiguous_end);
        assert!(self.listed_end <= self.contiguous_end);
    }

    /// Those of which it was noted, in one way or the other, that they are certainly no
    /// map entries.
    fn listed(&self) -> impl Iterator<Item = Struct<'_>> {
        let of_block = |block| Block::structs(block, self.client).map(move |item| (block, item));
        let structs = self.blocks.iter().flat_map(of_block);
        let is_listed = |block: &Block, clock| clock < self.listed_end || block.is_listed(clock);
        structs.filter_map(move |(block, item)| is_listed(block, item.id.clock).then_some(item))
    }

    /// The parts of `range` that are not known yet.
    pub(crate) fn missing(&self, range: ClockRange) -> SmallVec<[ClockRange; 2]> {
        let mut missing = SmallVec::new();
        // Nothing is missing before the first gap. An update may name all that
        // again and again.
        let mut from = range.start.max(self.contiguous_end);
        if from >= range.end {
            return missing;
        }
        for run in self.runs_behind(from) {
            if run.start >= range.end {
                break;
            }
            if from < run.start {
                missing.push(from..run.start);
            }
            from = run.end;
        }
        if from < range.end {
            missing.push(from..range.end);
        }
        missing
    }

    /// The runs of known clocks from `from` on.
    pub(crate) fn runs(&self, from: Clock) -> Runs {
        let first = from..self.contiguous_end;
        let first = (!first.is_empty()).then_some(first);
        let behind = self.runs_behind(from);
        let behind = behind.map(|run| run.start.max(from)..run.end);
        first.into_iter().chain(behind).collect()
    }

    /// The runs behind the first gap that reach past a clock.
    fn runs_behind(&self, clock: Clock) -> impl Iterator<Item = ClockRange> {
        let before = self.behind_gaps.range(..=clock).next_back();
        let before = before.filter(|(_, end)| clock < **end);
        let after = self.behind_gaps.range(clock.saturating_add(1)..);
        let runs = before.into_iter().chain(after);
        runs.map(|(start, end)| *start..*end)
    }

    /// The pieces that tell known clocks.
    pub(crate) fn segments<'a>(&'a self, range: &ClockRange, out: &mut Vec<Segment<'a>>) {
        for block in &self.blocks[self.first_reaching(range.start)..] {
            if block.clocks.start >= range.end {
                break;
            }
            block.segments(self.client, range, out);
        }
    }

    /// Structs from the one that holds `from` to the next gap.
    pub(crate) fn structs_from(&self, from: Clock) -> impl Iterator<Item = Struct<'_>> {
        let blocks = &self.blocks[self.first_reaching(from)..];
        let mut end = from;
        blocks
            .iter()
            .take_while(move |block| {
                let adjoins = block.clocks.start <= end;
                end = block.clocks.end;
                adjoins
            })
            .flat_map(move |block| block.structs_near(self.client, from))
            .skip_while(move |item| item.end() <= from)
    }

    /// All structs, gaps or not.
    pub(crate) fn structs(&self) -> impl Iterator<Item = Struct<'_>> {
        let blocks = self.blocks.iter();
        blocks.flat_map(|block| block.structs(self.client))
    }

    /// Up to where all is known from a clock on.
    fn end_of_known(&self, from: Clock) -> Clock {
        let end = from.max(self.contiguous_end);
        let run = self.behind_gaps.range(..=end).next_back();
        run.map_or(end, |(_, run_end)| end.max(*run_end))
    }

    pub(super) fn block(&self, clock: Clock) -> Option<&Block> {
        self.blocks
            .get(self.first_reaching(clock))
            .filter(|block| block.clocks.start <= clock)
    }

    /// The first block that reaches past a clock. New clocks mostly follow
    /// all others, so the end is looked at first.
    fn first_reaching(&self, clock: Clock) -> usize {
        match self.blocks.last() {
            Some(last) if last.clocks.start <= clock => {
                self.blocks.len() - usize::from(clock < last.clocks.end)
            }
            _ => self
                .blocks
                .partition_point(|block| block.clocks.end <= clock),
        }
    }

    /// Everything below is settled: integrated, and certainly no map entry.
    pub(super) fn settled_end(&self) -> Clock {
        self.listed_end.min(self.integrated_end)
    }

    /// What holds of all its structs.
    pub(super) fn standing(&self) -> Standing {
        let end = self.end();
        if self.settled_end() == end {
            Standing::Settled
        } else if self.blocked && self.contiguous_end == end {
            Standing::Waiting
        } else {
            Standing::Mixed
        }
    }

    /// Appends a struct that follows all others. What is known of them all is told
    /// by one of the next two.
    #[inline]
    pub(super) fn push(&mut self, new: &Struct<'_>, listed: bool) {
        let new_block = match self.blocks.last_mut() {
            Some(last) => last.push(new, listed),
            None => {
                self.blocks.reserve_exact(1);
                Some(Block::new(new, listed))
            }
        };
        self.blocks.extend(new_block);
    }

    /// Begins a run of plain structs behind all others, unless there are none. Its last
    /// block may be full: the first struct of each is pushed alone.
    #[inline]
    pub(super) fn run<'a>(&mut self, listed: bool) -> Option<Run<'_, 'a>> {
        self.blocks.last_mut().map(|last| last.run(listed))
    }

    /// Notes that all that follow each other are settled. Returns those that were
    /// just appended.
    #[inline]
    pub(super) fn settle(&mut self) -> ClockRange {
        let appended = self.connect();
        self.integrated_end = appended.end;
        self.listed_end = appended.end;
        appended
    }

    /// Notes that there is no gap in front of those that were just appended, and
    /// returns them.
    #[inline]
    pub(super) fn connect(&mut self) -> ClockRange {
        debug_assert!(self.behind_gaps.is_empty());
        let end = self.end();
        std::mem::replace(&mut self.contiguous_end, end)..end
    }

    /// Notes that everything up to here turned out to be no map entry.
    pub(super) fn list_up_to(&mut self, end: Clock) {
        if end <= self.listed_end {
            return;
        }
        let from = self.first_reaching(self.listed_end);
        let whole = |block: &&mut Block| block.clocks.end <= end;
        let listed = self.blocks[from..].iter_mut().take_while(whole);
        listed.for_each(Block::list_all);
        self.listed_end = end;
    }

    /// Adds a struct, none of whose clocks is known yet. `listed`: it is
    /// certainly no map entry.
    pub(super) fn insert(&mut self, new: &Struct<'_>, listed: bool) -> Touched {
        let at = self.first_reaching(new.id.clock);
        let right = self.blocks.get(at);
        let touches_right = right.is_some_and(|right| right.clocks.start == new.end());
        let left = at.checked_sub(1);
        let left = left.filter(|left| self.blocks[*left].clocks.end == new.id.clock);
        let touches_left = left.is_some();
        let mut next = at;
        let new_block = match left {
            Some(left) => self.blocks[left].push(new, listed),
            None if touches_right && self.blocks[at].push_front(new, listed) => None,
            None => Some(Block::new(new, listed)),
        };
        if let Some(new_block) = new_block {
            // Many clients have one block for ever, and a vector begins with four.
            if self.blocks.is_empty() {
                self.blocks.reserve_exact(1);
            }
            self.blocks.insert(at, new_block);
        } else if touches_left && touches_right && self.join(at - 1) {
            next = at - 1;
        }
        self.note_run(new.clocks());
        if listed && self.listed_end == new.id.clock {
            self.listed_end = new.end();
            self.pass_listed(next);
        }
        Touched {
            left: touches_left,
            right: touches_right,
        }
    }

    /// Joins a block with the next one, which adjoins it, if both fit into one: gaps that
    /// are opened and filled would leave ever more blocks otherwise, all of which are
    /// moved for one that comes before them. True if they are one now.
    fn join(&mut self, at: usize) -> bool {
        let (left, right) = self.blocks.split_at_mut(at + 1);
        let is_joined = left[at].take_over(self.client, &right[0]);
        if is_joined {
            self.blocks.remove(at + 1);
        }
        is_joined
    }

    /// Moves the end of what is listed over blocks that a new struct connected.
    fn pass_listed(&mut self, from: usize) {
        for block in &self.blocks[from..] {
            if block.clocks.start > self.listed_end || !block.are_all_listed() {
                break;
            }
            self.listed_end = block.clocks.end.max(self.listed_end);
        }
    }

    /// Notes that clocks are known which were not.
    fn note_run(&mut self, new: ClockRange) {
        let end = self.behind_gaps.remove(&new.end).unwrap_or(new.end);
        if self.contiguous_end == new.start {
            self.contiguous_end = end;
            return;
        }
        let before = self.behind_gaps.range_mut(..new.start).next_back();
        match before.filter(|(_, before)| **before == new.start) {
            Some((_, before)) => *before = end,
            None => {
                self.behind_gaps.insert(new.start, end);
            }
        }
    }
}

/// Up to where blocks hold no map entries.
fn listed_end(blocks: &[Block]) -> Clock {
    let mut end = 0;
    for block in blocks {
        if block.clocks.start != end || !block.are_all_listed() {
            break;
        }
        end = block.clocks.end;
    }
    end
}

impl<'a> Position<'a> {
    /// The key that an item tells (none in lists and texts), or the neighbour
    /// from which it takes its place.
    pub(super) fn key_or_neighbour(&self) -> Result<Option<&'a [u8]>, Id> {
        match *self {
            Self::Parent { sub, .. } => Ok(sub),
            Self::Neighbours {
                origin: Some(id), ..
            }
            | Self::Neighbours {
                right_origin: Some(id),
                ..
            } => Err(id),
            Self::Neighbours { .. } => unreachable!("an item has a neighbour or tells its parent"),
        }
    }

    /// The item that holds the parent, if the position tells one.
    pub(super) const fn parent_item(&self) -> Option<Id> {
        match *self {
            Self::Parent {
                parent: ParentRef::Item(id),
                ..
            } => Some(id),
            _ => None,
        }
    }
}
