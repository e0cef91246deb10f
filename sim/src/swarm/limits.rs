//! How the engines of a world are configured: limits that no sane person would
//! set, so that they are reached.

use std::num::NonZeroUsize;

use rand::{RngExt, rngs::ChaCha8Rng, seq::IndexedRandom};
use ysyncd_engine::Config;

use super::millis;

/// More bytes than any simulated world comes to.
pub(crate) const ENOUGH: usize = 64 << 20;

/// Draws an engine's configuration.
pub(crate) fn draw_engine(rng: &mut ChaCha8Rng, documents: usize) -> Config {
    let mut one_of = |all: &[u64]| *all.choose(rng).expect("not empty");
    let debounce = one_of(&[0, 50, 5_000]);
    let config = Config {
        gc: one_of(&[0, 1, 1]) == 1,
        journal: one_of(&[0, 0, 1, 1, 1]) == 1,
        save_debounce: millis(debounce),
        save_wait_max: millis(debounce * one_of(&[1, 2, 6])),
        retry_delay_min: millis(one_of(&[10, 1_000])),
        retry_delay_max: millis(one_of(&[1_000, 20_000])),
        reopen_delay_max: millis(one_of(&[500, 10_000])),
        resync_delay: millis(one_of(&[50, 5_000])),
        document_bytes_max: ENOUGH,
        document_clients_max: ENOUGH,
        type_depth_max: ENOUGH,
        resync_delay_max: millis(one_of(&[5_000, 60_000])),
        idle_grace: millis(one_of(&[0, 100, 30_000])),
        ..Config::default()
    };
    let mut limit = |chance: f64, tiny: &[usize]| match rng.random_bool(chance) {
        true => *tiny.choose(rng).expect("not empty"),
        false => ENOUGH,
    };
    let for_several = if documents > 1 { 0.4 } else { 0.0 };
    Config {
        outbox_bytes_max: limit(0.6, &[64, 4 << 10]),
        staged_bytes_max: limit(0.4, &[0, 40, 1_000]),
        unsaved_bytes_max: limit(0.2, &[0, 100, 2_000]),
        unsaved_bytes_total_max: limit(0.2, &[0, 200, 4_000]),
        documents_bytes_max: limit(for_several, &[1, 300]),
        documents_growth_max: ENOUGH,
        store_operations_max: limit(0.4, &[1, 2]),
        pushes_max: limit(0.4, &[1]),
        waiting_opens_max: limit(0.2, &[1]),
        gap_runs_max: limit(0.2, &[0, 1]),
        pending_delete_ranges_max: limit(0.2, &[0, 2]),
        awareness_gone_max: limit(0.2, &[0, 1]),
        ..config
    }
}

/// Draws how large frames and state vectors may be: enough for honest clients, and
/// for intruders that send too much of something else.
pub(super) fn draw_sizes(rng: &mut ChaCha8Rng, engine: &mut Config) {
    engine.frame_bytes_max = *[256 << 10, 300_000].choose(rng).expect("not empty");
    engine.state_vector_entries_max = rng.random_range(20..100);
    // All that intruders show is told in one frame: which of several somebody missed,
    // and which are news, nobody could tell from outside.
    (engine.awareness_state_bytes_max, engine.awareness_bytes_max) = (16 << 10, 32 << 10);
    // Intruders are one user. Where that may show no more than a connection of it, what
    // each of these shows stays within its limit by that.
    let per_user = [engine.awareness_bytes_max, ENOUGH];
    engine.awareness_bytes_per_user_max = *per_user.choose(rng).expect("not empty");
}

/// Draws how large documents have to be to wait longer to be saved, where none waits
/// so long that worlds would take long to heal.
pub(super) fn draw_steps(rng: &mut ChaCha8Rng, engine: &mut Config) {
    let step = *[60, 400].choose(rng).expect("not empty");
    let is_reached = rng.random_bool(0.3) && engine.save_wait_max <= millis(1_000);
    engine.save_step_bytes = match is_reached.then(|| NonZeroUsize::new(step)) {
        Some(Some(step)) => step,
        _ => const { NonZeroUsize::new(ENOUGH).expect("it is more than 0") },
    };
}

/// Draws how much of who is there may be told a second: less than is said, in some
/// worlds.
pub(super) fn draw_presence(rng: &mut ChaCha8Rng, engine: &mut Config) {
    let rate = *[100, 400, ENOUGH, ENOUGH, ENOUGH, ENOUGH]
        .choose(rng)
        .expect("not empty");
    engine.awareness_bytes_per_second = NonZeroUsize::new(rate).expect("none is 0");
}

/// Draws how engines deal with those who read slowly, or come.
pub(crate) fn draw_readers(rng: &mut ChaCha8Rng, engine: &mut Config) {
    engine.join_kept_bytes_min = *[0, ENOUGH].choose(rng).expect("not empty");
    let stall_max = [300, 3_000, 60_000].choose(rng).expect("not empty");
    engine.stall_max = millis(*stall_max);
    let answers = [0, 1_000, ENOUGH, ENOUGH].choose(rng).expect("not empty");
    let per_user = [0, 1_000, ENOUGH, ENOUGH].choose(rng).expect("not empty");
    engine.answers_bytes_max = *answers;
    engine.answers_bytes_per_user_max = *per_user;
    let rate = [0, 100, 32 << 10, 1 << 20, 1 << 20]
        .choose(rng)
        .expect("not empty");
    engine.answer_bytes_per_second_min = *rate;
    let keepalive = [500, 15_000, 15_000].choose(rng).expect("not empty");
    engine.keepalive = millis(*keepalive);
    let known = [0, 16, 32, ENOUGH, ENOUGH].choose(rng).expect("not empty");
    engine.known_bytes_max = *known;
}
