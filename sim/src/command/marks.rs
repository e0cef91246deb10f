//! Moments that a batch of seeds has to reach.

use std::{collections::BTreeMap, ops::Range, sync::Mutex};

use ysyncd_engine::marks::Mark;
use ysyncd_sim::{Recording, Shape, Swarm, run as run_world, take_marks};

use super::{CommandError, Held, batch, seeds};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The engine's worlds to run.
    #[arg(long, value_parser = seeds, default_value = "0..1000")]
    engine_seeds: Range<u64>,
    /// Threads that run seeds.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

/// Runs seeds and prints how often each mark was reached; holds if all were.
pub(crate) fn run(arguments: &Arguments) -> Held {
    let counts = Mutex::new(BTreeMap::new());
    let one = |seed| {
        let outcome = run_world(seed, &Swarm::draw(seed, Shape::Swarm), Recording::Last);
        for (name, count) in take_marks().into_iter().flatten() {
            let mut counts = counts.lock().expect("no job panics while it holds this");
            *counts.entry(name).or_insert(0) += count;
        }
        outcome
    };
    take_marks()?;
    let batch = batch::run(arguments.engine_seeds.clone(), arguments.jobs, one);
    if let Some((seed, outcome)) = batch.failure {
        let violation = outcome.violation.expect("it failed");
        return Err(CommandError::SeedFails { seed, violation });
    }
    let counts = counts.into_inner().expect("all jobs have ended");
    let expected = Mark::ALL.iter().filter(|mark| mark.is_in_engine());
    let count = |mark: &Mark| counts.get(mark.name()).copied().unwrap_or(0);
    let mut missed = 0;
    for mark in expected {
        println!("{:>10} {}", count(mark), mark.name());
        missed += usize::from(count(mark) == 0);
    }
    println!("{missed} marks were not reached");
    Ok(missed == 0)
}
