//! How much of what there may be.

use std::time::Duration;

use clap::Args;
use ysyncd_engine::Config;

use super::{Parsed, number, or};
use crate::{bytes, duration};

/// Limits of messages, of documents and of what waits to be saved.
#[derive(Debug, Args)]
#[command(next_help_heading = "Documents")]
pub(crate) struct LimitSettings {
    /// Largest message that a client may send; 16MiB, 64 MB, or plain bytes
    #[arg(long, env = "FRAME_BYTES_MAX", value_parser = frame_bytes_max)]
    #[arg(default_value = defaults::FRAME_BYTES_MAX, value_name = "SIZE")]
    pub(crate) frame_bytes_max: usize,
    /// What one document may come to; past it only changes that delete are
    /// taken. A message must be able to hold it: FRAME_BYTES_MAX is at least
    /// 64KiB more
    #[arg(long, env = "DOCUMENT_BYTES_MAX", value_parser = document_bytes_max)]
    #[arg(default_value = defaults::DOCUMENT_BYTES_MAX, value_name = "SIZE")]
    pub(crate) document_bytes_max: usize,
    /// Changes of one document that wait to be saved; past it new ones are
    /// refused until a save succeeds, without closing connections
    #[arg(long, env = "UNSAVED_BYTES_MAX", value_parser = unsaved_bytes_max)]
    #[arg(default_value = defaults::UNSAVED_BYTES_MAX, value_name = "SIZE")]
    pub(crate) unsaved_bytes_max: usize,
    /// The same for all documents together; at least UNSAVED_BYTES_MAX
    #[arg(long, env = "UNSAVED_BYTES_TOTAL_MAX", value_parser = unsaved_bytes_total_max)]
    #[arg(default_value = defaults::UNSAVED_BYTES_TOTAL_MAX, value_name = "SIZE")]
    pub(crate) unsaved_bytes_total_max: usize,
    /// Documents in memory, all together; past it those that nobody has open
    /// leave, and if that is not enough, no more are opened; a quarter past it
    /// none grows, but for what deletes. At least DOCUMENT_BYTES_MAX
    #[arg(long, env = "DOCUMENTS_BYTES_MAX", value_parser = documents_bytes_max)]
    #[arg(default_value = defaults::DOCUMENTS_BYTES_MAX, value_name = "SIZE")]
    pub(crate) documents_bytes_max: usize,
    /// What may wait for a client that reads too slowly; past it the client is
    /// left out of what others write, and told at once what it missed when it
    /// has read most of the rest
    #[arg(long, env = "OUTBOX_BYTES_MAX", value_parser = outbox_bytes_max)]
    #[arg(default_value = defaults::OUTBOX_BYTES_MAX, value_name = "SIZE")]
    pub(crate) outbox_bytes_max: usize,
    /// What a document keeps of what clients know that wait or lag, 16 bytes for
    /// each client that has written to it; past it a client is told all there is
    #[arg(long, env = "KNOWN_BYTES_MAX", value_parser = known_bytes_max)]
    #[arg(default_value = defaults::KNOWN_BYTES_MAX, value_name = "SIZE")]
    pub(crate) known_bytes_max: usize,
    /// How long such a client, or one that was answered, may read nothing at all
    /// before it is closed (1013)
    #[arg(long, env = "STALL_MAX", value_parser = stall_max)]
    #[arg(default_value = defaults::STALL_MAX, value_name = "TIME")]
    pub(crate) stall_max: Duration,
    /// Answers on their way to all clients that are larger than
    /// OUTBOX_BYTES_MAX, such as whole documents; past it those who ask wait for
    /// theirs
    #[arg(long, env = "ANSWERS_BYTES_MAX", value_parser = answers_bytes_max)]
    #[arg(default_value = defaults::ANSWERS_BYTES_MAX, value_name = "SIZE")]
    pub(crate) answers_bytes_max: usize,
    /// The same of one user
    #[arg(long, env = "ANSWERS_BYTES_PER_USER_MAX", value_parser = answers_bytes_per_user_max)]
    #[arg(default_value = defaults::ANSWERS_BYTES_PER_USER_MAX, value_name = "SIZE")]
    pub(crate) answers_bytes_per_user_max: usize,
    /// What a client has to read of such an answer a second, after STALL_MAX,
    /// while others wait for theirs; who is slower is closed (1013). 0: it may
    /// take its time
    #[arg(long, env = "ANSWER_BYTES_PER_SECOND_MIN")]
    #[arg(value_parser = answer_bytes_per_second_min, value_name = "SIZE")]
    #[arg(default_value = defaults::ANSWER_BYTES_PER_SECOND_MIN)]
    pub(crate) answer_bytes_per_second_min: usize,
    /// How long a document that nobody has open stays in memory
    #[arg(long, env = "IDLE_GRACE", value_parser = idle_grace)]
    #[arg(default_value = defaults::IDLE_GRACE, value_name = "TIME")]
    pub(crate) idle_grace: Duration,
    /// Clients that may have written to one document: Yjs is a new one each time
    /// that a page is opened. Past it what new ones write is refused
    #[arg(long, env = "DOCUMENT_CLIENTS_MAX", value_parser = document_clients_max)]
    #[arg(default_value = defaults::DOCUMENT_CLIENTS_MAX, value_name = "COUNT")]
    pub(crate) document_clients_max: usize,
    /// Clients that a state vector may tell of, with which a client says what it
    /// has; past it the connection is closed (1008). At least
    /// DOCUMENT_CLIENTS_MAX
    #[arg(long, env = "STATE_VECTOR_ENTRIES_MAX", value_parser = state_vector_entries_max)]
    #[arg(default_value = defaults::STATE_VECTOR_ENTRIES_MAX, value_name = "COUNT")]
    pub(crate) state_vector_entries_max: usize,
    /// How deep types may stand in each other; what is deeper is refused. Yjs
    /// itself fails at some thousands
    #[arg(long, env = "TYPE_DEPTH_MAX", value_parser = type_depth_max)]
    #[arg(default_value = defaults::TYPE_DEPTH_MAX, value_name = "COUNT")]
    pub(crate) type_depth_max: usize,
    /// Runs of edits per document of which earlier ones never came; past it what
    /// opens more gaps is refused, and of an update only what waits for nothing taken
    #[arg(long, env = "GAP_RUNS_MAX", value_parser = gap_runs_max)]
    #[arg(default_value = defaults::GAP_RUNS_MAX, value_name = "COUNT")]
    pub(crate) gap_runs_max: usize,
    /// Ranges per document that were deleted, and never came themselves; past it
    /// what opens more gaps is refused
    #[arg(long, env = "PENDING_DELETE_RANGES_MAX", value_parser = pending_delete_ranges_max)]
    #[arg(default_value = defaults::PENDING_DELETE_RANGES_MAX, value_name = "COUNT")]
    pub(crate) pending_delete_ranges_max: usize,
    /// Changes of one document that wait for the journal; past it, or past 4,096
    /// changes, those who send more are not read from until it has caught up
    #[arg(long, env = "STAGED_BYTES_MAX", value_parser = staged_bytes_max)]
    #[arg(default_value = defaults::STAGED_BYTES_MAX, value_name = "SIZE")]
    pub(crate) staged_bytes_max: usize,
    /// Connections that may wait for one document to be loaded; past it clients
    /// get 503
    #[arg(long, env = "WAITING_OPENS_MAX", value_parser = waiting_opens_max)]
    #[arg(default_value = defaults::WAITING_OPENS_MAX, value_name = "COUNT")]
    pub(crate) waiting_opens_max: usize,
    /// Loads at once, and saves at once; others wait for their turn. Less if file
    /// descriptors are few
    #[arg(long, env = "STORE_OPERATIONS_MAX", value_parser = store_operations_max)]
    #[arg(default_value = defaults::STORE_OPERATIONS_MAX, value_name = "COUNT")]
    pub(crate) store_operations_max: usize,
    /// Documents that are brought at once from the journal into the store after a
    /// start, nobody having opened them
    #[arg(long, env = "PUSHES_MAX", value_parser = pushes_max)]
    #[arg(default_value = defaults::PUSHES_MAX, value_name = "COUNT")]
    pub(crate) pushes_max: usize,
}

impl LimitSettings {
    /// Brings them into a configuration.
    pub(crate) fn apply_to(&self, config: &mut Config) {
        config.frame_bytes_max = self.frame_bytes_max;
        config.document_bytes_max = self.document_bytes_max;
        config.unsaved_bytes_max = self.unsaved_bytes_max;
        config.unsaved_bytes_total_max = self.unsaved_bytes_total_max;
        config.documents_bytes_max = self.documents_bytes_max;
        config.documents_growth_max = self
            .documents_bytes_max
            .saturating_add(self.documents_bytes_max / 4);
        config.outbox_bytes_max = self.outbox_bytes_max;
        config.known_bytes_max = self.known_bytes_max;
        config.stall_max = self.stall_max;
        config.answers_bytes_max = self.answers_bytes_max;
        config.answers_bytes_per_user_max = self.answers_bytes_per_user_max;
        config.answer_bytes_per_second_min = self.answer_bytes_per_second_min;
        config.idle_grace = self.idle_grace;
        config.document_clients_max = self.document_clients_max;
        config.state_vector_entries_max = self.state_vector_entries_max;
        config.type_depth_max = self.type_depth_max;
        config.gap_runs_max = self.gap_runs_max;
        config.pending_delete_ranges_max = self.pending_delete_ranges_max;
        config.staged_bytes_max = self.staged_bytes_max;
        config.waiting_opens_max = self.waiting_opens_max;
        config.store_operations_max = self.store_operations_max;
        config.pushes_max = self.pushes_max;
    }
}

mod defaults {
    pub(super) const FRAME_BYTES_MAX: &str = "16MiB";
    pub(super) const DOCUMENT_BYTES_MAX: &str = "15MiB";
    pub(super) const UNSAVED_BYTES_MAX: &str = "64MiB";
    pub(super) const UNSAVED_BYTES_TOTAL_MAX: &str = "512MiB";
    pub(super) const DOCUMENTS_BYTES_MAX: &str = "1GiB";
    pub(super) const OUTBOX_BYTES_MAX: &str = "1MiB";
    pub(super) const KNOWN_BYTES_MAX: &str = "4MiB";
    pub(super) const STALL_MAX: &str = "60s";
    pub(super) const ANSWERS_BYTES_MAX: &str = "512MiB";
    pub(super) const ANSWERS_BYTES_PER_USER_MAX: &str = "64MiB";
    pub(super) const ANSWER_BYTES_PER_SECOND_MIN: &str = "32KiB";
    pub(super) const IDLE_GRACE: &str = "30s";
    pub(super) const DOCUMENT_CLIENTS_MAX: &str = "100000";
    pub(super) const STATE_VECTOR_ENTRIES_MAX: &str = "200000";
    pub(super) const TYPE_DEPTH_MAX: &str = "500";
    pub(super) const GAP_RUNS_MAX: &str = "1000";
    pub(super) const PENDING_DELETE_RANGES_MAX: &str = "10000";
    pub(super) const STAGED_BYTES_MAX: &str = "16MiB";
    pub(super) const WAITING_OPENS_MAX: &str = "1000";
    pub(super) const STORE_OPERATIONS_MAX: &str = "64";
    pub(super) const PUSHES_MAX: &str = "16";
}

fn frame_bytes_max(text: &str) -> Parsed<usize> {
    let bytes = bytes::parse(or(text, defaults::FRAME_BYTES_MAX)).ok();
    bytes
        .filter(|bytes| *bytes <= 1 << 30)
        .ok_or("expected a size from 1KiB to 1GiB, such as 16MiB, or plain bytes")
}

fn document_bytes_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::DOCUMENT_BYTES_MAX))
}

fn unsaved_bytes_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::UNSAVED_BYTES_MAX))
}

fn unsaved_bytes_total_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::UNSAVED_BYTES_TOTAL_MAX))
}

fn documents_bytes_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::DOCUMENTS_BYTES_MAX))
}

fn outbox_bytes_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::OUTBOX_BYTES_MAX))
}

fn known_bytes_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::KNOWN_BYTES_MAX))
}

fn stall_max(text: &str) -> Parsed<Duration> {
    duration::parse_wait(or(text, defaults::STALL_MAX))
}

fn answers_bytes_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::ANSWERS_BYTES_MAX))
}

fn answers_bytes_per_user_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::ANSWERS_BYTES_PER_USER_MAX))
}

fn answer_bytes_per_second_min(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::ANSWER_BYTES_PER_SECOND_MIN))
}

fn idle_grace(text: &str) -> Parsed<Duration> {
    duration::parse(or(text, defaults::IDLE_GRACE))
}

fn document_clients_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::DOCUMENT_CLIENTS_MAX))
}

fn state_vector_entries_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::STATE_VECTOR_ENTRIES_MAX))
}

fn type_depth_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::TYPE_DEPTH_MAX))
}

fn gap_runs_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::GAP_RUNS_MAX))
}

fn pending_delete_ranges_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::PENDING_DELETE_RANGES_MAX))
}

fn staged_bytes_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::STAGED_BYTES_MAX))
}

fn waiting_opens_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::WAITING_OPENS_MAX))
}

fn store_operations_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::STORE_OPERATIONS_MAX))
}

fn pushes_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::PUSHES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let config = Config::default();
        assert_eq!(frame_bytes_max(""), Ok(config.frame_bytes_max));
        assert_eq!(document_bytes_max(""), Ok(config.document_bytes_max));
        assert_eq!(unsaved_bytes_max(""), Ok(config.unsaved_bytes_max));
        assert_eq!(
            unsaved_bytes_total_max(""),
            Ok(config.unsaved_bytes_total_max)
        );
        assert_eq!(documents_bytes_max(""), Ok(config.documents_bytes_max));
        assert_eq!(outbox_bytes_max(""), Ok(config.outbox_bytes_max));
        assert_eq!(known_bytes_max(""), Ok(config.known_bytes_max));
        assert_eq!(stall_max(""), Ok(config.stall_max));
        assert_eq!(answers_bytes_max(""), Ok(config.answers_bytes_max));
        assert_eq!(
            answers_bytes_per_user_max(""),
            Ok(config.answers_bytes_per_user_max)
        );
        assert_eq!(
            answer_bytes_per_second_min(""),
            Ok(config.answer_bytes_per_second_min)
        );
        assert_eq!(idle_grace(""), Ok(config.idle_grace));
        assert_eq!(document_clients_max(""), Ok(config.document_clients_max));
        assert_eq!(
            state_vector_entries_max(""),
            Ok(config.state_vector_entries_max)
        );
        assert_eq!(type_depth_max(""), Ok(config.type_depth_max));
        assert_eq!(gap_runs_max(""), Ok(config.gap_runs_max));
        assert_eq!(
            pending_delete_ranges_max(""),
            Ok(config.pending_delete_ranges_max)
        );
        assert_eq!(staged_bytes_max(""), Ok(config.staged_bytes_max));
        assert_eq!(waiting_opens_max(""), Ok(config.waiting_opens_max));
        assert_eq!(store_operations_max(""), Ok(config.store_operations_max));
        assert_eq!(pushes_max(""), Ok(config.pushes_max));
    }
}
