//! How many may connect, and from where.
#![expect(clippy::doc_markdown, reason = "these comments are the help text")]

use clap::Args;
use ysyncd_net::TrustedProxies;

use super::{Parsed, or};

/// Limits of connections.
#[derive(Debug, Args)]
pub(crate) struct ConnectionSettings {
    /// Connections in all; past it clients get 503. Also bounded by the limit of
    /// file descriptors, which is told at the start. Here and in the next three
    /// off, or 0, means no limit
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
}

mod defaults {
    pub(super) const CONNECTIONS_MAX: &str = "10000";
    pub(super) const CONNECTIONS_PER_DOCUMENT_MAX: &str = "1000";
    pub(super) const CONNECTIONS_PER_USER_MAX: &str = "500";
    pub(super) const CONNECTIONS_PER_ADDRESS_MAX: &str = "2000";
    pub(super) const TRUSTED_PROXIES: &str = "127.0.0.0/8,::1";
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

/// A number of which none means that there is no limit.
fn count(text: &str) -> Parsed<usize> {
    match text {
        "off" | "0" => Ok(usize::MAX),
        _ => text.parse().map_err(|_| "expected a number, or off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let key = ysyncd_engine::auth::TokenKey::new(b"secret");
        let tokens = ysyncd_engine::auth::TokenVerifier::new(key);
        let config = ysyncd_net::Config::new(tokens, 1);
        assert_eq!(connections_max(""), Ok(config.connections_max));
        assert_eq!(
            per_document_max(""),
            Ok(config.connections_per_document_max)
        );
        assert_eq!(per_user_max(""), Ok(config.connections_per_user_max));
        assert_eq!(per_address_max(""), Ok(config.connections_per_address_max));
        assert_eq!(trusted_proxies(""), Ok(config.trusted_proxies));
    }
}
