//! Where connections come from.

use std::{future::Future, io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// A source of connections: a TCP socket, or a simulated one.
pub trait Listener {
    /// A connection's stream of bytes.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Waits for the next connection and says where it comes from. Dropping
    /// the future loses no connection.
    ///
    /// # Errors
    /// No connection can be taken now, for example for want of file
    /// descriptors. The caller may try again after a while.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>>;

    /// Makes the stream send small writes at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The stream does not take the option, for example because the peer has
    /// gone.
    fn set_nodelay(stream: &Self::Stream) -> io::Result<()>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> {
        TcpListener::accept(self)
    }

    fn set_nodelay(stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)
    }
}
