//! What a document must hold, and what of it is kept elsewhere, as far as one
//! engine can know.

use std::{collections::BTreeMap, time::Duration};

use ysyncd_engine::{DocId, Position};

use super::{Ids, Invariant, Violation};
use crate::oracle::ids::is_at_home;

/// The documents of one engine, in memory or not.
#[derive(Debug, Default)]
pub(super) struct Documents {
    documents: BTreeMap<DocId, Known>,
    /// What became part of documents with the input under way.
    news: BTreeMap<DocId, Ids>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether it is in memory.
    is_loaded: bool,
    /// The stored object, as it was last read or written.
    stored: Ids,
    /// The stored object was read last, and is damaged.
    is_spoiled: bool,
    /// The stored object was gone or damaged when it was looked at last. An
    /// engine need not know how much of it the journal still has.
    is_bereft: bool,
    /// The write under way.
    saving: Ids,
    /// What the journal holds for certain.
    records: BTreeMap<Position, Ids>,
    /// All that memory must hold.
    here: Ids,
    /// Something of it came from another node since it was last known to be in
    /// the store.
    is_foreign: bool,
    /// Since when, or when something else of it was stored last.
    foreign_since: Option<Duration>,
    /// When the first change came that no write has taken along.
    unsaved_since: Option<Duration>,
    /// When the first change came that is not known to be stored, but for those
    /// that the write under way has …
    waits_since: Option<Duration>,
    /// … and the first of those.
    saving_since: Option<Duration>,
    /// Records were replayed that no write has taken along.
    is_replayed: bool,
    /// Bytes of the updates that no write has taken along, and of those that
    /// the write under way has, at least.
    unsaved_bytes: usize,
    saving_bytes: usize,
    /// The structs of which it was given the content. Noted where that is to be
    /// kept.
    content: Ids,
    /// All that was ever known to be durable.
    durable: Ids,
    /// What is deleted because its parent is. Compaction tells that; clients
    /// know it without being told, and it is as durable as the parent.
    implied: Ids,
    /// What other nodes have told to be deleted: perhaps as its parent is.
    elsewhere: Ids,
}

impl Documents {
    pub(super) fn names(&self) -> impl Iterator<Item = &DocId> {
        self.documents.keys()
    }

    pub(super) fn is_loaded(&self, doc: &DocId) -> bool {
        self.documents.get(doc).is_some_and(|known| known.is_loaded)
    }

    pub(super) fn is_any_loaded(&self) -> bool {
        self.documents.values().any(|known| known.is_loaded)
    }

    pub(super) fn durable(&self) -> impl Iterator<Item = (&DocId, &Ids)> {
        let documents = self.documents.iter();
        documents.map(|(doc, known)| (doc, &known.durable))
    }

    /// All that a document in memory holds.
    pub(super) fn all_here(&self, doc: &DocId) -> &Ids {
        &self.documents[doc].here
    }

    /// What clients know to be deleted without being told: its parent is.
    pub(super) fn implied(&self, doc: &DocId) -> &Ids {
        &self.documents[doc].implied
    }

    /// What becomes part of a document with the input under way.
    pub(super) fn news(&self, doc: &DocId) -> Option<&Ids> {
        self.news.get(doc)
    }

    /// Something that became part of a document, and must have been told by now.
    pub(super) fn take_some_news(&mut self) -> Option<(DocId, Ids)> {
        self.news.pop_first()
    }

    /// The store was read: this is its object.
    pub(super) fn read(&mut self, doc: &DocId, stored: Option<Ids>) {
        let known = self.known(doc);
        known.is_spoiled = false;
        known.is_bereft = match &stored {
            None => known.is_bereft || !known.stored.is_empty(),
            // What is there again may lack what the one before it had, and the
            // journal has forgotten.
            Some(stored) => known.is_bereft && !stored.cover(&known.here),
        };
        known.stored = stored.unwrap_or_default();
        known.durable.add(&known.stored);
        if known
            .not_implied(&known.stored.lacking(&known.here))
            .is_empty()
        {
            (known.unsaved_since, known.foreign_since) = (None, None);
            (known.waits_since, known.saving_since) = (None, None);
            (known.unsaved_bytes, known.saving_bytes) = (0, 0);
        }
        if known.is_loaded {
            let merged = known.stored.clone();
            self.applied(doc, &merged);
        }
    }

    /// The store was read: what is there is damaged.
    pub(super) fn read_in_vain(&mut self, doc: &DocId) {
        let known = self.known(doc);
        known.stored = Ids::default();
        (known.is_spoiled, known.is_bereft) = (true, true);
    }

    /// A snapshot is handed out to be written.
    pub(super) fn saves(&mut self, doc: &DocId, body: Ids) -> Result<(), Violation> {
        let known = self.known(doc);
        Invariant::LeftAlone.holds(!known.is_spoiled, || {
            format!("{doc} is written though what is stored cannot be read")
        })?;
        Invariant::Needless.holds(!known.stored.cover(&known.here), || {
            format!("{doc} is written, and the store has all of it")
        })?;
        Invariant::SnapshotComplete.holds(body.cover(&known.here), || {
            format!("{doc}: the snapshot lacks {:?}", body.lacking(&known.here))
        })?;
        let implied = known.here.lacking(&body);
        Invariant::SnapshotComplete.holds(implied.has_no_structs(), || {
            format!("{doc}: the snapshot holds {implied:?}, and nobody sent that")
        })?;
        known.unsaved_since = None;
        known.saving_since = known.saving_since.or(known.waits_since.take());
        known.is_replayed = false;
        known.saving_bytes += std::mem::take(&mut known.unsaved_bytes);
        known.here.add(&implied);
        known.implied.add(&implied);
        known.saving = body;
        Ok(())
    }

    /// The snapshot that was handed out has landed.
    pub(super) fn saved(&mut self, now: Duration, doc: &DocId) {
        let known = self.known(doc);
        known.stored = std::mem::take(&mut known.saving);
        (known.saving_bytes, known.saving_since) = (0, None);
        known.is_foreign &= !known.stored.cover(&known.here);
        known.foreign_since = known.foreign_since.and(known.is_foreign.then_some(now));
        known.is_bereft = false;
        known.durable.add(&known.stored);
    }

    /// The snapshot that was handed out has not landed, as far as is known.
    pub(super) fn not_saved(&mut self, doc: &DocId) {
        let known = self.known(doc);
        known.unsaved_bytes += std::mem::take(&mut known.saving_bytes);
        known.waits_since = known.saving_since.take().or(known.waits_since);
    }

    /// Bytes of updates that came while documents were in memory and that the
    /// store does not have, at least.
    pub(super) fn unsaved_bytes(&self) -> usize {
        let documents = self.documents.values();
        let bytes = documents.map(|known| known.unsaved_bytes + known.saving_bytes);
        bytes.sum()
    }

    /// When the first change came of all that the store is not known to have,
    /// whether or not a write has it that is under way.
    pub(super) fn oldest_unsaved(&self) -> Option<Duration> {
        let documents = self.documents.values();
        let since = documents.filter_map(|known| known.saving_since.or(known.waits_since));
        since.min()
    }

    /// Since when a document waits to be written, if nothing but that it was
    /// changed by clients has it written.
    pub(super) fn waits_since(&self, doc: &DocId) -> Option<Duration> {
        let known = self.documents.get(doc)?;
        let is_more = known.is_replayed || known.foreign_since.is_some();
        known.unsaved_since.filter(|_| !is_more)
    }

    /// These ids of an update are about to become part of a document, which is to
    /// keep what is deleted.
    pub(super) fn brings_content(&mut self, doc: &DocId, update: &[u8], ids: &Ids) {
        let known = self.known(doc);
        if known.is_loaded {
            let news = known.here.lacking(ids);
            known
                .content
                .add(&Ids::sure_content_of(update).shared_with(&news));
        }
    }

    /// The store was read. Where both hold the same, what is stored counts.
    pub(super) fn reads_content(&mut self, doc: &DocId, body: &[u8], ids: &Ids) {
        let known = self.known(doc);
        known.content = ids.structs().lacking(&known.content);
        known.content.add(&Ids::sure_content_of(body));
    }

    /// What a snapshot lacks of the content that a document was given.
    pub(super) fn content_lacks(&self, doc: &DocId, body: &[u8]) -> Ids {
        Ids::content_of(body).lacking(&self.documents[doc].content)
    }

    /// An update comes from another node, which has it, and has looked after what
    /// is durable of it. Deletes may be told that follow from others.
    pub(super) fn comes_from_elsewhere(
        &mut self,
        now: Duration,
        doc: &DocId,
        ids: &Ids,
        is_durable: bool,
    ) {
        let known = self.known(doc);
        let news = known.here.lacking(ids);
        if news.is_empty() {
            return;
        }
        known.is_foreign = true;
        known.foreign_since.get_or_insert(now);
        if is_durable {
            known.durable.add(&news.structs());
        }
        known.elsewhere.add(&news.deletes());
        self.applied(doc, ids);
    }

    /// Whether something came from another node that is not known to be stored.
    pub(super) fn holds_foreign(&self, doc: &DocId) -> bool {
        self.documents
            .get(doc)
            .is_some_and(|known| known.is_foreign)
    }

    /// What another node has stored is known to be here, and to be all of it or
    /// not.
    pub(super) fn adopted(&mut self, doc: &DocId, is_whole: bool) {
        let known = self.known(doc);
        if is_whole {
            known.stored = known.here.clone();
            known.unsaved_since = None;
            (known.waits_since, known.saving_since) = (None, None);
            (known.unsaved_bytes, known.saving_bytes) = (0, 0);
            known.is_bereft = false;
            (known.is_foreign, known.foreign_since) = (false, None);
            known.durable.add(&known.here);
        }
    }

    /// The journal has a record.
    pub(super) fn recorded(&mut self, doc: &DocId, position: Position, ids: &Ids) {
        let known = self.known(doc);
        known.durable.add(ids);
        known.records.insert(position, ids.clone());
    }

    /// The journal was read: these are its records.
    pub(super) fn replays(&mut self, doc: &DocId, records: impl Iterator<Item = (Position, Ids)>) {
        let known = self.known(doc);
        known.records = records.collect();
        for ids in known.records.values() {
            known.durable.add(ids);
        }
    }

    /// The journal has forgotten records.
    pub(super) fn trimmed(&mut self, doc: &DocId, through: Position) {
        let known = self.known(doc);
        known.records.retain(|position, _| *position > through);
    }

    /// An update of a client was taken.
    pub(super) fn taken(&mut self, doc: &DocId, ids: &Ids, bytes: usize) {
        self.is_unsaved(doc, ids, bytes);
        self.applied(doc, ids);
    }

    fn is_unsaved(&mut self, doc: &DocId, ids: &Ids, bytes: usize) {
        let known = self.known(doc);
        if known.is_loaded && !known.here.cover(ids) {
            known.unsaved_bytes += bytes;
        }
    }

    /// A document is in memory now, with what is stored and replayed.
    pub(super) fn loaded(&mut self, doc: &DocId) {
        let known = self.known(doc);
        known.is_loaded = true;
        known.is_foreign = false;
        known.is_replayed = !known.records.is_empty();
        known.here = known.stored.clone();
        for ids in known.records.values() {
            known.here.add(ids);
        }
    }

    /// A document leaves memory.
    pub(super) fn unloaded(&mut self, doc: &DocId) -> Result<(), Violation> {
        let known = self.known(doc);
        let kept = known.kept();
        Invariant::LeftClean.holds(kept.cover(&known.here), || {
            format!("{doc}: nobody keeps {:?}", kept.lacking(&known.here))
        })?;
        known.leaves();
        Ok(())
    }

    /// A document has failed and is in memory no more. Only what the store and
    /// the journal have of it can be relied on.
    pub(super) fn failed(&mut self, doc: &DocId) {
        self.news.remove(doc);
        let known = self.known(doc);
        known.leaves();
        known.saving = Ids::default();
    }

    /// Something of a client became part of a document.
    pub(super) fn is_changed(&mut self, now: Duration, doc: &DocId) {
        let known = self.known(doc);
        known.unsaved_since.get_or_insert(now);
        known.waits_since.get_or_insert(now);
    }

    /// Documents with changes that wait to be written since before then.
    pub(super) fn unsaved_before(&self, then: Duration) -> impl Iterator<Item = &DocId> {
        let documents = self.documents.iter();
        let waits = move |known: &Known| known.unsaved_since.is_some_and(|since| since < then);
        documents
            .filter(move |(_, known)| waits(known))
            .map(|(doc, _)| doc)
    }

    /// Documents with something of other nodes that waits to be stored since
    /// before then.
    pub(super) fn foreign_before(&self, then: Duration) -> impl Iterator<Item = &DocId> {
        let waits = move |known: &Known| known.foreign_since.is_some_and(|since| since < then);
        let waiting = self.documents.iter().filter(move |(_, known)| waits(known));
        waiting.map(|(doc, _)| doc)
    }

    /// Whether a frame may tell this of a document.
    pub(super) fn may_tell(
        &mut self,
        doc: &DocId,
        told: &Ids,
        must_be_durable: bool,
    ) -> Result<(), Violation> {
        let stranger = told.clients().find(|client| !is_at_home(*client, doc));
        Invariant::Apart.holds(stranger.is_none(), || {
            format!("{doc}: told of client {stranger:?}")
        })?;
        let known = self.known(doc);
        let lacking = || known.not_implied(&known.durable.lacking(told));
        let may = !must_be_durable || known.durable.cover(told) || lacking().is_empty();
        Invariant::SentDurable.holds(may, || {
            format!("{doc}: told, and not durable: {:?}", lacking())
        })
    }

    /// Whether nothing is told of what is not part of a document yet, but what may be
    /// known to be deleted because its parent is.
    pub(super) fn tells_nothing_of(&self, doc: &DocId, news: &Ids, told: &Ids) -> bool {
        let early = told.shared_with(news);
        early.is_empty() || self.documents[doc].not_implied(&early).is_empty()
    }

    /// What the first records of a document, up to a position, hold and the
    /// stored object does not.
    pub(super) fn uncovered(&self, doc: &DocId, through: Position) -> Option<(Position, Ids)> {
        let known = self.documents.get(doc)?;
        let records = known.records.range(..=through);
        let mut lost = records.filter(|(_, ids)| !known.stored.cover(ids));
        let (position, ids) = lost.next()?;
        Some((*position, known.stored.lacking(ids)))
    }

    pub(super) fn holds_records(&self, doc: &DocId) -> bool {
        let known = self.documents.get(doc);
        known.is_some_and(|known| !known.records.is_empty())
    }

    /// Whether the store or the journal has all of a document.
    pub(super) fn is_kept(&self, doc: &DocId) -> bool {
        let known = self.documents.get(doc);
        known.is_none_or(|known| known.kept().cover(&known.here))
    }

    /// Whether the stored object of a document was gone or damaged when it was
    /// looked at last.
    pub(super) fn is_bereft(&self, doc: &DocId) -> bool {
        self.documents.get(doc).is_some_and(|known| known.is_bereft)
    }

    /// Whether the store has all of a document, that of the journal included.
    pub(super) fn is_saved(&self, doc: &DocId) -> bool {
        self.documents.get(doc).is_none_or(|known| {
            let mut records = known.records.values();
            let lacking = known.not_implied(&known.stored.lacking(&known.here));
            lacking.is_empty() && records.all(|ids| known.stored.cover(ids))
        })
    }

    /// Something is part of a document from now on.
    fn applied(&mut self, doc: &DocId, ids: &Ids) {
        let known = self.known(doc);
        if known.is_loaded {
            let news = known.here.lacking(ids);
            known.here.add(ids);
            self.news.entry(doc.clone()).or_default().add(&news);
        }
    }

    fn known(&mut self, doc: &DocId) -> &mut Known {
        if !self.documents.contains_key(doc) {
            self.documents.insert(doc.clone(), Known::default());
        }
        self.documents.get_mut(doc).expect("it was just put there")
    }
}

impl Known {
    /// It is in memory no more.
    fn leaves(&mut self) {
        self.is_loaded = false;
        (self.here, self.implied) = (Ids::default(), Ids::default());
        (self.elsewhere, self.content) = (Ids::default(), Ids::default());
        (self.foreign_since, self.unsaved_since) = (None, None);
        (self.waits_since, self.saving_since) = (None, None);
        (self.unsaved_bytes, self.saving_bytes) = (0, 0);
    }

    /// Without what is known to be deleted because its parent is, or may be.
    fn not_implied(&self, ids: &Ids) -> Ids {
        self.elsewhere.lacking(&self.implied.lacking(ids))
    }

    fn kept(&self) -> Ids {
        let mut kept = self.stored.clone();
        kept.add(&self.implied);
        kept.add(&self.elsewhere);
        self.records.values().for_each(|ids| kept.add(ids));
        kept
    }
}
