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
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{io::AsyncWrite, task::yield_now};
use tracing::debug;
use ysyncd_engine::marks::{self, Mark};

use crate::{
    Listener,
    address::ClientAddress,
    cut::Cut,
    farewell::Farewell,
    front::Front,
    health,
    link::{Link, Opening},
    page,
    path::PATH_PREFIX,
    quota::Claim,
    readiness,
    remote::Reservation,
    request::{Refused, Rejection, SyncRequest},
    shards::ShardOf,
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

/// A connection that an engine has accepted.
enum Admitted<P> {
    Here(Link),
    Elsewhere(Reservation<P>),
}

/// Answers requests until the stream ends or a client is let in. Returns the
/// stream if it goes on here; it is handed over if it does in another shard.
///
/// The place is given back when a request for a document goes to the engine:
/// from then on the engine bounds how many wait.
pub(crate) async fn serve<L: Listener>(
    front: &Rc<Front<L::Parked>>,
    (stream, peer): (L::Stream, SocketAddr),
    place: StrangerPlace,
) -> Option<Upgraded<L::Stream>> {
    let config = &front.config;
    let silence = place.silence();
    let handshake = &Handshake {
        front,
        peer,
        place: RefCell::new(Some(place)),
        has_answered: Cell::default(),
        head_has_begun: Cell::default(),
        admitted: RefCell::default(),
        farewell: RefCell::default(),
    };
    let service =
        service_fn(
            move |request| async move { Ok::<_, Infallible>(handshake.answer(request).await) },
        );
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(config.header_bytes_max)
        .serve_connection(
            TokioIo::new(Timely::new(
                stream,
                config.response_timeout,
                [&handshake.head_has_begun, &silence.is_broken],
            )),
            service,
        )
        .without_shutdown();
    let served = tokio::select! {
        biased;
        served = connection => served,
        () = silence.has_to_end() => {
            front.shared.metrics.limits.request_cut(Cut::GaveWay);
            return None;
        }
    };
    let parts = match served {
        Ok(parts) => parts,
        Err(error) => {
            debug!(%error, "HTTP connection ended");
            if let Some(cut) = Cut::of(&error, handshake.head_has_begun.get()) {
                front.shared.metrics.limits.request_cut(cut);
            }
            return None;
        }
    };
    let mut stream = parts.io.into_inner().into_inner();
    if let Some((farewell, _leave)) = handshake.farewell.take() {
        farewell.say(stream, &parts.read_buf, config).await;
        return None;
    }
    let ahead = parts.read_buf;
    match handshake.admitted.take() {
        Some(Admitted::Here(link)) => Some(Upgraded {
            stream,
            ahead,
            link,
        }),
        Some(Admitted::Elsewhere(reservation)) => {
            match L::park(stream) {
                Ok(parked) => reservation.hand_over(parked, ahead),
                Err(error) => debug!(%error, "a connection could not be handed over"),
            }
            None
        }
        None => {
            // An error here means that the peer was faster.
            let _ = poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await;
            None
        }
    }
}

struct Handshake<'a, P> {
    front: &'a Front<P>,
    peer: SocketAddr,
    place: RefCell<Option<StrangerPlace>>,
    /// Whether this is not the first request.
    has_answered: Cell<bool>,
    /// Whether anything came behind the last request.
    head_has_begun: Cell<bool>,
    /// Set by the request that is answered with 101, the last on its stream.
    admitted: RefCell<Option<Admitted<P>>>,
    /// The same, for whoever is told at once to go.
    farewell: RefCell<Option<(Box<Farewell>, Rc<()>)>>,
}

impl<P: Send + 'static> Handshake<'_, P> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.head_has_begun.set(false);
        if self.has_answered.replace(true) {
            // Many requests may have come in one go: others take their turns in between.
            yield_now().await;
        }
        let mut response = self.respond(request).await;
        let is_scarce = |place: &StrangerPlace| place.is_scarce();
        if self.place.borrow().as_ref().is_some_and(is_scarce)
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if path.starts_with(PATH_PREFIX) {
            let proxies = &self.front.config.trusted_proxies;
            let client = proxies.client(self.peer, request.headers());
            let answer = self.upgrade(request, &client).await;
            let answer = answer.unwrap_or_else(|refused| self.refuse(refused, client.ip));
            return answer.map(Full::from);
        }
        let is_known = matches!(path, "/healthz" | "/metrics" | "/readyz");
        if is_known && !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Rejection::Method("GET, HEAD").response().map(Full::from);
        }
        match path {
            "/healthz" => health::healthz(self.front, request.headers())
                .await
                .map(Full::from),
            "/metrics" => health::metrics(self.front, request.headers())
                .await
                .map(Full::from),
            "/readyz" => readiness::readyz(&self.front.shared.readiness).map(Full::from),
            _ => page::answer(&request, self.front)
                .await
                .unwrap_or_else(|rejection| rejection.response().map(Full::from)),
        }
    }

    fn refuse(&self, refused: Refused, address: IpAddr) -> Response<String> {
        marks::hit(Mark::HandshakeRefused);
        self.front.shared.events.refused(&refused, address);
        self.front
            .shared
            .metrics
            .handshake_refused(&refused.rejection);
        let Refused {
            rejection,
            farewell,
            ..
        } = refused;
        let leave = farewell.and_then(|farewell| {
            let leave = self.front.farewells.admit(address)?;
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

    /// Holds the request until the engine has answered. If the client goes
    /// away meanwhile, this future is dropped, and the engine hears of it.
    async fn upgrade(
        &self,
        request: Request<Incoming>,
        client: &ClientAddress,
    ) -> Result<Response<String>, Refused> {
        let SyncRequest {
            doc,
            grant,
            switching,
        } = SyncRequest::parse(request, &self.front.config, self.front.now())?;
        let claim = Claim {
            doc: doc.clone(),
            user: grant.user.clone(),
            address: client.counted_as(),
        };
        let shared = &self.front.shared;
        let place = shared.quotas.claim(claim, &self.front.config);
        let place = place.inspect_err(|reached| {
            shared
                .events
                .limit_reached(&doc, &grant.user, client.ip, *reached);
        })?;
        self.place.replace(None);
        let shard = self.front.shards.of(&doc);
        let opening = Opening {
            doc,
            grant,
            address: client.ip,
            place,
        };
        let admitted = match shard {
            ShardOf::Here(shard) => {
                let link = Link::open(shard, opening);
                link.admission().await?;
                Admitted::Here(link)
            }
            ShardOf::Elsewhere(remote) => Admitted::Elsewhere(remote.open(opening).await?),
        };
        *self.admitted.borrow_mut() = Some(admitted);
        Ok(switching.map(|()| String::new()))
    }
}
