//! Requests for a document: what they must hold, and what is said to those
//! that do not.

use std::borrow::Cow;

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    header::{
        ALLOW, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, ORIGIN, RETRY_AFTER,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
    },
};
use tungstenite::handshake::server::create_response;
use ysyncd_engine::{
    DocId, Refusal,
    auth::{Forbidden, Grant, Moment, TokenError},
};

use crate::{
    Config,
    farewell::Farewell,
    path::{PathError, doc_id},
    quota::LimitReached,
};

/// A request for a document that may go to the engine.
#[derive(Debug)]
pub(crate) struct SyncRequest {
    pub(crate) doc: DocId,
    pub(crate) grant: Grant,
    /// The answer that completes the handshake, if the engine accepts.
    pub(crate) switching: Response<()>,
}

/// Why a request is answered with an error. The message tells the client's
/// developer what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejection {
    #[error("{0}")]
    Path(#[from] PathError),
    #[error("this allows {0} only")]
    Method(&'static str),
    #[error(
        "this is a WebSocket endpoint; connect with a y-websocket client to ws(s)://<host>/sync/v1"
    )]
    UpgradeRequired,
    #[error("a request for a document has no body; leave out Content-Length and Transfer-Encoding")]
    Body,
    #[error(
        "a request has one Host, one Origin, one Authorization, one Sec-WebSocket-Key and one \
         ?token= at most"
    )]
    Ambiguous,
    #[error("a request names its Host")]
    HostMissing,
    #[error("only WebSocket version 13 is spoken here")]
    Version,
    #[error("{0}")]
    Handshake(String),
    #[error(
        "a token is missing; send 'Authorization: Bearer <token>' or '?token=', \
         percent-encoded; `ysyncd token <userId>` mints one"
    )]
    TokenMissing,
    #[error("the token is not UTF-8")]
    TokenUtf8,
    #[error("{0}; `ysyncd token <userId>` mints one")]
    Token(#[from] TokenError),
    #[error("{0}; ask for another token, or another document")]
    Forbidden(#[from] Forbidden),
    #[error("pages of this origin are not allowed here; ALLOWED_ORIGINS names those that are")]
    Origin,
    #[error("the admin token is missing or wrong; send 'Authorization: Bearer <ADMIN_TOKEN>'")]
    AdminToken,
    #[error(
        "only this machine itself may look, under a name such as localhost; with ADMIN_TOKEN \
         others may, too"
    )]
    NotThisMachine,
    #[error("{0}")]
    Limit(#[from] LimitReached),
    #[error("{0}")]
    Refused(#[from] Refusal),
}

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) rejection: Rejection,
    /// What was asked for, where it is known and may be told.
    pub(crate) doc: Option<DocId>,
    /// What is said instead to a browser, whose page cannot read an answer.
    pub(crate) farewell: Option<Box<Farewell>>,
}

impl<R: Into<Rejection>> From<R> for Refused {
    fn from(rejection: R) -> Self {
        Self {
            rejection: rejection.into(),
            doc: None,
            farewell: None,
        }
    }
}

impl SyncRequest {
    /// Checks everything that can be checked without the engine.
    pub(crate) fn parse<B>(
        request: Request<B>,
        config: &Config,
        now: Moment,
    ) -> Result<Self, Refused> {
        if request.method() != Method::GET {
            return Err(Rejection::Method("GET").into());
        }
        let doc = doc_id(request.uri().path());
        if let Err(PathError::Elsewhere) = doc {
            return Err(PathError::Elsewhere.into());
        }
        if !request.headers().contains_key(UPGRADE) {
            return Err(Rejection::UpgradeRequired.into());
        }
        refuse_body(request.headers())?;
        refuse_ambiguous(request.headers())?;
        if !request.headers().contains_key(HOST) {
            return Err(Rejection::HostMissing.into());
        }
        check_origin(request.headers(), config)?;
        let granted = match &doc {
            Ok(doc) => grant(&request, doc, config, now),
            Err(error) => Err(Rejection::from(*error)),
        };
        let is_browser = request.headers().contains_key(ORIGIN);
        let switching = switching_protocols(request);
        match granted {
            Ok(grant) => Ok(Self {
                doc: doc?,
                grant,
                switching: switching?,
            }),
            Err(rejection) => Err(Refused {
                doc: doc.ok(),
                farewell: switching.ok().filter(|_| is_browser).map(|switching| {
                    let reason = rejection.to_string();
                    Box::new(Farewell::new(switching, rejection.status(), &reason))
                }),
                rejection,
            }),
        }
    }
}

/// What whoever asks may do with a document.
fn grant<B>(
    request: &Request<B>,
    doc: &DocId,
    config: &Config,
    now: Moment,
) -> Result<Grant, Rejection> {
    let token = token(request.headers(), request.uri())?;
    let claims = config.tokens.verify(&token, now.unix)?;
    Ok(claims.grant(doc, now)?)
}

impl Rejection {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Path(PathError::Elsewhere) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Path(_)
            | Self::Body
            | Self::Ambiguous
            | Self::HostMissing
            | Self::Handshake(_) => StatusCode::BAD_REQUEST,
            Self::UpgradeRequired | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::TokenMissing | Self::TokenUtf8 | Self::Token(_) | Self::AdminToken => {
                StatusCode::UNAUTHORIZED
            }
            Self::Forbidden(_) | Self::Origin | Self::NotThisMachine => StatusCode::FORBIDDEN,
            Self::Limit(LimitReached::Total) | Self::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Limit(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The whole answer: the message as plain text, and the headers that go
    /// with its status.
    pub(crate) fn response(&self) -> Response<String> {
        let mut response = Response::new(format!("{self}\n"));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
        set(hyper::header::CONTENT_TYPE, "text/plain; charset=utf-8");
        match self {
            Self::Method(allowed) => set(ALLOW, allowed),
            // Where the body ends need not be known then.
            Self::Body => set(CONNECTION, "close"),
            Self::UpgradeRequired => set(UPGRADE, "websocket"),
            Self::Version => set(SEC_WEBSOCKET_VERSION, "13"),
            Self::TokenMissing | Self::TokenUtf8 | Self::Token(_) | Self::AdminToken => {
                set(WWW_AUTHENTICATE, "Bearer")
            }
            Self::Limit(_) | Self::Refused(_) => {
                // Whoever is asked to come back later does not wait here: its
                // handshake's place has been given to somebody else.
                set(CONNECTION, "close");
                set(RETRY_AFTER, "5")
            }
            _ => None,
        };
        response
    }
}

/// Behind the head of an upgrade comes WebSocket, and nothing that one reader
/// takes for a body and another for a request or a frame.
pub(crate) fn refuse_body(headers: &HeaderMap) -> Result<(), Rejection> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let is_bare = lengths.all(|len| len == "0") && !headers.contains_key(TRANSFER_ENCODING);
    is_bare.then_some(()).ok_or(Rejection::Body)
}

/// What a proxy in front has looked at must be what counts here, and which of
/// two that would be nobody knows (RFC 9112 section 3.2 for Host).
pub(crate) fn refuse_ambiguous(headers: &HeaderMap) -> Result<(), Rejection> {
    let is_single = |name| headers.get_all(name).iter().nth(1).is_none();
    let are_single = [HOST, ORIGIN, AUTHORIZATION, SEC_WEBSOCKET_KEY]
        .into_iter()
        .all(is_single);
    are_single.then_some(()).ok_or(Rejection::Ambiguous)
}

/// Browsers say which page opens a WebSocket, and open it for any.
pub(crate) fn check_origin(headers: &HeaderMap, config: &Config) -> Result<(), Rejection> {
    let (Some(allowed), Some(origin)) = (&config.allowed_origins, headers.get(ORIGIN)) else {
        return Ok(());
    };
    let is_allowed = allowed.iter().any(|one| one.is(origin.as_bytes()));
    is_allowed.then_some(()).ok_or(Rejection::Origin)
}

/// The token of a request: from the header if there is one, else from the
/// query, since browsers cannot set headers on a WebSocket.
fn token<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Result<Cow<'a, str>, Rejection> {
    let query = uri.query().unwrap_or_default();
    let mut in_query = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "token")
        .map(|(_, token)| token);
    let (first, second) = (in_query.next(), in_query.next());
    if second.is_some() {
        return Err(Rejection::Ambiguous);
    }
    if let Some(token) = headers.get(AUTHORIZATION).and_then(bearer) {
        let token = std::str::from_utf8(token).map_err(|_| Rejection::TokenUtf8)?;
        return Ok(Cow::Borrowed(token));
    }
    first.ok_or(Rejection::TokenMissing)
}

/// The credentials of the Bearer scheme. Another scheme is none of ours: a
/// proxy in front may have its own use for it.
pub(crate) fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// Checks the WebSocket handshake and makes the answer that completes it.
fn switching_protocols<B>(request: Request<B>) -> Result<Response<()>, Rejection> {
    use tungstenite::error::{Error, ProtocolError};
    let (head, _) = request.into_parts();
    create_response(&Request::from_parts(head, ())).map_err(|error| match error {
        Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => Rejection::Version,
        Error::Protocol(ProtocolError::MissingUpgradeWebSocketHeader) => Rejection::UpgradeRequired,
        error => Rejection::Handshake(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_token_goes_before_the_query_token() {
        let token_of = |authorization: Option<&[u8]>, uri: &'static str| {
            let mut headers = HeaderMap::new();
            if let Some(value) = authorization {
                headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
            }
            token(&headers, &Uri::from_static(uri)).map(Cow::into_owned)
        };
        let uri = "/sync/v1/a?x=1&token=b%C3%B6b%2B%3As";
        assert_eq!(token_of(None, uri).unwrap(), "böb+:s");
        assert_eq!(token_of(Some(b"Bearer alice:s"), uri).unwrap(), "alice:s");
        assert_eq!(
            token_of(Some("bearer  ä:s".as_bytes()), "/a").unwrap(),
            "ä:s"
        );
        assert_eq!(
            token_of(Some(b"Basic Zm9vOmJhcg=="), uri).unwrap(),
            "böb+:s"
        );
        assert!(matches!(
            token_of(Some(b"Bearer \xe4:s"), uri),
            Err(Rejection::TokenUtf8)
        ));
        let twice = "/a?token=b&x=1&t%6Fken=b";
        for header in [None, Some(&b"Bearer alice:s"[..])] {
            let token = token_of(header, twice);
            assert!(matches!(token, Err(Rejection::Ambiguous)), "{header:?}");
        }
        assert!(matches!(
            token_of(None, "/a?tokens=b"),
            Err(Rejection::TokenMissing)
        ));
    }
}
