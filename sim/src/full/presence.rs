//! Who is there, as clients are told.

use std::{collections::BTreeMap, time::Duration};

use ysyncd_engine::{
    lib0::{ReadError, Reader},
    protocol::{Message, Messages},
};

use super::scene::Scene;
use crate::{
    client::{Client, Link},
    oracle::{Invariant, Violation},
    swarm::ENOUGH,
};

/// Of who is there nothing older is told for so long after it. What is told
/// later may be of somebody who was forgotten since, and can be on its way for
/// a while.
const REMEMBERED: Duration = Duration::from_secs(5);

/// What a message says of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) client: u64,
    clock: u64,
    is_here: bool,
}

/// The states of an awareness message.
pub(super) fn states(message: &[u8]) -> Result<Vec<State>, Violation> {
    let mut reader = Reader::new(message);
    let mut read = || {
        let mut states = Vec::new();
        for _ in 0..reader.var_uint()? {
            states.push(State {
                client: reader.var_uint()?,
                clock: reader.var_uint()?,
                is_here: reader.var_str()? != "null",
            });
        }
        Ok::<_, ReadError>(states)
    };
    read().map_err(|error| Invariant::Understood.violated(error))
}

/// What one connection was told last, of each client that is there.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<u64, (u64, Duration)>);

impl Heard {
    /// A connection is told something: of nobody what is older than it knows.
    pub(super) fn hear(&mut self, scene: &Scene, frame: &[u8]) -> Result<(), Violation> {
        let (now, mut messages) = (scene.now(), Messages::new(frame));
        // Where those who left are forgotten at once, anybody may bring back
        // what they said before.
        let remembers = scene.swarm.engine.awareness_gone_max >= ENOUGH;
        while let Ok(Some(message)) = messages.read_next() {
            let Message::Awareness(message) = message else {
                continue;
            };
            for state in states(message)? {
                let last = self.0.remove(&state.client);
                let last = last.filter(|(_, at)| remembers && *at + REMEMBERED > now);
                if let Some((clock, _)) = last
                    && state.clock < clock
                {
                    let detail = format_args!("after clock {clock} comes {state:?}");
                    return Err(Invariant::AwarenessForward.violated(detail));
                }
                if state.is_here {
                    self.0.insert(state.client, (state.clock, now));
                }
            }
        }
        Ok(())
    }
}

/// Whether each client sees who has its document open, and nobody else.
pub(super) fn judge(scene: &Scene) -> Result<(), Violation> {
    let clients = scene.clients.iter().map(std::cell::RefCell::borrow);
    let here: Vec<_> = clients
        .filter(|client| matches!(client.link, Link::Open(_)))
        .collect();
    let state = |client: &Client| (client.id, client.present().get(&client.id).cloned());
    for client in &here {
        let others = here.iter().filter(|other| other.doc == client.doc);
        let truth: BTreeMap<_, _> = others.map(|other| state(other)).collect();
        let told: BTreeMap<_, _> = client
            .present()
            .into_iter()
            .map(|(id, state)| (id, Some(state)))
            .collect();
        let who = format_args!("client {}", client.id);
        Invariant::Presence.equal(who, &told, &truth)?;
    }
    Ok(())
}
