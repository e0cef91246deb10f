//! Room on the disk: given back in the long run, and missing at times.

use std::{collections::BTreeMap, path::Path, process::Command};

use tempfile::TempDir;
use ysyncd_engine::JournalError;
use ysyncd_storage::journal::{
    Journal,
    disk::{DiskJournal, JournalOptions, SimulatedDisk},
};

use crate::{
    conformance::doc,
    journal::{append, commit, read, trim},
};

const SEGMENT: u64 = 16 << 10;

fn options() -> JournalOptions {
    JournalOptions {
        segment_bytes: SEGMENT,
        ..JournalOptions::new("disk")
    }
}

fn on_disk(disk: &SimulatedDisk) -> u64 {
    let files = disk.files();
    files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

#[tokio::test]
async fn trimmed_records_take_no_room_in_the_long_run() {
    let disk = SimulatedDisk::default();
    let journal = DiskJournal::open_on(disk.device(), "/journal", &options()).unwrap();
    let mut kept = BTreeMap::new();
    let mut kept_bytes = 0;
    for n in 1..3000 {
        let id = format!("doc {}", n % 7);
        let mut writes = vec![append(&id, n, vec![1; 300]), trim(&id, n - 1)];
        if n % 100 == 0 {
            // Never trimmed.
            let id = format!("kept {n}");
            writes.push(append(&id, 1, id.clone()));
            kept_bytes += 2 * (48 + id.len() as u64) + id.len() as u64;
            kept.insert(id.clone(), id);
        }
        journal.commit(writes).await.unwrap();
        let live = kept_bytes + 7 * 500;
        // Two segments, and the one that is being written.
        let most = 2 * live + 3 * SEGMENT + 1000;
        assert!(on_disk(&disk) < most, "{} at {n}", on_disk(&disk));
        // Counted after a turn, so perhaps one turn behind.
        assert!(journal.size_bytes().abs_diff(on_disk(&disk)) < SEGMENT + 1000);
    }
    drop(journal);
    let journal = DiskJournal::open_on(disk.device(), "/journal", &options()).unwrap();
    assert_eq!(journal.documents().await.unwrap().len(), 7 + kept.len());
    for (id, body) in kept {
        assert_eq!(read(&journal, &id).await, [(1, body.into())]);
    }
}

#[tokio::test]
async fn when_the_disk_has_room_again_a_full_journal_goes_on() {
    let disk = SimulatedDisk::default();
    let journal = DiskJournal::open_on(disk.device(), "/journal", &options()).unwrap();
    let acknowledged = fill(&journal, || disk.limit(50_000)).await;
    assert!(acknowledged > 20);
    assert!(journal.reopen().await.is_err());
    disk.heal();
    check_it_goes_on(&journal, acknowledged).await;
    drop(journal);
    let journal = DiskJournal::open_on(disk.device(), "/journal", &options()).unwrap();
    let found = read(&journal, "a").await.len() as u64;
    assert!(found >= acknowledged);
}

/// The same on a real file system. Mounting takes privileges.
#[tokio::test]
async fn a_real_disk_that_is_full_is_no_different() {
    let folder = TempDir::new().unwrap();
    let Some(_mounted) = Mounted::new(folder.path()) else {
        eprintln!("skipped: no file system can be mounted");
        return;
    };
    let journal = DiskJournal::open(folder.path().join("journal"), &options()).unwrap();
    let filler = folder.path().join("filler");
    let acknowledged = fill(&journal, || {
        std::fs::write(&filler, vec![1; 4 << 20]).unwrap_err();
    })
    .await;
    std::fs::remove_file(&filler).unwrap();
    check_it_goes_on(&journal, acknowledged).await;
}

/// Commits until the disk is full; gives how many were acknowledged.
async fn fill(journal: &DiskJournal, limit: impl FnOnce()) -> u64 {
    for n in 1..=20 {
        commit(journal, append("a", n, vec![1; 1000]))
            .await
            .unwrap();
    }
    limit();
    let mut n = 20;
    while commit(journal, append("a", n + 1, vec![1; 1000]))
        .await
        .is_ok()
    {
        n += 1;
        assert!(n < 5000, "the disk never fills up");
    }
    let answer = journal.read(&doc("a")).await;
    assert!(matches!(answer, Err(JournalError::Failed(_))), "{answer:?}");
    n
}

async fn check_it_goes_on(journal: &DiskJournal, acknowledged: u64) {
    assert!(commit(journal, trim("a", 1)).await.is_err());
    journal.reopen().await.unwrap();
    let found = read(journal, "a").await;
    let positions: Vec<_> = found.iter().map(|(n, _)| *n).collect();
    let expected: Vec<_> = (1..=acknowledged).collect();
    assert!(positions.starts_with(&expected));
    commit(journal, append("b", 1, "new")).await.unwrap();
    assert_eq!(read(journal, "b").await, [(1, "new".into())]);
}

struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(folder: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=1m", "none"])
            .arg(folder);
        let output = mount.output().ok()?;
        output.status.success().then_some(Self(folder))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Files are still open; it goes when they are closed.
        let mut unmount = Command::new("umount");
        assert!(unmount.arg("-l").arg(self.0).status().unwrap().success());
    }
}
