//! A document and its snapshot: when it is written, and what happens if that
//! fails.
//!
//! Every write is conditional on the version of the stored object that was
//! read or written last. If the condition does not hold, or nobody knows
//! whether a write took place, the object is read again and merged: a body
//! always contains what its condition named, so late and repeated writes do
//! no harm. A version number, not a flag, says what is unsaved; a flag loses
//! the change that comes while a write is under way.
//!
//! Whatever is to be done with the store waits for its turn, which the engine
//! gives. Only then is a body encoded, so that a thousand documents that want
//! to be saved at once do not lie in memory twice.

mod load;
mod reread;

use std::time::Duration;

use super::{Context, Document, Phase};
use crate::{
    bus::{Body, StateDigest},
    config::Config,
    effect::{Effect, Effects, Lane},
    event::Event,
    journal::Position,
    journal_health::JournalHealth,
    marks::{self, Mark},
    planted::{self, Bug},
    random::Jitter,
    store::{Condition, Etag, StoreCommand, StoreError},
    timer::Timer,
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
    /// Whether that holds nothing for sure: then nothing is lost with it.
    stored_is_empty: bool,
    /// What the store is doing for this document; one thing at a time.
    doing: Doing,
    /// When the first change came that no write has taken along.
    unsaved_since: Option<Duration>,
    /// Bytes of the updates that no write has taken along.
    unsaved_bytes: usize,
    /// When the first change came of another node, which saves it, that no
    /// landed snapshot covers here.
    foreign_since: Option<Duration>,
    /// The version with the last such change.
    foreign_version: u64,
    /// When the last change came, and when the last write landed.
    changed_at: Option<Duration>,
    saved_at: Option<Duration>,
    /// Store operations that failed in a row.
    failures: u32,
    /// Whether what is unsaved may hold what the store held before: its object
    /// is gone or damaged, so that the journal does not hold all of it.
    only_here: bool,
    /// Whether to read before the next write, and why.
    must_read: Option<MustRead>,
    /// Whether the timer is set for another try, which further changes must
    /// not put off.
    retrying: bool,
    jitter: Jitter,
}

/// Why the stored object is to be read before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MustRead {
    Conflict,
    UnknownOutcome,
    /// Another node has written it.
    Foreign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// Waiting for its turn.
    Waiting,
    Reading,
    Writing(Writing),
}

/// A write under way, and what it takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Writing {
    began: Duration,
    version: u64,
    bytes: usize,
    unsaved_since: Option<Duration>,
    unsaved_bytes: usize,
    /// The last record of the journal that it holds.
    applied: Position,
    /// What it holds, where other nodes are told.
    digest: Option<StateDigest>,
}

impl Persistence {
    pub(super) const fn new(jitter: Jitter) -> Self {
        Self {
            version: 0,
            saved_version: 0,
            stored: None,
            stored_is_empty: false,
            doing: Doing::Nothing,
            unsaved_since: None,
            unsaved_bytes: 0,
            foreign_since: None,
            foreign_version: 0,
            changed_at: None,
            saved_at: None,
            failures: 0,
            only_here: false,
            must_read: None,
            retrying: false,
            jitter,
        }
    }

    pub(super) const fn is_dirty(&self) -> bool {
        self.saved_version < self.version
    }

    /// Its changes, and how many of them the store holds at least.
    pub(super) const fn versions(&self) -> (u64, u64) {
        (self.version, self.saved_version)
    }

    /// When the last change came.
    pub(super) const fn changed_at(&self) -> Option<Duration> {
        self.changed_at
    }

    /// When the last write landed.
    pub(super) const fn saved_at(&self) -> Option<Duration> {
        self.saved_at
    }

    pub(super) fn is_busy(&self) -> bool {
        self.doing != Doing::Nothing
    }

    /// Whether the last operation of the store failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether something is here that neither the store nor the journal has.
    pub(super) const fn is_only_here(&self) -> bool {
        self.only_here
    }

    /// Bytes of updates that no landed snapshot covers.
    pub(super) const fn unsaved_bytes(&self) -> usize {
        match self.doing {
            Doing::Writing(writing) => self.unsaved_bytes + writing.unsaved_bytes,
            _ => self.unsaved_bytes,
        }
    }

    /// When the first change came that no landed snapshot covers.
    pub(super) const fn unsaved_since(&self) -> Option<Duration> {
        match self.doing {
            Doing::Writing(Writing {
                unsaved_since: Some(since),
                ..
            }) => Some(since),
            _ => self.unsaved_since,
        }
    }

    /// The stored object, as last read, written, or heard of.
    pub(super) const fn stored(&self) -> Option<&Etag> {
        self.stored.as_ref()
    }

    /// When the first change of another node came that the store may not have.
    pub(super) const fn foreign_since(&self) -> Option<Duration> {
        self.foreign_since
    }

    /// Whether it holds changes of another node that no landed snapshot covers.
    /// No journal has them here.
    pub(super) const fn holds_foreign(&self) -> bool {
        self.saved_version < self.foreign_version
    }

    /// Whether all that no landed snapshot covers is of other nodes.
    pub(super) const fn is_foreign_alone(&self) -> bool {
        self.holds_foreign() && self.unsaved_since().is_none()
    }

    /// Whether what another node has written can be taken for the stored object
    /// now, if it holds no more than is here.
    pub(super) fn may_adopt(&self) -> bool {
        let is_free = matches!(self.doing, Doing::Nothing | Doing::Waiting);
        is_free && self.must_read.is_none() && !self.only_here
    }

    /// What another node has written is the stored object from now on.
    pub(super) fn adopt(&mut self, etag: Etag) {
        self.stored = Some(etag);
        self.stored_is_empty = false;
    }

    fn foreign_changed(&mut self, now: Duration) {
        self.version += 1;
        self.foreign_version = self.version;
        self.foreign_since.get_or_insert(now);
    }

    pub(super) fn check(&self) {
        assert!(self.is_dirty() || self.unsaved_bytes() == 0);
        assert!(self.saved_version <= self.version);
        let since = self.unsaved_since.or(self.foreign_since);
        assert!(!self.is_dirty() || since.is_some() || self.is_busy());
        assert!(self.is_dirty() || self.foreign_since.is_none());
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
    pub(super) fn changed(&mut self, cx: Context<'_>, bytes: usize) {
        self.bytes += bytes;
        self.digest_changed(cx);
        self.persistence.version += 1;
        self.persistence.changed_at = Some(cx.now);
        planted::panic_at(cx.now);
        self.persistence.unsaved_bytes += match planted::is(Bug::UnsavedUndercounted) {
            true => bytes / 4,
            false => bytes,
        };
        let since = *self.persistence.unsaved_since.get_or_insert(cx.now);
        // While the store is busy, the end of that sets the timer.
        let retrying = self.persistence.retrying && !planted::is(Bug::BackoffCutShort);
        if !self.persistence.is_busy() && !retrying {
            let (debounce, wait_max) = self.save_delays(cx);
            let due = match planted::is(Bug::DebounceWithoutLimit) {
                true => cx.now + debounce,
                false if planted::is(Bug::DebounceIgnored) => cx.now,
                false => (cx.now + debounce).min(since + wait_max),
            };
            self.timers.set(Timer::Store, due);
        }
    }

    /// Notes a change that came from another node, which saves it. It is saved
    /// here if that takes too long.
    pub(super) fn changed_elsewhere(&mut self, cx: Context<'_>, bytes: usize) {
        self.bytes += bytes;
        self.digest_changed(cx);
        self.persistence.foreign_changed(cx.now);
        self.persistence.changed_at = Some(cx.now);
        planted::panic_at(cx.now);
        self.save_foreign_later(cx);
    }

    /// Plans to save what came from other nodes, unless something is saved
    /// earlier.
    fn save_foreign_later(&mut self, cx: Context<'_>) {
        let persistence = &self.persistence;
        let is_planned =
            persistence.is_busy() || persistence.retrying || self.timers.is_set(Timer::Store);
        if let Some(since) = persistence.foreign_since
            && persistence.unsaved_since.is_none()
            && !is_planned
        {
            let wait = match planted::is(Bug::ForeignNeverSaved) {
                true => Duration::from_secs(100_000),
                // It may be nowhere else.
                false if cx.journal == JournalHealth::Off => self.save_delays(cx).1,
                // The other node may wait long where documents are large.
                false => cx.config.foreign_save_wait.max(self.save_delays(cx).1 * 2),
            };
            // Several nodes wait for the same one; one of them is to be first.
            let wait = wait - self.bus.jitter.up_to(wait / 4);
            self.timers.set(Timer::Store, (since + wait).max(cx.now));
        }
    }

    /// Notes that the journal holds a record which told nothing new. It goes
    /// with the others.
    pub(super) const fn recorded_again(&mut self, bytes: usize) {
        if self.persistence.is_dirty() {
            self.persistence.unsaved_bytes += bytes;
        }
    }

    /// How long after the last change, and after the first unsaved one, to
    /// write. A large document is written whole each time; where a journal
    /// keeps what changed, that can wait, as long as there is room for it.
    fn save_delays(&self, cx: Context<'_>) -> (Duration, Duration) {
        let config = cx.config;
        let is_kept =
            cx.journal == JournalHealth::Works || planted::is(Bug::LargeOnesWaitUnjournaled);
        let is_large = self.bytes >= config.save_step_bytes.get();
        let times = match is_large && is_kept && self.has_room_again(cx) {
            true => {
                let steps = self.bytes / config.save_step_bytes;
                let times = u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1);
                times.min(Config::SAVE_TIMES_MAX)
            }
            false => 1,
        };
        (config.save_debounce * times, config.save_wait_max * times)
    }

    /// Asks for the first turn, to read.
    pub(super) fn await_load(&mut self, out: &mut Effects) {
        self.persistence.doing = Doing::Waiting;
        out.push(Effect::AwaitStore(Lane::Load));
    }

    fn await_store(&mut self, out: &mut Effects) {
        self.persistence.doing = Doing::Waiting;
        out.push(Effect::AwaitStore(Lane::Save));
    }

    /// Its turn has come: reads or writes, if there is still something to.
    pub(crate) fn store_turn(&mut self, cx: Context<'_>, out: &mut Effects) {
        debug_assert_eq!(self.persistence.doing, Doing::Waiting);
        self.persistence.doing = Doing::Nothing;
        let is_loading = matches!(self.phase, Phase::Loading { .. });
        if is_loading || self.persistence.must_read.is_some() {
            self.persistence.doing = Doing::Reading;
            let doc = self.id.clone();
            out.push(Effect::Store(StoreCommand::Load { doc }));
        } else if self.persistence.is_dirty() && !self.adopt(cx, out) {
            self.write_snapshot(cx, out);
        }
        self.leave_if_drained(out);
    }

    /// Whether another try is planned already.
    pub(super) fn is_retrying(&self) -> bool {
        self.persistence.retrying
    }

    /// Writes the snapshot at once, if there is something to write and the
    /// store is not busy with this document.
    pub(super) fn save_now(&mut self, out: &mut Effects) {
        let is_free = !self.persistence.is_busy() || planted::is(Bug::WrittenTwice);
        if self.persistence.is_dirty() && is_free {
            self.store_due(out);
        }
    }

    /// The document is full. Writing it drops what was deleted meanwhile, and
    /// those who were refused are asked then: worth it if much has come.
    pub(super) fn make_room(&mut self, cx: Context<'_>, out: &mut Effects) {
        let much = cx.config.document_bytes_max / 8;
        if self.persistence.unsaved_bytes() >= much && !self.is_retrying() {
            marks::hit(Mark::SavedToMakeRoom);
            self.save_now(out);
        }
    }

    /// The time to write, or to try again, has come.
    pub(super) fn store_due(&mut self, out: &mut Effects) {
        self.timers.stop(Timer::Store);
        self.persistence.retrying = false;
        self.await_store(out);
    }

    fn write_snapshot(&mut self, cx: Context<'_>, out: &mut Effects) {
        if self
            .state
            .compact(cx.config.gc || planted::is(Bug::GcFalseIgnored))
        {
            self.bus.forget_digest();
            self.forget_join();
        }
        let body = self.state.encode();
        self.bytes = body.len();
        let digest = cx.config.node.map(|_| self.digest());
        let persistence = &mut self.persistence;
        persistence.doing = Doing::Writing(Writing {
            began: cx.now,
            version: persistence.version,
            bytes: body.len(),
            unsaved_since: persistence.unsaved_since.take(),
            unsaved_bytes: std::mem::take(&mut persistence.unsaved_bytes),
            applied: self.staging.applied(),
            digest,
        });
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

    /// A write has ended.
    pub(super) fn saved(
        &mut self,
        cx: Context<'_>,
        saved: Result<Etag, StoreError>,
        out: &mut Effects,
    ) {
        let doing = std::mem::replace(&mut self.persistence.doing, Doing::Nothing);
        let Doing::Writing(writing) = doing else {
            unreachable!("a save is answered as one");
        };
        let doc = self.id.clone();
        match saved {
            Ok(etag) => {
                self.tell_saved(cx, &writing, &etag, out);
                self.persistence.stored = Some(etag);
                // What another node has written may have come after this.
                let foreign = |why: &mut MustRead| *why == MustRead::Foreign;
                self.persistence.must_read = self.persistence.must_read.take_if(foreign);
                self.persistence.stored_is_empty = false;
                self.persistence.saved_version = match planted::is(Bug::DirtyFlagCleared) {
                    true => self.persistence.version,
                    false => writing.version,
                };
                self.persistence.saved_at = Some(cx.now);
                self.persistence.failures = 0;
                self.persistence.only_here = false;
                if !self.is_unsaved() {
                    self.persistence.unsaved_bytes = 0;
                }
                let came_since = self.persistence.holds_foreign();
                self.persistence.foreign_since = came_since.then_some(cx.now);
                self.tell_in_store(cx, out);
                let bytes = writing.bytes;
                out.push(Effect::Event(Event::SnapshotSaved { doc, bytes }));
                self.save_later(cx, out);
                if self.persistence.must_read.is_some() && !self.persistence.is_busy() {
                    self.store_due(out);
                }
                let applied = match planted::is(Bug::TrimmedAtLanding) {
                    true => self.staging.applied(),
                    false => writing.applied,
                };
                self.cover(cx, applied, out);
                self.ask_refused_soon(cx);
            }
            Err(StoreError::Unknown(_)) if planted::is(Bug::UnknownTakenForSuccess) => {
                self.is_stored(cx, out);
            }
            Err(error) => {
                let since = match planted::is(Bug::UnsavedAgeRestarts) {
                    true => self.persistence.unsaved_since.or(writing.unsaved_since),
                    false => writing.unsaved_since.or(self.persistence.unsaved_since),
                };
                self.persistence.unsaved_since = since;
                self.persistence.unsaved_bytes += writing.unsaved_bytes;
                match error {
                    StoreError::Conflict => {
                        self.persistence.must_read = Some(MustRead::Conflict);
                    }
                    StoreError::Unknown(_) => {
                        self.persistence.must_read = Some(MustRead::UnknownOutcome);
                    }
                    StoreError::Unavailable(_) | StoreError::Denied(_) => {}
                }
                let is_conflict = error == StoreError::Conflict;
                let at_once = is_conflict && !planted::is(Bug::ConflictBacksOff);
                out.push(Effect::Event(Event::SnapshotFailed { doc, error }));
                if at_once {
                    self.await_store(out);
                } else {
                    self.retry_later(cx);
                }
            }
        }
    }

    /// Tells other nodes that a snapshot has landed.
    fn tell_saved(&mut self, cx: Context<'_>, writing: &Writing, etag: &Etag, out: &mut Effects) {
        self.bus.has_stored(writing.began);
        if let Some(digest) = writing.digest {
            let etag = &*etag.0;
            self.publish(cx, Body::Saved { digest, etag }, out);
        }
    }

    /// All that is here is in the store, as that has told.
    fn is_stored(&mut self, cx: Context<'_>, out: &mut Effects) {
        self.persistence.failures = 0;
        self.all_is_stored(cx, out);
        self.ask_refused_soon(cx);
    }

    /// All that is here is in the store.
    pub(super) fn all_is_stored(&mut self, cx: Context<'_>, out: &mut Effects) {
        let persistence = &mut self.persistence;
        persistence.saved_version = persistence.version;
        persistence.unsaved_since = None;
        persistence.foreign_since = None;
        persistence.unsaved_bytes = 0;
        persistence.must_read = None;
        persistence.only_here = false;
        if !persistence.retrying {
            // What was planned is done; the next change plans anew.
            self.timers.stop(Timer::Store);
        }
        self.cover(cx, self.staging.applied(), out);
        self.tell_in_store(cx, out);
    }

    /// Plans the next write, after one has succeeded.
    fn save_later(&mut self, cx: Context<'_>, out: &mut Effects) {
        let Some(since) = self.persistence.unsaved_since else {
            if self.phase == Phase::Draining {
                self.save_now(out);
            }
            self.save_foreign_later(cx);
            return;
        };
        marks::hit(Mark::CoalescedSave);
        if self.phase == Phase::Draining {
            self.save_now(out);
        } else {
            let due = (since + self.save_delays(cx).0).max(cx.now);
            self.timers.set(Timer::Store, due);
        }
    }

    fn retry_later(&mut self, cx: Context<'_>) {
        let delay = self.persistence.retry_delay(cx);
        marks::hit_if(Mark::SaveRetried, || self.persistence.failures > 2);
        if planted::is(Bug::TimerLostAfterBackoff) && self.persistence.failures > 3 {
            return;
        }
        self.retry_in(cx, delay);
    }

    fn retry_in(&mut self, cx: Context<'_>, delay: Duration) {
        self.persistence.retrying = true;
        self.timers.set(Timer::Store, cx.now + delay);
    }
}
