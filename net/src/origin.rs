//! Where pages come from.

use std::{fmt, str::FromStr};

use hyper::Uri;

/// The origin of a page: a scheme and a host, and a port where it is not that
/// of the scheme (RFC 6454), such as `https://app.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an origin is a scheme and a host, as in https://app.example.org")]
pub struct OriginError;

impl Origin {
    /// Whether this is what a browser says in its `Origin` header.
    pub(crate) fn is(&self, header: &[u8]) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(header)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let uri: Uri = text.parse().map_err(|_| OriginError)?;
        let is_bare = uri.path() == "/" && uri.query().is_none();
        let (Some(scheme), Some(host), true) = (uri.scheme_str(), uri.authority(), is_bare) else {
            return Err(OriginError);
        };
        if host.as_str().contains('@') || text.ends_with('?') {
            return Err(OriginError);
        }
        let name = host.host();
        let port = match &host.as_str()[name.len()..] {
            "" | ":" => None,
            port => Some(port[1..].parse::<u16>().map_err(|_| OriginError)?),
        };
        let default = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Ok(Self(match port.filter(|port| Some(*port) != default) {
            Some(port) => format!("{scheme}://{name}:{port}"),
            None => format!("{scheme}://{name}"),
        }))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_as_browsers_write_it() {
        let origin: Origin = "https://App.example.org/".parse().unwrap();
        assert!(origin.is(b"https://app.example.org"));
        for other in [
            "http://app.example.org",
            "https://app.example.org:8443",
            "https://app.example.org.evil.example",
            "https://evil.example/https://app.example.org",
            "null",
            "",
        ] {
            assert!(!origin.is(other.as_bytes()), "{other}");
        }
        let local: Origin = "http://localhost:5173".parse().unwrap();
        assert!(local.is(b"http://localhost:5173"));
        // Browsers leave out the port that a scheme has anyway.
        for (written, said) in [
            ("http://b.example:80", "http://b.example"),
            ("https://x:443", "https://x"),
            ("HTTPS://x:443/", "https://x"),
            ("http://b.example:", "http://b.example"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://[::1]:5173", "http://[::1]:5173"),
            ("http://b.example:443", "http://b.example:443"),
            ("https://x:80", "https://x:80"),
        ] {
            let origin: Origin = written.parse().unwrap();
            assert!(origin.is(said.as_bytes()), "{written}: {origin}");
        }
    }

    #[test]
    fn what_is_no_origin_is_told() {
        for text in [
            "",
            "app.example.org",
            "https://",
            "https://a.example/path",
            "https://a.example?x",
            "https://me@a.example",
            "https://a.example:x",
            "https://a.example:99999",
            "*",
            "null",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(OriginError), "{text}");
        }
    }
}
