//! What a journal's folder holds, read from its segments. Changes nothing.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    folder::{DiskError, Folder},
    frame::{Head, Header, Kind, Salt},
    index::{Index, Place},
    segment::{Frame, Unreadable, scan},
};

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecoveryError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{} is damaged at byte {offset}", file.display())]
    Damaged { file: PathBuf, offset: u64 },
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) header: Header,
    /// Length without a torn end.
    pub(super) len: u64,
}

/// The journal of a folder.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) segments: BTreeMap<u64, Segment>,
    pub(super) index: Index,
    /// How many bytes at the end of the last segment were torn.
    pub(super) torn_bytes: u64,
}

impl Recovered {
    pub(super) fn read(folder: &Folder) -> Result<Self, RecoveryError> {
        let mut recovered = Self::default();
        let numbers = folder.segments()?;
        let mut next = Self::read_segment(folder, numbers.first().copied())?;
        for (n, number) in numbers.iter().enumerate() {
            let (bytes, header) = next.take().expect("there is one more number");
            next = Self::read_segment(folder, numbers.get(n + 1).copied())?;
            // After one that somebody moved away, the length is not known.
            let durable_len = next.as_ref().map(|(_, after)| {
                let follows = after.number == number + 1;
                let len = usize::try_from(after.previous_len).ok();
                len.filter(|_| follows).unwrap_or(bytes.len())
            });
            let scan = scan(&bytes, &header, durable_len).map_err(|Unreadable(offset)| {
                RecoveryError::Damaged {
                    file: folder.file(*number),
                    offset: offset as u64,
                }
            })?;
            for frame in &scan.frames {
                recovered.apply(*number, frame);
            }
            recovered.torn_bytes = (bytes.len() - scan.end) as u64;
            let len = scan.end as u64;
            recovered.segments.insert(*number, Segment { header, len });
        }
        Ok(recovered)
    }

    /// Where the records belong; `None` if there are no segments.
    pub(super) fn target(&self) -> Option<&str> {
        let last = self.segments.last_key_value()?;
        Some(&last.1.header.target)
    }

    /// Where the records of a folder belong, as far as it can be told.
    pub(super) fn target_of(folder: &Folder) -> Option<String> {
        let numbers = folder.segments().ok()?;
        let read = |n: &u64| Some(Self::read_segment(folder, Some(*n)).ok()??.1.target);
        numbers.iter().find_map(read)
    }

    pub(super) fn salt(&self, segment: u64) -> &Salt {
        &self.segments[&segment].header.salt
    }

    fn read_segment(
        folder: &Folder,
        number: Option<u64>,
    ) -> Result<Option<(Vec<u8>, Header)>, RecoveryError> {
        let Some(number) = number else {
            return Ok(None);
        };
        let bytes = folder.read(number)?;
        let header = Header::decode(&bytes).filter(|header| header.number == number);
        let damaged = || RecoveryError::Damaged {
            file: folder.file(number),
            offset: 0,
        };
        let header = header.ok_or_else(damaged)?;
        Ok(Some((bytes, header)))
    }

    fn apply(&mut self, segment: u64, frame: &Frame) {
        let Head {
            kind,
            doc: Some(doc),
            span,
            ..
        } = &frame.head
        else {
            return;
        };
        if *kind == Kind::Trim {
            return self.index.trim(doc, span.last);
        }
        self.index.insert(
            doc,
            Place {
                segment,
                offset: frame.offset as u64,
                len: frame.len,
                span: *span,
                damaged: *kind == Kind::Damage || !frame.intact,
            },
        );
    }
}
