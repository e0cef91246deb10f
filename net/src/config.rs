//! Every limit and delay of the network side.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ysyncd_engine::auth::TokenVerifier;

use crate::{Origin, TrustedProxies};

/// Tells the time since 1970. Only used to see whether a token has expired.
pub type Clock = fn() -> Duration;

/// How [`serve`](crate::serve()) behaves. [`Config::new`] gives what production
/// uses.
#[derive(Debug, Clone)]
pub struct Config {
    /// How the engine behaves. Its `frame_bytes_max` also bounds what is read
    /// from a socket for one message.
    pub engine: ysyncd_engine::Config,
    /// Which tokens are accepted.
    pub tokens: TokenVerifier,
    /// Where pages must come from that open documents. `None`: from anywhere.
    /// What is no browser says no origin, and is not asked for one.
    pub allowed_origins: Option<Vec<Origin>>,
    /// The time of day, by which tokens expire.
    pub clock: Clock,
    /// Seed of the engine's choices, such as the jitter of its retries.
    pub seed: u64,
    /// How long a client may take to send the head of a request; also how
    /// long a connection may idle between two requests.
    pub header_timeout: Duration,
    /// Size of a request's head in bytes, not below 8,192.
    pub header_bytes_max: usize,
    /// Connections that have not yet sent a request for a document. While
    /// there are as many, new ones wait in the kernel's backlog.
    pub handshakes_max: usize,
    /// The same from one address that is no trusted proxy's. Past it
    /// connections are dropped without a word.
    pub handshakes_per_address_max: usize,
    /// Connections in all, from their request for a document until their
    /// socket is closed. Past it requests are answered with 503.
    pub connections_max: usize,
    /// Connections to one document. Past it and the next two the answer is
    /// 429. What one client says in a document goes to all others there, so
    /// its cost grows with the square of this.
    pub connections_per_document_max: usize,
    /// Connections of one user: some for each document in each tab.
    pub connections_per_user_max: usize,
    /// Connections from one address, or from one network of IPv6. A whole
    /// office may be behind it.
    pub connections_per_address_max: usize,
    /// Whose word is taken for the address of a client.
    pub trusted_proxies: TrustedProxies,
    /// Bytes that are read from one connection in a second, for as long as it
    /// likes; `None`: as many as come. Past it reading waits, and the client
    /// with it.
    pub inbound_bytes_per_second: Option<u64>,
    /// Bytes that are read as fast as they come before the rate counts, and
    /// again after a rest. Never less than the largest message.
    pub inbound_bytes_burst: u64,
    /// The same for messages. Fragments, pings and pongs count, too. Each
    /// y-websocket client echoes the cursor of each other one, so that in a
    /// lively document this is much more than one person does.
    pub inbound_messages_per_second: Option<u64>,
    /// Messages that are read as fast as they come before the rate counts.
    pub inbound_messages_burst: u64,
    /// How long a client may go on at one of these rates before it is closed.
    /// Whoever has much to bring is done by then; what goes on is a loop or an
    /// attack.
    pub slowed_max: Duration,
    /// Bytes of messages that have come in part, of all connections together.
    /// Past it what is larger than 64 KiB waits, but for the one that began
    /// first. What is smaller never waits, so that in all there may be as much
    /// as this and 64 KiB for each connection.
    pub unfinished_bytes_max: usize,
    /// The same of one user, and 64 KiB for each connection of that user.
    pub unfinished_bytes_per_user_max: usize,
    /// How long one message may take to come. Past it the connection is closed.
    /// Time in which the server read nothing for its own sake, or for that of
    /// other users, does not count; time in which the client was slowed down by
    /// its own rate, or waited for messages of its own user, does.
    pub message_timeout: Duration,
    /// Time between two pings to a client.
    pub ping_interval: Duration,
    /// A connection from which not one byte came for this long is cut.
    pub silence_max: Duration,
    /// How long a close may take, from handing out the close frame to the
    /// peer's answer. After it the socket is dropped.
    pub close_timeout: Duration,
    /// How long a shutdown may take to save what is not saved.
    pub shutdown_timeout: Duration,
}

impl Config {
    /// The configuration of production for these tokens and a seed.
    #[must_use]
    pub fn new(tokens: TokenVerifier, seed: u64) -> Self {
        Self {
            engine: ysyncd_engine::Config::default(),
            tokens,
            allowed_origins: None,
            clock: since_1970,
            seed,
            header_timeout: Duration::from_secs(10),
            header_bytes_max: 16 << 10,
            handshakes_max: 1_024,
            handshakes_per_address_max: 256,
            connections_max: 10_000,
            connections_per_document_max: 1_000,
            connections_per_user_max: 500,
            connections_per_address_max: 2_000,
            trusted_proxies: TrustedProxies::default(),
            inbound_bytes_per_second: Some(4 << 20),
            inbound_bytes_burst: 64 << 20,
            inbound_messages_per_second: Some(5_000),
            inbound_messages_burst: 20_000,
            slowed_max: Duration::from_secs(60),
            unfinished_bytes_max: 512 << 20,
            unfinished_bytes_per_user_max: 64 << 20,
            message_timeout: Duration::from_secs(300),
            ping_interval: Duration::from_secs(30),
            silence_max: Duration::from_secs(60),
            close_timeout: Duration::from_secs(5),
            shutdown_timeout: Duration::from_secs(25),
        }
    }
}

fn since_1970() -> Duration {
    // A clock that stands before 1970 is no clock; all tokens have expired for
    // it that ever will.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or(Duration::MAX)
}
