//! What of an update waits for nothing: what is taken of one that would leave too much
//! waiting.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{DocumentState, ahead::Ahead, delete_set::DeleteSet};
use crate::{
    lib0::write_var_uint,
    planted::{self, Bug},
    update::{ClientId, Clock, ClockRange, Id, Struct, Update, write_skip},
};

impl DocumentState {
    /// What of an update waits for nothing, once those on their way are there: the structs
    /// of each client that follow on what is known of it, and what is deleted of what is
    /// known then. It is told in the words of the update, as what becomes of them depends
    /// on what is known here, and in no more of them.
    #[must_use]
    pub fn part_of_use(&self, update: &Update<'_>, ahead: &Ahead) -> Bytes {
        let clocks = self.clocks_of_use(update, ahead);
        let known = |client| match clocks.get(&client) {
            Some(clock) => *clock,
            None => self.clock(client, ahead),
        };
        let (mut sections, mut out) = (Vec::new(), Vec::new());
        let mut section: Option<Part> = None;
        for item in update.structs() {
            if item.id.clock >= known(item.id.client) {
                continue;
            }
            if let Some(part) = &mut section
                && part.goes_on_with(&item)
            {
                part.add(&item);
            } else {
                sections.extend(section.replace(Part::of(&item)));
            }
        }
        sections.extend(section);
        write_var_uint(&mut out, sections.len() as u64);
        for part in sections {
            part.write(&mut out);
        }
        let of_use = |(client, range): (ClientId, ClockRange)| {
            let end = match planted::is(Bug::DeletesTakenWithoutGaps) {
                true => range.end,
                false => range.end.min(known(client)),
            };
            let range = range.start..end;
            (!range.is_empty()).then_some((client, range))
        };
        let deleted: Vec<_> = update.deletes().filter_map(of_use).collect();
        DeleteSet::from(deleted).write(&mut out);
        out.into()
    }

    /// The clocks of those clients that an update tells of, as they are after it,
    /// whatever the order of what it tells.
    fn clocks_of_use(&self, update: &Update<'_>, ahead: &Ahead) -> BTreeMap<ClientId, Clock> {
        let mut runs: Vec<(ClientId, ClockRange)> = Vec::new();
        for item in update.structs() {
            match runs.last_mut() {
                Some((client, run)) if *client == item.id.client && run.end == item.id.clock => {
                    run.end = item.end();
                }
                _ => runs.push((item.id.client, item.clocks())),
            }
        }
        let runs = DeleteSet::from(runs);
        let after = |client| {
            let mut clock = self.clock(client, ahead);
            for run in runs.past(client, 0) {
                if run.start > clock {
                    break;
                }
                let end = run.end.max(clock);
                clock = self.structs.end_of_known(Id { client, clock: end });
            }
            (client, clock)
        };
        runs.clients().map(after).collect()
    }
}

/// Structs of one client that ascend, Skips in the place of what is left out between.
struct Part {
    first: Id,
    end: Clock,
    structs: u64,
    bytes: Vec<u8>,
}

impl Part {
    fn of(item: &Struct<'_>) -> Self {
        Self {
            first: item.id,
            end: item.end(),
            structs: 1,
            bytes: item.bytes.to_vec(),
        }
    }

    fn goes_on_with(&self, item: &Struct<'_>) -> bool {
        item.id.client == self.first.client && item.id.clock >= self.end
    }

    fn add(&mut self, item: &Struct<'_>) {
        let left_out = item.id.clock - self.end;
        if left_out > 0 {
            write_skip(left_out, &mut self.bytes);
            self.structs += 1;
        }
        self.bytes.extend_from_slice(item.bytes);
        self.structs += 1;
        self.end = item.end();
    }

    fn write(self, out: &mut Vec<u8>) {
        let Id { client, clock } = self.first;
        for number in [self.structs, client.0, u64::from(clock)] {
            write_var_uint(out, number);
        }
        out.extend(self.bytes);
    }
}
