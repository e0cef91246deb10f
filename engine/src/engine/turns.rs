//! Whose turn it is at the store.

use std::collections::{BTreeMap, VecDeque};

use super::DocKey;
use crate::{
    effect::Lane,
    id::OpId,
    marks::{self, Mark},
};

/// Documents that wait for the store, in the order in which they came, and
/// the operations under way. Loads and saves wait apart.
#[derive(Debug, Default)]
pub(super) struct Turns {
    loads: Queue,
    saves: Queue,
    under_way: BTreeMap<OpId, Lane>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<DocKey>,
    under_way: usize,
}

impl Turns {
    /// A document has something to do with the store.
    pub(super) fn wait(&mut self, key: DocKey, lane: Lane) {
        self.queue(lane).waiting.push_back(key);
    }

    /// Whose turn it is, if the store is asked less than `most` things in its
    /// lane. To be called until there is nobody.
    pub(super) fn next(&mut self, most: usize) -> Option<(DocKey, Lane)> {
        [Lane::Load, Lane::Save].into_iter().find_map(|lane| {
            let queue = self.queue(lane);
            let has_room = queue.under_way < most.max(1);
            let waits = || !has_room && !queue.waiting.is_empty();
            marks::hit_if(Mark::StoreTurnWaited, waits);
            let key = has_room.then(|| queue.waiting.pop_front()).flatten();
            key.map(|key| (key, lane))
        })
    }

    /// A document has used its turn.
    pub(super) fn begin(&mut self, op: OpId, lane: Lane) {
        self.queue(lane).under_way += 1;
        self.under_way.insert(op, lane);
    }

    /// An operation has ended, if it was one of the store's.
    pub(super) fn end(&mut self, op: OpId) {
        if let Some(lane) = self.under_way.remove(&op) {
            self.queue(lane).under_way -= 1;
        }
    }

    const fn queue(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Load => &mut self.loads,
            Lane::Save => &mut self.saves,
        }
    }
}
