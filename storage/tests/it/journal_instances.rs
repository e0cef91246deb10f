//! Several processes, one after the other or at once.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Barrier,
};

use tempfile::TempDir;
use ysyncd_storage::journal::{
    Journal,
    disk::{DiskJournal, InstanceReport, JournalOptions, OpenError, inspect},
};

use crate::{
    conformance::doc,
    journal::{append, commit, read, trim},
};

fn open(folder: &Path) -> DiskJournal {
    open_for(folder, "disk").unwrap()
}

fn open_for(folder: &Path, target: &str) -> Result<DiskJournal, OpenError> {
    DiskJournal::open(folder.join("journal"), &JournalOptions::new(target))
}

fn report(folder: &Path) -> Vec<InstanceReport> {
    inspect(&folder.join("journal")).unwrap()
}

#[tokio::test]
async fn what_was_committed_is_there_after_opening_again() {
    let folder = TempDir::new().unwrap();
    for n in 1..5 {
        let journal = open(folder.path());
        assert_eq!(read(&journal, "a").await.len() as u64, n - 1);
        commit(&journal, append("a", n, "x")).await.unwrap();
        let writes = vec![append("b", n, "x"), trim("b", n)];
        journal.commit(writes).await.unwrap();
    }
    let journal = open(folder.path());
    assert_eq!(journal.documents().await.unwrap(), [doc("a")]);
}

#[tokio::test]
async fn each_process_has_a_journal_of_its_own() {
    let folder = TempDir::new().unwrap();
    let [one, other] = [(); 2].map(|()| open(folder.path()));
    commit(&one, append("a", 1, "of one")).await.unwrap();
    commit(&other, append("a", 1, "of the other"))
        .await
        .unwrap();
    assert_eq!(read(&one, "a").await, [(1, "of one".into())]);
    assert_eq!(read(&other, "a").await, [(1, "of the other".into())]);
    let numbers: Vec<_> = report(folder.path()).iter().map(|i| i.number).collect();
    assert_eq!(numbers, [0, 1]);
}

#[tokio::test]
async fn journals_of_processes_that_are_gone_are_taken_over() {
    let folder = TempDir::new().unwrap();
    let gone: Vec<_> = (0..3).map(|_| open(folder.path())).collect();
    for (n, journal) in gone.iter().enumerate() {
        let writes = vec![
            append("a", 1, format!("first of {n}")),
            append("a", 2, format!("second of {n}")),
            append(&format!("only {n}"), 5, "x"),
        ];
        journal.commit(writes).await.unwrap();
    }
    drop(gone);
    for _ in 0..2 {
        let journal = open(folder.path());
        let found = read(&journal, "a").await;
        let of = |n| [format!("first of {n}"), format!("second of {n}")];
        let expected: Vec<_> = (0..3).flat_map(of).collect();
        let updates: Vec<_> = found.iter().map(|(_, update)| update.clone()).collect();
        assert_eq!(updates, expected);
        assert!(found.is_sorted_by_key(|(position, _)| *position));
        assert_eq!(found[..2].iter().map(|r| r.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(journal.documents().await.unwrap().len(), 4);
        assert_eq!(report(folder.path()).len(), 1);
    }
}

#[tokio::test]
async fn taking_over_again_what_was_taken_over_adds_nothing() {
    let folder = TempDir::new().unwrap();
    let [one, other] = [(); 2].map(|()| open(folder.path()));
    commit(&one, append("a", 1, "one")).await.unwrap();
    commit(&other, append("a", 1, "two")).await.unwrap();
    drop((one, other));
    // As if it was cut off before the folder was removed.
    let (orphan, copy) = (folder.path().join("journal/1"), folder.path().join("copy"));
    copy_folder(&orphan, &copy);
    drop(open(folder.path()));
    assert!(!orphan.exists());
    copy_folder(&copy, &orphan);
    let journal = open(folder.path());
    let expected = [(1, "one".into()), (2, "two".into())];
    assert_eq!(read(&journal, "a").await, expected);
    assert!(!orphan.exists());
}

#[tokio::test]
async fn records_for_another_store_are_left_alone() {
    let folder = TempDir::new().unwrap();
    let journal = open_for(folder.path(), "s3://one").unwrap();
    commit(&journal, append("a", 1, "of one")).await.unwrap();
    drop(journal);
    for _ in 0..2 {
        let journal = open_for(folder.path(), "s3://two").unwrap();
        assert_eq!(journal.documents().await.unwrap(), []);
        commit(&journal, append("b", 1, "x")).await.unwrap();
        commit(&journal, trim("b", 1)).await.unwrap();
    }
    let targets: Vec<_> = report(folder.path())
        .into_iter()
        .map(|i| i.target)
        .collect();
    assert_eq!(targets, ["s3://one", "s3://two"].map(|t| Some(t.into())));
    // Back with the first store; what the other has left empty is used.
    let journal = open_for(folder.path(), "s3://one").unwrap();
    assert_eq!(read(&journal, "a").await, [(1, "of one".into())]);
    let second = open_for(folder.path(), "s3://one").unwrap();
    assert_eq!(second.documents().await.unwrap(), []);
}

#[tokio::test]
async fn a_journal_can_be_looked_at_while_it_is_in_use() {
    let folder = TempDir::new().unwrap();
    assert!(report(folder.path()).is_empty());
    let journal = open(folder.path());
    let writes = (1..=3).map(|n| append("a", n, "x"));
    journal.commit(writes.collect()).await.unwrap();
    commit(&journal, append("b", 1, vec![0; 1000]))
        .await
        .unwrap();
    let in_use = report(folder.path()).remove(0);
    assert_eq!((in_use.number, in_use.in_use), (0, true));
    assert_eq!(in_use.target.as_deref(), Some("disk"));
    let records = in_use.records.unwrap();
    assert_eq!(records[&doc("a")].count, 3);
    assert!((1000..1200).contains(&records[&doc("b")].bytes));
    assert!(!records[&doc("b")].damaged);
    // The look has not disturbed it.
    commit(&journal, append("c", 1, "x")).await.unwrap();
    drop(journal);
    let free = report(folder.path()).remove(0);
    assert!(!free.in_use);
    assert_eq!(free.records.unwrap().len(), 3);

    let file = folder.path().join("journal/0/00000001.log");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(100).position(|part| part == [0; 100]);
    // Well inside: what stands before it is random, and may end in zeros.
    bytes[at.unwrap() + 500] = 1;
    fs::write(&file, bytes).unwrap();
    let records = report(folder.path()).remove(0).records.unwrap();
    let damaged = records.iter().filter(|(_, report)| report.damaged);
    assert_eq!(damaged.map(|(id, _)| id).collect::<Vec<_>>(), [&doc("b")]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("journal"), "").unwrap();
    let error = open_for(folder.path(), "disk").unwrap_err().to_string();
    assert!(error.contains("journal"), "{error}");
}

#[tokio::test]
async fn journals_that_start_at_once_all_come_up() {
    let folder = TempDir::new().unwrap();
    for n in 0..4 {
        let journal = open(folder.path());
        commit(&journal, append(&format!("doc {n}"), 1, "x"))
            .await
            .unwrap();
    }
    for _ in 0..5 {
        let barrier = Barrier::new(4);
        let journals: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                open(folder.path())
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let mut docs = vec![];
        for journal in &journals {
            docs.extend(journal.documents().await.unwrap());
        }
        docs.sort();
        assert_eq!(docs, ["doc 0", "doc 1", "doc 2", "doc 3"].map(doc));
    }
}

#[tokio::test]
async fn what_a_killed_process_has_reported_is_there() {
    let folder = TempDir::new().unwrap();
    let mut reported = 0;
    for round in 0..8 {
        let (mut writer, mut reports) = start_writer(folder.path());
        for _ in 0..20 + round * 7 {
            let report = reports.next().unwrap().unwrap();
            reported = report.strip_prefix("committed ").unwrap().parse().unwrap();
        }
        writer.kill().unwrap();
        // What it said before it died counts, too.
        for report in reports.map_while(Result::ok) {
            let report = report.strip_prefix("committed ");
            let whole = report.and_then(|n| n.parse().ok());
            reported = whole.unwrap_or(reported);
        }
        writer.wait().unwrap();
        check_records(folder.path(), reported).await;
    }
    assert!(reported > 300);
}

/// All from the last trim to the last that was reported, and perhaps a little
/// more.
async fn check_records(folder: &Path, reported: u64) {
    let journal = open(folder);
    let found = read(&journal, "a").await;
    let last = found.last().unwrap().0;
    assert!(
        (reported..reported + 5).contains(&last),
        "{last} for {reported}"
    );
    let first = last / 50 * 50;
    let expected = (first..=last).filter(|n| *n > 0);
    for ((position, update), expected) in found.iter().rev().zip(expected.rev()) {
        assert_eq!(*position, expected);
        assert_eq!(*update, format!("update {position}"));
    }
}

/// The process of the test above: appends, and trims every fifty.
#[tokio::test]
#[ignore = "a process that another test starts"]
async fn writer() {
    let Ok(folder) = std::env::var("YSYNCD_TEST_JOURNAL_FOLDER") else {
        return;
    };
    let options = JournalOptions {
        segment_bytes: 4096,
        ..JournalOptions::new("disk")
    };
    let journal = DiskJournal::open(Path::new(&folder).join("journal"), &options).unwrap();
    let mut n = read(&journal, "a").await.last().map_or(0, |last| last.0);
    loop {
        n += 1;
        let mut writes = vec![append("a", n, format!("update {n}"))];
        if n.is_multiple_of(50) {
            writes.push(trim("a", n - 1));
        }
        journal.commit(writes).await.unwrap();
        eprintln!("committed {n}");
    }
}

fn start_writer(folder: &Path) -> (Child, impl Iterator<Item = std::io::Result<String>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "journal_instances::writer",
            "--ignored",
            "--nocapture",
        ])
        .env("YSYNCD_TEST_JOURNAL_FOLDER", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let reports = BufReader::new(child.stderr.take().unwrap()).lines();
    (child, reports)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
