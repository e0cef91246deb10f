//! The thread that owns the log, and what it is asked.
//!
//! Whatever has come while the disk was busy makes the next turn: its commits
//! are written and synced together.

use std::{
    collections::BTreeSet,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Instant,
};

use tokio::sync::oneshot;
use ysyncd_engine::{
    DocId, JournalError, JournalRecord,
    marks::{self, Mark},
};

use super::{SyncMode, log::Log};
use crate::journal::JournalWrite;

/// Bytes of updates past which a turn takes no more commits.
const TURN_BYTES: usize = 1 << 20;

type Reply<T> = oneshot::Sender<Result<T, JournalError>>;

/// A call, and where its answer goes. Nobody may be waiting for it any more.
#[derive(Debug)]
pub(super) enum Call {
    Documents(Reply<Vec<DocId>>),
    Commit(Vec<JournalWrite>, Reply<()>),
    Read(DocId, Reply<Vec<JournalRecord>>),
    Reopen(Reply<()>),
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

#[derive(Debug)]
pub(super) struct Writer {
    log: Log,
    mode: SyncMode,
    size_bytes: Arc<AtomicU64>,
    /// When what was written has to be made durable, if not at once.
    sync_at: Option<Instant>,
}

impl Writer {
    pub(super) fn new(log: Log, mode: SyncMode, size_bytes: Arc<AtomicU64>) -> Self {
        size_bytes.store(log.size_bytes(), Ordering::Relaxed);
        Self {
            log,
            mode,
            size_bytes,
            sync_at: None,
        }
    }

    /// Answers calls until nobody can make any more.
    pub(super) fn run(mut self, calls: &Receiver<Call>) {
        let mut waiting = None;
        loop {
            let call = match waiting.take() {
                Some(call) => Ok(call),
                None => self.wait(calls),
            };
            match call {
                Ok(call) => waiting = self.take_turn(call, || calls.try_recv().ok()),
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.sync_at.is_some_and(|at| at <= Instant::now()) {
                self.sync();
            }
        }
        self.log.close();
    }

    fn wait(&self, calls: &Receiver<Call>) -> Result<Call, RecvTimeoutError> {
        match self.sync_at {
            Some(at) => calls.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => calls.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Answers a call and those that follow it, up to one that has to wait
    /// for the next turn.
    fn take_turn(&mut self, first: Call, next: impl FnMut() -> Option<Call>) -> Option<Call> {
        match first {
            Call::Documents(reply) => answer(reply, self.log.documents()),
            Call::Reopen(reply) => answer(reply, self.log.reopen()),
            first => {
                let mut turn = Turn::default();
                let waiting = turn.gather(first, next);
                self.carry_out(turn);
                return waiting;
            }
        }
        self.size_bytes
            .store(self.log.size_bytes(), Ordering::Relaxed);
        None
    }

    fn carry_out(&mut self, turn: Turn) {
        marks::hit_if(Mark::DiskTurnOfSeveral, || turn.committed.len() > 1);
        if !turn.committed.is_empty() {
            let result = self.commit(turn.writes);
            for reply in turn.committed {
                answer(reply, result.clone());
            }
        }
        for (doc, reply) in turn.reads {
            answer(reply, self.log.read(&doc));
        }
        self.log.tidy();
        self.size_bytes
            .store(self.log.size_bytes(), Ordering::Relaxed);
    }

    fn commit(&mut self, writes: Vec<JournalWrite>) -> Result<(), JournalError> {
        match self.mode {
            SyncMode::Always => self.log.commit(writes, true),
            SyncMode::Interval(interval) => {
                self.sync_at = self.sync_at.or(Instant::now().checked_add(interval));
                self.log.commit(writes, false)
            }
        }
    }

    fn sync(&mut self) {
        self.sync_at = None;
        // If it fails, the next call is told.
        let _ = self.log.sync();
    }
}

impl Turn {
    fn gather(&mut self, first: Call, mut next: impl FnMut() -> Option<Call>) -> Option<Call> {
        let mut call = first;
        loop {
            match call {
                Call::Commit(writes, reply) if !self.would_disturb_a_read(&writes) => {
                    self.bytes += writes.iter().map(update_bytes).sum::<usize>();
                    self.writes.extend(writes);
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

/// Whoever gave up waiting gave up the answer only.
fn answer<T>(reply: Reply<T>, result: Result<T, JournalError>) {
    let _ = reply.send(result);
}
