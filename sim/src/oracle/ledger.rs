//! What the world as a whole must not lose.

use std::{collections::BTreeMap, time::Duration};

use ysyncd_engine::{DocId, Etag};

use super::{Ids, Invariant, Violation, Watch, is_judged};
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
    /// All that was ever in the store, or reported by a journal as durable,
    /// unless somebody removed it.
    durable: Ids,
    /// What was stored when somebody removed it, and is not stored again.
    removed: Ids,
    /// Without journals: what nodes took and the store does not have.
    taken: Vec<Taken>,
    /// What each version of the object held, where nodes tell each other.
    versions: BTreeMap<String, Ids>,
}

/// What a node without a journal took.
#[derive(Debug)]
struct Taken {
    node: usize,
    at: Duration,
    ids: Ids,
}

impl Ledgers {
    /// An object was written, by whomever. It must lose nothing of what it
    /// replaces.
    pub(crate) fn landed(&mut self, doc: &DocId, body: &[u8]) -> Result<(), Violation> {
        if !is_judged(doc) {
            return Ok(());
        }
        let ledger = self.ledger(doc);
        let stored = Ids::of(body).map_err(|error| {
            let detail = format!("a stored snapshot is no update: {error}");
            Invariant::Monotone.violated(detail)
        })?;
        Invariant::Monotone.holds(stored.cover(&ledger.stored), || {
            format!("{doc}: a write drops {:?}", stored.lacking(&ledger.stored))
        })?;
        ledger.durable.add(&stored);
        ledger.removed = stored.lacking(&ledger.removed);
        ledger.taken.retain(|taken| !stored.cover(&taken.ids));
        ledger.stored = stored;
        Ok(())
    }

    /// The object that was written last got this name.
    pub(crate) fn named(&mut self, doc: &DocId, etag: &Etag) {
        if is_judged(doc) {
            let ledger = self.ledger(doc);
            let (name, ids) = (etag.0.to_string(), ledger.stored.clone());
            ledger.versions.insert(name, ids);
        }
    }

    /// A node that holds so much takes an object for stored that another one has
    /// written, which holds all of it or not.
    pub(crate) fn adopted(
        &mut self,
        doc: &DocId,
        etag: &Etag,
        here: &Ids,
        is_whole: bool,
    ) -> Result<(), Violation> {
        if !is_judged(doc) {
            return Ok(());
        }
        let body = self.ledger(doc).versions.get(&*etag.0);
        let Some(body) = body.cloned() else {
            let detail = format!("{doc}: no object was called {etag:?}");
            return Err(Invariant::AdoptedTruly.violated(detail));
        };
        Invariant::AdoptedTruly.holds(here.cover(&body), || {
            format!("{doc}: {:?} is stored, and not here", here.lacking(&body))
        })?;
        Invariant::AdoptedTruly.holds(!is_whole || body.cover(here), || {
            format!("{doc}: not stored is {:?}", body.lacking(here))
        })
    }

    /// Somebody removed the object: what it held may be gone. The rest may not.
    pub(crate) fn vanished(&mut self, doc: &DocId) {
        let ledger = self.ledger(doc);
        let removed = std::mem::take(&mut ledger.stored);
        ledger.removed.add(&removed);
        ledger.durable = removed.lacking(&ledger.durable);
    }

    /// A node without a journal has taken an update.
    pub(crate) fn taken(&mut self, node: usize, at: Duration, doc: &DocId, ids: Ids) {
        let ledger = self.ledger(doc);
        if !ledger.stored.cover(&ids) {
            ledger.taken.push(Taken { node, at, ids });
        }
    }

    /// A document of a node has failed. Without a journal, what the node took
    /// comes back with clients, or not.
    pub(crate) fn failed(&mut self, node: usize, doc: &DocId) {
        if let Some(ledger) = self.documents.get_mut(doc) {
            ledger.taken.retain(|taken| taken.node != node);
        }
    }

    /// What must not be lost, and the stored object does not hold.
    pub(crate) fn unstored(&self, doc: &DocId) -> Option<Ids> {
        let ledger = self.documents.get(doc)?;
        let lacking = ledger.stored.lacking(&ledger.durable);
        (!ledger.stored.cover(&ledger.durable)).then_some(lacking)
    }

    /// What a node without a journal took, and the stored object does not hold.
    pub(crate) fn taken_in_vain(&self, doc: &DocId) -> Option<&Ids> {
        let taken = self.documents.get(doc)?.taken.first()?;
        Some(&taken.ids)
    }

    /// An engine has ended, and the journals are as the next ones will find
    /// them.
    pub(crate) fn survive(
        &mut self,
        watch: &Watch,
        journals: &[&Journal],
    ) -> Result<(), Violation> {
        for (doc, durable) in watch.durable() {
            let ledger = self.ledger(doc);
            ledger.durable.add(&ledger.removed.lacking(durable));
        }
        for (doc, ledger) in &mut self.documents {
            let kept = ledger.kept(doc, journals);
            let is_damaged = journals.iter().any(|journal| journal.is_damaged(doc));
            Invariant::Survives.holds(is_damaged || kept.cover(&ledger.durable), || {
                format!("{doc}: gone is {:?}", kept.lacking(&ledger.durable))
            })?;
            // Some may be there that nobody was told of.
            ledger.durable.add(&kept);
        }
        Ok(())
    }

    /// A node without a journal has ended. What it took before `since` must be
    /// in the store; the rest may be lost.
    pub(crate) fn lose_window(&mut self, node: usize, since: Duration) -> Result<(), Violation> {
        for (doc, ledger) in &mut self.documents {
            let of_node = |taken: &mut Taken| taken.node == node;
            let mut lost = ledger.taken.extract_if(.., of_node);
            if let Some(Taken { at, ids, .. }) = lost.find(|taken| taken.at < since) {
                let detail = format!("{doc}: lost is what was taken at {at:?}: {ids:?}");
                return Err(Invariant::LossWindow.violated(detail));
            }
        }
        Ok(())
    }

    fn ledger(&mut self, doc: &DocId) -> &mut Ledger {
        self.documents.entry(doc.clone()).or_default()
    }
}

impl Ledger {
    /// What is left if all processes end.
    fn kept(&self, doc: &DocId, journals: &[&Journal]) -> Ids {
        let mut kept = self.stored.clone();
        let records = journals.iter().flat_map(|journal| journal.records(doc));
        for (_, record) in records.filter(|(_, record)| record.is_sure) {
            kept.add(&Ids::of_valid(&record.update));
        }
        kept
    }
}
