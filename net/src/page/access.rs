//! What the page asks before it opens a WebSocket: what its token allows. A
//! browser tells a page nothing of why a WebSocket was refused.
//!
//! `POST /page/access?document=<id>`, with the token in `Authorization`. The
//! answer is a form: `access` is `read` or `write`; `token` is there if none was
//! sent and the server gives one.

use form_urlencoded::Serializer;
use hyper::{
    Method, Request, Response,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE},
};
use ysyncd_engine::{
    DocId,
    auth::{Access, Moment},
};

use super::{Demo, this_machine};
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
        Some(token) if brought.is_none() && this_machine::is_own_page(headers) => {
            Some(token.as_str())
        }
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
