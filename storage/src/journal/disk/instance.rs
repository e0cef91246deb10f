//! Which folder a process uses, and what becomes of folders nobody uses.
//!
//! ```text
//! journal/lock       held while a process looks for its place
//! journal/<n>.lock   held as long as a process uses journal/<n>/
//! ```
//!
//! Locks lie beside the folders and stay for good, so that nobody ever holds
//! the lock of a file that is there no more.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use ysyncd_engine::{
    DocId, Position,
    marks::{self, Mark},
};

use super::{
    JournalOptions, OpenError,
    device::{Device, Lock},
    folder::{DiskError, Folder},
    log::Log,
    records::{Copied, Span},
    recovery::{Recovered, RecoveryError},
};

/// The journal of this process.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) log: Log,
    /// Keeps the folder ours.
    pub(super) lock: Lock,
}

/// The folder that all instances share.
#[derive(Debug, Clone)]
pub(super) struct Shared<'a> {
    pub(super) device: Arc<dyn Device>,
    pub(super) path: &'a Path,
}

impl Instance {
    pub(super) fn open(shared: &Shared<'_>, options: &JournalOptions) -> Result<Self, OpenError> {
        let failed = DiskError::of("make the folder", shared.path);
        shared.device.create_folder(shared.path).map_err(failed)?;
        let _gate = shared.gate()?;
        let (number, mut instance) = shared.claim(options)?;
        for other in shared.instances()? {
            if other != number
                && let Some(_lock) = shared.lock(other)?
            {
                shared.adopt(other, &mut instance.log, &options.target)?;
            }
        }
        Ok(instance)
    }
}

impl Shared<'_> {
    /// Waits until no other process is looking for its place.
    pub(super) fn gate(&self) -> Result<Option<Lock>, DiskError> {
        let file = self.path.join("lock");
        let lock = self.device.lock(&file, true);
        lock.map_err(DiskError::of("lock", &file))
    }

    /// `None` if somebody uses the folder.
    pub(super) fn lock(&self, number: u64) -> Result<Option<Lock>, DiskError> {
        let file = self.path.join(format!("{number}.lock"));
        let lock = self.device.lock(&file, false);
        lock.map_err(DiskError::of("lock", &file))
    }

    pub(super) fn folder(&self, number: u64) -> Folder {
        Folder::new(Arc::clone(&self.device), self.path.join(number.to_string()))
    }

    /// The numbers of all folders there are, in order.
    pub(super) fn instances(&self) -> Result<BTreeSet<u64>, DiskError> {
        let names = self.device.names(self.path);
        let names = names.map_err(DiskError::of("list", self.path))?;
        let number = |name: &str| {
            let number: u64 = name.parse().ok()?;
            (number.to_string() == name).then_some(number)
        };
        let names = names.iter().filter_map(|name| name.to_str());
        Ok(names.filter_map(number).collect())
    }

    /// Takes the first number that is free and holds no records for another
    /// store.
    fn claim(&self, options: &JournalOptions) -> Result<(u64, Instance), OpenError> {
        let taken = self.instances()?;
        for number in 0.. {
            let Some(lock) = self.lock(number)? else {
                continue;
            };
            let folder = self.folder(number);
            let recovered = if taken.contains(&number) {
                let Some(recovered) = self.recover(number, &options.target)? else {
                    continue;
                };
                if recovered.segments.is_empty() {
                    folder.remove_all()?;
                }
                recovered
            } else {
                Recovered::default()
            };
            let target = options.target.clone();
            let log = Log::open(folder, target, options.segment_bytes, recovered)?;
            return Ok((number, Instance { log, lock }));
        }
        unreachable!("there are more numbers than processes")
    }

    /// Reads a folder; `None` if its records belong elsewhere. One that has
    /// none is empty, whatever store it was for.
    fn recover(&self, number: u64, target: &str) -> Result<Option<Recovered>, OpenError> {
        let folder = self.folder(number);
        let recovered = match Recovered::read(&folder) {
            Ok(recovered) => recovered,
            Err(error) => match Recovered::target_of(&folder) {
                Some(other) if other != target => return Ok(leave_alone(&folder, &other)),
                _ => return Err(refuse(error)),
            },
        };
        match recovered.target() {
            Some(other) if other != target => {
                if !recovered.index.is_empty() {
                    return Ok(leave_alone(&folder, other));
                }
                return Ok(Some(Recovered::default()));
            }
            _ => {}
        }
        if recovered.torn_bytes > 0 {
            marks::hit(Mark::DiskTornEnd);
            let (folder, bytes) = (folder.path().display(), recovered.torn_bytes);
            tracing::warn!(%folder, bytes, "the journal ends in a write that was cut off, and that is dropped; unless the disk has lost something, it was never reported durable");
        }
        for doc in recovered.index.docs() {
            if recovered.index.runs(doc).any(|run| run.place.damaged) {
                let folder = folder.path().display();
                tracing::error!(%doc, %folder, "the journal's records of the document are damaged; it is not served");
            }
        }
        Ok(Some(recovered))
    }

    /// Copies the records of a folder that nobody uses into ours, and removes
    /// it. If that is cut off it is done again; what is there already is not
    /// copied twice.
    fn adopt(&self, number: u64, log: &mut Log, target: &str) -> Result<(), OpenError> {
        let Some(recovered) = self.recover(number, target)? else {
            return Ok(());
        };
        let folder = self.folder(number);
        let docs: Vec<_> = recovered.index.docs().cloned().collect();
        for doc in &docs {
            let copied = self.adopted(doc, &recovered, &folder, log)?;
            if !copied.is_empty() {
                log.append(&copied, true)?;
            }
        }
        log.tidy();
        folder.remove_all()?;
        if !docs.is_empty() {
            marks::hit(Mark::JournalAdopted);
            let (folder, documents) = (folder.path().display(), docs.len());
            tracing::info!(%folder, documents, "took over the journal of a process that is gone");
        }
        Ok(())
    }

    /// The records of a document of another folder, to stand after ours.
    fn adopted(
        &self,
        doc: &DocId,
        recovered: &Recovered,
        folder: &Folder,
        log: &Log,
    ) -> Result<Vec<Copied>, OpenError> {
        let (mut ours, mut last) = (BTreeSet::new(), Position(0));
        for run in log.index().runs(doc) {
            let copied = Copied::from(doc, run.span, log.load(run)?).into_iter();
            ours.extend(copied.map(|copied| copied.body));
            last = run.span.last;
        }
        let mut copied = Vec::new();
        for run in recovered.index.runs(doc) {
            let found = folder.load(run, recovered.salt(run.place.segment))?;
            for mut record in Copied::from(doc, run.span, found) {
                if ours.insert(record.body.clone()) {
                    let next = last.0.checked_add(1).map(Position);
                    let span = next.and_then(|next| Span::from(next, record.span.records()));
                    record.span = span.ok_or(OpenError::NoPosition)?;
                    last = record.span.last;
                    copied.push(record);
                }
            }
        }
        Ok(copied)
    }
}

fn leave_alone(folder: &Folder, target: &str) -> Option<Recovered> {
    let folder = folder.path().display();
    tracing::warn!(%folder, store = target, "a journal belongs to another store and is left alone; start ysyncd once with that store, so that its records get there, or remove the folder to give them up");
    None
}

fn refuse(error: RecoveryError) -> OpenError {
    match error {
        RecoveryError::Disk(error) => OpenError::Disk(error),
        RecoveryError::Damaged { file, offset } => OpenError::Damaged { file, offset },
    }
}
