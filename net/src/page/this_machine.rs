//! Whether somebody on this machine asks, who needs no token where nobody else
//! can come.

use std::net::IpAddr;

use hyper::{
    HeaderMap,
    header::{FORWARDED, HOST, HeaderName, ORIGIN, VIA},
    http::uri::Authority,
};

/// True if our own page asks, under a name that only this machine has for
/// itself. A page from elsewhere whose name leads here (DNS rebinding) has
/// another, and so has one behind a proxy that passes the name on.
pub(super) fn is_own_page(headers: &HeaderMap) -> bool {
    let (Some(host), Some(origin)) = (text(headers, HOST), text(headers, ORIGIN)) else {
        return false;
    };
    origin.strip_prefix("http://") == Some(host) && is_local(headers)
}

/// The same for what browsers send no origin with, as it changes nothing. What
/// comes with one must be our own; they let no other page read the answer.
pub(super) fn is_own_reader(headers: &HeaderMap) -> bool {
    let site = text(headers, HeaderName::from_static("sec-fetch-site"));
    let is_own = match headers.contains_key(ORIGIN) {
        true => is_own_page(headers),
        false => is_local(headers),
    };
    is_own && site.is_none_or(|site| matches!(site, "same-origin" | "none"))
}

/// What proxies add, though not all of them add anything.
const PROXIED: [HeaderName; 6] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// Whether this machine is asked under a name that it alone has for itself.
fn is_local(headers: &HeaderMap) -> bool {
    let is_proxied = PROXIED.iter().any(|name| headers.contains_key(name));
    !is_proxied && text(headers, HOST).is_some_and(is_loopback)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host().trim_matches(['[', ']']);
    let address = name.parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_our_own_page_on_this_machine_is_given_a_token() {
        let is_here = |host: &'static str, origin: &'static str, more: Option<HeaderName>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
            if let Some(name) = more {
                headers.insert(name, HeaderValue::from_static("x"));
            }
            is_own_page(&headers)
        };
        for host in [
            "127.0.0.1:1234",
            "localhost:1234",
            "[::1]:1234",
            "127.1.2.3",
        ] {
            let origin = Box::leak(format!("http://{host}").into_boxed_str());
            assert!(is_here(host, origin, None), "{host}");
            for name in PROXIED {
                assert!(!is_here(host, origin, Some(name)), "{host}");
            }
            assert!(!is_here(host, "http://evil.example", None));
            assert!(!is_here(host, "https://localhost:1234", None));
            assert!(!is_here(host, "null", None));
        }
        for host in [
            "evil.example:1234",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "192.168.0.1",
            "a b",
            "",
        ] {
            let origin = Box::leak(format!("http://{host}").into_boxed_str());
            assert!(!is_here(host, origin, None), "{host}");
        }
        assert!(!is_own_page(&HeaderMap::new()));
    }

    #[test]
    fn only_somebody_on_this_machine_reads_without_a_token() {
        let is_here = |more: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("127.0.0.1:1234"));
            for (name, value) in more {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_own_reader(&headers)
        };
        assert!(is_here(&[]));
        assert!(is_here(&[("host", "localhost")]));
        assert!(is_here(&[("sec-fetch-site", "same-origin")]));
        assert!(is_here(&[("sec-fetch-site", "none")]));
        assert!(is_here(&[("origin", "http://127.0.0.1:1234")]));
        for bad in [
            ("host", "evil.example"),
            ("host", "192.168.0.1"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "http://evil.example"),
            ("origin", "http://127.0.0.1:1235"),
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
            ("via", "1.1 proxy"),
        ] {
            assert!(!is_here(&[bad]), "{bad:?}");
        }
        assert!(!is_own_reader(&HeaderMap::new()));
    }
}
