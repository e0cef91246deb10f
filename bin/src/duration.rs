//! Lengths of time, as people write them.

use std::time::Duration;

/// Timers further off than this make no sense for a server, and very large
/// ones would overflow the clock.
const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `90`, `90s`, `1m 30s` or `500ms`; a plain number counts seconds.
///
/// # Errors
/// The text is none of these, or more than a day. The message says what is
/// expected.
pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    up_to(MAX, text).ok_or("expected a time up to 24h, such as 5s, 500ms, 2m, or plain seconds")
}

/// The same from a second on, for how long something is waited for.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_wait(text: &str) -> Result<Duration, &'static str> {
    parse(text)
        .ok()
        .filter(|duration| *duration >= Duration::from_secs(1))
        .ok_or("expected a time from 1s to 24h, such as 90s, 2m, or plain seconds")
}

/// The same from a second to ten years, for what a clock on the wall tells.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_long(text: &str) -> Result<Duration, &'static str> {
    up_to(MAX * 3_660, text)
        .filter(|duration| *duration >= Duration::from_secs(1))
        .ok_or("expected a time from 1s to ten years, such as 90s, 30m, 1h or 7d")
}

fn up_to(max: Duration, text: &str) -> Option<Duration> {
    let seconds = text.parse().map(Duration::from_secs);
    let duration = seconds.or_else(|_| humantime::parse_duration(text));
    duration.ok().filter(|duration| *duration <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_units() {
        for (text, millis) in [
            ("5s", 5_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1m 30s", 90_000),
            ("90", 90_000),
            ("0", 0),
            ("24h", 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_wait("1s"), Ok(Duration::from_secs(1)));
        for too_short in ["0", "999ms"] {
            assert!(parse_wait(too_short).is_err(), "{too_short}");
            assert!(parse_long(too_short).is_err(), "{too_short}");
        }
        for bad in [
            "",
            "s",
            "-1",
            "1.5",
            "5 parsecs",
            "25h",
            "99999999999999999999",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
