//! Moments that a batch of simulated runs has to reach, each by a name.
//!
//! A simulation that never meets a conflict proves nothing of conflicts. So the
//! rare branches here and in the adapters are marked, `marks::hit(Mark::…)`,
//! and the simulator counts. Without the feature `marks`, which the simulator
//! alone turns on, nothing is counted and the product holds nothing of it.
//! With or without, marks change nothing of what is done.

pub use self::counting::*;

macro_rules! marks {
    ($($(#[doc = $what:literal])+ $mark:ident = $name:literal,)+) => {
        /// A moment worth reaching.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mark {
            $($(#[doc = $what])+ $mark,)+
        }

        impl Mark {
            /// Every mark.
            pub const ALL: &[Self] = &[$(Self::$mark),+];

            /// Whether it is in the engine, and not in what drives it.
            #[must_use]
            pub fn is_in_engine(self) -> bool {
                self < Self::PartialWrite
            }

            /// What it is called.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$mark => $name,)+
                }
            }
        }
    };
}

marks! {
    // Saving.
    /// A save met a conflict, and what is stored holds all that is here.
    OwnWrite412 = "own_write_412",
    /// A save met a conflict with what another writer stored.
    ForeignConflictMerged = "foreign_conflict_merged",
    /// A save of unknown outcome turned out to have landed.
    UnknownOutcomeLanded = "unknown_outcome_landed",
    /// A save of unknown outcome turned out not to have landed.
    UnknownOutcomeLost = "unknown_outcome_lost",
    /// The object that was last read or written is gone.
    ObjectVanished = "object_vanished",
    /// The object of a live document was found damaged.
    StoredDamaged = "stored_damaged",
    /// Changes came during a save, and wait for the next.
    CoalescedSave = "coalesced_save",
    /// The store failed several times in a row.
    SaveRetried = "save_retried",
    /// A document had to wait for its turn at the store.
    StoreTurnWaited = "store_turn_waited",
    /// Another writer's object, with more in it, held all that is here.
    SavedByMerge = "saved_by_merge",

    // Loading.
    /// A document could not be loaded.
    LoadFailed = "load_failed",
    /// A stored object was found damaged on loading.
    Undecodable = "undecodable",
    /// A document's records were found damaged.
    JournalDamaged = "journal_damaged",
    /// A document was opened that was being loaded.
    OpenWhileLoading = "open_while_loading",
    /// A document was opened that was about to leave.
    OpenWhileDraining = "open_while_draining",
    /// Records were replayed into a document.
    ReplayWithRecords = "replay_with_records",
    /// A record was replayed that the snapshot held already.
    ReplayKnown = "replay_known",

    // The journal.
    /// The journal failed.
    JournalFailed = "journal_failed",
    /// The journal worked again.
    JournalReopened = "journal_reopened",
    /// The journal could not be reopened.
    ReopenFailed = "reopen_failed",
    /// The journal was told to forget what a snapshot holds.
    TrimCovered = "trim_covered",
    /// The journal was told to forget some records of a document while others
    /// were on their way.
    TrimWhileStaged = "trim_while_staged",
    /// Several updates of a document became durable with one answer.
    AppendedTogether = "appended_together",
    /// Several updates of a document were not made durable with one answer.
    FailedTogether = "failed_together",
    /// One answer of the journal was to writes of several documents.
    AnswerToSeveral = "answer_to_several",
    /// An update became durable after its sender had gone.
    AppendedAfterClose = "appended_after_close",
    /// An update was not made durable, and its sender had gone.
    FailedAfterClose = "failed_after_close",
    /// An update was made durable that by then told nothing new.
    RecordedAgain = "recorded_again",
    /// A document was loaded only to be brought into the store.
    PushFromBacklog = "push_from_backlog",
    /// A document left for the journal, as the store did not take it.
    PushedGaveWay = "pushed_gave_way",

    // Memory.
    /// A document left before its time to make room.
    EvictedForRoom = "evicted_for_room",
    /// A document was not opened as there was no room.
    RefusedFull = "refused_full",
    /// A document left while the journal held something of it.
    LeftJournaled = "left_journaled",

    // The bus between nodes.
    /// Documents were subscribed to again as the bus came up.
    BusSubscribedAgain = "bus_subscribed_again",
    /// A message of the bus was not taken.
    BusRefused = "bus_refused",
    /// One's own message came back.
    BusOwnEcho = "bus_own_echo",
    /// A node was heard of in a life that is over.
    BusStale = "bus_stale",
    /// Something came by the bus for a document that was about to leave memory.
    BusMissed = "bus_missed",
    /// Such a document was opened again, and told what it held so as to be told
    /// the rest.
    BusCaughtUp = "bus_caught_up",
    /// A node was heard of in another life than before.
    BusNextLife = "bus_next_life",
    /// An update came by the bus that told something new.
    BusApplied = "bus_applied",
    /// One came that told nothing new.
    BusNothingNew = "bus_nothing_new",
    /// One came that opened a gap.
    BusGap = "bus_gap",
    /// Something was too large for the bus.
    BusTooLarge = "bus_too_large",
    /// Awareness of another node's client was taken.
    BusAwareness = "bus_awareness",
    /// Not all that a node tells of who is there has room here.
    BusAwarenessUnshown = "bus_awareness_unshown",
    /// A digest was not told, as another node had just told the same.
    DigestSpared = "digest_spared",
    /// A node asked for what another has.
    DifferenceAsked = "difference_asked",
    /// What a node was to ask for had come meanwhile.
    DifferenceGone = "difference_gone",
    /// A node did not ask, as another one had asked that has the same.
    AskingSpared = "asking_spared",
    /// Two nodes each had something that the other had not.
    BothLack = "both_lack",
    /// A node told another what that lacked.
    DifferenceTold = "difference_told",
    /// What was missing came.
    BusHealed = "bus_healed",
    /// Another node's snapshot was found to hold all that is here.
    SavedAdopted = "saved_adopted",
    /// Another node's snapshot was found to hold what was here some time before.
    SavedAdoptedInPart = "saved_adopted_in_part",
    /// The store was read as another node had written.
    StoreLookedInto = "store_looked_into",

    // Updates that are not taken at once.
    /// An update was refused as too much waited to be saved.
    RefusedNotSaved = "refused_not_saved",
    /// An update was refused as the journal did not work.
    RefusedNotDurable = "refused_not_durable",
    /// An update was refused as too much waited for what never came.
    RefusedGaps = "refused_gaps",
    /// Of an update that was refused for that, what waits for nothing was taken.
    TakenWithoutGaps = "taken_without_gaps",
    /// An update was ignored that built on one that was refused.
    IgnoredOwing = "ignored_owing",
    /// A client was asked for what had been refused.
    ResyncAsked = "resync_asked",
    /// A client was not asked yet for what had been refused, for want of room.
    ResyncPutOff = "resync_put_off",
    /// A document was looked at to see how deep its types stand in each other.
    NestingLookedAt = "nesting_looked_at",
    /// An update was refused as types stood too deep in each other.
    RefusedNesting = "refused_nesting",
    /// An update was refused as its document was full.
    RefusedFullDocument = "refused_full_document",
    /// A document was written as it was full of what had been deleted.
    SavedToMakeRoom = "saved_to_make_room",
    /// A client was asked for what was missing before what it sent.
    ResyncGap = "resync_gap",
    /// A connection was not read from any more.
    Pause = "pause",
    /// A connection was read from again.
    Resume = "resume",

    // Syncing.
    /// A `SyncStep1` came before the one before it was answered.
    Step1Replaced = "step1_replaced",
    /// A `SyncStep1` was answered on a connection that was in step.
    Step1Again = "step1_again",
    /// A part of a struct was written.
    DiffSliced = "diff_sliced",
    /// Clients that came together got the same answer.
    JoinShared = "join_shared",
    /// A connection read too slowly, and was left out.
    Lagged = "lagged",
    /// A connection that had lagged was told the updates that it missed.
    CaughtUp = "caught_up",
    /// A connection that had lagged was told who is there.
    CaughtUpAwareness = "caught_up_awareness",
    /// A connection was closed as it did not read at all.
    StallClose = "stall_close",
    /// An update was refused as documents took too much memory.
    RefusedMemoryFull = "refused_memory_full",
    /// A connection was closed as it read too slowly while others waited.
    LateClose = "late_close",
    /// A connection went before its transport had let go of a large answer.
    AnswerOutlived = "answer_outlived",
    /// Who waited for a large answer was sent a sign of life.
    WaitingKeptAlive = "waiting_kept_alive",
    /// All were left out of something large, to be told when it is their turn.
    LargeLeftOut = "large_left_out",
    /// There was no room to keep what a connection knows.
    KnownForgotten = "known_forgotten",
    /// Who was left out together shared what they missed.
    MissedShared = "missed_shared",
    /// Somebody waited for a large answer because of what was on its way to all.
    AnswersFull = "answers_full",
    /// Somebody waited for a large answer because of what was on its way to the
    /// same user.
    AnswersOfUserFull = "answers_of_user_full",
    /// Who waited for a large answer had come to lag when its turn came.
    AnswerTurnMissed = "answer_turn_missed",
    /// A quiet connection was sent a sign of life.
    KeepaliveSent = "keepalive_sent",
    /// An update was relayed as it came.
    CanonicalRelay = "canonical_relay",
    /// The new part of an update was relayed.
    SlicedRelay = "sliced_relay",
    /// An update told nothing new.
    NothingNew = "nothing_new",
    /// What had come too early was relayed once more.
    ResendCausality = "resend_causality",

    // Content.
    /// A struct came whose predecessor is unknown.
    GapOpened = "gap_opened",
    /// A gap was closed.
    GapFilled = "gap_filled",
    /// A gap was told.
    SkipWritten = "skip_written",
    /// A delete came of what is unknown.
    PendingDelete = "pending_delete",
    /// A struct came that had been deleted before.
    PendingDeleteResolved = "pending_delete_resolved",
    /// Two structs were joined.
    Squash = "squash",
    /// Two blocks became one, as what was missing between them came.
    BlocksJoined = "blocks_joined",
    /// Two structs were not joined, as they may be values of a map's key.
    MapEntryNotSquashed = "map_entry_not_squashed",
    /// Two structs were not joined, as their right origins differ.
    RightOriginsDiffer = "right_origins_differ",
    /// Compaction dropped deleted content.
    DeletedContentDropped = "deleted_content_dropped",
    /// Compaction split a struct of which a part was deleted.
    PartlyDeletedSplit = "partly_deleted_split",
    /// Compaction made garbage of what a deleted type held.
    ChildToGc = "child_to_gc",
    /// Only the last unit of a map entry was kept.
    Superseded = "superseded",
    /// A cut went through a surrogate pair.
    SurrogateCut = "surrogate_cut",

    // Awareness.
    /// A connection spoke for an id that was another's.
    AwarenessTakeover = "awareness_takeover",
    /// What is said of who is there has to wait, as much was told of late.
    AwarenessWaits = "awareness_waits",
    /// Somebody says something of a client for whom another user's connection speaks.
    AwarenessSomeoneElses = "awareness_someone_elses",
    /// A state was not shown, as its user shows as much as it may.
    AwarenessOfUserFull = "awareness_of_user_full",
    /// A connection repeated what it had been told.
    AwarenessEcho = "awareness_echo",
    /// A message was a repetition and nothing else.
    Repeated = "repeated",
    /// A connection said that another's id had left.
    AwarenessForeignNull = "awareness_foreign_null",
    /// A client said itself that it left.
    AwarenessOwnerNull = "awareness_owner_null",
    /// A silent client was taken for gone.
    AwarenessExpired = "awareness_expired",
    /// One who left was forgotten early, to keep room.
    AwarenessForgotten = "awareness_forgotten",

    // Rights.
    /// Somebody who may only read sent an update.
    UpdateForbidden = "update_forbidden",
    /// A connection was closed because its time was over.
    TokenExpired = "token_expired",

    // The end.
    /// The server ended with changes that are lost.
    DrainedUnsaved = "drained_unsaved",
    /// The server ended with changes that only the journal holds.
    DrainedJournaled = "drained_journaled",
    /// The server ended as its time was up.
    ShutdownDeadline = "shutdown_deadline",

    // Sockets.
    /// A socket took a part of a write.
    PartialWrite = "partial_write",
    /// More was read from a socket than its reader took.
    ReadAhead = "read_ahead",
    /// A client was not read from, as it did not read our pongs.
    ChokedReader = "choked_reader",
    /// What was written for a connection did not all fit into its socket.
    FlushPending = "flush_pending",
    /// A request for a document was refused.
    HandshakeRefused = "handshake_refused",
    /// A client broke the WebSocket framing.
    BrokenFraming = "broken_framing",
    /// A connection was closed with messages still queued.
    CloseBehindQueue = "close_behind_queue",
    /// A connection's task ended without a word.
    LinkDropped = "link_dropped",
    /// A connection goes on in another shard than where it was accepted.
    HandedOver = "handed_over",
    /// A client goes while the engine of another shard has not answered yet.
    GoneBeforeAnswer = "gone_before_answer",
    /// A client was slowed down, as it sent too fast.
    SlowedDown = "slowed_down",
    /// A user was slowed down, as all of its connections together sent too fast.
    UserSlowedDown = "user_slowed_down",
    /// A client was closed that went on sending too fast.
    CutForRate = "cut_for_rate",
    /// A client was cut off that had not even answered pings.
    CutForSilence = "cut_for_silence",
    /// A message was not read on, as too many had come in part.
    HeldForRoom = "held_for_room",
    /// A client was closed whose message took too long to come.
    MessageLate = "message_late",
    /// A request was refused as there were too many connections.
    ConnectionLimit = "connection_limit",
    /// An alarm was moved up.
    AlarmMovedUp = "alarm_moved_up",
    /// Several writes went to the journal in one commit.
    JournalBatch = "journal_batch",

    // Stores and the disk.
    /// S3 answered 412.
    S3Conflict412 = "s3_conflict_412",
    /// S3 answered that two conditional writes met.
    S3Conflict409 = "s3_conflict_409",
    /// S3 answered that there is no such object.
    S3NotFound = "s3_not_found",
    /// S3 answered 404 to a conditional write.
    S3VanishedOnSave = "s3_vanished_on_save",
    /// Something answered 404 that may not be the store.
    S3Absent404 = "s3_absent_404",
    /// S3 refused.
    S3Denied = "s3_denied",
    /// S3 asked to come back later.
    S3Passing = "s3_passing",
    /// S3 failed inside.
    S3Failed5xx = "s3_failed_5xx",
    /// No answer of S3 came back.
    S3Lost = "s3_lost",
    /// S3 could not be reached.
    S3Unreachable = "s3_unreachable",
    /// S3 took too long to answer a load.
    S3LoadTimeout = "s3_load_timeout",
    /// S3 took too long to answer a save.
    S3SaveTimeout = "s3_save_timeout",
    /// S3 sent a part of a body.
    S3TruncatedBody = "s3_truncated_body",
    /// The journal's disk failed to take a write or to sync it.
    DiskWriteFailed = "disk_write_failed",
    /// The journal began a new file after a failure.
    DiskReopened = "disk_reopened",
    /// What was acknowledged and not durable when the journal's disk failed was
    /// written anew from memory.
    DiskTailKept = "disk_tail_kept",
    /// Several commits were synced together.
    DiskTurnOfSeveral = "disk_turn_of_several",
    /// The journal ended in a write that was cut off.
    DiskTornEnd = "disk_torn_end",
    /// The journal began another file.
    SegmentBegun = "segment_begun",
    /// Records were copied out of a file of the journal.
    SegmentCopied = "segment_copied",
    /// A file of the journal was removed.
    SegmentRemoved = "segment_removed",
    /// The journal of a process that is gone was taken over.
    JournalAdopted = "journal_adopted",
}

#[cfg(feature = "marks")]
mod counting {
    use std::{
        array,
        cell::RefCell,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
    };

    use super::Mark;

    type Counters = [AtomicU64; Mark::ALL.len()];

    thread_local! {
        static COUNTERS: RefCell<Arc<Counters>> = RefCell::new(Arc::new(array::from_fn(|_| AtomicU64::new(0))));
    }

    /// Counts a moment that was reached.
    pub fn hit(mark: Mark) {
        COUNTERS.with_borrow(|counters| {
            counters[mark as usize].fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Counts a moment if it was reached, where that is not known anyway.
    pub fn hit_if(mark: Mark, is_reached: impl FnOnce() -> bool) {
        if is_reached() {
            hit(mark);
        }
    }

    /// What was counted on this thread, and on those that count along with it,
    /// since it was last asked.
    #[must_use]
    pub fn take() -> Marks {
        COUNTERS.with_borrow(|counters| Marks {
            counts: array::from_fn(|at| counters[at].swap(0, Ordering::Relaxed)),
        })
    }

    /// How often each moment was reached.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Marks {
        counts: [u64; Mark::ALL.len()],
    }

    impl Marks {
        /// How often a moment was reached.
        #[must_use]
        pub const fn count(&self, mark: Mark) -> u64 {
            self.counts[mark as usize]
        }

        /// Each moment, and how often it was reached.
        pub fn iter(&self) -> impl Iterator<Item = (Mark, u64)> {
            Mark::ALL.iter().map(|mark| (*mark, self.count(*mark)))
        }

        /// Adds what was counted elsewhere.
        pub fn add(&mut self, other: &Self) {
            for (count, other) in self.counts.iter_mut().zip(other.counts) {
                *count += other;
            }
        }
    }

    impl Default for Marks {
        fn default() -> Self {
            Self {
                counts: [0; Mark::ALL.len()],
            }
        }
    }

    /// The counters of a thread, for one that it starts to count along.
    #[derive(Debug, Clone)]
    pub struct Tally(Arc<Counters>);

    /// The counters of this thread.
    #[must_use]
    pub fn here() -> Tally {
        COUNTERS.with_borrow(|counters| Tally(Arc::clone(counters)))
    }

    impl Tally {
        /// Has this thread count along.
        pub fn join(self) {
            COUNTERS.set(self.0);
        }
    }
}

#[cfg(not(feature = "marks"))]
mod counting {
    use super::Mark;

    /// Does nothing, in this build.
    #[inline(always)]
    pub const fn hit(_: Mark) {}

    /// Does nothing, in this build.
    #[inline(always)]
    pub fn hit_if(_: Mark, _: impl FnOnce() -> bool) {}

    /// The counters of a thread: none, in this build.
    #[derive(Debug, Clone)]
    pub struct Tally(());

    /// The counters of this thread.
    #[inline(always)]
    #[must_use]
    pub const fn here() -> Tally {
        Tally(())
    }

    impl Tally {
        /// Has this thread count along.
        #[inline(always)]
        pub fn join(self) {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mark_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Mark::ALL.iter().map(|mark| mark.name()).collect();
        assert_eq!(names.len(), Mark::ALL.len());
    }

    #[cfg(feature = "marks")]
    #[test]
    fn what_is_hit_is_counted_until_taken() {
        hit(Mark::Squash);
        hit(Mark::Squash);
        hit_if(Mark::Pause, || false);
        let here = here();
        let elsewhere = std::thread::spawn(move || {
            hit(Mark::Resume);
            here.join();
            hit(Mark::Squash);
        });
        elsewhere.join().unwrap();
        let mut marks = take();
        let hits: Vec<_> = marks.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(hits, [(Mark::Squash, 3)]);
        assert_eq!(take(), Marks::default());
        let more = marks.clone();
        marks.add(&more);
        assert_eq!(marks.count(Mark::Squash), 6);
    }
}
