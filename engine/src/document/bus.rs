//! A document on the bus between nodes: what it publishes, and what it makes of
//! what others do.
//!
//! What clients say here is published when it is part of the document, and so
//! durable where there is a journal. What comes from others is applied at once,
//! told to the clients here, and never published again. It is durable where it
//! was taken, and saved from there; here it waits longer (`persistence.rs`).

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

use super::{Context, Document, NewPart, Phase, healing::Healing};
use crate::{
    auth::UserId,
    awareness::{By, Claim, News},
    bus::{Body, BusCommand, BusRefusal, Envelope, Node, Presence, StateDigest},
    effect::{Effect, Effects},
    event::Event,
    id::ConnId,
    marks::{self, Mark},
    planted::{self, Bug},
    protocol::{self, Message, Messages},
    random::Jitter,
    store::Etag,
    timer::Timer,
    update::Update,
};

/// Nodes whose lives are remembered. Of more, those are that spoke last.
const NODES_MAX: usize = 256;

/// Digests of states that are remembered.
const RECENT_MAX: usize = 8;

/// A document as the bus knows it.
#[derive(Debug)]
pub(super) struct OnBus {
    /// Whether what others publish comes here.
    pub(super) is_subscribed: bool,
    /// The highest life that was heard of each other node, and when it spoke last.
    lives: BTreeMap<u64, (u64, Duration)>,
    /// Whether others have told something that was not taken, as the document was
    /// about to leave memory.
    has_missed: bool,
    /// What the document holds now, if somebody has looked.
    digest: Option<StateDigest>,
    /// What it held at some times since it last knew what is stored.
    recent: VecDeque<StateDigest>,
    /// What somebody else has stored, and is not known to be here.
    pub(super) saved: Option<Saved>,
    pub(super) healing: Healing,
    pub(super) jitter: Jitter,
}

/// What another node says to have stored.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) etag: Etag,
    pub(super) digest: StateDigest,
    pub(super) heard_at: Duration,
    /// When something of the kind was heard last.
    pub(super) heard_last: Duration,
}

/// What a message comes from, as far as its sender's lives are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// A node in the life that was heard of last, or in a later one.
    Current,
    /// A node that has started again since.
    Stale,
}

impl OnBus {
    /// Draws from a stream of its own: what others draw stays the same.
    pub(super) fn new(jitter: &Jitter) -> Self {
        Self {
            is_subscribed: false,
            lives: BTreeMap::new(),
            has_missed: false,
            digest: None,
            recent: VecDeque::new(),
            saved: None,
            healing: Healing::default(),
            jitter: jitter.clone().fork(),
        }
    }

    /// The document changes.
    pub(super) const fn forget_digest(&mut self) {
        self.digest = None;
    }

    /// What is stored is known: what the document held before tells nothing new
    /// of that.
    pub(super) fn knows_stored(&mut self) {
        self.recent.clear();
        self.saved = None;
    }

    /// The same once a write that began then has landed: what was heard since may
    /// tell of a later one.
    pub(super) fn has_stored(&mut self, began: Duration) {
        self.recent.clear();
        self.saved.take_if(|saved| saved.heard_last < began);
    }

    /// Whether the document held this at some time.
    pub(super) fn held(&self, digest: &StateDigest) -> bool {
        self.recent.contains(digest)
    }
}

impl Document {
    /// What it holds, in short. Made once until it changes.
    pub(super) fn digest(&mut self) -> StateDigest {
        if let Some(digest) = self.bus.digest {
            return digest;
        }
        let digest = self.state.digest();
        self.bus.digest = Some(digest);
        if self.bus.recent.len() == RECENT_MAX {
            self.bus.recent.pop_front();
        }
        self.bus.recent.push_back(digest);
        digest
    }

    /// What others publish comes from now on: tells them what is here, and who.
    pub(crate) fn subscribed(&mut self, cx: Context<'_>, out: &mut Effects) {
        if matches!(self.phase, Phase::Live | Phase::Draining) {
            self.bus.is_subscribed = true;
            let digest = self.digest();
            self.publish(cx, Body::Joined(digest), out);
            self.publish_present(cx, out);
            self.begin_telling(cx);
        }
    }

    /// The document is about to leave memory: what others have and it lacks is not
    /// asked for.
    pub(super) fn ask_no_more(&mut self) {
        self.timers.stop(Timer::Exchange);
        self.bus.has_missed |= self.bus.healing.forget_difference();
    }

    /// The document was about to leave memory, and is opened again: tells others
    /// what is here if that may be less than what they have, so that they ask.
    pub(super) fn catch_up_with_bus(&mut self, cx: Context<'_>, out: &mut Effects) {
        self.watch_awareness(cx);
        if std::mem::take(&mut self.bus.has_missed) && self.bus.is_subscribed {
            marks::hit(Mark::BusCaughtUp);
            if !planted::is(Bug::MissedNotAskedFor) {
                let digest = self.digest();
                self.publish(cx, Body::Digest(digest), out);
            }
            self.begin_telling(cx);
        }
    }

    /// The bus is down: nothing comes any more.
    pub(crate) fn bus_lost(&mut self, _: Context<'_>, _: &mut Effects) {
        self.bus.is_subscribed = false;
        self.stop_telling();
    }

    /// Somebody has published something.
    pub(crate) fn bus_received(&mut self, cx: Context<'_>, message: &Bytes, out: &mut Effects) {
        if !matches!(self.phase, Phase::Live | Phase::Draining) {
            return;
        }
        if let Err(reason) = self.take_message(cx, message, out) {
            marks::hit(Mark::BusRefused);
            let doc = self.id.clone();
            out.push(Effect::Event(Event::BusMessageRefused { doc, reason }));
        }
        self.leave_if_drained(out);
    }

    fn take_message(
        &mut self,
        cx: Context<'_>,
        message: &Bytes,
        out: &mut Effects,
    ) -> Result<(), BusRefusal> {
        if message.len() > cx.config.bus_message_bytes_max {
            return Err(BusRefusal::TooBig);
        }
        let Envelope { from, body } = Envelope::decode(message)?;
        if cx.bus.is_none_or(|own| own == from) {
            marks::hit(Mark::BusOwnEcho);
            return Ok(());
        }
        let sender = self.sender(cx, from, out);
        match body {
            // It would be saved again and again here while it is changed there, and
            // not leave memory.
            Body::Update(_) | Body::Diff(_) | Body::InStore { .. }
                if self.phase == Phase::Draining && !planted::is(Bug::DrainingTakes) =>
            {
                marks::hit(Mark::BusMissed);
                self.bus.has_missed = true;
                Ok(())
            }
            // What a node took in an earlier life is as good as ever.
            Body::Update(update) => self.take_foreign(cx, update, out).map(drop),
            Body::Diff(update) => self.take_diff(cx, update, out),
            _ if sender == Sender::Stale && !planted::is(Bug::BusStaleTaken) => {
                marks::hit(Mark::BusStale);
                Ok(())
            }
            Body::Awareness(states) => self.take_foreign_awareness(cx, from, states, out),
            Body::Joined(digest) => {
                self.publish_present(cx, out);
                self.compare(cx, from.id, digest);
                Ok(())
            }
            Body::Digest(digest) => {
                self.compare(cx, from.id, digest);
                Ok(())
            }
            Body::State {
                to,
                digest,
                state_vector,
            } => self.take_state(cx, from.id, to, digest, state_vector, out),
            Body::Saved { digest, etag } => {
                self.heard_saved(cx, from.id, etag, digest, out);
                Ok(())
            }
            Body::InStore { etag } => {
                // Who has taken it over has all of it.
                if self
                    .persistence
                    .stored()
                    .is_none_or(|stored| &*stored.0 != etag)
                {
                    self.look_into_store(out);
                }
                Ok(())
            }
        }
    }

    /// Whether a node's life is over. Whom it spoke for in the one before is not gone
    /// with that: clients come back, and those that do not fall silent.
    fn sender(&mut self, cx: Context<'_>, from: Node, out: &mut Effects) -> Sender {
        if let Some(own) = cx.bus.filter(|own| own.id == from.id) {
            if from.incarnation < own.incarnation {
                return Sender::Stale;
            }
            out.push(Effect::Event(Event::BusNameTaken));
        }
        let lives = &mut self.bus.lives;
        let known = lives.get(&from.id).map(|(life, _)| *life);
        if known.is_some_and(|life| from.incarnation < life) {
            return Sender::Stale;
        }
        marks::hit_if(Mark::BusNextLife, || {
            known.is_some_and(|life| life < from.incarnation)
        });
        if known.is_none()
            && lives.len() >= NODES_MAX
            && let Some(silent) = lives.iter().min_by_key(|(_, (_, at))| *at)
        {
            let silent = *silent.0;
            lives.remove(&silent);
        }
        lives.insert(from.id, (from.incarnation, cx.now));
        Sender::Current
    }

    /// Applies an update that another node has taken. No limit holds for it: to
    /// refuse it here would only keep the nodes apart. True if it told something
    /// new.
    pub(super) fn take_foreign(
        &mut self,
        cx: Context<'_>,
        bytes: &[u8],
        out: &mut Effects,
    ) -> Result<bool, BusRefusal> {
        let update = Update::decode(bytes).map_err(BusRefusal::Update)?;
        self.leave_out_lagging(cx);
        let gaps_before = self.state.pending().gap_runs;
        self.state.structs.from_elsewhere = true;
        let applied = self.state.apply_decoded(&update);
        self.state.structs.from_elsewhere = false;
        if applied.new_part == NewPart::Nothing {
            marks::hit(Mark::BusNothingNew);
            return Ok(false);
        }
        marks::hit(Mark::BusApplied);
        if !planted::is(Bug::JoinKeptOverBus) {
            self.forget_join();
        }
        self.nesting.came(update.types(), bytes.len());
        self.changed_elsewhere(cx, bytes.len());
        let event = Event::BusApplied { bytes: bytes.len() };
        out.push(Effect::Event(event));
        if !planted::is(Bug::BusUntold) {
            self.relay(cx, None, &applied, || protocol::update(bytes), out);
        }
        if self.state.pending().gap_runs > gaps_before {
            marks::hit(Mark::BusGap);
            self.tell_soon(cx);
        }
        Ok(true)
    }

    /// Takes awareness of another node's clients, and tells it to those here.
    fn take_foreign_awareness(
        &mut self,
        cx: Context<'_>,
        from: Node,
        states: &[u8],
        out: &mut Effects,
    ) -> Result<(), BusRefusal> {
        let mut news = News::new();
        let result = self.apply_foreign_awareness(cx, from, states, &mut news);
        self.untold.forget(news.keys().copied());
        if let Some(news) = self.awareness.encode_news(&news) {
            marks::hit(Mark::BusAwareness);
            if planted::is(Bug::BusEchoed) {
                self.publish_awareness(cx, &news, out);
            }
            self.tell_awareness(cx, &news, out);
            self.watch_awareness(cx);
        }
        result
    }

    /// Applies it up to what is malformed, if anything is.
    fn apply_foreign_awareness(
        &mut self,
        cx: Context<'_>,
        from: Node,
        states: &[u8],
        news: &mut News,
    ) -> Result<(), BusRefusal> {
        for presence in Presence::read_all(states) {
            let presence = presence?;
            let claim = match presence.user {
                "" => None,
                user => Some(Claim {
                    user: UserId::new(user).map_err(|_| BusRefusal::Awareness)?,
                    is_page: presence.is_page,
                }),
            };
            let by = By::Node(from.id, claim.as_ref());
            let applied = self.awareness.apply(cx.now, by, presence.states, cx.config);
            let (more, unshown) = applied.map_err(|_| BusRefusal::Awareness)?;
            marks::hit_if(Mark::BusAwarenessUnshown, || unshown.is_some());
            news.extend(more);
        }
        Ok(())
    }

    /// Publishes what of a client's update was new, which has just been told to
    /// others here. `frame` holds it and nothing else.
    pub(super) fn publish_update(
        &mut self,
        cx: Context<'_>,
        from: Option<ConnId>,
        frame: &Bytes,
        out: &mut Effects,
    ) {
        let is_own = from.is_some() || planted::is(Bug::BusEchoed);
        if cx.bus.is_none() || !is_own {
            return;
        }
        let Ok(Some(Message::Update(update) | Message::SyncStep2(update))) =
            Messages::new(frame).read_next()
        else {
            return;
        };
        if self.publish(cx, Body::Update(update), out) {
            let bytes = update.len();
            out.push(Effect::Event(Event::BusPublished { bytes }));
        } else {
            marks::hit(Mark::BusTooLarge);
            self.tell_soon(cx);
        }
    }

    /// Publishes what clients here say of who is there.
    pub(super) fn publish_awareness(&mut self, cx: Context<'_>, states: &[u8], out: &mut Effects) {
        if cx.bus.is_none() {
            return;
        }
        for body in self.awareness.for_nodes(states, cx.config) {
            self.publish(cx, Body::Awareness(&body), out);
        }
    }

    /// Publishes who is connected here.
    fn publish_present(&mut self, cx: Context<'_>, out: &mut Effects) {
        if let Some(states) = self.awareness.spoken_for()
            && !planted::is(Bug::BusJoinerUntold)
        {
            self.publish_awareness(cx, &states, out);
        }
    }

    /// Publishes something. False if it is too large.
    pub(super) fn publish(&self, cx: Context<'_>, body: Body<'_>, out: &mut Effects) -> bool {
        let Some(from) = cx.bus else {
            return true;
        };
        let message = Envelope { from, body }.encode();
        let fits = message.len() <= cx.config.bus_message_bytes_max;
        if fits {
            let doc = self.id.clone();
            out.push(Effect::Bus(BusCommand::Publish { doc, message }));
        }
        fits
    }
}
