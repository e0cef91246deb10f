//! What must not be lost.

use std::collections::BTreeMap;

use ysyncd_engine::{
    DocId,
    document::DocumentState,
    lib0::Reader,
    protocol::{Message, Messages},
    update::{ClientId, Clock, Update},
};

use super::{Invariant, Violation};
use crate::journal::Journal;

/// What must not be lost of each document. Outlives engines.
#[derive(Debug, Default)]
pub(crate) struct Ledgers {
    documents: BTreeMap<DocId, Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    /// The stored object.
    stored: DocumentState,
    /// All that was ever in the store, or reported by the journal as durable.
    durable: DocumentState,
    /// Without a journal: all that this engine took from its connections.
    taken: DocumentState,
}

impl Ledgers {
    /// An object was written, by whomever. It must lose nothing of what it
    /// replaces.
    pub(crate) fn landed(&mut self, doc: &DocId, body: &[u8]) -> Result<(), Violation> {
        let ledger = self.ledger(doc);
        let mut stored = DocumentState::default();
        stored.apply(body).map_err(|error| {
            let detail = format!("a stored snapshot is no update: {error}");
            Invariant::Monotone.violated(detail)
        })?;
        if !stored.covers(&ledger.stored) {
            return Err(Invariant::Monotone.violated("a write drops what was stored"));
        }
        add(&mut ledger.durable, body);
        ledger.stored = stored;
        Ok(())
    }

    /// The journal has told the engine that it has an update.
    pub(super) fn journaled(&mut self, doc: &DocId, update: &[u8]) {
        add(&mut self.ledger(doc).durable, update);
    }

    /// An engine without a journal has taken what a frame says.
    pub(crate) fn taken(&mut self, doc: &DocId, frame: &[u8]) {
        let ledger = self.ledger(doc);
        for_each_update(frame, |update| add(&mut ledger.taken, update));
    }

    /// Whether the stored object holds an update.
    pub(super) fn is_stored(&self, doc: &DocId, update: &[u8]) -> bool {
        let ledger = self.documents.get(doc);
        ledger.is_some_and(|ledger| !ledger.stored.lacks(&decode(update)))
    }

    /// Whether the stored object holds all that must not be lost.
    pub(crate) fn is_all_stored(&self, doc: &DocId) -> bool {
        let ledger = self.documents.get(doc);
        ledger.is_none_or(
            |Ledger {
                 stored,
                 durable,
                 taken,
             }| { stored.covers(durable) && stored.covers(taken) },
        )
    }

    /// A frame is sent. What it tells of the document must be durable.
    pub(super) fn sent(&mut self, doc: &DocId, frame: &[u8]) -> Result<(), Violation> {
        let durable = &self.ledger(doc).durable;
        let mut messages = Messages::new(frame);
        while let Ok(Some(message)) = messages.read_next() {
            let is_durable = match message {
                Message::SyncStep1(known) => knows(durable, known),
                Message::SyncStep2(update) | Message::Update(update) => {
                    !durable.lacks(&decode(update))
                }
                Message::Awareness(_) | Message::QueryAwareness => true,
            };
            if !is_durable {
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
        match kept.covers(&ledger.durable) && kept.covers(&ledger.taken) {
            true => Ok(()),
            false => Err(Invariant::LeftClean.violated("something that was taken is not kept")),
        }
    }

    /// The engine has ended, and the journal is as the next one will find it.
    pub(crate) fn survive(&mut self, journal: &Journal) -> Result<(), Violation> {
        for (doc, ledger) in &mut self.documents {
            let kept = ledger.kept(doc, journal);
            if !journal.is_damaged(doc) && !kept.covers(&ledger.durable) {
                let detail = format!("{doc}: what was durable is gone");
                return Err(Invariant::Survives.violated(detail));
            }
            // Some may be there that nobody was told of.
            for (_, record) in journal.records(doc) {
                add(&mut ledger.durable, &record.update);
            }
            ledger.taken = DocumentState::default();
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
    fn kept(&self, doc: &DocId, journal: &Journal) -> DocumentState {
        let mut kept = self.stored.clone();
        for (_, record) in journal.records(doc).filter(|(_, record)| record.is_sure) {
            add(&mut kept, &record.update);
        }
        kept
    }
}

fn add(state: &mut DocumentState, update: &[u8]) {
    state.apply_decoded(&decode(update));
}

fn decode(update: &[u8]) -> Update<'_> {
    Update::decode(update).expect("clients and the engine write updates")
}

fn for_each_update(frame: &[u8], mut each: impl FnMut(&[u8])) {
    let mut messages = Messages::new(frame);
    while let Ok(Some(message)) = messages.read_next() {
        if let Message::SyncStep2(update) | Message::Update(update) = message {
            each(update);
        }
    }
}

/// Whether a document holds all that a state vector covers.
fn knows(state: &DocumentState, vector: &[u8]) -> bool {
    let known = state.state_vector();
    let mut reader = Reader::new(vector);
    let mut number = || reader.var_uint().expect("the engine writes state vectors");
    (0..number()).all(|_| {
        let (client, clock) = (ClientId(number()), number());
        Clock::try_from(clock).is_ok_and(|clock| clock <= known.clock(client))
    })
}
