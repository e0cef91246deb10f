//! The files of the page.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::LazyLock,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};

/// The page runs its own script and speaks to its own server. Attributes may
/// hold styles, as y-codemirror.next gives cursors their colours so.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    style-src-attr 'unsafe-inline'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// One file, as it is in this binary.
pub(super) struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
    etag: String,
}

static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    [
        Asset::new(
            "/",
            "text/html; charset=utf-8",
            include_bytes!("../../page/editor.html"),
        ),
        Asset::new(
            "/page/editor.js",
            "text/javascript; charset=utf-8",
            include_bytes!("../../page/editor.js"),
        ),
        Asset::new(
            "/page/editor.css",
            "text/css; charset=utf-8",
            include_bytes!("../../page/editor.css"),
        ),
        Asset::new(
            "/page/icon.svg",
            "image/svg+xml",
            include_bytes!("../../page/icon.svg"),
        ),
        Asset::new(
            "/page/licenses.txt",
            "text/plain; charset=utf-8",
            include_bytes!("../../page/licenses.txt"),
        ),
    ]
});

impl Asset {
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        ASSETS.iter().find(|asset| asset.path == path)
    }

    fn new(path: &'static str, content_type: &'static str, body: &'static [u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        Self {
            path,
            content_type,
            body,
            etag: format!("\"{:016x}\"", hasher.finish()),
        }
    }

    /// The whole file, unless the client has it already.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let (status, body) = if self.is_known(headers) {
            (StatusCode::NOT_MODIFIED, &[][..])
        } else {
            (StatusCode::OK, self.body)
        };
        Response::builder()
            .status(status)
            .header(CONTENT_TYPE, self.content_type)
            .header(ETAG, &self.etag)
            // A page and its script are of one version: both are asked for anew.
            .header(CACHE_CONTROL, "no-cache")
            .header(CONTENT_SECURITY_POLICY, CONTENT_SECURITY)
            .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(REFERRER_POLICY, "no-referrer")
            .header("cross-origin-opener-policy", "same-origin")
            .header("cross-origin-resource-policy", "same-origin")
            .body(Full::from(body))
            .expect("the headers are valid")
    }

    /// RFC 9110 section 13.1.2.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let known = headers.get_all(IF_NONE_MATCH).iter();
        let known = known.filter_map(|value| value.to_str().ok());
        known.flat_map(|value| value.split(',')).any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag
        })
    }
}
