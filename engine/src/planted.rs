//! Mistakes planted on purpose, to prove that simulation finds such.
//!
//! Each is one that somebody might make some day, at the place where it would
//! be made: `if planted::is(Bug::DirtyFlagCleared)`. Without the feature
//! `mutants`, which the simulator alone turns on, [`is`] is false at compile
//! time and the product holds nothing of them. With it, nothing is wrong
//! either before `set` is called.

use std::{fmt, str::FromStr, time::Duration};

pub use self::planting::*;

macro_rules! bugs {
    ($($(#[doc = $what:literal])+ $bug:ident = $name:literal,)+) => {
        /// A mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $($(#[doc = $what])+ $bug,)+
        }

        impl Bug {
            /// Every mistake.
            pub const ALL: &[Self] = &[$(Self::$bug),+];

            /// What it is called on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)+
                }
            }

            /// Whether it is made in the engine, and not in what drives it.
            #[must_use]
            pub fn is_in_engine(self) -> bool {
                self < Self::PartialWriteLost
            }

            /// Whether nothing comes of it but that something takes too long.
            #[must_use]
            pub const fn is_slow(self) -> bool {
                matches!(
                    self,
                    Self::InterleavedTakenWhole
                        | Self::DeletesSearchedThrough
                        | Self::BlocksLeftApart
                )
            }

            /// What goes wrong, in a sentence.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$bug => concat!($($what),+).trim_start(),)+
                }
            }
        }
    };
}

bugs! {
    // Durability.
    /// A save that lands marks everything as saved, what changed while it was
    /// under way included.
    DirtyFlagCleared = "dirty_flag_cleared",
    /// Each change puts the next save off, however long the first unsaved one
    /// has waited.
    DebounceWithoutLimit = "debounce_without_limit",
    /// After a conflict the etag is fetched and the save repeated, without
    /// taking in what the other writer wrote.
    ConflictOverwritten = "conflict_overwritten",
    /// The etag of an object that was read again is not kept, so that every
    /// later save meets a conflict.
    StaleEtagKept = "stale_etag_kept",
    /// The etag of an object that is gone is kept, so that it is never written
    /// again.
    VanishedEtagKept = "vanished_etag_kept",
    /// An object that holds all there is here is merged and written again
    /// instead of being adopted.
    OwnWriteTakenAsForeign = "own_write_taken_as_foreign",
    /// What is stored is taken to hold everything that is here, without
    /// looking.
    AdoptedUnchecked = "adopted_unchecked",
    /// Whether a stored state holds ours is told from its structs, without the
    /// deletes.
    AdoptedWithoutDeletes = "adopted_without_deletes",
    /// A save whose outcome nobody knows counts as landed.
    UnknownTakenForSuccess = "unknown_taken_for_success",
    /// A conflict counts as an error, which is answered by ever longer pauses.
    ConflictBacksOff = "conflict_backs_off",
    /// A change while the store is failing sets a new time for the next try.
    BackoffCutShort = "backoff_cut_short",
    /// After some failures in a row no further try is planned.
    TimerLostAfterBackoff = "timer_lost_after_backoff",
    /// A save is begun while one of the same document is under way.
    WrittenTwice = "written_twice",
    /// What another writer stored is taken in and not told to the clients.
    ForeignStateNotTold = "foreign_state_not_told",
    /// A document that could not be loaded is served as an empty one.
    LoadErrorTakenForAbsence = "load_error_taken_for_absence",
    /// A stored object that is damaged is served as an empty document, and
    /// overwritten.
    UndecodableTakenForEmpty = "undecodable_taken_for_empty",
    /// Who opens a document that is being loaded is let in at once.
    ServedWhileLoading = "served_while_loading",
    /// Who waited for a document that cannot be loaded gets no answer.
    WaitersForgotten = "waiters_forgotten",

    // The journal.
    /// An update is relayed when it comes, before the journal has it.
    SentBeforeDurable = "sent_before_durable",
    /// An update whose sender has gone by the time it is durable is dropped.
    StagedCancelled = "staged_cancelled",
    /// An update that the journal failed to take is applied all the same.
    AppliedThoughFailed = "applied_though_failed",
    /// Once a save has landed the journal forgets up to the last record applied
    /// by then, not by when the body was encoded.
    TrimmedAtLanding = "trimmed_at_landing",
    /// Records that the journal failed to forget count as forgotten.
    TrimFailureIgnored = "trim_failure_ignored",
    /// After a restart, records get positions that those of the earlier life
    /// have.
    PositionsReused = "positions_reused",
    /// The last record of the journal is not replayed.
    ReplaySkipsLast = "replay_skips_last",
    /// A document whose records are damaged is served without them.
    DamageTakenForEmpty = "damage_taken_for_empty",
    /// Of several updates of a document that became durable with one answer the last
    /// one is not applied.
    SharedAnswerSkipsLast = "shared_answer_skips_last",
    /// Of updates of a document that failed with one answer only the last counts as
    /// failed.
    SharedFailureIgnored = "shared_failure_ignored",
    /// Updates of a document are taken to follow each other though those of another
    /// one are among them, and some of these get no answer.
    RunPastAnother = "run_past_another",
    /// What the journal forgets amid updates counts as one of them if they share an
    /// answer.
    TrimTakenForAppend = "trim_taken_for_append",
    /// A journal that could not be reopened once is not tried again.
    ReopenGivenUp = "reopen_given_up",
    /// What the journal holds when the server starts is left there until
    /// somebody opens the document.
    BacklogNotPushed = "backlog_not_pushed",
    /// Bytes that a document in the backlog stood for still count after it was
    /// brought back.
    BacklogBytesLeak = "backlog_bytes_leak",

    // Updates that are not taken at once.
    /// A client whose update was refused is never asked for it again.
    RefusedNotAsked = "refused_not_asked",
    /// A client is asked for what was refused before there is room for it.
    AskedWithoutRoom = "asked_without_room",
    /// A client whose update opens a gap is not asked for what is missing.
    GapNotAsked = "gap_not_asked",
    /// A connection that is not read from is never read from again.
    NeverResumed = "never_resumed",
    /// Updates are taken however much waits to be saved.
    UnsavedUnbounded = "unsaved_unbounded",
    /// Updates are taken however many gaps they open.
    GapsUnbounded = "gaps_unbounded",
    /// Of an update that opens too many gaps, nothing is taken.
    GapsRefusedWhole = "gaps_refused_whole",
    /// Of an update that opens too many gaps, what is deleted is taken, known or not.
    DeletesTakenWithoutGaps = "deletes_taken_without_gaps",

    // The life of a document.
    /// A document leaves memory with changes that are saved nowhere.
    UnsavedLeft = "unsaved_left",
    /// A document leaves memory while the journal is still to take some of it.
    LeftWhileStaged = "left_while_staged",
    /// A document that is about to leave and is opened again is loaded a second
    /// time.
    DoubleInstance = "double_instance",
    /// The code of a document panics now and then, in the middle of handling
    /// something.
    DocumentPanics = "document_panics",
    /// An answer of the store goes to the document that has waited longest.
    AnswersInOrder = "answers_in_order",
    /// A save that fails never gives back its turn at the store.
    TurnLeaked = "turn_leaked",
    /// A shutdown ends when the last connection has gone, before the last save
    /// has landed.
    DrainedEarly = "drained_early",
    /// What the journal has not taken yet is not listed as unsaved when the
    /// server ends.
    StagedCalledDurable = "staged_called_durable",
    /// What only the journal holds of documents that have left memory is not
    /// listed when the server ends.
    BacklogNotListed = "backlog_not_listed",

    // Syncing.
    /// A diff takes the peer's clocks for what it knows last, and begins one
    /// after.
    OffByOneInDiff = "off_by_one_in_diff",
    /// A connection gets updates from its own `SyncStep2` on, not from the
    /// answer to its `SyncStep1`.
    SubscribedAtStep2 = "subscribed_at_step2",
    /// Only the first `SyncStep1` of a connection is answered.
    SecondStep1Ignored = "second_step1_ignored",
    /// An update that is all new is relayed as it came, canonical or not.
    CanonicalUnchecked = "canonical_unchecked",
    /// An update is relayed as it came if anything in it is new.
    PartRelayedWhole = "part_relayed_whole",
    /// What came before what it builds on is not relayed once more after that.
    ResendMissing = "resend_missing",
    /// The answer kept for those who know nothing is given when it is out of
    /// date.
    StaleJoin = "stale_join",
    /// What a connection missed while it lagged is not made up for.
    FrameDropped = "frame_dropped",
    /// What a connection knows that lags is noted only when it has missed the
    /// first update.
    LagNotedLate = "lag_noted_late",
    /// Who has caught up is not told who is there.
    CaughtUpUnaware = "caught_up_unaware",
    /// A connection that reads nothing keeps its place.
    StalledKept = "stalled_kept",
    /// One connection may speak of any number of bytes of awareness.
    AwarenessUnbounded = "awareness_unbounded",
    /// A user shows more presence by several connections than it may.
    AwarenessOfUserUnbounded = "awareness_of_user_unbounded",
    /// Who joins is told who was there some time ago.
    StaleAwareness = "stale_awareness",
    /// What is large is sent to all at once.
    LargeSentToAll = "large_sent_to_all",
    /// Answers are sent however many are on their way.
    AnswersUnbounded = "answers_unbounded",
    /// Answers to connections that are gone count for ever.
    AnswersLeak = "answers_leak",
    /// Answers to connections that are gone count no more, though their
    /// transports have not let go of them.
    AnswersFreedAtClose = "answers_freed_at_close",
    /// Who reads a large answer byte by byte is not closed, though others wait.
    LateKept = "late_kept",
    /// Who waits for a large answer is not kept alive.
    WaitingNotKeptAlive = "waiting_not_kept_alive",
    /// Who never reads an answer is not closed.
    AnswerStallIgnored = "answer_stall_ignored",
    /// A full document refuses what only deletes, too.
    DeletesRefusedWhenFull = "deletes_refused_when_full",
    /// A document takes an update if it is not full yet, however large that is.
    FullSeenLate = "full_seen_late",
    /// Documents grow however much memory all take together.
    GrowthUnbounded = "growth_unbounded",
    /// What connections know is kept however many wait.
    KnownUnbounded = "known_unbounded",
    /// Clients are counted only where they have written alone.
    ClientsUncounted = "clients_uncounted",
    /// Clients are not counted whose first updates wait for the journal.
    StagedClientsUncounted = "staged_clients_uncounted",
    /// A connection that does not read is sent ever more.
    LagUnseen = "lag_unseen",
    /// A connection that the engine closed stays among those that are sent to.
    SentAfterClose = "sent_after_close",
    /// A malformed message is dropped and its connection stays open.
    BadInputIgnored = "bad_input_ignored",
    /// A quiet connection is sent a sign of life once and never again.
    KeepaliveOnce = "keepalive_once",

    // Content.
    /// Deletes of a client are ignored if some of that client are known
    /// already.
    DeleteSetNotMerged = "delete_set_not_merged",
    /// An update without new structs is taken to tell nothing new.
    DeleteOnlyIgnored = "delete_only_ignored",
    /// Deletes of what is not known yet are dropped.
    PendingDeletesDropped = "pending_deletes_dropped",
    /// Deleted ranges that are joined end where the new one does, however far
    /// the old ones reached.
    DeletesJoinedShort = "deletes_joined_short",
    /// No Skip is written for a gap, so that what follows gets the clocks of
    /// the gap.
    SkippedSkip = "skipped_skip",
    /// What waits behind a gap is neither saved nor told to joiners.
    GapRunsNotEncoded = "gap_runs_not_encoded",
    /// The state vector goes to the last struct of a client, over gaps.
    StateVectorCoversGaps = "state_vector_covers_gaps",
    /// The part of a struct that begins in its middle keeps the origin of the
    /// whole.
    SlicedOriginKept = "sliced_origin_kept",
    /// Cutting a text counts a character beyond the BMP as one UTF-16 unit.
    AstralCountedOnce = "astral_counted_once",
    /// Structs that continue each other are joined though their right origins
    /// differ.
    SquashedAcrossRightOrigins = "squashed_across_right_origins",
    /// Successive values of a map's key are joined like text.
    MapEntriesSquashed = "map_entries_squashed",
    /// Compaction makes garbage of what follows deleted content, as if it were
    /// inside of it.
    DeletedTakenForGarbage = "deleted_taken_for_garbage",
    /// Compaction drops all of a struct of which a part is deleted.
    PartlyDeletedDropped = "partly_deleted_dropped",

    // Awareness.
    /// A connection that goes takes along the ids that another one has taken
    /// over from it.
    AwarenessWrongOwner = "awareness_wrong_owner",
    /// Nobody is told who left with a connection that the engine closed.
    AwarenessKeptOnClose = "awareness_kept_on_close",
    /// A state with a lower clock replaces one with a higher.
    AwarenessClockBack = "awareness_clock_back",
    /// Who repeats a state is taken for the one it is of.
    AwarenessEchoOwns = "awareness_echo_owns",
    /// A client that only repeats itself expires as if it were silent.
    AwarenessLiveExpired = "awareness_live_expired",
    /// Who joins is not told who is there.
    AwarenessJoinerUntold = "awareness_joiner_untold",

    /// What is said of who is there, and has to wait, is told only with the next.
    PresenceLeftUntold = "presence_left_untold",
    /// Whoever says something new of a client speaks for it, whoever did before.
    AwarenessStolen = "awareness_stolen",

    // Rights.
    /// Updates of those who may only read are taken.
    ReadersWrite = "readers_write",
    /// Those who may only read are asked for what they know.
    ReadersAsked = "readers_asked",
    /// Connections stay open when their time is over.
    ExpiryIgnored = "expiry_ignored",
    /// Once a connection was closed because its time was over, those that end
    /// later stay.
    ExpiryOnce = "expiry_once",

    // By somebody who has not seen the oracle.
    /// What was on its way to the journal once counts as on its way for ever.
    AheadNotReset = "ahead_not_reset",
    /// An answer to a `SyncStep1` counts against what may be on its way to a
    /// connection.
    AnswerCounted = "answer_counted",
    /// That a stored object is gone is noted only after its etag is forgotten,
    /// so that what nothing but memory holds is taken to be in the journal.
    StoredForgottenFirst = "stored_forgotten_first",
    /// Who gave up waiting for a document is let in when it is there.
    GivenUpLetIn = "given_up_let_in",
    /// A document that leaves memory with records in the journal is remembered
    /// only if the journal held some when it came.
    LeftWithoutEntry = "left_without_entry",
    /// What was replayed from the journal counts as saved.
    ReplayedNotUnsaved = "replayed_not_unsaved",
    /// Of those that wait for ids of a client only who waits for the lowest is
    /// looked at when they come.
    OnlyFirstWoken = "only_first_woken",
    /// Once nobody is found silent, nobody looks for silent clients before
    /// another one tells something new.
    AwarenessUnwatched = "awareness_unwatched",
    /// Each connection that is let in puts off the next sign of life for all
    /// others.
    KeepalivePutOff = "keepalive_put_off",

    // The bus between nodes.
    /// What comes by the bus is published again.
    BusEchoed = "bus_echoed",
    /// When the bus is up again, nobody subscribes to the documents in memory.
    NotSubscribedAgain = "not_subscribed_again",
    /// What is told of several users is said to be the first one's.
    BusUsersMixed = "bus_users_mixed",
    /// Of clients of other nodes nobody knows whose they are.
    StolenOverBus = "stolen_over_bus",
    /// What a node said in an earlier life is taken to be of this one.
    BusStaleTaken = "bus_stale_taken",
    /// A document that is about to leave memory goes on taking what other nodes
    /// say, and stays.
    DrainingTakes = "draining_takes",
    /// A document that is opened again as it was about to leave memory never asks
    /// for what it missed.
    MissedNotAskedFor = "missed_not_asked_for",
    /// Digests say nothing of deletes.
    DigestWithoutDeletes = "digest_without_deletes",
    /// Digests say nothing of what stands behind gaps.
    DigestWithoutGaps = "digest_without_gaps",
    /// Digests are told to those who join, and never again.
    DigestToldOnce = "digest_told_once",
    /// What another node has written is taken to hold all that is here.
    SavedAdoptedUnchecked = "saved_adopted_unchecked",
    /// What came by the bus is left to others to save, whatever becomes of them.
    ForeignNeverSaved = "foreign_never_saved",
    /// A document leaves memory with what came by the bus, which nobody may have
    /// saved.
    ForeignLeft = "foreign_left",
    /// An update is published when it comes, before the journal has it.
    PublishedBeforeDurable = "published_before_durable",
    /// What comes by the bus is not told to the clients here.
    BusUntold = "bus_untold",
    /// A node that joins is not told who is there.
    BusJoinerUntold = "bus_joiner_untold",
    /// Clients of another node that is gone are shown for ever.
    BusAwarenessKept = "bus_awareness_kept",

    // By a reviewer who changed the engine by hand.
    /// Of what is unsaved a quarter counts.
    UnsavedUndercounted = "unsaved_undercounted",
    /// A change is saved at once, however soon the next one comes.
    DebounceIgnored = "debounce_ignored",
    /// A document leaves memory as soon as nobody has it open.
    IdleGraceIgnored = "idle_grace_ignored",
    /// Who was refused an update is told so each time.
    RefusalToldEachTime = "refusal_told_each_time",
    /// How long the oldest update waits that would be lost now is not told.
    OldestUndurableUntold = "oldest_undurable_untold",
    /// Deleted content is dropped though it is to be kept.
    GcFalseIgnored = "gc_false_ignored",
    /// Frames are taken however large they are.
    FrameUnbounded = "frame_unbounded",
    /// State vectors are taken however many clients they tell of.
    StateVectorUnbounded = "state_vector_unbounded",

    // By a stranger, and missed at first.
    /// A null with a higher clock counts, whoever says it.
    ForeignNullCounts = "foreign_null_counts",
    /// What is on its way to the journal does not count towards a document's size.
    StagedUncountedInSize = "staged_uncounted_in_size",
    /// A write that failed takes what changed meanwhile for the oldest change.
    UnsavedAgeRestarts = "unsaved_age_restarts",
    /// An update of another node leaves the answer as it is that is kept for who joins.
    JoinKeptOverBus = "join_kept_over_bus",
    /// The word `undefined` is taken for JSON wherever JSON stands.
    UndefinedIsJson = "undefined_is_json",
    /// That there is no such bucket is taken for there being no such document.
    NoBucketTakenForAbsence = "no_bucket_taken_for_absence",
    /// A node speaks on the bus for the clients of others, too.
    OthersSpokenFor = "others_spoken_for",
    /// What is on its way to the journal is taken for known when it comes again.
    StagedTakenForKnown = "staged_taken_for_known",
    /// What a client sent right behind its request is lost on its way to another
    /// shard.
    AheadLost = "ahead_lost",
    /// What nobody was told may be repeated at no cost, too.
    RepeatsUncounted = "repeats_uncounted",
    /// What the bus has taken still counts as waiting for it.
    BusQueueLeaks = "bus_queue_leaks",

    // By the next stranger, and missed at first.
    /// Large documents wait longer to be saved also where there is no journal.
    LargeOnesWaitUnjournaled = "large_ones_wait_unjournaled",
    /// A document of the journal that is put off, memory being short, is not tried
    /// again.
    PutOffForgotten = "put_off_forgotten",

    // What takes time with the square of a message, or with all that there is, and does
    // right otherwise.
    /// Sections of one client that interleave are taken in one after the other.
    InterleavedTakenWhole = "interleaved_taken_whole",
    /// A deleted range is looked for from the first on.
    DeletesSearchedThrough = "deletes_searched_through",
    /// Blocks stay apart when the gap between them is filled.
    BlocksLeftApart = "blocks_left_apart",

    // Sockets.
    /// What a socket did not take of a write is not written again.
    PartialWriteLost = "partial_write_lost",
    /// What was read from a socket beyond the reader's buffer is lost.
    MessageCutShort = "message_cut_short",
    /// A close frame goes out before the messages that were queued before it.
    CloseOvertakes = "close_overtakes",
    /// A connection that is not to be read from is read from.
    PauseIgnored = "pause_ignored",
    /// The engine is not told what a socket has taken.
    WrittenUntold = "written_untold",
    /// The engine is not told of a connection whose task was dropped.
    ClosedUntold = "closed_untold",
    /// The engine is not told that what a connection had still to write is let
    /// go of.
    FreedUntold = "freed_untold",
    /// A write that is made for a connection has nobody woken when its socket
    /// takes no more.
    FlushUnwatched = "flush_unwatched",
    /// A connection that closes leaves its last writes to those that write for
    /// open ones.
    ClosingLeftToOthers = "closing_left_to_others",
    /// Who was not read from while it did not read is not read from again.
    ChokedForEver = "choked_for_ever",
    /// An alarm that is set is not moved up when something is due earlier.
    AlarmNotMovedUp = "alarm_not_moved_up",
    /// The answer to a ping that was read last goes out behind the close frame.
    PongBehindClose = "pong_behind_close",
    /// Of the writes that fail in one commit only the first is told.
    OnlyFirstAnswerFails = "only_first_answer_fails",
    /// What answers several writes names the first of them.
    AnswerNamesFirst = "answer_names_first",

    /// Who was slowed down once stays so, however long it rests.
    ThrottleNeverRefills = "throttle_never_refills",
    /// A user who was slowed down once stays so, on all connections.
    UserNeverRefills = "user_never_refills",
    /// That a client is slowed down counts anew each time it is looked at.
    SlowedAnew = "slowed_anew",
    /// Control frames may be sent as fast as anybody likes.
    ControlFramesUncounted = "control_frames_uncounted",
    /// Who is not read from as it sends too fast is taken to be silent.
    SlowedTakenForSilent = "slowed_taken_for_silent",
    /// What had come of a message still counts when its connection is gone.
    UnfinishedLeaks = "unfinished_leaks",
    /// How long a message takes is counted from the first one on.
    MessageTimedFromFirst = "message_timed_from_first",
    /// A message may take for ever to come.
    MessageUntimed = "message_untimed",
    /// Who answers no pings is kept for ever.
    SilenceIgnored = "silence_ignored",
    /// A connection's place stays taken when it is gone.
    PlaceKept = "place_kept",
    /// The first of several engines is told of all that the journal holds, also of
    /// documents that are others'.
    JournalToFirstShard = "journal_to_first_shard",
    /// A client that goes before the engine of another shard has answered stays
    /// known there.
    ReservationKept = "reservation_kept",
    /// How other shards stand is not looked at.
    OthersNotLookedAt = "others_not_looked_at",

    // Stores and the disk.
    /// Snapshots are put into the bucket without a condition.
    UnconditionalPut = "unconditional_put",
    /// A save that meets another version than expected is reported as done.
    ConflictTakenForSuccess = "conflict_taken_for_success",
    /// Any 404 means that a document has no snapshot, whoever answered it.
    NotFoundTakenForAbsence = "not_found_taken_for_absence",
    /// A load that takes too long means that a document has no snapshot.
    LateLoadTakenForAbsence = "late_load_taken_for_absence",
    /// The journal answers before the disk has synced.
    AnsweredBeforeSync = "answered_before_sync",
    /// A sync that failed is repeated, and believed when it then succeeds.
    FailedSyncRepeated = "failed_sync_repeated",
    /// Each commit puts off the sync that is due for those before it.
    SyncPutOff = "sync_put_off",
    /// The name of a new file of the journal is not made durable.
    FolderUnsynced = "folder_unsynced",
    /// A file of the journal is removed before the copies of its records are
    /// durable.
    CopiesUnsynced = "copies_unsynced",

    // By somebody who has not seen the oracle.
    /// Who has used up its turn by bytes, and not by messages, is not woken to go on.
    TurnOfBytesUnwoken = "turn_of_bytes_unwoken",
    /// A load that ends well makes a server ready that is shutting down.
    ReadyWhileDraining = "ready_while_draining",
    /// A journal that is reopened after a write has failed goes on in the file that
    /// may hold a part of it.
    TornFileKept = "torn_file_kept",
    /// Pings and pongs that were written still count as waiting to be.
    ControlBytesLeak = "control_bytes_leak",
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Panics as the code of a document might, if that is planted: in one of 64
/// milliseconds, which are scattered (Fibonacci hashing).
pub(crate) fn panic_at(now: Duration) {
    let millis = now.as_secs() * 1_000 + u64::from(now.subsec_millis());
    let is_time = || millis.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58 == 0;
    assert!(
        !(is(Bug::DocumentPanics) && is_time()),
        "planted: {}",
        Bug::DocumentPanics
    );
}

/// A name that no mistake has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no planted bug is called {0:?}")]
pub struct UnknownBug(String);

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(name: &str) -> Result<Self, UnknownBug> {
        let bug = Self::ALL.iter().find(|bug| bug.name() == name);
        bug.copied().ok_or_else(|| UnknownBug(name.to_owned()))
    }
}

#[cfg(feature = "mutants")]
mod planting {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a mistake in whatever runs on this thread from now on, or takes
    /// it out again.
    pub fn set(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether this mistake is to be made.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// What is planted on a thread, to be planted on one that it starts.
    #[derive(Debug, Clone, Copy)]
    pub struct Seedling(Option<Bug>);

    /// What is planted on this thread.
    #[must_use]
    pub fn here() -> Seedling {
        Seedling(PLANTED.get())
    }

    impl Seedling {
        /// Plants it on this thread.
        pub fn plant(self) {
            set(self.0);
        }
    }
}

#[cfg(not(feature = "mutants"))]
mod planting {
    use super::Bug;

    /// Whether this mistake is to be made: never, in this build.
    #[inline(always)]
    #[must_use]
    pub const fn is(_: Bug) -> bool {
        false
    }

    /// What is planted on a thread: nothing, in this build.
    #[derive(Debug, Clone, Copy)]
    pub struct Seedling(());

    /// What is planted on this thread.
    #[inline(always)]
    #[must_use]
    pub const fn here() -> Seedling {
        Seedling(())
    }

    impl Seedling {
        /// Plants it on this thread.
        #[inline(always)]
        pub const fn plant(self) {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_bug_has_a_name_of_its_own_and_is_found_by_it() {
        let names: BTreeSet<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
        for bug in Bug::ALL {
            assert_eq!(bug.name().parse(), Ok(*bug));
            let is_snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(bug.name().chars().all(is_snake), "{bug}");
        }
        assert_eq!("no_such".parse::<Bug>(), Err(UnknownBug("no_such".into())));
    }

    #[test]
    fn what_goes_wrong_is_told_in_a_sentence() {
        for bug in Bug::ALL {
            let what = bug.what();
            assert!(what.starts_with(char::is_uppercase), "{what}");
            assert!(what.ends_with('.') && !what.contains("  "), "{what}");
        }
    }

    #[test]
    fn nothing_is_wrong_unless_planted() {
        assert!(Bug::ALL.iter().all(|bug| !is(*bug)));
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn one_bug_is_planted_per_thread() {
        set(Some(Bug::DirtyFlagCleared));
        let planted: Vec<_> = Bug::ALL.iter().filter(|bug| is(**bug)).collect();
        assert_eq!(planted, [&Bug::DirtyFlagCleared]);
        let here = here();
        let elsewhere = std::thread::spawn(move || {
            let before = is(Bug::DirtyFlagCleared);
            here.plant();
            (before, is(Bug::DirtyFlagCleared))
        });
        assert_eq!(elsewhere.join().unwrap(), (false, true));
        set(None);
        assert!(!is(Bug::DirtyFlagCleared));
    }
}
