//! The page at `/`, an editor to try the server with. Its sources are in
//! `web/`; what is served here is their build, which is committed.

mod access;
mod asset;

use std::fmt;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response};
use ysyncd_engine::auth::Moment;

use self::asset::Asset;
use crate::{Config, path::PathError, request::Rejection};

/// A page to try the server with: whether there is one is [`Config::demo`].
#[derive(Clone, Default)]
pub struct Demo {
    /// A token for whoever opens the page on this machine itself; the page asks
    /// others for theirs. `None`: it asks everybody. Only for a server that
    /// nobody else can reach.
    pub token: Option<String>,
}

impl fmt::Debug for Demo {
    /// Tells no token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").finish_non_exhaustive()
    }
}

/// Answers a request for the page, for what it is made of, or for what it asks.
pub(crate) fn answer<B>(
    request: &Request<B>,
    config: &Config,
    now: Moment,
) -> Result<Response<Full<Bytes>>, Rejection> {
    let demo = config.demo.as_ref().ok_or(PathError::Elsewhere)?;
    let path = request.uri().path();
    if path == access::PATH {
        return Ok(access::answer(request, demo, config, now)?.map(Full::from));
    }
    let asset = Asset::at(path).ok_or(PathError::Elsewhere)?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Rejection::Method("GET, HEAD"));
    }
    Ok(asset.answer(request.headers()))
}
