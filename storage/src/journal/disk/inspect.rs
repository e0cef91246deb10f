//! A look at the journals of a folder, which may be in use.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use ysyncd_engine::DocId;

use super::{
    device::LocalDevice,
    folder::{DiskError, Folder},
    instance::Shared,
    recovery::{Recovered, RecoveryError},
};

/// Tries at a folder in use, which may lose its oldest file meanwhile.
const TRIES: usize = 10;

/// What the journal of one process holds.
#[derive(Debug)]
pub struct InstanceReport {
    /// The name of its folder.
    pub number: u64,
    /// Whether a process uses it now. If so, what is reported may have
    /// changed already.
    pub in_use: bool,
    /// Where its records belong; `None` if it holds no files, or none that
    /// can be read.
    pub target: Option<String>,
    /// Its records by document, or why they cannot be told.
    pub records: Result<BTreeMap<DocId, RecordsReport>, String>,
}

/// The records of one document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordsReport {
    /// How many there are.
    pub count: u64,
    /// Room they take on the disk, in bytes.
    pub bytes: u64,
    /// Whether one of them is not what was written.
    pub damaged: bool,
}

/// Reads the journals of a folder, `DATA_DIR/journal`, without changing them;
/// those that servers use at this moment, too.
///
/// # Errors
/// The folder cannot be read. No folder is no error: it holds no journals.
pub fn inspect(folder: &Path) -> Result<Vec<InstanceReport>, DiskError> {
    if !folder.try_exists().map_err(DiskError::of("read", folder))? {
        return Ok(Vec::new());
    }
    let shared = Shared {
        device: Arc::new(LocalDevice),
        path: folder,
    };
    let _gate = shared.gate()?;
    let instances = shared.instances()?.into_iter();
    instances.map(|number| report(&shared, number)).collect()
}

fn report(shared: &Shared<'_>, number: u64) -> Result<InstanceReport, DiskError> {
    let folder = shared.folder(number);
    let in_use = shared.lock(number)?.is_none();
    let recovered = read(&folder);
    Ok(InstanceReport {
        number,
        in_use,
        target: match &recovered {
            Ok(recovered) => recovered.target().map(str::to_owned),
            Err(_) => Recovered::target_of(&folder),
        },
        records: recovered
            .map(|recovered| records(&recovered))
            .map_err(|error| error.to_string()),
    })
}

/// Reads a folder whose owner may be writing, and removing files. A file that
/// was there when listed and is gone when read had its records copied before.
fn read(folder: &Folder) -> Result<Recovered, RecoveryError> {
    let mut result = Recovered::read(folder);
    for _ in 1..TRIES {
        match &result {
            Err(RecoveryError::Disk(error)) if error.kind() == io::ErrorKind::NotFound => {
                result = Recovered::read(folder);
            }
            _ => break,
        }
    }
    result
}

fn records(recovered: &Recovered) -> BTreeMap<DocId, RecordsReport> {
    let docs = recovered.index.docs();
    docs.map(|doc| {
        let mut report = RecordsReport::default();
        for run in recovered.index.runs(doc) {
            report.count += run.span.records();
            report.bytes += run.bytes();
            report.damaged |= run.place.damaged;
        }
        (doc.clone(), report)
    })
    .collect()
}
