//! What is kept for later without being of use yet: structs whose predecessors
//! are unknown, and deleted ranges that name unknown ids.
//!
//! Both are bounded, as nobody may ever bring what they wait for. So every update
//! that adds to them is asked what it adds, which must not take time with the
//! number of clients that a document ever had.

use std::collections::BTreeMap;

use super::{DocumentState, ahead::Ahead, delete_set::DeleteSet, structs::StructStore};
use crate::update::{ClientId, Clock, ClockRange, Id, Update};

/// How much is kept for later without being of use yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pending {
    /// Runs of structs whose predecessors are unknown.
    pub gap_runs: usize,
    /// Deleted ranges that name unknown ids.
    pub delete_ranges: usize,
}

/// The deleted ranges that name ids which are unknown, or behind a gap, counted
/// as they come and go. There may be many, of one client or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Awaited {
    of: BTreeMap<ClientId, Waiting>,
    ranges: usize,
}

/// How many of a client's deleted ranges reach past its clock in the state vector.
/// There is one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    past: Clock,
    ranges: usize,
}

impl Awaited {
    pub(super) fn of(structs: &StructStore, deletes: &DeleteSet) -> Self {
        let waiting = |client| {
            let past = structs.clock(client);
            let ranges = deletes.past(client, past).count();
            (ranges > 0).then_some((client, Waiting { past, ranges }))
        };
        let of: BTreeMap<_, _> = deletes.clients().filter_map(waiting).collect();
        let ranges = of.values().map(|theirs| theirs.ranges).sum();
        Self { of, ranges }
    }

    /// Notes that a range is about to be deleted. Takes time with the ranges that
    /// it joins, which are one from then on.
    pub(super) fn mind_deleted(
        &mut self,
        client: ClientId,
        range: &ClockRange,
        structs: &StructStore,
        deletes: &DeleteSet,
    ) {
        let past = structs.clock(client);
        if range.end <= past {
            return;
        }
        let joined = deletes.touching(client, range, past);
        let first = Waiting { past, ranges: 0 };
        let theirs = self.of.entry(client).or_insert(first);
        theirs.ranges = theirs.ranges + 1 - joined;
        self.ranges = self.ranges + 1 - joined;
    }

    /// Notes that more may be known of a client. Takes time with the ranges that
    /// are known now, which never wait again.
    pub(super) fn mind_known(
        &mut self,
        client: ClientId,
        structs: &StructStore,
        deletes: &DeleteSet,
    ) {
        let Some(theirs) = self.of.get_mut(&client) else {
            return;
        };
        let before = std::mem::replace(&mut theirs.past, structs.clock(client));
        let come = deletes.ending(client, before, theirs.past);
        theirs.ranges -= come;
        self.ranges -= come;
        if theirs.ranges == 0 {
            self.of.remove(&client);
        }
    }
}

impl DocumentState {
    /// What is kept without being of use yet.
    #[must_use]
    pub const fn pending(&self) -> Pending {
        Pending {
            gap_runs: self.structs.gap_runs(),
            delete_ranges: self.awaited.ranges,
        }
    }

    /// What an update would add to what is kept without being of use yet, once
    /// those on their way are there. May count too much, never too little.
    #[must_use]
    pub fn pending_in(&self, update: &Update<'_>, ahead: &Ahead) -> Pending {
        let gap_runs = self.new_gap_runs(update, ahead);
        let delete_ranges = self.new_pending_deletes(update, ahead);
        // Where nothing follows a gap, all structs will be known.
        let of_structs = match gap_runs {
            0 => 0,
            _ => self.deleted_with_structs(update),
        };
        Pending {
            gap_runs,
            delete_ranges: delete_ranges + of_structs,
        }
    }

    /// What [`DocumentState::pending`] says once an update is applied: it may
    /// bring what others wait for. Takes time with the update and with what it
    /// touches of what is pending.
    #[must_use]
    pub fn pending_after(&self, update: &Update<'_>) -> Pending {
        let mut deleted: Vec<_> = update.deletes().collect();
        let mut runs = RunsAfter::default();
        for item in update.structs() {
            let client = item.id.client;
            if item.is_deleted() {
                deleted.push((client, item.clocks()));
            }
            runs.add(self, client, item.clocks());
        }
        let deleted = DeleteSet::from(deleted);
        Pending {
            gap_runs: self.structs.gap_runs() + runs.behind_gaps() - runs.were_behind_gaps,
            delete_ranges: self.delete_ranges_after(&runs, &deleted),
        }
    }

    /// How many deleted ranges name unknown ids once these runs are known, and these
    /// ranges are deleted.
    fn delete_ranges_after(&self, runs: &RunsAfter, deleted: &DeleteSet) -> usize {
        let come = |client: &ClientId| {
            let known = self.structs.clock(*client);
            self.deletes
                .ending(*client, known, runs.clock(self, *client))
        };
        let come: usize = runs.of.keys().map(come).sum();
        let (mut new, mut joined) = (0, 0);
        for client in deleted.clients() {
            let known = runs.clock(self, client);
            for range in deleted.past(client, known) {
                new += 1;
                joined += self.deletes.touching(client, &range, known);
            }
        }
        // Ranges of two sets, each of which touches none of its own set, join to as
        // many as there are, less one for each two of them that touch.
        self.awaited.ranges - come + new - joined
    }

    /// How many runs of an update follow what is unknown, and are so themselves.
    fn new_gap_runs(&self, update: &Update<'_>, ahead: &Ahead) -> usize {
        let opens_gap = |id: Id| id.clock > self.clock(id.client, ahead) && !self.structs.knows(id);
        if let Some((client, clocks)) = update.run() {
            let (client, clock) = (*client, clocks.start);
            return usize::from(opens_gap(Id { client, clock }));
        }
        let (mut gap_runs, mut last) = (0, None);
        for item in update.structs() {
            gap_runs += usize::from(last != Some(item.id) && opens_gap(item.id));
            last = Some(Id {
                client: item.id.client,
                clock: item.end(),
            });
        }
        gap_runs
    }

    /// How many ranges of an update's structs are deleted as they come, at most.
    fn deleted_with_structs(&self, update: &Update<'_>) -> usize {
        let (mut ranges, mut last) = (0, None);
        for item in update.structs() {
            if item.is_deleted() {
                ranges += usize::from(last != Some(item.id));
                last = Some(Id {
                    client: item.id.client,
                    clock: item.end(),
                });
            }
        }
        ranges
    }

    /// How many deleted ranges of an update are new and name ids that are
    /// unknown even after it.
    fn new_pending_deletes(&self, update: &Update<'_>, ahead: &Ahead) -> usize {
        let is_unknown = |(client, range): &(ClientId, ClockRange)| {
            range.end > self.clock(*client, ahead) && !self.deletes.has(*client, range.clone())
        };
        let mut unknown = update.deletes().filter(is_unknown).peekable();
        if unknown.peek().is_none() {
            return 0;
        }
        let clocks = self.clocks_after(update, ahead);
        let stays_unknown = |(client, range): &(ClientId, ClockRange)| {
            clocks.get(client).is_none_or(|clock| range.end > *clock)
        };
        unknown.filter(stays_unknown).count()
    }
}

/// The runs of known clocks of those clients that an update tells of, from the
/// end of their first one on, as they are after it.
#[derive(Default)]
struct RunsAfter {
    of: BTreeMap<ClientId, DeleteSet>,
    /// How many of them there were before that did not begin with the first clock.
    were_behind_gaps: usize,
}

impl RunsAfter {
    fn add(&mut self, state: &DocumentState, client: ClientId, clocks: ClockRange) {
        let runs = self.of.entry(client).or_insert_with(|| {
            let known = state.structs.clock(client);
            let theirs = state.structs.client(client);
            let behind_gaps = theirs.map(|theirs| theirs.runs(known)).unwrap_or_default();
            self.were_behind_gaps += behind_gaps.len();
            let first = (known > 0).then_some(0..known);
            let all = first.into_iter().chain(behind_gaps);
            DeleteSet::from(all.map(|run| (client, run)).collect::<Vec<_>>())
        });
        runs.add(client, clocks);
    }

    /// The clock of a client in the state vector.
    fn clock(&self, state: &DocumentState, client: ClientId) -> Clock {
        let known = state.structs.clock(client);
        let runs = self.of.get(&client);
        let first = runs.and_then(|runs| runs.past(client, 0).next());
        first.map_or(known, |first| if first.start == 0 { first.end } else { 0 })
    }

    fn behind_gaps(&self) -> usize {
        let behind_gaps = |(client, runs): (&ClientId, &DeleteSet)| {
            let runs = runs.past(*client, 0);
            runs.filter(|run| run.start > 0).count()
        };
        self.of.iter().map(behind_gaps).sum()
    }
}
