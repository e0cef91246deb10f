//! Updates on their way to being durable, and the records of them that the
//! journal holds.
//!
//! An update is applied and relayed only once the journal has made it
//! durable. So what is in memory is durable, and nothing that is told from it
//! (a state vector, a diff, a snapshot) needs to think of it. A record is
//! forgotten once a snapshot that holds it has landed.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use bytes::{Bytes, BytesMut};

use super::{Ahead, Context, Document, NewPart, Pending, Phase};
use crate::{
    config::Config,
    effect::{Effect, Effects},
    event::Event,
    id::ConnId,
    journal::{JournalCommand, JournalError, JournalRecord, Position},
    journal_health::JournalHealth,
    marks::{self, Mark},
    planted::{self, Bug},
    protocol,
    rejection::Rejection,
    update::{DecodeError, KeptUpdate, Update},
};

/// Messages up to this size are copied when they are staged.
const COPIED_BYTES_MAX: usize = 512;

/// How large the rooms are that they are copied to, at most.
const ROOM_BYTES_MAX: usize = 4 << 10;

/// Updates past which no more are read from those who send them, however small they
/// are: each takes some 500 bytes on its way. It is as many as one commit takes; more
/// would wait for that, and leave the processor's caches meanwhile.
const STAGED_MAX: usize = 4_096;

/// What of a document is on its way to the journal or in it.
#[derive(Debug, Default)]
pub(super) struct Staging {
    queue: VecDeque<Staged>,
    bytes: usize,
    /// Room for copies of small messages, while there are any.
    room: BytesMut,
    ahead: Ahead,
    /// The last position that was given to a record.
    issued: Position,
    /// The last record that was applied.
    applied: Position,
    /// The last record that a landed snapshot holds, with all before it.
    covered: Position,
    trimmed: Position,
    /// What the journal is forgetting.
    trimming: Option<Position>,
    /// Whether that should be kept by now, if it still can.
    regrets: bool,
    /// Connections that are not read from until there is room.
    paused: BTreeSet<ConnId>,
    /// Records that were read and wait for the snapshot to be.
    replay: Vec<JournalRecord>,
}

/// An update on its way to the journal.
#[derive(Debug)]
struct Staged {
    from: ConnId,
    update: KeptUpdate,
    /// Whether it is kept in the frame that it came in, which holds nothing else.
    is_frame: bool,
    position: Position,
    opens_gap: bool,
    is_part: bool,
    /// What it brings that is counted as long as it is on its way.
    opens: Pending,
    types: usize,
    since: Duration,
}

/// An update of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received<'a> {
    pub(super) from: ConnId,
    /// The frame that it came in, if that holds nothing else.
    pub(super) whole: Option<&'a Bytes>,
    /// How many clients it tells of that had not written when it came.
    pub(super) newcomers: usize,
    /// Whether something in it follows what is unknown.
    pub(super) opens_gap: bool,
    /// Whether it is what was taken of an update, and the rest of that was refused.
    pub(super) is_part: bool,
}

impl Staging {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether an update is on its way in just these words.
    pub(super) fn has(&self, update: &[u8]) -> bool {
        let mut staged = self.queue.iter();
        staged.any(|staged| staged.update.bytes() == update)
    }

    /// Bytes of updates that are not durable yet.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether so much waits that no more is to be read.
    fn is_full(&self, config: &Config) -> bool {
        self.bytes > config.staged_bytes_max || self.queue.len() > STAGED_MAX
    }

    /// Whether there is room to read on, once it was full.
    fn has_room(&self, config: &Config) -> bool {
        self.bytes <= config.staged_bytes_max / 2 && self.queue.len() <= STAGED_MAX / 2
    }

    /// What the document will know once all that is staged is applied.
    pub(super) const fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// These records are to be applied on top of the snapshot.
    pub(super) fn will_replay(&mut self, records: Vec<JournalRecord>) {
        self.replay = records;
    }

    /// A connection is gone.
    pub(super) fn closed(&mut self, conn: ConnId) {
        self.paused.remove(&conn);
    }

    /// The snapshot that held records is gone. What the journal is forgetting
    /// cannot be held up.
    pub(super) const fn uncover(&mut self) {
        self.regrets = self.trimming.is_some();
        self.covered = match self.trimming {
            Some(through) => through,
            None => self.trimmed,
        };
    }

    /// When the oldest update came that is not durable yet.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.queue.front().map(|staged| staged.since)
    }

    /// The last record that is part of the document.
    pub(super) const fn applied(&self) -> Position {
        self.applied
    }

    /// Whether the journal may hold records of the document.
    pub(super) fn holds_records(&self) -> bool {
        self.trimmed < self.issued || !self.replay.is_empty()
    }

    /// Whether the journal is doing something for the document.
    pub(super) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || self.trimming.is_some()
    }

    pub(super) fn check(&self) {
        assert!(self.trimmed <= self.covered && self.covered <= self.applied);
        assert!(self.applied <= self.issued);
        let bytes = self.queue.iter().map(|staged| staged.update.bytes().len());
        assert_eq!(self.bytes, bytes.sum::<usize>());
        let positions = self.queue.iter().map(|staged| staged.position);
        assert!(positions.is_sorted() && self.queue.iter().all(|s| s.position > self.applied));
    }

    fn push(
        &mut self,
        cx: Context<'_>,
        update: &Update<'_>,
        (opens, types): (Pending, usize),
        received: Received<'_>,
        kept: Bytes,
    ) -> Position {
        self.issued.0 += 1;
        let position = self.issued;
        self.bytes += update.bytes().len();
        self.queue.push_back(Staged {
            from: received.from,
            update: KeptUpdate::new(kept, update),
            is_frame: received.whole.is_some(),
            position,
            opens_gap: received.opens_gap,
            is_part: received.is_part,
            opens,
            types,
            since: cx.now,
        });
        position
    }

    /// An update to be kept, with the frame that it came in if that holds nothing else:
    /// in room of the document's own if it is small. What it came in is the transport's
    /// buffer, of which it is a small part: as long as that is in use, another has to be
    /// had for the next message, and that may be no larger than it.
    fn keep(&mut self, frame: &Bytes, update: &[u8], received: Received<'_>) -> Bytes {
        let kept = received.whole.map_or(update, |whole| whole);
        let is_small_part = kept.len() < frame.len() / 2;
        if kept.len() > COPIED_BYTES_MAX && !is_small_part {
            return frame.slice_ref(kept);
        }
        if self.room.capacity() < kept.len() {
            // The more is waiting, the more will.
            let bytes = self.bytes.min(ROOM_BYTES_MAX).max(kept.len());
            self.room = BytesMut::with_capacity(bytes);
        }
        self.room.extend_from_slice(kept);
        self.room.split().freeze()
    }

    fn pop(&mut self) -> Option<Staged> {
        let staged = self.queue.front()?;
        self.bytes -= staged.update.bytes().len();
        self.ahead.arrived(staged.opens, staged.types);
        if self.queue.len() == 1 {
            self.room = BytesMut::new();
            if !planted::is(Bug::AheadNotReset) {
                self.ahead = Ahead::default();
            }
        }
        // Last, and looked at where it comes to lie: it is large enough for moves to
        // cost.
        self.queue.pop_front()
    }
}

impl Document {
    /// Has an update made durable; it is applied when it is.
    pub(super) fn stage(
        &mut self,
        cx: Context<'_>,
        update: &Update<'_>,
        opens: Pending,
        received: Received<'_>,
        frame: &Bytes,
        out: &mut Effects,
    ) {
        let from = received.from;
        let kept = self.staging.keep(frame, update.bytes(), received);
        let bytes = kept.slice(kept.len() - update.bytes().len()..);
        let types = self
            .state
            .expect(update, opens, received.newcomers, &mut self.staging.ahead);
        if planted::is(Bug::SentBeforeDurable) {
            self.send_update(cx, Some(from), protocol::update(&bytes), out);
        }
        if planted::is(Bug::PublishedBeforeDurable) {
            self.publish_update(cx, Some(from), &protocol::update(&bytes), out);
        }
        let position = self
            .staging
            .push(cx, update, (opens, types), received, kept);
        let doc = self.id.clone();
        out.push(Effect::Journal(JournalCommand::Append {
            doc,
            position,
            update: bytes,
        }));
        if self.staging.is_full(cx.config) && self.staging.paused.insert(from) {
            marks::hit(Mark::Pause);
            out.push(Effect::Pause(from));
        }
    }

    /// The journal has made so many staged updates durable, the oldest first, or has
    /// failed to.
    pub(crate) fn appended(
        &mut self,
        cx: Context<'_>,
        appended: &Result<(), JournalError>,
        records: usize,
        out: &mut Effects,
    ) {
        marks::hit_if(Mark::AppendedTogether, || records > 1 && appended.is_ok());
        marks::hit_if(Mark::FailedTogether, || records > 1 && appended.is_err());
        let is_skipped = records > 1 && planted::is(Bug::SharedAnswerSkipsLast);
        for left in (usize::from(is_skipped)..records).rev() {
            let appended = match left > 0 && planted::is(Bug::SharedFailureIgnored) {
                true => &Ok(()),
                false => appended,
            };
            self.appended_one(cx, appended, out);
        }
        self.resume(cx, out);
        self.forget_covered(cx, out);
        if self.phase == Phase::Draining && !self.is_retrying() {
            self.save_now(out);
        }
        self.leave_if_drained(out);
    }

    fn appended_one(
        &mut self,
        cx: Context<'_>,
        appended: &Result<(), JournalError>,
        out: &mut Effects,
    ) {
        let staged = self.staging.pop();
        let staged = staged.as_ref();
        let staged = staged.expect("each append has one result, in order");
        let is_here = || self.connections.contains_key(&staged.from);
        match appended {
            Ok(()) if planted::is(Bug::StagedCancelled) && !is_here() => {}
            _ if appended.is_ok() || planted::is(Bug::AppliedThoughFailed) => {
                marks::hit_if(Mark::AppendedAfterClose, || !is_here());
                self.staging.applied = staged.position;
                let received = Received {
                    from: staged.from,
                    whole: staged.is_frame.then(|| staged.update.kept()),
                    newcomers: 0,
                    opens_gap: staged.opens_gap,
                    is_part: staged.is_part,
                };
                let before = self.state.clients();
                self.take(cx, &staged.update.update(), received, out);
                let came = self.state.clients() - before;
                self.staging.ahead.have_come(came);
            }
            _ if is_here() => {
                self.refuse_update(cx, staged.from, Rejection::NotDurable, out);
            }
            // Who sent it is gone, and brings it along when coming back.
            _ => marks::hit(Mark::FailedAfterClose),
        }
    }

    /// Applies an update that is durable, or as durable as it gets, and tells
    /// it to the others.
    pub(super) fn take(
        &mut self,
        cx: Context<'_>,
        update: &Update<'_>,
        received: Received<'_>,
        out: &mut Effects,
    ) {
        self.leave_out_lagging(cx);
        let applied = self.state.apply_decoded(update);
        let bytes = update.bytes().len();
        if applied.new_part == NewPart::Nothing {
            marks::hit(Mark::NothingNew);
            if cx.journal != JournalHealth::Off {
                marks::hit(Mark::RecordedAgain);
                self.recorded_again(bytes);
            }
            return;
        }
        self.forget_join();
        if let Some(connection) = self.connections.get_mut(&received.from) {
            if !received.is_part {
                connection.refusals = 0;
            }
            if received.opens_gap {
                self.ask_for_gap(cx, received.from);
            }
        }
        self.changed(cx, bytes);
        let (conn, is_recorded) = (received.from, cx.journal != JournalHealth::Off);
        let position = is_recorded.then_some(self.staging.applied);
        out.push(Effect::Event(Event::UpdateApplied {
            conn,
            bytes,
            position,
        }));
        let as_it_came = || match received.whole {
            Some(whole) => whole.clone(),
            None => protocol::update(update.bytes()),
        };
        self.relay(cx, Some(received.from), &applied, as_it_came, out);
    }

    /// Applies the records of the journal on top of the snapshot. Returns how
    /// many there were.
    ///
    /// # Errors
    /// A record is no valid update; the journal keeps it.
    pub(super) fn replay(&mut self, cx: Context<'_>) -> Result<usize, DecodeError> {
        let records = std::mem::take(&mut self.staging.replay);
        marks::hit_if(Mark::ReplayWithRecords, || !records.is_empty());
        let skipped = usize::from(planted::is(Bug::ReplaySkipsLast));
        for record in records.iter().take(records.len().saturating_sub(skipped)) {
            if let Err(error) = self.replay_one(cx, record) {
                marks::hit(Mark::JournalDamaged);
                self.staging.replay = records;
                return Err(error);
            }
        }
        Ok(records.len())
    }

    fn replay_one(&mut self, cx: Context<'_>, record: &JournalRecord) -> Result<(), DecodeError> {
        let applied = self.state.apply(&record.update)?;
        if !planted::is(Bug::PositionsReused) {
            self.staging.issued = record.position;
            self.staging.applied = record.position;
        }
        if applied.new_part == NewPart::Nothing {
            marks::hit(Mark::ReplayKnown);
        } else if !planted::is(Bug::ReplayedNotUnsaved) {
            self.changed(cx, record.update.len());
        }
        Ok(())
    }

    /// A snapshot has landed that holds all records up to here.
    pub(super) fn cover(&mut self, cx: Context<'_>, through: Position, out: &mut Effects) {
        self.staging.covered = self.staging.covered.max(through);
        self.staging.regrets = false;
        self.forget_covered(cx, out);
    }

    /// Has the journal forget what landed snapshots hold, and what it failed
    /// to take, which may be there all the same.
    pub(super) fn forget_covered(&mut self, cx: Context<'_>, out: &mut Effects) {
        if cx.journal != JournalHealth::Works {
            return;
        }
        if !self.is_unsaved() {
            if self.staging.is_empty() {
                self.staging.applied = self.staging.issued;
            }
            self.staging.covered = self.staging.applied;
        }
        let through = self.staging.covered;
        if self.staging.trimming.is_some() || through <= self.staging.trimmed {
            return;
        }
        marks::hit(Mark::TrimCovered);
        marks::hit_if(Mark::TrimWhileStaged, || !self.staging.is_empty());
        self.staging.trimming = Some(through);
        let doc = self.id.clone();
        out.push(Effect::Journal(JournalCommand::Trim { doc, through }));
    }

    /// The journal has forgotten what it was told to, or has failed to.
    pub(crate) fn trimmed(
        &mut self,
        cx: Context<'_>,
        trimmed: &Result<(), JournalError>,
        out: &mut Effects,
    ) {
        let through = self.staging.trimming.take();
        let regrets = std::mem::take(&mut self.staging.regrets);
        if trimmed.is_ok() || planted::is(Bug::TrimFailureIgnored) {
            self.staging.trimmed = through.expect("each trim has one result");
            self.forget_covered(cx, out);
        } else if regrets {
            self.staging.covered = self.staging.trimmed;
        }
        self.leave_if_drained(out);
    }

    /// Reads on from those who had to wait, once there is room again.
    fn resume(&mut self, cx: Context<'_>, out: &mut Effects) {
        let has_room = self.staging.has_room(cx.config);
        if !has_room || self.staging.paused.is_empty() || planted::is(Bug::NeverResumed) {
            return;
        }
        let paused = std::mem::take(&mut self.staging.paused);
        marks::hit(Mark::Resume);
        out.extend(paused.into_iter().map(Effect::Resume));
    }
}
