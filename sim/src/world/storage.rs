//! What happens at the store and at the journal.

use std::time::Duration;

use rand::RngExt;
use ysyncd_engine::{Condition, Input, StoreCommand, document::DocumentState};

use super::{Event, World, not_understood};
use crate::{journal::Answers, oracle::Violation, store::Operation};

impl World {
    pub(super) fn land(
        &mut self,
        engine: u64,
        operation: &Operation,
        answer: Duration,
    ) -> Result<(), Violation> {
        let (StoreCommand::Load { doc } | StoreCommand::Save { doc, .. }) = &operation.command;
        let etag = |world: &Self| world.store.object(doc).map(|stored| stored.etag.clone());
        let before = etag(self);
        let result = self.store.carry_out(operation);
        if before != etag(self)
            && let Some(stored) = self.store.object(doc)
        {
            self.ledgers.landed(doc, &stored.body)?;
        }
        let delay = answer.saturating_sub(self.now);
        self.after(delay, Event::Answer(engine, operation.op, result));
        Ok(())
    }

    /// The journal takes up what has gathered, if it has nothing to do.
    pub(super) fn start_batch(&mut self) {
        let faults = (!self.healed).then_some(&self.swarm.journal);
        if let Some(delay) = self.journal.begin(faults) {
            self.after(delay, Event::JournalLands(self.engines));
        }
    }

    /// The batch under way takes effect; its answers follow.
    pub(super) fn journal_lands(&mut self) {
        let faults = (!self.healed).then_some(&self.swarm.journal);
        let answers = self.journal.land(self.now, faults);
        let delay = self.journal.delay(faults);
        self.journal_free = self.journal_free.max(self.now + delay);
        let event = Event::JournalAnswers(self.engines, answers);
        self.after(self.journal_free - self.now, event);
        self.start_batch();
    }

    pub(super) fn journal_answers(
        &mut self,
        engine: u64,
        answers: Answers,
    ) -> Result<(), Violation> {
        for (op, result) in answers {
            // It may end at any of them.
            if engine != self.engines {
                return Ok(());
            }
            self.oracle.journaled(op, &result, &mut self.ledgers);
            self.input(Input::Journal { op, result })?;
        }
        Ok(())
    }

    /// Somebody else, say another node, reads, edits and writes.
    pub(super) fn write_as_other(&mut self) -> Result<(), Violation> {
        if self.healed {
            return Ok(());
        }
        let pause = self.swarm.other_writer.expect("there is one");
        self.after(pause, Event::OtherWriter);
        let (others, rng) = &mut self.other_writers;
        let at = rng.random_range(0..others.len());
        let (doc, other) = (&self.docs[at], &mut others[at]);
        if self.journal.is_damaged(doc) {
            return Ok(());
        }
        let mut state = DocumentState::default();
        let mut condition = Condition::Absent;
        if let Some(snapshot) = self.store.object(doc) {
            other.apply(&snapshot.body).map_err(not_understood)?;
            state.apply(&snapshot.body).expect("it was checked");
            condition = Condition::Matches(snapshot.etag.clone());
        }
        for update in other.edit(rng) {
            state.apply(&update).expect("clients send updates");
            self.log[at].push(update);
        }
        let body = state.encode();
        self.ledgers.landed(doc, &body)?;
        let written = self.store.write(doc, body, &condition);
        written.expect("nobody came between");
        self.note(format_args!("somebody else writes document {at}"));
        Ok(())
    }
}
