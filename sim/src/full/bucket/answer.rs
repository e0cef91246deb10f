//! What the bucket answers.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Response,
    body::{Body, Frame, SizeHint},
    header,
};

use super::Broken;

/// An answer whose body may break off.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    etag: Option<String>,
    body: Bytes,
    /// How much of the body is sent before the connection breaks.
    breaks_at: Option<usize>,
    is_sent: bool,
}

impl Answer {
    fn new(status: u16, etag: Option<&str>, body: Bytes) -> Self {
        Self {
            status,
            etag: etag.map(str::to_owned),
            body,
            breaks_at: None,
            is_sent: false,
        }
    }

    pub(super) fn object(body: Bytes, etag: &str) -> Self {
        Self::new(200, Some(etag), body)
    }

    pub(super) fn written(etag: &str) -> Self {
        Self::new(200, Some(etag), Bytes::new())
    }

    /// An error as S3 tells it; without a code, as something else in its
    /// place would.
    pub(super) fn error(status: u16, code: &str) -> Self {
        let body = match code {
            "" => "<html>no</html>".to_owned(),
            code => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
                 <Message>simulated</Message><RequestId>0</RequestId></Error>"
            ),
        };
        Self::new(status, None, body.into())
    }

    /// The same, but only the first bytes of it arrive.
    pub(super) fn truncated(self, most: usize) -> Self {
        let breaks_at = (most < self.body.len()).then_some(most);
        Self { breaks_at, ..self }
    }

    pub(super) fn into_response(self) -> Response<Self> {
        let mut response = Response::builder().status(self.status);
        if let Some(etag) = &self.etag {
            response = response.header(header::ETAG, etag);
        }
        response.body(self).expect("the headers are valid")
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let is_sent = std::mem::replace(&mut self.is_sent, true);
        Poll::Ready(match (is_sent, self.breaks_at) {
            (false, None) if self.body.is_empty() => None,
            (false, None) => Some(Ok(Frame::data(self.body.clone()))),
            (false, Some(at)) => Some(Ok(Frame::data(self.body.slice(..at)))),
            (true, Some(_)) => Some(Err(Broken)),
            (true, None) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.breaks_at.is_none() && (self.is_sent || self.body.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.len() as u64)
    }
}
