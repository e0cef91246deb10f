//! Reading the stored object again, and merging it with what is here.
//!
//! That is done after a conflict, after a write that may or may not have taken
//! place, and where another node has written what may not be here.

use super::{
    super::{DocumentState, NewPart},
    Context, Document, Doing, MustRead,
};
use crate::{
    effect::{Effect, Effects},
    event::Event,
    marks::{self, Mark},
    planted::{self, Bug},
    protocol,
    store::{Snapshot, StoreError},
    update::DecodeError,
};

impl Document {
    /// Another node has written what may not be here: has it read.
    pub(in crate::document) fn look_into_store(&mut self, out: &mut Effects) {
        let persistence = &mut self.persistence;
        persistence.must_read.get_or_insert(MustRead::Foreign);
        if !persistence.is_busy() && !persistence.retrying {
            marks::hit(Mark::StoreLookedInto);
            self.store_due(out);
        }
    }

    /// A read that followed a write has ended.
    pub(in crate::document) fn read_again(
        &mut self,
        cx: Context<'_>,
        loaded: Result<Option<Snapshot>, StoreError>,
        out: &mut Effects,
    ) {
        self.persistence.doing = Doing::Nothing;
        let doc = self.id.clone();
        match loaded {
            // There was no object, and there is nothing to put into one.
            Ok(None) if self.persistence.stored.is_none() && !self.is_unsaved() => {
                self.persistence.must_read = None;
                self.persistence.failures = 0;
            }
            Ok(None) => {
                self.mark_read_again(false);
                marks::hit_if(Mark::ObjectVanished, || self.persistence.stored.is_some());
                if planted::is(Bug::StoredForgottenFirst) {
                    self.persistence.stored = None;
                }
                self.lost_stored();
                if !planted::is(Bug::VanishedEtagKept) {
                    self.persistence.stored = None;
                }
                self.write_merged(cx);
            }
            Ok(Some(snapshot)) if planted::is(Bug::ConflictOverwritten) => {
                self.persistence.stored = Some(snapshot.etag);
                self.write_merged(cx);
            }
            Ok(Some(snapshot)) => match self.merge_stored(cx, &snapshot, out) {
                Ok(contained) => {
                    self.mark_read_again(contained);
                    if !planted::is(Bug::StaleEtagKept) {
                        self.persistence.stored = Some(snapshot.etag);
                        self.persistence.stored_is_empty = false;
                    }
                    if contained {
                        self.is_stored(cx, out);
                    } else {
                        self.write_merged(cx);
                    }
                }
                Err(reason) => {
                    marks::hit(Mark::StoredDamaged);
                    self.lost_stored();
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

    /// Marks what became of a write, now that the object was read again.
    /// `contained`: all that is here is there.
    fn mark_read_again(&self, contained: bool) {
        match (self.persistence.must_read, contained) {
            (Some(MustRead::Conflict), true) => marks::hit(Mark::OwnWrite412),
            (Some(MustRead::Conflict), false) => marks::hit(Mark::ForeignConflictMerged),
            (Some(MustRead::UnknownOutcome), true) => marks::hit(Mark::UnknownOutcomeLanded),
            (Some(MustRead::UnknownOutcome), false) => marks::hit(Mark::UnknownOutcomeLost),
            (Some(MustRead::Foreign) | None, _) => {}
        }
    }

    /// The stored object is gone or damaged. If there never was one, the
    /// journal was told to forget nothing; what it was not told to forget yet
    /// it has to keep.
    const fn lost_stored(&mut self) {
        let persistence = &mut self.persistence;
        persistence.only_here |= persistence.stored.is_some() && !persistence.stored_is_empty;
        self.staging.uncover();
    }

    /// Takes in what the store holds, and tells it to the clients. True if all
    /// that was here is there.
    fn merge_stored(
        &mut self,
        cx: Context<'_>,
        snapshot: &Snapshot,
        out: &mut Effects,
    ) -> Result<bool, DecodeError> {
        let mut stored = DocumentState::load(&snapshot.body)?;
        let covers = stored.covers(&self.state) || planted::is(Bug::AdoptedUnchecked);
        let contained = covers && !planted::is(Bug::OwnWriteTakenAsForeign);
        let ours = self.state.encode();
        self.leave_out_lagging(cx);
        self.forget_join();
        let foreign = self.state.apply(&snapshot.body)?;
        // Where both hold the same id, what is stored stays: others have read
        // it there.
        stored
            .apply(&ours)
            .expect("our own state is a valid update");
        self.state = stored;
        self.digest_changed(cx);
        self.bus.knows_stored();
        self.nesting.forget();
        // What both hold does not count twice.
        self.bytes = ours.len()
            + match &foreign.new_part {
                NewPart::Nothing => 0,
                NewPart::All => snapshot.body.len(),
                NewPart::Some(part) => part.len(),
            };
        if foreign.new_part != NewPart::Nothing {
            let doc = self.id.clone();
            out.push(Effect::Event(Event::SnapshotMerged { doc }));
            marks::hit_if(Mark::SavedByMerge, || contained);
        }
        let as_it_came = || protocol::update(&snapshot.body);
        if !planted::is(Bug::ForeignStateNotTold) {
            self.relay(cx, None, &foreign, as_it_came, out);
        }
        Ok(contained)
    }

    /// Another writer was there: writes what is merged now, soon but not in
    /// step with the other.
    fn write_merged(&mut self, cx: Context<'_>) {
        self.persistence.must_read = None;
        if !self.persistence.is_dirty() {
            // It was taken to be there.
            self.persistence.foreign_changed(cx.now);
        }
        let pause = self.persistence.jitter.up_to(cx.config.conflict_delay_max);
        self.retry_in(cx, pause);
    }
}
