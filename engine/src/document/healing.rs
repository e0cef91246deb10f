//! What is lost on the bus: noticed by digests, and healed by the difference.
//!
//! ```text
//! A: Digest ──────► B: it is not what B has
//! A ◄────── State   B, to A
//! A: Diff ────────► B, and all others
//! ```
//!
//! A node tells its digest when it joins, every few seconds while the document
//! changes, and ever more seldom when it does not; and not at all when somebody
//! else has just told the same (as in Trickle, RFC 6206). So five nodes tell
//! hardly more than one. Who finds that it has something else asks after a short
//! while, unless it has come to have the same, or somebody else has asked who has
//! what it has. One node answers, whose digest it was, and all hear it.
//!
//! Who has got the difference and still has something else has more: it tells its
//! own digest, and is asked in turn.

use std::{collections::BTreeMap, time::Duration};

use super::{Context, Document, Phase};
use crate::{
    bus::{Body, BusRefusal, StateDigest},
    effect::{Effect, Effects},
    event::Event,
    marks::{self, Mark},
    planted::{self, Bug},
    state_vector::StateVector,
    timer::Timer,
};

/// An update without structs and deletes.
const NOTHING: [u8; 2] = [0, 0];

/// Nodes of which it is remembered when they were answered.
const ANSWERED_MAX: usize = 256;

/// What a document knows of how others stand.
#[derive(Debug, Default)]
pub(super) struct Healing {
    /// The longest pause until the digest is told next.
    interval: Duration,
    /// Whether the document has changed since it was told.
    has_changed: bool,
    /// Whether somebody has told the same since.
    was_told: bool,
    /// Whose digest was another one, and is to be asked.
    differs: Option<(u64, StateDigest)>,
    /// When another node was last asked, and what was here and there then.
    asked: Option<(Duration, StateDigest, StateDigest)>,
    /// How often in a row that was the same, so that asking was of no use.
    in_vain: u32,
    /// When each node was last answered.
    answered: BTreeMap<u64, Duration>,
    /// What others were told of that is too large for the bus: the store is to
    /// have it.
    pub(super) owes_store: bool,
}

impl Healing {
    /// What somebody else has is not asked for any more. True if it was to be.
    pub(super) const fn forget_difference(&mut self) -> bool {
        self.differs.take().is_some()
    }
}

impl Document {
    /// Tells its digest from now on.
    pub(super) fn begin_telling(&mut self, cx: Context<'_>) {
        let healing = &mut self.bus.healing;
        (healing.has_changed, healing.was_told) = (true, false);
        healing.interval = cx.config.bus_digest_interval;
        self.tell_within(cx, cx.config.bus_digest_interval);
    }

    /// Tells its digest no more.
    pub(super) fn stop_telling(&mut self) {
        self.timers.stop(Timer::Digest);
        self.timers.stop(Timer::Exchange);
        self.bus.healing.differs = None;
    }

    /// The document has changed: its digest is told in a few seconds.
    pub(super) fn digest_changed(&mut self, cx: Context<'_>) {
        self.bus.forget_digest();
        let healing = &mut self.bus.healing;
        healing.was_told = false;
        if !self.bus.is_subscribed || std::mem::replace(&mut healing.has_changed, true) {
            return;
        }
        healing.interval = cx.config.bus_digest_interval;
        self.tell_within(cx, cx.config.bus_digest_interval);
    }

    /// Something is missing here or elsewhere, for sure: the digest is told soon.
    pub(super) fn tell_soon(&mut self, cx: Context<'_>) {
        if self.bus.is_subscribed {
            self.bus.healing.was_told = false;
            self.tell_within(cx, cx.config.bus_exchange_pause);
        }
    }

    fn tell_within(&mut self, cx: Context<'_>, longest: Duration) {
        if planted::is(Bug::DigestToldOnce) && self.timers.is_set(Timer::Digest) {
            return;
        }
        let due = cx.now + self.bus.jitter.up_to(longest);
        self.timers.set_earlier(Timer::Digest, due);
    }

    /// The time to tell its digest has come, unless somebody has told the same.
    pub(super) fn tell_digest(&mut self, cx: Context<'_>, out: &mut Effects) {
        if !self.bus.is_subscribed {
            return;
        }
        let healing = &mut self.bus.healing;
        let was_told = std::mem::take(&mut healing.was_told);
        healing.interval = match std::mem::take(&mut healing.has_changed) {
            true => cx.config.bus_digest_interval,
            false => (healing.interval * 2).min(cx.config.bus_digest_idle),
        };
        let interval = healing.interval;
        if was_told {
            marks::hit(Mark::DigestSpared);
        } else if !planted::is(Bug::DigestToldOnce) {
            let digest = self.digest();
            self.publish(cx, Body::Digest(digest), out);
        }
        self.timers
            .set(Timer::Digest, cx.now + self.bus.jitter.up_to(interval));
        self.look_into_saved(cx, out);
        self.leave_if_drained(out);
    }

    /// Compares with what another node has.
    pub(super) fn compare(&mut self, cx: Context<'_>, from: u64, theirs: StateDigest) {
        if self.digest() == theirs {
            let healing = &mut self.bus.healing;
            (healing.was_told, healing.differs, healing.in_vain) = (true, None, 0);
            return;
        }
        self.bus.healing.differs = Some((from, theirs));
        self.ask_soon(cx);
    }

    /// Asks in a moment; the later, the more often it has asked for just that, to no
    /// use.
    fn ask_soon(&mut self, cx: Context<'_>) {
        if self.phase == Phase::Draining {
            self.ask_no_more();
            return;
        }
        let digest = self.digest();
        let healing = &self.bus.healing;
        let pause = cx.config.bus_exchange_pause;
        let longer = (pause * (1 << healing.in_vain.min(10))).min(cx.config.bus_digest_idle);
        let not_before = healing.asked.map(|(asked, here, there)| {
            let is_again = here == digest && healing.differs.is_some_and(|(_, now)| now == there);
            asked + if is_again { longer.max(pause) } else { pause }
        });
        let soon = cx.now + self.bus.jitter.up_to(pause / 4);
        let due = not_before.map_or(soon, |not_before| not_before.max(soon));
        self.timers.set_earlier(Timer::Exchange, due);
    }

    /// Asks a node whose digest was another one, if it still is.
    pub(super) fn ask_difference(&mut self, cx: Context<'_>, out: &mut Effects) {
        let Some((to, theirs)) = self.bus.healing.differs.take() else {
            return;
        };
        let digest = self.digest();
        if digest == theirs {
            marks::hit(Mark::DifferenceGone);
            return;
        }
        marks::hit(Mark::DifferenceAsked);
        let healing = &mut self.bus.healing;
        let asked_before = healing.asked.replace((cx.now, digest, theirs));
        healing.in_vain = match asked_before {
            Some((_, here, there)) if (here, there) == (digest, theirs) => healing.in_vain + 1,
            _ => 0,
        };
        let state_vector = self.state.state_vector().encode();
        let body = Body::State {
            to,
            digest,
            state_vector: &state_vector,
        };
        self.publish(cx, body, out);
    }

    /// A node says what it has, and asks another one for the rest.
    pub(super) fn take_state(
        &mut self,
        cx: Context<'_>,
        from: u64,
        to: u64,
        theirs: StateDigest,
        state_vector: &[u8],
        out: &mut Effects,
    ) -> Result<(), BusRefusal> {
        let ours = self.digest();
        if ours == theirs {
            // Who has the same has asked already.
            marks::hit_if(Mark::AskingSpared, || self.bus.healing.differs.is_some());
            self.bus.healing.differs = None;
            return Ok(());
        }
        if cx.bus.is_none_or(|own| own.id != to) || !self.may_answer(cx, from) {
            return Ok(());
        }
        let most = cx.config.state_vector_entries_max.max(self.state.clients());
        let count = StateVector::count(state_vector).map_err(BusRefusal::StateVector)?;
        if count > most {
            return Err(BusRefusal::TooBig);
        }
        let known = StateVector::decode(state_vector).map_err(BusRefusal::StateVector)?;
        let is_told = self.publish_diff(cx, &known, ours, theirs, out);
        let here = self.state.state_vector();
        let lacks = |(client, clock)| here.clock(client) < clock;
        // Who is told nothing cannot find out that something is lacking here.
        if !is_told || known.iter().any(lacks) {
            marks::hit(Mark::BothLack);
            self.bus.healing.differs = Some((from, theirs));
            self.ask_soon(cx);
        }
        Ok(())
    }

    /// Publishes what a node lacks. False if that is nothing.
    fn publish_diff(
        &mut self,
        cx: Context<'_>,
        known: &StateVector,
        ours: StateDigest,
        theirs: StateDigest,
        out: &mut Effects,
    ) -> bool {
        let diff = self.state.diff_for(known, ours.deletes != theirs.deletes);
        if diff[..] == NOTHING {
            return false;
        }
        if self.publish(cx, Body::Diff(&diff), out) {
            marks::hit(Mark::DifferenceTold);
        } else {
            marks::hit(Mark::BusTooLarge);
            self.bus.healing.owes_store = true;
            if !self.is_retrying() {
                self.save_now(out);
            }
            self.tell_in_store(cx, out);
        }
        true
    }

    /// What is too large for the bus is in the store: tells so, if somebody is to
    /// be told.
    pub(super) fn tell_in_store(&mut self, cx: Context<'_>, out: &mut Effects) {
        if self.bus.healing.owes_store
            && !self.is_unsaved()
            && let Some(etag) = self.persistence.stored()
        {
            let etag = &*etag.0;
            self.publish(cx, Body::InStore { etag }, out);
            self.bus.healing.owes_store = false;
        }
    }

    /// Takes what was missing here or in some other node. Where something is
    /// still not as it is there, it is there that something is missing.
    pub(super) fn take_diff(
        &mut self,
        cx: Context<'_>,
        update: &[u8],
        out: &mut Effects,
    ) -> Result<(), BusRefusal> {
        if self.take_foreign(cx, update, out)? {
            marks::hit(Mark::BusHealed);
            let doc = self.id.clone();
            out.push(Effect::Event(Event::BusHealed { doc }));
            // It may be what somebody has stored.
            self.adopt(cx, out);
        }
        self.tell_soon(cx);
        Ok(())
    }

    /// Whether a node has not been answered a moment ago.
    fn may_answer(&mut self, cx: Context<'_>, node: u64) -> bool {
        let pause = cx.config.bus_exchange_pause / 2;
        let answered = &mut self.bus.healing.answered;
        let is_early = answered.get(&node).is_some_and(|at| cx.now < *at + pause);
        if answered.len() >= ANSWERED_MAX {
            answered.retain(|_, at| cx.now < *at + pause);
        }
        let is_let = !is_early && (answered.len() < ANSWERED_MAX || answered.contains_key(&node));
        if is_let {
            answered.insert(node, cx.now);
        }
        is_let
    }
}
