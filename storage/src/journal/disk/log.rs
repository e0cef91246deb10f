//! A log of records: appends, reads, and gives space back. It blocks.
//!
//! A record is first written and synced, then in the index. After a call has
//! failed the log answers none until `reopen`, which copies what the current
//! segment held at the last success into a new file: only there may the disk
//! have dropped something, as all others were synced before the next was begun.
//!
//! What was answered before it is durable is kept in memory too, until it is:
//! a sync that fails may drop it. `secure` then writes it anew, whether or not
//! anybody calls.

use std::{collections::BTreeMap, mem};

use ysyncd_engine::{
    DocId, JournalError, JournalRecord,
    marks::{self, Mark},
    planted::{self, Bug},
};

use super::{
    device::DeviceFile,
    folder::{DiskError, Folder, Found},
    frame::{Head, Header, Kind},
    index::{Index, Place, Run},
    records::{Copied, Span, Write, by_frame, packed},
    recovery::{Recovered, Segment},
    segment::mend,
};
use crate::journal::JournalWrite;

/// Less would be little more than headers.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Room for frames that is not given back. What one turn takes seldom needs more.
const FRAMES_BYTES_KEPT: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Log {
    folder: Folder,
    target: String,
    /// A segment is closed once it is longer.
    segment_bytes: u64,
    segments: BTreeMap<u64, Segment>,
    index: Index,
    /// The last segment, open for appends.
    file: Box<dyn DeviceFile>,
    /// Whether it is to be replaced before anything else: a sync of it has
    /// failed, and the next one would succeed without having done anything.
    is_file_bad: bool,
    /// How much of it is durable.
    synced: u64,
    /// What stands there after that.
    unsynced: Vec<u8>,
    /// How much of it a frame after it declares durable.
    declared: u64,
    /// Room for frames, and for a body that records share, used again.
    frames: Vec<u8>,
    body: Vec<u8>,
    failed: Option<String>,
}

impl Log {
    /// Takes a folder into use, from what was read in it.
    pub(super) fn open(
        folder: Folder,
        target: String,
        segment_bytes: u64,
        recovered: Recovered,
    ) -> Result<Self, DiskError> {
        let Recovered {
            mut segments,
            index,
            ..
        } = recovered;
        folder.make()?;
        let (number, mut last, bytes) = match segments.pop_last() {
            // It may never have been synced, even where it can be read.
            Some((number, last)) => {
                let bytes = folder.read_front(number, last.len)?;
                (number, last, bytes)
            }
            None => {
                let header = Header {
                    salt: folder.salt()?,
                    number: 1,
                    previous_len: 0,
                    target: target.clone(),
                };
                let bytes = header.encode();
                (1, Segment { header, len: 0 }, bytes)
            }
        };
        folder.remove_leftovers(number)?;
        let file = rewrite(&folder, number, &mut last, bytes)?;
        let len = last.len;
        segments.insert(number, last);
        Ok(Self {
            folder,
            target,
            segment_bytes: segment_bytes.max(SEGMENT_BYTES_MIN),
            segments,
            index,
            file,
            is_file_bad: false,
            synced: len,
            unsynced: Vec::new(),
            declared: len,
            frames: Vec::new(),
            body: Vec::new(),
            failed: None,
        })
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.len).sum()
    }

    /// Bytes of frames that were answered, and that the disk failed to make
    /// durable.
    pub(super) fn at_risk_bytes(&self) -> u64 {
        match self.is_file_bad {
            true => self.unsynced.len() as u64,
            false => 0,
        }
    }

    /// Carries out writes, durably if `sync`.
    pub(super) fn commit(
        &mut self,
        writes: &[JournalWrite],
        sync: bool,
    ) -> Result<(), JournalError> {
        self.unless_failed(|log| log.append(writes, sync))
    }

    /// Makes durable what was answered, even where calls have failed since.
    /// If it cannot, the next call tries again before it does anything.
    pub(super) fn secure(&mut self) -> Result<(), DiskError> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        if !self.is_file_bad {
            let Err(error) = self.sync_file() else {
                return Ok(());
            };
            let bytes = self.at_risk_bytes();
            tracing::error!(%error, bytes, "the disk failed to make durable what the journal has acknowledged; it is written anew");
        }
        self.replace_file()?;
        tracing::warn!("what the journal has acknowledged is durable after all");
        Ok(())
    }

    pub(super) fn documents(&mut self) -> Result<Vec<DocId>, JournalError> {
        self.unless_failed(|log| Ok(log.index.docs().cloned().collect()))
    }

    pub(super) fn read(&mut self, doc: &DocId) -> Result<Vec<JournalRecord>, JournalError> {
        let runs: Vec<_> = self.index.runs(doc).collect();
        let mut records = Vec::new();
        let mut damage = None;
        for run in runs {
            match self.unless_failed(|log| log.load(run))? {
                Found::Records(found) => records.extend(found),
                Found::Damage(_) => damage = Some(run),
            }
        }
        let Some(run) = damage else {
            return self.unless_failed(|_| Ok(records));
        };
        let file = self.folder.file(run.place.segment);
        let (span, offset, file) = (run.span, run.place.offset, file.display());
        tracing::error!(%doc, %span, %file, offset, "records of the journal are damaged; the document is not served");
        let damage = format!("{span}, in {file} at byte {offset}");
        Err(JournalError::Damaged(damage))
    }

    /// Gives back space that trimmed records took, and begins a new segment
    /// when it is time. If it fails, the log has failed.
    pub(super) fn tidy(&mut self) {
        let _ = self.unless_failed(Self::reclaim);
    }

    /// Starts anew after a failure.
    pub(super) fn reopen(&mut self) -> Result<(), JournalError> {
        if self.failed.is_some() {
            let result = match planted::is(Bug::TornFileKept) {
                true => self.good_file(),
                false => self.replace_file(),
            };
            marks::hit_if(Mark::DiskReopened, || result.is_ok());
            self.failed = result.as_ref().err().map(ToString::to_string);
        }
        self.unless_failed(|_| Ok(()))
    }

    /// Makes all durable, and leaves word that nothing was torn. If only the
    /// latter fails nothing is lost.
    pub(super) fn close(&mut self) {
        if let Err(error) = self.secure() {
            let bytes = self.at_risk_bytes();
            tracing::error!(%error, bytes, "the journal ends with acknowledged edits that the disk does not take; the loss of power loses those that no snapshot holds");
        }
        if self.declared < self.last().1.len {
            let _ = self.unless_failed(|log| {
                log.sync_file()?;
                let (number, segment) = log.last();
                let mut bytes = Vec::new();
                declare_synced(segment, segment.len, &mut bytes);
                let written = log.file.append(&bytes).and_then(|()| log.file.sync());
                written.map_err(DiskError::of("write to", &log.folder.file(number)))
            });
        }
    }

    /// Writes frames after all others, durably if `sync`.
    pub(super) fn append(&mut self, writes: &[impl Write], sync: bool) -> Result<(), DiskError> {
        let mut bytes = mem::take(&mut self.frames);
        bytes.clear();
        let mut places = Vec::new();
        let (number, last) = self.last();
        let (salt, len) = (last.header.salt, last.len);
        for frame in by_frame(writes) {
            let (start, offset) = (bytes.len(), len + bytes.len() as u64);
            let (entry, body) = packed(frame, &mut self.body);
            let head = Head::new(entry.kind, Some(entry.doc), entry.span, self.synced, body);
            head.write(body, &salt, offset, &mut bytes);
            let place = Place {
                segment: number,
                offset,
                len: bytes.len() - start,
                span: entry.span,
                damaged: entry.kind == Kind::Damage,
            };
            places.push((entry.kind, entry.doc, place));
        }
        let file = self.folder.file(number);
        let written = self.file.append(&bytes);
        written.map_err(DiskError::of("write to", &file))?;
        if sync && !planted::is(Bug::AnsweredBeforeSync) {
            self.sync_written()?;
        }
        self.last_mut().len += bytes.len() as u64;
        match sync {
            true => self.all_synced(),
            false => self.unsynced.extend_from_slice(&bytes),
        }
        if bytes.capacity() <= FRAMES_BYTES_KEPT {
            self.frames = bytes;
        }
        for (kind, doc, place) in places {
            match kind {
                Kind::Append | Kind::Damage => self.index.insert(doc, place),
                Kind::Trim => self.index.trim(doc, place.span.last),
                Kind::Synced => {}
            }
        }
        Ok(())
    }

    fn sync_file(&mut self) -> Result<(), DiskError> {
        if self.synced < self.last().1.len {
            self.sync_written()?;
            self.all_synced();
        }
        Ok(())
    }

    fn sync_written(&mut self) -> Result<(), DiskError> {
        let mut synced = self.file.sync();
        if synced.is_err() && planted::is(Bug::FailedSyncRepeated) {
            synced = self.file.sync();
        }
        self.is_file_bad |= synced.is_err();
        let file = self.folder.file(self.last().0);
        synced.map_err(DiskError::of("sync", &file))
    }

    fn all_synced(&mut self) {
        self.synced = self.last().1.len;
        self.unsynced = Vec::new();
    }

    fn reclaim(&mut self) -> Result<(), DiskError> {
        if self.last().1.len > self.segment_bytes {
            self.begin_segment()?;
        }
        // Once through all; copies go to the last and to those after it.
        let (last, _) = self.last();
        while let Some(oldest) = self.segments.keys().copied().find(|n| *n < last) {
            if self.index.live_in(oldest) > 0 && !self.is_wasteful() {
                break;
            }
            self.copy_live(oldest)?;
            marks::hit(Mark::SegmentRemoved);
            self.folder.remove(oldest)?;
            self.segments.remove(&oldest);
            if self.last().1.len > self.segment_bytes {
                self.begin_segment()?;
            }
        }
        Ok(())
    }

    /// Whether less than half of what is more than two segments is in use.
    fn is_wasteful(&self) -> bool {
        self.size_bytes() > 2 * self.index.live() + 2 * self.segment_bytes
    }

    fn begin_segment(&mut self) -> Result<(), DiskError> {
        marks::hit(Mark::SegmentBegun);
        self.sync_file()?;
        let (number, last) = self.last();
        let number = number + 1;
        let header = Header {
            salt: self.folder.salt()?,
            number,
            previous_len: last.len,
            target: self.target.clone(),
        };
        self.file = self.folder.begin(number, &header.encode())?;
        let len = header.len() as u64;
        self.segments.insert(number, Segment { header, len });
        self.all_synced();
        self.declared = len;
        Ok(())
    }

    /// Writes the records of a segment once more, at the end, durably.
    fn copy_live(&mut self, segment: u64) -> Result<(), DiskError> {
        let (mut copied, mut bytes) = (Vec::new(), 0);
        for (doc, run) in self.index.in_segment(segment) {
            copied.extend(Copied::from(&doc, run.span, self.load(run)?));
            // As long as one of its records is here, all that was read is.
            bytes += run.place.len;
            if bytes > COPY_BYTES {
                self.append(&mem::take(&mut copied), true)?;
                bytes = 0;
            }
        }
        if copied.is_empty() {
            // What has replaced records there has to be durable first.
            return self.sync_file();
        }
        marks::hit(Mark::SegmentCopied);
        self.append(&copied, !planted::is(Bug::CopiesUnsynced))
    }

    pub(super) fn load(&self, run: Run) -> Result<Found, DiskError> {
        let salt = self.segments[&run.place.segment].header.salt;
        self.folder.load(run, &salt)
    }

    /// Puts a new file in the place of the last one, with all that was
    /// answered: what was durable as the disk has it, the rest from memory.
    fn replace_file(&mut self) -> Result<(), DiskError> {
        self.is_file_bad = true;
        let (number, last) = self.last();
        self.folder.remove_leftovers(number)?;
        let mut bytes = self.folder.read_front(number, self.synced)?;
        let runs = self.index.in_segment(number).into_iter();
        let places = runs.map(|(doc, run)| (doc, run.place));
        let places: Vec<_> = places
            .filter(|(_, place)| place.offset < self.synced)
            .collect();
        for (doc, place) in mend(&mut bytes, &last.header, &places) {
            tracing::error!(%doc, span = %place.span, "records of the journal were lost when the disk failed");
            self.index.mark_damaged(&doc, place);
        }
        bytes.extend(&self.unsynced);
        let (folder, last) = (self.folder.clone(), self.last_mut());
        self.file = rewrite(&folder, number, last, bytes)?;
        marks::hit_if(Mark::DiskTailKept, || !self.unsynced.is_empty());
        self.all_synced();
        self.declared = self.synced;
        self.is_file_bad = false;
        Ok(())
    }

    fn unless_failed<T>(
        &mut self,
        operation: impl FnOnce(&mut Self) -> Result<T, DiskError>,
    ) -> Result<T, JournalError> {
        let failed = match &self.failed {
            Some(failed) => failed.clone(),
            None => match self.good_file().and_then(|()| operation(self)) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    marks::hit(Mark::DiskWriteFailed);
                    self.failed.insert(error.to_string()).clone()
                }
            },
        };
        Err(JournalError::Failed(failed))
    }

    fn good_file(&mut self) -> Result<(), DiskError> {
        match self.is_file_bad {
            true => self.replace_file(),
            false => Ok(()),
        }
    }

    fn last(&self) -> (u64, &Segment) {
        let last = self.segments.last_key_value();
        let (number, segment) = last.expect("it has one always");
        (*number, segment)
    }

    fn last_mut(&mut self) -> &mut Segment {
        let last = self.segments.values_mut().next_back();
        last.expect("it has one always")
    }
}

/// Gives a segment a new file with these bytes, all of them declared durable.
fn rewrite(
    folder: &Folder,
    number: u64,
    segment: &mut Segment,
    mut bytes: Vec<u8>,
) -> Result<Box<dyn DeviceFile>, DiskError> {
    declare_synced(segment, bytes.len() as u64, &mut bytes);
    let file = folder.begin(number, &bytes)?;
    segment.len = bytes.len() as u64;
    Ok(file)
}

fn declare_synced(segment: &Segment, offset: u64, out: &mut Vec<u8>) {
    let head = Head::new(Kind::Synced, None, Span::NONE, offset, &[]);
    head.write(&[], &segment.header.salt, offset, out);
}
