//! The command that runs simulated worlds.

use std::{
    ops::Range,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use clap::{Parser, Subcommand};
use ysyncd_sim::{Recording, full, run};

/// Runs ysyncd in simulated worlds, each a function of its seed.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// One engine, model clients and a store, without sockets.
    Engine {
        /// From the first seed up to, not including, the second.
        #[arg(long, value_parser = seeds, default_value = "0..200")]
        seeds: Range<u64>,
        /// Print every event.
        #[arg(long)]
        trace: bool,
    },
    /// The full stack: servers, sockets, a bucket and disks, all simulated
    /// below, and as in production above.
    Full {
        /// From the first seed up to, not including, the second.
        #[arg(long, value_parser = seeds, default_value = "0..200")]
        seeds: Range<u64>,
        /// Print every event.
        #[arg(long)]
        trace: bool,
        /// Go on after a seed that fails.
        #[arg(long)]
        all: bool,
        /// Worlds of three clients and ten seconds.
        #[arg(long)]
        small: bool,
    },
    /// Runs a seed in two processes and compares the traces.
    Meta {
        /// The seed.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Of the full stack.
        #[arg(long)]
        full: bool,
    },
}

fn main() -> ExitCode {
    let held = match Arguments::parse().command {
        Subcommands::Engine { seeds, trace } => engine(seeds, trace),
        Subcommands::Full {
            seeds,
            trace,
            all,
            small,
        } => full(seeds, trace, all, small),
        Subcommands::Meta { seed, full } => meta(if full { "full" } else { "engine" }, seed),
    };
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (start, end) = text
        .split_once("..")
        .ok_or("a range of seeds is START..END")?;
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
    let range = number(start)?..number(end)?;
    if range.is_empty() {
        return Err("the range is empty".to_owned());
    }
    Ok(range)
}

/// Runs a batch; stops at the first seed that fails.
fn engine(seeds: Range<u64>, trace: bool) -> bool {
    let recording = if trace {
        Recording::Print
    } else {
        Recording::Last
    };
    let start = Instant::now();
    let mut hash = 0_u64;
    for seed in seeds.clone() {
        let outcome = run(seed, recording);
        hash = hash.rotate_left(1) ^ outcome.hash;
        if let Some(violation) = outcome.violation {
            println!("seed {seed} fails\n{:#?}", outcome.swarm);
            println!("last events:\n{}", outcome.last.join("\n"));
            println!("{violation}");
            println!(
                "replay: cargo run -p ysyncd-sim -- engine --seeds {seed}..{} --trace",
                seed + 1
            );
            return false;
        }
    }
    let count = seeds.end - seeds.start;
    println!(
        "{count} seeds hold ({}..{}), hash {hash:016x}",
        seeds.start, seeds.end
    );
    eprintln!(
        "{:.0} seeds/s",
        count as f64 / start.elapsed().as_secs_f64()
    );
    true
}

/// Runs a batch of the full stack; stops at the first seed that fails, unless
/// told to go on.
fn full(seeds: Range<u64>, trace: bool, all: bool, small: bool) -> bool {
    let recording = if trace {
        Recording::Print
    } else {
        Recording::Last
    };
    let start = Instant::now();
    let (mut hash, mut failed) = (0_u64, 0_u64);
    for seed in seeds.clone() {
        let outcome = match small {
            true => full::run_small(seed, recording),
            false => full::run(seed, recording),
        };
        hash = hash.rotate_left(1) ^ outcome.hash;
        if let Some(violation) = outcome.violation {
            failed += 1;
            if all {
                println!("seed {seed} fails: {violation}");
                continue;
            }
            println!("seed {seed} fails\n{:#?}", outcome.swarm);
            println!("last events:\n{}", outcome.last.join("\n"));
            println!("{violation}");
            println!(
                "replay: cargo run -p ysyncd-sim -- full --seeds {seed}..{} --trace",
                seed + 1
            );
            return false;
        }
    }
    let count = seeds.end - seeds.start;
    println!(
        "{} of {count} seeds hold ({}..{}), hash {hash:016x}",
        count - failed,
        seeds.start,
        seeds.end
    );
    eprintln!(
        "{:.1} seeds/s",
        count as f64 / start.elapsed().as_secs_f64()
    );
    failed == 0
}

/// Whether a seed runs the same in another process.
fn meta(layer: &str, seed: u64) -> bool {
    let (first, second) = (trace_elsewhere(layer, seed), trace_elsewhere(layer, seed));
    let (Ok(first), Ok(second)) = (first, second) else {
        println!("this program cannot be started again");
        return false;
    };
    let mut lines = first.lines().zip(second.lines()).enumerate();
    match lines.find(|(_, (first, second))| first != second) {
        Some((at, (first, second))) => {
            println!("seed {seed} differs at event {at}:\n{first}\n{second}");
            false
        }
        None if first.len() != second.len() => {
            println!("seed {seed}: one run ends before the other");
            false
        }
        None => {
            println!(
                "seed {seed} runs the same twice: {} events",
                first.lines().count()
            );
            true
        }
    }
}

fn trace_elsewhere(layer: &str, seed: u64) -> std::io::Result<String> {
    let seeds = format!("{seed}..{}", seed + 1);
    let output = Command::new(std::env::current_exe()?)
        .args([layer, "--trace", "--seeds", &seeds])
        .stderr(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
