//! Where in the folder an object lies.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use ysyncd_engine::DocId;

use crate::object_name::object_name;

/// Longest file name in bytes, on every file system in use.
const FILE_NAME_BYTES_MAX: usize = 255;

/// Part of an object's name that one subfolder holds. What follows is never
/// empty, since a name is only split where it is longer than a file name.
const PART_BYTES: usize = 250;

/// Locks that the saves of one folder share. Processes that share a folder
/// must agree on it, so it is part of the format.
const LOCKS: u8 = 64;

/// The folder of the locks. No object and no part of one has such a name:
/// objects end in `.bin`, parts in `+`.
pub(super) const LOCKS_FOLDER: &str = ".locks";

/// The file that shows whether objects can be written. It is there for a
/// moment, and no object has its name.
pub(super) const PROBE_FILE: &str = ".probe";

/// The lock that is held meanwhile.
pub(super) const PROBE_LOCK: Lock = Lock(0);

/// The place of one object, relative to the store's folder.
///
/// Two objects never have one place: joining the path's components and taking
/// the `+` away gives the object's name.
#[derive(Debug)]
pub(super) struct Place {
    /// The subfolders of a name that is too long for a file, outermost first;
    /// empty for nearly all.
    pub(super) subfolders: Vec<PathBuf>,
    /// The object itself.
    pub(super) file: PathBuf,
    /// The lock that saves of it hold.
    pub(super) lock: Lock,
}

impl Place {
    pub(super) fn of(doc: &DocId) -> Self {
        let name = object_name(doc);
        let mut subfolders = Vec::new();
        let mut folder = PathBuf::new();
        let mut rest = name.as_str();
        while rest.len() > FILE_NAME_BYTES_MAX {
            let (part, after) = rest.split_at(PART_BYTES);
            folder.push(format!("{part}+"));
            subfolders.push(folder.clone());
            rest = after;
        }
        Self {
            subfolders,
            file: folder.join(rest),
            lock: Lock(Sha256::digest(&name)[0] % LOCKS),
        }
    }

    /// Where a save writes before it renames: beside the object, under a name
    /// of its lock, so that only the holder of the lock uses it.
    pub(super) fn temp_file(&self) -> PathBuf {
        self.file.with_file_name(self.lock.temp_file_name())
    }
}

/// The part of an object's name that a subfolder stands for; `None` if a
/// subfolder of this name holds no objects.
pub(super) fn subfolder_part(name: &str) -> Option<&str> {
    name.strip_suffix('+')
}

/// One of the locks that exclude saves from each other. Each object has one of
/// a few: a lock per object would leave a file behind for each, a single one
/// would make all documents wait for each other's disk writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock(u8);

impl Lock {
    /// The file that is locked, relative to the store's folder.
    pub(super) fn file(self) -> PathBuf {
        Path::new(LOCKS_FOLDER).join(format!("{:02}", self.0))
    }

    /// The one temporary file that a folder may hold under this lock.
    pub(super) fn temp_file_name(self) -> String {
        format!(".tmp-{:02}", self.0)
    }

    /// The lock under which a file of this name was made; `None` if it is no
    /// temporary file.
    pub(super) fn of_temp_file(name: &str) -> Option<Self> {
        let number = name.strip_prefix(".tmp-")?.parse().ok()?;
        let lock = Self(number);
        (number < LOCKS && lock.temp_file_name() == name).then_some(lock)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(doc: &str) -> Place {
        Place::of(&DocId::new(doc).unwrap())
    }

    #[test]
    fn a_name_that_fits_a_file_is_the_file() {
        let longest = "a".repeat(251);
        assert_eq!(place(&longest).file, Path::new(&format!("{longest}.bin")));
        assert!(place(&longest).subfolders.is_empty());
    }

    #[test]
    fn a_longer_name_continues_in_subfolders() {
        let place = place(&"a".repeat(252));
        let subfolder = format!("{}+", "a".repeat(250));
        assert_eq!(place.subfolders, [Path::new(&subfolder)]);
        assert_eq!(place.file, Path::new(&subfolder).join("aa.bin"));
        assert_eq!(place.temp_file().parent(), Some(Path::new(&subfolder)));
    }

    #[test]
    fn temp_files_and_nothing_else_are_known_by_their_names() {
        let lock = place("a").lock;
        assert_eq!(Lock::of_temp_file(&lock.temp_file_name()), Some(lock));
        for other in [
            "a.bin",
            ".tmp-",
            ".tmp-1",
            ".tmp-+1",
            ".tmp-64",
            ".tmp-00.bin",
        ] {
            assert_eq!(Lock::of_temp_file(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_name_fits_the_file_system_and_can_be_joined_again(
            text in proptest::collection::vec(any::<char>(), 1..75),
            pad in 0usize..300,
        ) {
            let mut text = String::from_iter(text);
            let pad = pad.min(DocId::BYTES_MAX - text.len());
            text.extend(std::iter::repeat_n('x', pad));
            let doc = DocId::new(&text).unwrap();
            let place = Place::of(&doc);
            let mut joined = String::new();
            let components: Vec<_> = place.file.iter().map(|c| c.to_str().unwrap()).collect();
            let (file, folders) = components.split_last().unwrap();
            for folder in folders {
                prop_assert!(folder.len() <= FILE_NAME_BYTES_MAX);
                joined.push_str(subfolder_part(folder).unwrap());
            }
            prop_assert!(file.len() <= FILE_NAME_BYTES_MAX);
            prop_assert!(subfolder_part(file).is_none() && *file != ".bin");
            joined.push_str(file);
            prop_assert_eq!(joined, object_name(&doc));
            prop_assert_eq!(place.subfolders.len(), folders.len());
        }
    }
}
