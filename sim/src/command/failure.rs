//! What is told of a seed that fails.

use ysyncd_sim::{Outcome, Violation};

/// Prints what somebody needs who has to find out why: most of it first, what
/// matters most last, where the eye is.
pub(crate) fn print(seed: u64, outcome: &Outcome, configuration: &str, replay: &str) {
    println!("seed {seed} fails\n\nconfiguration:\n{configuration}\n");
    println!("last events:\n{}\n", outcome.last.join("\n"));
    if let Some(Violation { invariant, detail }) = &outcome.violation {
        println!("invariant {invariant} violated: {detail}");
    }
    println!("seed      {seed}");
    println!("commit    {COMMIT}");
    println!("time      {:.6} s, simulated", outcome.end.as_secs_f64());
    println!("replay    {replay}");
    println!(
        "shrink    {}",
        replay
            .replacen(" -- engine ", " -- minimize ", 1)
            .replacen(" -- full ", " -- minimize --full ", 1)
            .replace("--seeds", "--seed")
    );
}

/// The commit that this was built from, `-dirty` if more had changed, as far as
/// git could tell.
pub(crate) const COMMIT: &str = env!("YSYNCD_COMMIT");
