//! What must hold once nothing goes wrong any more.

use std::{
    cell::{Cell, Ref, RefCell},
    rc::Rc,
    time::Duration,
};

use ysyncd_engine::DocId;

use super::World;
use crate::{
    client::{Client, Link},
    full::{
        look::{self, Joiner},
        presence,
        scene::{IDS_PER_DOCUMENT, Mood},
        swarm::{BusFaults, Place},
        timeline::Lane,
        visitor::RENEWAL,
    },
    oracle::{Invariant, Violation},
    planting::plant,
    swarm::Content,
};

/// How long everybody has to get away, and to converge.
const HEALING: Duration = Duration::from_secs(150);

/// How long clients edit when nothing goes wrong any more.
const CALM: Duration = Duration::from_secs(2);

/// How long a server has to end, and a new client to get everything.
const LOOKING: Duration = Duration::from_secs(20);

/// How long a server has to tell that somebody has gone.
const LEAVING: Duration = Duration::from_secs(5);

/// How often it is looked whether it is so.
const GLANCE: Duration = Duration::from_millis(100);

/// The number of a document's clients that come to look, counted from here.
const LOOKERS: u64 = 900;

impl World {
    /// Everything works again from now on.
    pub(super) fn heal(&mut self) -> Result<(), Violation> {
        let now = self.sim.elapsed();
        self.scene.time.set(now);
        self.scene.note(Lane::World, "everything heals");
        if self.scene.swarm.panics {
            plant(None);
        }
        let heals_alone = |bus: &BusFaults| bus.heals_alone;
        let bus = self.scene.swarm.twists.bus.as_ref();
        self.scene.is_store_shut.set(bus.is_some_and(heals_alone));
        self.scene.mood.set(Mood::Away);
        self.scene.healed_at.set(Some(now));
        self.troubles.heal(now, &self.scene, &mut self.sim);
        let scene = Rc::clone(&self.scene);
        self.sim.client("watch", look::watch(scene));
        // Who is gone must not be taken to be there.
        let is_soon = self.scene.swarm.engine.idle_grace < LOOKING;
        let is_apart = self.scene.swarm.nodes > 1 && self.scene.swarm.twists.bus.is_none();
        if is_apart || is_soon {
            // Without a bus nodes see each other through the bucket alone: all
            // have to let go of the documents before one has everything.
            let is_let_go = |world: &Self| {
                world.is_everybody_away() && world.documents() == Some(0) && world.is_saved()
            };
            let detail = "nodes hold on to documents";
            self.wait(HEALING, Invariant::Emptied, detail, is_let_go)?;
        }
        self.scene.calm_until.set(self.sim.elapsed() + CALM);
        self.scene.mood.set(Mood::Gather(0));
        Ok(())
    }

    pub(super) fn judge(&mut self) -> Result<(), Violation> {
        if self.scene.is_store_shut.get() {
            let is_same = |world: &Self| {
                world.sim.elapsed() > world.scene.calm_until.get() && world.has_converged()
            };
            let detail = "the bus alone does not bring everybody to the same";
            self.wait(HEALING, Invariant::Converged, detail, is_same)?;
            self.scene.is_store_shut.set(false);
        }
        // What a client has may still be on its way to the server, and what the
        // server has on its way to the client.
        let is_settled = |world: &Self| {
            world.sim.elapsed() > world.scene.calm_until.get()
                && !world.scene.is_attacked.get()
                && world.has_converged()
                && world.is_saved()
                && world.judge_stored(&world.states()).is_ok()
                && world.judge_shown().is_ok()
                && presence::judge(&world.scene).is_ok()
        };
        let detail = "not everybody is there and shows the same";
        let settled = self.wait(HEALING, Invariant::Converged, detail, is_settled);
        let truths = self.states();
        if self.has_converged() {
            self.judge_stored(&truths)?;
            self.judge_shown()?;
            presence::judge(&self.scene)?;
        }
        settled?;
        self.judge_leaving()?;
        self.judge_joiners(0, &truths)?;
        self.end_all()?;
        self.judge_stored(&truths)?;
        for node in 0..self.scene.swarm.nodes {
            self.sim.bounce(Place::Node(node).name());
        }
        self.judge_joiners(self.scene.swarm.nodes - 1, &truths)
    }

    /// Lets time go on until something is so.
    fn wait(
        &mut self,
        most: Duration,
        invariant: Invariant,
        detail: &str,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<(), Violation> {
        let end = self.sim.elapsed() + most;
        loop {
            let next = self.sim.elapsed() + GLANCE;
            while self.sim.elapsed() < next {
                self.step()?;
            }
            if is_so(self) {
                return Ok(());
            }
            if self.sim.elapsed() > end {
                return Err(invariant.violated(format_args!("{detail} within {most:?}")));
            }
        }
    }

    /// One client goes: the others must see it.
    fn judge_leaving(&mut self) -> Result<(), Violation> {
        let clients = self.scene.clients.iter().map(RefCell::borrow);
        let links: Vec<_> = clients.map(|client| (client.doc, client.link)).collect();
        // Somebody has to stay with each document.
        let is_last = |at: usize| {
            let mut others = links[..at].iter();
            !others.any(|(doc, link)| *doc == links[at].0 && *link != Link::Left)
        };
        let leaver = (0..links.len()).rfind(|at| links[*at].1 != Link::Left && !is_last(*at));
        let Some(leaver) = leaver else {
            return Ok(());
        };
        self.scene.leaver.set(Some(leaver));
        let is_seen = |world: &Self| {
            world.scene.clients[leaver].borrow().link == Link::Left
                && presence::judge(&world.scene).is_ok()
        };
        let detail = format!("client{leaver} goes, and others do not see it");
        // Whose token expires now comes back, and sees those whom it saw before when they
        // say so again: y-protocols takes what they said last for known.
        let most = match self.scene.swarm.token_lasts {
            Some(_) => LEAVING + RENEWAL,
            None => LEAVING,
        };
        self.wait(most, Invariant::Presence, &detail, is_seen)
    }

    fn is_everybody_away(&self) -> bool {
        let clients = self.scene.clients.iter();
        let is_away = clients
            .map(|client| client.borrow().link)
            .all(|link| matches!(link, Link::Offline | Link::Left));
        if !is_away {
            for node in &self.scene.nodes {
                node.health.set(None);
            }
        }
        is_away
    }

    /// How many documents all nodes have in memory. `None` if that is unknown.
    fn documents(&self) -> Option<u64> {
        let nodes = self.scene.nodes.iter();
        nodes.map(|node| Some(node.health.get()?.documents)).sum()
    }

    fn is_saved(&self) -> bool {
        let health = |node: &crate::full::scene::Node| node.health.get();
        let nodes = self.scene.nodes.iter().map(health);
        nodes.flatten().filter(|health| health.is_saved).count() == self.scene.nodes.len()
    }

    /// Whether everybody is there, and shows the same.
    fn has_converged(&self) -> bool {
        let mut states = vec![None; self.scene.docs.len()];
        let converged = self.scene.clients.iter().all(|client| {
            let client = client.borrow();
            match client.link {
                Link::Left => true,
                Link::Open(_) => {
                    let state = self.scene.state_of(&client);
                    *states[client.doc].get_or_insert_with(|| state.clone()) == state
                }
                Link::Offline | Link::Connecting(_) => false,
            }
        });
        if !converged {
            // What they said before does not count.
            self.scene
                .nodes
                .iter()
                .for_each(|node| node.health.set(None));
        }
        converged
    }

    /// Of each document a client that stays.
    fn witness(&self, doc: usize) -> Ref<'_, Client> {
        let clients = self.scene.clients.iter().map(RefCell::borrow);
        let mut here = clients.filter(|client| client.doc == doc && client.link != Link::Left);
        here.next().expect("the first client of a document stays")
    }

    /// What each document is, as its clients show it.
    fn states(&self) -> Vec<String> {
        let docs = 0..self.scene.docs.len();
        docs.map(|doc| self.scene.state_of(&self.witness(doc)))
            .collect()
    }

    /// With a journal, documents hold all that was ever shown to anybody.
    fn judge_shown(&self) -> Result<(), Violation> {
        let has_journal = self.scene.swarm.engine.journal;
        for doc in (0..self.scene.docs.len()).filter(|_| has_journal) {
            self.scene.ledger.borrow().holds_shown(doc)?;
        }
        Ok(())
    }

    fn judge_stored(&self, truths: &[String]) -> Result<(), Violation> {
        for (doc, truth) in self.scene.docs.iter().zip(truths) {
            Invariant::Stored.equal("the bucket", &self.stored(doc)?, truth)?;
        }
        Ok(())
    }

    /// What the stored object of a document shows. It is asked for again and again
    /// while nobody writes.
    fn stored(&self, doc: &DocId) -> Result<String, Violation> {
        let bucket = self.scene.bucket.borrow();
        let body = bucket.body(doc);
        let mut read_last = self.read_last.borrow_mut();
        if let Some((read, shows)) = read_last.get(doc)
            && Some(read) == body
        {
            return Ok(shows.clone());
        }
        let mut reader = Client::new(0, 0, Content::Nested);
        if let Some(body) = body {
            let read = reader.apply(body);
            read.map_err(|error| Invariant::Stored.violated(error))?;
        }
        let shows = self.scene.state_of(&reader);
        if let Some(body) = body {
            read_last.insert(doc.clone(), (body.clone(), shows.clone()));
        }
        Ok(shows)
    }

    /// Clients that know nothing get everything with one sync.
    fn judge_joiners(&mut self, node: usize, truths: &[String]) -> Result<(), Violation> {
        for (doc, truth) in truths.iter().enumerate() {
            let count = self.scene.connections.get() + 1;
            self.scene.connections.set(count);
            let id = (doc as u64 + 1) * IDS_PER_DOCUMENT + LOOKERS + node as u64;
            let joiner = Rc::new(Joiner {
                node,
                doc,
                id: count,
                truth: truth.clone(),
                is_done: Cell::new(false),
                asks_behind_much: self.scene.swarm.twists.heaps,
                client: Client::new(id, doc, self.scene.swarm.content).into(),
            });
            let join = look::join(Rc::clone(&self.scene), Rc::clone(&joiner));
            self.sim.client(format!("looker{count}"), join);
            let is_done = |_: &Self| joiner.is_done.get();
            let detail = format!("a new client of doc{doc} does not get everything");
            self.wait(LOOKING, Invariant::Joiner, &detail, is_done)?;
        }
        Ok(())
    }

    /// All nodes are told to end, and do.
    fn end_all(&mut self) -> Result<(), Violation> {
        self.scene.time.set(self.sim.elapsed());
        self.scene.note(Lane::World, "everything ends");
        self.scene.is_ending.set(true);
        (0..self.scene.nodes.len()).for_each(|node| self.scene.shut_down(node));
        let end = self.sim.elapsed() + LOOKING;
        let names = (0..self.scene.swarm.nodes).map(|at| Place::Node(at).name());
        for name in names {
            while self.sim.is_host_running(name.as_str()) {
                self.step()?;
                if self.sim.elapsed() > end {
                    return Err(Invariant::Drained.violated(format_args!("{name} does not end")));
                }
            }
        }
        self.scene.is_ending.set(false);
        Ok(())
    }
}
