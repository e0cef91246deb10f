//! Whether servers ask their journals what they may: each shard writes about
//! documents of its own, and goes on where the journal ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use ysyncd_engine::{DocId, JournalRecord, Position};
use ysyncd_storage::journal::{Journal, JournalFuture, JournalWrite};

use crate::oracle::{Invariant, Violation};

/// The first thing that a server should not have asked. Shared by all of them.
#[derive(Debug, Clone, Default)]
pub(super) struct JournalWords(Arc<Mutex<Option<Violation>>>);

impl JournalWords {
    /// What did not hold, if anything.
    pub(super) fn violation(&self) -> Option<Violation> {
        locked(&self.0).take()
    }

    /// Stands before a journal that a process has just opened.
    pub(super) fn of<J>(&self, journal: J) -> Judged<J> {
        Judged {
            journal,
            known: Mutex::default(),
            words: self.clone(),
        }
    }

    fn holds(&self, condition: bool, detail: impl FnOnce() -> String) {
        if let Err(violation) = Invariant::JournalWords.holds(condition, detail) {
            locked(&self.0).get_or_insert(violation);
        }
    }
}

/// A journal, and what its process may ask it.
pub(super) struct Judged<J> {
    journal: J,
    known: Mutex<Known>,
    words: JournalWords,
}

/// What a process has said and heard.
#[derive(Debug, Default)]
struct Known {
    /// What it held at the start, of which nobody has read since.
    unread: BTreeSet<DocId>,
    /// Where it holds something for certain, or will once it has answered.
    positions: BTreeMap<DocId, BTreeSet<Position>>,
}

impl<J> Judged<J> {
    fn asked(&self, write: &JournalWrite) {
        let mut known = locked(&self.known);
        let (JournalWrite::Append { doc, .. } | JournalWrite::Trim { doc, .. }) = write;
        self.words.holds(!known.unread.contains(doc), || {
            format!("{doc} is written about and was not read since the start")
        });
        let positions = known.positions.entry(doc.clone()).or_default();
        match write {
            JournalWrite::Append { position, .. } => {
                let last = positions.last().copied();
                self.words
                    .holds(last.is_none_or(|last| *position > last), || {
                        format!("{doc}: {position:?} follows {last:?}")
                    });
                positions.insert(*position);
            }
            JournalWrite::Trim { through, .. } => positions.retain(|held| held > through),
        }
    }

    /// Any of these may be there, or not.
    fn failed(&self, appends: &[(DocId, Position)]) {
        let mut known = locked(&self.known);
        for (doc, position) in appends {
            if let Some(positions) = known.positions.get_mut(doc) {
                positions.remove(position);
            }
        }
    }

    fn was_read(&self, doc: &DocId, records: &[JournalRecord]) {
        let mut known = locked(&self.known);
        known.unread.remove(doc);
        let positions = records.iter().map(|record| record.position);
        known.positions.insert(doc.clone(), positions.collect());
    }
}

impl<J: Journal> Journal for Judged<J> {
    fn documents(&self) -> JournalFuture<'_, Vec<DocId>> {
        Box::pin(async move {
            let documents = self.journal.documents().await;
            if let Ok(documents) = &documents {
                locked(&self.known).unread.extend(documents.iter().cloned());
            }
            documents
        })
    }

    fn commit(&self, writes: Vec<JournalWrite>) -> JournalFuture<'_, ()> {
        writes.iter().for_each(|write| self.asked(write));
        let appends: Vec<_> = writes.iter().filter_map(appended).collect();
        let answer = self.journal.commit(writes);
        Box::pin(async move {
            let answer = answer.await;
            if answer.is_err() {
                self.failed(&appends);
            }
            answer
        })
    }

    fn read<'a>(&'a self, doc: &'a DocId) -> JournalFuture<'a, Vec<JournalRecord>> {
        let answer = self.journal.read(doc);
        Box::pin(async move {
            let answer = answer.await;
            if let Ok(records) = &answer {
                self.was_read(doc, records);
            }
            answer
        })
    }

    fn reopen(&self) -> JournalFuture<'_, ()> {
        self.journal.reopen()
    }

    fn size_bytes(&self) -> u64 {
        self.journal.size_bytes()
    }

    fn at_risk_bytes(&self) -> u64 {
        self.journal.at_risk_bytes()
    }
}

fn appended(write: &JournalWrite) -> Option<(DocId, Position)> {
    match write {
        JournalWrite::Append { doc, position, .. } => Some((doc.clone(), *position)),
        JournalWrite::Trim { .. } => None,
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared
        .lock()
        .expect("nothing panics while it holds the lock")
}
