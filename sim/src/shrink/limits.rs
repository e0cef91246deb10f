//! The limits of engines, put back to what they usually are.

use ysyncd_engine::Config;

type Reset = fn(&mut Config, &Config);

/// Each with what is usual about it, and the limits that it is about.
pub(crate) const LIMITS: &[(&str, Reset)] = &[
    ("the usual outbox", |to, from| {
        to.outbox_bytes_max = from.outbox_bytes_max;
        to.stall_max = from.stall_max;
        to.answer_bytes_per_second_min = from.answer_bytes_per_second_min;
    }),
    ("messages as large as usual", |to, from| {
        to.frame_bytes_max = from.frame_bytes_max;
        to.state_vector_entries_max = from.state_vector_entries_max;
    }),
    ("as much known as usual", |to, from| {
        to.known_bytes_max = from.known_bytes_max;
    }),
    ("answers kept as usual", |to, from| {
        to.join_kept_bytes_min = from.join_kept_bytes_min;
    }),
    ("as much staged as usual", |to, from| {
        to.staged_bytes_max = from.staged_bytes_max;
    }),
    ("as much unsaved as usual", |to, from| {
        to.unsaved_bytes_max = from.unsaved_bytes_max;
        to.unsaved_bytes_total_max = from.unsaved_bytes_total_max;
    }),
    ("as much memory as usual", |to, from| {
        to.documents_bytes_max = from.documents_bytes_max;
    }),
    ("as many turns as usual", |to, from| {
        to.store_operations_max = from.store_operations_max;
        to.pushes_max = from.pushes_max;
    }),
    ("documents as large as usual", |to, from| {
        to.document_bytes_max = from.document_bytes_max;
        to.document_clients_max = from.document_clients_max;
        to.type_depth_max = from.type_depth_max;
    }),
    ("as many gaps as usual", |to, from| {
        to.gap_runs_max = from.gap_runs_max;
        to.pending_delete_ranges_max = from.pending_delete_ranges_max;
    }),
    ("as many may wait as usual", |to, from| {
        to.waiting_opens_max = from.waiting_opens_max;
    }),
    ("as many gone as usual", |to, from| {
        to.awareness_gone_max = from.awareness_gone_max;
    }),
    ("the usual pauses of the store", |to, from| {
        to.retry_delay_min = from.retry_delay_min;
        to.retry_delay_max = from.retry_delay_max;
        to.reopen_delay_max = from.reopen_delay_max;
    }),
    ("the usual pauses of a resync", |to, from| {
        to.resync_delay = from.resync_delay;
        to.resync_delay_max = from.resync_delay_max;
    }),
    ("the usual debounce", |to, from| {
        to.save_debounce = from.save_debounce;
        to.save_wait_max = from.save_wait_max;
    }),
    ("presence told at once", |to, from| {
        to.awareness_bytes_per_second = from.awareness_bytes_per_second;
    }),
    ("documents of all sizes saved alike", |to, from| {
        to.save_step_bytes = from.save_step_bytes;
    }),
    ("the usual grace", |to, from| {
        to.idle_grace = from.idle_grace;
    }),
    ("with gc", |to, from| to.gc = from.gc),
];
