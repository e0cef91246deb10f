//! How large documents may become: in bytes, by those who write to them, and in
//! types that stand in each other.

use std::collections::{BTreeMap, BTreeSet};

use ysyncd_engine::{
    Config, DocId,
    protocol::{Message, Messages},
    update::{Holds, Update},
};

use super::{Ids, Invariant, Violation};
use crate::swarm::ENOUGH;

/// The documents of one engine.
#[derive(Debug)]
pub(super) struct Growth {
    bytes_max: usize,
    clients_max: usize,
    depth_max: usize,
    /// Of all documents together.
    total_max: usize,
    /// Whether any of that is limited.
    is_limited: bool,
    documents: BTreeMap<DocId, Size>,
}

/// Bytes of updates that wait to become durable.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Staged {
    pub(super) of_it: usize,
    pub(super) of_all: usize,
}

/// What is known of one in memory.
#[derive(Debug, Default)]
struct Size {
    /// It has so many bytes at least …
    least: usize,
    /// … and at most, with all that was sent to it since it was last written.
    most: usize,
    /// As many types have come at most.
    types: usize,
}

impl Growth {
    pub(super) fn new(config: &Config) -> Self {
        let (bytes_max, clients_max) = (config.document_bytes_max, config.document_clients_max);
        let depth_max = config.type_depth_max;
        let total_max = config.documents_growth_max;
        Self {
            bytes_max,
            clients_max,
            depth_max,
            total_max,
            is_limited: [bytes_max, clients_max, depth_max, total_max]
                .into_iter()
                .any(|most| most < ENOUGH),
            documents: BTreeMap::new(),
        }
    }

    /// Whether any document may come to be too large.
    pub(super) const fn is_limited(&self) -> bool {
        self.is_limited
    }

    pub(super) fn forget(&mut self, doc: &DocId) {
        self.documents.remove(doc);
    }

    /// An update comes, from a client, the store or the journal.
    pub(super) fn comes(&mut self, doc: &DocId, update: &[u8]) {
        if !self.is_limited {
            return;
        }
        let size = self.size(doc);
        size.most += update.len();
        size.types += types(update);
    }

    /// It was read for the first time, and what the journal has comes on top.
    pub(super) fn loaded(&mut self, doc: &DocId, bytes: usize) {
        self.size(doc).least = bytes;
    }

    /// It was read again. What of it is kept then nobody can tell.
    pub(super) fn merged(&mut self, doc: &DocId) {
        self.size(doc).least = 0;
    }

    /// Something new of so many bytes became part of it.
    pub(super) fn applied(&mut self, doc: &DocId, bytes: usize) {
        self.size(doc).least += bytes;
    }

    /// It is written, and takes so much from now on, and what is on its way to the
    /// journal.
    pub(super) fn written(&mut self, doc: &DocId, bytes: usize, staged: Staged) {
        let size = self.size(doc);
        size.least = bytes;
        size.most = size.most.min(bytes + staged.of_it);
    }

    /// An update is taken, the document knowing what is `here`, or comes to, and so
    /// many bytes being on their way to the journal. To be asked where something is
    /// limited.
    pub(super) fn takes(
        &mut self,
        doc: &DocId,
        update: &[u8],
        here: &Ids,
        staged: Staged,
    ) -> Result<(), Violation> {
        let ids = Ids::of_valid(update);
        let bytes = self.size(doc).least + staged.of_it + update.len();
        let is_within = bytes <= self.bytes_max || ids.has_no_structs();
        Invariant::Bounded.holds(is_within, || {
            format!("{doc} has {bytes} bytes, and takes more than it deletes")
        })?;
        let all = self.documents.values().map(|size| size.least);
        let all = all.sum::<usize>() + staged.of_all + update.len();
        let is_within = all <= self.total_max || ids.has_no_structs();
        Invariant::Bounded.holds(is_within, || {
            format!("{doc} takes more than it deletes, and all have {all} bytes")
        })?;
        let (known, new) = clients(here, &ids);
        let is_within = new == 0 || known + new <= self.clients_max;
        Invariant::Bounded.holds(is_within, || {
            format!("{known} clients have written to {doc}, and {new} more may")
        })
    }

    /// Whether an update of a message is one too many for a full document.
    pub(super) fn is_full(&self, doc: &DocId, message: &[u8]) -> bool {
        let most = self.documents.get(doc).map_or(0, |size| size.most);
        let grows = updates(message).any(|update| !Ids::of_valid(update).has_no_structs());
        grows && most + message.len() > self.bytes_max
    }

    /// Whether an update of a message is of one client too many.
    pub(super) fn has_too_many_clients(&self, message: &[u8], here: &Ids) -> bool {
        updates(message).any(|update| {
            let (known, new) = clients(here, &Ids::of_valid(update));
            new > 0 && known + new > self.clients_max
        })
    }

    /// Whether there are so many types that they may stand too deep.
    pub(super) fn may_be_too_deep(&self, doc: &DocId, message: &[u8]) -> bool {
        let came = self.documents.get(doc).map_or(0, |size| size.types);
        came + updates(message).map(types).sum::<usize>() > self.depth_max
    }

    fn size(&mut self, doc: &DocId) -> &mut Size {
        self.documents.entry(doc.clone()).or_default()
    }
}

/// How many clients have written what is here, and how many others an update
/// tells of.
fn clients(here: &Ids, update: &Ids) -> (usize, usize) {
    let of = |ids: &Ids| -> BTreeSet<u64> { ids.structs().clients().collect() };
    let known = of(here);
    let new = of(update);
    (known.len(), new.difference(&known).count())
}

/// How many clients wrote what a message brings.
pub(super) fn writers(message: &[u8]) -> usize {
    let clients = |update| {
        Ids::of_valid(update)
            .structs()
            .clients()
            .collect::<Vec<_>>()
    };
    updates(message)
        .flat_map(clients)
        .collect::<BTreeSet<_>>()
        .len()
}

fn types(update: &[u8]) -> usize {
    let is_type = |holds: &Holds<'_>| matches!(holds, Holds::Type(_));
    let update = Update::decode(update).ok().into_iter();
    let outlines = update.flat_map(|update| update.outline().collect::<Vec<_>>());
    outlines.filter(|outline| is_type(&outline.holds)).count()
}

fn updates(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut messages = Messages::new(message);
    std::iter::from_fn(move || messages.read_next().ok().flatten()).filter_map(|message| {
        match message {
            Message::SyncStep2(update) | Message::Update(update) => Some(update),
            _ => None,
        }
    })
}
