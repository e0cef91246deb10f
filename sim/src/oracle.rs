//! What must hold in every world, numbered. Most is checked as it happens;
//! convergence when everything has healed.

mod connections;
mod ids;
mod journal;
mod ledger;
mod store;

use std::{fmt, time::Duration};

use ysyncd_engine::{
    Config, ConnId, DocId, Event as EngineEvent, JournalResult, OpId, Output, StoreResult,
};

use self::{connections::Connections, journal::JournalWatch, store::StoreWatch};
pub(crate) use self::{ids::Ids, ledger::Ledgers};
use crate::{journal::Journal, swarm::ENOUGH};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Invariant {
    /// All clients show the same once everything has healed.
    Converged = 1,
    /// What they show holds every edit that was ever made.
    NothingLost = 2,
    /// The stored snapshot shows the same.
    Stored = 3,
    /// A client that knows nothing is brought up to date by one sync.
    Joiner = 4,
    /// After a restart, what was stored is served.
    Restart = 5,
    /// A write is conditional on the object that was read or written last.
    Conditional = 6,
    /// No write replaces an object by one that holds less.
    Monotone = 7,
    /// The store does one thing at a time for a document.
    OneOperation = 8,
    /// A connection gets `Accept` first, and nothing after its end.
    Order = 9,
    /// Clients see who is connected, and nobody else.
    Presence = 10,
    /// A connected client hears something every 30 seconds.
    Keepalive = 11,
    /// A tick leaves nothing that is due at once.
    NoSpin = 12,
    /// A client understands every frame.
    Understood = 13,
    /// A shutdown ends, with everything saved.
    Drained = 14,
    /// The engine's own checks hold, and nothing panics.
    Panic = 15,
    /// A document leaves memory only when nothing of it waits to be durable,
    /// and the store and the journal have all that it took.
    LeftClean = 16,
    /// With a journal: nothing is sent, in an update or in a state vector,
    /// that the store and the journal do not have.
    SentDurable = 17,
    /// What the store or the journal once had survives every crash.
    Survives = 18,
    /// The words to the journal: positions ascend, nothing is written before
    /// the records were read or after a failure, reopening only then.
    JournalWords = 19,
    /// Records are forgotten only once a snapshot that holds them has landed.
    TrimCovered = 20,
    /// An honest client is closed only if it lags or the server goes down.
    ClosedForCause = 21,
    /// The store is asked only so many things at once.
    Turns = 22,
    /// Who is not read from is read from again.
    Paused = 23,
    /// Once everything has healed and gone quiet, the journal holds nothing,
    /// and the engine knows of nothing to do.
    Emptied = 24,
    /// The lists that end a shutdown are true.
    DrainedTruly = 25,
    /// A document whose records are damaged is refused and left as it is.
    Damaged = 26,
    /// A document is served with all that the journal holds of it.
    Replayed = 27,
    /// A server's WebSocket frames and handshakes are what RFC 6455 wants.
    Framing = 40,
    /// Nothing of one document gets into another one.
    Isolated = 41,
    /// Who breaks the rules is closed, with the code that says which.
    HostileClosed = 42,
    /// A server says that it is well, and how it stands.
    Healthy = 43,
    /// What a store answers is true of the bucket.
    StoreWord = 44,
}

/// An invariant that did not hold.
#[derive(Debug, Clone, thiserror::Error)]
#[error("invariant {invariant} violated: {detail}")]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub detail: String,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({self:?})", *self as u8)
    }
}

impl Invariant {
    pub(crate) fn violated(self, detail: impl fmt::Display) -> Violation {
        Violation {
            invariant: self,
            detail: detail.to_string(),
        }
    }

    /// Fails unless two texts are equal.
    pub(crate) fn equal(self, who: &str, told: &str, truth: &str) -> Result<(), Violation> {
        match told == truth {
            true => Ok(()),
            false => Err(self.violated(format!("{who} has\n  {told}\nand not\n  {truth}"))),
        }
    }
}

/// Watches what one engine says.
#[derive(Debug)]
pub(crate) struct Oracle {
    has_journal: bool,
    connections: Connections,
    store: StoreWatch,
    journal: JournalWatch,
}

impl Oracle {
    /// For an engine that is about to start.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            has_journal: config.journal,
            connections: Connections::new(config.outbox_bytes_max < ENOUGH),
            store: StoreWatch::new(config.store_operations_max),
            journal: JournalWatch::default(),
        }
    }

    /// A connection asks to be let in.
    pub(crate) fn opened(&mut self, conn: ConnId, doc: DocId) {
        self.connections.opened(conn, doc);
    }

    /// The engine was told that a connection is gone.
    pub(crate) fn closed(&mut self, conn: ConnId) {
        self.connections.closed(conn);
    }

    /// Of which document the engine has to take what a connection says now:
    /// it has let it in, and since it last refused something it has asked and
    /// been answered.
    pub(crate) fn takes(&mut self, conn: ConnId, frame: &[u8]) -> Option<DocId> {
        self.connections.takes(conn, frame)
    }

    /// Whether an update of the connection was refused.
    pub(crate) fn owes(&self, conn: ConnId) -> bool {
        self.connections.owes(conn)
    }

    /// Checks an output against what came before.
    pub(crate) fn output(
        &mut self,
        now: Duration,
        output: &Output,
        journal: &Journal,
        ledgers: &mut Ledgers,
    ) -> Result<(), Violation> {
        self.connections.output(now, output)?;
        match output {
            Output::Send { conns, frame } if self.has_journal => {
                ledgers.sent(self.connections.doc(conns[0]), frame)
            }
            Output::Store { op, command } => self.store.command(*op, command, journal),
            Output::Journal { .. } if !self.has_journal => {
                Err(Invariant::JournalWords.violated("there is no journal"))
            }
            Output::Journal { op, command } => self.journal.command(*op, command, journal, ledgers),
            Output::Event(EngineEvent::DocumentLoaded { doc, replayed, .. }) => {
                self.store.loaded(doc);
                self.journal.loaded(doc, *replayed, journal)
            }
            Output::Event(EngineEvent::DocumentUnloaded { doc }) => {
                self.store.unloaded(doc);
                self.journal.unloaded(doc)?;
                ledgers.left(doc, journal)
            }
            Output::Drained { unsaved, .. } if !self.has_journal => {
                ledgers.drained_without_journal(unsaved)
            }
            Output::Drained { unsaved, journaled } => {
                let is_staged = |doc: &DocId| self.journal.is_appending(doc);
                let may_hold = |doc: &DocId| self.journal.may_hold(doc, journal);
                ledgers.drained(unsaved, journaled, is_staged, may_hold)
            }
            _ => Ok(()),
        }
    }

    /// Notes what the engine learns of the stored objects.
    pub(crate) fn stored(&mut self, op: OpId, result: &StoreResult) {
        self.store.result(op, result);
    }

    /// Notes what the engine learns of the journal.
    pub(crate) fn journaled(&mut self, op: OpId, result: &JournalResult, ledgers: &mut Ledgers) {
        self.journal.result(op, result, ledgers);
    }

    /// Checks that nobody is kept waiting who was told to wait before `since`.
    pub(crate) fn all_resumed(&self, since: Duration) -> Result<(), Violation> {
        self.connections.all_resumed(since)
    }
}
