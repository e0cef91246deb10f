//! A bus between nodes that delays, loses and doubles what it carries, and is
//! lost now and then itself.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
    ops::Deref,
    rc::Rc,
    time::Duration,
};

use fragile::Fragile;
use rand::{RngExt, rngs::ChaCha8Rng};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use ysyncd_engine::DocId;
use ysyncd_net::bus::{Bus, BusFuture, BusPort, Publication, Subscription};

use super::{
    narration,
    scene::Scene,
    swarm::{BusFaults, Purpose},
    timeline::Lane,
};
use crate::{
    explain,
    story::{ArrowId, ArrowKind},
    swarm::{between, millis},
};

/// How long a message takes when nothing goes wrong.
const QUICK: std::ops::Range<Duration> = Duration::ZERO..millis(5);

/// What all nodes have in common: who is connected, and what is on its way.
#[derive(Debug, Default)]
pub(super) struct Hub {
    members: BTreeMap<Name, Member>,
}

/// Names a connection: the node, and which of its shards' it is.
type Name = (usize, usize);

/// One connection of one node.
#[derive(Debug, Default)]
struct Member {
    docs: BTreeSet<DocId>,
    mail: VecDeque<Letter>,
    arrives: Rc<Notify>,
}

/// A message on its way to a node.
#[derive(Debug)]
struct Letter {
    due: Duration,
    message: Publication,
    /// As a story draws it, if one is told and it does not come from the node itself.
    arrow: Option<ArrowId>,
}

/// How one life of a node reaches the others. Its shards all run on one thread.
pub(super) struct SimulatedBus(Fragile<Rc<Way>>);

/// The same, as one shard uses it.
struct End {
    way: Rc<Way>,
    name: Name,
}

struct Way {
    scene: Rc<Scene>,
    faults: BusFaults,
    at: usize,
    rng: RefCell<ChaCha8Rng>,
    ends: Cell<usize>,
}

impl SimulatedBus {
    pub(super) fn new(scene: &Rc<Scene>, faults: BusFaults, at: usize, life: u64) -> Self {
        Self(Fragile::new(Rc::new(Way {
            rng: scene.stream(Purpose::Bus(at, life)).into(),
            scene: Rc::clone(scene),
            faults,
            at,
            ends: Cell::new(0),
        })))
    }

    fn end(&self) -> End {
        let way = Rc::clone(self.0.get());
        let number = way.ends.get();
        way.ends.set(number + 1);
        let name = (way.at, number);
        End { way, name }
    }
}

impl Deref for End {
    type Target = Way;

    fn deref(&self) -> &Way {
        &self.way
    }
}

impl End {
    async fn keep(&self, port: BusPort) -> Infallible {
        loop {
            sleep(self.draw(&self.faults.away)).await;
            let arrives = Rc::<Notify>::default();
            let member = Member {
                arrives: Rc::clone(&arrives),
                ..Member::default()
            };
            self.join(member);
            self.scene.note(Lane::Node(self.at), "reaches the bus");
            port.up();
            let stays = self.draw(&self.faults.stays);
            let carried = async {
                tokio::select! {
                    biased;
                    never = self.receive(&port, &arrives) => never,
                    never = self.subscribe(&port) => never,
                    never = self.publish(&port) => never,
                }
            };
            tokio::select! {
                biased;
                never = carried => match never {},
                () = self.lost_after(stays) => {}
            }
            self.leave();
            self.scene.note(Lane::Node(self.at), "loses the bus");
            port.down();
        }
    }

    fn join(&self, member: Member) {
        self.scene
            .hub
            .borrow_mut()
            .members
            .insert(self.name, member);
    }

    fn leave(&self) {
        self.scene.hub.borrow_mut().members.remove(&self.name);
    }

    /// It is lost only while things go wrong.
    async fn lost_after(&self, stays: Duration) {
        sleep(stays).await;
        if self.scene.is_healed() {
            std::future::pending::<()>().await;
        }
    }

    async fn receive(&self, port: &BusPort, arrives: &Notify) -> Infallible {
        loop {
            let now = self.scene.now();
            let due = self.next_due();
            match due {
                Some(due) if due <= now => port.received(self.take(now)),
                Some(due) => _ = timeout(due - now, arrives.notified()).await,
                None => arrives.notified().await,
            }
        }
    }

    fn next_due(&self) -> Option<Duration> {
        let hub = self.scene.hub.borrow();
        let mail = &hub.members.get(&self.name)?.mail;
        mail.iter().map(|letter| letter.due).min()
    }

    /// What has arrived by now, in the order in which it did.
    fn take(&self, now: Duration) -> Vec<Publication> {
        let mut hub = self.scene.hub.borrow_mut();
        let Some(member) = hub.members.get_mut(&self.name) else {
            return Vec::new();
        };
        let mail = std::mem::take(&mut member.mail);
        let (mut arrived, later): (Vec<_>, Vec<_>) =
            mail.into_iter().partition(|letter| letter.due <= now);
        member.mail = later.into();
        arrived.sort_by_key(|letter| letter.due);
        for arrow in arrived.iter().filter_map(|letter| letter.arrow) {
            narration::tell(|narration| narration.teller.arrives(now, arrow));
        }
        arrived.into_iter().map(|letter| letter.message).collect()
    }

    async fn subscribe(&self, port: &BusPort) -> Infallible {
        loop {
            for change in port.subscriptions().await {
                sleep(self.delay()).await;
                if let Some(member) = self.scene.hub.borrow_mut().members.get_mut(&self.name) {
                    match &change {
                        Subscription::Begin(doc) => member.docs.insert(doc.clone()),
                        Subscription::End(doc) => member.docs.remove(doc),
                    };
                }
                if let Subscription::Begin(doc) = change {
                    port.subscribed([doc]);
                }
            }
        }
    }

    async fn publish(&self, port: &BusPort) -> Infallible {
        loop {
            let messages = port.publications(64 << 10).await;
            for message in &messages {
                self.send(message);
            }
            port.published(&messages);
            // What comes meanwhile waits in the queue.
            sleep(self.draw(&QUICK)).await;
        }
    }

    /// To all who have subscribed, oneself included.
    fn send(&self, message: &Publication) {
        let mut hub = self.scene.hub.borrow_mut();
        let now = self.scene.now();
        for (&(to, _), member) in &mut hub.members {
            if !member.docs.contains(&message.doc) {
                continue;
            }
            let copies = match self.is_apart(self.at, now) || self.is_apart(to, now) {
                true => 0,
                false => self.copies(),
            };
            if copies == 0
                && let Some(arrow) = self.leaves_for(to, message)
            {
                narration::tell(|narration| narration.teller.is_lost(now, arrow));
            }
            for _ in 0..copies {
                member.mail.push_back(Letter {
                    due: now + self.delay(),
                    message: message.clone(),
                    arrow: self.leaves_for(to, message),
                });
                member.arrives.notify_one();
            }
        }
    }

    /// Tells that a message leaves for another node, if a story is told.
    fn leaves_for(&self, to: usize, message: &Publication) -> Option<ArrowId> {
        if to == self.at {
            return None;
        }
        let way = (Lane::Node(self.at), Lane::Node(to));
        let mut arrow = None;
        narration::tell(|narration| {
            let way = (narration.lane(way.0), narration.lane(way.1));
            let what = explain::bus_message(&message.message);
            let now = narration.now;
            let id = narration.teller.leaves(now, way, ArrowKind::Bus, what);
            narration.teller.about(id, message.doc.as_str());
            arrow = Some(id);
        });
        arrow
    }

    /// Whether nothing is told to a node, nor by it, though it is connected.
    fn is_apart(&self, node: usize, now: Duration) -> bool {
        let mut splits = self.faults.splits.iter();
        !self.scene.is_healed()
            && splits.any(|split| split.node == node && split.time.contains(&now))
    }

    /// How often a message arrives.
    fn copies(&self) -> usize {
        if self.scene.is_healed() {
            return 1;
        }
        let mut rng = self.rng.borrow_mut();
        match rng.random_bool(self.faults.lost) {
            true => 0,
            false => 1 + usize::from(rng.random_bool(self.faults.doubled)),
        }
    }

    fn delay(&self) -> Duration {
        match self.scene.is_healed() {
            true => self.draw(&QUICK),
            false => self.draw(&self.faults.delay),
        }
    }

    fn draw(&self, range: &std::ops::Range<Duration>) -> Duration {
        between(&mut self.rng.borrow_mut(), range)
    }
}

impl Bus for SimulatedBus {
    fn run(&self, port: BusPort) -> BusFuture<'_> {
        let end = self.end();
        Box::pin(async move { end.keep(port).await })
    }
}

impl Drop for End {
    /// A process that ends leaves nothing connected.
    fn drop(&mut self) {
        self.leave();
    }
}
