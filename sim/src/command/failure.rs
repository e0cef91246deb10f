//! What is told of a seed that fails.

use std::process::Command;

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
    println!("commit    {}", commit());
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

/// The commit that this was built from, as far as git can tell.
pub(crate) fn commit() -> String {
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match git {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}
