//! The bus through Redis: its publish and subscribe, a channel for each
//! document.
//!
//! There are two connections, as Redis wants it: one that is subscribed, and
//! one to publish on. Each lives no longer than the other. Whatever goes wrong
//! on one ends both, is told as down, and all begins anew: what was missed
//! meanwhile is the engine's to find out.

mod backoff;
mod connections;
mod failure;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use redis::Client;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};
use ysyncd_engine::DocId;

use self::{backoff::Backoff, connections::Connections, failure::Failure};
use super::{Bus, BusFuture, BusPort};

/// How long a connection must have held for the next loss to count as a first
/// one.
const STEADY: Duration = Duration::from_secs(30);

/// Bytes of the prefix that nodes may choose.
const PREFIX_BYTES_MAX: usize = 64;

/// A bus through one Redis, or what speaks like it.
///
/// Whoever can publish there can write to every document: Redis is to be
/// reached by nodes alone.
#[derive(Debug)]
pub struct RedisBus {
    client: Client,
    channels: Channels,
    /// Of the next shard's pauses: they must not go in step.
    seed: AtomicU64,
}

/// Why an URL or a prefix is none. The messages do not repeat an URL, which may
/// hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisUrlError {
    /// It is no URL, or none of Redis.
    #[error(
        "expected a URL such as redis://127.0.0.1:6379, redis://user:password@host:6379, or \
         rediss://… for TLS; what is no letter or digit in a password must be percent-encoded"
    )]
    Url,
    /// The prefix has other characters, or too many.
    #[error("expected up to {PREFIX_BYTES_MAX} letters, digits, '.', '-' and '_'")]
    Prefix,
}

impl RedisBus {
    /// A bus through the Redis at a URL. Nodes hear of each other if they have
    /// the same Redis and the same prefix, and so must have the same store; the
    /// number of a database in the URL keeps nothing apart. The seed is for
    /// pauses between attempts to connect.
    ///
    /// # Errors
    /// One of them is none.
    pub fn new(url: &str, prefix: &str, seed: u64) -> Result<Self, RedisUrlError> {
        let client = Client::open(url).map_err(|_| RedisUrlError::Url)?;
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if prefix.len() > PREFIX_BYTES_MAX || !prefix.bytes().all(is_fine) {
            return Err(RedisUrlError::Prefix);
        }
        Ok(Self {
            client,
            channels: Channels::new(prefix),
            seed: AtomicU64::new(seed),
        })
    }

    /// Where Redis is, without names and passwords.
    #[must_use]
    pub fn address(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    async fn keep(&self, port: BusPort) -> std::convert::Infallible {
        let mut backoff = Backoff::new(self.seed.fetch_add(1, Ordering::Relaxed));
        let mut is_known = false;
        loop {
            match Connections::open(&self.client).await {
                Ok(connections) => {
                    is_known = false;
                    self.carry(connections, &port, &mut backoff).await;
                }
                // Told once, however long it lasts.
                Err(failure) if is_known => {
                    debug!(redis = self.address(), %failure, "the bus is still down");
                }
                Err(failure) => {
                    is_known = true;
                    warn!(
                        redis = self.address(),
                        %failure,
                        "no bus to other nodes; this one goes on alone, what people write here \
                         and there meets in the store, and Redis is tried again"
                    );
                }
            }
            sleep(backoff.next_pause()).await;
        }
    }

    /// From up to down.
    async fn carry(&self, connections: Connections, port: &BusPort, backoff: &mut Backoff) {
        info!(redis = self.address(), "the bus to other nodes is up");
        let since = Instant::now();
        port.up();
        let failure = connections.carry(port, &self.channels).await;
        port.down();
        if since.elapsed() >= STEADY {
            backoff.reset();
        }
        warn!(
            redis = self.address(),
            %failure,
            "the bus to other nodes is down; what is missed meanwhile is made up for"
        );
    }
}

impl Bus for RedisBus {
    fn run(&self, port: BusPort) -> BusFuture<'_> {
        Box::pin(self.keep(port))
    }
}

/// The names of channels.
#[derive(Debug)]
struct Channels {
    /// What all begin with. No prefix holds a colon, so that no two pairs of
    /// prefix and document share a channel.
    begin: String,
}

impl Channels {
    fn new(prefix: &str) -> Self {
        Self {
            begin: format!("ysyncd:{prefix}:"),
        }
    }

    fn of(&self, doc: &DocId) -> String {
        format!("{}{}", self.begin, doc.as_str())
    }

    /// The document that a channel is of.
    fn doc(&self, channel: &str) -> Option<DocId> {
        DocId::new(channel.strip_prefix(&self.begin)?).ok()
    }
}

#[cfg(test)]
mod with_redis;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<String, RedisUrlError> {
        RedisBus::new(url, "", 1).map(|bus| bus.address())
    }

    #[test]
    fn what_is_no_url_of_redis_is_told_without_repeating_it() {
        for bad in [
            "",
            "localhost",
            "localhost:6379",
            "http://localhost",
            "redis://",
            "redis://host:port",
            "redis://secret@host:99999",
        ] {
            let error = address(bad).unwrap_err();
            assert_eq!(error, RedisUrlError::Url, "{bad}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn an_address_holds_no_password() {
        for (url, expected) in [
            ("redis://127.0.0.1", "127.0.0.1:6379"),
            (
                "redis://user:secret@redis.example.org:1/2",
                "redis.example.org:1",
            ),
            (
                "rediss://:secret@redis.example.org",
                "redis.example.org:6379",
            ),
        ] {
            assert_eq!(address(url).as_deref(), Ok(expected));
        }
        let bus = RedisBus::new("redis://user:secret@host", "", 1).unwrap();
        assert!(!format!("{bus:?}").contains("secret"));
    }

    #[test]
    fn no_two_documents_share_a_channel() {
        let doc = |id: &str| DocId::new(id).unwrap();
        let (plain, other) = (Channels::new(""), Channels::new("a"));
        assert_eq!(plain.of(&doc("a/b:c")), "ysyncd::a/b:c");
        assert_eq!(other.of(&doc("b")), "ysyncd:a:b");
        for id in ["a", "a:b", ":", "名/ü"] {
            assert_eq!(plain.doc(&plain.of(&doc(id))), Some(doc(id)));
            assert_eq!(plain.doc(&other.of(&doc(id))), None);
        }
        assert_eq!(plain.doc("ysyncd::"), None);
        assert!(RedisBus::new("redis://host", "a:b", 1).is_err());
        assert!(RedisBus::new("redis://host", &"a".repeat(65), 1).is_err());
    }
}
