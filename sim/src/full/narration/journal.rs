//! What a node asks its journal, as arrows of a story.

use std::time::Duration;

use ysyncd_engine::{DocId, JournalCommand, JournalError, JournalRecord, JournalResult};
use ysyncd_storage::journal::{Journal, JournalFuture, JournalWrite};

use super::tell;
use crate::{
    explain::{self, Explained},
    full::timeline::Lane,
    story::{ArrowId, ArrowKind},
};

/// Stands before a node's journal and tells what it is asked.
pub(in crate::full) struct Narrated<J> {
    pub(in crate::full) journal: J,
    pub(in crate::full) node: usize,
}

/// Something that was asked. Dropped, nobody waits for the answer any more.
#[derive(Debug)]
struct Asked {
    node: usize,
    arrow: Option<ArrowId>,
}

impl Asked {
    fn of(node: usize, explained: impl FnOnce() -> Explained) -> Self {
        let mut arrow = None;
        tell(|narration| {
            let way = narration.way_to_disk(node);
            let (now, what) = (narration.now, explained());
            let kind = ArrowKind::JournalCommand;
            arrow = Some(narration.teller.leaves(now, way, kind, what));
        });
        Self { node, arrow }
    }

    /// The disk did it at its last turn, and the answer is there.
    fn answer(mut self, failed: bool, explained: impl FnOnce() -> Explained) {
        let arrow = self.arrow.take();
        tell(|narration| {
            let Some(arrow) = arrow else { return };
            let (node, disk) = narration.way_to_disk(self.node);
            let (now, turn) = (narration.now, narration.turns.get(&self.node));
            let turn: Duration = turn.copied().unwrap_or(now);
            let teller = &mut narration.teller;
            teller.arrives(turn, arrow);
            let kind = ArrowKind::JournalAnswer;
            let answer = teller.leaves(turn, (disk, node), kind, explained());
            if failed {
                teller.failed(answer);
            }
            teller.arrives(now, answer);
        });
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(arrow) = self.arrow.take() {
            tell(|narration| narration.teller.is_lost(narration.now, arrow));
        }
    }
}

impl super::Narration {
    /// A node's disk does what it was asked.
    pub(in crate::full) fn disk_turns(&mut self, node: usize) {
        self.turns.insert(node, self.now);
    }

    fn way_to_disk(&mut self, node: usize) -> (usize, usize) {
        (self.lane(Lane::Node(node)), self.lane(Lane::Journal(node)))
    }
}

impl<J: Journal> Narrated<J> {
    fn answered<'a, T: 'a>(
        &'a self,
        asked: Asked,
        answer: JournalFuture<'a, T>,
        explained: impl FnOnce(&Result<T, JournalError>) -> Explained + Send + 'a,
    ) -> JournalFuture<'a, T> {
        Box::pin(async move {
            let answer = answer.await;
            asked.answer(answer.is_err(), || explained(&answer));
            answer
        })
    }
}

impl<J: Journal> Journal for Narrated<J> {
    fn documents(&self) -> JournalFuture<'_, Vec<DocId>> {
        let asked = Asked::of(self.node, || "which documents?".into());
        let explained = |docs: &Result<_, _>| format!("{docs:?}").into();
        self.answered(asked, self.journal.documents(), explained)
    }

    fn commit(&self, writes: Vec<JournalWrite>) -> JournalFuture<'_, ()> {
        let asked = Asked::of(self.node, || explained_writes(&writes));
        let explained = |result: &Result<(), JournalError>| match result {
            Ok(()) => "done".into(),
            Err(error) => error.to_string().into(),
        };
        self.answered(asked, self.journal.commit(writes), explained)
    }

    fn read<'a>(&'a self, doc: &'a DocId) -> JournalFuture<'a, Vec<JournalRecord>> {
        let command = || JournalCommand::Read { doc: doc.clone() };
        let asked = Asked::of(self.node, || explain::journal_command(&command()));
        let explained =
            |read: &Result<_, _>| explain::journal_result(&JournalResult::Read(read.clone()));
        self.answered(asked, self.journal.read(doc), explained)
    }

    fn reopen(&self) -> JournalFuture<'_, ()> {
        let reopen = || explain::journal_command(&JournalCommand::Reopen);
        let asked = Asked::of(self.node, reopen);
        let explained = |result: &Result<(), _>| {
            explain::journal_result(&JournalResult::Reopened(result.clone()))
        };
        self.answered(asked, self.journal.reopen(), explained)
    }

    fn size_bytes(&self) -> u64 {
        self.journal.size_bytes()
    }

    fn at_risk_bytes(&self) -> u64 {
        self.journal.at_risk_bytes()
    }
}

fn explained_writes(writes: &[JournalWrite]) -> Explained {
    let command = |write: &JournalWrite| match write.clone() {
        JournalWrite::Append {
            doc,
            position,
            update,
        } => JournalCommand::Append {
            doc,
            position,
            update,
        },
        JournalWrite::Trim { doc, through } => JournalCommand::Trim { doc, through },
    };
    let mut explained: Vec<_> = writes
        .iter()
        .map(|write| explain::journal_command(&command(write)))
        .collect();
    match explained.len() {
        1 => explained.remove(0),
        count => {
            let texts: Vec<_> = explained.iter().map(|one| one.text.as_str()).collect();
            let text = format!("{count} writes: {}", texts.join("; "));
            let details = explained.iter().map(|one| match one.detail.is_empty() {
                true => one.text.as_str(),
                false => one.detail.as_str(),
            });
            let details: Vec<_> = details.collect();
            Explained::new(&text, &details.join("\n"))
        }
    }
}
