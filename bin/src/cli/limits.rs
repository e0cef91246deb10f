//! How much of what there may be.

use std::time::Duration;

use clap::Args;

use super::{Parsed, or};
use crate::{bytes, duration};

/// Limits of messages, of documents and of what waits to be saved.
#[derive(Debug, Args)]
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
    /// The same for all documents together
    #[arg(long, env = "UNSAVED_BYTES_TOTAL_MAX", value_parser = unsaved_bytes_total_max)]
    #[arg(default_value = defaults::UNSAVED_BYTES_TOTAL_MAX, value_name = "SIZE")]
    pub(crate) unsaved_bytes_total_max: usize,
    /// Documents in memory, all together; past it those that nobody has open
    /// leave, and if that is not enough, no more are opened
    #[arg(long, env = "DOCUMENTS_BYTES_MAX", value_parser = documents_bytes_max)]
    #[arg(default_value = defaults::DOCUMENTS_BYTES_MAX, value_name = "SIZE")]
    pub(crate) documents_bytes_max: usize,
    /// What may wait for a client that reads too slowly; past it the client is
    /// left out of what others write, and told at once what it missed when it
    /// has read most of the rest
    #[arg(long, env = "OUTBOX_BYTES_MAX", value_parser = outbox_bytes_max)]
    #[arg(default_value = defaults::OUTBOX_BYTES_MAX, value_name = "SIZE")]
    pub(crate) outbox_bytes_max: usize,
    /// How long such a client may read nothing at all before it is closed (1013)
    #[arg(long, env = "STALL_MAX", value_parser = stall_max)]
    #[arg(default_value = defaults::STALL_MAX, value_name = "TIME")]
    pub(crate) stall_max: Duration,
    /// How long a document that nobody has open stays in memory
    #[arg(long, env = "IDLE_GRACE", value_parser = idle_grace)]
    #[arg(default_value = defaults::IDLE_GRACE, value_name = "TIME")]
    pub(crate) idle_grace: Duration,
}

mod defaults {
    pub(super) const FRAME_BYTES_MAX: &str = "16MiB";
    pub(super) const DOCUMENT_BYTES_MAX: &str = "15MiB";
    pub(super) const UNSAVED_BYTES_MAX: &str = "64MiB";
    pub(super) const UNSAVED_BYTES_TOTAL_MAX: &str = "512MiB";
    pub(super) const DOCUMENTS_BYTES_MAX: &str = "1GiB";
    pub(super) const OUTBOX_BYTES_MAX: &str = "1MiB";
    pub(super) const STALL_MAX: &str = "60s";
    pub(super) const IDLE_GRACE: &str = "30s";
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

fn stall_max(text: &str) -> Parsed<Duration> {
    duration::parse_wait(or(text, defaults::STALL_MAX))
}

fn idle_grace(text: &str) -> Parsed<Duration> {
    duration::parse(or(text, defaults::IDLE_GRACE))
}
