//! Whether a server may know more than the store.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

use super::output;
use crate::cli::StoreSettings;

/// Tells, on standard error, that a running server may hold edits that are not
/// in the store yet.
pub(super) fn tell(settings: &StoreSettings) {
    let folder = settings.folder.data_dir.join("journal");
    if is_in_use(&folder) {
        output::note(&format!(
            "note: a server is running with the journal {}; edits of the last seconds may be \
             missing here",
            folder.display()
        ));
    }
}

/// Whether a process holds the lock of one of the journals, `<number>.lock`.
fn is_in_use(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let files = entries.flatten().map(|entry| entry.path());
    files
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "lock")
        })
        .filter_map(|file| File::open(file).ok())
        // Shared, and given back at once, so that commands do not take each
        // other for servers.
        .any(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
