//! What every journal promises, asked of every journal.

use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use ysyncd_engine::{DocId, JournalError, JournalRecord, Position};
use ysyncd_storage::journal::{
    Journal, JournalWrite,
    disk::{DiskJournal, JournalOptions, SyncMode},
    memory::MemoryJournal,
};

use crate::conformance::doc;

pub(crate) fn append(id: &str, position: u64, update: impl Into<Bytes>) -> JournalWrite {
    JournalWrite::Append {
        doc: doc(id),
        position: Position(position),
        update: update.into(),
    }
}

pub(crate) fn trim(id: &str, through: u64) -> JournalWrite {
    JournalWrite::Trim {
        doc: doc(id),
        through: Position(through),
    }
}

pub(crate) async fn commit(journal: &dyn Journal, write: JournalWrite) -> Result<(), JournalError> {
    journal.commit(vec![write]).await
}

/// The records of a document, or the error, without what only takes room.
pub(crate) async fn read(journal: &dyn Journal, id: &str) -> Vec<(u64, Bytes)> {
    plain(journal.read(&doc(id)).await.unwrap())
}

pub(crate) fn plain(records: Vec<JournalRecord>) -> Vec<(u64, Bytes)> {
    let records = records.into_iter();
    records.map(|r| (r.position.0, r.update)).collect()
}

fn records<const N: usize>(records: [(u64, &'static str); N]) -> Vec<(u64, Bytes)> {
    let records = records.into_iter();
    records.map(|(p, text)| (p, Bytes::from(text))).collect()
}

/// A journal, and what has to live as long.
struct Opened {
    journal: Arc<dyn Journal>,
    _folder: Option<TempDir>,
}

fn memory() -> Opened {
    Opened {
        journal: Arc::new(MemoryJournal::new()),
        _folder: None,
    }
}

fn disk(sync: SyncMode, segment_bytes: u64) -> Opened {
    let folder = TempDir::new().unwrap();
    let options = JournalOptions {
        sync,
        segment_bytes,
        ..JournalOptions::new("disk")
    };
    let journal = DiskJournal::open(folder.path(), &options).unwrap();
    Opened {
        journal: Arc::new(journal),
        _folder: Some(folder),
    }
}

fn always() -> Opened {
    disk(SyncMode::Always, 4 << 20)
}

fn interval() -> Opened {
    disk(
        SyncMode::Interval(std::time::Duration::from_millis(1)),
        4 << 20,
    )
}

/// Begins new files, and copies records, every few writes.
fn small_segments() -> Opened {
    disk(SyncMode::Always, 4 << 10)
}

macro_rules! conformance {
    ($($open:ident)*) => { $(
        mod $open {
            use std::sync::Arc;

            conformance! { $open:
                nothing_is_there_at_first
                records_come_back_ascending_as_they_were_committed
                what_stands_at_a_position_is_replaced
                a_trim_removes_up_to_its_position_and_of_its_document_only
                the_writes_of_a_call_take_effect_in_their_order
                calls_take_effect_when_they_are_made
                a_dropped_future_gives_up_the_answer_only
                documents_with_records_are_listed_in_order
                updates_of_any_size_come_back
                any_name_and_any_position_will_do
                reopening_a_journal_that_has_not_failed_changes_nothing
                many_tasks_may_commit_at_once
            }
        }
    )* };
    ($open:ident: $($behaviour:ident)*) => { $(
        #[tokio::test]
        async fn $behaviour() {
            let opened = super::$open();
            super::$behaviour(Arc::clone(&opened.journal)).await;
        }
    )* };
}

async fn nothing_is_there_at_first(journal: Arc<dyn Journal>) {
    assert_eq!(journal.documents().await, Ok(vec![]));
    assert_eq!(read(&*journal, "a").await, []);
    journal.commit(vec![]).await.unwrap();
    commit(&*journal, trim("a", 7)).await.unwrap();
    assert_eq!(journal.documents().await, Ok(vec![]));
}

async fn records_come_back_ascending_as_they_were_committed(journal: Arc<dyn Journal>) {
    for (position, update) in [(2, "two"), (9, "nine"), (4, "four")] {
        let write = append("a", position, update);
        commit(&*journal, write).await.unwrap();
    }
    let expected = records([(2, "two"), (4, "four"), (9, "nine")]);
    assert_eq!(read(&*journal, "a").await, expected);
}

async fn what_stands_at_a_position_is_replaced(journal: Arc<dyn Journal>) {
    for update in ["first", "second", ""] {
        commit(&*journal, append("a", 1, update)).await.unwrap();
        assert_eq!(read(&*journal, "a").await, [(1, Bytes::from(update))]);
    }
}

async fn a_trim_removes_up_to_its_position_and_of_its_document_only(journal: Arc<dyn Journal>) {
    let writes = ["a", "b"].map(|id| (1..=3).map(move |n| append(id, n, "x")));
    journal
        .commit(writes.into_iter().flatten().collect())
        .await
        .unwrap();
    commit(&*journal, trim("a", 2)).await.unwrap();
    assert_eq!(read(&*journal, "a").await, records([(3, "x")]));
    assert_eq!(read(&*journal, "b").await.len(), 3);
    commit(&*journal, trim("a", u64::MAX)).await.unwrap();
    assert_eq!(read(&*journal, "a").await, []);
    assert_eq!(journal.documents().await, Ok(vec![doc("b")]));
}

async fn the_writes_of_a_call_take_effect_in_their_order(journal: Arc<dyn Journal>) {
    let writes = vec![
        append("a", 1, "trimmed"),
        append("a", 2, "replaced"),
        append("a", 2, "kept"),
        trim("a", 1),
        append("a", 1, "again"),
    ];
    journal.commit(writes).await.unwrap();
    let expected = records([(1, "again"), (2, "kept")]);
    assert_eq!(read(&*journal, "a").await, expected);
}

async fn calls_take_effect_when_they_are_made(journal: Arc<dyn Journal>) {
    let a = doc("a");
    let first = journal.commit(vec![append("a", 1, "one")]);
    let read_first = journal.read(&a);
    let second = journal.commit(vec![append("a", 1, "two"), append("b", 1, "b")]);
    let listed = journal.documents();
    let third = journal.commit(vec![trim("a", 1)]);
    let read_last = journal.read(&a);
    // Awaited in another order than they were made in.
    assert_eq!(read_last.await, Ok(vec![]));
    third.await.unwrap();
    assert_eq!(listed.await, Ok(vec![doc("a"), doc("b")]));
    second.await.unwrap();
    assert_eq!(plain(read_first.await.unwrap()), records([(1, "one")]));
    first.await.unwrap();
}

async fn a_dropped_future_gives_up_the_answer_only(journal: Arc<dyn Journal>) {
    drop(journal.commit(vec![append("a", 1, "kept")]));
    assert_eq!(read(&*journal, "a").await, records([(1, "kept")]));
}

async fn documents_with_records_are_listed_in_order(journal: Arc<dyn Journal>) {
    for id in ["b", "ä", "a", "a/b", "c"] {
        commit(&*journal, append(id, 1, "x")).await.unwrap();
    }
    commit(&*journal, trim("c", 1)).await.unwrap();
    let expected = ["a", "a/b", "b", "ä"].map(doc);
    assert_eq!(journal.documents().await.unwrap(), expected);
}

async fn updates_of_any_size_come_back(journal: Arc<dyn Journal>) {
    let sizes = [0, 1, 63, 64, 4095, 4096, 70_000, 3_000_000];
    for (n, size) in (1u64..).zip(sizes) {
        // Ends like frames of the log do, to look like them.
        let update = vec![b'<'; size];
        let writes = vec![append("a", n, update)];
        journal.commit(writes).await.unwrap();
    }
    let lengths: Vec<_> = read(&*journal, "a").await;
    let lengths: Vec<_> = lengths.iter().map(|(_, update)| update.len()).collect();
    assert_eq!(lengths, sizes);
    assert!(journal.size_bytes() >= sizes.iter().sum::<usize>() as u64);
}

async fn any_name_and_any_position_will_do(journal: Arc<dyn Journal>) {
    let names = ["../x".to_owned(), "\0\n".to_owned(), "é".repeat(150)];
    for id in &names {
        let writes = [0, 1, u64::MAX].map(|n| append(id, n, id.clone()));
        journal.commit(writes.to_vec()).await.unwrap();
    }
    for id in &names {
        let positions: Vec<_> = read(&*journal, id).await;
        let positions: Vec<_> = positions.iter().map(|(n, _)| *n).collect();
        assert_eq!(positions, [0, 1, u64::MAX]);
    }
}

async fn reopening_a_journal_that_has_not_failed_changes_nothing(journal: Arc<dyn Journal>) {
    commit(&*journal, append("a", 1, "one")).await.unwrap();
    journal.reopen().await.unwrap();
    commit(&*journal, append("a", 2, "two")).await.unwrap();
    let expected = records([(1, "one"), (2, "two")]);
    assert_eq!(read(&*journal, "a").await, expected);
}

async fn many_tasks_may_commit_at_once(journal: Arc<dyn Journal>) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..20 {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move {
            let id = format!("doc {}", task % 5);
            for n in 0..10 {
                let position = task * 100 + n;
                let write = append(&id, position, id.clone());
                commit(&*journal, write).await.unwrap();
                let found = read(&*journal, &id).await;
                assert!(found.iter().any(|(p, _)| *p == position));
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let docs: Vec<DocId> = journal.documents().await.unwrap();
    assert_eq!(docs.len(), 5);
    for id in &docs {
        assert_eq!(journal.read(id).await.unwrap().len(), 40);
    }
}

conformance! { memory always interval small_segments }
