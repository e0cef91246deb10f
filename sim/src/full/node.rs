//! A server: what the binary does, in a simulated host.

use std::{io, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use rand::{RngExt, rngs::ChaCha8Rng};
use tokio::{
    sync::Notify,
    task::spawn_local,
    time::{sleep, timeout},
};
use ysyncd_engine::{DocId, Node, auth::TokenVerifier};
use ysyncd_net::{Cluster, Config, Drained, Stores, Workers, serve};
use ysyncd_storage::{
    SnapshotStore,
    journal::{
        Journal,
        disk::{DiskJournal, JournalOptions, SimulatedDevice, Work, Workplace, Writer},
    },
    probed::{ProbeError, Probed},
    s3::S3Store,
};

use super::{
    bucket,
    bus::SimulatedBus,
    contract::Watched,
    http_client,
    narration::{self, Narrated},
    scatter::Scattered,
    scene::Scene,
    swarm::{Caps, Purpose},
    timeline::Lane,
    wire::NodeListener,
};
use crate::{
    oracle::Invariant,
    swarm::{between, millis},
};

/// Where nodes listen.
pub(super) const PORT: u16 = 1234;

/// How long a shutdown may take to save what is not saved.
const SHUTDOWN: Duration = Duration::from_secs(8);

/// One life of a node. It ends when it is told to, or when it cannot start.
pub(super) async fn live(scene: Rc<Scene>, at: usize) -> turmoil::Result {
    let node = &scene.nodes[at];
    let life = node.life.get() + 1;
    node.life.set(life);
    let shutdown = Rc::new(Notify::new());
    *node.shutdown.borrow_mut() = Rc::clone(&shutdown);
    scene.note(Lane::Node(at), format_args!("starts, life {life}"));
    match serve_once(&scene, at, life, &shutdown).await {
        Ok(left) => {
            scene.note(Lane::Node(at), format_args!("ends: {left:?}"));
            judge_end(&scene, at, &left).await?;
        }
        Err(error) => scene.note(Lane::Node(at), format_args!("gives up: {error}")),
    }
    node.serves.set(false);
    Ok(())
}

async fn serve_once(
    scene: &Rc<Scene>,
    at: usize,
    life: u64,
    shutdown: &Rc<Notify>,
) -> Result<Drained, Box<dyn std::error::Error>> {
    let node = &scene.nodes[at];
    let mut rng = scene.stream(Purpose::Node(at, life));
    let snapshots = open_store(scene, at).await?;
    let ended = Rc::new(Notify::new());
    if scene.swarm.twists.discards && scene.is_healed() {
        scene.ledger.borrow_mut().forget(at);
    }
    let journal = match scene.swarm.engine.journal {
        true => Some(open_journal(scene, at, life, &ended).await?),
        false => {
            scene.ledger.borrow_mut().forget(at);
            None
        }
    };
    let listener = NodeListener::bind(scene, at, life).await?;
    let net = &scene.swarm.net;
    let mut config = Config {
        engine: scene.swarm.engine.clone(),
        shards: net.shards,
        workers: Workers::Tasks,
        handshakes_max: net.handshakes_max,
        header_timeout: net.header_timeout,
        ping_interval: net.ping_interval,
        silence_max: net.silence_max,
        close_timeout: net.close_timeout,
        shutdown_timeout: SHUTDOWN,
        clock: || turmoil::since_epoch().unwrap_or_default(),
        ..Config::new(TokenVerifier::new(scene.key.clone()), rng.random())
    };
    if let Some(caps) = &net.caps {
        caps.apply_to(&mut config);
    }
    if let Some(rates) = &net.user_rates {
        config.inbound_messages_per_second = None;
        config.inbound_user_messages_per_second = Some(rates.messages_per_second);
        config.inbound_user_messages_burst = rates.messages_burst;
    }
    let cluster = scene.swarm.twists.bus.clone().map(|faults| Cluster {
        node: Node {
            id: at as u64 + 1,
            incarnation: life,
        },
        bus: Arc::new(SimulatedBus::new(scene, faults, at, life)),
    });
    let stores = Stores { snapshots, journal };
    let has_journal = stores.journal.is_some();
    node.serves.set(true);
    let told = Rc::clone(shutdown);
    let left = serve(listener, stores, cluster, config, async move {
        told.notified().await;
    })
    .await?;
    if has_journal {
        // Whatever else still holds the journal ends with the process.
        let _ = timeout(Duration::from_secs(5), ended.notified()).await;
    }
    Ok(left)
}

impl Caps {
    fn apply_to(&self, config: &mut Config) {
        config.inbound_messages_per_second = Some(self.messages_per_second);
        config.inbound_messages_burst = self.messages_burst;
        config.slowed_max = self.slowed_max;
        config.message_timeout = self.message_timeout;
        match self.is_per_user {
            true => config.unfinished_bytes_per_user_max = self.unfinished_bytes_max,
            false => config.unfinished_bytes_max = self.unfinished_bytes_max,
        }
        config.connections_per_document_max = self.connections_per_document_max;
    }
}

/// Opens the bucket as the binary does.
async fn open_store(scene: &Scene, at: usize) -> Result<Arc<dyn SnapshotStore>, ProbeError> {
    let store = S3Store::new(
        http_client::config(at, &scene.nodes[at].clock),
        bucket::NAME,
        bucket::PREFIX,
    );
    let store = Probed::new(store.with_timeout(scene.swarm.store_timeout));
    match store.probe().await {
        Ok(_) | Err(ProbeError::Unreachable(_)) => {}
        Err(error) => return Err(error),
    }
    let calls = scene.calls.clone();
    Ok(Arc::new(Watched { store, calls }))
}

/// Opens the journal and sees whether it holds what it has to.
async fn open_journal(
    scene: &Rc<Scene>,
    at: usize,
    life: u64,
    ended: &Rc<Notify>,
) -> Result<Arc<dyn Journal>, Box<dyn std::error::Error>> {
    let device = scene.nodes[at].disk.device();
    *scene.nodes[at].device.borrow_mut() = Some(Arc::clone(&device));
    let options = journal_options(scene);
    judge_disk(scene, at, &options).await?;
    let desk = Desk {
        scene: Rc::clone(scene),
        at,
        life,
        device: Arc::clone(&device),
        ended: Rc::clone(ended),
    };
    let journal = DiskJournal::open_at(&desk, device, "/journal", &options)?;
    let journal = scene.journal_words.of(Narrated { journal, node: at });
    Ok(match scene.swarm.twists.scatters {
        true => Arc::new(Scattered(journal)),
        false => Arc::new(journal),
    })
}

/// Sees whether a node's disk holds what it has to, in whichever process's
/// folder. On a copy, all processes are gone, and one takes over all of it.
async fn judge_disk(
    scene: &Scene,
    at: usize,
    options: &JournalOptions,
) -> Result<(), Box<dyn std::error::Error>> {
    let copy = scene.nodes[at].disk.copy();
    let journal = DiskJournal::open_at(&AtOnce, copy.device(), "/journal", options)?;
    let since = scene.nodes[at].sure_until.get();
    for (number, doc) in scene.docs.iter().enumerate() {
        let records = journal.read(doc).await?;
        let mut updates: Vec<_> = records.into_iter().map(|record| record.update).collect();
        updates.extend(kept_elsewhere(scene, at, doc).await?);
        let mut ledger = scene.ledger.borrow_mut();
        let survives = ledger.survives(at, number, &updates, since);
        scene.judge(survives);
    }
    scene.nodes[at].sure_until.set(None);
    Ok(())
}

/// Where a journal is written without taking any time.
struct AtOnce;

impl Workplace for AtOnce {
    fn start(&self, mut writer: Writer) -> io::Result<Box<dyn Work>> {
        spawn_local(async move {
            while writer.wait().await {
                writer.take_turn().give();
            }
        });
        Ok(Box::new(Task))
    }
}

/// What a node says in the end has to be true.
async fn judge_end(
    scene: &Scene,
    at: usize,
    left: &Drained,
) -> Result<(), Box<dyn std::error::Error>> {
    if scene.is_ending.get() && !(left.unsaved.is_empty() && left.journaled.is_empty()) {
        let detail = format_args!("node{at} ends with {left:?}");
        scene.violated(Invariant::Drained, detail);
    }
    if scene.swarm.nodes > 1 && scene.swarm.is_one_machine {
        // Another process may have taken over what an earlier life left.
        return Ok(());
    }
    let lists = [&left.unsaved, &left.journaled];
    for (number, doc) in scene.docs.iter().enumerate() {
        if lists.iter().all(|list| !list.contains(doc)) {
            // Nothing in its journal may be needed any more.
            let elsewhere = kept_elsewhere(scene, at, doc).await?;
            let mut ledger = scene.ledger.borrow_mut();
            let survives = ledger.survives(at, number, &elsewhere, None);
            let detail = |violation| {
                let detail = format!("node{at} ends with {left:?}, and: {violation}");
                Invariant::DrainedTruly.violated(detail)
            };
            scene.judge(survives.map_err(detail));
        }
    }
    Ok(())
}

/// What the journals of other nodes hold of a document, if these tell each
/// other of it: there everything that they tell is durable.
async fn kept_elsewhere(
    scene: &Scene,
    at: usize,
    doc: &DocId,
) -> Result<Vec<Bytes>, Box<dyn std::error::Error>> {
    let mut kept = Vec::new();
    if scene.swarm.twists.bus.is_none() {
        return Ok(kept);
    }
    for (_, node) in scene
        .nodes
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != at)
    {
        let options = journal_options(scene);
        let journal =
            DiskJournal::open_at(&AtOnce, node.disk.copy().device(), "/journal", &options)?;
        let records = journal.read(doc).await?;
        kept.extend(records.into_iter().map(|record| record.update));
    }
    Ok(kept)
}

fn journal_options(scene: &Scene) -> JournalOptions {
    JournalOptions {
        sync: scene.swarm.sync,
        segment_bytes: scene.swarm.segment_bytes,
        ..JournalOptions::new("s3://simulated")
    }
}

/// Where a node's journal is written: by a task of its own, which takes turns
/// with the others, and as long as a disk.
struct Desk {
    scene: Rc<Scene>,
    at: usize,
    life: u64,
    device: Arc<SimulatedDevice>,
    ended: Rc<Notify>,
}

impl Workplace for Desk {
    fn start(&self, writer: Writer) -> io::Result<Box<dyn Work>> {
        let rng = self.scene.stream(Purpose::Disk(self.at, self.life));
        let scene = Rc::clone(&self.scene);
        let (device, ended) = (Arc::clone(&self.device), Rc::clone(&self.ended));
        spawn_local(write(scene, self.at, writer, rng, device, ended));
        Ok(Box::new(Task))
    }
}

async fn write(
    scene: Rc<Scene>,
    at: usize,
    mut writer: Writer,
    mut rng: ChaCha8Rng,
    device: Arc<SimulatedDevice>,
    ended: Rc<Notify>,
) {
    let quick = Duration::ZERO..millis(1);
    let mut pause = || match scene.is_healed() {
        true => between(&mut rng, &quick),
        false => between(&mut rng, &scene.swarm.disk_latency),
    };
    while writer.wait().await {
        sleep(pause()).await;
        let answers = writer.take_turn();
        narration::tell(|narration| narration.disk_turns(at));
        if device.is_killed() {
            // Nobody is left to hear how it went.
            std::future::pending::<()>().await;
        }
        sleep(pause()).await;
        answers.give();
    }
    writer.close();
    ended.notify_one();
}

/// Ends by itself, in its time.
#[derive(Debug)]
struct Task;

impl Work for Task {
    fn end(&mut self, _: Duration) -> bool {
        true
    }
}
