//! Shrinks a failing world.

use std::{path::PathBuf, time::Instant};

use ysyncd_sim::{Configuration, Invariant, Recorded, Recording, Swarm, full, plant, shrink};

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
    /// Of the full stack.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    world: World,
    /// Where to write the shrunk world.
    #[arg(long, value_name = "FILE", default_value = "minimized.json")]
    out: PathBuf,
    /// What to say of it there.
    #[arg(long, value_name = "TEXT", default_value = "")]
    about: String,
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
    plant(arguments.world.bug()?);
    // What panics on the way is what is looked for.
    std::panic::set_hook(Box::new(|_| {}));
    match arguments.full {
        true => minimize::<full::Swarm>(Layer::Full, arguments),
        false => minimize::<Swarm>(Layer::Engine, arguments),
    }
}

fn minimize<C: Configuration>(layer: Layer, arguments: &Arguments) -> Held {
    let seed = arguments.seed;
    let fails = |configuration: &C| -> Option<Invariant> {
        let outcome = configuration.run(seed, Recording::Nothing);
        outcome.violation.map(|violation| violation.invariant)
    };
    let given: C = arguments.world.origin()?.configuration(seed);
    let invariant = fails(&given).ok_or(CommandError::Holds(seed))?;
    println!("seed {seed} violates invariant {invariant}");
    let start = Instant::now();
    let tell = |tries: usize, what: &str| {
        let took = start.elapsed().as_secs();
        println!("{tries:>5} tries, {took:>4} s: {what}");
    };
    let fails_so = |configuration: &C| fails(configuration) == Some(invariant);
    let smallest = shrink::smallest(given, arguments.tries, fails_so, tell);
    let recorded = Recorded {
        about: arguments.about.clone(),
        planted: arguments.world.bug()?.map(|bug| bug.name().to_owned()),
        invariant,
        seed,
        swarm: smallest,
    };
    write(&arguments.out, &recorded.to_text())?;
    let world = arguments.world.clone().given(&arguments.out);
    println!("replay    {}", world.replay(layer, seed));
    Ok(true)
}
