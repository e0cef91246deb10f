//! Planted bugs, and how soon they are found.

use std::{ops::Range, time::Duration};

use ysyncd_engine::planted::Bug;
use ysyncd_sim::{Outcome, Recording, Shape, Swarm, can_plant, plant, run as run_world};

use super::{Held, batch, seeds};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Bugs to plant, by name; all if none is given.
    #[arg(value_name = "BUG")]
    bugs: Vec<Bug>,
    /// The seeds to find each with.
    #[arg(long, value_parser = seeds, default_value = "0..500")]
    seeds: Range<u64>,
    /// Threads that run seeds.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Name the bugs and end.
    #[arg(long)]
    list: bool,
}

/// Plants one bug after the other and runs seeds until one fails. Prints a
/// table; holds if all are found.
pub(crate) fn run(arguments: &Arguments) -> Held {
    let bugs = match arguments.bugs.is_empty() {
        true => Bug::ALL,
        false => &arguments.bugs,
    };
    if arguments.list {
        bugs.iter()
            .for_each(|bug| println!("{bug:<32} {}", bug.what()));
        return Ok(true);
    }
    can_plant()?;
    // What panics under a planted bug is no news.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    println!("| bug | seeds until found | invariant |\n|---|---|---|");
    for &bug in bugs {
        match find(bug, arguments) {
            Some((tried, took, outcome)) => {
                let violation = outcome.violation.expect("it failed");
                let took = took.as_secs_f64();
                println!(
                    "| {bug} | {tried} ({took:.1} s) | {} |",
                    violation.invariant
                );
            }
            None => {
                println!("| {bug} | not found | |");
                missed.push(bug);
            }
        }
    }
    println!("{} of {} found", bugs.len() - missed.len(), bugs.len());
    Ok(missed.is_empty())
}

/// How many seeds it took to find a bug, if it was found.
fn find(bug: Bug, arguments: &Arguments) -> Option<(u64, Duration, Outcome)> {
    let one = |seed| {
        plant(Some(bug));
        let outcome = run_world(seed, &Swarm::draw(seed, Shape::Swarm), Recording::Last);
        plant(None);
        outcome
    };
    let batch = batch::run(arguments.seeds.clone(), arguments.jobs, one);
    let (seed, outcome) = batch.failure?;
    Some((seed - arguments.seeds.start + 1, batch.took, outcome))
}
