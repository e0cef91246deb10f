//! One connection's tie to its shard.

use std::{cell::Cell, future::poll_fn, net::IpAddr, rc::Rc, task::Context};

use bytes::Bytes;
use ysyncd_engine::{
    ConnId, DocId, Input, Refusal,
    auth::{Grant, UserId},
    marks::{self, Mark},
    planted::{self, Bug},
};

use crate::{mailbox::Mailbox, quota::Place, shard::Shard};

/// What a connection says goes through its link to the engine, and what the
/// engine says to it lies in its mailbox.
///
/// The engine hears exactly once that the connection is gone: at
/// [`Link::closed`], or when the link is dropped, in whatever way that comes.
/// That what was still to be written is let go of, it hears when the link is
/// dropped.
#[derive(Debug)]
pub(crate) struct Link {
    shard: Rc<Shard>,
    mailbox: Rc<Mailbox>,
    conn: ConnId,
    doc: DocId,
    user: UserId,
    address: IpAddr,
    /// Held as long as the socket is.
    _place: Place,
    closed: Cell<bool>,
}

/// A client that wants to open a document.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) doc: DocId,
    pub(crate) grant: Grant,
    pub(crate) address: IpAddr,
    pub(crate) place: Place,
}

impl Link {
    /// Asks the engine for a document. Its answer comes with
    /// [`Link::admission`].
    pub(crate) fn open(shard: &Rc<Shard>, opening: Opening) -> Self {
        let Opening {
            doc,
            grant,
            address,
            place,
        } = opening;
        let (conn, mailbox) = shard.register();
        let link = Self {
            shard: Rc::clone(shard),
            mailbox,
            conn,
            doc: doc.clone(),
            user: grant.user.clone(),
            address,
            _place: place,
            closed: Cell::new(false),
        };
        shard.input(Input::Open { conn, doc, grant });
        link
    }

    /// Waits for the engine's answer to the handshake.
    pub(crate) async fn admission(&self) -> Result<(), Refusal> {
        poll_fn(|cx: &mut Context<'_>| self.mailbox.poll_admission(cx)).await
    }

    /// Passes on one message.
    pub(crate) fn received(&self, bytes: Bytes) {
        self.input(Input::Received {
            conn: self.conn,
            bytes,
        });
    }

    /// How many messages were mere repetitions since this was asked last.
    pub(crate) fn take_repeated(&self) -> u64 {
        self.mailbox.take_repeated()
    }

    /// Says how many bytes of messages the kernel has taken in total. The
    /// engine hears of it when it runs next.
    pub(crate) fn written(&self, total_bytes: u64) {
        if !self.closed.get() {
            self.shard.input_with_next(Input::Written {
                conn: self.conn,
                total_bytes,
            });
        }
    }

    /// Has what is queued written at the end of the turn.
    pub(crate) fn flush_soon(&self) {
        self.shard.flush_soon(&self.mailbox);
    }

    /// Says that the connection is gone. Later words are not passed on.
    pub(crate) fn closed(&self) {
        if !self.closed.replace(true) {
            self.shard.unregister(self.conn);
            self.shard.input(Input::Closed { conn: self.conn });
        }
    }

    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    pub(crate) fn conn(&self) -> ConnId {
        self.conn
    }

    pub(crate) fn doc(&self) -> &DocId {
        &self.doc
    }

    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    /// Where the client is.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    fn input(&self, input: Input) {
        if !self.closed.get() {
            self.shard.input(input);
        }
    }
}

impl Drop for Link {
    /// The task may be unwinding: the engine must not run here.
    fn drop(&mut self) {
        let conn = self.conn;
        if !self.closed.replace(true) {
            marks::hit(Mark::LinkDropped);
            self.shard.unregister(conn);
            if planted::is(Bug::ClosedUntold) {
                return;
            }
            self.shard.input_later(Input::Closed { conn });
        }
        if !planted::is(Bug::FreedUntold) {
            self.shard.input_later(Input::Freed { conn });
        }
    }
}
