//! How deep the types of a document stand in each other.
//!
//! Yjs deletes a type by a call within a call for each type in it. Some
//! thousands that stand in each other overflow its stack, in everybody who
//! loads the document, for ever. Where a type stands can be found out only by
//! looking at the whole document. So that is done seldom, and in between each
//! type that comes is taken to stand in the one before.

use std::time::Duration;

use super::{Context, Document};
use crate::{
    config::Config,
    effect::{Effect, Effects},
    marks::{self, Mark},
    rejection::Rejection,
    update::Update,
};

/// Once a document has grown by this part of its size, it may be looked at.
const GROWTH: usize = 16;

/// Or after a while: a document is looked at for so many bytes a second at
/// most. One of 100 KiB may be looked at 30 times a second.
const BYTES_PER_SECOND: u32 = 3 << 20;

/// How deep types stand in each other at most.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    /// `None` as long as nobody has looked.
    seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Duration,
    depth: usize,
    /// Types that came since.
    types: usize,
    /// Bytes that came since.
    grown: usize,
}

impl Nesting {
    /// Somebody has looked: so deep, those types included that are on their
    /// way.
    pub(super) const fn is(&mut self, now: Duration, depth: usize) {
        self.seen = Some(Seen {
            at: now,
            depth,
            types: 0,
            grown: 0,
        });
    }

    /// Types came that were not asked about, in so many bytes.
    pub(super) const fn came(&mut self, types: usize, bytes: usize) {
        if let Some(seen) = &mut self.seen {
            seen.types += types;
            seen.grown += bytes;
        }
    }

    /// Nothing is known any more.
    pub(super) const fn forget(&mut self) {
        self.seen = None;
    }

    /// Counts an update. Whether it leaves things within the limit for sure.
    fn takes(&mut self, types: usize, bytes: usize, config: &Config) -> bool {
        let Some(seen) = &mut self.seen else {
            return types == 0;
        };
        let is_within = seen.depth + seen.types + types <= config.type_depth_max;
        if types > 0 && !is_within {
            return false;
        }
        seen.types += types;
        seen.grown += bytes;
        true
    }

    /// Whether it is time to look again. The first look has to be: it takes no
    /// longer than it took to load what there is.
    fn is_due(&self, cx: Context<'_>, size: usize) -> bool {
        let pause = Duration::from_secs(size as u64) / BYTES_PER_SECOND;
        let is_old = |seen: Seen| seen.grown >= size / GROWTH || cx.now >= seen.at + pause;
        self.seen
            .is_none_or(|seen| cx.may_look_at <= cx.now && is_old(seen))
    }
}

impl Document {
    /// Whether an update leaves types within the depth that Yjs bears, or why
    /// it is not taken. It may be taken later, when there was time to look.
    pub(super) fn nesting_allowed(
        &mut self,
        cx: Context<'_>,
        update: &Update<'_>,
        bytes: usize,
        out: &mut Effects,
    ) -> Result<(), Rejection> {
        let types = self.state.new_types(update);
        if self.nesting.takes(types, bytes, cx.config) {
            return Ok(());
        }
        if !self.nesting.is_due(cx, self.size()) {
            return Err(Rejection::TooDeep);
        }
        marks::hit(Mark::NestingLookedAt);
        out.push(Effect::LookedAt(self.size() + bytes));
        let mut with = self.state.clone();
        with.apply_decoded(update);
        let depth = with.nesting() + self.staging.ahead().types();
        if depth <= cx.config.type_depth_max {
            self.nesting.is(cx.now, depth);
            return Ok(());
        }
        let without = self.state.nesting() + self.staging.ahead().types();
        self.nesting.is(cx.now, without);
        Err(Rejection::TooDeep)
    }
}
