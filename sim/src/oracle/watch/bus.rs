//! The bus between nodes: what one engine says on it, and what it must make of
//! what others do.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ysyncd_engine::{
    Config, DocId, Node,
    bus::{Body, BusCommand, BusInput, Envelope, Presence},
    update::Update,
};

use super::{
    Ids, Invariant, Violation, Watch, connections::awareness_clocks, is_judged, presence::speaker,
};

/// How long an engine has to subscribe to what is in memory.
const SUBSCRIBING: Duration = Duration::from_secs(5);

/// The bus as one engine knows it.
#[derive(Debug)]
pub(super) struct BusWatch {
    own: Option<Node>,
    message_bytes_max: usize,
    digest_idle: Duration,
    /// When a digest was told or heard last of what is subscribed to.
    digests: BTreeMap<DocId, Duration>,
    up_since: Option<Duration>,
    subscribed: BTreeSet<DocId>,
    /// The last life that was heard of, of each node for each document.
    lives: BTreeMap<(DocId, u64), u64>,
    /// What was said of clients in lives that were over, and by nobody else.
    stale: BTreeSet<(DocId, u64, u64)>,
    /// Documents that are about to leave memory, and take nothing of others; and
    /// whether others have told them something.
    draining: BTreeMap<DocId, bool>,
    /// What a document holds has to be published with the input under way: it is
    /// opened again, and may have missed something.
    owes_digest: Option<DocId>,
    /// Whether the input under way is the word of a node whose life is over.
    is_stale: bool,
    /// Whether the input under way came by the bus.
    is_told: bool,
    /// Who is there has to be published with the input under way.
    owes_presence: Option<DocId>,
}

impl BusWatch {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            own: config.node,
            message_bytes_max: config.bus_message_bytes_max,
            digest_idle: config.bus_digest_idle,
            digests: BTreeMap::new(),
            up_since: None,
            subscribed: BTreeSet::new(),
            lives: BTreeMap::new(),
            stale: BTreeSet::new(),
            draining: BTreeMap::new(),
            owes_digest: None,
            is_stale: false,
            is_told: false,
            owes_presence: None,
        }
    }

    pub(super) fn begins(&mut self, is_told: bool) {
        (self.is_told, self.is_stale) = (is_told, false);
    }

    /// Whether the input under way came by the bus.
    pub(super) const fn is_telling(&self) -> bool {
        self.is_told
    }

    pub(super) fn unloaded(&mut self, doc: &DocId) {
        self.lives.retain(|(of, _), _| of != doc);
        self.digests.remove(doc);
        self.draining.remove(doc);
        // Who has failed meanwhile tells nobody.
        self.owes_presence.take_if(|owes| owes == doc);
        self.owes_digest.take_if(|owes| owes == doc);
        self.stale.retain(|(of, ..)| of != doc);
    }

    /// Somebody who lives says something of a client.
    pub(super) fn said(&mut self, doc: &DocId, client: u64, clock: u64) {
        self.stale.remove(&(doc.clone(), client, clock));
    }

    /// Whether clients may be told that somebody is there with this clock.
    pub(super) fn may_tell(&self, doc: &DocId, client: u64, clock: u64) -> Result<(), Violation> {
        let is_stale = self.stale.contains(&(doc.clone(), client, clock));
        Invariant::BusWords.holds(!is_stale, || {
            format!("{doc}: {client} is said to be there by a node whose life is over")
        })
    }

    /// A document is opened, perhaps as it was about to leave memory.
    pub(super) fn opened(&mut self, doc: &DocId) {
        let has_missed = self.draining.remove(doc).unwrap_or_default();
        if has_missed && self.up_since.is_some() && self.subscribed.contains(doc) {
            self.owes_digest = Some(doc.clone());
        }
    }

    /// Whether a node's life is over; notes that it is this one otherwise.
    fn hear(&mut self, doc: &DocId, from: Node) -> bool {
        let own = self.own.filter(|own| own.id == from.id);
        let known = self.lives.get(&(doc.clone(), from.id)).copied();
        let is_over = own.is_some_and(|own| from.incarnation < own.incarnation)
            || known.is_some_and(|life| from.incarnation < life);
        if !is_over {
            self.lives.insert((doc.clone(), from.id), from.incarnation);
        }
        is_over
    }
}

impl Watch {
    /// The bus tells something.
    pub(super) fn told_by_bus(&mut self, now: Duration, told: &BusInput) {
        match told {
            BusInput::Up => {
                self.bus.up_since = Some(now);
                self.bus.subscribed.clear();
            }
            BusInput::Down => {
                self.bus.up_since = None;
                self.bus.subscribed.clear();
                self.bus.digests.clear();
            }
            BusInput::Subscribed { doc } => {
                if self.bus.subscribed.contains(doc) {
                    self.bus.digests.insert(doc.clone(), now);
                }
            }
            BusInput::Received { doc, message } => self.hears(now, doc, message),
        }
    }

    fn hears(&mut self, now: Duration, doc: &DocId, message: &[u8]) {
        let is_heard = self.bus.subscribed.contains(doc) && self.documents.is_loaded(doc);
        if !is_heard || !is_judged(doc) || message.len() > self.bus.message_bytes_max {
            return;
        }
        let Ok(Envelope { from, body }) = Envelope::decode(message) else {
            return;
        };
        if self.bus.own == Some(from) {
            return;
        }
        let is_over = self.bus.hear(doc, from);
        let is_update = matches!(body, Body::Update(_) | Body::Diff(_));
        self.bus.is_stale = is_over && !is_update;
        if let Body::Digest(_) | Body::Joined(_) | Body::Saved { .. } = body
            && let Some(digest) = self.bus.digests.get_mut(doc)
        {
            *digest = now;
        }
        match body {
            Body::Update(_) | Body::Diff(_) if self.bus.draining.contains_key(doc) => {
                self.bus.draining.insert(doc.clone(), true);
            }
            Body::Update(update) | Body::Diff(update) => self.hears_update(now, doc, update),
            Body::Awareness(states) => self.hears_awareness(now, doc, from, states, is_over),
            Body::Joined(_) if !is_over && self.connections.speaks_for_somebody(doc) => {
                self.bus.owes_presence = Some(doc.clone());
            }
            _ => {}
        }
    }

    fn hears_update(&mut self, now: Duration, doc: &DocId, update: &[u8]) {
        if Update::decode(update).is_err() {
            return;
        }
        let ids = Ids::of_valid(update);
        self.growth.comes(doc, update);
        self.growth.merged(doc);
        self.gaps.is_unlimited(doc);
        self.documents
            .comes_from_elsewhere(now, doc, &ids, self.has_journal);
        let here = self.documents.all_here(doc);
        self.relays.applied(doc, update, here);
    }

    fn hears_awareness(
        &mut self,
        now: Duration,
        doc: &DocId,
        from: Node,
        states: &[u8],
        is_over: bool,
    ) {
        let told = Presence::read_all(states).flatten();
        let clocks = told.flat_map(|told| awareness_clocks(told.states).into_iter().flatten());
        for (client, clock, is_here) in clocks {
            if is_here && is_over {
                if !self.connections.was_said(doc, client, clock) {
                    self.bus.stale.insert((doc.clone(), client, clock));
                }
            } else if is_here {
                self.bus.said(doc, client, clock);
                self.connections
                    .node_says(now, doc, client, clock, speaker(from.id));
            } else {
                self.connections.node_says_gone(doc, client);
            }
        }
    }

    /// The engine has the bus do something.
    pub(super) fn asks_bus(
        &mut self,
        now: Duration,
        command: &BusCommand,
    ) -> Result<(), Violation> {
        Invariant::BusWords.holds(self.bus.up_since.is_some(), || {
            format!("the bus is down, and asked for {command:?}")
        })?;
        match command {
            BusCommand::Subscribe { doc } => {
                let is_first = self.bus.subscribed.insert(doc.clone());
                Invariant::BusWords.holds(is_first && self.documents.is_loaded(doc), || {
                    format!("{doc} is subscribed to, and is not loaded or was subscribed to")
                })
            }
            BusCommand::Unsubscribe { doc } => {
                self.bus.digests.remove(doc);
                let was_there = self.bus.subscribed.remove(doc);
                Invariant::BusWords.holds(was_there, || format!("{doc} was not subscribed to"))
            }
            BusCommand::Publish { doc, message } => self.publishes(now, doc, message),
        }
    }

    fn publishes(&mut self, now: Duration, doc: &DocId, message: &[u8]) -> Result<(), Violation> {
        let envelope = Envelope::decode(message);
        let Ok(Envelope { from, body }) = envelope else {
            return Err(Invariant::BusWords.violated(format!("published is {envelope:?}")));
        };
        Invariant::BusWords.holds(Some(from) == self.bus.own, || format!("{from:?} speaks"))?;
        let is_small = message.len() <= self.bus.message_bytes_max;
        Invariant::BusWords.holds(is_small, || "a message is too large".to_owned())?;
        if !is_judged(doc) {
            return Ok(());
        }
        Invariant::BusWords.holds(!self.bus.is_stale, || {
            format!("{doc}: a node whose life is over is answered with {body:?}")
        })?;
        if let Body::Digest(_) | Body::Joined(_) = body {
            self.bus.digests.insert(doc.clone(), now);
            self.bus.owes_digest.take_if(|owes| owes == doc);
        }
        match body {
            Body::Update(_) if self.bus.is_told => {
                let detail = "what came by the bus is published again";
                Err(Invariant::BusWords.violated(detail))
            }
            Body::Update(update) | Body::Diff(update) => {
                let told =
                    Ids::of(update).map_err(|error| Invariant::Understood.violated(error))?;
                self.documents.may_tell(doc, &told, self.has_journal)?;
                self.is_not_early(doc, &told)
            }
            Body::Awareness(states) => {
                self.bus.owes_presence.take_if(|owes| owes == doc);
                for told in Presence::read_all(states).flatten() {
                    let mut clocks = awareness_clocks(told.states).into_iter().flatten();
                    let (connections, user) = (&self.connections, told.user);
                    let others = clocks.find(|(client, _, is_here)| {
                        *is_here && !connections.may_speak_for(doc, *client, user)
                    });
                    Invariant::BusWords.holds(others.is_none(), || {
                        format!("{doc}: it says by {user:?} of {others:?}, who is not of theirs")
                    })?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// All is said: those who joined were told who is there, and all that is in
    /// memory is subscribed to.
    pub(super) fn bus_settled(&mut self, now: Duration, is_tick: bool) -> Result<(), Violation> {
        let owes = self.bus.owes_presence.take();
        Invariant::BusWords.holds(owes.is_none(), || {
            format!("{owes:?}: a node joined, and is not told who is there")
        })?;
        let owes = self.bus.owes_digest.take();
        Invariant::BusWords.holds(owes.is_none(), || {
            format!("{owes:?} is opened again, and what it missed is not asked for")
        })?;
        let is_due = |since: Duration| since + SUBSCRIBING < now;
        if !is_tick || !self.bus.up_since.is_some_and(is_due) {
            return Ok(());
        }
        let since = now.saturating_sub(self.bus.digest_idle * 2 + SUBSCRIBING);
        let mut digests = self.bus.digests.iter();
        let silent = digests.find(|(doc, at)| is_judged(doc) && **at < since);
        Invariant::BusWords.holds(silent.is_none(), || {
            format!("{silent:?}: no digest was told or heard since")
        })?;
        let mut names = self.documents.names();
        let left_out =
            names.find(|doc| self.documents.is_loaded(doc) && !self.bus.subscribed.contains(*doc));
        Invariant::BusWords.holds(left_out.is_none(), || {
            format!("{left_out:?} is in memory, and not subscribed to")
        })
    }

    /// A document is about to leave memory.
    pub(super) fn drains(&mut self, doc: &DocId) -> Result<(), Violation> {
        let is_idle = self.documents.is_loaded(doc) && !self.connections.is_open(doc);
        self.bus.draining.insert(doc.clone(), false);
        Invariant::LeftClean.holds(is_idle, || format!("{doc} is to leave, and is in use"))
    }

    /// The engine takes what another has written for the stored object.
    pub(super) fn adopts(&mut self, doc: &DocId, etag: &ysyncd_engine::Etag, is_whole: bool) {
        if is_judged(doc) {
            self.store.adopted(doc, etag);
            self.documents.adopted(doc, is_whole);
        } else {
            self.store.adopted(doc, etag);
        }
    }

    /// All that a document in memory must hold, and what of that others need not
    /// be told as its parent is deleted.
    pub(crate) fn holds(&self, doc: &DocId) -> Option<(&Ids, &Ids)> {
        let is_here = self.documents.is_loaded(doc);
        is_here.then(|| (self.documents.all_here(doc), self.documents.implied(doc)))
    }
}
