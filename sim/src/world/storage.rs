//! What happens at the store and at the journals.

use std::time::Duration;

use rand::RngExt;
use ysyncd_engine::{Condition, Input, OpId, StoreCommand, StoreResult, document::DocumentState};

use super::{
    Event, Place, World,
    node::{Life, Node},
    not_understood,
};
use crate::{
    journal::{Answer, Answers},
    oracle::{Invariant, Violation},
    store::{Fate, Operation, Reach, Schedule, Store},
};

impl World {
    /// A node asks for something.
    pub(super) fn ask_store(&mut self, node: usize, op: OpId, command: StoreCommand) {
        let is_save = matches!(command, StoreCommand::Save { .. });
        let (fate, Schedule { lands, answers }) = self.plan(node, is_save);
        self.note(Place::Store, format_args!("{op:?} will be {fate:?}"));
        let life = self.life(node);
        if let Some(narration) = &mut self.narration {
            narration.asks_store(self.now, life, op, &command);
        }
        let operation = Operation { op, command, fate };
        if fate == Fate::DoneUnknown {
            // The answer does not wait for the effect.
            self.after(answers, Event::Answer(life, op, Store::unknown()));
            self.after(lands, Event::Lands(life, operation, None));
        } else {
            let answer = self.now + answers;
            self.after(lands, Event::Lands(life, operation, Some(answer)));
        }
    }

    /// What becomes of an operation that a node asks for.
    fn plan(&mut self, node: usize, is_save: bool) -> (Fate, Schedule) {
        let reach = match () {
            () if self.outage_until > self.now => Reach::Nothing,
            () if self.nodes[node].cut_off_until > self.now => Reach::OneWay,
            () => Reach::Whole,
        };
        let faults = (!self.healed).then_some(&self.swarm.store);
        let (fate, schedule) = self.store.plan(faults, reach, is_save);
        if fate != Fate::Done {
            self.store_trouble = self.store_trouble.max(self.now + schedule.answers);
        }
        (fate, schedule)
    }

    /// An operation takes effect, to be answered then if it is not already.
    pub(super) fn land(
        &mut self,
        life: Life,
        operation: &Operation,
        answer: Option<Duration>,
    ) -> Result<(), Violation> {
        let (StoreCommand::Load { doc } | StoreCommand::Save { doc, .. }) = &operation.command;
        let etag = |world: &Self| world.store.object(doc).map(|stored| stored.etag.clone());
        let before = etag(self);
        let result = self.store.carry_out(operation);
        if before != etag(self)
            && let Some(stored) = self.store.object(doc)
        {
            Invariant::LeftAlone.holds(!self.store.is_spoiled(doc), || {
                format!("{doc} is overwritten, and could not be read")
            })?;
            self.ledgers.landed(doc, &stored.body)?;
            if self.swarm.bus.is_some() {
                self.ledgers.named(doc, &stored.etag);
            }
        }
        if let Some(answer) = answer {
            if let Some(narration) = &mut self.narration {
                narration.store_does(self.now, life, operation.op, &result);
            }
            let delay = answer.saturating_sub(self.now);
            self.after(delay, Event::Answer(life, operation.op, result));
        }
        Ok(())
    }

    pub(super) fn store_answers(
        &mut self,
        life: Life,
        op: OpId,
        result: StoreResult,
    ) -> Result<(), Violation> {
        let is_current = self.is_current(life);
        if let Some(narration) = &mut self.narration {
            narration.is_answered(self.now, life, op, !is_current);
        }
        match is_current {
            true => self.input(life.node, Input::Store { op, result }),
            false => Ok(()),
        }
    }

    /// A journal takes up what has gathered, if it has nothing to do.
    pub(super) fn start_batch(&mut self, node: usize) {
        let faults = (!self.healed).then_some(&self.swarm.journal);
        if let Some(delay) = self.nodes[node].journal.begin(faults) {
            self.after(delay, Event::JournalLands(self.life(node)));
        }
    }

    /// The batch under way takes effect; its answers follow.
    pub(super) fn journal_lands(&mut self, life: Life) {
        if !self.is_current(life) {
            return;
        }
        let faults = (!self.healed).then_some(&self.swarm.journal);
        let node = &mut self.nodes[life.node];
        let answers = node.journal.land(self.now, faults);
        let delay = node.journal.delay(faults);
        if let Some(narration) = &mut self.narration {
            for Answer { op, result, .. } in &answers {
                narration.journal_does(self.now, life, *op, result);
            }
        }
        node.journal_free = node.journal_free.max(self.now + delay);
        let delay = node.journal_free - self.now;
        self.after(delay, Event::JournalAnswers(life, answers));
        self.start_batch(life.node);
    }

    pub(super) fn journal_answers(
        &mut self,
        life: Life,
        answers: Answers,
    ) -> Result<(), Violation> {
        for answer in answers {
            let Answer { op, result, .. } = answer;
            let is_current = self.is_current(life);
            if let Some(narration) = &mut self.narration {
                narration.is_answered(self.now, life, op, !is_current);
            }
            // It may end at any of them.
            if !is_current {
                return Ok(());
            }
            if !answer.is_told_with_next {
                self.input(life.node, Input::Journal { op, result })?;
            }
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
        let is_damaged = |node: &Node| node.journal.is_damaged(doc);
        if self.nodes.iter().any(is_damaged) || self.store.is_spoiled(doc) {
            return Ok(());
        }
        let mut state = DocumentState::default();
        let mut condition = Condition::Absent;
        if let Some(snapshot) = self.store.object(doc) {
            other.apply(&snapshot.body).map_err(not_understood)?;
            state.apply(&snapshot.body).expect("it was checked");
            condition = Condition::Matches(snapshot.etag.clone());
        }
        if let Some(update) = other.edit(rng) {
            state.apply(&update).expect("clients send updates");
            self.log[at].push(update);
        }
        let body = state.encode();
        self.ledgers.landed(doc, &body)?;
        let written = self.store.write(doc, body, &condition);
        written.expect("nobody came between");
        self.note(
            Place::Store,
            format_args!("somebody else writes document {at}"),
        );
        Ok(())
    }
}
