//! What must hold in every world, numbered. Most is checked as it happens;
//! convergence when everything has healed.

use std::{collections::BTreeMap, fmt};

use ysyncd_engine::{
    Condition, ConnId, Etag, OpId, Output, Snapshot, StoreCommand, StoreResult,
    document::DocumentState,
    protocol::{Message, Messages},
};

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
    /// A document leaves memory only when the store has all that it took.
    LeftClean = 16,
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
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    connections: BTreeMap<ConnId, Stage>,
    operation: Option<OpId>,
    /// The stored object as the engine last read or wrote it.
    known: Option<Etag>,
    /// All that the engine took from its connections.
    taken: DocumentState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    Accepted,
    Over,
}

impl Oracle {
    /// A connection asks to be let in.
    pub(crate) fn opened(&mut self, conn: ConnId) {
        self.connections.insert(conn, Stage::Asked);
    }

    /// The engine was told that a connection is gone.
    pub(crate) fn closed(&mut self, conn: ConnId) {
        self.connections.insert(conn, Stage::Over);
    }

    /// A frame of a connection comes to the engine, which has to take what it
    /// says if it has let the connection in.
    pub(crate) fn received(&mut self, conn: ConnId, frame: &[u8]) {
        if self.connections.get(&conn) != Some(&Stage::Accepted) {
            return;
        }
        let mut messages = Messages::new(frame);
        while let Ok(Some(message)) = messages.read_next() {
            if let Message::SyncStep2(update) | Message::Update(update) = message {
                let taken = self.taken.apply(update);
                taken.expect("model clients send updates");
            }
        }
    }

    /// Checks that what is stored holds all that the engine took.
    pub(crate) fn left(&self, stored: Option<&Snapshot>) -> Result<(), Violation> {
        let mut state = DocumentState::default();
        if let Some(snapshot) = stored {
            let applied = state.apply(&snapshot.body);
            applied.map_err(|error| Invariant::LeftClean.violated(error))?;
        }
        match state.covers(&self.taken) {
            true => Ok(()),
            false => Err(Invariant::LeftClean.violated("something that was taken is not stored")),
        }
    }

    /// Checks an output against what came before.
    pub(crate) fn output(&mut self, output: &Output) -> Result<(), Violation> {
        match output {
            Output::Accept { conn } => self.step(*conn, Stage::Asked, Stage::Accepted),
            Output::Refuse { conn, .. } => self.step(*conn, Stage::Asked, Stage::Over),
            Output::Close { conn, .. } => self.step(*conn, Stage::Accepted, Stage::Over),
            Output::Send { conns, .. } => {
                let mut conns = conns.iter();
                conns.try_for_each(|conn| self.step(*conn, Stage::Accepted, Stage::Accepted))
            }
            Output::Store { op, command } => self.command(*op, command),
            Output::Event(_)
            | Output::Journal { .. }
            | Output::Pause { .. }
            | Output::Resume { .. }
            | Output::Drained { .. } => Ok(()),
        }
    }

    /// Notes what the engine learns of the stored object.
    pub(crate) fn result(&mut self, op: OpId, result: &StoreResult) {
        if self.operation == Some(op) {
            self.operation = None;
        }
        match result {
            StoreResult::Loaded(Ok(loaded)) => {
                self.known = loaded.as_ref().map(|snapshot| snapshot.etag.clone());
            }
            StoreResult::Saved(Ok(etag)) => self.known = Some(etag.clone()),
            StoreResult::Loaded(Err(_)) | StoreResult::Saved(Err(_)) => {}
        }
    }

    fn step(&mut self, conn: ConnId, from: Stage, to: Stage) -> Result<(), Violation> {
        let stage = self.connections.get_mut(&conn);
        match stage {
            Some(stage) if *stage == from => {
                *stage = to;
                Ok(())
            }
            other => {
                let detail = format!("{conn:?} is {other:?}, and goes from {from:?} to {to:?}");
                Err(Invariant::Order.violated(detail))
            }
        }
    }

    fn command(&mut self, op: OpId, command: &StoreCommand) -> Result<(), Violation> {
        if let Some(other) = self.operation.replace(op) {
            let detail = format!("{op:?} begins before {other:?} has ended");
            return Err(Invariant::OneOperation.violated(detail));
        }
        let StoreCommand::Save { condition, .. } = command else {
            return Ok(());
        };
        let conditional = match (condition, &self.known) {
            (Condition::Absent, None) => true,
            (Condition::Matches(etag), Some(known)) => etag == known,
            _ => false,
        };
        match conditional {
            true => Ok(()),
            false => {
                let detail = format!("{condition:?}, but last known is {:?}", self.known);
                Err(Invariant::Conditional.violated(detail))
            }
        }
    }
}

/// Checks that a write loses nothing of what it replaces.
pub(crate) fn check_write(before: Option<&Snapshot>, after: &[u8]) -> Result<(), Violation> {
    let state = |bytes: &[u8]| {
        let mut state = DocumentState::default();
        let applied = state.apply(bytes);
        applied.map(|_| state).map_err(|error| {
            let detail = format!("a stored snapshot is no update: {error}");
            Invariant::Monotone.violated(detail)
        })
    };
    let after = state(after)?;
    match before.map(|snapshot| state(&snapshot.body)).transpose()? {
        Some(before) if !after.covers(&before) => {
            Err(Invariant::Monotone.violated("a write drops what was stored"))
        }
        _ => Ok(()),
    }
}
