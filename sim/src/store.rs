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
    /// What stood where something damaged stands now.
    spoiled: BTreeMap<DocId, Snapshot>,
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
    /// It is forbidden.
    Denied,
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

/// How far the store can be reached by who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// As usual.
    Whole,
    /// What is asked may arrive, and no answer does.
    OneWay,
    /// Nothing is answered, and that is certain.
    Nothing,
}

/// After this long without an answer, one that says "unknown" is given.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Store {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: stream(seed, Purpose::Store),
            objects: BTreeMap::new(),
            writes: 0,
            spoiled: BTreeMap::new(),
        }
    }

    /// What is stored of a document.
    pub(crate) fn object(&self, doc: &DocId) -> Option<&Snapshot> {
        self.objects.get(doc)
    }

    /// Damages what is stored of a document, if anything is.
    pub(crate) fn spoil(&mut self, doc: &DocId) {
        let Some(sound) = self.objects.get(doc).cloned() else {
            return;
        };
        let damaged = Bytes::from_static(b"\xff damaged");
        self.put(doc, damaged);
        self.spoiled.entry(doc.clone()).or_insert(sound);
    }

    /// Whether what is stored of a document is damaged.
    pub(crate) fn is_spoiled(&self, doc: &DocId) -> bool {
        self.spoiled.contains_key(doc)
    }

    /// Puts back what was damaged, if it was.
    pub(crate) fn mend(&mut self, doc: &DocId) {
        if let Some(sound) = self.spoiled.remove(doc) {
            self.put(doc, sound.body);
        }
    }

    fn put(&mut self, doc: &DocId, body: Bytes) -> Etag {
        self.writes += 1;
        let etag = Etag(format!("e{}", self.writes).into());
        let snapshot = Snapshot {
            body,
            etag: etag.clone(),
        };
        self.objects.insert(doc.clone(), snapshot);
        etag
    }

    /// Removes what is stored of a document.
    pub(crate) fn remove(&mut self, doc: &DocId) {
        self.objects.remove(doc);
    }

    /// Draws an operation's fate and its times. Nothing goes wrong, and
    /// nothing takes long, in a world without `faults`.
    pub(crate) fn plan(
        &mut self,
        faults: Option<&StoreFaults>,
        reach: Reach,
        is_save: bool,
    ) -> (Fate, Schedule) {
        let Some(faults) = faults else {
            let (lands, answers) =
                self.times(&(Duration::from_millis(1)..Duration::from_millis(20)));
            return (Fate::Done, Schedule { lands, answers });
        };
        let fate = self.draw_fate(faults, reach, is_save);
        let (lands, answers) = self.times(&faults.latency);
        let (lands, answers) = match fate {
            Fate::DoneUnknown => {
                let straggles = Duration::ZERO..faults.straggles;
                (between(&mut self.rng, &straggles), answers.min(TIMEOUT))
            }
            _ if reach == Reach::OneWay => (lands, lands + TIMEOUT),
            _ => (lands, answers),
        };
        (fate, Schedule { lands, answers })
    }

    fn times(&mut self, latency: &Range<Duration>) -> (Duration, Duration) {
        let lands = between(&mut self.rng, latency);
        (lands, lands + between(&mut self.rng, latency))
    }

    fn draw_fate(&mut self, faults: &StoreFaults, reach: Reach, is_save: bool) -> Fate {
        let (unavailable, denied, unknown) = (
            self.rng.random_bool(faults.unavailable),
            self.rng.random_bool(faults.denied),
            self.rng.random_bool(faults.unknown) || reach == Reach::OneWay,
        );
        match () {
            () if reach == Reach::Nothing || unavailable => Fate::Unavailable,
            () if denied => Fate::Denied,
            () if unknown && is_save => match self.rng.random_bool(0.5) {
                true => Fate::DoneUnknown,
                false => Fate::LostUnknown,
            },
            () if reach == Reach::OneWay => Fate::Unavailable,
            () => Fate::Done,
        }
    }

    /// The answer to a save of unknown outcome.
    pub(crate) fn unknown() -> StoreResult {
        StoreResult::Saved(Err(unknown()))
    }

    /// Carries out an operation.
    pub(crate) fn carry_out(&mut self, operation: &Operation) -> StoreResult {
        match &operation.command {
            StoreCommand::Load { doc } => StoreResult::Loaded(match operation.fate {
                Fate::Done => Ok(self.objects.get(doc).cloned()),
                Fate::Denied => Err(denied()),
                _ => Err(unavailable()),
            }),
            StoreCommand::Save {
                doc,
                body,
                condition,
            } => StoreResult::Saved(match operation.fate {
                Fate::Done => self.write(doc, body.clone(), condition),
                Fate::Unavailable => Err(unavailable()),
                Fate::Denied => Err(denied()),
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
        Ok(self.put(doc, body))
    }
}

fn unknown() -> StoreError {
    StoreError::Unknown("simulated".to_owned())
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("simulated".to_owned())
}

fn denied() -> StoreError {
    StoreError::Denied("simulated".to_owned())
}
