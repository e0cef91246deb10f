//! What must not be lost.

use std::collections::BTreeMap;

use ysyncd_engine::{
    DocId,
    protocol::{Message, Messages},
};

use super::{Invariant, Violation, ids::Ids};
use crate::journal::Journal;

/// What must not be lost of each document. Outlives engines.
#[derive(Debug, Default)]
pub(crate) struct Ledgers {
    documents: BTreeMap<DocId, Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    /// The stored object.
    stored: Ids,
    /// All that was ever in the store, or reported by the journal as durable.
    durable: Ids,
    /// Without a journal: all that this engine took from its connections.
    taken: Ids,
}

impl Ledgers {
    /// An object was written, by whomever. It must lose nothing of what it
    /// replaces.
    pub(crate) fn landed(&mut self, doc: &DocId, body: &[u8]) -> Result<(), Violation> {
        let ledger = self.ledger(doc);
        let stored = Ids::of(body).map_err(|error| {
            let detail = format!("a stored snapshot is no update: {error}");
            Invariant::Monotone.violated(detail)
        })?;
        if !stored.cover(&ledger.stored) {
            return Err(Invariant::Monotone.violated("a write drops what was stored"));
        }
        ledger.durable.add(stored.clone());
        ledger.stored = stored;
        Ok(())
    }

    /// The journal has told the engine that it has an update.
    pub(super) fn journaled(&mut self, doc: &DocId, update: &[u8]) {
        self.ledger(doc).durable.add(ids(update));
    }

    /// An engine without a journal has taken what a frame says.
    pub(crate) fn taken(&mut self, doc: &DocId, frame: &[u8]) {
        let ledger = self.ledger(doc);
        let mut messages = Messages::new(frame);
        while let Ok(Some(message)) = messages.read_next() {
            if let Message::SyncStep2(update) | Message::Update(update) = message {
                ledger.taken.add(ids(update));
            }
        }
    }

    /// Whether the stored object holds an update.
    pub(super) fn is_stored(&self, doc: &DocId, update: &[u8]) -> bool {
        let ledger = self.documents.get(doc);
        ledger.is_some_and(|ledger| ledger.stored.cover(&ids(update)))
    }

    /// Whether the stored object holds all that must not be lost.
    pub(crate) fn is_all_stored(&self, doc: &DocId) -> bool {
        let ledger = self.documents.get(doc);
        ledger.is_none_or(
            |Ledger {
                 stored,
                 durable,
                 taken,
             }| { stored.cover(durable) && stored.cover(taken) },
        )
    }

    /// A frame is sent. What it tells of the document must be durable.
    pub(super) fn sent(&mut self, doc: &DocId, frame: &[u8]) -> Result<(), Violation> {
        let durable = &self.ledger(doc).durable;
        let mut messages = Messages::new(frame);
        while let Ok(Some(message)) = messages.read_next() {
            let told = match message {
                Message::SyncStep1(known) => Ids::below(known),
                Message::SyncStep2(update) | Message::Update(update) => Ids::of(update),
                Message::Awareness(_) | Message::QueryAwareness => continue,
            };
            let told = told.map_err(|error| Invariant::Understood.violated(error))?;
            if !durable.cover(&told) {
                let detail = format!("{doc}: not durable, and told: {message:02x?}");
                return Err(Invariant::SentDurable.violated(detail));
            }
        }
        Ok(())
    }

    /// A document leaves memory.
    pub(super) fn left(&mut self, doc: &DocId, journal: &Journal) -> Result<(), Violation> {
        let ledger = self.ledger(doc);
        let kept = ledger.kept(doc, journal);
        match kept.cover(&ledger.durable) && kept.cover(&ledger.taken) {
            true => Ok(()),
            false => Err(Invariant::LeftClean.violated("something that was taken is not kept")),
        }
    }

    /// The engine has ended, and the journal is as the next one will find it.
    pub(crate) fn survive(&mut self, journal: &Journal) -> Result<(), Violation> {
        for (doc, ledger) in &mut self.documents {
            let kept = ledger.kept(doc, journal);
            if !journal.is_damaged(doc) && !kept.cover(&ledger.durable) {
                let detail = format!("{doc}: what was durable is gone");
                return Err(Invariant::Survives.violated(detail));
            }
            // Some may be there that nobody was told of.
            for (_, record) in journal.records(doc) {
                ledger.durable.add(ids(&record.update));
            }
            ledger.taken = Ids::default();
        }
        Ok(())
    }

    /// A shutdown is over, and the lists tell how.
    pub(super) fn drained(
        &self,
        unsaved: &[DocId],
        journaled: &[DocId],
        is_staged: impl Fn(&DocId) -> bool,
        may_be_journaled: impl Fn(&DocId) -> bool,
    ) -> Result<(), Violation> {
        let untrue = |doc: &DocId, detail: &str| {
            let detail = format!("{doc}: {detail}; unsaved {unsaved:?}, journaled {journaled:?}");
            Err(Invariant::DrainedTruly.violated(detail))
        };
        for doc in self.documents.keys() {
            let (is_unsaved, is_journaled) = (unsaved.contains(doc), journaled.contains(doc));
            match () {
                () if is_unsaved != is_staged(doc) => {
                    return untrue(doc, "unsaved is what waits for the journal");
                }
                () if !is_unsaved && !is_journaled && !self.is_all_stored(doc) => {
                    return untrue(doc, "the store does not have it");
                }
                () if is_journaled && !may_be_journaled(doc) => {
                    return untrue(doc, "the journal does not have it");
                }
                () => {}
            }
        }
        Ok(())
    }

    /// The same where there is no journal. What was written may be taken for
    /// unsaved if the answer did not come, but not the other way round.
    pub(super) fn drained_without_journal(&self, unsaved: &[DocId]) -> Result<(), Violation> {
        let is_lost = |doc: &&DocId| !self.is_all_stored(doc) && !unsaved.contains(doc);
        match self.documents.keys().find(is_lost) {
            Some(doc) => {
                let detail = format!("{doc} is lost, and only {unsaved:?} said to be");
                Err(Invariant::DrainedTruly.violated(detail))
            }
            None => Ok(()),
        }
    }

    fn ledger(&mut self, doc: &DocId) -> &mut Ledger {
        self.documents.entry(doc.clone()).or_default()
    }
}

impl Ledger {
    /// What is left if the process ends.
    fn kept(&self, doc: &DocId, journal: &Journal) -> Ids {
        let mut kept = self.stored.clone();
        for (_, record) in journal.records(doc).filter(|(_, record)| record.is_sure) {
            kept.add(ids(&record.update));
        }
        kept
    }
}

fn ids(update: &[u8]) -> Ids {
    Ids::of(update).expect("clients send updates")
}
