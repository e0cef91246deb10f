//! Updates that are refused: only for want of what they are refused for.

use ysyncd_engine::{
    Config, DocId, Rejection, Status,
    protocol::{Message, Messages},
};

use super::{Ids, Invariant, Violation, Watch, growth::writers, is_judged};
use crate::swarm::ENOUGH;

/// What one engine refuses with the input under way.
#[derive(Debug)]
pub(super) struct Refusals {
    unsaved_bytes_max: usize,
    unsaved_bytes_total_max: usize,
    /// Deletes of what is unknown are another reason to refuse.
    knows_no_deletes_max: bool,
    documents_growth_max: usize,
    /// Whether something was refused as too much is unsaved.
    for_room: bool,
    /// Whether something was refused as documents take too much memory.
    for_memory: bool,
}

impl Refusals {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            unsaved_bytes_max: config.unsaved_bytes_max,
            unsaved_bytes_total_max: config.unsaved_bytes_total_max,
            knows_no_deletes_max: config.pending_delete_ranges_max >= ENOUGH,
            documents_growth_max: config.documents_growth_max,
            for_room: false,
            for_memory: false,
        }
    }
}

impl Watch {
    /// An update of the message under way, or one whose record failed, is
    /// refused.
    pub(super) fn refused(&mut self, doc: &DocId, reason: Rejection) -> Result<(), Violation> {
        let detail = |detail: &str| format!("{doc}: {detail}, and an update is refused: {reason}");
        match reason {
            Rejection::NotDurable => Invariant::RefusedForCause
                .holds(self.journal.has_failed(), || detail("the journal works")),
            Rejection::NotSaved => {
                self.refusals.for_room = true;
                Ok(())
            }
            Rejection::MemoryFull => {
                self.refusals.for_memory = true;
                Ok(())
            }
            Rejection::TooManyGaps if self.refusals.knows_no_deletes_max && is_judged(doc) => {
                let here = self.documents.all_here(doc);
                let others = self.gaps_on_their_way(doc);
                let is_for_cause = self.gaps.are_too_many(here, others);
                Invariant::RefusedForCause.holds(is_for_cause, || {
                    let gaps = here.gap_runs();
                    detail(&format!(
                        "there are {gaps} gaps and at most {others} to come"
                    ))
                })
            }
            Rejection::TooManyGaps => Ok(()),
            // What intruders write is not looked into.
            Rejection::DocumentFull | Rejection::TooManyClients | Rejection::TooDeep
                if !is_judged(doc) =>
            {
                Ok(())
            }
            Rejection::DocumentFull => Invariant::RefusedForCause
                .holds(self.growth.is_full(doc, &self.message), || {
                    detail("it is not full")
                }),
            Rejection::TooManyClients => {
                let known = self.here_or_on_its_way(doc);
                let is_for_cause = self.growth.has_too_many_clients(&self.message, &known);
                Invariant::RefusedForCause
                    .holds(is_for_cause, || detail("its clients are not too many"))
            }
            Rejection::TooDeep => Invariant::RefusedForCause
                .holds(self.growth.may_be_too_deep(doc, &self.message), || {
                    detail("there are not so many types")
                }),
        }
    }

    /// What a document holds, and all that was handed to the journal since it last
    /// had nothing to do for it.
    pub(super) fn here_or_on_its_way(&self, doc: &DocId) -> Ids {
        let mut known = self.documents.all_here(doc).clone();
        for update in self.journal.staged_since_idle(doc) {
            known.add(&Ids::of_valid(update));
        }
        known
    }

    /// How many gaps the message under way may open, with all that was handed
    /// to the journal since it last had nothing to do for this document.
    fn gaps_on_their_way(&self, doc: &DocId) -> usize {
        let staged = self.journal.staged_since_idle(doc).iter();
        let staged: usize = staged.map(|update| Ids::of_valid(update).runs()).sum();
        let mut messages = Messages::new(&self.message);
        let mut said = 0;
        while let Ok(Some(message)) = messages.read_next() {
            if let Message::SyncStep2(update) | Message::Update(update) = message {
                said += Ids::of_valid(update).runs();
            }
        }
        staged + said
    }

    /// What was refused as too much is unsaved would have been too much.
    pub(super) fn refused_for_room(&mut self, status: &Status) -> Result<(), Violation> {
        if std::mem::take(&mut self.refusals.for_memory) {
            let more = self.message.len() + writers(&self.message) * Config::CLIENT_BYTES;
            let bytes = status.documents_bytes;
            let is_for_cause = bytes + more > self.refusals.documents_growth_max;
            Invariant::RefusedForCause.holds(is_for_cause, || {
                format!("an update that takes {more} bytes is refused where documents take {bytes}")
            })?;
        }
        if !std::mem::take(&mut self.refusals.for_room) {
            return Ok(());
        }
        let limits = &self.refusals;
        // No document can have had more unsaved than all have now.
        let here = status.unsaved_bytes;
        let all = here + self.journal.bytes_left(|doc| self.documents.is_loaded(doc));
        let more = self.message.len();
        let is_too_much = |bytes: usize, most: usize| bytes > 0 && bytes + more > most;
        let is_for_cause = is_too_much(here, limits.unsaved_bytes_max)
            || is_too_much(all, limits.unsaved_bytes_total_max);
        Invariant::RefusedForCause.holds(is_for_cause, || {
            format!("an update of {more} bytes is refused where at most {all} are unsaved")
        })
    }
}
