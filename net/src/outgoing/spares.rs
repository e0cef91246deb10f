//! Room of queues that are empty, for the next that are not.

use std::cell::RefCell;

use super::Chunks;

/// What all spare queues of a shard have room for, in chunks: about 1 MiB.
const CHUNKS_MAX: usize = (1 << 20) / size_of::<super::Chunk>();

/// A queue with room for more than this is not kept: few grow so long.
const CHUNKS_PER_QUEUE_MAX: usize = 256;

/// The empty queues of a shard, as they come and go with every turn.
///
/// A queue that is empty gives its room away, so that an idle connection holds
/// none, and takes some here when there is something to write again. Else each
/// queue of a busy room would be allocated anew, and grow step by step, in every
/// turn.
#[derive(Debug, Default)]
pub(crate) struct SpareQueues {
    spares: RefCell<Spares>,
}

#[derive(Debug, Default)]
struct Spares {
    queues: Vec<Chunks>,
    /// What they have room for together.
    chunks: usize,
}

impl SpareQueues {
    /// An empty queue: the one that came last, as that is still in the cache.
    /// Cold, as only the first of many messages needs it.
    #[cold]
    pub(super) fn take(&self) -> Chunks {
        let mut spares = self.spares.borrow_mut();
        let queue = spares.queues.pop().unwrap_or_default();
        spares.chunks -= queue.capacity();
        queue
    }

    /// Keeps an empty queue, if there is room for it.
    pub(super) fn give(&self, queue: Chunks) {
        debug_assert!(queue.is_empty(), "only its room is kept");
        let mut spares = self.spares.borrow_mut();
        let (room, left) = (queue.capacity(), CHUNKS_MAX - spares.chunks);
        if room > 0 && room <= CHUNKS_PER_QUEUE_MAX.min(left) {
            spares.chunks += room;
            spares.queues.push(queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_comes_back() {
        let spares = SpareQueues::default();
        assert_eq!(spares.take().capacity(), 0, "there is nothing yet");
        spares.give(Chunks::with_capacity(CHUNKS_PER_QUEUE_MAX + 1));
        assert_eq!(spares.take().capacity(), 0, "that was too large");

        let kept = CHUNKS_MAX / CHUNKS_PER_QUEUE_MAX;
        for _ in 0..2 * kept {
            spares.give(Chunks::with_capacity(CHUNKS_PER_QUEUE_MAX));
        }
        let taken = std::iter::from_fn(|| Some(spares.take()).filter(|queue| queue.capacity() > 0));
        assert_eq!(taken.count(), kept);
        spares.give(Chunks::with_capacity(1));
        assert_eq!(spares.take().capacity(), 1, "there is room again");
    }
}
