//! Random work on a disk that loses power, fails and fills up: what was
//! answered with `Ok` is there, and nothing was invented.

use std::{collections::BTreeMap, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use ysyncd_engine::JournalError;
use ysyncd_storage::journal::{
    Journal, JournalWrite,
    disk::{
        DiskJournal, Fault, JournalOptions, SimulatedDevice, SimulatedDisk, SyncFault, SyncMode,
    },
};

use crate::{
    conformance::doc,
    journal::{append, plain, trim},
};

const DOCS: [&str; 3] = ["a", "b", "c"];
const FOREVER: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Write>),
    /// Ends the process, by its own will or not, and starts it again.
    Restart,
    Kill,
    LosePower(u64),
    /// Fails some change of the disk to come, and all after it.
    Fail(usize, bool),
    Fill(usize),
    /// Fails one sync to come, which may forget what it was to write.
    FailSync(bool),
    Heal,
    Reopen,
}

#[derive(Debug, Clone, Copy)]
enum Write {
    Append(usize, u64, usize),
    Trim(usize, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = |write| vec![write];
    let write = prop_oneof![
        5 => (0..DOCS.len(), 0u64..8, 0usize..900)
            .prop_map(move |(d, p, l)| one(Write::Append(d, p, l))),
        // They share a frame.
        2 => (0..DOCS.len(), 0u64..6, 2u64..6, 0usize..90)
            .prop_map(|(d, p, n, l)| (p..p + n).map(|p| Write::Append(d, p, l)).collect()),
        1 => (0..DOCS.len(), 0u64..8).prop_map(move |(d, p)| one(Write::Trim(d, p))),
    ];
    let writes = prop::collection::vec(write, 1..6).prop_map(|writes| writes.concat());
    let step = prop_oneof![
        12 => writes.prop_map(Step::Commit),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::LosePower),
        2 => (0usize..12, any::<bool>()).prop_map(|(n, full)| Step::Fail(n, full)),
        1 => (0usize..6000).prop_map(Step::Fill),
        2 => any::<bool>().prop_map(Step::FailSync),
        2 => Just(Step::Heal),
        2 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

type Records = BTreeMap<(usize, u64), Bytes>;

/// A journal at work, and what it has to hold.
struct World {
    disk: SimulatedDisk,
    device: Arc<SimulatedDevice>,
    journal: Option<DiskJournal>,
    mode: SyncMode,
    /// What was answered with `Ok`.
    certain: Records,
    /// What was not, and what may get lost with power, since then.
    uncertain: Vec<Write>,
    uncertain_bodies: Vec<Bytes>,
    /// Whether the disk takes nothing for some time.
    is_failing: bool,
    bodies: u64,
}

impl World {
    fn new(mode: SyncMode) -> Self {
        let disk = SimulatedDisk::default();
        let device = disk.device();
        let mut world = Self {
            disk,
            device,
            journal: None,
            mode,
            certain: Records::new(),
            uncertain: vec![],
            uncertain_bodies: vec![],
            is_failing: false,
            bodies: 0,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.heal();
        self.device = self.disk.device();
        let options = JournalOptions {
            sync: self.mode,
            segment_bytes: 4096,
            ..JournalOptions::new("disk")
        };
        let device = Arc::clone(&self.device);
        let journal = DiskJournal::open_on(device as _, Path::new("/journal"), &options);
        self.journal = Some(journal.unwrap());
    }

    fn journal(&self) -> &DiskJournal {
        self.journal.as_ref().unwrap()
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Commit(writes) => self.commit(writes).await,
            Step::Fail(after, full) => {
                let kind = [io::ErrorKind::Other, io::ErrorKind::StorageFull][usize::from(full)];
                self.take_no_more();
                self.disk.fail(Fault { after, kind });
            }
            Step::Fill(bytes) => {
                self.take_no_more();
                self.disk.limit(bytes);
            }
            Step::FailSync(forgets) => self.fail_sync(forgets),
            Step::Heal => self.heal(),
            Step::Reopen => {
                if self.journal().reopen().await.is_ok() {
                    self.heal();
                    self.look(false).await;
                }
            }
            Step::Restart => {
                self.journal = None;
                self.start();
                self.look(false).await;
            }
            Step::Kill => {
                self.device.kill();
                self.journal = None;
                self.start();
                self.look(false).await;
            }
            Step::LosePower(seed) => {
                self.device.kill();
                self.journal = None;
                self.disk.lose_power(numbers(seed));
                self.start();
                self.look(self.mode != SyncMode::Always).await;
            }
        }
    }

    fn heal(&mut self) {
        self.is_failing = false;
        self.disk.heal();
    }

    fn take_no_more(&mut self) {
        self.is_failing = true;
        self.fail_sync(false);
    }

    /// What was forgotten can be written anew by a process that lives on, to a
    /// disk that takes it: that is much, but not all that can go wrong at once.
    fn fail_sync(&self, forgets: bool) {
        let forgets = forgets && !self.is_failing;
        let kind = io::ErrorKind::Other;
        self.disk.fail_next_sync(SyncFault { kind, forgets });
    }

    async fn commit(&mut self, writes: Vec<Write>) {
        let mut bodies = vec![];
        let mut calls = vec![];
        for write in &writes {
            calls.push(match write {
                Write::Append(doc, position, len) => {
                    self.bodies += 1;
                    let mut body = self.bodies.to_le_bytes().to_vec();
                    body.resize(8 + len, 7);
                    bodies.push(Bytes::from(body));
                    append(DOCS[*doc], *position, bodies.last().unwrap().clone())
                }
                Write::Trim(doc, through) => trim(DOCS[*doc], *through),
            });
        }
        match self.journal().commit(calls).await {
            Ok(()) => self.apply(&writes, &bodies),
            Err(JournalError::Failed(_)) => {
                self.uncertain.extend(writes);
                self.uncertain_bodies.extend(bodies);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn apply(&mut self, writes: &[Write], bodies: &[Bytes]) {
        assert!(self.uncertain.is_empty(), "it went on after a failure");
        let mut bodies = bodies.iter();
        for write in writes {
            match write {
                Write::Append(doc, position, _) => {
                    let body = bodies.next().unwrap().clone();
                    self.certain.insert((*doc, *position), body);
                }
                Write::Trim(doc, through) => {
                    let is_trimmed = |(d, p): &(usize, u64)| d == doc && p <= through;
                    self.certain.retain(|place, _| !is_trimmed(place));
                }
            }
        }
    }

    /// Compares what is there with what has to be. From then on it is certain.
    async fn look(&mut self, may_have_lost: bool) {
        let found = self.found().await;
        for (place, body) in &found {
            let is_known = self.certain.get(place) == Some(body);
            let is_possible = self.uncertain_bodies.contains(body) || may_have_lost;
            assert!(is_known || is_possible, "invented {place:?}");
        }
        for place in self.certain.keys() {
            let is_touched = self.uncertain.iter().any(|write| touches(write, *place));
            assert!(
                found.contains_key(place) || is_touched || may_have_lost,
                "lost {place:?}"
            );
        }
        self.certain = found;
        self.uncertain.clear();
        self.uncertain_bodies.clear();
    }

    async fn found(&self) -> Records {
        let mut found = Records::new();
        for (n, id) in DOCS.iter().enumerate() {
            for (position, body) in plain(self.journal().read(&doc(id)).await.unwrap()) {
                found.insert((n, position), body);
            }
        }
        let docs = self.journal().documents().await.unwrap();
        let expected = |(n, _): &(usize, u64)| doc(DOCS[*n]);
        let mut expected: Vec<_> = found.keys().map(expected).collect();
        expected.dedup();
        assert_eq!(docs, expected);
        found
    }
}

fn touches(write: &Write, (doc, position): (usize, u64)) -> bool {
    match write {
        // The old one stays, or the new one is there.
        Write::Append(..) => false,
        Write::Trim(d, through) => *d == doc && position <= *through,
    }
}

/// Numbers below what is asked for, from a seed.
fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % below
    }
}

fn run(steps: Vec<Step>, mode: SyncMode) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let mut world = World::new(mode);
        for step in steps {
            world.take(step).await;
        }
        world.heal();
        world.journal().reopen().await.unwrap();
        world.look(false).await;
        world
            .take(Step::Commit(vec![Write::Append(0, 0, 10)]))
            .await;
        world.take(Step::LosePower(1)).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_answered_with_ok_survives_anything(steps in steps()) {
        run(steps, SyncMode::Always);
    }

    #[test]
    fn what_is_synced_later_survives_all_but_the_loss_of_power(steps in steps()) {
        run(steps, SyncMode::Interval(FOREVER));
    }
}

fn commit_one(journal: &DiskJournal, write: JournalWrite) -> Result<(), JournalError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(journal.commit(vec![write]))
}

#[test]
fn a_failed_sync_is_never_tried_again_on_the_same_file() {
    let mut world = World::new(SyncMode::Always);
    let records = |n: u64| append("a", n, vec![1; 100]);
    commit_one(world.journal(), records(1)).unwrap();
    // The write goes well, its sync does not.
    let kind = io::ErrorKind::Other;
    world.disk.fail(Fault { after: 1, kind });
    for n in 2..4 {
        let failed = commit_one(world.journal(), records(n));
        assert!(matches!(failed, Err(JournalError::Failed(_))));
    }
    world.disk.heal();
    assert!(commit_one(world.journal(), records(4)).is_err());
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    runtime.block_on(world.journal().reopen()).unwrap();
    commit_one(world.journal(), records(5)).unwrap();
    world.device.kill();
    world.journal = None;
    world.disk.lose_power(|_| 0);
    world.start();
    let found = runtime.block_on(world.journal().read(&doc("a"))).unwrap();
    let positions: Vec<_> = plain(found).into_iter().map(|(n, _)| n).collect();
    assert_eq!(positions, [1, 5]);
}
