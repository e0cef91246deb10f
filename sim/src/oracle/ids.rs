//! The ids that updates tell of. Reckoned by yrs, so that the engine does not
//! vouch for itself.

use std::fmt;

use yrs::{
    ClientID, ID, IdSet, StateVector, Update, encoding::read::Error, updates::decoder::Decode,
};
use ysyncd_engine::DocId;

/// Each document has so many client ids of its own.
pub(crate) const HOME: u64 = 1_000;

/// What documents are called, before their number.
const NAME: &str = "document ";

/// The name of a document.
pub(crate) fn name_of(doc: usize) -> DocId {
    DocId::new(&format!("{NAME}{doc}")).expect("it is short")
}

/// Whether yrs may look at what is said of a document. The others are left to
/// clients whose updates it would not survive.
pub(crate) fn is_judged(doc: &DocId) -> bool {
    doc.as_str().starts_with(NAME)
}

/// Whether a client id is one of a document's.
pub(super) fn is_at_home(client: u64, doc: &DocId) -> bool {
    let number = doc.as_str().strip_prefix(NAME);
    let number = number.and_then(|number| number.parse::<u64>().ok());
    number.is_none_or(|number| client / HOME == number + 1)
}

/// Ids of structs, and ids that are deleted.
#[derive(Default, Clone)]
pub(crate) struct Ids {
    structs: IdSet,
    deletes: IdSet,
}

impl Ids {
    /// Those of an update.
    pub(crate) fn of(update: &[u8]) -> Result<Self, Error> {
        let update = Update::decode_v1(update)?;
        let structs = update.insertions(true);
        // Structs that are but a length are deleted, said or not.
        let mut deletes = structs.diff(&update.insertions(false));
        // One by one, as they may stand in any order.
        for client in update.delete_set().client_ids() {
            let ranges = update.delete_set().get(&client).into_iter();
            for range in ranges.flat_map(|ranges| ranges.ranges().cloned()) {
                deletes.insert(ID::new(client, range.start), range.end - range.start);
            }
        }
        Ok(Self { structs, deletes })
    }

    /// Those of an update that is known to be one.
    pub(crate) fn of_valid(update: &[u8]) -> Self {
        Self::of(update).expect("clients send updates")
    }

    /// All that a state vector covers.
    pub(crate) fn below(vector: &[u8]) -> Result<Self, Error> {
        let mut structs = IdSet::default();
        for (client, clock) in StateVector::decode_v1(vector)?.iter() {
            structs.insert(ID::new(*client, 0), *clock);
        }
        let deletes = IdSet::default();
        Ok(Self { structs, deletes })
    }

    /// Some structs in a row.
    pub(crate) fn run(client: u64, clocks: std::ops::Range<u32>) -> Self {
        let mut ids = Self::default();
        let start = ID::new(ClientID::new(client), clocks.start);
        ids.structs.insert(start, clocks.end - clocks.start);
        ids
    }

    /// Whether a struct is among these.
    pub(crate) fn knows(&self, client: u64, clock: u32) -> bool {
        self.structs
            .contains(&ID::new(ClientID::new(client), clock))
    }

    /// Whether all structs of a client up to a clock, not including it, are
    /// among these.
    pub(crate) fn knows_up_to(&self, client: u64, clock: u32) -> bool {
        self.cover(&Self::run(client, 0..clock))
    }

    /// Whether some of these structs come right after others of their client
    /// that are not `here`.
    pub(crate) fn open_a_gap_in(&self, here: &Self) -> bool {
        self.structs.client_ids().any(|client: ClientID| {
            let ranges = self.structs.get(&client).into_iter();
            let mut ranges = ranges.flat_map(|ranges| ranges.ranges().cloned());
            ranges.any(|range| {
                let before = range.start.checked_sub(1);
                before.is_some_and(|before| !here.knows(client.get(), before))
            })
        })
    }

    /// Runs of structs that come after others of their client that are not
    /// here.
    pub(crate) fn gap_runs(&self) -> usize {
        let behind_gaps = |client: ClientID| {
            let ranges = self.structs.get(&client).into_iter();
            let ranges = ranges.flat_map(|ranges| ranges.ranges().cloned());
            ranges.filter(|range| range.start > 0).count()
        };
        self.structs.client_ids().map(behind_gaps).sum()
    }

    /// Runs of structs.
    pub(crate) fn runs(&self) -> usize {
        let ranges = |client: ClientID| {
            let ranges = self.structs.get(&client).into_iter();
            ranges.map(|ranges| ranges.ranges().count()).sum::<usize>()
        };
        self.structs.client_ids().map(ranges).sum()
    }

    /// Whether nothing of `other` is here.
    pub(crate) fn lacks_all_of(&self, other: &Self) -> bool {
        let lacking = self.lacking(other);
        lacking.cover(other)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.structs.merge_with(other.structs.clone());
        self.deletes.merge_with(other.deletes.clone());
    }

    /// Whether every id of `other` is here too.
    pub(crate) fn cover(&self, other: &Self) -> bool {
        holds(&self.structs, &other.structs) && holds(&self.deletes, &other.deletes)
    }

    /// Those of `other` that are not here, for people to read.
    pub(crate) fn lacking(&self, other: &Self) -> Self {
        Self {
            structs: other.structs.diff(&self.structs),
            deletes: other.deletes.diff(&self.deletes),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.structs.is_empty() && self.deletes.is_empty()
    }

    /// Whether it tells of deletes alone.
    pub(crate) fn has_no_structs(&self) -> bool {
        self.structs.is_empty()
    }

    /// The structs alone.
    pub(crate) fn structs(&self) -> Self {
        Self {
            structs: self.structs.clone(),
            deletes: IdSet::default(),
        }
    }

    /// The clients that it tells of.
    pub(crate) fn clients(&self) -> impl Iterator<Item = u64> {
        let clients = self.structs.client_ids().chain(self.deletes.client_ids());
        clients.map(|client| client.get())
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |set: &IdSet| {
            let ranges = |client: ClientID| {
                let ranges = set.get(&client).into_iter();
                let ranges = ranges.flat_map(|ranges| ranges.ranges().cloned());
                ranges.map(move |range| format!("{client}:{range:?}"))
            };
            let mut ranges: Vec<_> = set.client_ids().flat_map(ranges).collect();
            ranges.sort();
            ranges.join(" ")
        };
        write!(
            f,
            "structs [{}] deletes [{}]",
            list(&self.structs),
            list(&self.deletes)
        )
    }
}

fn holds(all: &IdSet, some: &IdSet) -> bool {
    some.client_ids().all(|client: ClientID| {
        let ranges = some.get(&client);
        ranges.is_none_or(|ranges| match all.get(&client) {
            Some(all) => ranges.subset_of(all),
            None => ranges.is_empty(),
        })
    })
}
