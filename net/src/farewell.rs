//! Refusing a browser in words that its page can read.
//!
//! A page sees of a refused handshake only that it failed, with close code 1006, and
//! y-websocket tries again for ever. So a browser, which names its page's origin, is
//! let in and sent away at once, with a close code of 4400 to 4499, after which
//! y-websocket stays away, from its version 3.1 on, and tells its page why.
//!
//! Older ones take such a connection for a success, and come back at once, where
//! after a handshake that fails they wait for longer and longer. So only some from
//! one address are told in this way, and others see a handshake that fails.

use std::{cell::RefCell, collections::HashMap, net::IpAddr, rc::Rc, time::Duration};

use bytes::Bytes;
use hyper::{Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};
use tungstenite::protocol::{CloseFrame, frame::Frame};
use ysyncd_engine::CloseCode;

use crate::{Config, rate::FrameCounter};

/// Bytes that are read of somebody who is sent away: a page says who it is and what
/// it knows before it hears that it has to go.
const READ_BYTES_MAX: usize = 1 << 20;

/// Within this time …
const PERIOD: Duration = Duration::from_secs(60);

/// … one address is told so often, …
const PER_ADDRESS_MAX: u32 = 8;

/// … and so many addresses are.
const ADDRESSES_MAX: usize = 4_096;

/// So many are told at once: each keeps a stranger's place until it has gone.
const AT_ONCE_MAX: usize = 64;

/// Who was told to go lately, and who is being told.
#[derive(Debug, Default)]
pub(crate) struct Farewells {
    lately: RefCell<HashMap<IpAddr, Lately>>,
    /// Held by each that is under way.
    under_way: Rc<()>,
}

/// How often an address was told, in a period that began then.
#[derive(Debug)]
struct Lately {
    since: Instant,
    count: u32,
}

impl Farewells {
    /// Leave to tell somebody at an address, to be kept until that is done.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Rc<()>> {
        if Rc::strong_count(&self.under_way) > AT_ONCE_MAX {
            return None;
        }
        let now = Instant::now();
        let mut lately = self.lately.borrow_mut();
        if lately.len() >= ADDRESSES_MAX {
            lately.retain(|_, told| now < told.since + PERIOD);
        }
        if lately.len() >= ADDRESSES_MAX && !lately.contains_key(&address) {
            return None;
        }
        let told = lately.entry(address).or_insert(Lately {
            since: now,
            count: 0,
        });
        if told.since + PERIOD <= now {
            (told.since, told.count) = (now, 0);
        }
        told.count += 1;
        (told.count <= PER_ADDRESS_MAX).then(|| Rc::clone(&self.under_way))
    }
}

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

    /// Says it, and waits for a moment until it is answered: to close a socket with
    /// unread bytes would reset it, and a proxy that finds one side closed closes the
    /// other, whatever is still to be read there. The page might see nothing of this.
    /// `ahead` was read of the stream behind the request.
    pub(crate) async fn say<S>(self, mut stream: S, ahead: &[u8], config: &Config)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let frame = self.frame();
        let said = async {
            stream.write_all(&frame).await?;
            let (mut read, mut scratch) = (0, [0; 1_024]);
            let mut frames = FrameCounter::default();
            frames.count(ahead);
            while read < READ_BYTES_MAX && !frames.has_closed() {
                match stream.read(&mut scratch).await? {
                    0 => break,
                    count => {
                        read += count;
                        frames.count(&scratch[..count]);
                    }
                }
            }
            stream.shutdown().await
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
    use tokio::time::{advance, pause};

    use super::*;

    #[tokio::test]
    async fn one_address_is_told_so_often_and_then_again() {
        pause();
        let farewells = Farewells::default();
        let [one, two] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let told = |address| {
            (0..20)
                .filter(|_| farewells.admit(address).is_some())
                .count()
        };
        assert_eq!((told(one), told(one), told(two)), (8, 0, 8));
        advance(PERIOD).await;
        assert_eq!(told(one), 8);
    }

    #[test]
    fn only_some_are_told_at_once() {
        let farewells = Farewells::default();
        let admit = |at: u32| farewells.admit(IpAddr::from(at.to_be_bytes()));
        let held: Vec<_> = (0..100).filter_map(admit).collect();
        assert_eq!(held.len(), AT_ONCE_MAX);
        drop(held);
        assert!(admit(200).is_some());
    }

    #[test]
    fn the_reason_fits_into_a_close_frame() {
        let reason = "…".repeat(100);
        let farewell = Farewell::new(Response::new(()), StatusCode::UNAUTHORIZED, &reason);
        let frame = farewell.frame();
        assert_eq!(frame[..4], [0x88, 2 + 123, 0x11, 0x31], "4401");
        assert_eq!(&frame[4..], "…".repeat(41).as_bytes());
    }
}
