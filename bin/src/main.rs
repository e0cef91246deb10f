//! The ysyncd binary: configuration, logs, signals, and looking after stored
//! documents; the rest is elsewhere.

mod bytes;
mod cli;
mod cluster;
mod descriptors;
mod doc;
mod duration;
mod failure;
mod journal;
mod secret;
mod serve;
mod signals;
mod stdout;
mod store;
mod telemetry;
mod token;

use std::process::ExitCode;

use cli::Command;
use failure::Failure;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run() -> Result<(), Failure> {
    match cli::command()? {
        Command::Serve(settings) => serve::run(&settings),
        Command::Token(settings) => token::run(&settings),
        Command::Doc(command) => doc::run(&command),
    }
}
