//! What the engine has said to one connection and its task has not taken yet.

use std::{
    any::Any,
    borrow::Cow,
    cell::{Cell, OnceCell, RefCell, RefMut},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use ysyncd_engine::{
    CloseCode, Refusal,
    planted::{self, Bug},
};

use crate::{
    flush::Flush,
    outgoing::{Outgoing, SpareQueues},
};

/// Where the shard leaves the engine's words for one connection. Putting
/// something in never runs the connection's task. What it has to do something
/// about wakes it; messages, which are [written for it](crate::flush), do not.
#[derive(Default)]
pub(crate) struct Mailbox {
    admission: Cell<Option<Result<(), Refusal>>>,
    outgoing: RefCell<Outgoing>,
    close: Cell<Option<CloseOrder>>,
    paused: Cell<bool>,
    /// Messages that are not to count as sent too fast, since this was asked last.
    repeated: Cell<u64>,
    waker: RefCell<Option<Waker>>,
    connection: OnceCell<Weak<RefCell<dyn Flush>>>,
    /// Set while the connection stands in the queue of those that are to be
    /// written for.
    pub(crate) is_due: Cell<bool>,
    /// What the connection panicked with while it was written for, until its
    /// task goes on with that.
    panic: RefCell<Option<Panic>>,
}

/// What a panic carries.
type Panic = Box<dyn Any + Send>;

/// The engine's order to close a connection.
#[derive(Debug)]
pub(crate) struct CloseOrder {
    pub(crate) code: CloseCode,
    pub(crate) reason: Cow<'static, str>,
}

impl Mailbox {
    /// An empty mailbox of a shard that has these spare queues.
    pub(crate) fn new(spares: Rc<SpareQueues>) -> Self {
        Self {
            outgoing: RefCell::new(Outgoing::new(spares)),
            ..Self::default()
        }
    }

    /// Leaves the engine's answer to the handshake.
    pub(crate) fn admit(&self, admission: Result<(), Refusal>) {
        self.admission.set(Some(admission));
        self.wake();
    }

    /// Leaves one message to send, and wakes nobody.
    pub(crate) fn send(&self, frame: Bytes) {
        self.outgoing.borrow_mut().push_message(frame);
    }

    /// Leaves the order to close after everything sent before. The first one
    /// stands.
    pub(crate) fn close(&self, order: CloseOrder) {
        let first = self.close.take().unwrap_or(order);
        self.close.set(Some(first));
        self.wake();
    }

    /// Leaves word whether the connection is not to be read from.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.set(paused);
        self.wake();
    }

    /// Leaves word that a message was a mere repetition.
    pub(crate) fn has_repeated(&self) {
        self.repeated.set(self.repeated.get() + 1);
    }

    /// How many messages were mere repetitions since this was asked last.
    pub(crate) fn take_repeated(&self) -> u64 {
        self.repeated.take()
    }

    /// The engine's answer to the handshake, once it is there.
    pub(crate) fn poll_admission(&self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.register(cx);
        self.admission.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Has the task woken when something comes in.
    pub(crate) fn register(&self, cx: &mut Context<'_>) {
        match &mut *self.waker.borrow_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Says whose mailbox this is.
    pub(crate) fn belongs_to(&self, connection: Weak<RefCell<dyn Flush>>) {
        let first = self.connection.set(connection);
        debug_assert!(first.is_ok(), "a mailbox belongs to one connection");
    }

    /// Writes what is queued, without running the connection's task. If that
    /// has not begun to run, it sees for itself what is here.
    ///
    /// A panic ends nothing but the connection: its task is woken and goes on
    /// with the panic, as if it had come there. False if there was one.
    pub(crate) fn flush(&self) -> bool {
        if self.panic.borrow().is_some() {
            return true;
        }
        // Nothing but its end sees the connection afterwards.
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.flush_here())) else {
            return true;
        };
        self.panic.replace(Some(panic));
        self.wake();
        false
    }

    /// Goes on with the panic of a write, if there was one.
    pub(crate) fn resume_panic(&self) {
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
    }

    fn flush_here(&self) {
        let connection = self.connection.get().and_then(Weak::upgrade);
        if let (Some(connection), Some(waker)) = (connection, &*self.waker.borrow()) {
            let mut cx = Context::from_waker(match planted::is(Bug::FlushUnwatched) {
                true => Waker::noop(),
                false => waker,
            });
            connection.borrow_mut().flush(&mut cx);
        }
    }

    /// The queue of what is to be written.
    pub(crate) fn outgoing(&self) -> RefMut<'_, Outgoing> {
        self.outgoing.borrow_mut()
    }

    /// The order to close, if there is one. The close frame belongs behind
    /// what the queue holds now.
    pub(crate) fn take_close(&self) -> Option<CloseOrder> {
        self.close.take()
    }

    /// True while the connection is not to be read from.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.get()
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("outgoing", &self.outgoing)
            .finish_non_exhaustive()
    }
}
