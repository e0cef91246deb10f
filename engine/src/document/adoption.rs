//! Snapshots that other nodes write.
//!
//! Who has written one says so, with a digest of what it holds. If that is what
//! is here, nothing has to be written or read here. If it was here at some time,
//! what is here now holds all of it, and can replace it. In all other cases
//! nobody knows, and nothing is taken for saved: the next write meets a conflict,
//! which is merged.

use std::time::Duration;

use super::{Context, Document, Phase, bus::Saved};
use crate::{
    bus::StateDigest,
    effect::{Effect, Effects},
    event::Event,
    marks::{self, Mark},
    planted::{self, Bug},
    store::Etag,
};

impl Document {
    /// Another node says that it has written the snapshot.
    pub(super) fn heard_saved(
        &mut self,
        cx: Context<'_>,
        from: u64,
        etag: &str,
        digest: StateDigest,
        out: &mut Effects,
    ) {
        let etag = Etag(etag.into());
        if self.persistence.stored() == Some(&etag) {
            return;
        }
        let heard_at = self.bus.saved.take();
        self.bus.saved = Some(Saved {
            etag,
            digest,
            heard_at: heard_at.map_or(cx.now, |before| before.heard_at),
            heard_last: cx.now,
        });
        let is_held = self.bus.held(&digest);
        if !self.adopt(cx, out) && !is_held {
            // To write may have told more deletes there.
            self.compare(cx, from, digest);
        }
    }

    /// Takes what another node has written for the stored object, if that is
    /// sure to hold no more than is here. True if it holds all that is here.
    pub(super) fn adopt(&mut self, cx: Context<'_>, out: &mut Effects) -> bool {
        if self.bus.saved.is_none() || !self.persistence.may_adopt() {
            return false;
        }
        let ours = self.digest();
        let Some(saved) = &self.bus.saved else {
            return false;
        };
        let is_whole = saved.digest == ours || planted::is(Bug::SavedAdoptedUnchecked);
        if is_whole && !self.is_unsaved() {
            // It says nothing new, or it is an old one.
            self.bus.saved = None;
            return true;
        }
        if !is_whole && !self.bus.held(&saved.digest) {
            return false;
        }
        let etag = saved.etag.clone();
        self.persistence.adopt(etag.clone());
        self.bus.knows_stored();
        out.push(Effect::Event(Event::SnapshotAdopted {
            doc: self.id.clone(),
            etag,
            is_whole,
        }));
        if is_whole {
            marks::hit(Mark::SavedAdopted);
            // That says nothing of how the store does towards this node.
            self.all_is_stored(cx, out);
            self.ask_refused_at(cx.now + Duration::from_millis(1));
        } else {
            marks::hit(Mark::SavedAdoptedInPart);
        }
        is_whole
    }

    /// Somebody has stored something that may not be here: has a look if nothing
    /// else has told for long.
    pub(super) fn look_into_saved(&mut self, cx: Context<'_>, out: &mut Effects) {
        let wait = cx.config.foreign_save_wait;
        let is_old = |saved: &Saved| saved.heard_at + wait <= cx.now;
        if self.bus.saved.as_ref().is_some_and(is_old)
            && !self.adopt(cx, out)
            && self.phase == Phase::Live
        {
            self.look_into_store(out);
        }
    }
}
