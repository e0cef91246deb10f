//! Moments that a batch of seeds has to reach.

use std::{collections::BTreeMap, ops::Range, sync::Mutex};

use ysyncd_engine::marks::Mark;
use ysyncd_sim::{Recording, take_marks};

use super::{
    CommandError, Held, batch, seeds,
    worlds::{Layer, Source},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The engine's worlds to run.
    #[arg(long, value_parser = seeds, default_value = "0..1000")]
    engine_seeds: Range<u64>,
    /// The worlds of the full stack to run.
    #[arg(long, value_parser = seeds, default_value = "0..200")]
    full_seeds: Range<u64>,
    /// Marks that nobody expects to be reached yet, with commas between; that
    /// one of them is reached is an error, too, so that the list is kept short.
    #[arg(long, value_delimiter = ',', value_name = "MARK")]
    missed: Vec<String>,
    /// Threads that run seeds.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

type Counts = Mutex<BTreeMap<&'static str, [u64; 2]>>;

/// Runs seeds of both layers and prints how often each mark was reached in
/// which; holds if all were.
pub(crate) fn run(arguments: &Arguments) -> Held {
    take_marks()?;
    let counts = Counts::default();
    count(
        Layer::Engine,
        &arguments.engine_seeds,
        arguments.jobs,
        &counts,
    )?;
    count(Layer::Full, &arguments.full_seeds, arguments.jobs, &counts)?;
    let counts = counts.into_inner().expect("all jobs have ended");
    let (mut missed, mut unexpected) = (0, Vec::new());
    println!("    engine       full");
    for mark in Mark::ALL {
        let [engine, full] = counts.get(mark.name()).copied().unwrap_or_default();
        let is_missed = engine + full == 0;
        let note = if is_missed { "  NOT REACHED" } else { "" };
        println!("{engine:>10} {full:>10}  {}{note}", mark.name());
        missed += usize::from(is_missed);
        match (
            is_missed,
            arguments.missed.iter().any(|name| name == mark.name()),
        ) {
            (true, false) => unexpected.push(format!("{} is not reached", mark.name())),
            (false, true) => {
                let name = mark.name();
                unexpected.push(format!(
                    "{name} is reached: it need not be listed as missed"
                ));
            }
            _ => {}
        }
    }
    println!(
        "{} of {} marks were reached",
        Mark::ALL.len() - missed,
        Mark::ALL.len()
    );
    unexpected.iter().for_each(|what| println!("{what}"));
    Ok(unexpected.is_empty())
}

fn count(
    layer: Layer,
    seeds: &Range<u64>,
    jobs: usize,
    counts: &Counts,
) -> Result<(), CommandError> {
    let source = Source::drawn(layer, None);
    let one = |seed| {
        let outcome = source.run(seed, Recording::Nothing);
        let mut counts = counts.lock().expect("no job panics while it holds this");
        for (name, count) in take_marks().into_iter().flatten() {
            counts.entry(name).or_default()[layer as usize] += count;
        }
        outcome
    };
    let batch = batch::run(seeds.clone(), jobs, one);
    match batch.failure {
        Some((seed, outcome)) => {
            let violation = outcome.violation.expect("it failed");
            Err(CommandError::SeedFails { seed, violation })
        }
        None => Ok(()),
    }
}
