//! What must not be lost, and where it may be found.

use ysyncd_engine::{
    lib0::{ReadError, Reader},
    protocol::{Message, Messages},
};

use super::scene::IDS_PER_DOCUMENT;
use crate::{
    client::Client,
    oracle::{Ids, Invariant, Violation},
    swarm::Content,
};

/// What is known of every document.
#[derive(Debug)]
pub(super) struct Ledger(Vec<Document>);

#[derive(Debug, Default)]
struct Document {
    stored: Ids,
    /// The stored object itself.
    body: Vec<u8>,
    /// What a client was shown by each node: updates, and state vectors.
    shown: Vec<Ids>,
    /// Somebody has removed what was stored: nobody can tell any more what
    /// has to be there.
    is_bereft: bool,
}

impl Ledger {
    pub(super) fn new(documents: usize) -> Self {
        let mut all = Vec::new();
        all.resize_with(documents, Document::default);
        Self(all)
    }

    /// An object was written. It must lose nothing of what it replaces, and
    /// hold nothing of another document.
    pub(super) fn landed(&mut self, doc: usize, body: &[u8]) -> Result<(), Violation> {
        let ids = Ids::of(body).map_err(|error| {
            Invariant::Monotone.violated(format_args!("a stored snapshot is no update: {error}"))
        })?;
        belongs(doc, &ids, "a stored snapshot")?;
        let document = &mut self.0[doc];
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
        let document = &mut self.0[doc];
        (document.stored, document.body) = (Ids::default(), Vec::new());
        document.is_bereft = true;
    }

    /// A client of a document got a frame from a node.
    pub(super) fn shown(&mut self, node: usize, doc: usize, frame: &[u8]) -> Result<(), Violation> {
        let mut messages = Messages::new(frame);
        loop {
            let ids = match messages.read_next() {
                Ok(Some(Message::SyncStep1(known))) => Ids::below(known),
                Ok(Some(Message::SyncStep2(update) | Message::Update(update))) => Ids::of(update),
                Ok(Some(Message::Awareness(states))) => {
                    is_present_here(doc, states)?;
                    continue;
                }
                Ok(Some(Message::QueryAwareness)) => continue,
                // The end, or a word of refusal, which has no type of ours.
                Ok(None) | Err(_) => return Ok(()),
            };
            let ids = ids.map_err(|error| Invariant::Understood.violated(error))?;
            belongs(doc, &ids, "a frame")?;
            let shown = &mut self.0[doc].shown;
            if shown.len() <= node {
                shown.resize_with(node + 1, Ids::default);
            }
            shown[node].add(&ids);
        }
    }

    /// A node has started, and its journal holds these updates of a document:
    /// with the stored object, that has to be all it ever showed.
    pub(super) fn survives(
        &self,
        node: usize,
        doc: usize,
        journal: &[impl AsRef<[u8]>],
    ) -> Result<(), Violation> {
        let document = &self.0[doc];
        let mut kept = document.stored.clone();
        for update in journal {
            kept.add(&Ids::of(update.as_ref()).map_err(|error| {
                Invariant::Survives.violated(format_args!("a record is no update: {error}"))
            })?);
        }
        match document.shown.get(node) {
            Some(shown)
                if !document.is_bereft
                    && !kept.cover(shown)
                    && !document.with_implied(journal)?.cover(shown) =>
            {
                let missing = kept.lacking(shown);
                let detail =
                    format_args!("node{node} showed of doc{doc} what it lost: {missing:?}");
                Err(Invariant::Survives.violated(detail))
            }
            _ => Ok(()),
        }
    }

    /// A node without a journal starts: what it once showed may be gone.
    pub(super) fn forget(&mut self, node: usize) {
        let shown = self
            .0
            .iter_mut()
            .flat_map(|document| document.shown.get_mut(node));
        shown.for_each(|shown| *shown = Ids::default());
    }

    /// At the end, the stored object has to hold all that was ever shown.
    pub(super) fn holds_shown(&self, doc: usize) -> Result<(), Violation> {
        let Document {
            stored,
            shown,
            is_bereft,
            ..
        } = &self.0[doc];
        if *is_bereft {
            return Ok(());
        }
        match shown.iter().find(|shown| !stored.cover(shown)) {
            None => Ok(()),
            Some(shown) => {
                let detail = format_args!("doc{doc} lost {:?}", stored.lacking(shown));
                Err(Invariant::NothingLost.violated(detail))
            }
        }
    }
}

impl Document {
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

/// Whether awareness is about clients of the document only.
fn is_present_here(doc: usize, states: &[u8]) -> Result<(), Violation> {
    let mut reader = Reader::new(states);
    let mut read = || {
        let mut clients = Vec::new();
        for _ in 0..reader.var_uint()? {
            clients.push(reader.var_uint()?);
            reader.var_uint()?;
            reader.var_str()?;
        }
        Ok::<_, ReadError>(clients)
    };
    let clients = read().map_err(|error| Invariant::Understood.violated(error))?;
    belong(doc, clients.into_iter(), "awareness")
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
