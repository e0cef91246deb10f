//! What must be true once everything has healed.

use std::collections::BTreeMap;

use ysyncd_engine::Input;

use super::{Event, JOINING, World, not_understood};
use crate::{
    client::{Client, content_of},
    oracle::{Invariant, Violation},
    swarm::{Purpose, stream},
};

impl World {
    /// Everybody must have the same, and what is stored is everything. Returns
    /// what clients show and what is stored: these differ if somebody else
    /// wrote last, which an engine learns at its next write or load only.
    pub(super) fn judge(&mut self) -> Result<(String, String), Violation> {
        let truth = content_of(self.log.iter().map(Vec::as_slice)).map_err(not_understood)?;
        let first = self.clients[0].content();
        for (at, client) in self.clients.iter().enumerate() {
            Invariant::Converged.equal(&format!("client {at}"), &client.content(), &first)?;
        }
        let stored = self.store.object().map(|snapshot| &*snapshot.body);
        let stored = content_of(stored).map_err(not_understood)?;
        Invariant::NothingLost.equal("the store", &stored, &truth)?;
        if self.swarm.other_writer.is_none() {
            Invariant::Stored.equal("the store", &stored, &first)?;
        }
        self.judge_presence(&(0..self.clients.len()).collect::<Vec<_>>())?;
        Ok((first, stored))
    }

    fn judge_presence(&self, here: &[usize]) -> Result<(), Violation> {
        let state = |at: &usize| {
            let client = &self.clients[*at];
            (client.id, client.present()[&client.id].clone())
        };
        let truth: BTreeMap<_, _> = here.iter().map(state).collect();
        for at in here {
            let told = self.clients[*at].present();
            let who = format!("client {at}");
            Invariant::Presence.equal(&who, &format!("{told:?}"), &format!("{truth:?}"))?;
        }
        Ok(())
    }

    /// One client goes: the others must see it.
    pub(super) fn judge_leaving(&mut self) -> Result<(), Violation> {
        self.queue
            .retain(|_, event| !matches!(event, Event::Act(_)));
        self.lose(0);
        self.run_until(self.now + JOINING)?;
        self.judge_presence(&(1..self.clients.len()).collect::<Vec<_>>())
    }

    /// Somebody new must be shown everything.
    pub(super) fn judge_joiner(
        &mut self,
        invariant: Invariant,
        truth: &str,
    ) -> Result<(), Violation> {
        let at = self.clients.len();
        self.clients.push(Client::new(500 + at as u64));
        self.streams
            .push(stream(self.seed, Purpose::Client(at as u64)));
        self.connect(at)?;
        self.run_until(self.now + JOINING)?;
        invariant.equal("a new client", &self.clients[at].content(), truth)
    }

    pub(super) fn shut_down(&mut self) -> Result<(), Violation> {
        let deadline = self.now + JOINING;
        self.input(Input::Shutdown { deadline })?;
        self.run_until(deadline)?;
        match &self.drained {
            Some(unsaved) if unsaved.is_empty() => Ok(()),
            other => Err(Invariant::Drained.violated(format!("drained: {other:?}"))),
        }
    }
}
