//! What must not be lost, and where it may be found.

use std::{collections::BTreeMap, time::Duration};

use ysyncd_engine::protocol::{Message, Messages};

use super::{presence, scene::IDS_PER_DOCUMENT};
use crate::{
    client::Client,
    oracle::{Ids, Invariant, Violation},
    swarm::Content,
};

/// What is known of every document.
#[derive(Debug)]
pub(super) struct Ledger {
    documents: Vec<Document>,
    /// When each node without a journal last ended without a word.
    ended: BTreeMap<usize, Duration>,
}

/// A connection over which a node tells something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    pub(super) node: usize,
    /// When it was opened.
    pub(super) opened: Duration,
}

#[derive(Debug, Default)]
struct Document {
    stored: Ids,
    /// The stored object itself.
    body: Vec<u8>,
    /// What each node has shown to clients.
    shown: Vec<Shown>,
    /// Somebody has removed what was stored: nobody can tell any more what
    /// has to be there.
    is_bereft: bool,
    /// Ids of clients that may only read.
    readers: Vec<u64>,
}

/// What clients were told, in updates and in state vectors.
#[derive(Debug, Default)]
struct Shown {
    all: Ids,
    /// Each of it, and when.
    each: Vec<(Duration, Ids)>,
}

impl Ledger {
    pub(super) fn new(documents: usize) -> Self {
        let mut all = Vec::new();
        all.resize_with(documents, Document::default);
        Self {
            documents: all,
            ended: BTreeMap::new(),
        }
    }

    /// Nothing may ever be told of what a client makes: it may only read.
    pub(super) fn only_reads(&mut self, doc: usize, client: u64) {
        self.documents[doc].readers.push(client);
    }

    /// An object was written. It must lose nothing of what it replaces, and
    /// hold nothing of another document.
    pub(super) fn landed(&mut self, doc: usize, body: &[u8]) -> Result<(), Violation> {
        let ids = Ids::of(body).map_err(|error| {
            Invariant::Monotone.violated(format_args!("a stored snapshot is no update: {error}"))
        })?;
        belongs(doc, &ids, "a stored snapshot")?;
        self.documents[doc].is_of_writers(&ids, "a stored snapshot")?;
        let document = &mut self.documents[doc];
        let stored = &mut document.stored;
        if !ids.cover(stored) {
            return Err(Invariant::Monotone.violated("a write drops what was stored"));
        }
        *stored = ids;
        body.clone_into(&mut document.body);
        Ok(())
    }

    /// Somebody removed the object.
    pub(super) fn vanished(&mut self, doc: usize) {
        let document = &mut self.documents[doc];
        (document.stored, document.body) = (Ids::default(), Vec::new());
        document.is_bereft = true;
    }

    /// A client of a document got a frame from a node. If the node has lost what it
    /// did not save since the connection was opened, the frame was on its way then.
    pub(super) fn shown(
        &mut self,
        now: Duration,
        sender: Sender,
        doc: usize,
        frame: &[u8],
    ) -> Result<(), Violation> {
        let Sender { node, opened } = sender;
        let was_lost = self.ended.get(&node).is_some_and(|ended| opened <= *ended);
        let mut messages = Messages::new(frame);
        loop {
            let ids = match messages.read_next() {
                Ok(Some(Message::SyncStep1(known))) => Ids::below(known),
                Ok(Some(Message::SyncStep2(update) | Message::Update(update))) => Ids::of(update),
                Ok(Some(Message::Awareness(states))) => {
                    let clients = presence::states(states)?.into_iter();
                    belong(doc, clients.map(|state| state.client), "awareness")?;
                    continue;
                }
                Ok(Some(Message::QueryAwareness)) => continue,
                // The end, or a word of refusal, which has no type of ours.
                Ok(None) | Err(_) => return Ok(()),
            };
            let ids = ids.map_err(|error| Invariant::Understood.violated(error))?;
            belongs(doc, &ids, "a frame")?;
            self.documents[doc].is_of_writers(&ids, "a frame")?;
            if was_lost {
                continue;
            }
            let shown = &mut self.documents[doc].shown;
            if shown.len() <= node {
                shown.resize_with(node + 1, Shown::default);
            }
            shown[node].add(now, ids);
        }
    }

    /// A node has started, and its journal holds these updates of a document:
    /// with the stored object, that has to be all it ever showed. If it may
    /// have lost something, all that it showed before `since`; the rest counts
    /// no longer if it is gone.
    pub(super) fn survives(
        &mut self,
        node: usize,
        doc: usize,
        journal: &[impl AsRef<[u8]>],
        since: Option<Duration>,
    ) -> Result<(), Violation> {
        let document = &mut self.documents[doc];
        let mut kept = document.stored.clone();
        for update in journal {
            kept.add(&Ids::of(update.as_ref()).map_err(|error| {
                Invariant::Survives.violated(format_args!("a record is no update: {error}"))
            })?);
        }
        if document.is_bereft {
            return Ok(());
        }
        document.imply(node, &mut kept, journal)?;
        let Some(shown) = document.shown.get_mut(node) else {
            return Ok(());
        };
        let missing = match since {
            Some(since) => shown.missing_before(since, &kept),
            None => shown.missing(&kept),
        };
        if let Some(missing) = missing {
            let detail = format_args!("node{node} showed of doc{doc} what it lost: {missing:?}");
            return Err(Invariant::Survives.violated(detail));
        }
        if since.is_some() {
            shown.forget_but(&kept);
        }
        Ok(())
    }

    /// A node without a journal has ended. What it showed before `since` has to
    /// be stored; the rest may be gone, and counts no longer if it is: the node may
    /// be ended again before it is up.
    pub(super) fn lose_window(
        &mut self,
        now: Duration,
        node: usize,
        since: Duration,
    ) -> Result<(), Violation> {
        self.ended.insert(node, now);
        let all = self.documents.iter_mut().enumerate();
        for (doc, document) in all.filter(|(_, document)| !document.is_bereft) {
            let mut kept = document.stored.clone();
            let nothing: [Vec<u8>; 0] = [];
            document.imply(node, &mut kept, &nothing)?;
            let Some(shown) = document.shown.get_mut(node) else {
                continue;
            };
            if let Some(missing) = shown.missing_before(since, &kept) {
                let detail = format_args!(
                    "node{node} showed of doc{doc} before {since:?} what it lost: {missing:?}"
                );
                return Err(Invariant::LossWindow.violated(detail));
            }
            shown.forget_but(&kept);
        }
        Ok(())
    }

    /// A node without a journal starts: what it once showed may be gone.
    pub(super) fn forget(&mut self, node: usize) {
        let all = self.documents.iter_mut();
        let of_node = all.flat_map(|document| document.shown.get_mut(node));
        of_node.for_each(|shown| *shown = Shown::default());
    }

    /// At the end, the stored object has to hold all that was ever shown.
    pub(super) fn holds_shown(&self, doc: usize) -> Result<(), Violation> {
        let document = &self.documents[doc];
        if document.is_bereft {
            return Ok(());
        }
        let mut shown = document.shown.iter();
        match shown.find_map(|shown| shown.missing(&document.stored)) {
            None => Ok(()),
            Some(missing) => {
                let detail = format_args!("doc{doc} lost {missing:?}");
                Err(Invariant::NothingLost.violated(detail))
            }
        }
    }
}

impl Document {
    fn is_of_writers(&self, ids: &Ids, what: &str) -> Result<(), Violation> {
        let reader = ids.clients().find(|client| self.readers.contains(client));
        Invariant::ReadOnly.holds(reader.is_none(), || {
            format!("{what} tells of {reader:?}, who may only read")
        })
    }

    /// Adds to what is kept what follows from it, if something of what a node
    /// has shown is missing.
    fn imply(
        &self,
        node: usize,
        kept: &mut Ids,
        journal: &[impl AsRef<[u8]>],
    ) -> Result<(), Violation> {
        let shown = self.shown.get(node);
        if shown.is_some_and(|shown| shown.missing(kept).is_some()) {
            kept.add(&self.with_implied(journal)?);
        }
        Ok(())
    }

    /// All that a reader of the stored object and of these updates knows. What
    /// is inside of something deleted is deleted, too, and a server that has
    /// compacted its document tells that.
    fn with_implied(&self, journal: &[impl AsRef<[u8]>]) -> Result<Ids, Violation> {
        let mut reader = Client::new(0, 0, Content::Nested);
        let journal = journal.iter().map(AsRef::as_ref);
        let stored = (!self.body.is_empty()).then_some(&*self.body);
        for update in stored.into_iter().chain(journal) {
            let read = reader.apply(update);
            read.map_err(|error| Invariant::Survives.violated(error))?;
        }
        Ok(reader.ids())
    }
}

impl Shown {
    fn add(&mut self, now: Duration, ids: Ids) {
        self.all.add(&ids);
        self.each.push((now, ids));
    }

    /// What of it is not kept.
    fn missing(&self, kept: &Ids) -> Option<Ids> {
        (!kept.cover(&self.all)).then(|| kept.lacking(&self.all))
    }

    /// The same of what was shown before a time.
    fn missing_before(&self, since: Duration, kept: &Ids) -> Option<Ids> {
        let before = self.each.iter().filter(|(at, _)| *at < since);
        let mut missing = before.filter(|(_, ids)| !kept.cover(ids));
        missing.next().map(|(_, ids)| kept.lacking(ids))
    }

    fn forget_but(&mut self, kept: &Ids) {
        for ids in self
            .each
            .iter_mut()
            .map(|(_, ids)| ids)
            .chain([&mut self.all])
        {
            *ids = kept.lacking(ids).lacking(ids);
        }
    }
}

fn belongs(doc: usize, ids: &Ids, what: &str) -> Result<(), Violation> {
    belong(doc, ids.clients(), what)
}

fn belong(doc: usize, mut clients: impl Iterator<Item = u64>, what: &str) -> Result<(), Violation> {
    let first = (doc as u64 + 1) * IDS_PER_DOCUMENT;
    let own = first..first + IDS_PER_DOCUMENT;
    match clients.find(|client| !own.contains(client)) {
        Some(client) => {
            let detail = format_args!("{what} of doc{doc} tells of client {client}");
            Err(Invariant::Apart.violated(detail))
        }
        None => Ok(()),
    }
}
