//! The same document in fewer bytes, without integrating it.
//!
//! Three things are done, each of which leaves what Yjs loads unchanged:
//! children of deleted types become garbage, deleted content is dropped, and
//! structs that continue each other are joined. The first two only touch
//! structs that a client could integrate; what still waits for something
//! keeps its words, as it would in a client.
//!
//! That holds of what clients can have written. None writes a struct whose left
//! neighbour stands right of its right one, or an entry of a map that names one
//! to its right. Yjs takes such for one thing or another by how what they name
//! is cut at that moment, so it depends on the order, and on saving and loading,
//! with Yjs alone as well.

use super::{
    block::Block,
    delete_set::DeleteSet,
    lineage::{Descent, Lineage},
    state::read_part,
    structs::{Placement, StructStore},
};
use crate::{
    lib0::var_uint_len,
    marks::{self, Mark},
    planted::{self, Bug},
    update::{Body, ClientId, Clock, ClockRange, Cursor, Item, Struct, write_gc},
};

/// Rewrites all blocks. Time and memory are linear in the number of structs.
///
/// What becomes garbage joins the delete set, and so does what is superseded,
/// as it would on loading what is written: a state and its own snapshot have
/// to be equal. True if that is more than was known to be deleted.
pub(super) fn compact(structs: &mut StructStore, deletes: &mut DeleteSet, gc: bool) -> bool {
    let mut lineage = Lineage::new(structs, deletes);
    let mut rewritten = Vec::new();
    let mut deleted = DeleteSet::default();
    let mut delete = |client, clocks| {
        deleted.add(client, clocks);
    };
    for (&client, theirs) in &structs.clients {
        let mut out = Blocks::default();
        for item in theirs.structs() {
            let descent = lineage.descent(item.id);
            let collected = gc && item.end() <= theirs.integrated_end;
            if collected && descent.dead {
                marks::hit_if(Mark::ChildToGc, || matches!(item.body, Body::Item(_)));
                delete(client, item.id.clock..item.end());
                out.push_collected(&item, descent, deletes);
            } else if let Some(before) = descent.placement.superseded(&item)
                && !deletes.has(client, before.clone())
            {
                marks::hit(Mark::Superseded);
                delete(client, before.clone());
                out.push_last_unit(&item, &before);
            } else if let Some(before) = descent.placement.superseded(&item)
                && !deletes.has(client, item.clocks())
            {
                // It came before anybody could tell that it is an entry.
                let collect = collected.then_some(&*deletes);
                out.push_apart(&item, &before, descent, collect);
            } else if collected {
                out.push_collected(&item, descent, deletes);
            } else {
                out.push(&item, descent.placement == Placement::List);
            }
        }
        rewritten.push((client, out.finish()));
    }
    for (client, blocks) in rewritten {
        structs.replace_blocks(client, blocks);
    }
    let mut is_more = false;
    for (client, clocks) in deleted.stretches() {
        is_more |= !deletes.has(client, clocks.clone());
        deletes.add(client, clocks);
    }
    is_more
}

/// The blocks of one client, as they are written.
#[derive(Default)]
struct Blocks {
    blocks: Vec<Block>,
    scratch: Vec<u8>,
}

impl Blocks {
    fn push(&mut self, item: &Struct<'_>, listed: bool) {
        let adjoining = self.blocks.last_mut();
        let adjoining = adjoining.filter(|last| last.clocks.end == item.id.clock);
        let new_block = match adjoining {
            Some(last) => last.push(item, listed),
            None => Some(Block::new(item, listed)),
        };
        self.blocks.extend(new_block);
    }

    fn finish(mut self) -> Vec<Block> {
        self.blocks.iter_mut().for_each(Block::finish);
        self.blocks.shrink_to_fit();
        self.blocks
    }

    /// Pushes a map entry of which only the unit after `before` is left.
    fn push_last_unit(&mut self, item: &Struct<'_>, before: &ClockRange) {
        let client = item.id.client;
        self.push_written(client, before.start, false, |out| {
            item.write_deleted_part(before.start, before.end, out);
        });
        self.push_written(client, before.end, false, |out| {
            item.write_part(before.end, item.end(), &mut Cursor::default(), out);
        });
    }

    /// Pushes a map entry of which the last unit lives apart from those before it,
    /// which are deleted.
    fn push_apart(
        &mut self,
        item: &Struct<'_>,
        before: &ClockRange,
        descent: Descent,
        collect: Option<&DeleteSet>,
    ) {
        for part in [before.clone(), before.end..item.end()] {
            let mut bytes = Vec::new();
            item.write_part(part.start, part.end, &mut Cursor::default(), &mut bytes);
            let part = read_part(&bytes, item.id.client, part.start);
            match collect {
                Some(deletes) => self.push_collected(&part, descent, deletes),
                None => self.push(&part, false),
            }
        }
    }

    /// Pushes a struct without what Yjs would have dropped.
    fn push_collected(&mut self, item: &Struct<'_>, descent: Descent, deletes: &DeleteSet) {
        let listed = descent.placement == Placement::List;
        match item.body {
            Body::Item(_) if descent.dead => {
                self.push_written(item.id.client, item.id.clock, true, |out| {
                    write_gc(item.len, out);
                });
            }
            Body::Item(body) if !body.content.is_deleted() => {
                self.push_cut(item, &body, listed, deletes);
            }
            _ => self.push(item, listed),
        }
    }

    /// Pushes a struct, its deleted content dropped where that saves bytes.
    fn push_cut(&mut self, item: &Struct<'_>, body: &Item<'_>, listed: bool, deletes: &DeleteSet) {
        let all = item.id.clock..item.end();
        let client = item.id.client;
        let mut from = all.start;
        let (mut measured, mut written) = (Cursor::default(), Cursor::default());
        for cut in deletes.within(client, all.clone()) {
            if planted::is(Bug::PartlyDeletedDropped) {
                return self.push_written(client, from, listed, |out| {
                    item.write_deleted_part(all.start, all.end, out);
                });
            }
            if cut != all && !saves_bytes(item, body, &cut, &mut measured) {
                continue;
            }
            marks::hit(match cut == all {
                true => Mark::DeletedContentDropped,
                false => Mark::PartlyDeletedSplit,
            });
            if from < cut.start {
                self.push_written(client, from, listed, |out| {
                    item.write_part(from, cut.start, &mut written, out);
                });
            }
            self.push_written(client, cut.start, listed, |out| {
                item.write_deleted_part(cut.start, cut.end, out);
            });
            from = cut.end;
        }
        if from == all.start {
            self.push(item, listed);
        } else if from < all.end {
            self.push_written(client, from, listed, |out| {
                item.write_part(from, all.end, &mut written, out);
            });
        }
    }

    fn push_written(
        &mut self,
        client: ClientId,
        clock: Clock,
        listed: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        write(&mut bytes);
        self.push(&read_part(&bytes, client, clock), listed);
        self.scratch = bytes;
    }
}

/// Whether dropping a part of a struct's content saves more bytes than the
/// heads of the structs it is then split into take.
fn saves_bytes(item: &Struct<'_>, body: &Item<'_>, cut: &ClockRange, cursor: &mut Cursor) -> bool {
    let edges = usize::from(cut.start > item.id.clock) + usize::from(cut.end < item.end());
    let id_len =
        |client: ClientId, clock: Clock| var_uint_len(client.0) + var_uint_len(u64::from(clock));
    let right_origin = body.head.position.right_origin();
    let head = 1
        + id_len(item.id.client, cut.start)
        + right_origin.map_or(0, |id| id_len(id.client, id.clock))
        + var_uint_len(u64::from(cut.end - cut.start));
    let dropped = body
        .content
        .payload_size(&item.units(cut.start, cut.end), cursor);
    dropped > (edges * head) as u64
}
