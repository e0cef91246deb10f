//! Where a client is, also behind proxies.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use hyper::HeaderMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// What one customer of a provider gets is a /64 at least: whoever has one
/// address has all of it.
const IPV6_PREFIX_BITS: u8 = 64;

/// The proxies that are believed when they say for whom they ask, in
/// `X-Forwarded-For`. Written as addresses and networks with commas between,
/// such as `10.0.0.7,fd00::/8`, or `none`.
///
/// The default is this machine, `127.0.0.0/8,::1`: a proxy beside the server
/// comes from there, and nobody else does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Why a text names no proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("proxies are addresses or networks, as in 10.0.0.7,fd00::/8, or none")]
pub struct TrustedProxiesError;

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    pub(crate) ip: IpAddr,
    /// True if this is a proxy that did not say for whom it asks, or somebody
    /// beside it.
    pub(crate) is_proxy: bool,
}

impl ClientAddress {
    /// What its connections are counted under. `None` for a proxy, which
    /// stands for any number of clients.
    pub(crate) fn counted_as(&self) -> Option<IpAddr> {
        match self.ip {
            _ if self.is_proxy => None,
            ip @ IpAddr::V4(_) => Some(ip),
            IpAddr::V6(ip) => {
                let net = Ipv6Net::new_assert(ip, IPV6_PREFIX_BITS);
                Some(net.network().into())
            }
        }
    }
}

impl TrustedProxies {
    /// Believes nobody.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The address of a client: that of the peer, or what the proxies that are
    /// trusted say, which is the right-most address that is none of theirs.
    /// What stands left of it was written by the client itself, perhaps.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> ClientAddress {
        let mut last = self.judge(peer.ip());
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops {
            let Some(ip) = parse(hop).filter(|_| last.is_proxy) else {
                break;
            };
            last = self.judge(ip);
        }
        last
    }

    /// What is known of a client before it has said anything.
    pub(crate) fn peer(&self, peer: SocketAddr) -> ClientAddress {
        self.judge(peer.ip())
    }

    fn judge(&self, ip: IpAddr) -> ClientAddress {
        // A socket for both families tells IPv4 peers as ::ffff:a.b.c.d.
        let ip = ip.to_canonical();
        let is_proxy = self.0.iter().any(|net| net.contains(&ip));
        ClientAddress { ip, is_proxy }
    }
}

/// An address as proxies write it: plain, with brackets, or with a port.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim_ascii();
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    plain.parse().ok().or_else(with_port)
}

impl Default for TrustedProxies {
    fn default() -> Self {
        Self(vec![
            Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8).trunc().into(),
            IpAddr::V6(Ipv6Addr::LOCALHOST).into(),
        ])
    }
}

impl FromStr for TrustedProxies {
    type Err = TrustedProxiesError;

    fn from_str(text: &str) -> Result<Self, TrustedProxiesError> {
        if text.trim() == "none" {
            return Ok(Self::none());
        }
        let network = |part: &str| {
            let part = part.trim();
            let net = part.parse::<IpNet>().ok();
            net.or_else(|| part.parse().ok().map(|ip: IpAddr| ip.into()))
                .ok_or(TrustedProxiesError)
        };
        text.split(',')
            .map(network)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let nets: Vec<String> = self.0.iter().map(IpNet::to_string).collect();
        f.write_str(&nets.join(","))
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn client(trusted: &str, peer: &str, lines: &[&[u8]]) -> (String, bool) {
        let trusted: TrustedProxies = trusted.parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        let found = trusted.client(peer, &headers);
        (found.ip.to_string(), found.is_proxy)
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_is_the_client() {
        let trusted = "127.0.0.0/8,10.0.0.0/8,::1";
        for (peer, lines, ip, is_proxy) in [
            (
                "127.0.0.1",
                &[b"192.0.2.1".as_slice()][..],
                "192.0.2.1",
                false,
            ),
            ("127.0.0.1", &[b"1.1.1.1, 192.0.2.1"], "192.0.2.1", false),
            ("::1", &[b"192.0.2.1,10.0.0.9"], "192.0.2.1", false),
            (
                "::1",
                &[b"9.9.9.9", b"192.0.2.1", b" 10.0.0.9 "],
                "192.0.2.1",
                false,
            ),
            ("::ffff:127.0.0.1", &[b"192.0.2.1:4711"], "192.0.2.1", false),
            ("127.0.0.1", &[b"2001:db8::1"], "2001:db8::1", false),
            ("127.0.0.1", &[b"[2001:db8::1]"], "2001:db8::1", false),
            ("127.0.0.1", &[b"[2001:db8::1]:80"], "2001:db8::1", false),
            // Nobody else is believed.
            ("192.0.2.7", &[b"1.1.1.1"], "192.0.2.7", false),
            ("::ffff:192.0.2.7", &[b"1.1.1.1"], "192.0.2.7", false),
            // What makes no sense ends the chain.
            ("127.0.0.1", &[b"192.0.2.1, unknown"], "127.0.0.1", true),
            (
                "127.0.0.1",
                &[b"192.0.2.1, \xff, 10.0.0.9"],
                "10.0.0.9",
                true,
            ),
            ("127.0.0.1", &[b"192.0.2.1,"], "127.0.0.1", true),
            ("127.0.0.1", &[], "127.0.0.1", true),
        ] {
            let expected = (ip.to_owned(), is_proxy);
            assert_eq!(client(trusted, peer, lines), expected, "{peer} {lines:?}");
        }
        let nobody = client("none", "127.0.0.1", &[b"192.0.2.1"]);
        assert_eq!(nobody, ("127.0.0.1".to_owned(), false));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address_and_a_proxy_as_none() {
        let counted = |ip: &str, is_proxy| {
            let ip = ip.parse().unwrap();
            let counted = ClientAddress { ip, is_proxy }.counted_as();
            counted.map(|ip| ip.to_string())
        };
        assert_eq!(
            counted("2001:db8:0:1:2:3:4:5", false).unwrap(),
            "2001:db8:0:1::"
        );
        assert_eq!(counted("192.0.2.1", false).unwrap(), "192.0.2.1");
        assert_eq!(counted("127.0.0.1", true), None);
    }

    #[test]
    fn proxies_are_read_and_written() {
        for text in ["none", "127.0.0.0/8,::1/128", "10.0.0.7/32,fd00::/8"] {
            let proxies: TrustedProxies = text.parse().unwrap();
            assert_eq!(proxies.to_string(), text);
        }
        assert_eq!(TrustedProxies::default().to_string(), "127.0.0.0/8,::1/128");
        for bad in [
            "",
            "10.0.0.0/33",
            "proxy.example.org",
            "10.0.0.1,",
            "none,::1",
        ] {
            assert_eq!(
                bad.parse::<TrustedProxies>(),
                Err(TrustedProxiesError),
                "{bad}"
            );
        }
    }
}
