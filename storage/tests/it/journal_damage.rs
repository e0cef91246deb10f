//! Bytes that the disk has changed: a record is read as it was written, or
//! reported as damaged, and other documents are not concerned.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use ysyncd_engine::JournalError;
use ysyncd_storage::journal::{
    Journal,
    disk::{Device, DiskJournal, JournalOptions, OpenError, SimulatedDisk},
};

use crate::{
    conformance::doc,
    journal::{append, commit, plain, read, trim},
};

const FOLDER: &str = "/journal";

type Documents = BTreeMap<&'static str, Vec<(u64, Bytes)>>;

fn open(disk: &SimulatedDisk) -> Result<DiskJournal, OpenError> {
    open_with(disk, 4 << 20)
}

fn open_with(disk: &SimulatedDisk, segment_bytes: u64) -> Result<DiskJournal, OpenError> {
    let options = JournalOptions {
        segment_bytes,
        ..JournalOptions::new("s3://bucket/prefix")
    };
    DiskJournal::open_on(disk.device(), Path::new(FOLDER), &options)
}

/// A disk with a small journal that was closed, and what it holds.
async fn small_journal() -> (SimulatedDisk, Documents) {
    let disk = SimulatedDisk::default();
    let journal = open(&disk).unwrap();
    let mut expected = Documents::new();
    for n in 1..4 {
        for id in ["a", "b", "c"] {
            let body = format!("{n} of {id}: {}", "x".repeat(20));
            let write = append(id, n, body.clone());
            commit(&journal, write).await.unwrap();
            expected.entry(id).or_default().push((n, body.into()));
        }
    }
    commit(&journal, trim("c", 3)).await.unwrap();
    expected.remove("c");
    commit(&journal, append("b", 4, "the last")).await.unwrap();
    let of_b = expected.entry("b").or_default();
    of_b.push((4, "the last".into()));
    drop(journal);
    (disk, expected)
}

fn the_file(disk: &SimulatedDisk) -> (std::path::PathBuf, Vec<u8>) {
    let mut files = disk.files();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// Opens it and compares; gives the documents that are damaged.
async fn check(disk: &SimulatedDisk, expected: &Documents) -> Vec<&'static str> {
    let journal = open(disk).unwrap();
    let docs: Vec<_> = expected.keys().map(|id| doc(id)).collect();
    assert_eq!(journal.documents().await.unwrap(), docs);
    let mut damaged = vec![];
    for (id, records) in expected {
        match journal.read(&doc(id)).await {
            Ok(found) => assert_eq!(plain(found), *records),
            Err(JournalError::Damaged(_)) => damaged.push(*id),
            Err(error) => panic!("{error}"),
        }
    }
    damaged
}

#[tokio::test]
async fn no_single_changed_byte_costs_more_than_one_document() {
    let (disk, expected) = small_journal().await;
    let (file, bytes) = the_file(&disk);
    let mut damages = 0;
    for at in 0..bytes.len() {
        let disk = disk.copy();
        disk.damage(&file, |bytes| bytes[at] ^= 0x20);
        let damaged = check(&disk, &expected).await;
        assert!(damaged.len() <= 1, "byte {at} costs {damaged:?}");
        damages += damaged.len();
    }
    // Only bodies are not there twice.
    let bodies = expected.values().flatten().map(|(_, body)| body.len());
    assert_eq!(damages, bodies.sum::<usize>());
}

#[tokio::test]
async fn damage_is_told_again_after_opening_again_and_costs_nobody_else() {
    let (disk, expected) = small_journal().await;
    let (file, bytes) = the_file(&disk);
    let at = find(&bytes, b"2 of a");
    disk.damage(&file, |bytes| bytes[at] = b'9');
    for _ in 0..3 {
        assert_eq!(check(&disk, &expected).await, ["a"]);
    }
    let journal = open(&disk).unwrap();
    commit(&journal, append("b", 9, "new")).await.unwrap();
    assert_eq!(read(&journal, "b").await.len(), 5);
    // It goes when it is not needed any more, as if it were whole.
    commit(&journal, trim("a", 2)).await.unwrap();
    assert_eq!(read(&journal, "a").await.len(), 1);
}

#[tokio::test]
async fn damaged_bytes_are_kept_when_their_file_goes() {
    let (disk, _) = small_journal().await;
    let (file, bytes) = the_file(&disk);
    let at = find(&bytes, b"2 of a");
    disk.damage(&file, |bytes| bytes[at] = b'9');
    let journal = open_with(&disk, 4096).unwrap();
    for n in 10..100 {
        let writes = vec![append("b", n, vec![0; 500]), trim("b", n)];
        journal.commit(writes).await.unwrap();
    }
    assert!(disk.files().iter().all(|(path, _)| *path != file));
    let kept = |(_, bytes): &(_, Vec<u8>)| bytes.windows(6).any(|part| part == b"9 of a");
    assert!(disk.files().iter().any(kept));
    for journal in [journal, open_with(&disk.copy(), 4096).unwrap()] {
        let answer = journal.read(&doc("a")).await;
        assert!(
            matches!(answer, Err(JournalError::Damaged(_))),
            "{answer:?}"
        );
        assert_eq!(journal.documents().await.unwrap(), [doc("a")]);
    }
}

#[tokio::test]
async fn a_record_that_is_damaged_while_in_use_is_not_read() {
    let (disk, _) = small_journal().await;
    let journal = open(&disk).unwrap();
    let (file, bytes) = the_file(&disk);
    let at = find(&bytes, b"2 of a");
    disk.damage(&file, |bytes| bytes[at] = b'9');
    let answer = journal.read(&doc("a")).await;
    let Err(JournalError::Damaged(what)) = answer else {
        panic!("{answer:?}");
    };
    assert!(what.contains("00000001.log"), "{what}");
    assert_eq!(read(&journal, "b").await.len(), 4);
    commit(&journal, append("a", 4, "new")).await.unwrap();
}

#[tokio::test]
async fn damage_that_does_not_tell_its_document_keeps_the_journal_closed() {
    let (disk, _) = small_journal().await;
    let (file, bytes) = the_file(&disk);
    let at = find(&bytes, b"2 of a");
    disk.damage(&file, |bytes| bytes[at - 200..at + 200].fill(0));
    let error = open(&disk).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { file: damaged, .. } if *damaged == file));
    let message = error.to_string();
    assert!(message.contains("move it elsewhere"), "{message}");
    // A header that is gone, too.
    let (disk, _) = small_journal().await;
    disk.damage(&file, |bytes| bytes[..100].fill(0));
    assert!(matches!(open(&disk), Err(OpenError::Damaged { .. })));
}

#[tokio::test]
async fn a_file_that_was_cut_keeps_the_journal_closed() {
    let disk = SimulatedDisk::default();
    let journal = open_with(&disk, 4096).unwrap();
    for n in 0..20 {
        let write = append("a", n, vec![0; 500]);
        commit(&journal, write).await.unwrap();
    }
    drop(journal);
    let (first, bytes) = disk.files().remove(0);
    let last_frame = bytes.len() - rfind(&bytes, b"ysJ<");
    for cut in [1, last_frame, last_frame + 1] {
        let disk = disk.copy();
        disk.damage(&first, |bytes| bytes.truncate(bytes.len() - cut));
        let error = open(&disk).unwrap_err();
        assert!(matches!(&error, OpenError::Damaged { file, .. } if *file == first));
    }
}

#[tokio::test]
async fn what_was_durable_is_no_torn_end_after_a_crash_either() {
    let disk = SimulatedDisk::default();
    let device = disk.device();
    let options = JournalOptions::new("disk");
    let journal = DiskJournal::open_on(device.clone(), Path::new(FOLDER), &options).unwrap();
    for (n, body) in (1..).zip(["first", "second", "third"]) {
        commit(&journal, append("a", n, body)).await.unwrap();
    }
    device.kill();
    drop(journal);
    let (file, bytes) = the_file(&disk);
    for body in ["first", "second"] {
        let disk = disk.copy();
        let at = find(&bytes, body.as_bytes());
        disk.damage(&file, |bytes| bytes[at] = b'X');
        let journal = DiskJournal::open_on(disk.device(), Path::new(FOLDER), &options).unwrap();
        let answer = journal.read(&doc("a")).await;
        assert!(
            matches!(answer, Err(JournalError::Damaged(_))),
            "{answer:?}"
        );
    }
}

/// A client that knows the format, and where its update will stand, but not
/// the salt.
#[tokio::test]
async fn bytes_of_a_client_never_pass_for_frames() {
    let twin = SimulatedDisk::default();
    twin.device().salt().unwrap();
    let journal = open(&twin).unwrap();
    let write = append("victim", 1, "forged");
    commit(&journal, write).await.unwrap();
    let (_, frames) = the_file(&twin);
    let at = rfind(&frames, b"ysJ<");
    // The head of the name "evil" is two bytes shorter.
    let head = b"ysJ<".len() + 44 + "victim".len();
    let update = [b"xx", &frames[at + head..]].concat();

    let disk = SimulatedDisk::default();
    let journal = open(&disk).unwrap();
    commit(&journal, append("evil", 1, update)).await.unwrap();
    drop(journal);
    let (file, _) = the_file(&disk);
    disk.damage(&file, |bytes| bytes[at + 20] ^= 1);
    let journal = open(&disk).unwrap();
    assert_eq!(journal.documents().await.unwrap(), [doc("evil")]);
}

#[tokio::test]
async fn a_torn_end_is_dropped_wherever_it_was_torn() {
    let disk = SimulatedDisk::default();
    let device = disk.device();
    let options = JournalOptions::new("disk");
    let open = |device| DiskJournal::open_on(device, Path::new(FOLDER), &options).unwrap();
    let journal = open(device.clone());
    commit(&journal, append("a", 1, "kept")).await.unwrap();
    let (file, before) = the_file(&disk);
    let writes = vec![append("a", 2, "torn"), append("b", 1, "torn")];
    journal.commit(writes).await.unwrap();
    device.kill();
    drop(journal);
    let (_, after) = the_file(&disk);
    for len in before.len()..after.len() {
        for fill in [None, Some(0), Some(0xff)] {
            let disk = disk.copy();
            disk.damage(&file, |bytes| match fill {
                None => bytes.truncate(len),
                Some(byte) => bytes[len..].fill(byte),
            });
            let journal = open(disk.device());
            let found = read(&journal, "a").await;
            assert_eq!(found[0], (1, "kept".into()));
            assert!(found.len() == 1 || found[1..] == [(2, "torn".into())]);
            // What follows something torn is not there.
            assert!(found.len() == 2 || read(&journal, "b").await.is_empty());
            commit(&journal, append("b", 1, "new")).await.unwrap();
            drop(journal);
            assert_eq!(read(&open(disk.device()), "b").await, [(1, "new".into())]);
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    let mut windows = bytes.windows(part.len());
    windows.position(|window| window == part).unwrap()
}

fn rfind(bytes: &[u8], part: &[u8]) -> usize {
    let mut windows = bytes.windows(part.len());
    windows.rposition(|window| window == part).unwrap()
}
