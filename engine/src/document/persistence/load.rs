//! How a document comes into memory: the snapshot, with what the journal holds on
//! top of it.

use super::{super::DocumentState, Context, Document, Doing};
use crate::{
    effect::Effects,
    event::Event,
    journal::{JournalError, JournalRecord},
    marks::{self, Mark},
    output::Refusal,
    planted::{self, Bug},
    store::{Snapshot, StoreError},
};

impl Document {
    /// The first read has ended.
    pub(in crate::document) fn loaded(
        &mut self,
        cx: Context<'_>,
        loaded: Result<Option<Snapshot>, StoreError>,
        out: &mut Effects,
    ) {
        self.persistence.doing = Doing::Nothing;
        let doc = self.id.clone();
        match loaded {
            Ok(None) => self.replay_and_live(cx, 0, out),
            Ok(Some(snapshot)) => match DocumentState::load(&snapshot.body) {
                Ok(state) => {
                    self.state = state;
                    self.persistence.stored = Some(snapshot.etag);
                    self.persistence.stored_is_empty = self.state.is_empty();
                    self.replay_and_live(cx, snapshot.body.len(), out);
                }
                Err(_) if planted::is(Bug::UndecodableTakenForEmpty) => {
                    self.persistence.stored = Some(snapshot.etag);
                    self.replay_and_live(cx, 0, out);
                }
                Err(reason) => {
                    marks::hit(Mark::Undecodable);
                    let event = Event::DocumentUndecodable { doc, reason };
                    self.refuse_all(Refusal::Undecodable, event, out);
                }
            },
            Err(_) if planted::is(Bug::LoadErrorTakenForAbsence) => {
                self.replay_and_live(cx, 0, out);
            }
            Err(error) => {
                marks::hit(Mark::LoadFailed);
                let event = Event::DocumentLoadFailed { doc, error };
                self.refuse_all(Refusal::LoadFailed, event, out);
            }
        }
    }

    /// The journal has read what it holds of the document: the snapshot is
    /// next.
    pub(crate) fn records_read(
        &mut self,
        read: Result<Vec<JournalRecord>, JournalError>,
        out: &mut Effects,
    ) {
        let doc = self.id.clone();
        match read {
            Ok(records) => {
                self.staging.will_replay(records);
                self.await_load(out);
            }
            Err(JournalError::Damaged(_)) if planted::is(Bug::DamageTakenForEmpty) => {
                self.await_load(out);
            }
            Err(error @ JournalError::Damaged(_)) => {
                marks::hit(Mark::JournalDamaged);
                let event = Event::DocumentJournalDamaged { doc, error };
                self.refuse_all(Refusal::JournalDamaged, event, out);
            }
            Err(JournalError::Failed(reason)) => {
                let error = StoreError::Unavailable(reason);
                let event = Event::DocumentLoadFailed { doc, error };
                self.refuse_all(Refusal::LoadFailed, event, out);
            }
        }
    }

    /// The snapshot is here; what the journal holds comes on top of it.
    fn replay_and_live(&mut self, cx: Context<'_>, bytes: usize, out: &mut Effects) {
        self.bytes = bytes;
        match self.replay(cx) {
            Ok(replayed) => {
                self.become_live(cx, bytes, replayed, out);
                self.forget_covered(cx, out);
            }
            Err(reason) => {
                let doc = self.id.clone();
                let error = JournalError::Damaged(reason.to_string());
                let event = Event::DocumentJournalDamaged { doc, error };
                self.refuse_all(Refusal::JournalDamaged, event, out);
            }
        }
    }
}
