//! Entries of maps. Yjs splits one that has several units, and throws on every
//! load once its map is deleted.

use ysyncd_engine::update::{Holds, Id, Outline, Place, Update};

use super::{Invariant, Violation};

/// Checks that every live entry of a map stands alone in its struct. What is
/// not an item in a list says so, or one that it follows does. Nothing has to be
/// looked into where no struct holds several values.
pub(super) fn stand_alone(body: &[u8], has_rows: bool) -> Result<(), Violation> {
    let update = Update::decode(body).map_err(|error| Invariant::Understood.violated(error))?;
    let holds_values = |outline: &Outline<'_>| {
        outline.len > 1 && matches!(outline.holds, Holds::Any(_) | Holds::Json(_))
    };
    if !has_rows {
        return Ok(());
    }
    let start = |id: Id| (id.client.0, id.clock);
    let mut all: Vec<_> = update.outline().collect();
    all.sort_unstable_by_key(|outline| start(outline.id));
    let at = |id: Id| {
        let after = all.partition_point(|outline| start(outline.id) <= start(id));
        let outline = &all[after.checked_sub(1)?];
        let reaches = outline.client() == id.client && outline.clocks().contains(&id.clock);
        reaches.then_some(outline)
    };
    let is_entry = |outline: &Outline<'_>| {
        let mut next = Some(outline);
        // Origins come before what follows them: the way ends.
        for _ in 0..all.len() {
            match next.and_then(|outline| outline.place) {
                Some(Place::Root { key, .. } | Place::Inside { key, .. }) => return key.is_some(),
                Some(Place::Between {
                    origin,
                    right_origin,
                }) => next = origin.or(right_origin).and_then(at),
                None => return false,
            }
        }
        false
    };
    let is_deleted = |outline: &Outline<'_>| {
        update.deletes().any(|(client, range)| {
            client == outline.client() && range.contains(&(outline.clocks().end - 1))
        })
    };
    let crowded = all
        .iter()
        .find(|outline| holds_values(outline) && !is_deleted(outline) && is_entry(outline));
    Invariant::EntriesAlone.holds(crowded.is_none(), || format!("{crowded:?}"))
}
