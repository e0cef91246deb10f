//! Panics in the code of one document: none is known, and one that comes all
//! the same costs that document's connections, and nobody else's.
//!
//! A document shares nothing with others and returns effects. So if it panics
//! halfway, these are dropped, and it is in no state to go on: it is dropped,
//! too, and its clients are told. What the journal holds of it is brought back
//! with the stored snapshot when somebody opens it, or by the engine itself.
//! An update that the journal was still to take comes back so, too, as the
//! journal does one thing after the other. Without a journal, what no snapshot
//! held is gone from here, and comes back with the clients that have it.
//!
//! If it was a record or the snapshot that made it panic it does so again, and
//! is loaded ever more seldom.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use super::{DocKey, Engine};
use crate::{
    config::Config,
    document::Left,
    event::Event,
    id::{ConnId, DocId, OpId},
    journal_health::JournalHealth,
    output::{CloseCode, Output, Refusal},
    random::Jitter,
};

/// Documents whose failures are remembered.
const REMEMBERED_MAX: usize = 1_024;

/// What clients are told.
const REASON: &str = "the document met an error in the server; connect again to go on";

/// Runs the code of one document. If it panics, what it worked on must not be
/// used again.
///
/// # Errors
/// What the panic said.
pub(super) fn contain<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(code)).map_err(|payload| message(&*payload))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text").to_owned()
}

impl Engine {
    /// The code of a document has panicked: it goes, and its connections go.
    pub(super) fn quarantine(&mut self, now: Duration, key: DocKey, message: String) {
        // Nothing of what it did last gets out.
        self.effects.clear();
        let was_full = self.is_half_full();
        let slot = self.take_out(key);
        self.abandon_operations(key, &slot.name);
        let (config, jitter) = (&self.config, &mut self.jitter);
        self.failures.note(now, &slot.name, config, jitter);
        self.event(Event::DocumentFailed {
            doc: slot.name.clone(),
            message,
        });
        self.send_off(key, &slot.name);
        if self.journaling.health() != JournalHealth::Off {
            // What it said of its records is not to be relied on any more.
            let entry = slot.entry.unwrap_or_default();
            let entry = match slot.is_loading {
                true => entry,
                false => entry.with_bytes(slot.share.unsaved),
            };
            let (config, jitter) = (&self.config, &mut self.jitter);
            self.backlog
                .put(now, slot.name, entry, Left::Failed, config, jitter);
        }
        if was_full && !self.is_half_full() {
            self.tell_room(now);
        }
    }

    /// What is being done for a document is of no use to it any more.
    fn abandon_operations(&mut self, key: DocKey, doc: &DocId) {
        self.operations.retain(|_, document| *document != key);
        for op in self.journal_operations.abandon(key) {
            self.failures.appending.insert(op, doc.clone());
        }
    }

    /// Refuses those who wait for a document, and closes those who have it
    /// open. Who is which is known from what they were told.
    fn send_off(&mut self, key: DocKey, doc: &DocId) {
        let of_document = self
            .connections
            .extract_if(.., |_, link| link.document == key);
        let of_document: Vec<_> = of_document.collect();
        for (conn, link) in of_document {
            self.answers.closed(&link.user, conn);
            match link.is_accepted {
                true => self.close_failed(conn, doc),
                false => self.outputs.push_back(Output::Refuse {
                    conn,
                    reason: Refusal::InternalError,
                }),
            }
        }
    }

    fn close_failed(&mut self, conn: ConnId, doc: &DocId) {
        let code = CloseCode::InternalError;
        self.event(Event::ConnectionClosed {
            conn,
            doc: doc.clone(),
            code,
            reason: REASON.into(),
        });
        self.outputs.push_back(Output::Close {
            conn,
            code,
            reason: REASON.into(),
        });
    }
}

/// Documents that failed of late, and what is left of that.
#[derive(Debug, Default)]
pub(super) struct Failures {
    documents: BTreeMap<DocId, Failure>,
    /// Updates that were on their way to the journal then and still are. A
    /// shutdown waits for them as for those of other documents.
    appending: BTreeMap<OpId, DocId>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    in_a_row: u32,
    /// Nobody loads it before.
    until: Duration,
}

impl Failures {
    /// A document has failed. The pause until it is loaded again doubles with
    /// each failure, and is short again once it was well for the longest.
    pub(super) fn note(
        &mut self,
        now: Duration,
        doc: &DocId,
        config: &Config,
        jitter: &mut Jitter,
    ) {
        let before = self.documents.get(doc);
        let before = before.filter(|failure| now < failure.until + config.retry_delay_max);
        let in_a_row = before.map_or(0, |failure| failure.in_a_row);
        let longest = config.retry_delay_min * (1 << in_a_row.min(20));
        let pause = jitter.up_to(longest.min(config.retry_delay_max));
        let failure = Failure {
            in_a_row: in_a_row + 1,
            until: now + pause,
        };
        self.documents.insert(doc.clone(), failure);
        if self.documents.len() > REMEMBERED_MAX {
            self.forget_one();
        }
    }

    /// Whether it is too early to load a document for somebody who opens it.
    pub(super) fn holds_back(&self, now: Duration, doc: &DocId) -> bool {
        let failure = self.documents.get(doc);
        failure.is_some_and(|failure| now < failure.until)
    }

    /// The journal has answered, up to this operation.
    pub(super) fn answered(&mut self, through: OpId) {
        while let Some(first) = self.appending.first_entry()
            && *first.key() <= through
        {
            first.remove();
        }
    }

    /// Documents of which the journal is still to take what it was handed
    /// before they failed.
    pub(super) fn appending(&self) -> BTreeSet<&DocId> {
        self.appending.values().collect()
    }

    /// Forgets the one that may be loaded first.
    fn forget_one(&mut self) {
        let documents = self.documents.iter();
        let first = documents.min_by_key(|(_, failure)| failure.until);
        if let Some(doc) = first.map(|(doc, _)| doc.clone()) {
            self.documents.remove(&doc);
        }
    }
}

#[cfg(test)]
mod tests;
