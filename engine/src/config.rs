//! Every limit and delay of the engine, with its unit in its name or type.

use std::{num::NonZeroUsize, time::Duration};

use crate::{bus::Node, size::Size};

/// How an engine behaves. [`Config::default`] is what production uses.
///
/// The binary has a variable for each limit. What it leaves as it is are delays
/// that follow from what clients do (`keepalive`, `awareness_timeout`, the
/// `resync_delay`s), those between two tries (`retry_delay_min` and the like),
/// `closing_max`, from which size on documents wait longer to be saved, and how
/// joins are shared.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default)
)]
pub struct Config {
    /// Drop the content of deleted structs when a document is compacted, as
    /// Yjs does. Off for clients that look at old versions.
    pub gc: bool,
    /// Largest message that a client may send, in bytes.
    pub frame_bytes_max: usize,
    /// Whether there is a journal. An update is then applied and relayed only
    /// once the journal has made it durable; without, at once.
    pub journal: bool,
    /// Bytes of updates per document that wait to become durable. Past it, or past
    /// 4,096 updates, those who send more are not read from until there is room.
    pub staged_bytes_max: usize,
    /// Bytes of updates per document that no landed snapshot covers. Past it
    /// new updates are refused until a snapshot lands.
    pub unsaved_bytes_max: usize,
    /// The same for all documents together.
    pub unsaved_bytes_total_max: usize,
    /// Bytes of documents in memory. Before one is loaded past it, those that
    /// nobody has open leave, the longest unused first; if that is not enough,
    /// it is not loaded.
    pub documents_bytes_max: usize,
    /// Bytes of documents in memory past which none may grow: only updates that
    /// delete are taken. Not less than `documents_bytes_max`; more, so that those
    /// who have documents open can go on when no more are opened.
    pub documents_growth_max: usize,
    /// Bytes that one document may come to, about as it is kept in memory. Past
    /// it only updates that delete are taken. Not more than `frame_bytes_max`
    /// less [`Config::FRAME_OVERHEAD`]: a client that holds the document could
    /// never bring it to a server that has lost it.
    pub document_bytes_max: usize,
    /// Clients that may have written to one document: Yjs is a new one each time
    /// that a page is opened.
    pub document_clients_max: usize,
    /// How deep types may stand in each other. Yjs overflows its stack at some
    /// thousands.
    pub type_depth_max: usize,
    /// Clients that a state vector may tell of. Not less than
    /// `document_clients_max`.
    pub state_vector_entries_max: usize,
    /// Documents brought at once from the journal into the store, nobody
    /// having them open.
    pub pushes_max: usize,
    /// Loads under way at once, and saves; the others wait for their turn.
    pub store_operations_max: usize,
    /// A document is saved this long after its last change …
    pub save_debounce: Duration,
    /// … but at the latest this long after its first unsaved one.
    pub save_wait_max: Duration,
    /// A save writes a document whole. While the journal works, which has what
    /// changed, both times are once more as long for each so many bytes of the
    /// document, up to [`Config::SAVE_TIMES_MAX`] times as long.
    pub save_step_bytes: NonZeroUsize,
    /// First pause after a failed store operation; doubles with each failure.
    pub retry_delay_min: Duration,
    /// Longest pause between two tries.
    pub retry_delay_max: Duration,
    /// Longest pause before a journal that failed is reopened again.
    pub reopen_delay_max: Duration,
    /// Longest pause before a snapshot is written again that another writer's
    /// was merged into.
    pub conflict_delay_max: Duration,
    /// How long a document without connections stays in memory.
    pub idle_grace: Duration,
    /// A connection that got nothing for this long is sent an empty awareness
    /// message: y-websocket closes after 30 s without a data message.
    pub keepalive: Duration,
    /// Awareness of a client that is silent for this long is dropped, as in
    /// y-protocols, where live clients renew theirs every 15 s.
    pub awareness_timeout: Duration,
    /// Awareness ids that one connection may own beside its first, those included
    /// that left and are remembered.
    pub awareness_ids_max: usize,
    /// Clients per document that left and are remembered for a while, so that
    /// a late echo of their state does not bring them back.
    pub awareness_gone_max: usize,
    /// Size of one client's awareness state in bytes of JSON, as JavaScript writes it.
    /// Past this and the next two, and past `awareness_ids_max`, a state is not shown; nor
    /// is one that does not fit a client's message.
    pub awareness_state_bytes_max: usize,
    /// Size of all awareness states that one connection speaks for, together, that of
    /// the client left out that it speaks for first.
    pub awareness_bytes_max: usize,
    /// Size of all awareness states in a document that connections of one user to this
    /// server speak for, together.
    pub awareness_bytes_per_user_max: usize,
    /// Bytes of awareness a second of which all who have a document open are told, as
    /// far as clients of this server say it. What is more waits, and of it the last word
    /// on each client is told: each client repeats what it hears.
    pub awareness_bytes_per_second: NonZeroUsize,
    /// Connections that may wait for one document to load.
    pub waiting_opens_max: usize,
    /// Runs of structs per document that follow a gap, their predecessors
    /// being unknown. Of an update that would bring more, only what follows on what
    /// is known is taken.
    pub gap_runs_max: usize,
    /// Deleted ranges per document that name ids not known yet.
    pub pending_delete_ranges_max: usize,
    /// How long after a refused update its sender is asked to sync again, at
    /// first; doubles while it is refused …
    pub resync_delay: Duration,
    /// … up to this.
    pub resync_delay_max: Duration,
    /// On shutdown, connections are closed over up to this long, so that not
    /// all clients come back in the same moment; few are closed at once.
    pub closing_max: Duration,
    /// Bytes handed out to a connection and not yet written by its transport.
    /// Past it the connection is left out of what others are sent; when half of
    /// it is written, it is told at once what it missed. The update that reaches
    /// past it, and an answer, come on top of it.
    pub outbox_bytes_max: usize,
    /// What a document keeps of what connections know that wait to be told the
    /// rest, as state vectors of 16 bytes for each client. Past it a connection is
    /// told all there is.
    pub known_bytes_max: usize,
    /// How long a connection that is left out may write nothing at all before
    /// it is closed.
    pub stall_max: Duration,
    /// Bytes of answers on their way that are larger than `outbox_bytes_max`,
    /// to all connections together. Past it those who ask wait for theirs. An
    /// answer is at most a whole document; one may reach past this.
    pub answers_bytes_max: usize,
    /// The same for the connections of one user.
    pub answers_bytes_per_user_max: usize,
    /// Bytes a second that a client has to read of such an answer, after
    /// `stall_max`, while others wait for the room that it takes. 0: it may take
    /// its time.
    pub answer_bytes_per_second_min: usize,
    /// How long the answer to a client that knows nothing is kept for others
    /// that come after it, if nothing changes meanwhile …
    pub join_kept: Duration,
    /// … and if it has at least so many bytes; less is made anew.
    pub join_kept_bytes_min: usize,
    /// Which node this is to others on a bus, and which of its lives. `None`:
    /// there is no bus, and nothing is ever asked of one.
    pub node: Option<Node>,
    /// Largest message on the bus, in bytes. What is larger goes by way of the
    /// store.
    pub bus_message_bytes_max: usize,
    /// Size of all awareness states of a document, past which none are taken from
    /// other nodes.
    pub bus_awareness_bytes_max: usize,
    /// How often a node tells the others what it has of a document that changes
    /// …
    pub bus_digest_interval: Duration,
    /// … and of one that does not. From the one to the other the pause doubles
    /// each time.
    pub bus_digest_idle: Duration,
    /// A node asks for what it lacks of a document no more often than this.
    pub bus_exchange_pause: Duration,
    /// How long what came by the bus waits to be saved here: whoever took it
    /// from a client saves it earlier, and says so.
    pub foreign_save_wait: Duration,
}

/// Why limits do not fit together. The messages name fields in capitals, as the
/// variables of the binary are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `frame_bytes_max` is too small for a whole document.
    #[error(
        "FRAME_BYTES_MAX is {}: expected at least {}, which is DOCUMENT_BYTES_MAX and 64KiB: a \
         client that holds a whole document could not bring it otherwise",
        Size::from(*frame),
        Size::from(*needed)
    )]
    FrameTooSmall {
        /// What it is.
        frame: usize,
        /// What it would have to be.
        needed: usize,
    },
    /// `state_vector_entries_max` is less than `document_clients_max`.
    #[error(
        "STATE_VECTOR_ENTRIES_MAX is less than DOCUMENT_CLIENTS_MAX: raise the one or lower the \
         other, as a state vector must be able to tell of all clients of a document"
    )]
    StateVectorTooSmall,
    /// `documents_bytes_max` is less than `document_bytes_max`.
    #[error(
        "DOCUMENTS_BYTES_MAX is less than DOCUMENT_BYTES_MAX: raise the one or lower the other, as \
         a document that is full could not be opened"
    )]
    DocumentsTooSmall,
    /// `documents_growth_max` is less than `documents_bytes_max`.
    #[error("the documents must be allowed to grow to DOCUMENTS_BYTES_MAX together")]
    GrowthTooSmall,
    /// `unsaved_bytes_max` is more than `unsaved_bytes_total_max`.
    #[error(
        "UNSAVED_BYTES_MAX is more than UNSAVED_BYTES_TOTAL_MAX: lower the one or raise the other, \
         as what holds for all documents holds for each"
    )]
    UnsavedTotalTooSmall,
    /// `answers_bytes_per_user_max` is more than `answers_bytes_max`.
    #[error(
        "ANSWERS_BYTES_PER_USER_MAX is more than ANSWERS_BYTES_MAX: lower the one or raise the \
         other, as one user could have all others wait"
    )]
    AnswersPerUserTooLarge,
    /// `awareness_state_bytes_max` is more than `awareness_bytes_max`.
    #[error(
        "AWARENESS_STATE_BYTES_MAX is more than AWARENESS_BYTES_MAX: lower the one or raise the \
         other, as a connection that speaks for one client must be able to show it"
    )]
    AwarenessTooSmall,
    /// `awareness_bytes_max` and `awareness_state_bytes_max` are together more than
    /// `awareness_bytes_per_user_max`.
    #[error(
        "AWARENESS_BYTES_MAX and AWARENESS_STATE_BYTES_MAX are together more than \
         AWARENESS_BYTES_PER_USER_MAX: lower these or raise that, as one connection of a user \
         may show as much"
    )]
    AwarenessPerUserTooSmall,
    /// Nothing would be let through, or a timer would go off all the time.
    #[error("{setting} is 0: expected more, as nobody could be served")]
    Zero {
        /// Which, in capitals.
        setting: &'static str,
    },
    /// A timer would go off all the time.
    #[error("the keepalive must not be zero")]
    NoKeepalive,
}

impl Config {
    /// How many times longer the largest documents wait to be saved.
    pub const SAVE_TIMES_MAX: u32 = 6;

    /// What a message that holds a document has around it, at most.
    pub const FRAME_OVERHEAD: usize = 64 << 10;

    /// Messages in one frame, at most. Clients send one or a few; what is small takes
    /// time, too, and a frame is handled in one go.
    pub const FRAME_MESSAGES_MAX: usize = 4_096;

    /// Room that a client takes, about, which has written to a document, in
    /// addition to what it has written.
    pub const CLIENT_BYTES: usize = 400;

    /// Checks that the limits fit together. Small ones are no fault.
    ///
    /// # Errors
    /// The first that does not fit the others, or lets nothing through.
    pub const fn check(&self) -> Result<(), ConfigError> {
        let needed = self.document_bytes_max.saturating_add(Self::FRAME_OVERHEAD);
        if self.frame_bytes_max < needed {
            let frame = self.frame_bytes_max;
            return Err(ConfigError::FrameTooSmall { frame, needed });
        }
        if self.state_vector_entries_max < self.document_clients_max {
            return Err(ConfigError::StateVectorTooSmall);
        }
        if self.documents_bytes_max < self.document_bytes_max {
            return Err(ConfigError::DocumentsTooSmall);
        }
        if self.documents_growth_max < self.documents_bytes_max {
            return Err(ConfigError::GrowthTooSmall);
        }
        if self.unsaved_bytes_max > self.unsaved_bytes_total_max {
            return Err(ConfigError::UnsavedTotalTooSmall);
        }
        if self.answers_bytes_per_user_max > self.answers_bytes_max {
            return Err(ConfigError::AnswersPerUserTooLarge);
        }
        if self.awareness_state_bytes_max > self.awareness_bytes_max {
            return Err(ConfigError::AwarenessTooSmall);
        }
        let of_one = self
            .awareness_bytes_max
            .saturating_add(self.awareness_state_bytes_max);
        if of_one > self.awareness_bytes_per_user_max {
            return Err(ConfigError::AwarenessPerUserTooSmall);
        }
        if self.keepalive.is_zero() {
            return Err(ConfigError::NoKeepalive);
        }
        match self.zero() {
            Some(setting) => Err(ConfigError::Zero { setting }),
            None => Ok(()),
        }
    }

    /// How long an answer of so many bytes may take to read.
    pub(crate) fn answer_time(&self, bytes: usize) -> Duration {
        match self.answer_bytes_per_second_min {
            0 => Duration::from_secs(u64::from(u32::MAX)),
            rate => Duration::from_secs_f64(bytes as f64 / rate as f64),
        }
    }

    /// A limit that is zero and must not be.
    const fn zero(&self) -> Option<&'static str> {
        let zeroes = [
            (self.document_clients_max == 0, "DOCUMENT_CLIENTS_MAX"),
            (self.type_depth_max == 0, "TYPE_DEPTH_MAX"),
            (self.unsaved_bytes_max == 0, "UNSAVED_BYTES_MAX"),
            (self.store_operations_max == 0, "STORE_OPERATIONS_MAX"),
            (self.pushes_max == 0, "PUSHES_MAX"),
            (self.waiting_opens_max == 0, "WAITING_OPENS_MAX"),
            (self.outbox_bytes_max == 0, "OUTBOX_BYTES_MAX"),
            (self.stall_max.is_zero(), "STALL_MAX"),
        ];
        let mut at = 0;
        while at < zeroes.len() {
            if zeroes[at].0 {
                return Some(zeroes[at].1);
            }
            at += 1;
        }
        None
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gc: true,
            frame_bytes_max: 16 << 20,
            journal: false,
            staged_bytes_max: 16 << 20,
            unsaved_bytes_max: 64 << 20,
            unsaved_bytes_total_max: 512 << 20,
            documents_bytes_max: 1 << 30,
            documents_growth_max: 5 << 28,
            document_bytes_max: 15 << 20,
            document_clients_max: 100_000,
            type_depth_max: 500,
            state_vector_entries_max: 200_000,
            pushes_max: 16,
            store_operations_max: 64,
            save_debounce: Duration::from_secs(5),
            save_wait_max: Duration::from_secs(30),
            save_step_bytes: const { NonZeroUsize::new(1 << 20).expect("it is more than 0") },
            retry_delay_min: Duration::from_secs(1),
            retry_delay_max: Duration::from_secs(60),
            reopen_delay_max: Duration::from_secs(10),
            conflict_delay_max: Duration::from_millis(200),
            idle_grace: Duration::from_secs(30),
            keepalive: Duration::from_secs(15),
            awareness_timeout: Duration::from_secs(30),
            awareness_ids_max: 64,
            awareness_gone_max: 10_000,
            awareness_state_bytes_max: 64 << 10,
            awareness_bytes_max: 128 << 10,
            awareness_bytes_per_user_max: 1 << 20,
            awareness_bytes_per_second: const {
                NonZeroUsize::new(512 << 10).expect("it is more than 0")
            },
            waiting_opens_max: 1_000,
            gap_runs_max: 1_000,
            pending_delete_ranges_max: 10_000,
            resync_delay: Duration::from_secs(5),
            resync_delay_max: Duration::from_secs(60),
            closing_max: Duration::from_secs(5),
            outbox_bytes_max: 1 << 20,
            known_bytes_max: 4 << 20,
            stall_max: Duration::from_secs(60),
            node: None,
            bus_message_bytes_max: 17 << 20,
            bus_awareness_bytes_max: 4 << 20,
            bus_digest_interval: Duration::from_secs(5),
            bus_digest_idle: Duration::from_secs(60),
            bus_exchange_pause: Duration::from_secs(1),
            foreign_save_wait: Duration::from_secs(90),
            answers_bytes_max: 512 << 20,
            answers_bytes_per_user_max: 64 << 20,
            answer_bytes_per_second_min: 32 << 10,
            join_kept: Duration::from_secs(1),
            join_kept_bytes_min: 16 << 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_do_not_fit_together_are_told() {
        type Change = fn(&mut Config);
        let zero = |setting| ConfigError::Zero { setting };
        let bad: [(Change, ConfigError); 16] = [
            (
                |config| config.awareness_bytes_per_user_max = (192 << 10) - 1,
                ConfigError::AwarenessPerUserTooSmall,
            ),
            (
                |config| config.answers_bytes_per_user_max = config.answers_bytes_max + 1,
                ConfigError::AnswersPerUserTooLarge,
            ),
            (
                |config| config.awareness_state_bytes_max = config.awareness_bytes_max + 1,
                ConfigError::AwarenessTooSmall,
            ),
            (
                |config| config.document_bytes_max = config.frame_bytes_max - (64 << 10) + 1,
                ConfigError::FrameTooSmall {
                    frame: 16 << 20,
                    needed: (16 << 20) + 1,
                },
            ),
            (
                |config| config.state_vector_entries_max = config.document_clients_max - 1,
                ConfigError::StateVectorTooSmall,
            ),
            (
                |config| config.documents_bytes_max = config.document_bytes_max - 1,
                ConfigError::DocumentsTooSmall,
            ),
            (
                |config| config.unsaved_bytes_max = config.unsaved_bytes_total_max + 1,
                ConfigError::UnsavedTotalTooSmall,
            ),
            (
                |config| config.documents_growth_max = config.documents_bytes_max - 1,
                ConfigError::GrowthTooSmall,
            ),
            (
                |config| config.document_clients_max = 0,
                zero("DOCUMENT_CLIENTS_MAX"),
            ),
            (|config| config.type_depth_max = 0, zero("TYPE_DEPTH_MAX")),
            (
                |config| config.unsaved_bytes_max = 0,
                zero("UNSAVED_BYTES_MAX"),
            ),
            (
                |config| config.store_operations_max = 0,
                zero("STORE_OPERATIONS_MAX"),
            ),
            (|config| config.pushes_max = 0, zero("PUSHES_MAX")),
            (
                |config| config.waiting_opens_max = 0,
                zero("WAITING_OPENS_MAX"),
            ),
            (
                |config| config.outbox_bytes_max = 0,
                zero("OUTBOX_BYTES_MAX"),
            ),
            (
                |config| config.stall_max = Duration::ZERO,
                zero("STALL_MAX"),
            ),
        ];
        for (change, error) in bad {
            let mut config = Config::default();
            change(&mut config);
            assert_eq!(config.check(), Err(error));
        }
    }

    #[test]
    fn what_is_merely_small_is_no_fault() {
        let config = Config {
            frame_bytes_max: Config::FRAME_OVERHEAD + 1,
            document_bytes_max: 1,
            documents_bytes_max: 1,
            unsaved_bytes_max: 1,
            unsaved_bytes_total_max: 1,
            staged_bytes_max: 0,
            document_clients_max: 1,
            state_vector_entries_max: 1,
            type_depth_max: 1,
            gap_runs_max: 0,
            pending_delete_ranges_max: 0,
            outbox_bytes_max: 1,
            ..Config::default()
        };
        assert_eq!(config.check(), Ok(()));
    }
}
