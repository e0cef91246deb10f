//! What the engine has said to one connection and its task has not taken yet.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell, RefMut},
    fmt,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use ysyncd_engine::{CloseCode, Refusal};

use crate::outgoing::Outgoing;

/// Where the shard leaves the engine's words for one connection. Putting
/// something in wakes the connection's task and never runs it.
#[derive(Default)]
pub(crate) struct Mailbox {
    admission: Cell<Option<Result<(), Refusal>>>,
    outgoing: RefCell<Outgoing>,
    close: Cell<Option<CloseOrder>>,
    paused: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// The engine's order to close a connection.
#[derive(Debug)]
pub(crate) struct CloseOrder {
    pub(crate) code: CloseCode,
    pub(crate) reason: Cow<'static, str>,
}

impl Mailbox {
    /// Leaves the engine's answer to the handshake.
    pub(crate) fn admit(&self, admission: Result<(), Refusal>) {
        self.admission.set(Some(admission));
        self.wake();
    }

    /// Leaves one message to send.
    pub(crate) fn send(&self, frame: Bytes) {
        self.outgoing.borrow_mut().push_message(frame);
        self.wake();
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

    /// The engine's answer to the handshake, once it is there.
    pub(crate) fn poll_admission(&self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.register(cx);
        self.admission.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Has the task woken when something comes in.
    pub(crate) fn register(&self, cx: &mut Context<'_>) {
        let waker = match self.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.waker.set(Some(waker));
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
        if let Some(waker) = self.waker.take() {
            waker.wake();
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
