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
    free: Vec<u32>,
    scheduled: u32,
}

/// When an event's turn comes, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    nanos: u64,
    scheduled: u32,
    place: u32,
}

/// The place of an event among all that happen at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank(u32);

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
        let next = self.order.peek();
        next.map(|Reverse(turn)| Duration::from_nanos(turn.nanos))
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
        let event = self.events[turn.place as usize].take();
        Some((Rank(turn.scheduled), event.expect("each has its place")))
    }

    /// Has an event that was taken out happen later. What was scheduled first
    /// still comes first.
    pub(super) fn put_back(&mut self, at: Duration, Rank(scheduled): Rank, event: E) {
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                u32::try_from(self.events.len() - 1).expect("few events wait")
            }
        };
        self.order.push(Reverse(Turn {
            nanos: u64::try_from(at.as_nanos()).expect("worlds end within centuries"),
            scheduled,
            place,
        }));
    }

    /// Leaves out events.
    pub(super) fn retain(&mut self, stays: impl Fn(&E) -> bool) {
        let (events, free) = (&mut self.events, &mut self.free);
        self.order.retain(|Reverse(turn)| {
            let event = &mut events[turn.place as usize];
            let stays = event.as_ref().is_some_and(&stays);
            if !stays {
                *event = None;
                free.push(turn.place);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rest(queue: &mut Queue<&'static str>) -> Vec<&'static str> {
        let events = std::iter::from_fn(|| queue.pop());
        events.map(|(_, event)| event).collect()
    }

    #[test]
    fn events_come_by_time_and_then_as_they_were_scheduled() {
        let mut queue = Queue::new();
        for (millis, event) in [
            (5, "late"),
            (1, "one"),
            (1, "two"),
            (0, "first"),
            (1, "three"),
        ] {
            queue.push(at(millis), event);
        }
        assert_eq!(queue.next_at(), Some(at(0)));
        assert_eq!(rest(&mut queue), ["first", "one", "two", "three", "late"]);
        assert_eq!(queue.next_at(), None);
    }

    #[test]
    fn what_is_put_off_still_comes_before_what_was_scheduled_after_it() {
        let mut queue = Queue::new();
        queue.push(at(1), "put off");
        queue.push(at(3), "later");
        let (rank, event) = queue.pop().expect("there are two");
        queue.put_back(at(3), rank, event);
        assert_eq!(rest(&mut queue), ["put off", "later"]);
    }

    #[test]
    fn what_is_left_out_makes_room_for_others() {
        let mut queue = Queue::new();
        for event in ["one", "gone", "two", "gone"] {
            queue.push(at(1), event);
        }
        queue.retain(|event| *event != "gone");
        queue.push(at(1), "three");
        queue.push(at(0), "first");
        assert_eq!(queue.events.len(), 4);
        assert_eq!(rest(&mut queue), ["first", "one", "two", "three"]);
    }
}
