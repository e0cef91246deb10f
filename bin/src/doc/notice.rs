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

/// Whether the lock of a journal is held, which only a running server does.
fn is_in_use(folder: &Path) -> bool {
    let Ok(instances) = fs::read_dir(folder) else {
        return false;
    };
    instances
        .flatten()
        .filter_map(|instance| File::open(instance.path().join("lock")).ok())
        // Shared, and given back at once, so that no server that starts just
        // now finds it taken by one that only looks.
        .any(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
