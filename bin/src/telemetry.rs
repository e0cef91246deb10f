//! Where log lines go.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
};

use tracing::error;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use ysyncd_net::brief;

use crate::cli::{LogFormat, ServeSettings};

/// Sends log lines to standard error from here on, and panics as such: what
/// reads them need not know how Rust writes these, and where one came from is
/// told although it may be contained.
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
    panic::set_hook(Box::new(log_panic));
}

/// Writes a panic to the log, with a backtrace if `RUST_BACKTRACE` asks for it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let is_captured = backtrace.status() == BacktraceStatus::Captured;
    error!(
        location = location.as_deref(),
        panic = panic.payload_as_str().map(brief),
        backtrace = is_captured.then(|| backtrace.to_string()),
        "a panic"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_panic_is_a_log_line_that_says_where_it_came_from() {
        let log = panics(|| panic!("index {} is out of bounds", 7));
        assert_eq!(log.lines().count(), 1, "{log}");
        for part in [
            r#""level":"ERROR""#,
            r#""panic":"index 7 is out of bounds""#,
            r#""location":"bin/src/telemetry.rs:"#,
        ] {
            assert!(log.contains(part), "{part} {log}");
        }
        let log = panics(|| panic!("{}", "x".repeat(1 << 20)));
        assert!(log.contains(&"x".repeat(1_000)), "it is told");
        assert!(!log.contains(&"x".repeat(1_001)), "{} bytes", log.len());
    }

    /// What is logged of a panic.
    fn panics(panic: fn()) -> String {
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        let lines = fmt::layer().json().flatten_event(true);
        let lines = lines.with_writer(move || Lines(Arc::clone(&writer)));
        let subscriber = tracing_subscriber::registry().with(lines);
        let before = panic::take_hook();
        panic::set_hook(Box::new(log_panic));
        let caught = tracing::subscriber::with_default(subscriber, || panic::catch_unwind(panic));
        panic::set_hook(before);
        assert!(caught.is_err());
        String::from_utf8(log.lock().unwrap().clone()).unwrap()
    }

    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
