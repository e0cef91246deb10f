//! Answers to those who ask for what they do not know. After a restart many
//! ask at once, and those who know nothing all get the same.

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
            self.whole = None;
        }
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
