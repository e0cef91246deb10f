//! What a document will know once everything that is on its way to the
//! journal has been applied.

use std::collections::BTreeMap;

use super::Pending;
use crate::update::{ClientId, Clock};

/// The clocks and the pending parts that updates bring which are not durable
/// yet. Someone who types sends the next update before the last one is
/// durable: it follows that one, and opens no gap.
#[derive(Debug, Clone, Default)]
pub struct Ahead {
    /// The clock of the client that was added first: mostly there is no other, and
    /// nothing is allocated for it.
    first: Option<(ClientId, Clock)>,
    /// Those of all others.
    clocks: BTreeMap<ClientId, Clock>,
    pending: Pending,
    types: usize,
    /// Clients of them that have not written to the document yet.
    newcomers: usize,
}

impl Ahead {
    /// Adds an update that opens so many gaps, brings so many types and is of so
    /// many clients that have not written yet, and after which some clients'
    /// clocks are these.
    pub(super) fn add(
        &mut self,
        clocks: impl IntoIterator<Item = (ClientId, Clock)>,
        opens: Pending,
        types: usize,
        newcomers: usize,
    ) {
        self.types += types;
        self.newcomers += newcomers;
        for (client, clock) in clocks {
            let first = self.first.get_or_insert((client, clock));
            let known = match first.0 == client {
                true => &mut first.1,
                false => self.clocks.entry(client).or_default(),
            };
            *known = clock.max(*known);
        }
        self.pending.gap_runs += opens.gap_runs;
        self.pending.delete_ranges += opens.delete_ranges;
    }

    /// An update that opens so many gaps and brings so many types is here, or will
    /// never be.
    pub(super) const fn arrived(&mut self, opens: Pending, types: usize) {
        self.types -= types;
        self.pending.gap_runs -= opens.gap_runs;
        self.pending.delete_ranges -= opens.delete_ranges;
    }

    /// The next clock of a client; 0 if nothing of it is on its way.
    pub(super) fn clock(&self, client: ClientId) -> Clock {
        self.find(client).unwrap_or(0)
    }

    /// Whether something of a client is on its way.
    pub(super) fn has(&self, client: ClientId) -> bool {
        self.find(client).is_some()
    }

    fn find(&self, client: ClientId) -> Option<Clock> {
        match self.first {
            Some((first, clock)) if first == client => Some(clock),
            _ => self.clocks.get(&client).copied(),
        }
    }

    /// How many clients will have written that have not yet.
    pub(super) const fn newcomers(&self) -> usize {
        self.newcomers
    }

    /// So many of them have written.
    pub(super) const fn have_come(&mut self, clients: usize) {
        self.newcomers = self.newcomers.saturating_sub(clients);
    }

    /// How many types are on their way.
    pub(super) const fn types(&self) -> usize {
        self.types
    }

    /// What is on its way without being of use yet.
    pub(super) const fn pending(&self) -> Pending {
        self.pending
    }
}
