//! The simulated snapshot store: one object per document, conditional writes,
//! and everything that can go wrong with them.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use bytes::Bytes;
use rand::{RngExt, rngs::ChaCha8Rng};
use ysyncd_engine::{
    Condition, DocId, Etag, OpId, Snapshot, StoreCommand, StoreError, StoreResult,
};

use crate::swarm::{Purpose, StoreFaults, between, stream};

/// The store of one world. It outlives engines.
#[derive(Debug)]
pub(crate) struct Store {
    rng: ChaCha8Rng,
    objects: BTreeMap<DocId, Snapshot>,
    writes: u64,
}

/// A storage operation on its way.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) op: OpId,
    pub(crate) command: StoreCommand,
    pub(crate) fate: Fate,
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is carried out and answered.
    Done,
    /// It is not carried out, and that is certain.
    Unavailable,
    /// A save is carried out, and nobody learns of it.
    DoneUnknown,
    /// A save is not carried out, and nobody learns of that.
    LostUnknown,
}

/// When an operation takes effect, and when it is answered. An answer that
/// says "unknown" may come before the effect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) lands: Duration,
    pub(crate) answers: Duration,
}

impl Store {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: stream(seed, Purpose::Store),
            objects: BTreeMap::new(),
            writes: 0,
        }
    }

    /// What is stored of a document.
    pub(crate) fn object(&self, doc: &DocId) -> Option<&Snapshot> {
        self.objects.get(doc)
    }

    /// Draws an operation's fate and its times. Nothing goes wrong, and
    /// nothing takes long, in a world without `faults`.
    pub(crate) fn plan(
        &mut self,
        now: Duration,
        faults: Option<&StoreFaults>,
        is_save: bool,
    ) -> (Fate, Schedule) {
        let fast = Duration::from_millis(1)..Duration::from_millis(20);
        let latency = faults.map_or(&fast, |faults| &faults.latency);
        let fate = faults.map_or(Fate::Done, |faults| self.draw_fate(now, faults, is_save));
        let lands = between(&mut self.rng, latency);
        let answers = match fate {
            Fate::DoneUnknown => between(&mut self.rng, latency),
            _ => lands + between(&mut self.rng, latency),
        };
        (fate, Schedule { lands, answers })
    }

    fn draw_fate(&mut self, now: Duration, faults: &StoreFaults, is_save: bool) -> Fate {
        let is_out = |outage: &Range<Duration>| outage.contains(&now);
        match () {
            () if faults.outage.as_ref().is_some_and(is_out) => Fate::Unavailable,
            () if self.rng.random_bool(faults.unavailable) => Fate::Unavailable,
            () if is_save && self.rng.random_bool(faults.unknown) => {
                match self.rng.random_bool(0.5) {
                    true => Fate::DoneUnknown,
                    false => Fate::LostUnknown,
                }
            }
            () => Fate::Done,
        }
    }

    /// Carries out an operation.
    pub(crate) fn carry_out(&mut self, operation: &Operation) -> StoreResult {
        match &operation.command {
            StoreCommand::Load { doc } => StoreResult::Loaded(match operation.fate {
                Fate::Done => Ok(self.objects.get(doc).cloned()),
                _ => Err(unavailable()),
            }),
            StoreCommand::Save {
                doc,
                body,
                condition,
            } => StoreResult::Saved(match operation.fate {
                Fate::Done => self.write(doc, body.clone(), condition),
                Fate::Unavailable => Err(unavailable()),
                Fate::LostUnknown => Err(unknown()),
                Fate::DoneUnknown => {
                    let _nobody_learns = self.write(doc, body.clone(), condition);
                    Err(unknown())
                }
            }),
        }
    }

    /// Writes, if the condition holds.
    pub(crate) fn write(
        &mut self,
        doc: &DocId,
        body: Bytes,
        condition: &Condition,
    ) -> Result<Etag, StoreError> {
        let holds = match (condition, self.objects.get(doc)) {
            (Condition::Absent, None) => true,
            (Condition::Matches(etag), Some(stored)) => *etag == stored.etag,
            _ => false,
        };
        if !holds {
            return Err(StoreError::Conflict);
        }
        self.writes += 1;
        let etag = Etag(format!("e{}", self.writes).into());
        let snapshot = Snapshot {
            body,
            etag: etag.clone(),
        };
        self.objects.insert(doc.clone(), snapshot);
        Ok(etag)
    }
}

fn unknown() -> StoreError {
    StoreError::Unknown("simulated".to_owned())
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("simulated".to_owned())
}
