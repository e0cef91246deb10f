//! HTTP on one stream, up to the point where it becomes a WebSocket.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    rc::Rc,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, info};
use ysyncd_engine::{
    auth::Moment,
    marks::{self, Mark},
};

use crate::{
    Config,
    address::ClientAddress,
    cut::Cut,
    farewell::Farewell,
    health,
    link::Link,
    page,
    path::PATH_PREFIX,
    quota::Claim,
    readiness,
    request::{Refused, Rejection, SyncRequest},
    shard::Shard,
    strangers::StrangerPlace,
    timely::Timely,
};

/// A stream that is done with HTTP and speaks WebSocket from here on.
pub(crate) struct Upgraded<S> {
    pub(crate) stream: S,
    /// What was read from the stream behind the request.
    pub(crate) ahead: Bytes,
    pub(crate) link: Link,
}

/// Answers requests until the stream ends or a client is let in.
///
/// The place is given back when a request for a document goes to the engine:
/// from then on the engine bounds how many wait.
pub(crate) async fn serve<S>(
    shard: &Rc<Shard>,
    config: &Config,
    (stream, peer): (S, SocketAddr),
    place: StrangerPlace,
) -> Option<Upgraded<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = &Handshake {
        shard,
        config,
        peer,
        place: Cell::new(Some(place)),
        head_has_begun: Cell::default(),
        admitted: RefCell::default(),
        farewell: RefCell::default(),
    };
    let service =
        service_fn(
            move |request| async move { Ok::<_, Infallible>(handshake.answer(request).await) },
        );
    let served = http1::Builder::new()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(config.header_bytes_max)
        .serve_connection(
            TokioIo::new(Timely::new(
                stream,
                config.response_timeout,
                &handshake.head_has_begun,
            )),
            service,
        )
        .without_shutdown()
        .await;
    let parts = match served {
        Ok(parts) => parts,
        Err(error) => {
            debug!(%error, "HTTP connection ended");
            if let Some(cut) = Cut::of(&error, handshake.head_has_begun.get()) {
                shard.metrics().limits.request_cut(cut);
            }
            return None;
        }
    };
    let mut stream = parts.io.into_inner().into_inner();
    if let Some((farewell, _leave)) = handshake.farewell.take() {
        farewell.say(stream, &parts.read_buf, config).await;
        return None;
    }
    let Some(link) = handshake.admitted.take() else {
        // An error here means that the peer was faster.
        let _ = poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await;
        return None;
    };
    Some(Upgraded {
        stream,
        ahead: parts.read_buf,
        link,
    })
}

struct Handshake<'a> {
    shard: &'a Rc<Shard>,
    config: &'a Config,
    peer: SocketAddr,
    place: Cell<Option<StrangerPlace>>,
    /// Whether anything came behind the last request.
    head_has_begun: Cell<bool>,
    /// Set by the request that is answered with 101, the last on its stream.
    admitted: RefCell<Option<Link>>,
    /// The same, for whoever is told at once to go.
    farewell: RefCell<Option<(Box<Farewell>, Rc<()>)>>,
}

impl Handshake<'_> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.head_has_begun.set(false);
        let path = request.uri().path();
        if path.starts_with(PATH_PREFIX) {
            let client = (self.config.trusted_proxies).client(self.peer, request.headers());
            let answer = self.upgrade(request, &client).await;
            let answer = answer.unwrap_or_else(|refused| self.refuse(refused, client.ip));
            return answer.map(Full::from);
        }
        let respond = match path {
            "/healthz" => health::healthz,
            "/metrics" => health::metrics,
            "/readyz" => readiness::readyz,
            _ => {
                return page::answer(&request, self.shard, self.config, self.now())
                    .unwrap_or_else(|rejection| rejection.response().map(Full::from));
            }
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Rejection::Method("GET, HEAD").response().map(Full::from);
        }
        respond(self.shard, request.headers()).map(Full::from)
    }

    fn refuse(&self, refused: Refused, address: IpAddr) -> Response<String> {
        marks::hit(Mark::HandshakeRefused);
        self.shard.events().refused(&refused, address);
        self.shard.metrics().handshake_refused(&refused.rejection);
        let Refused {
            rejection,
            farewell,
            ..
        } = refused;
        let leave = farewell.and_then(|farewell| {
            let leave = self.shard.farewells().admit(address)?;
            Some((farewell, leave))
        });
        match leave {
            Some((mut farewell, leave)) => {
                let switching = std::mem::take(&mut farewell.switching);
                *self.farewell.borrow_mut() = Some((farewell, leave));
                switching.map(|()| String::new())
            }
            None => rejection.response(),
        }
    }

    fn now(&self) -> Moment {
        Moment {
            mono: self.shard.now().mono,
            unix: (self.config.clock)(),
        }
    }

    /// Holds the request until the engine has answered. If the client goes
    /// away meanwhile, this future is dropped, and the link with it.
    async fn upgrade(
        &self,
        request: Request<Incoming>,
        client: &ClientAddress,
    ) -> Result<Response<String>, Refused> {
        let SyncRequest {
            doc,
            grant,
            switching,
        } = SyncRequest::parse(request, self.config, self.now())?;
        let claim = Claim {
            doc: doc.clone(),
            user: grant.user.clone(),
            address: client.counted_as(),
        };
        let place = self.shard.quotas().claim(claim, self.config);
        let place = place.inspect_err(|reached| {
            info!(
                doc = doc.as_str(),
                user = grant.user.as_str(),
                address = %client.ip,
                reason = %reached,
                "connection refused"
            );
        })?;
        drop(self.place.take());
        let link = Link::open(self.shard, doc, grant, client.ip, place);
        link.admission().await?;
        *self.admitted.borrow_mut() = Some(link);
        Ok(switching.map(|()| String::new()))
    }
}
