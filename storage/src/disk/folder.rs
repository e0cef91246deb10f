//! The file operations of a disk store. They block.
//!
//! A save becomes visible by a rename, so that a reader sees the old object or
//! the new one, whole. Both saves and loads answer only after the folder that
//! holds the object was synced: a loaded object may be another save's, renamed
//! but not yet durable, and whoever loads it takes it for stored.

use std::{
    fs::{self, DirBuilder, DirEntry, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use ysyncd_engine::{Condition, DocId, Etag, Snapshot};

use super::layout::{LOCKS_FOLDER, Lock, PROBE_FILE, PROBE_LOCK, Place, subfolder_part};

/// An open folder of objects.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Holds on to the folder itself, whatever the path comes to name.
    handle: File,
}

/// Why a save failed.
#[derive(Debug)]
pub(super) enum SaveError {
    Conflict,
    /// The object is as it was.
    NotWritten(io::Error),
    /// The object may be the new one, and may become the old one again when
    /// the machine fails.
    Unknown(io::Error),
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        create_durably(path)?;
        create_if_missing(&path.join(LOCKS_FOLDER))?;
        let folder = Self {
            path: path.to_owned(),
            handle: File::open(path)?,
        };
        folder.remove_leftovers()?;
        folder.check_writable()?;
        Ok(folder)
    }

    pub(super) fn open_to_read(path: &Path) -> io::Result<Self> {
        // Fails at once if it is no folder, or not to be read.
        fs::read_dir(path)?;
        Ok(Self {
            path: path.to_owned(),
            handle: File::open(path)?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn load(&self, doc: &DocId) -> io::Result<Option<Snapshot>> {
        let place = Place::of(doc);
        let Some(body) = self.read(&place)? else {
            self.check_in_place()?;
            return Ok(None);
        };
        self.sync(&place)?;
        let etag = etag(&body);
        Ok(Some(Snapshot { body, etag }))
    }

    pub(super) fn save(
        &self,
        doc: &DocId,
        body: &Bytes,
        condition: &Condition,
    ) -> Result<Etag, SaveError> {
        let place = Place::of(doc);
        let lock = self.open_lock(place.lock)?;
        lock.lock()?;
        self.check_in_place()?;
        let holds = match (self.read(&place)?, condition) {
            (None, Condition::Absent) => true,
            (Some(stored), Condition::Matches(expected)) => etag(&stored) == *expected,
            _ => false,
        };
        if !holds {
            return Err(SaveError::Conflict);
        }
        for subfolder in &place.subfolders {
            create_if_missing(&self.path.join(subfolder))?;
        }
        let temp_file = self.path.join(place.temp_file());
        if let Err(error) = write_synced(&temp_file, body) {
            // If it stays, the next save under this lock removes it.
            let _ = fs::remove_file(&temp_file);
            return Err(error.into());
        }
        fs::rename(&temp_file, self.path.join(&place.file)).map_err(SaveError::Unknown)?;
        self.sync(&place).map_err(SaveError::Unknown)?;
        Ok(etag(body))
    }

    /// Removes an object and says whether it was there.
    pub(super) fn delete(&self, doc: &DocId) -> Result<bool, SaveError> {
        let place = Place::of(doc);
        let lock = self.open_lock(place.lock)?;
        lock.lock()?;
        self.check_in_place()?;
        let was_there = unless_missing(fs::remove_file(self.path.join(&place.file)))?.is_some();
        if was_there {
            self.sync(&place).map_err(SaveError::Unknown)?;
        }
        Ok(was_there)
    }

    /// Calls `found` with the name and the place, relative to the folder, of
    /// each file that may be an object.
    pub(super) fn find_files(&self, mut found: impl FnMut(&str, &Path)) -> io::Result<()> {
        self.check_in_place()?;
        // With what the subfolders' names say of the object's.
        let mut folders = vec![(PathBuf::new(), String::new())];
        while let Some((folder, front)) = folders.pop() {
            for entry in fs::read_dir(self.path.join(&folder))? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(name) = name.to_str() else {
                    continue;
                };
                let place = folder.join(name);
                match subfolder_part(name) {
                    Some(part) if entry.file_type()?.is_dir() => {
                        folders.push((place, format!("{front}{part}")));
                    }
                    _ => found(&format!("{front}{name}"), &place),
                }
            }
        }
        Ok(())
    }

    fn read(&self, place: &Place) -> io::Result<Option<Bytes>> {
        let file = self.path.join(&place.file);
        let body = unless_missing(fs::read(&file)).map_err(naming(&file))?;
        Ok(body.map(Bytes::from))
    }

    /// Makes the object's name durable, and those of the subfolders it is in.
    fn sync(&self, place: &Place) -> io::Result<()> {
        for subfolder in place.subfolders.iter().rev() {
            File::open(self.path.join(subfolder))?.sync_all()?;
        }
        self.handle.sync_all()
    }

    /// Fails if the path no longer leads to the folder that was opened: a disk
    /// that is not mounted any more has no objects, but that is no absence.
    fn check_in_place(&self) -> io::Result<()> {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let now = unless_missing(fs::metadata(&self.path))?.map(identity);
        if now == Some(identity(self.handle.metadata()?)) {
            Ok(())
        } else {
            Err(io::Error::other(
                "the folder was removed, replaced or unmounted since the server started",
            ))
        }
    }

    fn open_lock(&self, lock: Lock) -> io::Result<File> {
        let file = self.path.join(lock.file());
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&file)
            .map_err(naming(&file))
    }

    /// Does all that a save does, with a file that is no object: rights, a full
    /// disk or a read-only mount show now, not when the first edit is saved.
    fn check_writable(&self) -> io::Result<()> {
        let lock = self.open_lock(PROBE_LOCK)?;
        lock.lock()?;
        let temp_file = self.path.join(PROBE_LOCK.temp_file_name());
        let file = self.path.join(PROBE_FILE);
        let written = write_synced(&temp_file, b"").and_then(|()| fs::rename(&temp_file, &file));
        if written.is_err() {
            // If it stays, the next save under this lock removes it.
            let _ = fs::remove_file(&temp_file);
        }
        written?;
        fs::remove_file(&file)?;
        self.handle.sync_all()
    }

    /// Removes the temporary files of saves that were cut off. A file whose
    /// lock is taken may belong to a save under way in another process.
    fn remove_leftovers(&self) -> io::Result<()> {
        for (temp_file, lock) in self.find_temp_files()? {
            let lock = self.open_lock(lock)?;
            match lock.try_lock() {
                Ok(()) => unless_missing(fs::remove_file(temp_file)).map(drop)?,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn find_temp_files(&self) -> io::Result<Vec<(PathBuf, Lock)>> {
        let mut found = Vec::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                match kind_of(&entry)? {
                    Some(Entry::Subfolder) => folders.push(entry.path()),
                    Some(Entry::TempFile(lock)) => found.push((entry.path(), lock)),
                    None => {}
                }
            }
        }
        Ok(found)
    }
}

impl From<io::Error> for SaveError {
    fn from(error: io::Error) -> Self {
        Self::NotWritten(error)
    }
}

enum Entry {
    Subfolder,
    TempFile(Lock),
}

fn kind_of(entry: &DirEntry) -> io::Result<Option<Entry>> {
    let name = entry.file_name();
    let Some(name) = name.to_str() else {
        return Ok(None);
    };
    if subfolder_part(name).is_some() {
        let is_folder = entry.file_type()?.is_dir();
        return Ok(is_folder.then_some(Entry::Subfolder));
    }
    Ok(Lock::of_temp_file(name).map(Entry::TempFile))
}

fn etag(body: &[u8]) -> Etag {
    Etag(HEXLOWER.encode(&Sha256::digest(body)).into())
}

/// Writes a new file and waits until its content is on the disk. What people write
/// is nobody else's to read, also where the folder is open to others.
fn write_synced(path: &Path, body: &[u8]) -> io::Result<()> {
    let written = unless_missing(fs::remove_file(path)).and_then(|_| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(body)?;
        file.sync_all()
    });
    written.map_err(naming(path))
}

/// The error with the file that it is about: one file may be another user's
/// where all others are in order.
fn naming(file: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let file = file.display().to_string();
    move |error| io::Error::new(error.kind(), format!("{file}: {error}"))
}

/// Makes a folder and those it lies in, and their names durable.
fn create_durably(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        create_if_missing(folder)?;
        let parent = folder.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn create_if_missing(folder: &Path) -> io::Result<()> {
    // What people write is nobody else's to read.
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

pub(super) fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
