//! What must be true once everything has healed.

use std::{collections::BTreeMap, time::Duration};

use ysyncd_engine::{Input, Now, Refusal, Status};

use super::{Event, Place, World, client_id, node::Drained, not_understood};
use crate::{
    client::{Client, Link, WAITS, content_of},
    oracle::{Ids, Invariant, Violation, save_times_max},
    swarm::{Habit, Purpose, stream},
};

/// How long everybody has to converge, from when things stop going wrong, at
/// most.
const HEALING_MAX: Duration = Duration::from_secs(150);
/// How long a new client has to get everything.
const JOINING: Duration = Duration::from_secs(5);
/// Of a document's client ids, those of who come to look start here.
const JOINERS: u64 = 500;

/// Which documents clients may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guests {
    Nobody,
    /// Wherever they like.
    Everybody,
    /// On one node.
    Together,
    /// Those of one document, on one node.
    Of(usize),
}

impl Guests {
    pub(super) fn include(self, doc: usize) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody | Self::Together => true,
            Self::Of(only) => only == doc,
        }
    }

    pub(super) const fn are_together(self) -> bool {
        matches!(self, Self::Together | Self::Of(_))
    }
}

impl World {
    /// Everybody comes back, or one document's clients after the other's if
    /// there is not room for all, and everything must come right.
    pub(super) fn heal_and_judge(&mut self) -> Result<(), Violation> {
        match (self.swarm.is_cramped(), self.nodes.len()) {
            (false, 1) => self.gather_and_judge(Guests::Together),
            (false, _) if self.swarm.bus.is_some() => {
                self.gather(Guests::Everybody)?;
                self.judge_across()?;
                // Who came by something saves it where nobody else says to have.
                self.run_until(self.now + self.swarm.engine.foreign_save_wait)?;
                self.gather_and_judge(Guests::Everybody)?;
                self.gather_and_judge(Guests::Nobody)?;
                self.gather_and_judge(Guests::Together)
            }
            (false, _) => {
                // Each brings what it knows to its node, and the nodes theirs
                // to the store.
                self.gather(Guests::Everybody)?;
                self.gather_and_judge(Guests::Nobody)?;
                self.gather_and_judge(Guests::Together)
            }
            (true, _) => {
                // First what nobody asks for any more has to get out of the way.
                self.gather_and_judge(Guests::Nobody)?;
                (0..self.docs.len()).try_for_each(|doc| self.gather_and_judge(Guests::Of(doc)))
            }
        }
    }

    /// Lets guests come, and time pass.
    fn gather(&mut self, guests: Guests) -> Result<(), Violation> {
        self.note(Place::Elsewhere, format_args!("{guests:?} may come"));
        self.guests = guests;
        for at in 0..self.clients.len() {
            // Who forgot to tell something, or knows it from others, brings it
            // when it comes back.
            let is_forgetful =
                self.clients[at].habit == Habit::Forgetful || self.swarm.gossip > 0.0;
            if !guests.include(self.clients[at].doc) || self.is_astray(at) || is_forgetful {
                self.lose(at);
            }
        }
        self.wake();
        self.run_until(self.now + self.healing())
    }

    /// How long everybody has to converge: the store is tried again within the
    /// longest pause, a client is asked again within another; what that brings
    /// is saved, and whoever is silent is noticed.
    fn healing(&self) -> Duration {
        let engine = &self.swarm.engine;
        let thaw = self
            .nodes
            .iter()
            .map(|node| node.frozen_until.max(node.held_until));
        let thaw = thaw.max().unwrap_or_default().saturating_sub(self.now);
        let tries = engine.retry_delay_max + engine.reopen_delay_max + engine.resync_delay_max;
        let saves = engine.save_wait_max * 2 * save_times_max(engine) + engine.idle_grace;
        let healing = thaw + tries * 2 + saves + Duration::from_secs(40);
        let digests = match self.swarm.bus {
            Some(_) => engine.bus_digest_idle * 2,
            None => Duration::ZERO,
        };
        healing.min(HEALING_MAX) + digests
    }

    /// Whether a client is connected to another node than it may be.
    fn is_astray(&self, at: usize) -> bool {
        match self.clients[at].link {
            Link::Open(conn) | Link::Connecting(conn) => {
                self.guests.are_together() && self.wires[conn].node != 0
            }
            Link::Offline | Link::Left => false,
        }
    }

    fn gather_and_judge(&mut self, guests: Guests) -> Result<(), Violation> {
        self.gather(guests)?;
        // Nothing new is said while judging.
        self.queue
            .retain(|event| !matches!(event, Event::Act(_) | Event::Renew(_)));
        let published = self.bus.published;
        self.run_until(self.now + JOINING)?;
        self.judge_quiet()?;
        self.judge_bus_quiet(published)?;
        let docs = (0..self.docs.len()).filter(|doc| guests.include(*doc));
        let docs: Vec<_> = docs.collect();
        let mut shown = Vec::new();
        for &doc in &docs {
            shown.push(self.judge(doc)?);
        }
        if guests.include(0) {
            self.judge_leaving()?;
        }
        for (&doc, shown) in docs.iter().zip(&shown) {
            let shown = self.shown_by(0, doc, shown.as_deref())?;
            self.judge_joiner(Invariant::Joiner, doc, 0, shown.as_deref())?;
        }
        Ok(())
    }

    /// What a node has to show of a document to somebody new, if its clients are
    /// shown this. One that has to read it knows what somebody else wrote last,
    /// which others do not before they write.
    fn shown_by(
        &mut self,
        node: usize,
        doc: usize,
        shown: Option<&str>,
    ) -> Result<Option<String>, Violation> {
        let reads = self.nodes[node].watch.holds(&self.docs[doc]).is_none();
        let is_whole = !self.vanished.contains(&self.docs[doc]);
        match shown {
            Some(_) if self.swarm.other_writer.is_some() && reads && is_whole => {
                self.stored(doc).map(Some)
            }
            shown => Ok(shown.map(ToOwned::to_owned)),
        }
    }

    /// The nodes go down and come up again: what was stored is served.
    pub(super) fn end_and_judge(&mut self) -> Result<(), Violation> {
        self.shut_down()?;
        (0..self.nodes.len()).try_for_each(|node| self.restart(node))?;
        for doc in 0..self.docs.len() {
            let stored = self.stored(doc)?;
            let node = doc % self.nodes.len();
            self.judge_joiner(Invariant::Restart, doc, node, Some(&stored))?;
            self.lose(self.clients.len() - 1);
            self.run_until(self.now + JOINING)?;
        }
        Ok(())
    }

    /// There is nothing left to do, for the engines and for the journals.
    fn judge_quiet(&self) -> Result<(), Violation> {
        for node in &self.nodes {
            node.watch.all_resumed(self.now)?;
            let journal = &node.journal;
            let left = journal.documents().find(|doc| !journal.is_damaged(doc));
            Invariant::Emptied.holds(left.is_none(), || format!("the journal holds {left:?}"))?;
            let status = node.engine.status(Now { mono: self.now });
            let quiet = Status {
                documents_loading: 0,
                documents_draining: 0,
                documents_to_push: journal.documents().count(),
                staged_bytes: 0,
                unsaved_bytes: 0,
                oldest_undurable: None,
                oldest_unsaved: None,
                journal_failed: false,
                ..status
            };
            Invariant::Emptied.equal("the engine", &status, &quiet)?;
        }
        Ok(())
    }

    /// Nodes that have a document in memory hold the same of it, though nobody
    /// has written or read anything for that.
    fn judge_across(&self) -> Result<(), Violation> {
        for doc in &self.docs {
            let nodes = self.nodes.iter().enumerate();
            let holders = nodes.filter_map(|(at, node)| Some((at, node.watch.holds(doc)?)));
            let holders: Vec<_> = holders.collect();
            // What one holds to follow from other deletes, another may not yet.
            let mut implied = Ids::default();
            holders
                .iter()
                .for_each(|(_, (_, of_one))| implied.add(of_one));
            for (at, (here, _)) in &holders {
                for (other, (there, _)) in &holders {
                    let lacks = implied.lacking(&here.lacking(there));
                    Invariant::Across.holds(lacks.is_empty(), || {
                        format!("{doc}: node {at} lacks what node {other} has: {lacks:?}")
                    })?;
                }
            }
        }
        Ok(())
    }

    /// While nobody said anything, nodes have told what they have, and hardly
    /// that.
    fn judge_bus_quiet(&self, published: usize) -> Result<(), Violation> {
        let came = self.bus.published - published;
        let most = 2 * self.nodes.len() * (self.docs.len() + 1);
        Invariant::BusQuiet.holds(came <= most, || {
            format!("{came} messages were published in {JOINING:?}")
        })
    }

    fn is_damaged(&self, doc: usize) -> bool {
        let nodes = self.nodes.iter();
        let mut journals = nodes.map(|node| &node.journal);
        journals.any(|journal| journal.is_damaged(&self.docs[doc]))
    }

    /// What the stored object of a document shows. It is asked for several times
    /// while nobody writes.
    fn stored(&mut self, doc: usize) -> Result<String, Violation> {
        let stored = self.store.object(&self.docs[doc]);
        let stored = stored.map(|snapshot| &snapshot.body);
        if let Some((body, shows)) = &self.read_last
            && Some(body) == stored
        {
            return Ok(shows.clone());
        }
        let shows = content_of(stored.map(|body| &body[..])).map_err(not_understood)?;
        self.read_last = stored.map(|body| (body.clone(), shows.clone()));
        Ok(shows)
    }

    /// Everybody who has a document open must have the same, and what is
    /// stored is everything. Returns what clients show. This and what is
    /// stored differ if somebody else wrote last, which an engine learns at
    /// its next write or load only.
    fn judge(&mut self, doc: usize) -> Result<Option<String>, Violation> {
        if self.is_damaged(doc) {
            return Ok(None);
        }
        // If somebody removed the object, it is there again only when somebody
        // changes the document.
        let is_whole = !self.vanished.contains(&self.docs[doc]);
        let unstored = self.ledgers.unstored(&self.docs[doc]).filter(|_| is_whole);
        Invariant::NothingLost.holds(unstored.is_none(), || {
            format!("the store lacks what was durable: {unstored:?}")
        })?;
        let unstored = self.ledgers.taken_in_vain(&self.docs[doc]);
        let unstored = unstored.filter(|_| is_whole);
        Invariant::NothingLost.holds(unstored.is_none(), || {
            format!("the store lacks what was taken: {unstored:?}")
        })?;
        self.judge_presence(doc)?;
        let stored = self.stored(doc)?;
        let visitors = || self.clients.iter().filter(|client| client.doc == doc);
        let stayed = visitors().filter(|client| client.link != Link::Left);
        let shown: Vec<_> = stayed.map(|client| (client, client.content())).collect();
        if shown.len() == visitors().count() && is_whole {
            let log = self.log[doc].iter().map(Vec::as_slice);
            let truth = content_of(log).map_err(not_understood)?;
            Invariant::NothingLost.equal("the store", &stored, &truth)?;
        } else if stored.ends_with(WAITS) || shown.iter().any(|(client, _)| client.waits()) {
            // Somebody went before telling all that the rest builds on. What
            // yrs shows of that depends on how it came, and it tells nobody of it.
            return Ok(None);
        }
        // What a client waits for may be told to others in other words, or to
        // nobody any more: it shows the same without it.
        let whole = |text: &str| text.trim_end_matches(WAITS).to_owned();
        let shown = shown.iter().map(|(client, text)| (*client, whole(text)));
        let shown: Vec<_> = shown.collect();
        let Some((first_client, first)) = shown.first().cloned() else {
            return Ok(Some(stored));
        };
        for (client, shown) in shown {
            Invariant::Converged.holds(shown == first, || {
                let (ids, first_ids) = (client.ids(), first_client.ids());
                let (lacks, has) = (ids.lacking(&first_ids), first_ids.lacking(&ids));
                let who = client.id;
                format!("client {who} has\n  {shown}\nand not\n  {first}\nIt lacks {lacks:?} and has {has:?}")
            })?;
        }
        if self.swarm.other_writer.is_none() && is_whole {
            Invariant::Stored.holds(stored == first, || {
                let object = self.store.object(&self.docs[doc]);
                let ids = object.map(|object| Ids::of_valid(&object.body));
                let (ids, first_ids) = (ids.unwrap_or_default(), first_client.ids());
                let (lacks, has) = (ids.lacking(&first_ids), first_ids.lacking(&ids));
                format!("the store has\n  {stored}\nand not\n  {first}\nIt lacks {lacks:?} and has {has:?}")
            })?;
        }
        Ok(Some(first))
    }

    fn judge_presence(&self, doc: usize) -> Result<(), Violation> {
        let is_here = |client: &&Client| client.doc == doc && matches!(client.link, Link::Open(_));
        let here = || self.clients.iter().filter(is_here);
        let is_shown = |client: &&Client| client.habit != Habit::Shy;
        let state = |client: &Client| (client.id, client.present()[&client.id].clone());
        let truth: BTreeMap<_, _> = here().filter(is_shown).map(state).collect();
        for client in here() {
            let mut told = client.present();
            if client.habit == Habit::Shy {
                told.remove(&client.id);
            }
            let who = format_args!("client {}", client.id);
            Invariant::Presence.equal(who, &told, &truth)?;
        }
        Ok(())
    }

    /// One client goes: the others must see it.
    fn judge_leaving(&mut self) -> Result<(), Violation> {
        self.lose(0);
        self.run_until(self.now + JOINING)?;
        self.judge_presence(0)
    }

    /// Somebody new must be shown everything, or whatever it is if nobody can
    /// tell.
    fn judge_joiner(
        &mut self,
        invariant: Invariant,
        doc: usize,
        node: usize,
        truth: Option<&str>,
    ) -> Result<(), Violation> {
        let at = self.clients.len();
        self.clients.push(Client::new(
            client_id(doc, JOINERS + at as u64),
            doc,
            self.swarm.content,
        ));
        self.streams.push(stream(self.seed, Purpose::Client(at)));
        self.connect(at, node);
        let Link::Connecting(conn) = self.clients[at].link else {
            unreachable!("answers take a while");
        };
        self.run_until(self.now + JOINING)?;
        if self.is_damaged(doc) {
            let (refusal, truth) = (self.wires[conn].refusal, Some(Refusal::JournalDamaged));
            return Invariant::Damaged.equal("a new client", &refusal, &truth);
        }
        let who = format_args!("a new client of document {doc}");
        let shown = self.clients[at].content();
        truth.map_or(Ok(()), |truth| invariant.equal(who, shown.as_str(), truth))
    }

    fn shut_down(&mut self) -> Result<(), Violation> {
        self.is_ending = true;
        let deadline = self.now + JOINING;
        for node in 0..self.nodes.len() {
            self.input(node, Input::Shutdown { deadline })?;
        }
        self.run_until(deadline)?;
        for node in &self.nodes {
            let damaged: Vec<_> = node.journal.documents().cloned().collect();
            match &node.drained {
                Some(Drained { unsaved, journaled })
                    if unsaved.is_empty() && *journaled == damaged => {}
                other => return Err(Invariant::Drained.violated(format!("{other:?}"))),
            }
        }
        Ok(())
    }
}
