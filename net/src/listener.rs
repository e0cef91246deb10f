//! Where connections come from.

use std::{future::Future, io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// A source of connections: a TCP socket, or a simulated one.
pub trait Listener: 'static {
    /// A connection's stream of bytes.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// A stream on its way from one thread to another.
    type Parked: Send + 'static;

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

    /// Loosens a stream from the runtime that it was accepted in.
    ///
    /// # Errors
    /// The stream cannot be taken out.
    fn park(stream: Self::Stream) -> io::Result<Self::Parked>;

    /// Ties a stream to the runtime that this is called in.
    ///
    /// # Errors
    /// The runtime cannot take it, for example for want of memory in the kernel.
    fn resume(parked: Self::Parked) -> io::Result<Self::Stream>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Parked = std::net::TcpStream;

    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> {
        TcpListener::accept(self)
    }

    fn set_nodelay(stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)
    }

    fn park(stream: TcpStream) -> io::Result<std::net::TcpStream> {
        stream.into_std()
    }

    fn resume(parked: std::net::TcpStream) -> io::Result<TcpStream> {
        TcpStream::from_std(parked)
    }
}
