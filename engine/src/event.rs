//! What happened, told for logs and metrics. The engine itself counts and
//! logs nothing; whoever drives it may.

use std::borrow::Cow;

use crate::{
    auth::UserId,
    awareness::Unshown,
    bus::BusRefusal,
    id::{ConnId, DocId},
    journal::{JournalError, Position},
    message_fault::MessageFault,
    output::CloseCode,
    rejection::Rejection,
    store::{Etag, StoreError},
    update::DecodeError,
};

/// Something worth a log line or a metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A document came into memory.
    DocumentLoaded {
        /// Which.
        doc: DocId,
        /// Size of the stored snapshot; 0 for a new document.
        bytes: usize,
        /// Records of the journal that were replayed into it.
        replayed: usize,
    },
    /// A document could not be loaded; those who waited were refused.
    DocumentLoadFailed {
        /// Which.
        doc: DocId,
        /// What the store said.
        error: StoreError,
    },
    /// The stored snapshot is no valid document. It is left untouched.
    DocumentUndecodable {
        /// Which.
        doc: DocId,
        /// What is wrong with it.
        reason: DecodeError,
    },
    /// The journal's records of a document cannot be read. They are left
    /// untouched, and so is the stored snapshot.
    DocumentJournalDamaged {
        /// Which.
        doc: DocId,
        /// What is wrong with them.
        error: JournalError,
    },
    /// The code of a document panicked. The document was dropped from memory
    /// and its connections were closed; the next open loads it again, from the
    /// store and the journal. What neither held comes back with the clients
    /// that have it: without a journal, what was not saved.
    DocumentFailed {
        /// Which.
        doc: DocId,
        /// What the panic said.
        message: String,
    },
    /// The journal failed. New updates are refused until it works again.
    JournalFailed {
        /// What it said.
        error: JournalError,
    },
    /// The journal works again.
    JournalRecovered,
    /// Nobody has had a document open for a while, or it has to make room: it
    /// leaves memory once it is saved, unless somebody opens it before. Of what
    /// other nodes take meanwhile nothing comes to it.
    DocumentDrains {
        /// Which.
        doc: DocId,
    },
    /// A document left memory.
    DocumentUnloaded {
        /// Which.
        doc: DocId,
    },
    /// New content from a client became part of a document.
    UpdateApplied {
        /// Whose, whether or not it is still there.
        conn: ConnId,
        /// Size of what came.
        bytes: usize,
        /// The record in which it was made durable, if there is a journal.
        position: Option<Position>,
    },
    /// A snapshot was written.
    SnapshotSaved {
        /// Which document.
        doc: DocId,
        /// Size of the snapshot.
        bytes: usize,
    },
    /// A snapshot was not written; another try follows by itself.
    SnapshotFailed {
        /// Which document.
        doc: DocId,
        /// What the store said.
        error: StoreError,
    },
    /// Another writer's snapshot was found and taken into the document.
    SnapshotMerged {
        /// Which document.
        doc: DocId,
    },
    /// Another node has written a snapshot, as it says on the bus, and that is
    /// the stored object from now on.
    SnapshotAdopted {
        /// Which document.
        doc: DocId,
        /// The object.
        etag: Etag,
        /// Whether it holds all that is here, which then need not be written.
        is_whole: bool,
    },
    /// An update was published on the bus.
    BusPublished {
        /// Size of the update.
        bytes: usize,
    },
    /// An update came by the bus, and told something new.
    BusApplied {
        /// Size of the update.
        bytes: usize,
    },
    /// Something that another node has was missing here, was noticed by its
    /// digest, and is here now.
    BusHealed {
        /// Which document.
        doc: DocId,
    },
    /// Another server that lives now says to be this node: both have one name.
    /// Neither hears all that the other says. Told for each message that shows it.
    BusNameTaken,
    /// A message of the bus was not taken.
    BusMessageRefused {
        /// Which document it was said to be of.
        doc: DocId,
        /// Why.
        reason: BusRefusal,
    },
    /// An update was not taken, and its sender asked to sync again later. Of one that
    /// opens too many gaps, what waits for nothing is taken.
    UpdateRefused {
        /// Which document.
        doc: DocId,
        /// From whom.
        conn: ConnId,
        /// Why.
        reason: Rejection,
    },
    /// An update came from a connection that may only read, and was ignored.
    UpdateForbidden {
        /// Which document.
        doc: DocId,
        /// From whom.
        conn: ConnId,
    },
    /// A connection reads more slowly than others write. It is left out of
    /// what others are sent until it has caught up, then told what it missed.
    ConnectionLags {
        /// Which.
        conn: ConnId,
        /// Which document it has open.
        doc: DocId,
    },
    /// A connection is to be told something large, and waits for its turn,
    /// because too much is on its way to its user, or to all.
    AnswerWaits {
        /// Which.
        conn: ConnId,
        /// Whose connection it is.
        user: UserId,
    },
    /// It is a connection's turn to be told something large, whether it had to
    /// wait for it or not. That comes next, unless it has come to lag meanwhile.
    AnswerTurn {
        /// Which.
        conn: ConnId,
    },
    /// A message was not taken. Its sender is closed next.
    MessageRefused {
        /// Which document.
        doc: DocId,
        /// From whom.
        conn: ConnId,
        /// Why.
        reason: MessageFault,
    },
    /// Something that a connection says of who is there is not shown to others. It
    /// goes on.
    PresenceUnshown {
        /// Which document.
        doc: DocId,
        /// Who says it.
        conn: ConnId,
        /// Why.
        reason: Unshown,
    },
    /// The engine closes a connection.
    ConnectionClosed {
        /// Which.
        conn: ConnId,
        /// Which document it had open.
        doc: DocId,
        /// The code it gets.
        code: CloseCode,
        /// The reason it gets.
        reason: Cow<'static, str>,
    },
}
