//! The writer, on a journal that waits and fails as told.

use std::{collections::VecDeque, future::Future, rc::Rc, sync::Mutex, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::Semaphore,
    task::{LocalSet, yield_now},
    time::{sleep, timeout},
};
use ysyncd_engine::{JournalRecord, Position, Status};
use ysyncd_storage::journal::JournalFuture;

use super::*;
use crate::metrics::Metrics;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    Documents,
    Commit(usize),
    Read(DocId),
    Reopen,
}

/// How a call ends other than well.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Fails,
    Damaged,
    Panics,
}

/// Notes every call when it begins; each then waits for a permit, and takes
/// the next fault, if one is left.
struct FakeJournal {
    calls: Mutex<Vec<Call>>,
    gate: Semaphore,
    faults: Mutex<VecDeque<Option<Fault>>>,
}

impl FakeJournal {
    fn new(permits: usize, faults: &[Option<Fault>]) -> Arc<Self> {
        Arc::new(Self {
            calls: Mutex::default(),
            gate: Semaphore::new(permits),
            faults: Mutex::new(faults.iter().copied().collect()),
        })
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    async fn call<T>(&self, call: Call, answer: T) -> Result<T, JournalError> {
        self.calls.lock().unwrap().push(call);
        self.gate.acquire().await.unwrap().forget();
        let fault = self.faults.lock().unwrap().pop_front().flatten();
        match fault {
            None => Ok(answer),
            Some(Fault::Fails) => Err(JournalError::Failed("no space left".to_owned())),
            Some(Fault::Damaged) => Err(JournalError::Damaged("a bad checksum".to_owned())),
            Some(Fault::Panics) => panic!("a journal's own fault"),
        }
    }
}

impl Journal for FakeJournal {
    fn documents(&self) -> JournalFuture<'_, Vec<DocId>> {
        Box::pin(self.call(Call::Documents, Vec::new()))
    }

    fn commit(&self, writes: Vec<JournalWrite>) -> JournalFuture<'_, ()> {
        Box::pin(self.call(Call::Commit(writes.len()), ()))
    }

    fn read<'a>(&'a self, doc: &'a DocId) -> JournalFuture<'a, Vec<JournalRecord>> {
        Box::pin(self.call(Call::Read(doc.clone()), Vec::new()))
    }

    fn reopen(&self) -> JournalFuture<'_, ()> {
        Box::pin(self.call(Call::Reopen, ()))
    }

    fn size_bytes(&self) -> u64 {
        0
    }
}

/// A queue that is being worked off, and the answers, one list for each time
/// that some were handed over.
struct Desk {
    journal: Arc<FakeJournal>,
    queue: Rc<JournalQueue>,
    metrics: Rc<Metrics>,
    answers: Rc<RefCell<Vec<Vec<Answer>>>>,
}

impl Desk {
    fn open(journal: Arc<FakeJournal>) -> Self {
        let desk = Self {
            journal,
            queue: Rc::default(),
            metrics: Rc::new(Metrics::new()),
            answers: Rc::default(),
        };
        let journal = Arc::clone(&desk.journal);
        let (queue, metrics) = (Rc::clone(&desk.queue), Rc::clone(&desk.metrics));
        let answers = Rc::clone(&desk.answers);
        spawn_local(async move {
            let hand_over = |answered| answers.borrow_mut().push(answered);
            drive(journal, &queue, &metrics.journal, hand_over).await
        });
        desk
    }

    /// Asks for one thing after the other, under the numbers from `first`.
    fn ask(&self, first: u64, commands: impl IntoIterator<Item = JournalCommand>) {
        for (op, command) in (first..).zip(commands) {
            self.queue.push(OpId(op), command);
        }
    }

    /// Waits until the first `count` commands are answered; returns how the answers
    /// were grouped.
    async fn answered(&self, count: usize) -> Vec<Vec<Answer>> {
        let last = || Some(self.answers.borrow().last()?.last()?.0.0);
        let answered = async {
            while last().is_none_or(|last| last + 1 < count as u64) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), answered)
            .await
            .expect("too few answers");
        self.answers.borrow().clone()
    }

    /// Waits until the journal has been called so often.
    async fn called(&self, count: usize) {
        let called = async {
            while self.journal.calls().len() < count {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), called)
            .await
            .expect("too few calls");
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

fn doc(name: &str) -> DocId {
    DocId::new(name).unwrap()
}

fn append(len: usize) -> JournalCommand {
    JournalCommand::Append {
        doc: doc("a"),
        position: Position(1),
        update: Bytes::from(vec![0; len]),
    }
}

fn trim() -> JournalCommand {
    JournalCommand::Trim {
        doc: doc("a"),
        through: Position(1),
    }
}

fn read() -> JournalCommand {
    JournalCommand::Read { doc: doc("a") }
}

fn numbers(answers: &[Vec<Answer>]) -> Vec<Vec<u64>> {
    let numbers = |answers: &Vec<Answer>| answers.iter().map(|(op, _)| op.0).collect();
    answers.iter().map(numbers).collect()
}

/// Whether each answer is that of a success.
fn outcomes(answers: &[Vec<Answer>]) -> Vec<bool> {
    let succeeded = |(_, result): &Answer| match result {
        JournalResult::Appended(result)
        | JournalResult::Trimmed(result)
        | JournalResult::Reopened(result) => result.is_ok(),
        JournalResult::Read(result) => result.is_ok(),
    };
    answers.iter().flatten().map(succeeded).collect()
}

#[test]
fn what_comes_during_a_commit_goes_into_the_next_one() {
    run(async {
        let desk = Desk::open(FakeJournal::new(0, &[]));
        desk.ask(0, [append(10)]);
        desk.called(1).await;
        desk.ask(1, [append(20), trim(), append(30)]);
        desk.ask(4, [append(40)]);
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(desk.journal.calls(), [Call::Commit(1)], "one at a time");

        desk.journal.gate.add_permits(2);
        let answers = desk.answered(5).await;
        assert_eq!(numbers(&answers), [[0], [4]], "one answer for each commit");
        assert_eq!(desk.journal.calls(), [Call::Commit(1), Call::Commit(4)]);
        assert_eq!(answers[1][0].1, JournalResult::Appended(Ok(())));

        let counted = desk.metrics.open_metrics(&Status::default(), None);
        for line in [
            "journal_commits_total 2",
            "journal_records_total 4",
            "journal_bytes_total 100",
            "journal_sync_seconds_count 2",
        ] {
            assert!(counted.contains(&format!("\nysyncd_{line}\n")), "{line}");
        }
    });
}

#[test]
fn a_large_commit_is_answered_in_several_turns() {
    run(async {
        let desk = Desk::open(FakeJournal::new(9, &[]));
        let half = ANSWERED_BYTES_PER_TURN / 2;
        let huge = append(ANSWERED_BYTES_PER_TURN * 3);
        desk.ask(0, [append(half), append(half), append(1), huge, append(1)]);
        let answers = desk.answered(5).await;
        assert_eq!(desk.journal.calls(), [Call::Commit(5)]);
        assert_eq!(numbers(&answers), [[1], [3], [4]]);
    });
}

#[test]
fn reads_and_reopenings_keep_their_place() {
    run(async {
        let desk = Desk::open(FakeJournal::new(10, &[]));
        let reopen = JournalCommand::Reopen;
        desk.ask(
            0,
            [
                append(1),
                append(1),
                read(),
                append(1),
                trim(),
                reopen,
                append(1),
            ],
        );
        let answers = desk.answered(7).await;
        assert_eq!(numbers(&answers), [[1], [2], [4], [5], [6]]);
        assert_eq!(answers[2][0].1, JournalResult::Trimmed(Ok(())));
        assert_eq!(
            desk.journal.calls(),
            [
                Call::Commit(2),
                Call::Read(doc("a")),
                Call::Commit(2),
                Call::Reopen,
                Call::Commit(1)
            ]
        );
    });
}

#[test]
fn a_commit_is_bounded_and_takes_at_least_one_write() {
    run(async {
        let desk = Desk::open(FakeJournal::new(10, &[]));
        let half = COMMIT_BYTES_MAX / 2;
        desk.ask(0, [half, half, 1, 2 * COMMIT_BYTES_MAX, 1].map(append));
        let answers = desk.answered(5).await;
        let commits = [2, 1, 1, 1].map(Call::Commit);
        assert_eq!(desk.journal.calls(), commits);
        assert_eq!(numbers(&answers).concat(), [0, 1, 2, 3, 4]);

        let desk = Desk::open(FakeJournal::new(10, &[]));
        desk.ask(
            0,
            std::iter::repeat_with(|| append(1)).take(COMMIT_WRITES_MAX + 1),
        );
        let answers = desk.answered(COMMIT_WRITES_MAX + 1).await;
        let sizes: Vec<_> = answers.iter().map(Vec::len).collect();
        assert_eq!(sizes, [COMMIT_WRITES_MAX / ANSWERED_WRITES_MAX, 1]);
    });
}

#[test]
fn after_a_failure_all_fails_until_it_is_reopened() {
    for fault in [Fault::Fails, Fault::Panics] {
        run(async {
            // The second commit fails, and the first attempt to reopen.
            let faults = [None, None, Some(fault), Some(fault)];
            let desk = Desk::open(FakeJournal::new(10, &faults));
            desk.ask(0, [append(1), read()]);
            desk.ask(2, [append(1), trim(), read(), append(1)]);
            desk.ask(6, [JournalCommand::Reopen, append(1)]);
            desk.ask(8, [JournalCommand::Reopen, append(1), read()]);
            let answers = desk.answered(11).await;
            let in_order: Vec<_> = numbers(&answers).concat();
            assert_eq!(in_order, [0, 1, 3, 4, 5, 6, 7, 8, 9, 10]);
            let expected = in_order.iter().map(|op| [0, 1, 8, 9, 10].contains(op));
            let expected: Vec<_> = expected.collect();
            assert_eq!(outcomes(&answers), expected, "{fault:?}");
            // What is known to fail is not tried.
            assert_eq!(
                desk.journal.calls(),
                [
                    Call::Commit(1),
                    Call::Read(doc("a")),
                    Call::Commit(2),
                    Call::Reopen,
                    Call::Reopen,
                    Call::Commit(1),
                    Call::Read(doc("a"))
                ]
            );
            assert_eq!(desk.metrics.journal.failures.get(), 2);
        });
    }
}

#[test]
fn a_damaged_document_concerns_no_other() {
    run(async {
        let desk = Desk::open(FakeJournal::new(10, &[Some(Fault::Damaged)]));
        desk.ask(0, [read(), read(), append(1)]);
        let answers = desk.answered(3).await;
        assert_eq!(outcomes(&answers), [false, true, true]);
        assert_eq!(desk.metrics.journal.failures.get(), 0);
    });
}

#[test]
fn a_journal_that_panics_when_asked_what_it_holds_has_failed() {
    run(async {
        let journal = FakeJournal::new(1, &[Some(Fault::Panics)]);
        let held = documents(Arc::clone(&journal) as _).await;
        assert!(matches!(held, Err(JournalError::Failed(_))), "{held:?}");
        assert_eq!(journal.calls(), [Call::Documents]);
    });
}
