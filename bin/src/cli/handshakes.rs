//! What is borne of connections that have not asked for a document yet.

use std::time::Duration;

use clap::Args;
use ysyncd_net::Config;

use super::{Parsed, number, or};
use crate::{bytes, duration};

/// Limits of what comes before a WebSocket.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct HandshakeSettings {
    /// Connections that have not asked for a document yet; past it new ones wait
    /// in the kernel. Less if file descriptors are few
    #[arg(long, env = "HANDSHAKES_MAX", value_parser = handshakes_max)]
    #[arg(default_value = defaults::HANDSHAKES_MAX, value_name = "COUNT")]
    pub(crate) handshakes_max: usize,
    /// The same from one address that is no trusted proxy's; past it they are
    /// dropped without a word
    #[arg(long, env = "HANDSHAKES_PER_ADDRESS_MAX", value_parser = per_address_max)]
    #[arg(default_value = defaults::HANDSHAKES_PER_ADDRESS_MAX, value_name = "COUNT")]
    pub(crate) handshakes_per_address_max: usize,
    /// How long the head of a request may take to come, and how long a connection
    /// may rest between two requests
    #[arg(long, env = "HEADER_TIMEOUT", value_parser = header_timeout)]
    #[arg(default_value = defaults::HEADER_TIMEOUT, value_name = "TIME")]
    pub(crate) header_timeout: Duration,
    /// How long a client may take to read the answer to a plain request, such as
    /// one for /metrics, before its connection is closed
    #[arg(long, env = "RESPONSE_TIMEOUT", value_parser = response_timeout)]
    #[arg(default_value = defaults::RESPONSE_TIMEOUT, value_name = "TIME")]
    pub(crate) response_timeout: Duration,
    /// Size of the head of a request, token and cookies included; from 8KiB to
    /// 1MiB
    #[arg(long, env = "HEADER_BYTES_MAX", value_parser = header_bytes_max)]
    #[arg(default_value = defaults::HEADER_BYTES_MAX, value_name = "SIZE")]
    pub(crate) header_bytes_max: usize,
}

impl HandshakeSettings {
    /// Brings them into a configuration.
    pub(crate) fn apply_to(&self, config: &mut Config) {
        config.handshakes_max = self.handshakes_max;
        config.handshakes_per_address_max = self.handshakes_per_address_max;
        config.header_timeout = self.header_timeout;
        config.response_timeout = self.response_timeout;
        config.header_bytes_max = self.header_bytes_max;
    }
}

mod defaults {
    pub(super) const HANDSHAKES_MAX: &str = "1024";
    pub(super) const HANDSHAKES_PER_ADDRESS_MAX: &str = "256";
    pub(super) const HEADER_TIMEOUT: &str = "10s";
    pub(super) const RESPONSE_TIMEOUT: &str = "30s";
    pub(super) const HEADER_BYTES_MAX: &str = "16KiB";
}

fn handshakes_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::HANDSHAKES_MAX))
}

fn per_address_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::HANDSHAKES_PER_ADDRESS_MAX))
}

fn header_timeout(text: &str) -> Parsed<Duration> {
    duration::parse_wait(or(text, defaults::HEADER_TIMEOUT))
}

fn response_timeout(text: &str) -> Parsed<Duration> {
    duration::parse_wait(or(text, defaults::RESPONSE_TIMEOUT))
}

fn header_bytes_max(text: &str) -> Parsed<usize> {
    let bytes = bytes::parse(or(text, defaults::HEADER_BYTES_MAX)).ok();
    bytes
        .filter(|bytes| (Config::HEADER_BYTES_LEAST..=1 << 20).contains(bytes))
        .ok_or("expected a size from 8KiB to 1MiB, such as 16KiB, or plain bytes")
}

#[cfg(test)]
mod tests {
    use ysyncd_engine::auth::{TokenKey, TokenVerifier};

    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let config = Config::new(TokenVerifier::new(TokenKey::new(b"secret")), 1);
        assert_eq!(handshakes_max(""), Ok(config.handshakes_max));
        assert_eq!(per_address_max(""), Ok(config.handshakes_per_address_max));
        assert_eq!(header_timeout(""), Ok(config.header_timeout));
        assert_eq!(response_timeout(""), Ok(config.response_timeout));
        assert_eq!(header_bytes_max(""), Ok(config.header_bytes_max));
    }
}
