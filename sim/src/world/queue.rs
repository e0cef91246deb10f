//! What is to happen, in the order in which it does.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// Events by time, and at one time in the order of scheduling.
///
/// Events lie apart from the order, which is sorted all the time and so is kept
/// small.
pub(super) struct Queue<E> {
    order: BinaryHeap<Reverse<Turn>>,
    events: Vec<Option<E>>,
    /// Places of events that have happened.
    free: Vec<usize>,
    scheduled: u64,
}

/// When an event's turn comes, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    at: Duration,
    scheduled: u64,
    place: usize,
}

/// The place of an event among all that happen at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank(u64);

impl<E> Queue<E> {
    pub(super) const fn new() -> Self {
        Self {
            order: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            scheduled: 0,
        }
    }

    /// When the next event happens.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.order.peek().map(|Reverse(turn)| turn.at)
    }

    /// Schedules an event, after all others of its time.
    pub(super) fn push(&mut self, at: Duration, event: E) {
        let rank = Rank(self.scheduled);
        self.scheduled += 1;
        self.put_back(at, rank, event);
    }

    /// Takes out the next event.
    pub(super) fn pop(&mut self) -> Option<(Rank, E)> {
        let Reverse(turn) = self.order.pop()?;
        self.free.push(turn.place);
        let event = self.events[turn.place].take();
        Some((Rank(turn.scheduled), event.expect("each has its place")))
    }

    /// Has an event that was taken out happen later. What was scheduled first
    /// still comes first.
    pub(super) fn put_back(&mut self, at: Duration, Rank(scheduled): Rank, event: E) {
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                self.events.len() - 1
            }
        };
        self.order.push(Reverse(Turn {
            at,
            scheduled,
            place,
        }));
    }

    /// Leaves out events.
    pub(super) fn retain(&mut self, stays: impl Fn(&E) -> bool) {
        let (events, free) = (&mut self.events, &mut self.free);
        self.order.retain(|Reverse(turn)| {
            let event = &mut events[turn.place];
            let stays = event.as_ref().is_some_and(&stays);
            if !stays {
                *event = None;
                free.push(turn.place);
            }
            stays
        });
    }
}
