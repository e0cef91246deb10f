//! What hostile shapes of input cost.

use std::ops::Range;

use ysyncd_engine::planted::Bug;
use ysyncd_sim::{Outcome, can_plant, cost, cost_shape, plant};

use super::{Held, batch, failure::COMMIT, seeds};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// From the first seed up to, not including, the second; or one seed.
    #[arg(long, value_parser = seeds, default_value = "0..200")]
    seeds: Range<u64>,
    /// Threads that run seeds.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Plant this bug; `mutants --list` names them.
    #[arg(long, value_name = "BUG")]
    plant: Option<Bug>,
    /// Go on when a seed fails, and print what each takes.
    #[arg(long)]
    all: bool,
}

/// Measures what seeds draw; stops at the first that fails.
pub(crate) fn run(arguments: &Arguments) -> Held {
    if arguments.plant.is_some() {
        can_plant()?;
    }
    let seeds = arguments.seeds.clone();
    if arguments.all {
        return Ok(seeds.filter(|seed| !held(arguments, *seed)).count() == 0);
    }
    let one = |seed| measure(seed, arguments.plant);
    let batch = batch::run(seeds.clone(), arguments.jobs, one);
    let count = seeds.end - seeds.start;
    eprintln!("{:.1} seeds/s", count as f64 / batch.took.as_secs_f64());
    if let Some((seed, outcome)) = batch.failure {
        print(arguments, seed, &outcome);
        return Ok(false);
    }
    println!("{count} seeds hold ({}..{})", seeds.start, seeds.end);
    Ok(true)
}

/// Measures what a seed draws, with a bug or none.
pub(crate) fn measure(seed: u64, bug: Option<Bug>) -> Outcome {
    plant(bug);
    let outcome = cost(seed);
    plant(None);
    outcome
}

fn held(arguments: &Arguments, seed: u64) -> bool {
    let outcome = measure(seed, arguments.plant);
    print(arguments, seed, &outcome);
    outcome.violation.is_none()
}

/// Prints what somebody needs who has to find out why, what matters most last.
fn print(arguments: &Arguments, seed: u64, outcome: &Outcome) {
    println!("seed {seed}\n\nshape:\n{:#?}\n", cost_shape(seed));
    println!(
        "at one size, and at 8 times that, and 24 times if that looks bad:\n{}\n",
        outcome.last.join("\n")
    );
    let Some(violation) = &outcome.violation else {
        return;
    };
    let (features, plant) = match arguments.plant {
        Some(bug) => (" --features mutants", format!(" --plant {bug}")),
        None => ("", String::new()),
    };
    println!("{violation}");
    println!("seed      {seed}");
    println!("commit    {COMMIT}");
    println!("replay    cargo run --release -p ysyncd-sim{features} -- cost{plant} --seeds {seed}");
}
