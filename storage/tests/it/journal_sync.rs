//! Syncs that fail, most of them where nobody is waiting for an answer: what
//! was acknowledged before is made durable all the same, as soon as the disk
//! can, and what is at risk until then is told.

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;
use ysyncd_engine::JournalError;
use ysyncd_storage::journal::{
    Journal, JournalWrite,
    disk::{
        DiskJournal, Fault, JournalOptions, SimulatedDevice, SimulatedDisk, SyncFault, SyncMode,
        Writer,
    },
};

use crate::{
    conformance::doc,
    journal::{append, read, trim},
    journal_workplace::Desk,
};

const INTERVAL: Duration = Duration::from_millis(100);
const FOLDER: &str = "/journal";

/// A journal whose writer works when the test says so.
struct Process {
    device: Arc<SimulatedDevice>,
    journal: DiskJournal,
    writer: Writer,
}

impl Process {
    fn start(disk: &SimulatedDisk, sync: SyncMode) -> Self {
        let (desk, device) = (Desk::default(), disk.device());
        let options = JournalOptions {
            sync,
            ..JournalOptions::new("disk")
        };
        let (on, folder) = (Arc::clone(&device), Path::new(FOLDER));
        let journal = DiskJournal::open_at(&desk, on, folder, &options).unwrap();
        let writer = desk.take();
        Self {
            device,
            journal,
            writer,
        }
    }

    /// Has the writer work until it has answered.
    async fn commit(&mut self, writes: Vec<JournalWrite>) -> Result<(), JournalError> {
        let call = self.journal.commit(writes);
        turn(&mut self.writer).await;
        call.await
    }

    async fn reopen(&mut self) -> Result<(), JournalError> {
        let call = self.journal.reopen();
        turn(&mut self.writer).await;
        call.await
    }

    async fn turn(&mut self) {
        turn(&mut self.writer).await;
    }

    /// Ends it amid its work, and the machine with it.
    fn lose_power(self, disk: &SimulatedDisk) {
        self.device.kill();
        disk.lose_power(|_| 0);
        disk.heal();
    }
}

async fn turn(writer: &mut Writer) {
    let wait = timeout(Duration::from_secs(60), writer.wait());
    assert!(wait.await.expect("a turn is due"));
    writer.take_turn().give();
}

fn sync_fault(forgets: bool) -> SyncFault {
    let kind = io::ErrorKind::Other;
    SyncFault { kind, forgets }
}

/// What the next process finds.
async fn found(disk: &SimulatedDisk, id: &str) -> Vec<(u64, Bytes)> {
    let options = JournalOptions::new("disk");
    let journal = DiskJournal::open_on(disk.device(), Path::new(FOLDER), &options).unwrap();
    read(&journal, id).await
}

fn texts<const N: usize>(records: [(u64, &'static str); N]) -> Vec<(u64, Bytes)> {
    records.map(|(n, text)| (n, Bytes::from(text))).to_vec()
}

#[tokio::test(start_paused = true)]
async fn what_a_sync_in_the_background_failed_to_keep_is_kept_without_any_call() {
    for forgets in [false, true] {
        let disk = SimulatedDisk::default();
        let mut process = Process::start(&disk, SyncMode::Interval(INTERVAL));
        process.commit(vec![append("a", 1, "kept")]).await.unwrap();
        disk.fail_next_sync(sync_fault(forgets));
        process.turn().await;
        process.lose_power(&disk);
        assert_eq!(found(&disk, "a").await, texts([(1, "kept")]), "{forgets}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_for_long_is_tried_again_without_any_call() {
    let disk = SimulatedDisk::default();
    let mut process = Process::start(&disk, SyncMode::Interval(INTERVAL));
    process.commit(vec![append("a", 1, "kept")]).await.unwrap();
    let kind = io::ErrorKind::Other;
    disk.fail(Fault { after: 0, kind });
    assert_eq!(process.journal.at_risk_bytes(), 0);
    for _ in 0..3 {
        process.turn().await;
        assert!(process.journal.at_risk_bytes() > 4);
    }
    disk.heal();
    process.turn().await;
    assert_eq!(process.journal.at_risk_bytes(), 0);
    process.lose_power(&disk);
    assert_eq!(found(&disk, "a").await, texts([(1, "kept")]));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_keeps_what_it_took_before() {
    let disk = SimulatedDisk::default();
    let mut process = Process::start(&disk, SyncMode::Interval(INTERVAL));
    process.commit(vec![append("a", 1, "kept")]).await.unwrap();
    disk.limit(50);
    let refused = process.commit(vec![append("a", 2, "refused")]).await;
    assert!(matches!(refused, Err(JournalError::Failed(_))));
    process.turn().await;
    process.lose_power(&disk);
    assert_eq!(found(&disk, "a").await, texts([(1, "kept")]));
}

#[tokio::test(start_paused = true)]
async fn a_failed_sync_is_made_good_at_the_end() {
    let disk = SimulatedDisk::default();
    let mut process = Process::start(&disk, SyncMode::Interval(INTERVAL));
    process.commit(vec![append("a", 1, "kept")]).await.unwrap();
    disk.fail_next_sync(sync_fault(true));
    let Process {
        device,
        journal,
        mut writer,
    } = process;
    drop(journal);
    assert!(!writer.wait().await);
    writer.close();
    device.kill();
    disk.lose_power(|_| 0);
    assert_eq!(found(&disk, "a").await, texts([(1, "kept")]));
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_forgets_leaves_nothing_that_a_start_refuses() {
    for sync in [SyncMode::Always, SyncMode::Interval(INTERVAL)] {
        let disk = SimulatedDisk::default();
        let mut process = Process::start(&disk, sync);
        for n in 1..=3 {
            process.commit(vec![append("a", n, "a")]).await.unwrap();
            process.commit(vec![append("b", n, "b")]).await.unwrap();
        }
        process.commit(vec![trim("b", 2)]).await.unwrap();
        disk.fail_next_sync(sync_fault(true));
        match sync {
            SyncMode::Always => {
                let call = process.commit(vec![append("c", 1, "c")]).await;
                call.unwrap_err();
            }
            SyncMode::Interval(_) => process.turn().await,
        }
        process.reopen().await.unwrap();
        process.commit(vec![append("d", 1, "d")]).await.unwrap();
        process.device.kill();
        drop(process);
        let a = texts([(1, "a"), (2, "a"), (3, "a")]);
        assert_eq!(found(&disk, "a").await, a, "{sync:?}");
        assert_eq!(found(&disk, "b").await, texts([(3, "b")]), "{sync:?}");
        assert_eq!(found(&disk, "d").await, texts([(1, "d")]), "{sync:?}");
    }
}

/// A disk that fails may have lost more than what was being synced.
#[tokio::test(start_paused = true)]
async fn what_a_failing_disk_lost_of_old_costs_the_documents_concerned_only() {
    let disk = SimulatedDisk::default();
    let mut process = Process::start(&disk, SyncMode::Always);
    for id in ["whole", "lost", "trimmed", "also whole"] {
        process.commit(vec![append(id, 1, id)]).await.unwrap();
    }
    process.commit(vec![trim("trimmed", 1)]).await.unwrap();
    process
        .commit(vec![append("last", 1, "last")])
        .await
        .unwrap();
    let (file, bytes) = disk.files().remove(0);
    for (from, to) in [("lost", "also whole"), ("last", "")] {
        let start = find(&bytes, from);
        let end = match to {
            "" => bytes.len(),
            // Its first head, too: the second one tells what it is.
            to => find(&bytes, to) + 40,
        };
        disk.damage(&file, |bytes| bytes[start..end].fill(0));
    }
    disk.fail_next_sync(sync_fault(true));
    process.commit(vec![append("b", 1, "b")]).await.unwrap_err();
    process.reopen().await.unwrap();
    process.commit(vec![append("b", 1, "b")]).await.unwrap();
    process.device.kill();
    drop(process);

    for _ in 0..2 {
        let options = JournalOptions::new("disk");
        let journal = DiskJournal::open_on(disk.device(), Path::new(FOLDER), &options).unwrap();
        let documents = ["also whole", "b", "last", "lost", "whole"].map(doc);
        assert_eq!(journal.documents().await.unwrap(), documents);
        for id in ["whole", "also whole", "b"] {
            assert_eq!(read(&journal, id).await, [(1, Bytes::from(id))]);
        }
        for id in ["lost", "last"] {
            let answer = journal.read(&doc(id)).await;
            assert!(matches!(answer, Err(JournalError::Damaged(_))), "{id}");
        }
    }
}

/// Where the first frame of a document begins.
fn find(bytes: &[u8], id: &str) -> usize {
    let mut windows = bytes.windows(id.len());
    let name = windows.position(|window| window == id.as_bytes()).unwrap();
    name - 40
}
