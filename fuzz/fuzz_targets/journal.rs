//! A journal's files, damaged or made up.

#![no_main]

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ysyncd_engine::{DocId, JournalError, Position};
use ysyncd_fuzz::cost::Bound;
use ysyncd_storage::journal::{
    Journal, JournalWrite,
    disk::{DiskJournal, JournalOptions, OpenError, SimulatedDisk, Work, Workplace, Writer},
};

const FOLDER: &str = "journal";

/// Reading a journal back reads each file whole, and keeps where each of its
/// frames stands. Nothing that was seen went past four times the fixed part.
const READING: Bound = Bound {
    peak_per_byte: 32,
    total_per_byte: 128,
    fixed: 32 << 10,
};

#[derive(Debug, Arbitrary)]
struct Plan {
    writes: Vec<Vec<Write>>,
    damage: Vec<Damage>,
}

#[derive(Debug, Arbitrary)]
enum Write {
    Append { doc: u8, update: Vec<u8> },
    Trim { doc: u8, back: u8 },
}

#[derive(Debug, Arbitrary)]
struct Damage {
    file: u8,
    at: u16,
    change: Change,
}

#[derive(Debug, Arbitrary)]
enum Change {
    Flip(u8),
    Cut,
    Insert(Vec<u8>),
    Remove(u8),
    /// Part of the file a second time.
    Repeat(u16),
    Replace(Vec<u8>),
}

type Records = BTreeMap<DocId, BTreeMap<Position, Bytes>>;

fuzz_target!(|plan: Plan| {
    let disk = SimulatedDisk::default();
    let mut expected = Records::new();
    let mut appended = Records::new();
    {
        let mut journal = Opened::open(&disk).expect("the disk is good");
        let mut next = 0;
        for writes in plan.writes.into_iter().take(16) {
            let writes = writes.into_iter().take(16);
            let writes =
                writes.map(|write| write.carried_out(&mut next, &mut expected, &mut appended));
            let writes: Vec<_> = writes.collect();
            let done = journal.ask(|journal| journal.commit(writes));
            done.expect("the disk is good");
        }
        assert_eq!(
            journal.records().expect("the disk is good"),
            whole(&expected)
        );
    }
    assert_eq!(
        Opened::open(&disk)
            .expect("nothing is damaged")
            .records()
            .expect("the disk is good"),
        whole(&expected)
    );
    for damage in plan.damage.into_iter().take(8) {
        damage.apply(&disk);
    }
    let bytes = disk.files().iter().map(|(_, bytes)| bytes.len()).sum();
    let found = READING.keep(bytes, || {
        let mut journal = Opened::open(&disk).ok()?;
        Some(journal.records().expect("the disk is good"))
    });
    // What is read is what was written, or it is said not to be. Which records
    // are there is another matter: a trim may be what is damaged.
    for (doc, records) in found.into_iter().flatten() {
        for (position, update) in records.into_iter().flatten() {
            assert_eq!(
                appended.get(&doc).and_then(|of| of.get(&position)),
                Some(&update)
            );
        }
    }
});

impl Write {
    fn carried_out(
        self,
        next: &mut u64,
        expected: &mut Records,
        appended: &mut Records,
    ) -> JournalWrite {
        let name =
            |doc: u8| DocId::new(["a", "b", "c"][usize::from(doc) % 3]).expect("a valid name");
        match self {
            Self::Append { doc, update } => {
                *next += 1;
                let (doc, position, update) = (name(doc), Position(*next), Bytes::from(update));
                for records in [expected, appended] {
                    records
                        .entry(doc.clone())
                        .or_default()
                        .insert(position, update.clone());
                }
                JournalWrite::Append {
                    doc,
                    position,
                    update,
                }
            }
            Self::Trim { doc, back } => {
                let (doc, through) = (name(doc), Position(next.saturating_sub(back.into())));
                if let Some(records) = expected.get_mut(&doc) {
                    records.retain(|position, _| *position > through);
                }
                expected.retain(|_, records| !records.is_empty());
                JournalWrite::Trim { doc, through }
            }
        }
    }
}

impl Damage {
    fn apply(self, disk: &SimulatedDisk) {
        let files = disk.files();
        if files.is_empty() {
            return;
        }
        let (path, bytes) = &files[usize::from(self.file) % files.len()];
        let at = usize::from(self.at) % (bytes.len() + 1);
        disk.damage(path, |bytes| match self.change {
            Change::Flip(bits) => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= bits),
            Change::Cut => bytes.truncate(at),
            Change::Insert(more) => _ = bytes.splice(at..at, more),
            Change::Remove(count) => {
                let end = bytes.len().min(at + usize::from(count));
                bytes.drain(at..end);
            }
            Change::Repeat(len) => {
                let end = bytes.len().min(at + usize::from(len));
                let part = bytes[at..end].to_vec();
                bytes.extend(part);
            }
            Change::Replace(other) => *bytes = other,
        });
    }
}

/// What is expected of a journal that nobody has damaged.
fn whole(records: &Records) -> BTreeMap<DocId, Option<BTreeMap<Position, Bytes>>> {
    records
        .iter()
        .map(|(doc, records)| (doc.clone(), Some(records.clone())))
        .collect()
}

/// A journal whose writer works in turns on this thread.
struct Opened {
    journal: DiskJournal,
    writer: Option<Writer>,
}

impl Opened {
    fn open(disk: &SimulatedDisk) -> Result<Self, OpenError> {
        let desk = Desk::default();
        let options = JournalOptions {
            segment_bytes: 4 << 10,
            ..JournalOptions::new("here")
        };
        let journal = DiskJournal::open_at(&desk, disk.device(), FOLDER, &options)?;
        let writer = desk.0.lock().expect("nobody panics").take();
        Ok(Self { journal, writer })
    }

    fn ask<'a, T, F: Future<Output = T> + 'a>(
        &'a mut self,
        call: impl FnOnce(&'a DiskJournal) -> F,
    ) -> T {
        let mut answer = pin!(call(&self.journal));
        let writer = self.writer.as_mut().expect("it is there until the end");
        loop {
            assert!(
                now(pin!(writer.wait())).is_some_and(|more| more),
                "there is a call"
            );
            writer.take_turn().give();
            if let Some(answer) = now(answer.as_mut()) {
                return answer;
            }
        }
    }

    /// By document, `None` for those whose records are damaged.
    fn records(
        &mut self,
    ) -> Result<BTreeMap<DocId, Option<BTreeMap<Position, Bytes>>>, JournalError> {
        let mut records = BTreeMap::new();
        for doc in self.ask(Journal::documents)? {
            let read = match self.ask(|journal| journal.read(&doc)) {
                Ok(read) => Some(
                    read.into_iter()
                        .map(|one| (one.position, one.update))
                        .collect(),
                ),
                Err(JournalError::Damaged(_)) => None,
                Err(error) => return Err(error),
            };
            records.insert(doc, read);
        }
        Ok(records)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.close();
        }
    }
}

/// Keeps the writer for whoever asks.
#[derive(Default)]
struct Desk(Arc<Mutex<Option<Writer>>>);

#[derive(Debug)]
struct NoWork;

impl Workplace for Desk {
    fn start(&self, writer: Writer) -> io::Result<Box<dyn Work>> {
        *self.0.lock().expect("nobody panics") = Some(writer);
        Ok(Box::new(NoWork))
    }
}

impl Work for NoWork {
    fn end(&mut self, _: Duration) -> bool {
        true
    }
}

/// What a future has to give at once.
fn now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
