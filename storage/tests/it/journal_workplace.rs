//! The journal's writer at a place of its own: what is answered when, and what
//! a process leaves that is killed amid its work.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use ysyncd_engine::JournalError;
use ysyncd_storage::journal::{
    Journal,
    disk::{DiskJournal, JournalOptions, SimulatedDisk, Work, Workplace, Writer},
};

use crate::journal::{append, commit, read};

/// Keeps the writer for the test to have it work.
#[derive(Debug, Default)]
pub(crate) struct Desk(Mutex<Option<Writer>>);

#[derive(Debug)]
struct Nothing;

impl Desk {
    pub(crate) fn take(&self) -> Writer {
        self.0.lock().unwrap().take().unwrap()
    }
}

impl Workplace for Desk {
    fn start(&self, writer: Writer) -> io::Result<Box<dyn Work>> {
        *self.0.lock().unwrap() = Some(writer);
        Ok(Box::new(Nothing))
    }
}

impl Work for Nothing {
    fn end(&mut self, _: Duration) -> bool {
        true
    }
}

fn open(disk: &SimulatedDisk) -> (DiskJournal, Writer) {
    let desk = Desk::default();
    let options = JournalOptions::new("disk");
    let journal = DiskJournal::open_at(&desk, disk.device(), Path::new("/journal"), &options);
    (journal.unwrap(), desk.take())
}

#[tokio::test]
async fn what_came_before_a_turn_is_answered_after_it_together() {
    let (journal, mut writer) = open(&SimulatedDisk::default());
    let journal = Arc::new(journal);
    let calls: Vec<_> = (1..=3)
        .map(|position| {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move { commit(&*journal, append("a", position, "u")).await })
        })
        .collect();
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert!(writer.wait().await);
    let answers = writer.take_turn();
    tokio::task::yield_now().await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    answers.give();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn whoever_calls_a_writer_that_is_gone_is_told() {
    let (journal, writer) = open(&SimulatedDisk::default());
    let call = journal.commit(vec![append("a", 1, "u")]);
    drop(writer);
    let answer = call.await;
    assert!(matches!(answer, Err(JournalError::Failed(text)) if text.contains("gone")));
}

#[tokio::test]
async fn no_turn_is_due_once_nobody_can_call() {
    let (journal, mut writer) = open(&SimulatedDisk::default());
    drop(journal);
    assert!(!writer.wait().await);
    writer.close();
}

#[tokio::test]
async fn a_process_that_is_killed_amid_a_turn_leaves_what_it_was_told() {
    for changes in 0..2 {
        let disk = SimulatedDisk::default();
        let desk = Desk::default();
        let device = disk.device();
        let options = JournalOptions::new("disk");
        let folder = Path::new("/journal");
        let journal =
            DiskJournal::open_at(&desk, Arc::clone(&device) as _, folder, &options).unwrap();
        let mut writer = desk.take();
        let first = journal.commit(vec![append("a", 1, "first")]);
        assert!(writer.wait().await);
        writer.take_turn().give();
        assert_eq!(first.await, Ok(()));

        device.kill_at_change(changes);
        let second = journal.commit(vec![append("a", 2, "second")]);
        assert!(writer.wait().await);
        writer.take_turn().give();
        assert!(second.await.is_err());
        assert!(device.is_killed());
        disk.lose_power(|_| 0);

        let again = DiskJournal::open_on(disk.device(), folder, &options).unwrap();
        let records = read(&again, "a").await;
        assert_eq!(records[0], (1, "first".into()), "{changes}");
    }
}
