//! Streams between hosts: cut into small pieces, and written down.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use rand::{RngExt, rngs::ChaCha8Rng};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpListener;
use ysyncd_net::Listener;

use super::{scene::Scene, swarm::Purpose, timeline::Lane, traffic::Told};

/// A stream that takes and gives only a few bytes at a time.
#[derive(Debug)]
pub(super) struct Choppy<S> {
    stream: S,
    /// Most bytes of one read or write. `None`: all that there is.
    most: Option<usize>,
    rng: ChaCha8Rng,
}

impl<S> Choppy<S> {
    pub(super) const fn new(stream: S, most: Option<usize>, rng: ChaCha8Rng) -> Self {
        Self { stream, most, rng }
    }

    fn draw(&mut self, len: usize, most: Option<usize>) -> usize {
        match most {
            Some(most) if len > 0 => self.rng.random_range(1..=most.min(len)),
            _ => len,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Choppy<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(most) = self.most else {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        };
        let len = self.draw(buf.remaining(), Some(most));
        let part = buf.initialize_unfilled_to(len);
        let mut part = ReadBuf::new(part);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        let read_bytes = part.filled().len();
        buf.advance(read_bytes);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Choppy<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // What is long would take for ever.
        let most = self.most.map(|most| most.max(buf.len() / 8));
        let len = self.draw(buf.len(), most);
        Pin::new(&mut self.stream).poll_write(cx, &buf[..len])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Where clients connect to a node.
pub(super) struct NodeListener {
    listener: TcpListener,
    most: Option<usize>,
    rng: std::cell::RefCell<ChaCha8Rng>,
}

impl NodeListener {
    pub(super) async fn bind(scene: &Scene, node: usize, life: u64) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(("0.0.0.0", super::node::PORT)).await?,
            most: scene.swarm.piece_bytes_max,
            rng: scene.stream(Purpose::Pieces(node, life)).into(),
        })
    }
}

impl Listener for NodeListener {
    type Stream = Choppy<Told>;
    type Parked = Self::Stream;

    async fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        let rng = super::swarm::fork(&mut self.rng.borrow_mut());
        let stream = Told::accepted(stream);
        Ok((Choppy::new(stream, self.most, rng), peer))
    }

    fn set_nodelay(stream: &Self::Stream) -> io::Result<()> {
        stream.stream.set_nodelay()
    }

    /// All shards of a node run on one thread.
    fn park(stream: Self::Stream) -> io::Result<Self::Parked> {
        Ok(stream)
    }

    fn resume(parked: Self::Parked) -> io::Result<Self::Stream> {
        Ok(parked)
    }
}

/// A stream of which every byte is written down.
pub(super) struct Tapped<S> {
    stream: S,
    scene: Rc<Scene>,
    lane: Lane,
}

impl<S> Tapped<S> {
    pub(super) const fn new(stream: S, scene: Rc<Scene>, lane: Lane) -> Self {
        Self {
            stream,
            scene,
            lane,
        }
    }

    pub(super) fn scene(&self) -> &Scene {
        &self.scene
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.scene.bytes(self.lane, ">", &buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.scene.bytes(self.lane, "<", &buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
