//! The journal, opened as the settings say.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tracing::warn;
use ysyncd_storage::journal::{
    Journal,
    disk::{DiskJournal, InstanceReport, JournalOptions, SyncMode, inspect},
};

use crate::{
    cli::{JournalSettings, JournalSync, StoreSettings, Switch},
    failure::Failure,
    store,
};

/// How long edits may be in the system's hands alone with `JOURNAL_SYNC=interval`.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Opens the journal for serving, or none if there is to be none. Blocks.
///
/// # Errors
/// It cannot be used; or there is to be none, but one holds changes.
pub(crate) fn open(
    settings: &JournalSettings,
    store: &StoreSettings,
) -> Result<Option<Arc<dyn Journal>>, Failure> {
    if settings.journal == Switch::Off {
        refuse_to_ignore_records(store)?;
        return Ok(None);
    }
    if settings.journal_sync == JournalSync::Interval {
        warn!("JOURNAL_SYNC is interval: the loss of power may lose the last second of edits");
    }
    let mut options = JournalOptions::new(target(store));
    options.sync = match settings.journal_sync {
        JournalSync::Always => SyncMode::Always,
        JournalSync::Interval => SyncMode::Interval(SYNC_INTERVAL),
    };
    let journal = DiskJournal::open(folder(store), &options).map_err(|error| {
        Failure::outside(format_args!(
            "{error}; the journal needs DATA_DIR to be a folder on a disk of this machine, or \
             JOURNAL=off where there is none"
        ))
    })?;
    Ok(Some(Arc::new(journal)))
}

/// Where the journals of all servers that share `DATA_DIR` are.
pub(crate) fn folder(store: &StoreSettings) -> PathBuf {
    store.folder.data_dir.join("journal")
}

/// Which store the records belong to.
pub(crate) fn target(store: &StoreSettings) -> String {
    match store.s3_bucket.as_str() {
        // The folder may be moved, its journal with it.
        "" => "disk".to_owned(),
        _ => store::place(store),
    }
}

/// What others have seen must not be left out because a switch was turned.
fn refuse_to_ignore_records(store: &StoreSettings) -> Result<(), Failure> {
    let folder = folder(store);
    let target = target(store);
    let reports = inspect(&folder).map_err(Failure::outside)?;
    let is_left = |report: &&InstanceReport| {
        let is_ours = report.target.as_ref().is_none_or(|of| *of == target);
        let holds = report
            .records
            .as_ref()
            .map_or(true, |docs| !docs.is_empty());
        !report.in_use && is_ours && holds
    };
    match reports.iter().find(is_left) {
        None => Ok(()),
        Some(report) => Err(Failure::configuration(format_args!(
            "JOURNAL is off, but {} holds changes that are not saved yet: start once with \
             JOURNAL=on, which saves them, or move the folder away to do without them",
            folder.join(report.number.to_string()).display()
        ))),
    }
}
