//! Planted bugs, and how soon they are found.

use std::{ops::Range, time::Duration};

use ysyncd_engine::planted::Bug;
use ysyncd_sim::{Outcome, Recording, Violation, can_plant};

use super::{
    Held, batch, cost, seeds,
    worlds::{Layer, Source},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Bugs to plant, by name; if none is given all but those of which nothing comes
    /// but that something takes too long: after how many seeds these are found depends
    /// on the machine.
    #[arg(value_name = "BUG")]
    bugs: Vec<Bug>,
    /// The seeds to find each with, in each layer.
    #[arg(long, value_parser = seeds, default_value = "0..500")]
    seeds: Range<u64>,
    /// Threads that run seeds.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Bugs that nobody expects to be found yet, with commas between; that one
    /// of them is found is an error, too, so that the list is kept short.
    #[arg(long, value_delimiter = ',', value_name = "BUG")]
    missed: Vec<Bug>,
    /// Name the bugs and end.
    #[arg(long)]
    list: bool,
}

/// How a bug was found.
struct Found {
    by: &'static str,
    seeds: u64,
    took: Duration,
    violation: Violation,
    /// What the seed fails with where nothing is planted: it finds no bug, then.
    without: Option<Violation>,
}

/// Plants one bug after the other and runs seeds until one fails. Prints a
/// table; holds if all are found but those that are expected not to be.
pub(crate) fn run(arguments: &Arguments) -> Held {
    if arguments.list {
        for bug in Bug::ALL {
            println!("{:<32} {}", bug.name(), bug.what());
        }
        return Ok(true);
    }
    can_plant()?;
    let all = || Bug::ALL.iter().copied().filter(|bug| !bug.is_slow());
    let bugs: Vec<_> = match arguments.bugs.is_empty() {
        true => all().collect(),
        false => arguments.bugs.clone(),
    };
    // What panics under a planted bug is no news.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut missed, mut unexpected) = (0, Vec::new());
    println!("| bug | found by | seeds until found | invariant |\n|---|---|---|---|");
    for &bug in &bugs {
        match find(bug, arguments) {
            Some(found) => {
                if arguments.missed.contains(&bug) {
                    unexpected.push(format!("{bug} is found: it need not be listed as missed"));
                }
                if let Some(violation) = found.without {
                    let seed = arguments.seeds.start + found.seeds - 1;
                    unexpected.push(format!(
                        "seed {seed} that finds {bug} fails without it, too: {}",
                        violation.detail
                    ));
                }
                let (by, seeds) = (found.by, found.seeds);
                let (took, invariant) = (found.took.as_secs_f64(), found.violation.invariant);
                println!("| {bug} | {by} | {seeds} ({took:.1} s) | {invariant} |");
            }
            None => {
                println!("| {bug} | | not found | |");
                missed += 1;
                if !arguments.missed.contains(&bug) {
                    unexpected.push(format!("{bug} is not found"));
                }
            }
        }
    }
    println!("{} of {} found", bugs.len() - missed, bugs.len());
    unexpected.iter().for_each(|what| println!("{what}"));
    Ok(unexpected.is_empty())
}

/// Looks for a bug in the engine's worlds, if it is in the engine, and then in
/// the full stack's; for one that only takes time, in what input costs.
fn find(bug: Bug, arguments: &Arguments) -> Option<Found> {
    if bug.is_slow() {
        return find_with(arguments, "cost", |seed, planted| {
            cost::measure(seed, planted.then_some(bug))
        });
    }
    let layers = match bug.is_in_engine() {
        true => [Some(Layer::Engine), Some(Layer::Full)],
        false => [None, Some(Layer::Full)],
    };
    layers.into_iter().flatten().find_map(|layer| {
        find_with(arguments, layer.name(), |seed, planted| {
            let source = Source::drawn(layer, planted.then_some(bug));
            source.run(seed, Recording::Nothing)
        })
    })
}

/// Runs seeds with a bug until one fails, and that one without.
fn find_with(
    arguments: &Arguments,
    by: &'static str,
    one: impl Fn(u64, bool) -> Outcome + Sync,
) -> Option<Found> {
    let batch = batch::run(arguments.seeds.clone(), arguments.jobs, |seed| {
        one(seed, true)
    });
    let (seed, outcome) = batch.failure?;
    Some(Found {
        by,
        seeds: seed - arguments.seeds.start + 1,
        took: batch.took,
        violation: outcome.violation?,
        without: one(seed, false).violation,
    })
}
