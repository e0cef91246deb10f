//! The command that runs simulated worlds.

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

use self::command::{
    cost, floor, marks, meta, minimize, mutants, replay,
    worlds::{self, Layer},
};

/// Worlds allocate small pieces all the time, and on one thread each.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Runs ysyncd in simulated worlds, each a function of its seed.
///
/// A failing seed prints what did not hold, the last events, the drawn
/// configuration, and the command that runs it again.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Engines, model clients, a store and journals, without sockets.
    Engine(worlds::Arguments),
    /// The full stack: servers, sockets, a bucket and disks, all simulated
    /// below, and as in production above.
    Full(worlds::Arguments),
    /// Hostile shapes of input, at two sizes: what takes more than in proportion.
    Cost(cost::Arguments),
    /// Shrinks what goes wrong in a failing world while it still fails.
    Minimize(minimize::Arguments),
    /// Runs engines on recorded tapes.
    Replay(replay::Arguments),
    /// Runs seeds in two processes each and compares the traces.
    Meta(meta::Arguments),
    /// Plants bugs and says how soon they are found.
    Mutants(mutants::Arguments),
    /// Says which rare moments a batch of seeds reaches.
    Marks(marks::Arguments),
    /// The model clients alone: what a world costs at least.
    Floor(floor::Arguments),
}

fn main() -> ExitCode {
    let held = match Arguments::parse().command {
        Subcommands::Engine(arguments) => worlds::run(Layer::Engine, &arguments),
        Subcommands::Full(arguments) => worlds::run(Layer::Full, &arguments),
        Subcommands::Cost(arguments) => cost::run(&arguments),
        Subcommands::Minimize(arguments) => minimize::run(&arguments),
        Subcommands::Replay(arguments) => replay::run(&arguments),
        Subcommands::Meta(arguments) => meta::run(&arguments),
        Subcommands::Mutants(arguments) => mutants::run(&arguments),
        Subcommands::Marks(arguments) => marks::run(&arguments),
        Subcommands::Floor(arguments) => floor::run(&arguments),
    };
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
