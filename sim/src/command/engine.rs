//! Batches of the engine's worlds.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use ysyncd_engine::planted::Bug;
use ysyncd_sim::{Outcome, Recording, Shape, Swarm, can_plant, plant, run as run_world};

use super::{CommandError, Held, batch, failure, read, seeds, write};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// From the first seed up to, not including, the second; or one seed.
    #[arg(long, value_parser = seeds, default_value = "0..200")]
    seeds: Range<u64>,
    /// Threads that run seeds.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    #[command(flatten)]
    world: World,
    /// Print every event.
    #[arg(long)]
    trace: bool,
    /// Write what the engines of the last seed were told to this file.
    #[arg(long, value_name = "FILE")]
    tape: Option<PathBuf>,
}

/// How a seed's world comes about.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct World {
    /// How big worlds are.
    #[arg(long, value_enum, default_value_t)]
    shape: Shape,
    /// Take this configuration, as `minimize` writes it, instead of drawing
    /// one.
    #[arg(long, value_name = "FILE")]
    swarm: Option<PathBuf>,
    /// Plant this bug; `mutants --list` names them.
    #[arg(long, value_name = "BUG")]
    plant: Option<Bug>,
}

impl World {
    /// Where the configuration of seeds comes from.
    pub(crate) fn source(&self) -> Result<Source, CommandError> {
        let Some(path) = self.swarm.clone() else {
            return Ok(Source::Drawn(self.shape));
        };
        let text = read(&path)?;
        let swarm = serde_json::from_str(&text);
        let swarm = swarm.map_err(|error| CommandError::Swarm { path, error })?;
        Ok(Source::Given(Box::new(swarm)))
    }

    /// The same with a configuration from a file.
    pub(crate) fn given(self, swarm: &Path) -> Self {
        let swarm = Some(swarm.to_owned());
        Self { swarm, ..self }
    }

    /// The arguments that give the same again.
    pub(crate) fn arguments(&self) -> String {
        let plant = self.plant.map(|bug| format!(" --plant {bug}"));
        let world = match (&self.swarm, self.shape) {
            (Some(path), _) => format!(" --swarm {}", path.display()),
            (None, Shape::Small) => " --shape small".to_owned(),
            (None, Shape::Swarm) => String::new(),
        };
        world + &plant.unwrap_or_default()
    }

    /// The bug to plant.
    pub(crate) fn bug(&self) -> Result<Option<Bug>, CommandError> {
        if self.plant.is_some() {
            can_plant()?;
        }
        Ok(self.plant)
    }

    /// Features to build with, to have the same again.
    pub(crate) const fn features(&self) -> &'static str {
        match self.plant {
            Some(_) => " --features mutants",
            None => "",
        }
    }
}

/// Where the configuration of seeds comes from.
pub(crate) enum Source {
    Drawn(Shape),
    Given(Box<Swarm>),
}

impl Source {
    pub(crate) fn swarm(&self, seed: u64) -> Swarm {
        match self {
            Self::Drawn(shape) => Swarm::draw(seed, *shape),
            Self::Given(swarm) => Swarm::clone(swarm),
        }
    }
}

/// One seed in so many is replayed from what was recorded of it.
const REPLAYED: u64 = 16;

/// Runs a batch; stops at the first seed that fails.
pub(crate) fn run(arguments: &Arguments) -> Held {
    let source = arguments.world.source()?;
    let recording = |seed: u64| match () {
        () if arguments.trace => Recording::Print,
        () if arguments.tape.is_some() || seed.is_multiple_of(REPLAYED) => Recording::Tapes,
        () => Recording::Last,
    };
    let bug = arguments.world.bug()?;
    let one = |seed| {
        plant(bug);
        run_world(seed, &source.swarm(seed), recording(seed))
    };
    let jobs = if arguments.trace { 1 } else { arguments.jobs };
    let seeds = arguments.seeds.clone();
    let batch = batch::run(seeds.clone(), jobs, one);
    if let Some((seed, outcome)) = &batch.failure {
        let configuration = format!("{:#?}", source.swarm(*seed));
        let world = arguments.world.arguments();
        let replay =
            format!("cargo run --release -p ysyncd-sim -- engine{world} --seeds {seed} --trace");
        failure::print(*seed, outcome, &configuration, &replay);
        write_tape(arguments, &source, *seed)?;
        return Ok(false);
    }
    write_tape(arguments, &source, seeds.end - 1)?;
    let count = seeds.end - seeds.start;
    let Range { start, end } = seeds;
    println!(
        "{count} seeds hold ({start}..{end}), hash {:016x}",
        batch.hash
    );
    eprintln!("{:.0} seeds/s", count as f64 / batch.took.as_secs_f64());
    Ok(true)
}

fn write_tape(arguments: &Arguments, source: &Source, seed: u64) -> Result<(), CommandError> {
    let Some(path) = &arguments.tape else {
        return Ok(());
    };
    plant(arguments.world.bug()?);
    let outcome: Outcome = run_world(seed, &source.swarm(seed), Recording::Tapes);
    let Some(mut tape) = outcome.tapes.into_iter().next_back() else {
        return Ok(());
    };
    if let Some(violation) = outcome.violation {
        tape.head.about = format!("seed {seed}: {}", violation.detail);
        tape.head.planted = arguments.world.plant.map(|bug| bug.to_string());
        tape.head.invariant = Some(violation.invariant);
    }
    write(path, &tape.to_text())?;
    println!("{}: {} inputs", path.display(), tape.inputs.len());
    Ok(())
}
