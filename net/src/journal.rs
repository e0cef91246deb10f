//! Journal operations, carried out beside the engine: by one writer, in the
//! order in which the engine asks for them.
//!
//! While one commit is on its way to the disk, the writes that the engine
//! asks for meanwhile gather, and the next commit takes them all (group
//! commit): the busier the server, the more updates share one sync.

use std::{cell::RefCell, collections::VecDeque, convert::Infallible, future::Future, sync::Arc};

use tokio::{
    sync::Notify,
    task::{spawn_local, yield_now},
    time::Instant,
};
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

/// Bytes of updates that are answered in one turn, but for the last of them: to apply
/// them takes time, in which nobody else is served.
const ANSWERED_BYTES_PER_TURN: usize = 64 << 10;

/// Writes that share an answer. More would save little, and what the engine says to
/// them would leave the processor's caches before it is carried out.
const ANSWERED_WRITES_MAX: usize = 64;

/// The result of one command, and of writes before it that have no other.
pub(crate) type Answer = (OpId, JournalResult);

/// What the engine has asked of the journal and nobody has taken up yet.
#[derive(Debug, Default)]
pub(crate) struct JournalQueue {
    waiting: RefCell<VecDeque<Step>>,
    pushed: Notify,
}

/// What goes to the journal in one call.
#[derive(Debug)]
enum Step {
    Commit(Commit),
    Read { op: OpId, doc: DocId },
    Reopen { op: OpId },
}

/// Writes that become durable together.
#[derive(Debug, Default)]
struct Commit {
    writes: Vec<JournalWrite>,
    /// How they are answered.
    asked: Vec<Asked>,
    appends: u64,
    bytes: usize,
}

/// Writes that share an answer: that of the last of them.
#[derive(Debug)]
struct Asked {
    op: OpId,
    answered: Answered,
    writes: usize,
    bytes: usize,
}

type Answered = fn(Result<(), JournalError>) -> JournalResult;

/// Carries out what comes into the queue. The answers are in the order of the
/// commands; those of one commit are few, and handed over together, unless it is large.
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
        let answers = writer.carry_out(step).await;
        let mut rest = answers.into_iter().peekable();
        while rest.peek().is_some() {
            hand_over(next_turn(&mut rest));
            if rest.peek().is_some() {
                yield_now().await;
            }
        }
    }
}

/// The next answers, and no more than are handled in one turn.
fn next_turn(rest: &mut impl Iterator<Item = (Answer, usize)>) -> Vec<Answer> {
    let (mut turn, mut bytes) = (Vec::new(), 0);
    while bytes < ANSWERED_BYTES_PER_TURN
        && let Some((answer, of_update)) = rest.next()
    {
        turn.push(answer);
        bytes += of_update;
    }
    turn
}

/// The documents of which the journal holds records.
pub(crate) async fn documents(journal: Arc<dyn Journal>) -> Result<Vec<DocId>, JournalError> {
    to_the_end(async move { journal.documents().await }).await
}

impl JournalQueue {
    /// Adds a command behind all others.
    pub(crate) fn push(&self, op: OpId, command: JournalCommand) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            self.pushed.notify_one();
        }
        let (write, answered): (_, Answered) = match command {
            JournalCommand::Append {
                doc,
                position,
                update,
            } => {
                let append = JournalWrite::Append {
                    doc,
                    position,
                    update,
                };
                (append, JournalResult::Appended)
            }
            JournalCommand::Trim { doc, through } => {
                (JournalWrite::Trim { doc, through }, JournalResult::Trimmed)
            }
            JournalCommand::Read { doc } => return waiting.push_back(Step::Read { op, doc }),
            JournalCommand::Reopen => return waiting.push_back(Step::Reopen { op }),
        };
        match waiting.back_mut() {
            Some(Step::Commit(last)) if last.has_room_for(&write) => {
                last.add(op, write, answered);
            }
            _ => {
                let mut commit = Commit::default();
                commit.add(op, write, answered);
                waiting.push_back(Step::Commit(commit));
            }
        }
    }

    async fn next_step(&self) -> Step {
        loop {
            if let Some(step) = self.take_step() {
                return step;
            }
            self.pushed.notified().await;
            // Comes back after all connections that have something to say: one sync
            // is to do for all of them.
            yield_now().await;
        }
    }

    fn take_step(&self) -> Option<Step> {
        self.waiting.borrow_mut().pop_front()
    }
}

impl Commit {
    fn has_room_for(&self, write: &JournalWrite) -> bool {
        self.writes.len() < COMMIT_WRITES_MAX && self.bytes + bytes(write) <= COMMIT_BYTES_MAX
    }

    fn add(&mut self, op: OpId, write: JournalWrite, answered: Answered) {
        let bytes = bytes(&write);
        self.bytes += bytes;
        self.appends += u64::from(matches!(write, JournalWrite::Append { .. }));
        self.writes.push(write);
        match self.asked.last_mut() {
            Some(last) if last.has_room() => {
                if !planted::is(Bug::AnswerNamesFirst) {
                    (last.op, last.answered) = (op, answered);
                }
                last.writes += 1;
                last.bytes += bytes;
            }
            _ => self.asked.push(Asked {
                op,
                answered,
                writes: 1,
                bytes,
            }),
        }
    }
}

impl Asked {
    fn has_room(&self) -> bool {
        self.writes < ANSWERED_WRITES_MAX
            && self.bytes < ANSWERED_BYTES_PER_TURN
            && !planted::is(Bug::OnlyFirstAnswerFails)
    }
}

fn bytes(write: &JournalWrite) -> usize {
    match write {
        JournalWrite::Append { update, .. } => update.len(),
        JournalWrite::Trim { .. } => 0,
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
    /// The answers, and the bytes of the update that each is for.
    async fn carry_out(&mut self, step: Step) -> Vec<(Answer, usize)> {
        let journal = Arc::clone(&self.journal);
        match step {
            Step::Commit(commit) => self.commit(journal, commit).await,
            Step::Read { op, doc } => {
                let read = self.call(async move { journal.read(&doc).await }).await;
                vec![((op, JournalResult::Read(read)), 0)]
            }
            Step::Reopen { op } => {
                self.failure = None;
                let reopened = self.call(async move { journal.reopen().await }).await;
                vec![((op, JournalResult::Reopened(reopened)), 0)]
            }
        }
    }

    async fn commit(&mut self, journal: Arc<dyn Journal>, commit: Commit) -> Vec<(Answer, usize)> {
        let Commit {
            writes,
            asked,
            appends,
            bytes,
        } = commit;
        let is_batch = writes.len() > 1;
        let latency = self.metrics.sync_latency.clone();
        let committed = self.call(async move {
            let start = Instant::now();
            let committed = journal.commit(writes).await;
            latency.observe(start.elapsed().as_secs_f64());
            committed
        });
        let committed = committed.await;
        if committed.is_ok() {
            self.metrics.committed(appends, bytes as u64);
        }
        marks::hit_if(Mark::JournalBatch, || is_batch);
        let outcome_of = |at| match at > 0 && planted::is(Bug::OnlyFirstAnswerFails) {
            true => Ok(()),
            false => committed.clone(),
        };
        let answers = asked.into_iter().enumerate();
        answers
            .map(|(at, asked)| ((asked.op, (asked.answered)(outcome_of(at))), asked.bytes))
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
