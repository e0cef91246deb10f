//! What owns the log, and what it is asked.
//!
//! Whatever has come while the disk was busy makes the next turn: its commits
//! are written and synced together.

use std::{
    collections::BTreeSet,
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc::UnboundedReceiver, oneshot},
    time::{Instant, timeout_at},
};
use ysyncd_engine::{
    DocId, JournalError, JournalRecord,
    marks::{self, Mark},
    planted::{self, Bug},
};

use super::{SyncMode, log::Log};
use crate::journal::JournalWrite;

/// Bytes of updates past which a turn takes no more commits.
const TURN_BYTES: usize = 1 << 20;

/// Least time between attempts to make durable what a disk did not take.
const RETRY_MIN: Duration = Duration::from_secs(1);

type Reply<T> = oneshot::Sender<Result<T, JournalError>>;

/// A call, and where its answer goes. Nobody may be waiting for it any more.
#[derive(Debug)]
pub(super) enum Call {
    Documents(Reply<Vec<DocId>>),
    Commit(Vec<JournalWrite>, Reply<()>),
    Read(DocId, Reply<Vec<JournalRecord>>),
    Reopen(Reply<()>),
}

/// What can be seen of a log while its writer is at work.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) size_bytes: AtomicU64,
    pub(super) at_risk_bytes: AtomicU64,
}

/// Commits that are made durable together, and reads that come after them.
/// The reads are of documents that no later commit of the turn touches, so
/// that they find what their place in the order has them find.
#[derive(Debug, Default)]
struct Turn {
    writes: Vec<JournalWrite>,
    committed: Vec<Reply<()>>,
    reads: Vec<(DocId, Reply<Vec<JournalRecord>>)>,
    read_docs: BTreeSet<DocId>,
    bytes: usize,
}

/// Carries out what a journal is asked, in turns: [`Writer::wait`], then
/// [`Writer::take_turn`], whose answers are given before the next, and in the
/// end [`Writer::close`].
#[derive(Debug)]
pub struct Writer {
    log: Log,
    mode: SyncMode,
    figures: Arc<Figures>,
    calls: UnboundedReceiver<Call>,
    /// The call that begins the next turn.
    first: Option<Call>,
    /// When what was written has to be made durable, if not at once.
    sync_at: Option<Instant>,
}

/// What a turn answers to those who called. Dropped, it leaves them to think
/// that the writer is gone.
#[must_use = "whoever called waits for it"]
#[derive(Default)]
pub struct Answers(Vec<Box<dyn FnOnce() + Send>>);

impl Writer {
    pub(super) fn new(
        log: Log,
        mode: SyncMode,
        figures: Arc<Figures>,
        calls: UnboundedReceiver<Call>,
    ) -> Self {
        figures.note(&log);
        Self {
            log,
            mode,
            figures,
            calls,
            first: None,
            sync_at: None,
        }
    }

    /// Waits until a turn is due. False if none will be any more.
    pub async fn wait(&mut self) -> bool {
        if self.first.is_none() {
            let call = self.calls.recv();
            self.first = match self.sync_at {
                Some(at) => match timeout_at(at, call).await {
                    Ok(call) => call,
                    Err(_) => return true,
                },
                None => call.await,
            };
        }
        self.first.is_some()
    }

    /// Carries out a call and those that follow it, up to one that has to
    /// wait for the next turn. Blocks as long as the disk takes.
    pub fn take_turn(&mut self) -> Answers {
        let was_at_risk = self.log.at_risk_bytes() > 0;
        let mut answers = Answers::default();
        match self.first.take() {
            Some(Call::Documents(reply)) => answers.add(reply, self.log.documents()),
            Some(Call::Reopen(reply)) => answers.add(reply, self.log.reopen()),
            Some(first) => {
                let mut turn = Turn::default();
                self.first = turn.gather(first, || self.calls.try_recv().ok());
                self.carry_out(turn, &mut answers);
            }
            None => {}
        }
        let is_at_risk = !was_at_risk && self.log.at_risk_bytes() > 0;
        if is_at_risk || self.sync_at.is_some_and(|at| at <= Instant::now()) {
            self.secure();
        }
        self.figures.note(&self.log);
        answers
    }

    /// Leaves everything durable. Blocks as long as the disk takes.
    pub fn close(mut self) {
        self.log.close();
    }

    fn carry_out(&mut self, turn: Turn, answers: &mut Answers) {
        marks::hit_if(Mark::DiskTurnOfSeveral, || turn.committed.len() > 1);
        if !turn.committed.is_empty() {
            let result = self.commit(&turn.writes);
            for reply in turn.committed {
                answers.add(reply, result.clone());
            }
        }
        for (doc, reply) in turn.reads {
            answers.add(reply, self.log.read(&doc));
        }
        self.log.tidy();
    }

    fn commit(&mut self, writes: &[JournalWrite]) -> Result<(), JournalError> {
        match self.mode {
            SyncMode::Always => self.log.commit(writes, true),
            SyncMode::Interval(interval) => {
                let due = self.sync_at.filter(|_| !planted::is(Bug::SyncPutOff));
                self.sync_at = due.or(Instant::now().checked_add(interval));
                self.log.commit(writes, false)
            }
        }
    }

    /// Keeps the promise of the interval. Nobody may call for long, so it is
    /// tried until it succeeds.
    fn secure(&mut self) {
        self.sync_at = None;
        if let Err(error) = self.log.secure() {
            let bytes = self.log.at_risk_bytes();
            tracing::error!(%error, bytes, "edits were acknowledged that the disk does not take: the loss of power would lose them; trying again");
            let retry = match self.mode {
                SyncMode::Always => RETRY_MIN,
                SyncMode::Interval(interval) => interval.max(RETRY_MIN),
            };
            self.sync_at = Instant::now().checked_add(retry);
        }
    }
}

impl Figures {
    fn note(&self, log: &Log) {
        let relaxed = Ordering::Relaxed;
        self.size_bytes.store(log.size_bytes(), relaxed);
        self.at_risk_bytes.store(log.at_risk_bytes(), relaxed);
    }
}

impl Answers {
    /// Tells everybody. Whoever gave up waiting gave up the answer only.
    pub fn give(self) {
        self.0.into_iter().for_each(|give| give());
    }

    fn add<T: Send + 'static>(&mut self, reply: Reply<T>, result: Result<T, JournalError>) {
        self.0.push(Box::new(|| _ = reply.send(result)));
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answers").field(&self.0.len()).finish()
    }
}

impl Turn {
    fn gather(&mut self, first: Call, mut next: impl FnMut() -> Option<Call>) -> Option<Call> {
        let mut call = first;
        loop {
            match call {
                Call::Commit(writes, reply) if !self.would_disturb_a_read(&writes) => {
                    self.bytes += writes.iter().map(update_bytes).sum::<usize>();
                    match self.writes.is_empty() {
                        true => self.writes = writes,
                        false => self.writes.extend(writes),
                    }
                    self.committed.push(reply);
                }
                Call::Read(doc, reply) => {
                    self.read_docs.insert(doc.clone());
                    self.reads.push((doc, reply));
                }
                other => return Some(other),
            }
            if self.bytes > TURN_BYTES {
                return None;
            }
            call = next()?;
        }
    }

    fn would_disturb_a_read(&self, writes: &[JournalWrite]) -> bool {
        let doc = |write: &JournalWrite| match write {
            JournalWrite::Append { doc, .. } | JournalWrite::Trim { doc, .. } => {
                self.read_docs.contains(doc)
            }
        };
        writes.iter().any(doc)
    }
}

fn update_bytes(write: &JournalWrite) -> usize {
    match write {
        JournalWrite::Append { update, .. } => update.len(),
        JournalWrite::Trim { .. } => mem::size_of::<JournalWrite>(),
    }
}
