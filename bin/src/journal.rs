//! The journal, opened as the settings say.

use std::{error::Error, io, path::PathBuf, sync::Arc, time::Duration};

use tracing::warn;
use ysyncd_storage::journal::{
    Journal,
    disk::{DiskJournal, InstanceReport, JournalOptions, OpenError, SyncMode, inspect},
};

use crate::{
    cli::{JournalSettings, JournalSync, StoreSettings, Switch},
    failure::Failure,
    store,
};

/// How long edits may be in the system's hands alone with `JOURNAL_SYNC=interval`.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Checks that no journal is left whose changes would be passed over.
///
/// # Errors
/// There is one, of another store or though there is to be none; or nobody can
/// tell.
pub(crate) fn check(settings: &JournalSettings, store: &StoreSettings) -> Result<(), Failure> {
    let reports = inspect(&folder(store)).map_err(|error| {
        let source = error.source().and_then(|source| source.downcast_ref());
        let hint = source.map_or("", |source: &io::Error| store::data_dir_hint(source.kind()));
        Failure::outside(format_args!("{error}{hint}"))
    })?;
    refuse_another_store(store, &reports)?;
    match settings.journal {
        Switch::On => Ok(()),
        Switch::Off => refuse_to_ignore_records(store, &reports),
    }
}

/// Opens the journal for serving, or none if there is to be none. Blocks.
///
/// # Errors
/// It cannot be used.
pub(crate) fn open(
    settings: &JournalSettings,
    store: &StoreSettings,
) -> Result<Option<Arc<dyn Journal>>, Failure> {
    if settings.journal == Switch::Off {
        warn!(
            "JOURNAL is off: a crash loses what was not saved yet, at most SAVE_MAX_WAIT and one \
             write while the store answers"
        );
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
    let journal = DiskJournal::open(folder(store), &options).map_err(|error| match error {
        OpenError::Disk(error) => Failure::outside(format_args!(
            "{error}; the journal needs DATA_DIR to be a folder on a disk of this machine, or \
             JOURNAL=off where there is none"
        )),
        error => Failure::outside(error),
    })?;
    Ok(Some(Arc::new(journal)))
}

/// Where the journals of all servers that share `DATA_DIR` are.
pub(crate) fn folder(store: &StoreSettings) -> PathBuf {
    store.folder.data_dir.join("journal")
}

/// How there is a journal, as the log tells it.
pub(crate) const fn describe(settings: &JournalSettings) -> &'static str {
    match (settings.journal, settings.journal_sync) {
        (Switch::Off, _) => "off",
        (Switch::On, JournalSync::Always) => "on",
        (Switch::On, JournalSync::Interval) => "on, synced every second",
    }
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
fn refuse_to_ignore_records(
    store: &StoreSettings,
    reports: &[InstanceReport],
) -> Result<(), Failure> {
    let Some(report) = reports.iter().find(|report| is_left(report)) else {
        return Ok(());
    };
    let folder = folder(store).join(report.number.to_string());
    let folder = folder.display();
    Err(Failure::configuration(match &report.records {
        Ok(docs) => format!(
            "JOURNAL is off, but {folder} holds changes of {} that are not saved yet: start once \
             with JOURNAL=on, which saves them, or move the folder away to do without them",
            documents(docs.len())
        ),
        Err(error) => format!(
            "JOURNAL is off, and {folder} may hold changes that are not saved yet, but {error}: \
             move the file away and keep it, then start with JOURNAL=on to save the rest"
        ),
    }))
}

/// Documents would look empty, or old, whose edits belong elsewhere: that is
/// more likely a slip than meant.
fn refuse_another_store(store: &StoreSettings, reports: &[InstanceReport]) -> Result<(), Failure> {
    let target = target(store);
    for report in reports.iter().filter(|report| is_left(report)) {
        if let (Some(of), Ok(docs)) = (&report.target, &report.records)
            && *of != target
        {
            let folder = folder(store).join(report.number.to_string());
            return Err(Failure::configuration(format_args!(
                "{} holds changes of {} that are not saved yet and belong to the store '{of}', \
                 not to '{target}': start once with the settings of that store, which saves them, \
                 or move the folder away to do without them",
                folder.display(),
                documents(docs.len())
            )));
        }
    }
    Ok(())
}

/// Whether a journal holds something, and nobody has it open.
fn is_left(report: &InstanceReport) -> bool {
    let holds = report
        .records
        .as_ref()
        .map_or(true, |docs| !docs.is_empty());
    holds && !report.in_use
}

fn documents(count: usize) -> String {
    match count {
        1 => "1 document".to_owned(),
        count => format!("{count} documents"),
    }
}
