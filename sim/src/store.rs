//! The simulated snapshot store: one object per world, conditional writes, and
//! everything that can go wrong with them.

use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, rngs::ChaCha8Rng};
use ysyncd_engine::{Condition, Etag, OpId, Snapshot, StoreCommand, StoreError, StoreResult};

use crate::swarm::{Purpose, Swarm, between, stream};

/// The store of one world.
#[derive(Debug)]
pub(crate) struct Store {
    rng: ChaCha8Rng,
    object: Option<Snapshot>,
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
            object: None,
            writes: 0,
        }
    }

    /// What is stored.
    pub(crate) const fn object(&self) -> Option<&Snapshot> {
        self.object.as_ref()
    }

    /// Draws an operation's fate and its times. Nothing goes wrong, and
    /// nothing takes long, in a world that is `healed`.
    pub(crate) fn plan(&mut self, swarm: &Swarm, healed: bool, is_save: bool) -> (Fate, Schedule) {
        let fast = Duration::from_millis(1)..Duration::from_millis(20);
        let latency = if healed { &fast } else { &swarm.store_latency };
        let fate = match () {
            () if healed => Fate::Done,
            () if self.rng.random_bool(swarm.store_unavailable) => Fate::Unavailable,
            () if is_save && self.rng.random_bool(swarm.store_unknown) => {
                match self.rng.random_bool(0.5) {
                    true => Fate::DoneUnknown,
                    false => Fate::LostUnknown,
                }
            }
            () => Fate::Done,
        };
        let lands = between(&mut self.rng, latency);
        let answers = match fate {
            Fate::DoneUnknown => between(&mut self.rng, latency),
            _ => lands + between(&mut self.rng, latency),
        };
        (fate, Schedule { lands, answers })
    }

    /// Carries out an operation.
    pub(crate) fn carry_out(&mut self, operation: &Operation) -> StoreResult {
        let result = match (&operation.command, operation.fate) {
            (StoreCommand::Load { .. }, Fate::Done) => {
                return StoreResult::Loaded(Ok(self.object.clone()));
            }
            (StoreCommand::Load { .. }, _) => {
                return StoreResult::Loaded(Err(StoreError::Unavailable("simulated".to_owned())));
            }
            (StoreCommand::Save { .. }, Fate::Unavailable) => {
                Err(StoreError::Unavailable("simulated".to_owned()))
            }
            (StoreCommand::Save { .. }, Fate::LostUnknown) => unknown(),
            (
                StoreCommand::Save {
                    body, condition, ..
                },
                fate,
            ) => {
                let written = self.write(body.clone(), condition);
                if fate == Fate::Done {
                    written
                } else {
                    unknown()
                }
            }
        };
        StoreResult::Saved(result)
    }

    /// Writes, if the condition holds.
    pub(crate) fn write(&mut self, body: Bytes, condition: &Condition) -> Result<Etag, StoreError> {
        let holds = match (condition, &self.object) {
            (Condition::Absent, None) => true,
            (Condition::Matches(etag), Some(stored)) => *etag == stored.etag,
            _ => false,
        };
        if !holds {
            return Err(StoreError::Conflict);
        }
        self.writes += 1;
        let etag = Etag(format!("e{}", self.writes).into());
        self.object = Some(Snapshot {
            body,
            etag: etag.clone(),
        });
        Ok(etag)
    }
}

fn unknown() -> Result<Etag, StoreError> {
    Err(StoreError::Unknown("simulated".to_owned()))
}
