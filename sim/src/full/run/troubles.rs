//! What goes wrong from outside: processes that end, networks and disks that
//! fail.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use rand::{RngExt, rngs::ChaCha8Rng};
use turmoil::Sim;
use ysyncd_storage::journal::disk::{Fault, SimulatedDevice, SyncFault};

use super::losses;
use crate::{
    full::{
        narration,
        scene::Scene,
        swarm::{Place, Purpose, Trouble},
        timeline::Lane,
    },
    swarm::millis,
};

/// How long a process that ended by itself is left alone.
const RESTART: Duration = Duration::from_millis(500);

/// How long a kill waits for the disk to be at work.
const KILL_WAIT: Duration = Duration::from_millis(300);

/// How long a kill waits for a file to be removed.
const REMOVAL_WAIT: Duration = Duration::from_secs(3);

/// What is to come.
#[derive(Debug)]
pub(super) struct Troubles {
    due: BTreeMap<(Duration, u64), Due>,
    count: u64,
    rng: ChaCha8Rng,
    /// Kills that wait for the disk to be at work.
    doomed: Vec<Doom>,
    /// When nodes that are not running start again.
    restarts: BTreeMap<usize, Duration>,
    /// Where nodes are. Names would have to be looked up at each step.
    nodes: Vec<IpAddr>,
}

#[derive(Debug, Clone)]
enum Due {
    Begins(Trouble),
    Passes(Trouble),
}

#[derive(Debug)]
struct Doom {
    node: usize,
    power: bool,
    down: Duration,
    at_latest: Duration,
}

impl Troubles {
    /// In a world in which all hosts are there.
    pub(super) fn new(scene: &Scene, sim: &Sim<'static>) -> Self {
        let nodes = 0..scene.nodes.len();
        let mut troubles = Self {
            due: BTreeMap::new(),
            count: 0,
            rng: scene.stream(Purpose::Power),
            doomed: Vec::new(),
            restarts: BTreeMap::new(),
            nodes: nodes.map(|at| sim.lookup(Place::Node(at).name())).collect(),
        };
        for (at, trouble) in &scene.swarm.troubles {
            troubles.add(*at, Due::Begins(trouble.clone()));
        }
        troubles
    }

    fn add(&mut self, at: Duration, due: Due) {
        self.due.insert((at, self.count), due);
        self.count += 1;
    }

    /// Lets happen what is due.
    pub(super) fn strike(&mut self, now: Duration, scene: &Scene, sim: &mut Sim<'static>) {
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            match entry.remove() {
                Due::Begins(trouble) => self.begin(now, trouble, scene, sim),
                Due::Passes(trouble) => pass(&trouble, scene, sim),
            }
        }
        self.kill_the_doomed(now, scene, sim);
        self.restart(now, scene, sim);
    }

    /// Nothing goes wrong any more. What is down is started.
    pub(super) fn heal(&mut self, now: Duration, scene: &Scene, sim: &mut Sim<'static>) {
        while let Some((_, due)) = self.due.pop_first() {
            if let Due::Passes(trouble) = due {
                pass(&trouble, scene, sim);
            }
        }
        // Who has died in this very moment is not waited for, and is dead.
        for doom in std::mem::take(&mut self.doomed) {
            if is_dead(&doom, scene) {
                self.kill(now, &doom, scene, sim);
            }
        }
        if scene.swarm.twists.discards {
            discard_journals(now, scene, sim);
        }
        for (at, node) in scene.nodes.iter().enumerate() {
            node.disk.heal();
            self.restarts.entry(at).and_modify(|restart| *restart = now);
        }
        if !sim.is_host_running(Place::Bucket.name()) {
            sim.bounce(Place::Bucket.name());
        }
        self.restart(now, scene, sim);
    }

    fn begin(&mut self, now: Duration, trouble: Trouble, scene: &Scene, sim: &mut Sim<'static>) {
        scene.note(Lane::World, format_args!("{trouble:?}"));
        narration::tell(|narration| narration.begins(now, &trouble));
        let until = now + trouble.time();
        if trouble.is_of_store() {
            losses::store_fails_until(until, scene);
        }
        match &trouble {
            Trouble::Kill {
                node,
                power,
                at_change,
                at_removal,
                down,
            } => {
                let device = scene.nodes[*node].device.borrow();
                let mut at_latest = now;
                if let Some(after) = at_change {
                    let kill = |device: &Arc<SimulatedDevice>| device.kill_at_change(*after);
                    device.iter().for_each(kill);
                    at_latest = now + KILL_WAIT;
                }
                if *at_removal {
                    device.iter().for_each(|device| device.kill_at_removal());
                    at_latest = now + REMOVAL_WAIT;
                }
                self.doomed.push(Doom {
                    node: *node,
                    power: *power,
                    down: *down,
                    at_latest,
                });
                return;
            }
            Trouble::Shutdown { node, down } => {
                scene.shut_down(*node);
                self.restarts.insert(*node, now + *down);
                return;
            }
            Trouble::SyncFails { node, forgets } => {
                let (kind, forgets) = (std::io::ErrorKind::Other, *forgets);
                let fault = SyncFault { kind, forgets };
                scene.nodes[*node].disk.fail_next_sync(fault);
                return;
            }
            Trouble::Vanish { doc } => {
                scene.vanish(*doc);
                return;
            }
            Trouble::BucketDown { .. } => {
                sim.crash(Place::Bucket.name());
            }
            Trouble::Hold { one, other, .. } => sim.hold(one.name(), other.name()),
            Trouble::Partition { one, other, .. } => sim.partition(one.name(), other.name()),
            Trouble::Disk {
                node, after, kind, ..
            } => {
                let (after, kind) = (*after, *kind);
                scene.nodes[*node].disk.fail(Fault { after, kind });
            }
            Trouble::Unreadable { node, .. } => {
                let kind = std::io::ErrorKind::Other;
                scene.nodes[*node].disk.fail_reads(kind);
            }
            Trouble::Clock { node, ahead, .. } => scene.nodes[*node].clock.set_ahead(*ahead),
            Trouble::DiskFull { node, bytes, .. } => scene.nodes[*node].disk.limit(*bytes),
        }
        self.add(until, Due::Passes(trouble));
    }

    fn kill_the_doomed(&mut self, now: Duration, scene: &Scene, sim: &mut Sim<'static>) {
        for doom in std::mem::take(&mut self.doomed) {
            if now < doom.at_latest && !is_dead(&doom, scene) {
                self.doomed.push(doom);
            } else {
                self.kill(now, &doom, scene, sim);
            }
        }
    }

    fn kill(&mut self, now: Duration, doom: &Doom, scene: &Scene, sim: &mut Sim<'static>) {
        let victims = match doom.power && scene.swarm.is_one_machine {
            true => 0..scene.nodes.len(),
            false => doom.node..doom.node + 1,
        };
        for victim in victims {
            kill_one(now, victim, doom.power, scene, sim);
            self.restarts.insert(victim, now + doom.down);
        }
        if doom.power {
            let rng = &mut self.rng;
            let disk = &scene.nodes[doom.node].disk;
            disk.lose_power(|n| rng.random_range(0..n));
            losses::after_power_loss(now, doom.node, scene);
        }
    }

    /// Starts what is not running, as a supervisor would.
    fn restart(&mut self, now: Duration, scene: &Scene, sim: &mut Sim<'static>) {
        if scene.is_ending.get() {
            return;
        }
        for (at, node) in self.nodes.iter().enumerate() {
            if sim.is_host_running(*node) {
                continue;
            }
            let restart = *self.restarts.entry(at).or_insert(now + RESTART);
            if now >= restart {
                self.restarts.remove(&at);
                sim.bounce(*node);
            }
        }
    }
}

/// Whether the moment has come that it was to die in.
fn is_dead(doom: &Doom, scene: &Scene) -> bool {
    let device = scene.nodes[doom.node].device.borrow();
    device.as_ref().is_some_and(|device| device.is_killed())
}

/// Somebody gives up what the disks have damaged: clients bring it along.
fn discard_journals(now: Duration, scene: &Scene, sim: &mut Sim<'static>) {
    for (at, node) in scene.nodes.iter().enumerate() {
        kill_one(now, at, false, scene, sim);
        node.disk.wipe();
    }
}

fn kill_one(now: Duration, at: usize, power: bool, scene: &Scene, sim: &mut Sim<'static>) {
    let node = &scene.nodes[at];
    let name = Place::Node(at).name();
    if let Some(device) = node.device.borrow_mut().take() {
        device.kill();
    }
    if power {
        // Nobody says goodbye.
        let others = (0..super::HOMES).map(Place::Homes).chain([Place::Bucket]);
        for other in others.clone() {
            sim.partition(name.as_str(), other.name());
        }
        sim.crash(name.as_str());
        for other in others {
            sim.repair(name.as_str(), other.name());
        }
    } else {
        sim.crash(name.as_str());
    }
    node.serves.set(false);
    scene.note(Lane::Node(at), "is dead");
    losses::after_end(now, at, scene);
}

fn pass(trouble: &Trouble, scene: &Scene, sim: &mut Sim<'static>) {
    scene.note(Lane::World, format_args!("over: {trouble:?}"));
    narration::tell(|narration| narration.passes(scene.now(), trouble));
    match trouble {
        Trouble::BucketDown { .. } => sim.bounce(Place::Bucket.name()),
        Trouble::Hold { one, other, .. } => sim.release(one.name(), other.name()),
        Trouble::Partition { one, other, .. } => sim.repair(one.name(), other.name()),
        Trouble::Disk { node, .. }
        | Trouble::DiskFull { node, .. }
        | Trouble::Unreadable { node, .. } => {
            scene.nodes[*node].disk.heal();
        }
        Trouble::Clock { node, .. } => scene.nodes[*node].clock.set_ahead(0),
        Trouble::Kill { .. }
        | Trouble::Shutdown { .. }
        | Trouble::SyncFails { .. }
        | Trouble::Vanish { .. } => {}
    }
}

impl Trouble {
    fn time(&self) -> Duration {
        match self {
            Self::Kill { down, .. } | Self::Shutdown { down, .. } | Self::BucketDown { down } => {
                *down
            }
            Self::SyncFails { .. } | Self::Vanish { .. } => Duration::ZERO,
            Self::Hold { time, .. }
            | Self::Partition { time, .. }
            | Self::Disk { time, .. }
            | Self::Unreadable { time, .. }
            | Self::Clock { time, .. }
            | Self::DiskFull { time, .. } => (*time).max(millis(1)),
        }
    }
}
