//! A journal on the local disk (Linux, macOS).
//!
//! It is a log: records are appended to the last of a few segments, with one
//! write and one sync for all that came while the disk was busy. A segment
//! goes once its records were trimmed, or were copied because they are few.
//!
//! ```text
//! writer.rs    answers calls, many with one sync
//! workplace.rs the thread where it does
//! instance.rs  which folder is ours, and taking over those nobody uses
//! log.rs       appending, reading, giving space back, failing
//! recovery.rs  what a folder holds
//! segment.rs   what a segment holds: torn, or damaged
//! index.rs     which records there are, and where
//! records.rs   what is to be written, and which records share a frame
//! folder.rs    the files
//! frame.rs     the format
//! device.rs    all that touches the disk
//! inspect.rs   a look from outside
//! simulated.rs a disk in memory that loses what was not synced
//! ```

mod device;
mod folder;
mod frame;
mod index;
mod inspect;
mod instance;
mod log;
mod records;
mod recovery;
mod segment;
#[cfg(feature = "simulated")]
mod simulated;
mod workplace;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::{
    mpsc::{self, UnboundedSender},
    oneshot,
};
use ysyncd_engine::{DocId, JournalError, JournalRecord};

#[cfg(feature = "simulated")]
pub use self::simulated::{Fault, SimulatedDevice, SimulatedDisk, SyncFault};
pub use self::{
    device::{Device, DeviceFile, LocalDevice, Lock},
    folder::DiskError,
    inspect::{InstanceReport, RecordsReport, inspect},
    workplace::{OwnThread, Work, Workplace},
    writer::{Answers, Writer},
};
use self::{
    instance::{Instance, Shared},
    writer::{Call, Figures},
};
use super::{Journal, JournalFuture, JournalWrite};

/// How long the disk may take at the end.
const END_MAX: Duration = Duration::from_secs(5);

/// When commits are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// Before they are answered: they survive the loss of power.
    Always,
    /// So long after, at most: until then they survive the crash of this
    /// process, but not of the machine. On a disk that fails it is as soon as
    /// the disk works again; see [`Journal::at_risk_bytes`].
    Interval(Duration),
}

/// How a journal is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOptions {
    /// When commits are made durable.
    pub sync: SyncMode,
    /// Which snapshot store the records belong to, such as
    /// `s3://bucket/prefix`. Records of another one are never mixed in.
    pub target: String,
    /// How long a file gets before the next one is begun, 4 KiB or more. The journal takes
    /// up to two of that more on the disk than twice what its records take.
    pub segment_bytes: u64,
}

impl JournalOptions {
    /// Every commit durable, and files of 4 MiB.
    #[must_use]
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            sync: SyncMode::Always,
            target: target.into(),
            segment_bytes: 4 << 20,
        }
    }
}

/// A journal on the local disk.
///
/// Several processes may share a folder: each has a numbered folder of its own
/// in it, under a lock. Whoever starts takes over what processes that are gone
/// have left behind.
///
/// When it is dropped it finishes what it was asked, and frees its folder; on
/// a disk that hangs it gives up after 5 s, and the folder stays locked as long
/// as the process lives.
#[derive(Debug)]
pub struct DiskJournal {
    /// `None` while it is dropped.
    calls: Option<UnboundedSender<Call>>,
    work: Box<dyn Work>,
    figures: Arc<Figures>,
    /// Freed after the writer has ended. `None` while it is dropped.
    lock: Option<Lock>,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk does not do what it should.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file is damaged where it says which documents it is about.
    #[error(
        "the journal's file {} is damaged at byte {offset} and does not tell which documents this \
         concerns; move it elsewhere to start without the records in it, and keep it", file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
    },
    /// No position is left for a record that is taken over.
    #[error("a document in the journal has used up all positions")]
    NoPosition,
    /// There is no thread for it.
    #[error("cannot start the journal's thread: {0}")]
    Thread(std::io::Error),
}

impl DiskJournal {
    /// Opens the journal of this process in a folder, `DATA_DIR/journal`,
    /// making it if there is none. Blocks; call it before serving.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing was lost.
    pub fn open(folder: impl AsRef<Path>, options: &JournalOptions) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(LocalDevice), folder, options)
    }

    /// The same on any device.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing was lost.
    pub fn open_on(
        device: Arc<dyn Device>,
        folder: impl AsRef<Path>,
        options: &JournalOptions,
    ) -> Result<Self, OpenError> {
        Self::open_at(&OwnThread, device, folder, options)
    }

    /// The same, with the writer at any place.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing was lost.
    pub fn open_at(
        workplace: &dyn Workplace,
        device: Arc<dyn Device>,
        folder: impl AsRef<Path>,
        options: &JournalOptions,
    ) -> Result<Self, OpenError> {
        let path = folder.as_ref();
        let shared = Shared { device, path };
        let Instance { log, lock } = Instance::open(&shared, options)?;
        let (calls, received) = mpsc::unbounded_channel();
        let figures = Arc::default();
        let writer = Writer::new(log, options.sync, Arc::clone(&figures), received);
        let work = workplace.start(writer).map_err(OpenError::Thread)?;
        Ok(Self {
            calls: Some(calls),
            work,
            figures,
            lock: Some(lock),
        })
    }

    /// Puts a call in line, at once; gives the answer to wait for.
    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(oneshot::Sender<Result<T, JournalError>>) -> Call,
    ) -> JournalFuture<'static, T> {
        let (reply, answer) = oneshot::channel();
        if let Some(calls) = &self.calls {
            // If the thread is gone, so is the reply.
            let _ = calls.send(call(reply));
        }
        Box::pin(async {
            let gone = |_| JournalError::Failed("its thread is gone; restart the server".into());
            answer.await.map_err(gone)?
        })
    }
}

impl Journal for DiskJournal {
    fn documents(&self) -> JournalFuture<'_, Vec<DocId>> {
        self.call(Call::Documents)
    }

    fn commit(&self, writes: Vec<JournalWrite>) -> JournalFuture<'_, ()> {
        self.call(|reply| Call::Commit(writes, reply))
    }

    fn read<'a>(&'a self, doc: &'a DocId) -> JournalFuture<'a, Vec<JournalRecord>> {
        self.call(|reply| Call::Read(doc.clone(), reply))
    }

    fn reopen(&self) -> JournalFuture<'_, ()> {
        self.call(Call::Reopen)
    }

    fn size_bytes(&self) -> u64 {
        self.figures.size_bytes.load(Ordering::Relaxed)
    }

    fn at_risk_bytes(&self) -> u64 {
        self.figures.at_risk_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for DiskJournal {
    fn drop(&mut self) {
        drop(self.calls.take());
        if !self.work.end(END_MAX) {
            tracing::error!("the journal's disk hangs; the process ends without it");
            std::mem::forget(self.lock.take());
        }
    }
}
