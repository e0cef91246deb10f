//! What the model clients cost without a server.

use std::{ops::Range, time::Instant};

use ysyncd_sim::{Swarm, floor};

use super::{
    Held, seeds,
    worlds::{Origin, World},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// From the first seed up to, not including, the second; or one seed.
    #[arg(long, value_parser = seeds, default_value = "0..200")]
    seeds: Range<u64>,
    #[command(flatten)]
    world: World,
}

/// Runs the clients of seeds alone, on one thread.
pub(crate) fn run(arguments: &Arguments) -> Held {
    let origin: Origin<Swarm> = arguments.world.origin()?;
    let start = Instant::now();
    let edits = |seed| floor(seed, &origin.configuration(seed));
    let edits: usize = arguments.seeds.clone().map(edits).sum();
    let count = arguments.seeds.end - arguments.seeds.start;
    println!("{edits} edits in {count} seeds");
    eprintln!(
        "{:.0} seeds/s",
        count as f64 / start.elapsed().as_secs_f64()
    );
    Ok(true)
}
