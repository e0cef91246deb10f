//! The ids that were deleted, as ranges of clocks per client.

use std::{cmp::Reverse, collections::BTreeMap};

use super::causality::{Stretch, Stretches};
use crate::{
    lib0::write_var_uint,
    planted::{self, Bug},
    update::{ClientId, Clock, ClockRange},
};

/// A set of ids in canonical form: per client, ranges that neither overlap
/// nor touch. Two sets are equal exactly if they hold the same ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeleteSet {
    clients: BTreeMap<ClientId, Ranges>,
}

/// Disjoint ranges that do not touch: start to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ranges(BTreeMap<Clock, Clock>);

impl DeleteSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Adds a range; what of it was not in the set yet is added to `fresh`.
    /// True if that is all of it.
    pub(crate) fn insert(
        &mut self,
        client: ClientId,
        range: ClockRange,
        fresh: &mut Stretches,
    ) -> bool {
        let mut new = 0;
        let ranges = self.clients.entry(client).or_default();
        ranges.insert(range.clone(), |piece| {
            new += piece.len();
            fresh.push((client, piece));
        });
        new == range.len()
    }

    /// Adds a range.
    pub(crate) fn add(&mut self, client: ClientId, range: ClockRange) {
        let ranges = self.clients.entry(client).or_default();
        ranges.insert(range, |_| ());
    }

    /// Whether any id of a client is in the set.
    pub(crate) fn names(&self, client: ClientId) -> bool {
        self.clients.contains_key(&client)
    }

    pub(crate) fn contains(&self, client: ClientId, clock: Clock) -> bool {
        self.clients
            .get(&client)
            .and_then(|ranges| ranges.0.range(..=clock).next_back())
            .is_some_and(|(_, &end)| clock < end)
    }

    /// Whether every id of `other` is in this set.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.clients.iter().all(|(client, ranges)| {
            let mut ranges = ranges.iter();
            ranges.all(|range| self.has(*client, range))
        })
    }

    /// Whether every id of a range is in the set.
    pub(crate) fn has(&self, client: ClientId, range: ClockRange) -> bool {
        self.within(client, range.clone()).next() == Some(range)
    }

    /// The parts of `range` that are in the set, ascending.
    pub(crate) fn within(
        &self,
        client: ClientId,
        range: ClockRange,
    ) -> impl Iterator<Item = ClockRange> {
        self.clients
            .get(&client)
            .into_iter()
            .flat_map(move |ranges| ranges.within(range.clone()))
    }

    /// The parts of a client's ranges that reach past a clock.
    pub(crate) fn past(&self, client: ClientId, clock: Clock) -> impl Iterator<Item = ClockRange> {
        self.within(client, clock..Clock::MAX)
    }

    /// How many of a client's ranges end behind one clock, and not behind another.
    pub(crate) fn ending(&self, client: ClientId, after: Clock, up_to: Clock) -> usize {
        let ranges = self.clients.get(&client);
        ranges.map_or(0, |ranges| ranges.ending(after, up_to))
    }

    /// How many of a client's ranges that reach past a clock overlap a range or adjoin
    /// it.
    pub(crate) fn touching(&self, client: ClientId, range: &ClockRange, past: Clock) -> usize {
        let ranges = self.clients.get(&client);
        ranges.map_or(0, |ranges| ranges.touching(range, past))
    }

    /// All of it, ascending.
    pub(crate) fn stretches(&self) -> Vec<(ClientId, ClockRange)> {
        let per_client = |(client, ranges): (&ClientId, &Ranges)| {
            let client = *client;
            ranges
                .iter()
                .map(move |range| (client, range))
                .collect::<Vec<_>>()
        };
        self.clients.iter().flat_map(per_client).collect()
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.clients.keys().copied()
    }

    /// Appends the set as updates end with it, clients descending.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        write_var_uint(out, self.clients.len() as u64);
        for (client, ranges) in self.clients.iter().rev() {
            write_var_uint(out, client.0);
            write_var_uint(out, ranges.0.len() as u64);
            for range in ranges.iter() {
                write_var_uint(out, u64::from(range.start));
                write_var_uint(out, u64::from(range.end - range.start));
            }
        }
    }
}

impl From<Vec<Stretch>> for DeleteSet {
    /// Takes ranges in any order. Those that stand as in an update, or as
    /// several of them one behind the other, take time in proportion only.
    fn from(mut stretches: Vec<Stretch>) -> Self {
        stretches.sort_by_key(|(client, range)| (Reverse(*client), range.start));
        let per_client = stretches.chunk_by(|a, b| a.0 == b.0).rev();
        let clients = per_client.map(|theirs| {
            let ranges = theirs.iter().map(|(_, range)| range.clone());
            (theirs[0].0, Ranges::ascending(ranges))
        });
        Self {
            clients: clients.collect(),
        }
    }
}

impl Ranges {
    /// Takes ranges in the order of their starts.
    fn ascending(ranges: impl Iterator<Item = ClockRange>) -> Self {
        let mut ranges = ranges.peekable();
        let joined = std::iter::from_fn(|| {
            let ClockRange { start, mut end } = ranges.next()?;
            while let Some(touching) = ranges.next_if(|next| next.start <= end) {
                end = end.max(touching.end);
            }
            Some((start, end))
        });
        Self(joined.collect())
    }

    fn iter(&self) -> impl Iterator<Item = ClockRange> {
        self.0.iter().map(|(&start, &end)| start..end)
    }

    fn within(&self, range: ClockRange) -> impl Iterator<Item = ClockRange> {
        let mut before = self.0.range(..=range.start);
        let before = match planted::is(Bug::DeletesSearchedThrough) {
            true => before.fold(None, |_, range| Some(range)),
            false => before.next_back(),
        };
        let first = before.map_or(range.start, |(&start, _)| start);
        self.0
            .range(first..range.end.max(first))
            .map(move |(&start, &end)| start.max(range.start)..end.min(range.end))
            .filter(|part| !part.is_empty())
    }

    fn ending(&self, after: Clock, up_to: Clock) -> usize {
        let parts = self.within(after..Clock::MAX);
        parts.take_while(|part| part.end <= up_to).count()
    }

    fn touching(&self, range: &ClockRange, past: Clock) -> usize {
        let before = self.0.range(..=range.end).rev();
        before
            .take_while(|(_, end)| **end >= range.start && **end > past)
            .count()
    }

    /// Adds a range, joining what it touches, and tells what of it is new.
    fn insert(&mut self, range: ClockRange, mut new: impl FnMut(ClockRange)) {
        let mut joined = range.clone();
        let mut covered_to = range.start;
        if let Some((&start, end)) = self.0.range_mut(..=range.start).next_back()
            && *end >= range.start
        {
            if *end >= range.end {
                return;
            }
            joined.start = start;
            covered_to = *end;
        }
        while let Some((&start, &end)) = self.0.range(range.start + 1..=range.end).next() {
            if covered_to < start {
                new(covered_to..start);
            }
            covered_to = end;
            joined.end = match planted::is(Bug::DeletesJoinedShort) {
                true => range.end,
                false => joined.end.max(end),
            };
            self.0.remove(&start);
        }
        if covered_to < range.end {
            new(covered_to..range.end);
        }
        self.0.insert(joined.start, joined.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const CLIENT: ClientId = ClientId(7);

    proptest! {
        #[test]
        fn it_is_a_set_of_ids(ranges in prop::collection::vec((0..60_u32, 1..12_u32), 1..40)) {
            let (mut set, mut model) = (DeleteSet::default(), BTreeSet::new());
            for (start, len) in ranges {
                let mut fresh = Stretches::new();
                let all_new = set.insert(CLIENT, start..start + len, &mut fresh);
                let fresh = DeleteSet::from(fresh.into_vec());
                let new: BTreeSet<_> = (start..start + len).filter(|id| !model.contains(id)).collect();
                prop_assert_eq!(all_new, new.len() == len as usize);
                for id in 0..80 {
                    prop_assert_eq!(fresh.contains(CLIENT, id), new.contains(&id));
                }
                model.extend(new);
            }
            let ids: BTreeSet<_> = set.within(CLIENT, 0..80).flatten().collect();
            prop_assert_eq!(&ids, &model);
            let ranges: Vec<_> = set.within(CLIENT, 0..80).collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            for (from, to) in [(0, 80), (10, 30), (25, 26), (40, 40)] {
                let part: BTreeSet<_> = set.within(CLIENT, from..to).flatten().collect();
                prop_assert_eq!(part, model.range(from..to).copied().collect());
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_same_from_ranges_in_any_order(
            ranges in prop::collection::vec((1..4_u64, 0..60_u32, 1..12_u32), 0..40),
        ) {
            let ranges: Vec<_> = ranges
                .into_iter()
                .map(|(client, start, len)| (ClientId(client), start..start + len))
                .collect();
            let mut set = DeleteSet::default();
            for (client, range) in ranges.clone() {
                set.add(client, range);
            }
            prop_assert_eq!(DeleteSet::from(ranges), set);
        }
    }

    #[test]
    fn one_set_covers_another_only_if_no_id_is_missing() {
        let set = |ranges: &[(Clock, Clock)]| {
            let mut set = DeleteSet::default();
            for &(start, end) in ranges {
                set.add(CLIENT, start..end);
            }
            set
        };
        assert!(set(&[(0, 9)]).covers(&set(&[(2, 4), (8, 9)])));
        assert!(!set(&[(0, 3), (4, 9)]).covers(&set(&[(2, 5)])));
        assert!(set(&[]).covers(&set(&[])));
        assert!(!set(&[]).covers(&set(&[(1, 2)])));
    }
}
