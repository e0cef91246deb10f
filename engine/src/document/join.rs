//! Answers to those who ask for what they do not know. After a restart many
//! ask at once, and those who know nothing all get the same.

use std::sync::Arc;

use bytes::Bytes;

use super::{Context, Document};
use crate::{
    marks::{self, Mark},
    planted::{self, Bug},
    protocol,
    state_vector::StateVector,
    timer::Timer,
};

impl Document {
    /// What was kept for those who join is not all there is any more.
    pub(super) fn forget_join(&mut self) {
        if !planted::is(Bug::StaleJoin) {
            self.forget_kept();
        }
    }

    /// Gives back what was kept for those who come, or were left out together.
    pub(super) fn forget_kept(&mut self) {
        (self.whole, self.missed) = (None, None);
    }

    /// An update frame with what those missed who know this much. Those who were
    /// left out together know the same, and share it.
    pub(super) fn missed(&mut self, cx: Context<'_>, known: &Arc<StateVector>) -> Bytes {
        if let Some((kept_for, frame)) = &self.missed
            && Arc::ptr_eq(kept_for, known)
        {
            marks::hit(Mark::MissedShared);
            return frame.clone();
        }
        let frame = protocol::update(&self.state.diff(known));
        if frame.len() >= cx.config.join_kept_bytes_min {
            self.missed = Some((Arc::clone(known), frame.clone()));
            self.timers.set(Timer::Join, cx.now + cx.config.join_kept);
        }
        frame
    }

    /// The answer to a `SyncStep1`. To one who knows nothing it is made once
    /// for all that come together: their copies share its memory.
    pub(super) fn sync_step_2(&mut self, cx: Context<'_>, known: &StateVector) -> Bytes {
        if !known.is_empty() {
            return protocol::sync_step_2(&self.state.diff(known));
        }
        marks::hit_if(Mark::JoinShared, || self.whole.is_some());
        let whole = self.whole.take();
        let whole = whole.unwrap_or_else(|| protocol::sync_step_2(&self.state.encode()));
        if whole.len() >= cx.config.join_kept_bytes_min {
            self.whole = Some(whole.clone());
            self.timers.set(Timer::Join, cx.now + cx.config.join_kept);
        }
        whole
    }
}
