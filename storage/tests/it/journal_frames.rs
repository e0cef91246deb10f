//! Records that share a frame: each can be trimmed, replaced and copied as if it had one
//! of its own, and what is damaged or cut off costs what it says.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ysyncd_engine::JournalError;
use ysyncd_storage::journal::{
    Journal, JournalWrite,
    disk::{DiskJournal, JournalOptions, SimulatedDisk, SyncFault},
};

use crate::{
    conformance::doc,
    journal::{append, commit, plain, read, trim},
};

const FOLDER: &str = "/journal";

fn open_with(disk: &SimulatedDisk, segment_bytes: u64) -> DiskJournal {
    let options = JournalOptions {
        segment_bytes,
        ..JournalOptions::new("disk")
    };
    DiskJournal::open_on(disk.device(), Path::new(FOLDER), &options).unwrap()
}

fn open(disk: &SimulatedDisk) -> DiskJournal {
    open_with(disk, 4 << 20)
}

type Records = Vec<(u64, Bytes)>;

/// Records of one document, and the writes that make them.
fn run(id: &str, positions: impl IntoIterator<Item = u64>) -> (Records, Vec<JournalWrite>) {
    let record = |n| (n, Bytes::from(format!("{n} of {id}")));
    let records: Vec<_> = positions.into_iter().map(record).collect();
    let write = |(n, body): &(u64, Bytes)| append(id, *n, body.clone());
    let writes = records.iter().map(write).collect();
    (records, writes)
}

fn the_file(disk: &SimulatedDisk) -> (PathBuf, Vec<u8>) {
    let mut files = disk.files();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// How many frames there are, but for those that declare what is durable.
fn frames(disk: &SimulatedDisk) -> usize {
    let heads = |kind| {
        let head = [b'y', b's', b'J', b'<', kind];
        let files = disk.files();
        let windows = files.iter().flat_map(|(_, bytes)| bytes.windows(5));
        windows.filter(|window| *window == head).count()
    };
    (1..4).map(heads).sum()
}

#[tokio::test]
async fn what_somebody_types_takes_little_more_than_its_bytes() {
    let disk = SimulatedDisk::default();
    let journal = open(&disk);
    let before = the_file(&disk).1.len();
    let writes = (1..=1000).map(|n| append("a document", n, vec![7; 17]));
    journal.commit(writes.collect()).await.unwrap();
    let took = the_file(&disk).1.len() - before;
    assert!(took < 1000 * 20, "{took}");
    assert_eq!(frames(&disk), 4);
    drop(journal);
    assert_eq!(read(&open(&disk), "a document").await.len(), 1000);
}

#[tokio::test]
async fn only_what_follows_each_other_shares_a_frame() {
    let disk = SimulatedDisk::default();
    let journal = open(&disk);
    let writes = vec![
        append("a", 1, "a"),
        append("a", 2, "a"),
        // A gap, another document, the same place again, and a trim between.
        append("a", 4, "a"),
        append("b", 5, "b"),
        append("a", 5, "a"),
        append("a", 5, "again"),
        append("a", 6, "a"),
        trim("b", 1),
        append("a", 7, "a"),
        append("a", u64::MAX, "last"),
    ];
    journal.commit(writes).await.unwrap();
    assert_eq!(frames(&disk), 8);
    let (expected, _) = run("a", [1, 2, 4, 5, 6, 7, u64::MAX]);
    for journal in [journal, open(&disk.copy())] {
        let found = read(&journal, "a").await;
        let positions = |records: &Records| records.iter().map(|(n, _)| *n).collect::<Vec<_>>();
        assert_eq!(positions(&found), positions(&expected));
        assert_eq!(found[3], (5, "again".into()));
        assert_eq!(read(&journal, "b").await, [(5, "b".into())]);
    }
}

#[tokio::test]
async fn frames_that_are_shared_stay_small() {
    let disk = SimulatedDisk::default();
    let journal = open(&disk);
    let sizes = [
        0, 0, 1, 16_381, 1, 1, 16_384, 1, 65_535, 65_536, 1, 8_191, 8_191, 8_192, 8_192, 0,
    ];
    let writes = (1..).zip(sizes);
    let writes: Vec<_> = writes
        .map(|(n, size)| append("a", n, vec![b'<'; size]))
        .collect();
    journal.commit(writes).await.unwrap();
    drop(journal);
    let found = read(&open(&disk), "a").await;
    assert!(found.iter().map(|(_, body)| body.len()).eq(sizes));
    // Up to 16 KiB, lengths included.
    assert_eq!(frames(&disk), 11);
}

#[tokio::test]
async fn a_trim_may_end_within_a_frame() {
    let (records, writes) = run("a", 10..20);
    for through in 8..=20 {
        let disk = SimulatedDisk::default();
        let journal = open(&disk);
        journal.commit(writes.clone()).await.unwrap();
        commit(&journal, trim("a", through)).await.unwrap();
        let left: Records = records
            .iter()
            .filter(|(n, _)| *n > through)
            .cloned()
            .collect();
        assert_eq!(read(&journal, "a").await, left);
        drop(journal);
        let journal = open(&disk);
        assert_eq!(read(&journal, "a").await, left);
        let listed = if left.is_empty() {
            vec![]
        } else {
            vec![doc("a")]
        };
        assert_eq!(journal.documents().await.unwrap(), listed);
    }
}

#[tokio::test]
async fn what_stands_within_a_frame_is_replaced() {
    for (first, last) in [(10, 10), (12, 14), (15, 19), (8, 11), (18, 25), (5, 30)] {
        let disk = SimulatedDisk::default();
        let journal = open(&disk);
        let (mut expected, writes) = run("a", 10..20);
        journal.commit(writes).await.unwrap();
        expected.retain(|(n, _)| !(first..=last).contains(n));
        let writes = (first..=last).map(|n| append("a", n, format!("new {n}")));
        journal.commit(writes.collect()).await.unwrap();
        expected.extend((first..=last).map(|n| (n, format!("new {n}").into())));
        expected.sort();
        assert_eq!(frames(&disk), 2);
        assert_eq!(read(&journal, "a").await, expected);
        commit(&journal, trim("a", 13)).await.unwrap();
        expected.retain(|(n, _)| *n > 13);
        assert_eq!(read(&journal, "a").await, expected);
        drop(journal);
        assert_eq!(read(&open(&disk), "a").await, expected);
    }
}

#[tokio::test]
async fn of_a_frame_only_what_is_needed_is_copied() {
    let disk = SimulatedDisk::default();
    let journal = open_with(&disk, 4096);
    for n in 0..20 {
        let id = format!("doc {n}");
        let writes = (0..100).map(|n| append(&id, n, vec![b'x'; 100]));
        journal.commit(writes.collect()).await.unwrap();
        commit(&journal, trim(&id, 97)).await.unwrap();
    }
    for n in 0..200 {
        let writes = vec![append("b", n, vec![0; 500]), trim("b", n)];
        journal.commit(writes).await.unwrap();
    }
    let on_disk: usize = disk.files().iter().map(|(_, bytes)| bytes.len()).sum();
    // Two records each of 20 documents, and what 4 KiB segments waste.
    assert!(on_disk < 2 * 20 * 310 + 4 * 5000, "{on_disk}");
    drop(journal);
    let journal = open_with(&disk, 4096);
    for n in 0..20 {
        let found = read(&journal, &format!("doc {n}")).await;
        assert_eq!(found, [98, 99].map(|n| (n, vec![b'x'; 100].into())));
    }
}

#[tokio::test]
async fn no_changed_byte_of_a_shared_frame_costs_others() {
    let disk = SimulatedDisk::default();
    let journal = open(&disk);
    let (a, mut writes) = run("a", 1..6);
    let (b, more) = run("b", 3..7);
    writes.extend(more);
    journal.commit(writes).await.unwrap();
    drop(journal);
    let (file, bytes) = the_file(&disk);
    let mut damages = 0;
    for at in 0..bytes.len() {
        let disk = disk.copy();
        disk.damage(&file, |bytes| bytes[at] ^= 0x20);
        let journal = open(&disk);
        let mut damaged = 0;
        for (id, expected) in [("a", &a), ("b", &b)] {
            match journal.read(&doc(id)).await {
                Ok(found) => assert_eq!(plain(found), *expected, "byte {at}"),
                Err(JournalError::Damaged(_)) => damaged += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(damaged <= 1, "byte {at}");
        damages += damaged;
    }
    // Bodies alone are not there twice; all updates but two have a length.
    let bodies = a.iter().chain(&b).map(|(_, body)| body.len() + 2);
    assert_eq!(damages, bodies.sum::<usize>() - 2 * 2);
}

#[tokio::test]
async fn a_frame_that_was_cut_off_is_dropped_whole() {
    let disk = SimulatedDisk::default();
    let device = disk.device();
    let options = JournalOptions::new("disk");
    let journal = DiskJournal::open_on(device.clone(), Path::new(FOLDER), &options).unwrap();
    commit(&journal, append("a", 1, "kept")).await.unwrap();
    let (file, before) = the_file(&disk);
    let (torn, mut writes) = run("a", 2..7);
    writes.extend(run("b", 1..4).1);
    journal.commit(writes).await.unwrap();
    device.kill();
    drop(journal);
    let (_, after) = the_file(&disk);
    for len in before.len()..after.len() {
        let disk = disk.copy();
        disk.damage(&file, |bytes| bytes.truncate(len));
        let journal = open(&disk);
        let found = read(&journal, "a").await;
        assert_eq!(found[0], (1, "kept".into()));
        assert!(found.len() == 1 || found[1..] == torn, "{found:?}");
        assert_eq!(read(&journal, "b").await, []);
        let (expected, writes) = run("a", 2..4);
        journal.commit(writes).await.unwrap();
        drop(journal);
        assert_eq!(read(&open(&disk), "a").await[1..3], expected);
    }
}

/// A run that is in the index in two parts is lost as one.
#[tokio::test]
async fn what_a_failing_disk_lost_of_a_shared_frame_is_told_of_all_of_it() {
    let disk = SimulatedDisk::default();
    let device = disk.device();
    let options = JournalOptions::new("disk");
    let journal = DiskJournal::open_on(device.clone(), Path::new(FOLDER), &options).unwrap();
    let (_, writes) = run("a", 1..8);
    journal.commit(writes).await.unwrap();
    commit(&journal, append("a", 4, "replaced")).await.unwrap();
    commit(&journal, append("whole", 1, "whole")).await.unwrap();
    let (file, bytes) = the_file(&disk);
    let at = bytes.windows(6).position(|part| part == b"6 of a").unwrap();
    disk.damage(&file, |bytes| bytes[at] = b'9');
    let kind = std::io::ErrorKind::Other;
    let forgets = true;
    disk.fail_next_sync(SyncFault { kind, forgets });
    let failed = commit(&journal, append("b", 1, "b")).await;
    assert!(matches!(failed, Err(JournalError::Failed(_))));
    journal.reopen().await.unwrap();
    for trimmed in [None, Some(4)] {
        if let Some(through) = trimmed {
            commit(&journal, trim("a", through)).await.unwrap();
        }
        for journal in [&journal, &open(&disk.copy())] {
            let answer = journal.read(&doc("a")).await;
            let is_damage = matches!(answer, Err(JournalError::Damaged(_)));
            assert!(is_damage, "{trimmed:?}: {answer:?}");
            assert_eq!(read(journal, "whole").await, [(1, "whole".into())]);
        }
    }
    commit(&journal, trim("a", 7)).await.unwrap();
    device.kill();
    drop(journal);
    assert_eq!(read(&open(&disk), "a").await, []);
}

#[tokio::test]
async fn a_run_that_is_taken_over_keeps_its_order() {
    let disk = SimulatedDisk::default();
    let (first, other) = (open(&disk), open(&disk));
    let (records, writes) = run("a", 5..9);
    other.commit(writes).await.unwrap();
    commit(&other, trim("a", 5)).await.unwrap();
    commit(&first, append("a", 1, "ours")).await.unwrap();
    drop((first, other));
    let found = read(&open(&disk), "a").await;
    let bodies: Vec<_> = found.into_iter().map(|(_, body)| body).collect();
    let expected = records[1..].iter().map(|(_, body)| body.clone());
    assert_eq!(
        bodies,
        std::iter::once("ours".into())
            .chain(expected)
            .collect::<Vec<Bytes>>()
    );
}
