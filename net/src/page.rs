//! Pages for people: at `/` an editor to try the server with, at `/inspector`
//! what the server does. Their sources are in `web/`; what is served here is
//! their build, which is committed.

mod access;
mod asset;
mod inspector;
mod this_machine;

use std::fmt;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response};

use self::asset::{Asset, Page};
pub(crate) use self::inspector::Inspected;
pub use self::inspector::Inspector;
use crate::{front::Front, path::PathError, request::Rejection};

/// A page to try the server with: whether there is one is
/// [`Config::demo`](crate::Config::demo).
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

/// Answers a request for a page, for what it is made of, or for what it asks.
pub(crate) async fn answer<B, P: Send + 'static>(
    request: &Request<B>,
    front: &Front<P>,
) -> Result<Response<Full<Bytes>>, Rejection> {
    let config = &*front.config;
    let (demo, inspector) = (config.demo.as_ref(), config.inspector.as_ref());
    let path = request.uri().path();
    if let (access::PATH, Some(demo)) = (path, demo) {
        return Ok(access::answer(request, demo, config, front.now())?.map(Full::from));
    }
    if let (inspector::PATH, Some(inspector)) = (path, inspector) {
        return Ok(inspector::answer(request, inspector, front)
            .await?
            .map(Full::from));
    }
    let is_there = |asset: &&Asset| match asset.page {
        Page::Editor => demo.is_some(),
        Page::Inspector => inspector.is_some(),
        Page::Any => demo.is_some() || inspector.is_some(),
    };
    let asset = Asset::at(path).filter(is_there);
    let asset = asset.ok_or(PathError::Elsewhere)?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Rejection::Method("GET, HEAD"));
    }
    Ok(asset.answer(request.headers()))
}
