//! Where log lines go.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::cli::{LogFormat, ServeSettings};

/// Sends log lines to standard error from here on.
pub(crate) fn init(settings: &ServeSettings) {
    let filter = settings
        .log
        .0
        .clone()
        .or_else(|| settings.rust_log.0.clone());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let is_terminal = io::stderr().is_terminal();
    let format = settings.log_format.0.unwrap_or(if is_terminal {
        LogFormat::Human
    } else {
        LogFormat::Json
    });
    let lines = fmt::layer().with_writer(io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Human => lines.with_ansi(is_terminal).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
}
