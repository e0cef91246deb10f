//! How fast a client may send.

use std::time::Duration;

use clap::Args;
use ysyncd_net::Config;

use super::{Parsed, Setting, number, or};
use crate::{bytes, duration};

/// Limits of what comes from one connection, and from one user.
#[derive(Debug, Args)]
#[command(next_help_heading = "What one connection may send")]
pub(crate) struct RateSettings {
    /// What one connection may send in a second, on average; 4MiB, 1 MB, or
    /// plain bytes. Past it the server reads more slowly, and closes with 1008
    /// after SLOWED_MAX of that; off means no limit
    #[arg(long, env = "INBOUND_BYTES_PER_SECOND", value_parser = bytes_per_second)]
    #[arg(default_value = defaults::BYTES_PER_SECOND, value_name = "SIZE")]
    pub(crate) inbound_bytes_per_second: Setting<u64>,
    /// What it may send faster, before that counts and again after a rest; at
    /// least FRAME_BYTES_MAX
    #[arg(long, env = "INBOUND_BYTES_BURST", value_parser = bytes_burst)]
    #[arg(default_value = defaults::BYTES_BURST, value_name = "SIZE")]
    pub(crate) inbound_bytes_burst: usize,
    /// The same in messages; fragments, pings and pongs count, too
    ///
    /// A client of y-websocket echoes every move of the cursor of everybody else,
    /// so this must be more than what all who have a document open do together
    #[arg(long, env = "INBOUND_MESSAGES_PER_SECOND", value_parser = messages_per_second)]
    #[arg(default_value = defaults::MESSAGES_PER_SECOND, value_name = "COUNT")]
    pub(crate) inbound_messages_per_second: Setting<u64>,
    /// Messages that it may send faster
    #[arg(long, env = "INBOUND_MESSAGES_BURST", value_parser = messages_burst)]
    #[arg(default_value = defaults::MESSAGES_BURST, value_name = "COUNT")]
    pub(crate) inbound_messages_burst: u64,
    /// What all connections of one user may send together in a second, on
    /// average; at least INBOUND_BYTES_PER_SECOND. Past it the server reads more
    /// slowly, and closes nobody; off means no limit
    #[arg(long, env = "INBOUND_USER_BYTES_PER_SECOND", value_parser = user_bytes_per_second)]
    #[arg(default_value = defaults::USER_BYTES_PER_SECOND, value_name = "SIZE")]
    pub(crate) inbound_user_bytes_per_second: Setting<u64>,
    /// What they may send faster; at least FRAME_BYTES_MAX
    #[arg(long, env = "INBOUND_USER_BYTES_BURST", value_parser = user_bytes_burst)]
    #[arg(default_value = defaults::USER_BYTES_BURST, value_name = "SIZE")]
    pub(crate) inbound_user_bytes_burst: usize,
    /// The same in messages; at least INBOUND_MESSAGES_PER_SECOND
    #[arg(long, env = "INBOUND_USER_MESSAGES_PER_SECOND", value_parser = user_messages_per_second)]
    #[arg(default_value = defaults::USER_MESSAGES_PER_SECOND, value_name = "COUNT")]
    pub(crate) inbound_user_messages_per_second: Setting<u64>,
    /// Messages that they may send faster; at least what comes in a tenth of a second
    #[arg(long, env = "INBOUND_USER_MESSAGES_BURST", value_parser = user_messages_burst)]
    #[arg(default_value = defaults::USER_MESSAGES_BURST, value_name = "COUNT")]
    pub(crate) inbound_user_messages_burst: u64,
    /// Time in a second that a thread may spend on what one user sends, while
    /// others wait; past it the server reads from the user more slowly. off means
    /// no limit
    #[arg(long, env = "INBOUND_USER_TIME_PER_SECOND", value_parser = user_time_per_second)]
    #[arg(default_value = defaults::USER_TIME_PER_SECOND, value_name = "TIME")]
    pub(crate) inbound_user_time_per_second: Setting<Duration>,
    /// Time that it may spend on that before this counts
    #[arg(long, env = "INBOUND_USER_TIME_BURST", value_parser = user_time_burst)]
    #[arg(default_value = defaults::USER_TIME_BURST, value_name = "TIME")]
    pub(crate) inbound_user_time_burst: Duration,
    /// How long a client may go on sending too fast, and being read from more
    /// slowly, before it is closed (1008)
    #[arg(long, env = "SLOWED_MAX", value_parser = slowed_max)]
    #[arg(default_value = defaults::SLOWED_MAX, value_name = "TIME")]
    pub(crate) slowed_max: Duration,
    /// Messages that have come in part, of all connections together; past it
    /// those of more than 64KiB wait until others are whole. Smaller ones never
    /// wait, and come on top of this
    #[arg(long, env = "UNFINISHED_BYTES_MAX", value_parser = unfinished_bytes)]
    #[arg(default_value = defaults::UNFINISHED_BYTES, value_name = "SIZE")]
    pub(crate) unfinished_bytes_max: usize,
    /// The same of one user; at most UNFINISHED_BYTES_MAX
    #[arg(long, env = "UNFINISHED_BYTES_PER_USER_MAX", value_parser = unfinished_bytes_per_user)]
    #[arg(default_value = defaults::UNFINISHED_BYTES_PER_USER, value_name = "SIZE")]
    pub(crate) unfinished_bytes_per_user_max: usize,
    /// How long one message may take to come; past it the connection is closed
    /// (1008). Waiting for other users, or for the journal, does not count
    #[arg(long, env = "MESSAGE_TIMEOUT", value_parser = message_timeout)]
    #[arg(default_value = defaults::MESSAGE_TIMEOUT, value_name = "TIME")]
    pub(crate) message_timeout: Duration,
}

impl RateSettings {
    /// Brings them into a configuration.
    pub(crate) fn apply_to(&self, config: &mut Config) {
        config.inbound_bytes_per_second = self.inbound_bytes_per_second.0;
        config.inbound_bytes_burst = self.inbound_bytes_burst as u64;
        config.inbound_messages_per_second = self.inbound_messages_per_second.0;
        config.inbound_messages_burst = self.inbound_messages_burst;
        config.inbound_user_bytes_per_second = self.inbound_user_bytes_per_second.0;
        config.inbound_user_bytes_burst = self.inbound_user_bytes_burst as u64;
        config.inbound_user_messages_per_second = self.inbound_user_messages_per_second.0;
        config.inbound_user_messages_burst = self.inbound_user_messages_burst;
        config.inbound_user_time_per_second = self.inbound_user_time_per_second.0;
        config.inbound_user_time_burst = self.inbound_user_time_burst;
        config.slowed_max = self.slowed_max;
        config.unfinished_bytes_max = self.unfinished_bytes_max;
        config.unfinished_bytes_per_user_max = self.unfinished_bytes_per_user_max;
        config.message_timeout = self.message_timeout;
    }
}

mod defaults {
    pub(super) const BYTES_PER_SECOND: &str = "4MiB";
    pub(super) const BYTES_BURST: &str = "64MiB";
    pub(super) const MESSAGES_PER_SECOND: &str = "5000";
    pub(super) const MESSAGES_BURST: &str = "20000";
    pub(super) const USER_BYTES_PER_SECOND: &str = "8MiB";
    pub(super) const USER_BYTES_BURST: &str = "128MiB";
    pub(super) const USER_MESSAGES_PER_SECOND: &str = "20000";
    pub(super) const USER_MESSAGES_BURST: &str = "80000";
    pub(super) const USER_TIME_PER_SECOND: &str = "250ms";
    pub(super) const USER_TIME_BURST: &str = "1s";
    pub(super) const SLOWED_MAX: &str = "60s";
    pub(super) const UNFINISHED_BYTES: &str = "512MiB";
    pub(super) const UNFINISHED_BYTES_PER_USER: &str = "64MiB";
    pub(super) const MESSAGE_TIMEOUT: &str = "5m";
}

fn bytes_per_second(text: &str) -> Parsed<Setting<u64>> {
    bytes_rate(or(text, defaults::BYTES_PER_SECOND))
}

fn user_bytes_per_second(text: &str) -> Parsed<Setting<u64>> {
    bytes_rate(or(text, defaults::USER_BYTES_PER_SECOND))
}

fn bytes_rate(text: &str) -> Parsed<Setting<u64>> {
    match text {
        "off" => Ok(Setting(None)),
        text => bytes::parse(text)
            .map(|bytes| Setting(Some(bytes as u64)))
            .map_err(|_| "expected a size from 1KiB to 1TiB, such as 4MiB, or off for no limit"),
    }
}

fn bytes_burst(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::BYTES_BURST))
}

fn user_bytes_burst(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::USER_BYTES_BURST))
}

fn messages_per_second(text: &str) -> Parsed<Setting<u64>> {
    messages_rate(or(text, defaults::MESSAGES_PER_SECOND))
}

fn user_messages_per_second(text: &str) -> Parsed<Setting<u64>> {
    messages_rate(or(text, defaults::USER_MESSAGES_PER_SECOND))
}

fn messages_rate(text: &str) -> Parsed<Setting<u64>> {
    match text {
        "off" => Ok(Setting(None)),
        text => number(text)
            .map(|count| Setting(Some(count as u64)))
            .map_err(|_| "expected a number from 1, or off for no limit"),
    }
}

fn messages_burst(text: &str) -> Parsed<u64> {
    whole(or(text, defaults::MESSAGES_BURST))
}

fn user_messages_burst(text: &str) -> Parsed<u64> {
    whole(or(text, defaults::USER_MESSAGES_BURST))
}

fn whole(text: &str) -> Parsed<u64> {
    text.parse().map_err(|_| "expected a number")
}

fn user_time_per_second(text: &str) -> Parsed<Setting<Duration>> {
    match or(text, defaults::USER_TIME_PER_SECOND) {
        "off" => Ok(Setting(None)),
        text => duration::parse(text)
            .ok()
            .filter(|time| !time.is_zero())
            .map(|time| Setting(Some(time)))
            .ok_or("expected a time from 1ns to 24h, such as 250ms, or off for no limit"),
    }
}

fn user_time_burst(text: &str) -> Parsed<Duration> {
    duration::parse(or(text, defaults::USER_TIME_BURST))
}

fn slowed_max(text: &str) -> Parsed<Duration> {
    duration::parse_wait(or(text, defaults::SLOWED_MAX))
}

fn unfinished_bytes(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::UNFINISHED_BYTES))
}

fn unfinished_bytes_per_user(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::UNFINISHED_BYTES_PER_USER))
}

fn message_timeout(text: &str) -> Parsed<Duration> {
    duration::parse_wait(or(text, defaults::MESSAGE_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use ysyncd_engine::auth::{TokenKey, TokenVerifier};

    use super::*;

    #[test]
    fn no_limit_is_said_in_a_word() {
        for rate in [
            bytes_per_second,
            messages_per_second,
            user_bytes_per_second,
            user_messages_per_second,
        ] {
            assert!(matches!(rate("off"), Ok(Setting(None))));
            assert!(matches!(rate("5000"), Ok(Setting(Some(5_000)))));
            let error = rate("0").err().unwrap();
            assert!(error.contains("off for no limit"), "{error}");
        }
        assert!(matches!(user_time_per_second("off"), Ok(Setting(None))));
        let error = user_time_per_second("0").err().unwrap();
        assert!(error.contains("off for no limit"), "{error}");
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let config = Config::new(TokenVerifier::new(TokenKey::new(b"secret")), 1);
        let bytes = bytes_per_second("").map(|setting| setting.0);
        assert_eq!(bytes, Ok(config.inbound_bytes_per_second));
        let burst = bytes_burst("").map(|bytes| bytes as u64);
        assert_eq!(burst, Ok(config.inbound_bytes_burst));
        let messages = messages_per_second("").map(|setting| setting.0);
        assert_eq!(messages, Ok(config.inbound_messages_per_second));
        assert_eq!(messages_burst(""), Ok(config.inbound_messages_burst));
        let bytes = user_bytes_per_second("").map(|setting| setting.0);
        assert_eq!(bytes, Ok(config.inbound_user_bytes_per_second));
        let burst = user_bytes_burst("").map(|bytes| bytes as u64);
        assert_eq!(burst, Ok(config.inbound_user_bytes_burst));
        let messages = user_messages_per_second("").map(|setting| setting.0);
        assert_eq!(messages, Ok(config.inbound_user_messages_per_second));
        let burst = user_messages_burst("");
        assert_eq!(burst, Ok(config.inbound_user_messages_burst));
        let time = user_time_per_second("").map(|setting| setting.0);
        assert_eq!(time, Ok(config.inbound_user_time_per_second));
        assert_eq!(user_time_burst(""), Ok(config.inbound_user_time_burst));
        assert_eq!(slowed_max(""), Ok(config.slowed_max));
        assert_eq!(unfinished_bytes(""), Ok(config.unfinished_bytes_max));
        assert_eq!(
            unfinished_bytes_per_user(""),
            Ok(config.unfinished_bytes_per_user_max)
        );
        assert_eq!(message_timeout(""), Ok(config.message_timeout));
    }
}
