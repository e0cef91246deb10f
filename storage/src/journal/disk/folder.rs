//! The folder of one journal: segments by number, `00000001.log` and so on.
//!
//! A segment comes into being whole: written under another name, synced, and
//! renamed. The oldest is always the first to go, so that a record never
//! outlives the trim that removed it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use ysyncd_engine::{
    JournalRecord,
    planted::{self, Bug},
};

use super::{
    device::{Device, DeviceFile, unless_missing},
    frame::{Head, Kind, Salt},
    index::Run,
    records::unpacked,
};

/// EIO, on every system in use: the disk cannot read it.
const UNREADABLE: i32 = 5;

/// A call to the disk that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {source}{}", path.display(), hint(source))]
pub struct DiskError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl DiskError {
    pub(super) fn of(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { verb, path, source }
    }

    pub(super) fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// What stands where records are to be.
#[derive(Debug)]
pub(super) enum Found {
    /// They do, ascending.
    Records(Vec<JournalRecord>),
    /// What is not what was written: the bytes that were found.
    Damage(Bytes),
}

/// The segments of one journal, as files.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    device: Arc<dyn Device>,
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(device: Arc<dyn Device>, path: PathBuf) -> Self {
        Self { device, path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, segment: u64) -> PathBuf {
        self.path.join(format!("{segment:08}.log"))
    }

    pub(super) fn salt(&self) -> Result<Salt, DiskError> {
        let failed = DiskError::of("draw random bytes for", &self.path);
        self.device.salt().map_err(failed)
    }

    pub(super) fn make(&self) -> Result<(), DiskError> {
        let failed = DiskError::of("make the folder", &self.path);
        self.device.create_folder(&self.path).map_err(failed)
    }

    /// The numbers of the segments, ascending.
    pub(super) fn segments(&self) -> Result<Vec<u64>, DiskError> {
        let mut segments = self.numbers(".log")?;
        segments.sort_unstable();
        Ok(segments)
    }

    pub(super) fn read(&self, segment: u64) -> Result<Vec<u8>, DiskError> {
        let file = self.file(segment);
        let read = self.device.read(&file);
        read.map_err(DiskError::of("read", &file))
    }

    /// The first `len` bytes.
    pub(super) fn read_front(&self, segment: u64, len: u64) -> Result<Vec<u8>, DiskError> {
        let file = self.file(segment);
        let len = usize::try_from(len).map_err(io::Error::other);
        let read = len.and_then(|len| self.device.read_at(&file, 0, len));
        read.map_err(DiskError::of("read back", &file))
    }

    /// Reads records where they stand.
    pub(super) fn load(&self, run: Run, salt: &Salt) -> Result<Found, DiskError> {
        let Run { span, place } = run;
        let file = self.file(place.segment);
        let bytes = match self.device.read_at(&file, place.offset, place.len) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if is_damage(&error) => Bytes::new(),
            Err(error) => return Err(DiskError::of("read", &file)(error)),
        };
        let head = Head::of_frame(&bytes, place.offset, salt);
        let found = head.and_then(|head| {
            let body = bytes.slice_ref(head.body(&bytes)?);
            match head.kind {
                Kind::Append if place.damaged => None,
                Kind::Append => {
                    let mut records = unpacked(head.span, body)?;
                    records.retain(|record| span.contains(record.position));
                    Some(Found::Records(records))
                }
                _ => Some(Found::Damage(body)),
            }
        });
        Ok(found.unwrap_or(Found::Damage(bytes)))
    }

    /// Makes a segment that holds these bytes, or replaces it: durable under
    /// its name, in a file of its own.
    pub(super) fn begin(
        &self,
        segment: u64,
        bytes: &[u8],
    ) -> Result<Box<dyn DeviceFile>, DiskError> {
        let path = self.file(segment);
        let unnamed = path.with_extension("tmp");
        let begin = || {
            let mut file = self.device.create(&unnamed)?;
            file.append(bytes)?;
            file.sync()?;
            self.device.rename(&unnamed, &path)?;
            if !planted::is(Bug::FolderUnsynced) {
                self.device.sync_folder(&self.path)?;
            }
            Ok(file)
        };
        begin().map_err(DiskError::of("write", &path))
    }

    /// Removes a segment, durably, so that none after it can be gone before.
    pub(super) fn remove(&self, segment: u64) -> Result<(), DiskError> {
        let file = self.file(segment);
        unless_missing(self.device.remove(&file))
            .and_then(|()| self.device.sync_folder(&self.path))
            .map_err(DiskError::of("remove", &file))
    }

    /// Removes what was not finished: files without a name, and segments past
    /// the last one in use.
    pub(super) fn remove_leftovers(&self, last: u64) -> Result<(), DiskError> {
        for segment in self.numbers(".tmp")? {
            let file = self.file(segment).with_extension("tmp");
            unless_missing(self.device.remove(&file)).map_err(DiskError::of("remove", &file))?;
        }
        for segment in self.segments()?.into_iter().rev() {
            if segment > last {
                self.remove(segment)?;
            }
        }
        Ok(())
    }

    /// Removes the folder with all segments. It stays if others have put
    /// files into it.
    pub(super) fn remove_all(&self) -> Result<(), DiskError> {
        for segment in self.segments()? {
            self.remove(segment)?;
        }
        self.remove_leftovers(0)?;
        match self.device.remove_folder(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                tracing::warn!(folder = %self.path.display(), "an emptied journal holds files of others");
                Ok(())
            }
            result => unless_missing(result).map_err(DiskError::of("remove", &self.path)),
        }
    }

    fn numbers(&self, suffix: &str) -> Result<Vec<u64>, DiskError> {
        let names = self.device.names(&self.path);
        let names = names.map_err(DiskError::of("list", &self.path))?;
        let number = |name: &str| name.strip_suffix(suffix)?.parse().ok();
        let is_own = |segment: &u64| *segment > 0;
        let names = names.iter().filter_map(|name| name.to_str());
        Ok(names.filter_map(number).filter(is_own).collect())
    }
}

fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error() == Some(UNREADABLE) || error.kind() == io::ErrorKind::UnexpectedEof
}

fn hint(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::PermissionDenied => "; give the server's user the right to do so",
        Kind::ReadOnlyFilesystem => "; mount it writable",
        Kind::StorageFull | Kind::QuotaExceeded => "; free some space",
        Kind::Unsupported => "; use a file system with locks",
        _ => "",
    }
}
