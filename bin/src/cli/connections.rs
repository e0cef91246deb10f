//! How many may connect, from where, and when a connection is over.
#![expect(clippy::doc_markdown, reason = "these comments are the help text")]

use std::time::Duration;

use clap::Args;
use ysyncd_net::{Config, TrustedProxies};

use super::{Parsed, number, or};
use crate::duration;

/// Limits of connections.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connections")]
pub(crate) struct ConnectionSettings {
    /// Connections in all; past it clients get 503. Also bounded by the limit of
    /// file descriptors, which is told at the start. Here and in the next three
    /// off means no limit
    #[arg(long, env = "CONNECTIONS_MAX", value_parser = connections_max)]
    #[arg(default_value = defaults::CONNECTIONS_MAX, value_name = "COUNT")]
    pub(crate) connections_max: usize,
    /// Connections to one document; past it, and past the next two, clients get
    /// 429
    #[arg(long, env = "CONNECTIONS_PER_DOCUMENT_MAX", value_parser = per_document_max)]
    #[arg(default_value = defaults::CONNECTIONS_PER_DOCUMENT_MAX, value_name = "COUNT")]
    pub(crate) connections_per_document_max: usize,
    /// Connections of one user; an editor has one for each document in each tab
    #[arg(long, env = "CONNECTIONS_PER_USER_MAX", value_parser = per_user_max)]
    #[arg(default_value = defaults::CONNECTIONS_PER_USER_MAX, value_name = "COUNT")]
    pub(crate) connections_per_user_max: usize,
    /// Connections from one address, behind which a whole office may be, or from
    /// one /64 of IPv6
    #[arg(long, env = "CONNECTIONS_PER_ADDRESS_MAX", value_parser = per_address_max)]
    #[arg(default_value = defaults::CONNECTIONS_PER_ADDRESS_MAX, value_name = "COUNT")]
    pub(crate) connections_per_address_max: usize,
    /// Proxies that are believed when X-Forwarded-For says for whom they ask:
    /// addresses and networks with commas between, or none
    ///
    /// The default is this machine, where a proxy such as Caddy often is and
    /// strangers never are; Caddy sets the header by itself, nginx needs
    /// proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for. Of the addresses
    /// in the header the right-most counts that is no trusted proxy's: what stands
    /// left of it may be made up. A trusted proxy that says nothing stands for any
    /// number of clients, so what comes from it is not counted by address
    #[arg(long, env = "TRUSTED_PROXIES", value_parser = trusted_proxies)]
    #[arg(default_value = defaults::TRUSTED_PROXIES, value_name = "ADDRESSES")]
    pub(crate) trusted_proxies: TrustedProxies,
    /// Time between two pings to a client
    #[arg(long, env = "PING_INTERVAL", value_parser = ping_interval)]
    #[arg(default_value = defaults::PING_INTERVAL, value_name = "TIME")]
    pub(crate) ping_interval: Duration,
    /// A connection from which nothing came for so long, no answer to a ping
    /// either, is cut; more than PING_INTERVAL
    #[arg(long, env = "SILENCE_MAX", value_parser = silence_max)]
    #[arg(default_value = defaults::SILENCE_MAX, value_name = "TIME")]
    pub(crate) silence_max: Duration,
    /// How long a close may take until the client has answered; past it the
    /// connection is cut
    #[arg(long, env = "CLOSE_TIMEOUT", value_parser = close_timeout)]
    #[arg(default_value = defaults::CLOSE_TIMEOUT, value_name = "TIME")]
    pub(crate) close_timeout: Duration,
}

impl ConnectionSettings {
    /// Brings them into a configuration.
    pub(crate) fn apply_to(&self, config: &mut Config) {
        config.connections_max = self.connections_max;
        config.connections_per_document_max = self.connections_per_document_max;
        config.connections_per_user_max = self.connections_per_user_max;
        config.connections_per_address_max = self.connections_per_address_max;
        config.trusted_proxies.clone_from(&self.trusted_proxies);
        config.ping_interval = self.ping_interval;
        config.silence_max = self.silence_max;
        config.close_timeout = self.close_timeout;
    }
}

mod defaults {
    pub(super) const CONNECTIONS_MAX: &str = "10000";
    pub(super) const CONNECTIONS_PER_DOCUMENT_MAX: &str = "1000";
    pub(super) const CONNECTIONS_PER_USER_MAX: &str = "500";
    pub(super) const CONNECTIONS_PER_ADDRESS_MAX: &str = "2000";
    pub(super) const TRUSTED_PROXIES: &str = "127.0.0.0/8,::1";
    pub(super) const PING_INTERVAL: &str = "30s";
    pub(super) const SILENCE_MAX: &str = "60s";
    pub(super) const CLOSE_TIMEOUT: &str = "5s";
}

fn connections_max(text: &str) -> Parsed<usize> {
    count(or(text, defaults::CONNECTIONS_MAX))
}

fn per_document_max(text: &str) -> Parsed<usize> {
    count(or(text, defaults::CONNECTIONS_PER_DOCUMENT_MAX))
}

fn per_user_max(text: &str) -> Parsed<usize> {
    count(or(text, defaults::CONNECTIONS_PER_USER_MAX))
}

fn per_address_max(text: &str) -> Parsed<usize> {
    count(or(text, defaults::CONNECTIONS_PER_ADDRESS_MAX))
}

fn trusted_proxies(text: &str) -> Parsed<TrustedProxies> {
    let proxies = or(text, defaults::TRUSTED_PROXIES).parse();
    proxies.map_err(|_| "expected addresses or networks such as 10.0.0.7,fd00::/8, or none")
}

fn ping_interval(text: &str) -> Parsed<Duration> {
    duration::parse_wait(or(text, defaults::PING_INTERVAL))
}

fn silence_max(text: &str) -> Parsed<Duration> {
    duration::parse_wait(or(text, defaults::SILENCE_MAX))
}

fn close_timeout(text: &str) -> Parsed<Duration> {
    duration::parse_wait(or(text, defaults::CLOSE_TIMEOUT))
}

/// A number, or no limit. None at all would let nobody in, and is what others say
/// for no limit: who writes it has to say which.
fn count(text: &str) -> Parsed<usize> {
    match text {
        "off" => Ok(usize::MAX),
        _ => number(text).map_err(|_| "expected a number from 1, or off for no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_said_in_a_word() {
        for count in [
            connections_max,
            per_document_max,
            per_user_max,
            per_address_max,
        ] {
            assert_eq!(count("off"), Ok(usize::MAX));
            assert_eq!(count("7"), Ok(7));
            for none in ["0", "00", "-1"] {
                let error = count(none).unwrap_err();
                assert!(error.contains("off for no limit"), "{none}: {error}");
            }
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let key = ysyncd_engine::auth::TokenKey::new(b"secret");
        let tokens = ysyncd_engine::auth::TokenVerifier::new(key);
        let config = Config::new(tokens, 1);
        assert_eq!(connections_max(""), Ok(config.connections_max));
        assert_eq!(
            per_document_max(""),
            Ok(config.connections_per_document_max)
        );
        assert_eq!(per_user_max(""), Ok(config.connections_per_user_max));
        assert_eq!(per_address_max(""), Ok(config.connections_per_address_max));
        assert_eq!(trusted_proxies(""), Ok(config.trusted_proxies));
        assert_eq!(ping_interval(""), Ok(config.ping_interval));
        assert_eq!(silence_max(""), Ok(config.silence_max));
        assert_eq!(close_timeout(""), Ok(config.close_timeout));
    }
}
