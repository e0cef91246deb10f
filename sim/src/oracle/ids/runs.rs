//! Sets of ids.

use std::ops::Range;

use smallvec::SmallVec;

/// Ids of one client in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) client: u64,
    pub(super) start: u32,
    /// The first one after it.
    pub(super) end: u32,
}

/// Runs side by side. Most updates tell of one or two.
pub(super) type Row = SmallVec<[Run; 2]>;

/// A set of ids: runs in ascending order that do not touch. Worlds hold a few
/// dozen of them at most, and oracles copy and compare sets all the time: they
/// lie side by side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Runs(Row);

impl Run {
    pub(super) const fn new(client: u64, clocks: Range<u32>) -> Self {
        Self {
            client,
            start: clocks.start,
            end: clocks.end,
        }
    }

    const fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Adds it to runs, to the last of them if it follows that.
    pub(super) fn join_or_push(self, runs: &mut Row) {
        match runs.last_mut() {
            Some(last) if last.client == self.client && last.end == self.start => {
                last.end = self.end;
            }
            _ => runs.push(self),
        }
    }

    /// Whether the other run starts within this one, or right after it.
    const fn reaches(self, next: Self) -> bool {
        self.client == next.client && next.start <= self.end
    }
}

impl Runs {
    /// What runs in any order hold, which may overlap.
    pub(super) fn of(mut runs: Row) -> Self {
        runs.retain(|run| !run.is_empty());
        runs.sort_unstable();
        runs.dedup_by(|next, before| {
            let is_reached = before.reaches(*next);
            if is_reached {
                before.end = before.end.max(next.end);
            }
            is_reached
        });
        Self(runs)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Run> {
        self.0.iter().copied()
    }

    /// Whether all of a run is in the set.
    pub(super) fn covers(&self, run: Run) -> bool {
        if run.is_empty() {
            return true;
        }
        let after = self.first_after(run);
        let before = after.checked_sub(1).map(|at| self.0[at]);
        before.is_some_and(|before| before.client == run.client && run.end <= before.end)
    }

    /// Whether all of another set is in this one.
    pub(super) fn cover(&self, other: &Self) -> bool {
        other.iter().all(|run| self.covers(run))
    }

    pub(super) fn add(&mut self, other: &Self) {
        for run in other.iter() {
            self.insert(run);
        }
    }

    /// Adds a run. Mostly all of it is there already, or it follows what is: the
    /// place is looked for once.
    fn insert(&mut self, run: Run) {
        if run.is_empty() {
            return;
        }
        let after = self.first_after(run);
        let at = match after.checked_sub(1) {
            Some(before) if self.0[before].reaches(run) => {
                if run.end <= self.0[before].end {
                    return;
                }
                self.0[before].end = run.end;
                before
            }
            _ => {
                self.0.insert(after, run);
                after
            }
        };
        self.join_what_follows(at);
    }

    /// Joins a run with those that it has come to reach.
    fn join_what_follows(&mut self, at: usize) {
        let mut run = self.0[at];
        let mut until = at + 1;
        while let Some(next) = self.0.get(until)
            && run.reaches(*next)
        {
            run.end = run.end.max(next.end);
            until += 1;
        }
        if until > at + 1 {
            self.0[at] = run;
            self.0.drain(at + 1..until);
        }
    }

    /// What of another set is not in this one.
    pub(super) fn lacking(&self, other: &Self) -> Self {
        let mut lacking = Row::new();
        for mut run in other.iter() {
            let after = self.first_after(run);
            for own in &self.0[after.saturating_sub(1)..] {
                if (own.client, own.start) >= (run.client, run.end) {
                    break;
                }
                if own.client == run.client && run.start < own.end {
                    let before = Run::new(run.client, run.start..own.start);
                    lacking.extend(Some(before).filter(|before| !before.is_empty()));
                    run.start = own.end;
                }
            }
            lacking.extend(Some(run).filter(|run| !run.is_empty()));
        }
        Self(lacking)
    }

    /// The place of the first run that starts after another does.
    fn first_after(&self, run: Run) -> usize {
        let starts = |own: &Run| (own.client, own.start) <= (run.client, run.start);
        self.0.partition_point(starts)
    }
}
