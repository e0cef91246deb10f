//! What the page at `/inspector` shows, under `/inspector/facts`.

mod facts;

use std::{fmt, time::Duration};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Response,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use subtle::ConstantTimeEq;
use tokio::{sync::Mutex, time::Instant};

use super::this_machine;
use crate::{
    front::Front,
    request::{Rejection, bearer, refuse_ambiguous},
};

pub(super) const PATH: &str = "/inspector/facts";

/// A page that shows documents and connections: whether there is one is
/// [`Config::inspector`](crate::Config::inspector). It tells the names of all
/// documents and users, and nothing of what is in documents.
#[derive(Clone, PartialEq, Eq)]
pub enum Inspector {
    /// For whoever shows this token, in the header `Authorization: Bearer`.
    Token(String),
    /// For whoever looks on this machine itself. Only for a server that nobody
    /// else can reach.
    ThisMachine,
}

impl fmt::Debug for Inspector {
    /// Tells no token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(..)",
            Self::ThisMachine => "ThisMachine",
        })
    }
}

impl Inspector {
    fn admit(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        match self {
            Self::Token(token) => {
                let brought = headers.get(AUTHORIZATION).and_then(bearer);
                // Nothing but the length can be found out by measuring time.
                let is_right = |brought: &[u8]| bool::from(brought.ct_eq(token.as_bytes()));
                let is_right = brought.is_some_and(is_right);
                is_right.then_some(()).ok_or(Rejection::AdminToken)
            }
            Self::ThisMachine => {
                let is_here = this_machine::is_own_reader(headers);
                is_here.then_some(()).ok_or(Rejection::NotThisMachine)
            }
        }
    }
}

pub(super) async fn answer<B, P: Send + 'static>(
    request: &Request<B>,
    inspector: &Inspector,
    front: &Front<P>,
) -> Result<Response<Bytes>, Rejection> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Rejection::Method("GET, HEAD"));
    }
    refuse_ambiguous(request.headers())?;
    inspector.admit(request.headers())?;
    let facts = front
        .inspected
        .facts(async || facts::told(front).await)
        .await;
    Ok(Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .header(CACHE_CONTROL, "no-store")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header("cross-origin-resource-policy", "same-origin")
        .body(facts)
        .expect("the headers are valid"))
}

/// How long what was found out is told again: whoever looks, and however many
/// look, costs documents next to nothing.
const FRESH: Duration = Duration::from_millis(900);

/// What was found out last.
#[derive(Debug, Default)]
pub(crate) struct Inspected(Mutex<Option<(Instant, Bytes)>>);

impl Inspected {
    async fn facts(&self, find_out: impl AsyncFnOnce() -> String) -> Bytes {
        // Whoever else asks meanwhile waits for the same answer.
        let mut last = self.0.lock().await;
        if let Some((at, facts)) = &*last
            && at.elapsed() < FRESH
        {
            return facts.clone();
        }
        let facts = Bytes::from(find_out().await);
        *last = Some((Instant::now(), facts.clone()));
        facts
    }
}
