//! What the journal wants of a disk, and the local disk.
//!
//! All access goes through here, so that a simulated disk, which loses what
//! was not synced or fails when told to, can carry the very same journal.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, FileExt},
    path::Path,
};

/// A lock, held until it is dropped or the process ends.
pub type Lock = Box<dyn fmt::Debug + Send + Sync>;

/// Files and folders. All calls block.
///
/// What a file holds survives the loss of power once the file was synced,
/// under the name it has once the folder was synced.
pub trait Device: fmt::Debug + Send + Sync {
    /// Makes a folder and those it lies in, durably. It may exist.
    ///
    /// # Errors
    /// As the system gives them.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Names of all that lies in a folder, in any order.
    ///
    /// # Errors
    /// As the system gives them.
    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// Makes a file to append to; what was there under the name is gone.
    ///
    /// # Errors
    /// As the system gives them.
    fn create(&self, file: &Path) -> io::Result<Box<dyn DeviceFile>>;

    /// Reads a whole file.
    ///
    /// # Errors
    /// As the system gives them.
    fn read(&self, file: &Path) -> io::Result<Vec<u8>>;

    /// Reads `len` bytes at `offset`.
    ///
    /// # Errors
    /// [`ErrorKind::UnexpectedEof`] where the file is shorter.
    fn read_at(&self, file: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// Gives a file another name in its folder, in place of what had it.
    ///
    /// # Errors
    /// As the system gives them.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system gives them.
    fn remove(&self, file: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// As the system gives them.
    fn remove_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// As the system gives them.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Locks a file against others who lock it, making it if need be. `None`
    /// if somebody else holds it and `wait` is false.
    ///
    /// # Errors
    /// As the system gives them.
    fn lock(&self, file: &Path, wait: bool) -> io::Result<Option<Lock>>;

    /// Bytes that nobody can guess.
    ///
    /// # Errors
    /// As the system gives them.
    fn salt(&self) -> io::Result<[u8; 16]>;
}

/// A file that grows at its end.
pub trait DeviceFile: fmt::Debug + Send {
    /// Writes all of it at the end.
    ///
    /// # Errors
    /// As the system gives them; any part may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// As the system gives them; what was written may be gone, whatever a
    /// later call answers.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalDevice;

impl Device for LocalDevice {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let missing: Vec<_> = folder
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .collect();
        for folder in missing.into_iter().rev() {
            // What people write is nobody else's to read.
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                result => result?,
            }
            let parent = folder.parent().filter(|p| !p.as_os_str().is_empty());
            self.sync_folder(parent.unwrap_or(Path::new(".")))?;
        }
        Ok(())
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DeviceFile>> {
        // A new file even where one has the name: the old one may have failed.
        unless_missing(fs::remove_file(file))?;
        Ok(Box::new(LocalFile(File::create_new(file)?)))
    }

    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        fs::read(file)
    }

    fn read_at(&self, file: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        File::open(file)?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        fs::remove_dir(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn lock(&self, file: &Path, wait: bool) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(file)?;
        if wait {
            file.lock()?;
            return Ok(Some(Box::new(file)));
        }
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn salt(&self) -> io::Result<[u8; 16]> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        Ok(salt)
    }
}

#[derive(Debug)]
struct LocalFile(File);

impl DeviceFile for LocalFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Takes what is not there for done.
pub(super) fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
