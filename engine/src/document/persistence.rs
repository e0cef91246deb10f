//! A document and its snapshot: when it is written, and what happens if that
//! fails.
//!
//! Every write is conditional on the version of the stored object that was
//! read or written last. If the condition does not hold, or nobody knows
//! whether a write took place, the object is read again and merged: a body
//! always contains what its condition named, so late and repeated writes do
//! no harm. A version number, not a flag, says what is unsaved; a flag loses
//! the change that comes while a write is under way.

use std::time::Duration;

use super::{Context, Document, DocumentState, NewPart};
use crate::{
    effect::{Effect, Effects},
    event::Event,
    output::Refusal,
    protocol,
    random::Jitter,
    store::{Condition, Etag, Snapshot, StoreCommand, StoreError},
    timer::Timer,
    update::DecodeError,
};

/// What is known of the stored snapshot.
#[derive(Debug)]
pub(super) struct Persistence {
    /// Counts the changes of the document.
    version: u64,
    /// The version that the store holds, at least.
    saved_version: u64,
    /// The stored object, as last read or written.
    stored: Option<Etag>,
    /// What the store is doing for this document; one thing at a time.
    doing: Doing,
    /// When the first change came that no write has taken along.
    unsaved_since: Option<Duration>,
    /// Store operations that failed in a row.
    failures: u32,
    /// Whether to read before the next write.
    must_read: bool,
    /// Whether the timer is set for another try, which further changes must
    /// not put off.
    retrying: bool,
    jitter: Jitter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    Reading,
    Writing {
        version: u64,
        bytes: usize,
        unsaved_since: Option<Duration>,
    },
}

impl Persistence {
    pub(super) const fn new(jitter: Jitter) -> Self {
        Self {
            version: 0,
            saved_version: 0,
            stored: None,
            doing: Doing::Nothing,
            unsaved_since: None,
            failures: 0,
            must_read: false,
            retrying: false,
            jitter,
        }
    }

    pub(super) const fn is_dirty(&self) -> bool {
        self.saved_version < self.version
    }

    pub(super) fn is_busy(&self) -> bool {
        self.doing != Doing::Nothing
    }

    pub(super) fn check(&self) {
        assert!(self.saved_version <= self.version);
        assert!(!self.is_dirty() || self.unsaved_since.is_some() || self.is_busy());
        assert!(!self.retrying || !self.is_busy(), "one try at a time");
    }

    /// Starts over with short pauses between tries.
    pub(super) const fn forget_failures(&mut self) {
        self.failures = 0;
    }

    fn retry_delay(&mut self, cx: Context<'_>) -> Duration {
        let doublings = self.failures.min(20);
        self.failures += 1;
        let longest = cx.config.retry_delay_min * (1 << doublings);
        self.jitter.up_to(longest.min(cx.config.retry_delay_max))
    }
}

impl Document {
    /// Notes a change that is to be saved.
    pub(super) fn changed(&mut self, cx: Context<'_>) {
        self.persistence.version += 1;
        let since = *self.persistence.unsaved_since.get_or_insert(cx.now);
        // While the store is busy, the end of that sets the timer.
        if !self.persistence.is_busy() && !self.persistence.retrying {
            let due = cx.now + cx.config.save_debounce;
            self.timers
                .set(Timer::Store, due.min(since + cx.config.save_wait_max));
        }
    }

    /// Reads the snapshot.
    pub(super) fn read_snapshot(&mut self, out: &mut Effects) {
        self.persistence.doing = Doing::Reading;
        let doc = self.id.clone();
        out.push(Effect::Store(StoreCommand::Load { doc }));
    }

    /// Writes the snapshot at once, if there is something to write and the
    /// store is not busy with this document.
    pub(super) fn save_now(&mut self, cx: Context<'_>, out: &mut Effects) {
        if self.persistence.is_dirty() && !self.persistence.is_busy() {
            self.store_due(cx, out);
        }
    }

    /// The time to write, or to try again, has come.
    pub(super) fn store_due(&mut self, cx: Context<'_>, out: &mut Effects) {
        self.timers.stop(Timer::Store);
        self.persistence.retrying = false;
        if self.persistence.must_read {
            self.read_snapshot(out);
            return;
        }
        self.state.compact(cx.config.gc);
        let body = self.state.encode();
        let persistence = &mut self.persistence;
        persistence.doing = Doing::Writing {
            version: persistence.version,
            bytes: body.len(),
            unsaved_since: persistence.unsaved_since.take(),
        };
        let condition = match &persistence.stored {
            Some(etag) => Condition::Matches(etag.clone()),
            None => Condition::Absent,
        };
        let doc = self.id.clone();
        out.push(Effect::Store(StoreCommand::Save {
            doc,
            body,
            condition,
        }));
    }

    /// The first read has ended.
    pub(super) fn loaded(
        &mut self,
        cx: Context<'_>,
        loaded: Result<Option<Snapshot>, StoreError>,
        out: &mut Effects,
    ) {
        self.persistence.doing = Doing::Nothing;
        let doc = self.id.clone();
        match loaded {
            Ok(None) => self.become_live(cx, 0, out),
            Ok(Some(snapshot)) => match self.state.apply(&snapshot.body) {
                Ok(_) => {
                    self.persistence.stored = Some(snapshot.etag);
                    self.become_live(cx, snapshot.body.len(), out);
                }
                Err(reason) => {
                    let event = Event::DocumentUndecodable { doc, reason };
                    self.refuse_all(Refusal::Undecodable, event, out);
                }
            },
            Err(error) => {
                let event = Event::DocumentLoadFailed { doc, error };
                self.refuse_all(Refusal::LoadFailed, event, out);
            }
        }
    }

    /// A write has ended.
    pub(super) fn saved(
        &mut self,
        cx: Context<'_>,
        saved: Result<Etag, StoreError>,
        out: &mut Effects,
    ) {
        let doing = std::mem::replace(&mut self.persistence.doing, Doing::Nothing);
        let Doing::Writing {
            version,
            bytes,
            unsaved_since,
        } = doing
        else {
            unreachable!("each store operation has one result");
        };
        let doc = self.id.clone();
        match saved {
            Ok(etag) => {
                self.persistence.stored = Some(etag);
                self.persistence.saved_version = version;
                self.persistence.failures = 0;
                out.push(Effect::Event(Event::SnapshotSaved { doc, bytes }));
                self.save_later(cx, out);
            }
            Err(error) => {
                self.persistence.unsaved_since = unsaved_since.or(self.persistence.unsaved_since);
                match error {
                    StoreError::Conflict | StoreError::Unknown(_) => {
                        self.persistence.must_read = true;
                    }
                    StoreError::Unavailable(_) | StoreError::Denied(_) => {}
                }
                let at_once = error == StoreError::Conflict;
                out.push(Effect::Event(Event::SnapshotFailed { doc, error }));
                if at_once {
                    self.read_snapshot(out);
                } else {
                    self.retry_later(cx);
                }
            }
        }
    }

    /// A read that followed a write has ended.
    pub(super) fn read_again(
        &mut self,
        cx: Context<'_>,
        loaded: Result<Option<Snapshot>, StoreError>,
        out: &mut Effects,
    ) {
        self.persistence.doing = Doing::Nothing;
        let doc = self.id.clone();
        match loaded {
            Ok(None) => {
                self.persistence.stored = None;
                self.write_merged(cx);
            }
            Ok(Some(snapshot)) => match self.merge_stored(cx, &snapshot, out) {
                Ok(contained) => {
                    self.persistence.stored = Some(snapshot.etag);
                    if contained {
                        self.persistence.saved_version = self.persistence.version;
                        self.persistence.unsaved_since = None;
                        self.persistence.must_read = false;
                        self.persistence.failures = 0;
                    } else {
                        self.write_merged(cx);
                    }
                }
                Err(reason) => {
                    out.push(Effect::Event(Event::DocumentUndecodable { doc, reason }));
                    self.retry_later(cx);
                }
            },
            Err(error) => {
                out.push(Effect::Event(Event::SnapshotFailed { doc, error }));
                self.retry_later(cx);
            }
        }
    }

    /// Takes in what the store holds, and tells it to the clients. True if all
    /// that was here is there.
    fn merge_stored(
        &mut self,
        cx: Context<'_>,
        snapshot: &Snapshot,
        out: &mut Effects,
    ) -> Result<bool, DecodeError> {
        let mut stored = DocumentState::default();
        stored.apply(&snapshot.body)?;
        let contained = stored.covers(&self.state);
        let ours = self.state.encode();
        let foreign = self.state.apply(&snapshot.body)?;
        // Where both hold the same id, what is stored stays: others have read
        // it there.
        stored
            .apply(&ours)
            .expect("our own state is a valid update");
        self.state = stored;
        if foreign.new_part != NewPart::Nothing {
            let doc = self.id.clone();
            out.push(Effect::Event(Event::SnapshotMerged { doc }));
        }
        let as_it_came = || protocol::update(&snapshot.body);
        self.relay(cx, None, foreign, as_it_came, out);
        Ok(contained)
    }

    /// Another writer was there: writes what is merged now, soon but not in
    /// step with the other.
    fn write_merged(&mut self, cx: Context<'_>) {
        self.persistence.must_read = false;
        let pause = self.persistence.jitter.up_to(cx.config.conflict_delay_max);
        self.retry_in(cx, pause);
    }

    /// Plans the next write, after one has succeeded.
    fn save_later(&mut self, cx: Context<'_>, out: &mut Effects) {
        let Some(since) = self.persistence.unsaved_since else {
            return;
        };
        if self.phase == super::Phase::Draining {
            self.save_now(cx, out);
        } else {
            let due = (since + cx.config.save_debounce).max(cx.now);
            self.timers.set(Timer::Store, due);
        }
    }

    fn retry_later(&mut self, cx: Context<'_>) {
        let delay = self.persistence.retry_delay(cx);
        self.retry_in(cx, delay);
    }

    fn retry_in(&mut self, cx: Context<'_>, delay: Duration) {
        self.persistence.retrying = true;
        self.timers.set(Timer::Store, cx.now + delay);
    }
}
