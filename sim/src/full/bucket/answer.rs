//! What the bucket answers.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::{
    Response,
    body::{Body, Frame, SizeHint},
    header,
};

use tokio::time::{Sleep, sleep};

use super::Broken;
use crate::swarm::millis;

/// An answer whose body may break off.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    etag: Option<String>,
    body: Bytes,
    /// How much of the body is sent before the connection breaks.
    breaks_at: Option<usize>,
    /// Until when the break waits for what comes before it to leave.
    breaks: Option<Pin<Box<Sleep>>>,
    is_sent: bool,
}

impl Answer {
    fn new(status: u16, etag: Option<&str>, body: Bytes) -> Self {
        Self {
            status,
            etag: etag.map(str::to_owned),
            body,
            breaks_at: None,
            breaks: None,
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

    /// The same, but only the first so many thousandths of it arrive.
    pub(super) fn truncated(self, permille: usize) -> Self {
        let len = self.body.len();
        let breaks_at = (len > 0).then_some(len * permille / 1_000);
        let breaks = breaks_at.map(|_| Box::pin(sleep(millis(50))));
        Self {
            breaks_at,
            breaks,
            ..self
        }
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
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let is_sent = std::mem::replace(&mut self.is_sent, true);
        if is_sent && let Some(breaks) = &mut self.breaks {
            ready!(breaks.as_mut().poll(cx));
        }
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
