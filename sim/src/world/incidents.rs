//! What befalls the world.

use std::time::Duration;

use ysyncd_engine::{ConnId, Input};

use super::{Event, Place, World, node::Node};
use crate::{
    oracle::Violation,
    swarm::{ENOUGH, Happening, millis},
};

impl World {
    /// What the swarm has drawn comes to pass.
    pub(super) fn befall(&mut self, at: usize) -> Result<(), Violation> {
        let what = self.swarm.incidents[at].what;
        if self.healed || !what.fits(self.nodes.len(), self.docs.len()) {
            return Ok(());
        }
        self.note(Place::Elsewhere, format_args!("incident: {what:?}"));
        if let Some(narration) = &mut self.narration {
            narration.befalls(self.now, &what);
        }
        match what {
            Happening::Crash { node } => return self.restart(node),
            Happening::Shutdown { node, within } => {
                let deadline = self.now + within;
                return self.input(node, Input::Shutdown { deadline });
            }
            Happening::Freeze { node, lasts } => {
                prolong(&mut self.nodes[node].frozen_until, self.now + lasts);
                self.store_trouble = self.store_trouble.max(self.now + lasts);
            }
            Happening::Hold { node, lasts } => {
                prolong(&mut self.nodes[node].held_until, self.now + lasts);
            }
            Happening::CutOff { node, lasts } => {
                prolong(&mut self.nodes[node].cut_off_until, self.now + lasts);
            }
            Happening::Outage { lasts } => prolong(&mut self.outage_until, self.now + lasts),
            Happening::ReconnectStorm => self.reconnect_all()?,
            Happening::Vanish { doc } => self.vanish(doc),
            Happening::Spoil { lasts } => {
                self.store.spoil(&self.docs[0]);
                self.store_trouble = self.store_trouble.max(self.now + lasts);
                self.after(lasts, Event::Mend);
            }
        }
        Ok(())
    }

    /// The store can be reached again. Nodes thaw in their own time: what has
    /// waited must not be overtaken.
    pub(super) fn end_incidents(&mut self) {
        self.outage_until = self.now;
        self.mend();
        self.heal_bus();
        for node in &mut self.nodes {
            node.cut_off_until = self.now;
        }
    }

    /// Somebody lets documents be larger, which takes a restart.
    pub(super) fn raise_limits(&mut self) -> Result<(), Violation> {
        let engine = &mut self.swarm.engine;
        engine.document_bytes_max = ENOUGH;
        engine.document_clients_max = ENOUGH;
        engine.type_depth_max = ENOUGH;
        engine.documents_growth_max = ENOUGH;
        (0..self.nodes.len()).try_for_each(|node| self.restart(node))
    }

    /// Somebody puts right what was damaged.
    pub(super) fn mend(&mut self) {
        self.store.mend(&self.docs[0]);
    }

    /// Until when an event has to wait, a node being frozen or out of reach.
    pub(super) fn put_off(&self, event: &Event) -> Option<Duration> {
        let until = match event {
            Event::Open(conn) | Event::AtServer(conn, _) => {
                let node = &self.nodes[self.node_of(*conn)];
                node.frozen_until.max(node.held_until)
            }
            Event::AtClient(conn, _) => self.nodes[self.node_of(*conn)].held_until,
            Event::Read(conn) | Event::Leaves(conn, _) | Event::Gone(conn) | Event::Freed(conn) => {
                self.nodes[self.node_of(*conn)].frozen_until
            }
            Event::Answer(life, ..)
            | Event::JournalLands(life)
            | Event::JournalAnswers(life, _) => self.nodes[life.node].frozen_until,
            Event::Bus(life, ..) => self.nodes[life.node].frozen_until,
            Event::BusIncident(at) => self.nodes[self.bus_incident_node(*at)?].frozen_until,
            Event::Incident(at) => match self.swarm.incidents[*at].what {
                Happening::Shutdown { node, .. } => self.nodes.get(node)?.frozen_until,
                _ => return None,
            },
            _ => return None,
        };
        (until > self.now).then_some(until)
    }

    fn node_of(&self, conn: ConnId) -> usize {
        self.wires[conn].node
    }

    fn reconnect_all(&mut self) -> Result<(), Violation> {
        for at in 0..self.clients.len() {
            self.lose(at);
        }
        (0..self.clients.len()).try_for_each(|at| self.connect_if_let(at))
    }

    /// Somebody removes the stored object of a document.
    fn vanish(&mut self, doc: usize) {
        let doc = self.docs[doc].clone();
        let is_damaged = |node: &Node| node.journal.is_damaged(&doc);
        let is_there = self.store.object(&doc).is_some();
        if !is_there || self.nodes.iter().any(is_damaged) || self.store.is_spoiled(&doc) {
            return;
        }
        self.store.remove(&doc);
        self.ledgers.vanished(&doc);
        self.vanished.push(doc);
    }

    /// Without a journal: what was taken before must be in the store when a
    /// node crashes. Until then a change waits for its write, that for the one
    /// under way and for its turn, and some writes meet another writer's.
    pub(super) fn loss_window(&self) -> Duration {
        let engine = &self.swarm.engine;
        let operation = self.swarm.store.latency.end * 2;
        let others = u32::try_from(self.docs.len()).expect("documents are few");
        let writes = operation * (3 * others + 3) + engine.conflict_delay_max * 3;
        let window = engine.save_debounce.max(engine.save_wait_max) + writes + millis(1);
        let since = self.now.saturating_sub(window);
        // Somebody who writes all the time without a pause may keep others from
        // it. While the store does not answer, there is no bound in time.
        let is_alone = self.nodes.len() == 1 && self.swarm.other_writer.is_none();
        let is_let = is_alone || engine.save_debounce > engine.conflict_delay_max * 5;
        let is_calm = self.store_trouble + engine.retry_delay_max + window < self.now;
        match is_let && is_calm {
            true => since,
            false => Duration::ZERO,
        }
    }
}

fn prolong(until: &mut Duration, new: Duration) {
    *until = new.max(*until);
}
