//! Writing for the connections of a shard, at the end of each of its turns.
//!
//! Where an update goes to a hundred clients, to wake a hundred tasks costs
//! more than all else that is done for them, but for the writes themselves. So
//! a message that the engine sends wakes nobody. Its connection is noted here,
//! and one task writes for all that are. It leaves the others a turn before:
//! whatever they add in that turn goes out in the same write.
//!
//! A connection's own task is woken by its socket, if that does not take all,
//! and goes on from there.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, task::Context};

use tokio::{sync::Notify, task::yield_now};

use crate::mailbox::Mailbox;

/// Connections that are written for before the others get their turn.
const WRITES_PER_TURN: usize = 64;

/// The connections that have something to write, each of them once.
#[derive(Debug, Default)]
pub(crate) struct FlushQueue {
    due: RefCell<VecDeque<Rc<Mailbox>>>,
    filled: Notify,
}

/// What can write for a connection while its task sleeps.
pub(crate) trait Flush {
    /// Writes what is queued. If that is not all written, or changes what the
    /// connection's task has to do, the task, whose context this is, is woken
    /// when the time has come.
    fn flush(&mut self, cx: &mut Context<'_>);
}

impl FlushQueue {
    /// Has a connection written for at the end of the turn.
    pub(crate) fn push(&self, mailbox: &Rc<Mailbox>) {
        if mailbox.is_due.replace(true) {
            return;
        }
        let mut due = self.due.borrow_mut();
        if due.is_empty() {
            self.filled.notify_one();
        }
        due.push_back(Rc::clone(mailbox));
    }

    /// Waits for the end of a turn in which there came something to write.
    pub(crate) async fn turn_ends(&self) {
        if self.due.borrow().is_empty() {
            self.filled.notified().await;
        }
        // Comes back after all tasks that are ready, and those whose sockets
        // are, have run.
        yield_now().await;
    }

    /// Writes for some connections. They may come to be due again by that.
    /// Stops behind one that panics.
    pub(crate) fn flush_some(&self) {
        for _ in 0..WRITES_PER_TURN {
            let Some(mailbox) = self.due.borrow_mut().pop_front() else {
                return;
            };
            mailbox.is_due.set(false);
            if !mailbox.flush() {
                return;
            }
        }
    }
}
