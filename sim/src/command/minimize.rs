//! Shrinks a failing world.

use std::{path::PathBuf, time::Instant};

use ysyncd_sim::{Invariant, Recording, Swarm, run as run_world, simpler};

use super::{
    CommandError, Held,
    worlds::{Layer, World},
    write,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The seed that fails.
    #[arg(long)]
    seed: u64,
    #[command(flatten)]
    world: World,
    /// Where to write the shrunk configuration.
    #[arg(long, value_name = "FILE", default_value = "minimized.json")]
    out: PathBuf,
    /// Runs to try at most.
    #[arg(long, default_value_t = 2_000)]
    tries: usize,
    /// Ignored: so that the command that replays a seed can be changed into
    /// the one that shrinks it.
    #[arg(long, hide = true)]
    trace: bool,
}

/// Takes away faults, clients and time while the same invariant fails.
pub(crate) fn run(arguments: &Arguments) -> Held {
    let seed = arguments.seed;
    let source = arguments.world.source(Layer::Engine)?;
    source.plant();
    let fails = |swarm: &Swarm| -> Option<Invariant> {
        let outcome = run_world(seed, swarm, Recording::Last);
        outcome.violation.map(|violation| violation.invariant)
    };
    let mut smallest = source.swarm(seed);
    let invariant = fails(&smallest).ok_or(CommandError::Holds(seed))?;
    println!("seed {seed} violates invariant {invariant}");
    let (start, mut tries, mut at) = (Instant::now(), 0, 0);
    // Each step that still fails is kept, and all are tried again, until none
    // is left that does.
    while tries < arguments.tries
        && let Some((what, swarm)) = simpler(&smallest).into_iter().nth(at)
    {
        tries += 1;
        if fails(&swarm) == Some(invariant) {
            println!(
                "{tries:>5} tries, {:>4} s: {what}",
                start.elapsed().as_secs()
            );
            (smallest, at) = (swarm, 0);
        } else {
            at += 1;
        }
    }
    let text = serde_json::to_string_pretty(&smallest).expect("a swarm can be written as JSON");
    write(&arguments.out, &text)?;
    let world = arguments.world.clone().given(&arguments.out);
    println!("replay    {}", world.replay(Layer::Engine, seed));
    Ok(true)
}
