//! Snapshots as files in a folder of the local disk (Linux, macOS).

mod catalog;
mod folder;
mod layout;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Semaphore, time};
use ysyncd_engine::{Condition, DocId, Etag, Snapshot, StoreError};

use self::folder::{Folder, SaveError};
use crate::{SnapshotStore, StoreFuture};

/// A folder with one file per document, named by
/// [`object_name`](crate::object_name::object_name).
///
/// Any number of stores, in any number of processes of one machine, may share
/// a folder: saves exclude each other by locks (`flock`) on files in its
/// subfolder `.locks`. Where the folder is a network mount, its locks must
/// work between the machines that share it.
///
/// An object of more than 255 bytes of name, which is more than a file name
/// may have, lies in subfolders that hold the front part of it; their names
/// end in `+`, which no object's name contains.
///
/// An etag is the SHA-256 of the content, in hex. Equal content is an equal
/// version here: a condition also holds if the object was changed and changed
/// back since, and overwriting it then loses nothing.
///
/// Files may be copied away at any time, each being whole at every moment.
/// On a file system that takes `a` and `A` for one name (the default of
/// macOS), documents whose ids differ only in case are one document.
#[derive(Debug)]
pub struct DiskStore {
    folder: Arc<Folder>,
    /// Keeps a slow disk from taking all threads of the runtime.
    permits: Arc<Semaphore>,
    timeout: Duration,
}

/// File operations under way at once, per store. Each takes a thread.
const OPERATIONS_MAX: usize = 16;

/// A healthy disk takes milliseconds; a network mount that hangs never answers.
const TIMEOUT: Duration = Duration::from_secs(30);

impl DiskStore {
    /// Opens a folder, making it if there is none, removes what saves that were
    /// cut off have left in it, and checks that it can be written to. Blocks;
    /// call it before serving.
    ///
    /// # Errors
    /// The folder cannot be made, or not be used in full.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = folder.into();
        let folder = Folder::open(&path).map_err(|source| OpenError { path, source })?;
        Ok(Self::new(folder))
    }

    /// Opens a folder that is there, and changes nothing in it. No right to
    /// write is needed, unless something is saved. Blocks.
    ///
    /// # Errors
    /// There is no such folder, or no right to read it.
    pub fn open_to_read(folder: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = folder.into();
        let folder = Folder::open_to_read(&path).map_err(|source| OpenError { path, source })?;
        Ok(Self::new(folder))
    }

    fn new(folder: Folder) -> Self {
        Self {
            folder: Arc::new(folder),
            permits: Arc::new(Semaphore::new(OPERATIONS_MAX)),
            timeout: TIMEOUT,
        }
    }

    /// Changes how long an operation may take before its caller is answered,
    /// by default 30 s.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs an operation on a thread that may block. The caller is answered in
    /// time even if the operation is not; `unfinished` makes that answer.
    async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Folder) -> Result<T, StoreError> + Send + 'static,
        unfinished: fn(String) -> StoreError,
    ) -> Result<T, StoreError> {
        let deadline = time::Instant::now() + self.timeout;
        let permit = time::timeout_at(deadline, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| StoreError::Unavailable(self.hangs()))?
            .expect("the semaphore is never closed");
        let folder = Arc::clone(&self.folder);
        let task = tokio::task::spawn_blocking(move || {
            let result = operation(&folder);
            drop(permit);
            result
        });
        match time::timeout_at(deadline, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(lost)) => Err(unfinished(format!("the operation was cut off: {lost}"))),
            Err(_) => Err(unfinished(self.hangs())),
        }
    }

    fn hangs(&self) -> String {
        let (path, timeout) = (self.path().display(), self.timeout);
        format!("the disk under {path} did not answer in {timeout:?}")
    }
}

impl SnapshotStore for DiskStore {
    fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>> {
        let doc = doc.clone();
        let operation = move |folder: &Folder| {
            folder
                .load(&doc)
                .map_err(|error| store_error(folder.path(), "read", &error))
        };
        Box::pin(self.run(operation, StoreError::Unavailable))
    }

    fn save<'a>(
        &'a self,
        doc: &'a DocId,
        body: Bytes,
        condition: Condition,
    ) -> StoreFuture<'a, Etag> {
        let doc = doc.clone();
        let operation = move |folder: &Folder| {
            folder
                .save(&doc, &body, &condition)
                .map_err(|error| save_error(folder.path(), error))
        };
        Box::pin(self.run(operation, StoreError::Unknown))
    }
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the folder {}: {source}", path.display())]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

impl OpenError {
    /// Why the system did not let it be used.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

fn save_error(folder: &Path, error: SaveError) -> StoreError {
    match error {
        SaveError::Conflict => StoreError::Conflict,
        SaveError::NotWritten(error) => store_error(folder, "write", &error),
        SaveError::Unknown(error) => StoreError::Unknown(format!(
            "cannot make a change in {} durable: {error}",
            folder.display()
        )),
    }
}

/// Says what failed and, where a person has to act, what to do.
fn store_error(folder: &Path, verb: &str, error: &io::Error) -> StoreError {
    use io::ErrorKind as Kind;
    let hint = match error.kind() {
        Kind::PermissionDenied => "; give the server's user the right to do so",
        Kind::ReadOnlyFilesystem => "; mount it writable",
        Kind::StorageFull | Kind::QuotaExceeded => "; free some space",
        Kind::Unsupported => "; use a file system with locks",
        _ => "",
    };
    let message = format!("cannot {verb} in {}: {error}{hint}", folder.display());
    match error.kind() {
        Kind::PermissionDenied
        | Kind::ReadOnlyFilesystem
        | Kind::Unsupported
        | Kind::InvalidFilename
        | Kind::IsADirectory
        | Kind::NotADirectory => StoreError::Denied(message),
        // Space, handles and networks come back by themselves.
        _ => StoreError::Unavailable(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(kind: io::ErrorKind) -> StoreError {
        store_error(Path::new("data"), "write", &kind.into())
    }

    #[test]
    fn a_refusal_says_what_to_do_about_it() {
        for (kind, hint) in [
            (io::ErrorKind::PermissionDenied, "give the server's user"),
            (io::ErrorKind::ReadOnlyFilesystem, "mount it writable"),
            (io::ErrorKind::Unsupported, "a file system with locks"),
        ] {
            let StoreError::Denied(message) = answer_to(kind) else {
                panic!("{kind} is no refusal");
            };
            assert!(message.starts_with("cannot write in data: "), "{message}");
            assert!(message.contains(hint), "{message}");
        }
    }

    #[test]
    fn a_full_disk_may_have_room_again() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let StoreError::Unavailable(message) = answer_to(kind) else {
                panic!("{kind} is taken for final");
            };
            assert!(message.contains("free some space"), "{message}");
        }
    }
}
