//! One run: its hosts, its troubles, and its end.

mod judgement;
mod losses;
mod troubles;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    panic,
    rc::Rc,
    thread,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rand::RngExt;
use tokio::task::JoinSet;
use turmoil::{Builder, Sim};
use ysyncd_engine::{
    DocId, marks,
    planted::{self, Bug},
};

pub(super) use self::losses::store_fails_until;
use self::troubles::Troubles;
use super::{
    bucket, hostile, http_client,
    log::Log,
    look, narration, node, panics, probe,
    scene::Scene,
    swarm::{HOMES, Place, Purpose, Swarm, stream},
    timeline::Lane,
    visitor::Visitor,
};
use crate::{
    oracle::{Invariant, Violation},
    planting::plant,
    trace::Recording,
    world::Outcome,
};

/// Room for the futures of the S3 client, which are deep.
const STACK_BYTES: usize = 8 << 20;

/// Runs the full stack under a seed, on a thread of its own: what libraries
/// keep per thread is new then.
///
/// # Panics
/// If there is no thread for it.
#[must_use]
pub fn run(seed: u64, swarm: &Swarm, recording: Recording) -> Outcome {
    let (planted, marks, swarm) = (planted::here(), marks::here(), swarm.clone());
    let thread = thread::Builder::new()
        .name(format!("seed {seed}"))
        .stack_size(STACK_BYTES)
        .spawn(move || {
            planted.plant();
            marks.join();
            run_here(seed, &swarm, recording)
        });
    let run = thread.expect("threads can be started");
    run.join().expect("a run catches its panics")
}

fn run_here(seed: u64, swarm: &Swarm, recording: Recording) -> Outcome {
    panics::watch();
    let mut chance = stream(seed, Purpose::Turmoil);
    fastrand::seed(chance.random());
    if recording == Recording::Story {
        narration::begin(swarm);
    }
    let scene = Rc::new(Scene::new(seed, swarm.clone(), recording));
    scene.note(Lane::World, format_args!("seed {seed}: {swarm:?}"));
    let _log = Log::of(&scene);
    let mut world = World::new(Rc::clone(&scene), chance.random());
    let lived = panic::catch_unwind(panic::AssertUnwindSafe(|| world.live()));
    let lived = lived.unwrap_or_else(|payload| Err(crate::panicked(&*payload)));
    scene.time.set(world.sim.elapsed());
    let violation = scene.violation().or(lived.err());
    let last = violation
        .as_ref()
        .map_or_else(Vec::new, |_| scene.timeline().last());
    let end = world.sim.elapsed();
    let outcome = Outcome {
        story: narration::end(end, violation.as_ref()),
        violation,
        end,
        last,
        hash: scene.timeline().hash(),
        tapes: Vec::new(),
    };
    drop(world);
    outcome
}

struct World {
    scene: Rc<Scene>,
    sim: Sim<'static>,
    troubles: Troubles,
    /// Of each document the stored object that was read last, and what it shows.
    read_last: RefCell<BTreeMap<DocId, (Bytes, String)>>,
}

impl World {
    fn new(scene: Rc<Scene>, seed: u64) -> Self {
        let mut sim = Builder::new()
            .epoch(SystemTime::UNIX_EPOCH + http_client::EPOCH)
            .rng_seed(seed)
            .enable_random_order()
            .tick_duration(scene.swarm.tick)
            .simulation_duration(Duration::MAX)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(scene.swarm.latency)
            .tcp_capacity(scene.swarm.segments_max)
            .build();
        let shared = Rc::clone(&scene);
        sim.host(bucket::HOST, move || bucket::live(Rc::clone(&shared)));
        for at in 0..scene.swarm.nodes {
            let shared = Rc::clone(&scene);
            sim.host(Place::Node(at).name(), move || {
                node::live(Rc::clone(&shared), at)
            });
        }
        for host in 0..HOMES {
            let shared = Rc::clone(&scene);
            sim.host(Place::Homes(host).name(), move || {
                homes(Rc::clone(&shared), host)
            });
        }
        if let Some(pause) = scene.swarm.twists.scrapes.clone() {
            sim.client("monitor", look::monitor(Rc::clone(&scene), pause));
        }
        if scene.swarm.twists.probes {
            sim.client("prober", probe::probe(Rc::clone(&scene)));
        }
        let troubles = Troubles::new(&scene, &sim);
        Self {
            scene,
            sim,
            troubles,
            read_last: RefCell::default(),
        }
    }

    /// Storm, healing, judgement.
    fn live(&mut self) -> Result<(), Violation> {
        if self.scene.swarm.panics {
            plant(Some(Bug::DocumentPanics));
        }
        while self.sim.elapsed() < self.scene.swarm.storm {
            self.step()?;
        }
        self.heal()?;
        self.judge()
    }

    /// Whether it is the code of a document that panicked as it was made to.
    fn is_borne(&self, panic: &str) -> bool {
        self.scene.swarm.panics && panic.contains(Bug::DocumentPanics.name())
    }

    /// Time goes on a little.
    fn step(&mut self) -> Result<(), Violation> {
        let now = self.sim.elapsed();
        self.scene.time.set(now);
        self.troubles.strike(now, &self.scene, &mut self.sim);
        let stepped = self.sim.step();
        stepped.map_err(|error| Invariant::Panic.violated(error))?;
        let panic = panics::take().filter(|panic| !self.is_borne(panic));
        if let Some(panic) = panic {
            return Err(Invariant::Panic.violated(panic));
        }
        let of_stores = || self.scene.calls.violation();
        let of_journals = || self.scene.journal_words.violation();
        let violation = of_stores().or_else(of_journals);
        match violation.or_else(|| self.scene.violation()) {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }
}

/// The clients of one host.
async fn homes(scene: Rc<Scene>, host: usize) -> turmoil::Result {
    let mut visits = JoinSet::new();
    for (at, visitor) in scene.swarm.visitors.iter().enumerate() {
        if visitor.host == host {
            let visitor = Visitor::new(at, Rc::clone(&scene));
            visits.spawn_local(visitor.live());
        }
    }
    if let (hostile::HOME, Some(pause)) = (host, scene.swarm.hostile.clone()) {
        visits.spawn_local(hostile::live(Rc::clone(&scene), pause));
    }
    while let Some(visit) = visits.join_next().await {
        visit?;
    }
    std::future::pending().await
}
