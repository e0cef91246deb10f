//! Refusing a browser in words that its page can read.
//!
//! A page sees of a refused handshake only that it failed, with close code 1006, and
//! y-websocket tries again for ever. So a browser, which names its page's origin, is
//! let in and sent away at once, with a close code of 4400 to 4499, after which
//! y-websocket stays away and tells its page why.

use bytes::Bytes;
use hyper::{Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tungstenite::protocol::{CloseFrame, frame::Frame};
use ysyncd_engine::CloseCode;

use crate::Config;

/// Bytes that are read of somebody who is sent away: a page says who it is and what
/// it knows before it hears that it has to go.
const READ_BYTES_MAX: usize = 1 << 20;

/// What a client that is refused is told once its handshake is complete.
#[derive(Debug)]
pub(crate) struct Farewell {
    /// Completes the handshake.
    pub(crate) switching: Response<()>,
    /// 4400 and the last two digits of an HTTP status.
    code: u16,
    reason: String,
}

impl Farewell {
    /// For a request that would be answered with this status, for a reason.
    pub(crate) fn new(switching: Response<()>, status: StatusCode, reason: &str) -> Self {
        let end = reason.floor_char_boundary(CloseCode::REASON_BYTES_MAX);
        Self {
            switching,
            code: 4_000 + status.as_u16(),
            reason: reason[..end].to_owned(),
        }
    }

    /// Says it, and waits for a moment until it is heard: to close a socket with
    /// unread bytes would reset it, and the page might see nothing of this.
    pub(crate) async fn say<S>(self, mut stream: S, config: &Config)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let frame = self.frame();
        let said = async {
            stream.write_all(&frame).await?;
            stream.shutdown().await?;
            let (mut read, mut scratch) = (0, [0; 1_024]);
            while read < READ_BYTES_MAX {
                match stream.read(&mut scratch).await? {
                    0 => break,
                    count => read += count,
                }
            }
            Ok::<_, std::io::Error>(())
        };
        // Whoever is gone already need not be told.
        let _ = timeout(config.close_timeout, said).await;
    }

    fn frame(&self) -> Bytes {
        let close = CloseFrame {
            code: self.code.into(),
            reason: self.reason.as_str().into(),
        };
        let frame = Frame::close(Some(close));
        let (head, payload) = (frame.header(), frame.payload());
        let mut bytes = Vec::new();
        let written = head.format(payload.len() as u64, &mut bytes);
        written.expect("writing to memory does not fail");
        bytes.extend_from_slice(payload);
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_fits_into_a_close_frame() {
        let reason = "…".repeat(100);
        let farewell = Farewell::new(Response::new(()), StatusCode::UNAUTHORIZED, &reason);
        let frame = farewell.frame();
        assert_eq!(frame[..4], [0x88, 2 + 123, 0x11, 0x31], "4401");
        assert_eq!(&frame[4..], "…".repeat(41).as_bytes());
    }
}
