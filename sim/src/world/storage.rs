//! What happens at the store.

use std::time::Duration;

use ysyncd_engine::Condition;

use super::{Event, World, not_understood};
use crate::{
    oracle::{Violation, check_write},
    store::Operation,
};

impl World {
    pub(super) fn land(
        &mut self,
        engine: u64,
        operation: &Operation,
        answer: Duration,
    ) -> Result<(), Violation> {
        let before = self.store.object().cloned();
        let result = self.store.carry_out(operation);
        let after = self.store.object();
        if let Some(after) = after.filter(|after| Some(*after) != before.as_ref()) {
            check_write(before.as_ref(), &after.body)?;
        }
        let delay = answer.saturating_sub(self.now);
        self.after(delay, Event::Answer(engine, operation.op, result));
        Ok(())
    }

    /// Somebody else, say another node, reads, edits and writes.
    pub(super) fn write_as_other(&mut self) -> Result<(), Violation> {
        if self.healed {
            return Ok(());
        }
        let (other, rng) = &mut self.other_writer;
        let condition = match self.store.object() {
            Some(snapshot) => {
                other.apply(&snapshot.body).map_err(not_understood)?;
                Condition::Matches(snapshot.etag.clone())
            }
            None => Condition::Absent,
        };
        self.log.extend(other.edit(rng));
        let body = other.encode();
        let written = self.store.write(body.into(), &condition);
        written.expect("nobody came between");
        self.note("somebody else writes");
        let pause = self.swarm.other_writer.expect("there is one");
        self.after(pause, Event::OtherWriter);
        Ok(())
    }
}
