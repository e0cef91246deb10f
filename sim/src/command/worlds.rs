//! Batches of worlds, of one layer or the other.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use ysyncd_engine::planted::Bug;
use ysyncd_sim::{
    Configuration, Outcome, Recorded, Recording, Shape, Swarm, can_plant, full, plant,
};

use super::{CommandError, Held, batch, failure, picture, read, seeds, write};

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
    /// Write what the engine that was driven last was told to this file.
    #[arg(long, value_name = "FILE")]
    tape: Option<PathBuf>,
    /// Draw the run of the seed that fails, or of the last one, as a page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What is simulated, and what is as in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Engines alone are as in production.
    Engine,
    /// All but networks, disks and buckets is.
    Full,
}

impl Layer {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Full => "full",
        }
    }
}

/// How a seed's world comes about.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct World {
    /// How big worlds are.
    #[arg(long, value_enum, default_value_t)]
    shape: Shape,
    /// Take the configuration of this world, as `minimize` writes it, instead of
    /// drawing one.
    #[arg(long, value_name = "FILE")]
    swarm: Option<PathBuf>,
    /// Plant this bug; `mutants --list` names them.
    #[arg(long, value_name = "BUG")]
    plant: Option<Bug>,
    /// Have the code of documents panic now and then, which must cost nothing
    /// but their connections.
    #[arg(long)]
    panics: bool,
}

impl World {
    /// The worlds of seeds.
    pub(crate) fn source(&self, layer: Layer) -> Result<Source, CommandError> {
        let worlds = match layer {
            Layer::Engine => Worlds::Engine(self.origin()?),
            Layer::Full => Worlds::Full(self.origin()?),
        };
        let bug = self.bug()?;
        Ok(Source { worlds, bug })
    }

    /// Where the configuration of seeds comes from.
    pub(crate) fn origin<C: Configuration>(&self) -> Result<Origin<C>, CommandError> {
        let Some(path) = &self.swarm else {
            expect_panics(self.panics)?;
            return Ok(Origin::Drawn(self.shape, self.panics));
        };
        let recorded = Recorded::<C>::from_text(&read(path)?);
        let path = path.clone();
        let written = recorded
            .map_err(|error| CommandError::Swarm { path, error })?
            .swarm;
        expect_panics(written.panics())?;
        Ok(Origin::Written(Box::new(written)))
    }

    /// What is to be planted.
    pub(crate) fn bug(&self) -> Result<Option<Bug>, CommandError> {
        if self.plant.is_some() {
            can_plant()?;
        }
        Ok(self.plant)
    }

    /// The same with a configuration from a file.
    pub(crate) fn given(self, swarm: &Path) -> Self {
        let swarm = Some(swarm.to_owned());
        Self { swarm, ..self }
    }

    /// The command that runs a seed again.
    pub(crate) fn replay(&self, layer: Layer, seed: u64) -> String {
        let is_planted = self.plant.is_some() || self.panics;
        let features = if is_planted {
            " --features mutants"
        } else {
            ""
        };
        let layer = layer.name();
        let plant = self.plant.map(|bug| format!(" --plant {bug}"));
        let plant = plant.unwrap_or_default();
        let panics = if self.panics { " --panics" } else { "" };
        let swarm = match (&self.swarm, self.shape) {
            (Some(path), _) => format!(" --swarm {}", path.display()),
            (None, Shape::Small) => " --shape small".to_owned(),
            (None, Shape::Swarm) => String::new(),
        };
        format!(
            "cargo run --release -p ysyncd-sim{features} -- {layer}{swarm}{plant}{panics} --seeds {seed} --trace"
        )
    }
}

/// Where documents panic as they are made to, that is no news.
fn expect_panics(are_expected: bool) -> Result<(), CommandError> {
    if are_expected {
        can_plant()?;
        std::panic::set_hook(Box::new(|_| {}));
    }
    Ok(())
}

/// Where the configuration of seeds comes from, and what is wrong with what
/// runs.
pub(crate) struct Source {
    worlds: Worlds,
    bug: Option<Bug>,
}

enum Worlds {
    Engine(Origin<Swarm>),
    Full(Origin<full::Swarm>),
}

/// Where configurations come from.
pub(crate) enum Origin<C> {
    /// Each seed draws its own, and documents panic in it or not.
    Drawn(Shape, bool),
    /// All seeds have this one.
    Written(Box<C>),
}

impl<C: Configuration> Origin<C> {
    /// The configuration of a seed.
    pub(crate) fn configuration(&self, seed: u64) -> C {
        match self {
            Self::Drawn(shape, panics) => {
                let drawn = C::draw(seed, *shape);
                match panics {
                    true => drawn.with_panics(),
                    false => drawn,
                }
            }
            Self::Written(written) => C::clone(written),
        }
    }
}

impl Source {
    /// Worlds of all sizes.
    pub(crate) const fn drawn(layer: Layer, bug: Option<Bug>) -> Self {
        let worlds = match layer {
            Layer::Engine => Worlds::Engine(Origin::Drawn(Shape::Swarm, false)),
            Layer::Full => Worlds::Full(Origin::Drawn(Shape::Swarm, false)),
        };
        Self { worlds, bug }
    }

    pub(crate) fn run(&self, seed: u64, recording: Recording) -> Outcome {
        plant(self.bug);
        let outcome = match &self.worlds {
            Worlds::Engine(origin) => origin.configuration(seed).run(seed, recording),
            Worlds::Full(origin) => origin.configuration(seed).run(seed, recording),
        };
        plant(None);
        outcome
    }

    fn configuration(&self, seed: u64) -> String {
        match &self.worlds {
            Worlds::Engine(origin) => format!("{:#?}", origin.configuration(seed)),
            Worlds::Full(origin) => format!("{:#?}", origin.configuration(seed)),
        }
    }
}

/// One seed in so many is replayed from what was recorded of it.
const REPLAYED: u64 = 32;

/// Runs a batch; stops at the first seed that fails.
pub(crate) fn run(layer: Layer, arguments: &Arguments) -> Held {
    let source = arguments.world.source(layer)?;
    let recording = |seed: u64| match () {
        () if arguments.trace => Recording::Print,
        () if seed.is_multiple_of(REPLAYED) => Recording::Tapes,
        () => Recording::Nothing,
    };
    let jobs = if arguments.trace { 1 } else { arguments.jobs };
    let seeds = arguments.seeds.clone();
    let batch = batch::run(seeds.clone(), jobs, |seed| {
        source.run(seed, recording(seed))
    });
    if let Some((seed, outcome)) = batch.failure {
        let outcome = match recording(seed) {
            Recording::Nothing => remembering(&source, seed, outcome),
            _ => outcome,
        };
        let replay = arguments.world.replay(layer, seed);
        failure::print(seed, &outcome, &source.configuration(seed), &replay);
        record(layer, arguments, &source, seed)?;
        return Ok(false);
    }
    record(layer, arguments, &source, seeds.end - 1)?;
    let count = seeds.end - seeds.start;
    let Range { start, end } = seeds;
    println!(
        "{count} seeds hold ({start}..{end}), hash {:016x}",
        batch.hash
    );
    let rate = count as f64 / batch.took.as_secs_f64();
    eprintln!("{rate:.0} seeds/s");
    Ok(true)
}

/// Runs a seed that failed once more, for what happened last.
fn remembering(source: &Source, seed: u64, failed: Outcome) -> Outcome {
    let again = source.run(seed, Recording::Last);
    let detail = |outcome: &Outcome| outcome.violation.as_ref().map(ToString::to_string);
    if detail(&again) == detail(&failed) {
        return again;
    }
    println!("the seed does not fail the same way once more: the run is no function of it");
    failed
}

/// Runs a seed once more for what is to be written down of it.
fn record(
    layer: Layer,
    arguments: &Arguments,
    source: &Source,
    seed: u64,
) -> Result<(), CommandError> {
    if let Some(path) = &arguments.tape {
        write_tape(arguments, source, seed, path)?;
    }
    if let Some(path) = &arguments.html {
        let heading = picture::Subject {
            seed,
            layer,
            command: arguments.world.replay(layer, seed),
            configuration: source.configuration(seed),
        };
        let outcome = source.run(seed, Recording::Story);
        picture::write(path, heading, outcome)?;
    }
    Ok(())
}

fn write_tape(
    arguments: &Arguments,
    source: &Source,
    seed: u64,
    path: &Path,
) -> Result<(), CommandError> {
    let outcome = source.run(seed, Recording::Tapes);
    let tape = outcome.tapes.into_iter().next_back();
    let mut tape = tape.ok_or(CommandError::NoTape)?;
    if let Some(violation) = outcome.violation {
        tape.head.about = format!("seed {seed}: {}", violation.detail);
        tape.head.planted = arguments.world.plant.map(|bug| bug.to_string());
        tape.head.invariant = Some(violation.invariant);
        // An engine that does right will say something else.
        tape.head.outputs = None;
    }
    write(path, &tape.to_text())?;
    println!("{}: {} inputs", path.display(), tape.inputs.len());
    Ok(())
}
