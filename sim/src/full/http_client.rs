//! The SDK's way to the simulated bucket: the connection pool that the SDK has
//! in production, over the simulated network.

use std::{
    error::Error,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use aws_sdk_s3::config::{
    self, Credentials, HttpClient, Region, RuntimeComponents, SharedHttpClient,
    http::{HttpRequest, HttpResponse},
};
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use hyper::{Uri, header::HeaderName, rt};
use hyper_util::{
    client::legacy::{
        self, Client,
        connect::{Connected, Connection},
    },
    rt::{TokioIo, TokioTimer},
};
use tokio::task::spawn_local;
use tower_service::Service;
use turmoil::net::TcpStream;

use super::{bucket, contract, narration, timeline::Lane, traffic::Told};

/// Tells the bucket which call of a store a request is of.
pub(super) const CALL: HeaderName = HeaderName::from_static("x-simulated-call");

/// When the simulated world begins, on its wall clocks.
pub(super) const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// What a node says of the bucket, as the environment would.
pub(super) fn config(node: usize, clock: &SkewedClock) -> config::Builder {
    config::Builder::new()
        .http_client(SharedHttpClient::new(SimulatedHttp {
            node,
            pool: OnceLock::new(),
        }))
        .time_source(clock.clone())
        .endpoint_url(format!("http://{}:{}", bucket::HOST, bucket::PORT))
        .force_path_style(true)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "simulated"))
}

/// The wall clock of a node: so many seconds ahead of the world's.
#[derive(Debug, Clone, Default)]
pub(super) struct SkewedClock(Arc<AtomicI64>);

impl SkewedClock {
    pub(super) fn set_ahead(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl TimeSource for SkewedClock {
    fn now(&self) -> SystemTime {
        let now = turmoil::since_epoch().unwrap_or(EPOCH);
        let ahead = self.0.load(Ordering::Relaxed);
        let apart = Duration::from_secs(ahead.unsigned_abs());
        let told = match ahead < 0 {
            true => now.saturating_sub(apart),
            false => now + apart,
        };
        SystemTime::UNIX_EPOCH + told
    }
}

/// Keeps one pool, as the SDK's own client does for equal settings.
#[derive(Debug)]
struct SimulatedHttp {
    node: usize,
    pool: OnceLock<SharedHttpConnector>,
}

impl HttpClient for SimulatedHttp {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.pool.get_or_init(|| {
            let (node, timeout) = (self.node, settings.connect_timeout());
            let client = Client::builder(OnHost)
                .pool_timer(TokioTimer::new())
                .build(Connector { node, timeout });
            SharedHttpConnector::new(Pool(client))
        });
        connector.clone()
    }
}

/// Carries connections as tasks that the host has for itself. Those that a runtime
/// shares out are dropped, where a process dies, in an order that follows from their
/// numbers, and these from what other worlds of this process do meanwhile.
#[derive(Debug, Clone, Copy)]
struct OnHost;

impl<F: Future<Output: 'static> + 'static> rt::Executor<F> for OnHost {
    fn execute(&self, connection: F) {
        spawn_local(connection);
    }
}

#[derive(Debug)]
struct Pool(Client<Connector, SdkBody>);

impl HttpConnector for Pool {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        if let Some(call) = contract::current_call() {
            request.headers_mut().insert(CALL, call.into());
        }
        let response = self.0.request(request);
        HttpConnectorFuture::new(async move {
            let response = response.await.map_err(connector_error)?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Sorts errors as the SDK's own client does.
fn connector_error(error: legacy::Error) -> ConnectorError {
    let hyper = cause::<hyper::Error>(&error);
    let io = cause::<io::Error>(&error);
    match (hyper, io) {
        (_, Some(io)) if io.kind() == io::ErrorKind::TimedOut => {
            ConnectorError::timeout(error.into())
        }
        (Some(hyper), _) if hyper.is_timeout() => ConnectorError::timeout(error.into()),
        (Some(hyper), _) if hyper.is_closed() || hyper.is_canceled() => {
            ConnectorError::io(error.into())
        }
        _ if error.is_connect() || io.is_some() => ConnectorError::io(error.into()),
        _ => ConnectorError::other(error.into(), None),
    }
}

/// The first cause of a kind.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.find_map(|cause| cause.downcast_ref())
}

/// Makes connections.
#[derive(Debug, Clone)]
struct Connector {
    /// Whose.
    node: usize,
    timeout: Option<Duration>,
}

impl Service<Uri> for Connector {
    type Response = ToBucket;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (node, timeout) = (self.node, self.timeout.unwrap_or(Duration::MAX));
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().to_owned();
            let port = uri.port_u16().unwrap_or(80);
            let connect = TcpStream::connect((host, port));
            let stream = tokio::time::timeout(timeout, connect)
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            let way = (
                narration::lane_of(Lane::Node(node)),
                narration::lane_of(Lane::Bucket),
            );
            let stream = Told::connected(stream, way, true);
            Ok(ToBucket(TokioIo::new(stream)))
        })
    }
}

/// A connection to the bucket.
#[derive(Debug)]
struct ToBucket(TokioIo<Told>);

impl Connection for ToBucket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl rt::Read for ToBucket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl rt::Write for ToBucket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
