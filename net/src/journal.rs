//! Journal operations, carried out beside the engine: by one writer, in the
//! order in which the engine asks for them.
//!
//! While one commit is on its way to the disk, the writes that the engine
//! asks for meanwhile gather, and the next commit takes them all (group
//! commit): the busier the server, the more updates share one sync.

use std::{cell::RefCell, collections::VecDeque, convert::Infallible, future::Future, sync::Arc};

use tokio::{sync::Notify, task::spawn_local, time::Instant};
use ysyncd_engine::{
    DocId, JournalCommand, JournalError, JournalResult, OpId,
    marks::{self, Mark},
    planted::{self, Bug},
};
use ysyncd_storage::journal::{Journal, JournalWrite};

use crate::metrics::JournalMetrics;

/// Bytes of updates in one commit, unless a single one is larger. Bounds how
/// long those who came first wait for the others.
const COMMIT_BYTES_MAX: usize = 4 << 20;

/// Writes in one commit.
const COMMIT_WRITES_MAX: usize = 4_096;

/// The result of one command.
pub(crate) type Answer = (OpId, JournalResult);

/// What the engine has asked of the journal and nobody has taken up yet.
#[derive(Debug, Default)]
pub(crate) struct JournalQueue {
    waiting: RefCell<VecDeque<Command>>,
    pushed: Notify,
}

#[derive(Debug)]
enum Command {
    Write(Write),
    Read { op: OpId, doc: DocId },
    Reopen { op: OpId },
}

#[derive(Debug)]
struct Write {
    op: OpId,
    change: JournalWrite,
    answer: fn(Result<(), JournalError>) -> JournalResult,
}

/// What goes to the journal in one call.
#[derive(Debug)]
enum Step {
    Commit(Vec<Write>),
    Read { op: OpId, doc: DocId },
    Reopen { op: OpId },
}

/// Carries out what comes into the queue. The answers are in the order of the
/// commands, one for each; those of one commit are handed over together.
pub(crate) async fn drive(
    journal: Arc<dyn Journal>,
    queue: &JournalQueue,
    metrics: &JournalMetrics,
    hand_over: impl Fn(Vec<Answer>),
) -> Infallible {
    let mut writer = Writer {
        journal,
        metrics,
        failure: None,
    };
    loop {
        let step = queue.next_step().await;
        hand_over(writer.carry_out(step).await);
    }
}

/// The documents of which the journal holds records.
pub(crate) async fn documents(journal: Arc<dyn Journal>) -> Result<Vec<DocId>, JournalError> {
    to_the_end(async move { journal.documents().await }).await
}

impl JournalQueue {
    /// Adds a command behind all others.
    pub(crate) fn push(&self, op: OpId, command: JournalCommand) {
        self.waiting
            .borrow_mut()
            .push_back(Command::new(op, command));
        self.pushed.notify_one();
    }

    async fn next_step(&self) -> Step {
        loop {
            if let Some(step) = self.take_step() {
                return step;
            }
            self.pushed.notified().await;
        }
    }

    fn take_step(&self) -> Option<Step> {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.pop_front()? {
            Command::Write(first) => Some(Step::Commit(gather(first, &mut waiting))),
            Command::Read { op, doc } => Some(Step::Read { op, doc }),
            Command::Reopen { op } => Some(Step::Reopen { op }),
        }
    }
}

/// All writes up to the next command that is none, as far as they fit.
fn gather(first: Write, waiting: &mut VecDeque<Command>) -> Vec<Write> {
    let mut bytes = first.bytes();
    let mut writes = vec![first];
    while let Some(Command::Write(next)) = waiting.pop_front_if(|next| {
        writes.len() < COMMIT_WRITES_MAX
            && matches!(next, Command::Write(next) if bytes + next.bytes() <= COMMIT_BYTES_MAX)
    }) {
        bytes += next.bytes();
        writes.push(next);
    }
    writes
}

impl Command {
    fn new(op: OpId, command: JournalCommand) -> Self {
        match command {
            JournalCommand::Append {
                doc,
                position,
                update,
            } => Self::Write(Write {
                op,
                change: JournalWrite::Append {
                    doc,
                    position,
                    update,
                },
                answer: JournalResult::Appended,
            }),
            JournalCommand::Trim { doc, through } => Self::Write(Write {
                op,
                change: JournalWrite::Trim { doc, through },
                answer: JournalResult::Trimmed,
            }),
            JournalCommand::Read { doc } => Self::Read { op, doc },
            JournalCommand::Reopen => Self::Reopen { op },
        }
    }
}

impl Write {
    fn bytes(&self) -> usize {
        match &self.change {
            JournalWrite::Append { update, .. } => update.len(),
            JournalWrite::Trim { .. } => 0,
        }
    }
}

struct Writer<'a> {
    journal: Arc<dyn Journal>,
    metrics: &'a JournalMetrics,
    /// Why the journal is not called any more until it is reopened. It would
    /// answer the same by itself, but not if it panicked.
    failure: Option<JournalError>,
}

impl Writer<'_> {
    async fn carry_out(&mut self, step: Step) -> Vec<Answer> {
        let journal = Arc::clone(&self.journal);
        match step {
            Step::Commit(writes) => self.commit(journal, writes).await,
            Step::Read { op, doc } => {
                let read = self.call(async move { journal.read(&doc).await }).await;
                vec![(op, JournalResult::Read(read))]
            }
            Step::Reopen { op } => {
                self.failure = None;
                let reopened = self.call(async move { journal.reopen().await }).await;
                vec![(op, JournalResult::Reopened(reopened))]
            }
        }
    }

    async fn commit(&mut self, journal: Arc<dyn Journal>, writes: Vec<Write>) -> Vec<Answer> {
        let appended = writes
            .iter()
            .filter(|write| matches!(write.change, JournalWrite::Append { .. }));
        let records = appended.count() as u64;
        let bytes: usize = writes.iter().map(Write::bytes).sum();
        let (changes, asked): (Vec<_>, Vec<_>) = writes
            .into_iter()
            .map(|write| (write.change, (write.op, write.answer)))
            .unzip();
        let latency = self.metrics.sync_latency.clone();
        let committed = self.call(async move {
            let start = Instant::now();
            let committed = journal.commit(changes).await;
            latency.observe(start.elapsed().as_secs_f64());
            committed
        });
        let committed = committed.await;
        if committed.is_ok() {
            self.metrics.committed(records, bytes as u64);
        }
        marks::hit_if(Mark::JournalBatch, || asked.len() > 1);
        let outcome_of = |at| match at > 0 && planted::is(Bug::OnlyFirstAnswerFails) {
            true => Ok(()),
            false => committed.clone(),
        };
        let answers = asked.into_iter().enumerate();
        answers
            .map(|(at, (op, answer))| (op, answer(outcome_of(at))))
            .collect()
    }

    /// Makes one call, unless one has failed since the journal was opened.
    async fn call<T: 'static>(
        &mut self,
        call: impl Future<Output = Result<T, JournalError>> + 'static,
    ) -> Result<T, JournalError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let result = to_the_end(call).await;
        if let Err(failure @ JournalError::Failed(_)) = &result {
            self.metrics.failures.inc();
            self.failure = Some(failure.clone());
        }
        result
    }
}

/// Awaits a call in a task of its own. There is a result whatever happens to
/// the journal's future: one that panics has failed.
async fn to_the_end<T: 'static>(
    call: impl Future<Output = Result<T, JournalError>> + 'static,
) -> Result<T, JournalError> {
    let broken = |_| Err(JournalError::Failed("its task broke off".to_owned()));
    spawn_local(call).await.unwrap_or_else(broken)
}

#[cfg(test)]
mod tests;
