//! What must hold in every world, numbered.
//!
//! A [`Watch`] judges one engine by what goes into it and what comes out, and
//! by nothing else: so it can judge a recorded run, too. [`Ledgers`] know what
//! the world as a whole must not lose. Convergence is judged when everything
//! has healed.

mod ids;
mod ledger;
mod watch;

use std::fmt;

pub(crate) use self::{
    ids::{HOME, Ids, is_judged, name_of},
    ledger::Ledgers,
    watch::{INTRUDER, Watch, save_times_max},
};

/// What must hold.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
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
    /// A connection gets `Accept` first, of a document that is loaded, and
    /// nothing after its end.
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
    /// An honest client is closed only if it reads nothing, its token has
    /// expired, its document has failed, or the server goes down.
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
    /// A connection is told only of its own document.
    Apart = 28,
    /// The answer to a state vector, with what that covers, is all there is.
    DiffComplete = 29,
    /// Whoever follows a document is told of each change when it is applied.
    Told = 30,
    /// A snapshot holds all that the document holds.
    SnapshotComplete = 31,
    /// What a connection is told of somebody's awareness never goes back.
    AwarenessForward = 32,
    /// What waits for a reader, and what waits to become durable, is bounded.
    Bounded = 33,
    /// Bad input closes its connection, with the right code.
    BadInput = 34,
    /// Without a journal, a crash loses no more than the stated window while
    /// the store answers.
    LossWindow = 35,
    /// The recorded inputs give the same outputs once more.
    Replays = 36,
    /// An update is relayed in canonical form, and without what is known.
    Relayed = 37,
    /// What can be integrated only now, as what it builds on came later, is
    /// told again.
    ToldAgain = 38,
    /// Nothing is written that the store is known to hold.
    Needless = 39,
    /// A conflict is looked into at once; a store that fails gets its pauses.
    Pauses = 40,
    /// Who asks is answered.
    Answered = 41,
    /// Who sent what follows a gap is asked for what is missing.
    GapAsked = 42,
    /// Who was refused is asked when there is room, and not before.
    RoomFirst = 43,
    /// Who comes in is told at once who is there.
    JoinerAwareness = 44,
    /// What is stored and cannot be read is left as it is.
    LeftAlone = 45,
    /// A live entry of a map stands alone in its struct.
    EntriesAlone = 46,
    /// A server's WebSocket frames and handshakes are what RFC 6455 wants.
    Framing = 47,
    /// A server says that it is well, and how it stands.
    Healthy = 48,
    /// What a store answers is true of the bucket.
    StoreWord = 49,
    /// A change is written when it has waited as long as it may.
    SavedInTime = 50,
    /// An update is refused only for want of what it is refused for.
    RefusedForCause = 51,
    /// Who may only read changes nothing, and is not asked what it knows.
    ReadOnly = 52,
    /// A connection is closed when its token expires, and not before.
    Expiry = 53,
    /// Who reads too slowly is told what it missed as soon as it has read the
    /// rest, and closed if it reads nothing for too long.
    CaughtUp = 54,
    /// A document that fails takes along its own connections, all of them, and
    /// nothing else.
    Contained = 55,
    /// The words to the bus: what is in memory is subscribed to, nothing is asked
    /// while it is down, and nothing that came by it is published again.
    BusWords = 56,
    /// When nobody says anything, nodes hardly do.
    BusQuiet = 57,
    /// What another node has written is taken for stored only if it holds what
    /// it is taken to hold.
    AdoptedTruly = 58,
    /// Nodes on a bus come to hold the same, though nobody writes or reads
    /// anything.
    Across = 59,
    /// How an engine says that it stands is how it stands.
    StatusTrue = 60,
    /// Nothing is written, and nothing leaves memory, before its time.
    NotTooSoon = 61,
    /// Who is refused an update is told so once, however often that is.
    RefusedOnce = 62,
    /// With a journal: what somebody says that is new goes to the journal, or is
    /// refused.
    Recorded = 63,
    /// What an input takes grows no faster than it does itself, with what it asks for.
    Cost = 64,
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

    /// Fails unless it holds.
    pub(crate) fn holds(
        self,
        condition: bool,
        detail: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        match condition {
            true => Ok(()),
            false => Err(self.violated(detail())),
        }
    }

    /// Fails unless what somebody has is the truth.
    pub(crate) fn equal<T: PartialEq + fmt::Debug + ?Sized>(
        self,
        who: impl fmt::Display,
        told: &T,
        truth: &T,
    ) -> Result<(), Violation> {
        self.holds(told == truth, || {
            format!("{who} has\n  {told:?}\nand not\n  {truth:?}")
        })
    }
}
