//! Loading a document that was saved.

use super::{DocumentState, delete_set::DeleteSet, pending::Awaited, structs::StructStore};
use crate::update::{DecodeError, Deletes, Sections, Trust};

impl DocumentState {
    /// The document that an update tells all of. It is the same as when that is
    /// applied to an empty one, but the bytes are read only once: as they are
    /// checked, they are taken.
    ///
    /// # Errors
    /// The bytes are no valid update.
    pub fn load(update: &[u8]) -> Result<Self, DecodeError> {
        let mut structs = StructStore::default();
        let mut sections = Sections::new(update, Trust::Input)?;
        let added = structs.append(&mut sections, None)?;
        let integrated = structs.integrate_waiting(&added.clients(), added.named);
        let mut deleted = added.deleted.into_vec();
        let mut ranges = Deletes::new(sections.rest())?;
        while let Some(range) = ranges.next_range()? {
            deleted.push(range);
        }
        let deletes = DeleteSet::from(deleted);
        let mut superseded = added.superseded.into_iter().chain(integrated.superseded);
        let is_as_saved = sections.are_in_order()
            && superseded.all(|(client, before)| deletes.has(client, before));
        if !is_as_saved {
            // Nobody saves such, but somebody may have put it there.
            let mut state = Self::default();
            state.apply(update)?;
            return Ok(state);
        }
        let awaited = Awaited::of(&structs, &deletes);
        Ok(Self {
            structs,
            deletes,
            awaited,
        })
    }
}
