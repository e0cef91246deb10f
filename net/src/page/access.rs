//! What the page asks before it opens a WebSocket: what its token allows. A
//! browser tells a page nothing of why a WebSocket was refused.
//!
//! `POST /page/access?document=<id>`, with the token in `Authorization`. The
//! answer is a form: `access` is `read` or `write`; `token` is there if none was
//! sent and the server gives one.

use std::net::IpAddr;

use form_urlencoded::Serializer;
use hyper::{
    HeaderMap, Method, Request, Response,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, FORWARDED, HOST, HeaderName, ORIGIN, VIA,
    },
    http::uri::Authority,
};
use ysyncd_engine::{
    DocId,
    auth::{Access, Moment},
};

use super::Demo;
use crate::{
    Config,
    path::PathError,
    request::{Rejection, bearer, check_origin, refuse_ambiguous, refuse_body},
};

pub(super) const PATH: &str = "/page/access";

pub(super) fn answer<B>(
    request: &Request<B>,
    demo: &Demo,
    config: &Config,
    now: Moment,
) -> Result<Response<String>, Rejection> {
    // Of a POST browsers tell the origin, also within it.
    if request.method() != Method::POST {
        return Err(Rejection::Method("POST"));
    }
    let headers = request.headers();
    refuse_body(headers)?;
    refuse_ambiguous(headers)?;
    check_origin(headers, config)?;
    let query = request.uri().query().unwrap_or_default();
    let doc = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "document");
    let doc = doc.map(|(_, doc)| doc).unwrap_or_default();
    let doc = DocId::new(&doc).map_err(PathError::from)?;
    let brought = headers.get(AUTHORIZATION).and_then(bearer);
    let given = match &demo.token {
        Some(token) if brought.is_none() && is_on_this_machine(headers) => Some(token.as_str()),
        _ => None,
    };
    let token = match (brought, given) {
        (Some(token), _) => std::str::from_utf8(token).map_err(|_| Rejection::TokenUtf8)?,
        (None, given) => given.ok_or(Rejection::TokenMissing)?,
    };
    let grant = config.tokens.verify(token, now.unix)?.grant(&doc, now)?;
    Ok(allowed(grant.access, given))
}

fn allowed(access: Access, given: Option<&str>) -> Response<String> {
    let mut form = Serializer::new(String::new());
    form.append_pair(
        "access",
        match access {
            Access::Read => "read",
            Access::Write => "write",
        },
    );
    if let Some(token) = given {
        form.append_pair("token", token);
    }
    Response::builder()
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(CACHE_CONTROL, "no-store")
        .body(form.finish())
        .expect("the headers are valid")
}

/// True if our own page asks, under a name that only this machine has for
/// itself. A page from elsewhere whose name leads here (DNS rebinding) has
/// another, and so has one behind a proxy that passes the name on.
fn is_on_this_machine(headers: &HeaderMap) -> bool {
    let forwarded = HeaderName::from_static("x-forwarded-for");
    let is_proxied = [FORWARDED, VIA, forwarded]
        .iter()
        .any(|name| headers.contains_key(name));
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(host), Some(origin)) = (text(HOST), text(ORIGIN)) else {
        return false;
    };
    let is_own = origin.strip_prefix("http://") == Some(host);
    is_own && !is_proxied && is_loopback(host)
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
            is_on_this_machine(&headers)
        };
        for host in [
            "127.0.0.1:1234",
            "localhost:1234",
            "[::1]:1234",
            "127.1.2.3",
        ] {
            let origin = Box::leak(format!("http://{host}").into_boxed_str());
            assert!(is_here(host, origin, None), "{host}");
            for name in [FORWARDED, VIA, HeaderName::from_static("x-forwarded-for")] {
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
        assert!(!is_on_this_machine(&HeaderMap::new()));
    }
}
