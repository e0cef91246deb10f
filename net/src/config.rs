//! Every limit and delay of the network side.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ysyncd_engine::{Size, auth::TokenVerifier};

use crate::{Demo, Inspector, Origin, TrustedProxies, Workers};

/// Tells the time since 1970. Only used to see whether a token has expired.
pub type Clock = fn() -> Duration;

/// How [`serve`](crate::serve()) behaves. [`Config::new`] gives what production
/// uses. The binary has a variable for each limit, and for each delay.
#[derive(Debug, Clone)]
pub struct Config {
    /// How the engine behaves. Its `frame_bytes_max` also bounds what is read
    /// from a socket for one message.
    pub engine: ysyncd_engine::Config,
    /// How many engines share the documents, each on a thread of its own: as many
    /// cores can be busy. Limits on all documents together are divided among
    /// them.
    pub shards: usize,
    /// Where they run.
    pub workers: Workers,
    /// Which tokens are accepted.
    pub tokens: TokenVerifier,
    /// Where pages must come from that open documents. `None`: from anywhere.
    /// What is no browser says no origin, and is not asked for one.
    pub allowed_origins: Option<Vec<Origin>>,
    /// The page at `/`. `None`: there is none.
    pub demo: Option<Demo>,
    /// The page at `/inspector`. `None`: there is none.
    pub inspector: Option<Inspector>,
    /// The time of day, by which tokens expire.
    pub clock: Clock,
    /// Seed of the engine's choices, such as the jitter of its retries.
    pub seed: u64,
    /// How long a client may take to send the head of a request; also how
    /// long a connection may idle between two requests.
    pub header_timeout: Duration,
    /// How long a client may take to read the answer to a request, once that
    /// fills what the kernel holds for it.
    pub response_timeout: Duration,
    /// Size of a request's head in bytes, not below
    /// [`Config::HEADER_BYTES_LEAST`].
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
    /// again after a rest. Not less than the largest message: one that is less
    /// counts as that.
    pub inbound_bytes_burst: u64,
    /// The same for messages. Fragments, pings and pongs count, too. Each
    /// y-websocket client echoes the cursor of each other one, so that in a
    /// lively document this is much more than one person does.
    pub inbound_messages_per_second: Option<u64>,
    /// Messages that are read as fast as they come before the rate counts.
    pub inbound_messages_burst: u64,
    /// Bytes that are read in a second from all connections of one user together;
    /// `None`: as many as come. Past it reading waits, and nobody is closed for
    /// that.
    pub inbound_user_bytes_per_second: Option<u64>,
    /// Bytes that are read as fast as they come before that rate counts. Not less
    /// than the largest message: one that is less counts as that.
    pub inbound_user_bytes_burst: u64,
    /// The same for messages, as [`Config::inbound_messages_per_second`] counts
    /// them.
    pub inbound_user_messages_per_second: Option<u64>,
    /// Messages that are read as fast as they come before that rate counts.
    pub inbound_user_messages_burst: u64,
    /// Time in a second in which a thread handles what one user sends, while
    /// others wait; `None`: as much as it takes. What a message costs has to do with
    /// what it says, and only somewhat with its size.
    pub inbound_user_time_per_second: Option<Duration>,
    /// Time that what a user sends may take before that rate counts.
    pub inbound_user_time_burst: Duration,
    /// How long a client may go on at one of the rates of connections before it is closed.
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
    /// A connection from which not one byte came for this long is cut. More than
    /// `ping_interval`.
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
            shards: 1,
            workers: Workers::default(),
            tokens,
            allowed_origins: None,
            demo: None,
            inspector: None,
            clock: since_1970,
            seed,
            header_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(30),
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
            inbound_user_bytes_per_second: Some(8 << 20),
            inbound_user_bytes_burst: 128 << 20,
            inbound_user_messages_per_second: Some(20_000),
            inbound_user_messages_burst: 80_000,
            inbound_user_time_per_second: Some(Duration::from_millis(250)),
            inbound_user_time_burst: Duration::from_secs(1),
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

/// Why a configuration is none to serve with. The messages name fields in
/// capitals, as the variables of the binary are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The engine's limits do not fit together.
    #[error(transparent)]
    Engine(#[from] ysyncd_engine::ConfigError),
    /// `inbound_bytes_burst` is less than the largest message.
    #[error(
        "INBOUND_BYTES_BURST is {}: expected at least {}, which is FRAME_BYTES_MAX, as the largest \
         message is no fault; with INBOUND_BYTES_PER_SECOND=off it does not matter",
        Size(*burst),
        Size(*frame)
    )]
    BurstTooSmall {
        /// What it is.
        burst: u64,
        /// What it would have to be.
        frame: u64,
    },
    /// `inbound_user_bytes_burst` is less than the largest message.
    #[error(
        "INBOUND_USER_BYTES_BURST is {}: expected at least {}, which is FRAME_BYTES_MAX, as the \
         largest message is no fault; with INBOUND_USER_BYTES_PER_SECOND=off it does not matter",
        Size(*burst),
        Size(*frame)
    )]
    UserBurstTooSmall {
        /// What it is.
        burst: u64,
        /// What it would have to be.
        frame: u64,
    },
    /// A user may send less than one connection.
    #[error(
        "INBOUND_USER_{what}_PER_SECOND is less than INBOUND_{what}_PER_SECOND: raise the one or \
         lower the other, as what a user may send holds for each of its connections"
    )]
    UserRateTooLow {
        /// Of what, in capitals.
        what: &'static str,
    },
    /// `unfinished_bytes_per_user_max` is more than `unfinished_bytes_max`.
    #[error(
        "UNFINISHED_BYTES_PER_USER_MAX is more than UNFINISHED_BYTES_MAX: lower the one or raise \
         the other, as one user could have all others wait"
    )]
    UserBudgetTooLarge,
    /// The engine's `type_depth_max` is more than Yjs is sure to bear.
    #[error(
        "TYPE_DEPTH_MAX is {depth}: expected at most {}, as Yjs overflows its stack at some \
         thousands, in everybody who opens the document",
        Config::TYPE_DEPTH_MOST
    )]
    TypesTooDeep {
        /// What it is.
        depth: usize,
    },
    /// The engine's `outbox_bytes_max` is more than its `answers_bytes_max`.
    #[error(
        "OUTBOX_BYTES_MAX is more than ANSWERS_BYTES_MAX: lower the one or raise the other, as only \
         what is larger than the first counts for the second, so that nothing would"
    )]
    OutboxTooLarge,
    /// `header_bytes_max` is less than the HTTP parser can do with.
    #[error(
        "HEADER_BYTES_MAX is {}: expected at least {}",
        Size::from(*bytes),
        Size::from(Config::HEADER_BYTES_LEAST)
    )]
    HeaderTooSmall {
        /// What it is.
        bytes: usize,
    },
    /// `silence_max` is not more than `ping_interval`.
    #[error(
        "SILENCE_MAX is not more than PING_INTERVAL: raise the one or lower the other, as a client \
         that says nothing but answers to pings would be cut"
    )]
    SilenceTooShort,
    /// Nobody would be let in, or a time would be over at once.
    #[error("{setting} is 0: expected more, as nobody could be served")]
    Zero {
        /// Which, in capitals.
        setting: &'static str,
    },
}

impl Config {
    /// What [`Config::header_bytes_max`] may not be less than.
    pub const HEADER_BYTES_LEAST: usize = 8_192;

    /// What the engine's `type_depth_max` may not be more than.
    pub const TYPE_DEPTH_MOST: usize = 1_000;

    /// Checks that all of it fits together, the engine's part, too. Small limits
    /// are no fault.
    ///
    /// # Errors
    /// The first that does not fit the others, or lets nobody in.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.engine.check()?;
        let (burst, frame) = (self.inbound_bytes_burst, self.engine.frame_bytes_max as u64);
        if self.inbound_bytes_per_second.is_some() && burst < frame {
            return Err(ConfigError::BurstTooSmall { burst, frame });
        }
        self.check_users()?;
        let depth = self.engine.type_depth_max;
        if depth > Self::TYPE_DEPTH_MOST {
            return Err(ConfigError::TypesTooDeep { depth });
        }
        if self.engine.outbox_bytes_max > self.engine.answers_bytes_max {
            return Err(ConfigError::OutboxTooLarge);
        }
        // It may be less than the largest message: the first large one of a user
        // always goes on.
        if self.unfinished_bytes_per_user_max > self.unfinished_bytes_max {
            return Err(ConfigError::UserBudgetTooLarge);
        }
        if self.header_bytes_max < Self::HEADER_BYTES_LEAST {
            let bytes = self.header_bytes_max;
            return Err(ConfigError::HeaderTooSmall { bytes });
        }
        if self.silence_max <= self.ping_interval {
            return Err(ConfigError::SilenceTooShort);
        }
        match self.zero() {
            Some(setting) => Err(ConfigError::Zero { setting }),
            None => Ok(()),
        }
    }

    /// Whether what a user may send leaves room for one connection.
    fn check_users(&self) -> Result<(), ConfigError> {
        let (burst, frame) = (
            self.inbound_user_bytes_burst,
            self.engine.frame_bytes_max as u64,
        );
        if self.inbound_user_bytes_per_second.is_some() && burst < frame {
            return Err(ConfigError::UserBurstTooSmall { burst, frame });
        }
        let rates = [
            (
                "BYTES",
                self.inbound_user_bytes_per_second,
                self.inbound_bytes_per_second,
            ),
            (
                "MESSAGES",
                self.inbound_user_messages_per_second,
                self.inbound_messages_per_second,
            ),
        ];
        for (what, of_user, of_connection) in rates {
            // Without a limit for connections that for users is the only one.
            if of_user.is_some_and(|rate| rate < of_connection.unwrap_or(0)) {
                return Err(ConfigError::UserRateTooLow { what });
            }
        }
        Ok(())
    }

    /// What one of the shards may use of what the server may: limits on all
    /// documents are divided, those on one document or one connection hold as they
    /// are. But a document that is full always fits, so that many shards may hold
    /// more than `documents_bytes_max` together; and one document may have no more
    /// unsaved than all of its shard.
    pub(crate) fn part(&self, index: usize) -> Self {
        let mut part = self.clone();
        if self.shards == 1 {
            return part;
        }
        let engine = &mut part.engine;
        let share = |limit: usize| limit.div_ceil(self.shards);
        let growth = (engine.documents_growth_max).saturating_sub(engine.documents_bytes_max);
        engine.documents_bytes_max =
            share(engine.documents_bytes_max).max(engine.document_bytes_max);
        engine.documents_growth_max = engine.documents_bytes_max + share(growth);
        engine.unsaved_bytes_total_max = share(engine.unsaved_bytes_total_max);
        engine.unsaved_bytes_max = engine.unsaved_bytes_max.min(engine.unsaved_bytes_total_max);
        engine.answers_bytes_max = share(engine.answers_bytes_max);
        engine.answers_bytes_per_user_max = share(engine.answers_bytes_per_user_max);
        engine.pushes_max = share(engine.pushes_max);
        engine.store_operations_max = share(engine.store_operations_max);
        // Their jitter must not go in step.
        part.seed = self.seed.wrapping_add(index as u64);
        debug_assert!(part.engine.check().is_ok() || self.engine.check().is_err());
        part
    }

    /// A limit that is zero and must not be.
    fn zero(&self) -> Option<&'static str> {
        let counts = [
            (self.shards, "SHARDS"),
            (self.handshakes_max, "HANDSHAKES_MAX"),
            (
                self.handshakes_per_address_max,
                "HANDSHAKES_PER_ADDRESS_MAX",
            ),
            (self.connections_max, "CONNECTIONS_MAX"),
            (
                self.connections_per_document_max,
                "CONNECTIONS_PER_DOCUMENT_MAX",
            ),
            (self.connections_per_user_max, "CONNECTIONS_PER_USER_MAX"),
            (
                self.connections_per_address_max,
                "CONNECTIONS_PER_ADDRESS_MAX",
            ),
        ];
        let times = [
            (
                self.inbound_user_time_per_second.unwrap_or(Duration::MAX),
                "INBOUND_USER_TIME_PER_SECOND",
            ),
            (self.header_timeout, "HEADER_TIMEOUT"),
            (self.response_timeout, "RESPONSE_TIMEOUT"),
            (self.message_timeout, "MESSAGE_TIMEOUT"),
            (self.ping_interval, "PING_INTERVAL"),
            (self.close_timeout, "CLOSE_TIMEOUT"),
        ];
        let counts = counts.into_iter().map(|(count, name)| (count == 0, name));
        let times = times.into_iter().map(|(time, name)| (time.is_zero(), name));
        let mut zeroes = counts.chain(times).filter(|(is_zero, _)| *is_zero);
        zeroes.next().map(|(_, name)| name)
    }
}

fn since_1970() -> Duration {
    // A clock that stands before 1970 is no clock; all tokens have expired for
    // it that ever will.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use ysyncd_engine::auth::TokenKey;

    use super::*;

    fn changed(change: fn(&mut Config)) -> Result<(), ConfigError> {
        let mut config = Config::new(TokenVerifier::new(TokenKey::new(b"secret")), 1);
        change(&mut config);
        config.check()
    }

    #[test]
    fn limits_that_do_not_fit_together_are_told() {
        type Change = fn(&mut Config);
        let zero = |setting| ConfigError::Zero { setting };
        let engine = ysyncd_engine::ConfigError::StateVectorTooSmall;
        let bad: [(Change, ConfigError); 23] = [
            (
                |config| config.engine.type_depth_max = 1_001,
                ConfigError::TypesTooDeep { depth: 1_001 },
            ),
            (
                |config| config.engine.outbox_bytes_max = config.engine.answers_bytes_max + 1,
                ConfigError::OutboxTooLarge,
            ),
            (
                |config| config.engine.state_vector_entries_max = 1,
                engine.into(),
            ),
            (
                |config| config.inbound_bytes_burst = (16 << 20) - 1,
                ConfigError::BurstTooSmall {
                    burst: (16 << 20) - 1,
                    frame: 16 << 20,
                },
            ),
            (
                |config| config.inbound_user_bytes_burst = (16 << 20) - 1,
                ConfigError::UserBurstTooSmall {
                    burst: (16 << 20) - 1,
                    frame: 16 << 20,
                },
            ),
            (
                |config| config.inbound_user_bytes_per_second = Some((4 << 20) - 1),
                ConfigError::UserRateTooLow { what: "BYTES" },
            ),
            (
                |config| config.inbound_messages_per_second = Some(20_001),
                ConfigError::UserRateTooLow { what: "MESSAGES" },
            ),
            (
                |config| config.inbound_user_time_per_second = Some(Duration::ZERO),
                zero("INBOUND_USER_TIME_PER_SECOND"),
            ),
            (
                |config| config.unfinished_bytes_per_user_max = config.unfinished_bytes_max + 1,
                ConfigError::UserBudgetTooLarge,
            ),
            (
                |config| config.header_bytes_max = 8_191,
                ConfigError::HeaderTooSmall { bytes: 8_191 },
            ),
            (
                |config| config.silence_max = config.ping_interval,
                ConfigError::SilenceTooShort,
            ),
            (|config| config.shards = 0, zero("SHARDS")),
            (|config| config.handshakes_max = 0, zero("HANDSHAKES_MAX")),
            (
                |config| config.handshakes_per_address_max = 0,
                zero("HANDSHAKES_PER_ADDRESS_MAX"),
            ),
            (|config| config.connections_max = 0, zero("CONNECTIONS_MAX")),
            (
                |config| config.connections_per_document_max = 0,
                zero("CONNECTIONS_PER_DOCUMENT_MAX"),
            ),
            (
                |config| config.connections_per_user_max = 0,
                zero("CONNECTIONS_PER_USER_MAX"),
            ),
            (
                |config| config.connections_per_address_max = 0,
                zero("CONNECTIONS_PER_ADDRESS_MAX"),
            ),
            (
                |config| config.header_timeout = Duration::ZERO,
                zero("HEADER_TIMEOUT"),
            ),
            (
                |config| config.response_timeout = Duration::ZERO,
                zero("RESPONSE_TIMEOUT"),
            ),
            (
                |config| config.message_timeout = Duration::ZERO,
                zero("MESSAGE_TIMEOUT"),
            ),
            (
                |config| config.ping_interval = Duration::ZERO,
                zero("PING_INTERVAL"),
            ),
            (
                |config| config.close_timeout = Duration::ZERO,
                zero("CLOSE_TIMEOUT"),
            ),
        ];
        for (change, error) in bad {
            assert_eq!(changed(change), Err(error));
        }
    }

    #[test]
    fn parts_are_good_configurations_and_no_more_than_the_whole() {
        let mut config = Config::new(TokenVerifier::new(TokenKey::new(b"secret")), 1);
        for shards in 1..=256 {
            config.shards = shards;
            let part = config.part(shards - 1);
            assert_eq!(part.check(), Ok(()), "{shards}");
            let (whole, part) = (&config.engine, &part.engine);
            let fits = |part: usize, whole: usize| part * shards < whole + shards;
            assert!(fits(
                part.unsaved_bytes_total_max,
                whole.unsaved_bytes_total_max
            ));
            assert!(fits(part.answers_bytes_max, whole.answers_bytes_max));
            let floor = shards * whole.document_bytes_max;
            let most = whole.documents_bytes_max.max(floor);
            assert!(fits(part.documents_bytes_max, most));
            assert!(part.documents_bytes_max < part.documents_growth_max);
            assert_eq!(part.staged_bytes_max, whole.staged_bytes_max);
        }
        config.shards = 1;
        assert_eq!(config.part(0).engine, config.engine);
    }

    #[test]
    fn what_is_merely_small_is_no_fault() {
        assert_eq!(changed(|_| {}), Ok(()));
        assert_eq!(
            changed(|config| {
                config.inbound_bytes_per_second = None;
                config.inbound_bytes_burst = 0;
                config.inbound_messages_burst = 0;
                config.unfinished_bytes_max = 0;
                config.unfinished_bytes_per_user_max = 0;
                config.slowed_max = Duration::ZERO;
                config.shutdown_timeout = Duration::ZERO;
                config.handshakes_max = 1;
            }),
            Ok(())
        );
    }
}
