//! The ids that updates tell of. Reckoned by yrs, so that the engine does not
//! vouch for itself.

use yrs::{
    ClientID, ID, IdSet, StateVector, Update, encoding::read::Error, updates::decoder::Decode,
};

/// Ids of structs, and ids that are deleted.
#[derive(Debug, Default, Clone)]
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
        deletes.merge_with(update.delete_set().clone());
        Ok(Self { structs, deletes })
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

    pub(crate) fn add(&mut self, other: Self) {
        self.structs.merge_with(other.structs);
        self.deletes.merge_with(other.deletes);
    }

    /// What of `other` is not here, for people.
    pub(crate) fn missing(&self, other: &Self) -> String {
        let structs = other.structs.diff(&self.structs);
        let deletes = other.deletes.diff(&self.deletes);
        format!("structs {structs:?}, deletes {deletes:?}")
    }

    /// Whose they are.
    pub(crate) fn clients(&self) -> impl Iterator<Item = u64> {
        let clients = self.structs.client_ids().chain(self.deletes.client_ids());
        clients.map(|client| client.get())
    }

    /// Whether every id of `other` is here too.
    pub(crate) fn cover(&self, other: &Self) -> bool {
        holds(&self.structs, &other.structs) && holds(&self.deletes, &other.deletes)
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
