//! The files of the pages.

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
    pub(super) page: Page,
    content_type: &'static str,
    body: &'static [u8],
    etag: String,
}

/// What a file is a part of.
#[derive(Clone, Copy)]
pub(super) enum Page {
    Editor,
    Inspector,
    Any,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! asset {
    ($path:literal, $page:ident, $content_type:ident, $file:literal) => {
        Asset::new(
            $path,
            Page::$page,
            $content_type,
            include_bytes!(concat!("../../page/", $file)),
        )
    };
}

static ASSETS: LazyLock<[Asset; 8]> = LazyLock::new(|| {
    [
        asset!("/", Editor, HTML, "editor.html"),
        asset!("/page/editor.js", Editor, SCRIPT, "editor.js"),
        asset!("/page/editor.css", Editor, STYLE, "editor.css"),
        asset!("/page/licenses.txt", Editor, TEXT, "licenses.txt"),
        asset!("/page/icon.svg", Any, PICTURE, "icon.svg"),
        asset!("/inspector", Inspector, HTML, "inspector.html"),
        asset!("/page/inspector.js", Inspector, SCRIPT, "inspector.js"),
        asset!("/page/inspector.css", Inspector, STYLE, "inspector.css"),
    ]
});

impl Asset {
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        ASSETS.iter().find(|asset| asset.path == path)
    }

    fn new(
        path: &'static str,
        page: Page,
        content_type: &'static str,
        body: &'static [u8],
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        Self {
            path,
            page,
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
