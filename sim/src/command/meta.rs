//! Whether seeds run the same in another process.

use std::{
    ops::Range,
    process::{Command, Stdio},
};

use super::{CommandError, Held, seeds, worlds::Layer};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// From the first seed up to, not including, the second; or one seed.
    #[arg(long, visible_alias = "seed", value_parser = seeds, default_value = "0..1")]
    seeds: Range<u64>,
    /// Of the full stack.
    #[arg(long)]
    full: bool,
}

/// Runs each seed in two processes and compares all that happened.
pub(crate) fn run(arguments: &Arguments) -> Held {
    let layer = if arguments.full {
        Layer::Full
    } else {
        Layer::Engine
    };
    let mut events = 0;
    for seed in arguments.seeds.clone() {
        let (first, second) = (trace_of(layer, seed)?, trace_of(layer, seed)?);
        if let Some(difference) = difference(&first, &second) {
            println!("seed {seed} differs {difference}");
            return Ok(false);
        }
        events += first.lines().count();
    }
    let count = arguments.seeds.end - arguments.seeds.start;
    println!("{count} seeds run the same twice: {events} events");
    Ok(true)
}

fn difference(first: &str, second: &str) -> Option<String> {
    let mut lines = first.lines().zip(second.lines()).enumerate();
    match lines.find(|(_, (first, second))| first != second) {
        Some((at, (first, second))) => Some(format!("at event {at}:\n{first}\n{second}")),
        None if first.len() != second.len() => Some("in length: one run ends first".to_owned()),
        None => None,
    }
}

fn trace_of(layer: Layer, seed: u64) -> Result<String, CommandError> {
    let program = std::env::current_exe().map_err(CommandError::Start)?;
    let mut command = Command::new(program);
    let output = command
        .args([layer.name(), "--trace", "--seeds", &seed.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(CommandError::Start)?;
    // A seed that fails is as good as another; one whose process dies is not.
    if output.status.code().is_none_or(|code| code > 1) || output.stdout.is_empty() {
        return Err(CommandError::Died {
            seed,
            status: output.status,
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
