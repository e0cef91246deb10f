//! Why there is no connection, and what to do about it.

use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::time::error::Elapsed;

/// Why a connection is lost, or cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Redis, or the way to it, says so.
    #[error("{error}{}", hint(.error))]
    Redis {
        /// Its words.
        #[from]
        error: RedisError,
    },
    /// There was no answer in time.
    #[error("Redis does not answer; see whether it runs, and what is between it and this node")]
    Silent(#[from] Elapsed),
    /// Redis has ended the connection: it ends, or this node reads too slowly.
    #[error(
        "Redis has closed the connection; if it goes on running, look at what it logs, such as \
         client-output-buffer-limit"
    )]
    Closed,
}

/// What to do about an error, to be put behind it.
fn hint(error: &RedisError) -> Hint {
    let code = error.code().unwrap_or_default();
    match error.kind() {
        ErrorKind::AuthenticationFailed => Hint::Password,
        _ if ["NOAUTH", "WRONGPASS"].contains(&code) => Hint::Password,
        _ if code == "NOPERM" => Hint::Rights,
        ErrorKind::InvalidClientConfig => Hint::Url,
        ErrorKind::Server(ServerErrorKind::BusyLoading) => Hint::None,
        ErrorKind::Io if error.to_string().contains("certificate") => Hint::Authority,
        ErrorKind::Io => Hint::Reach,
        _ => Hint::None,
    }
}

enum Hint {
    Password,
    Rights,
    Url,
    Authority,
    Reach,
    None,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "; see to user and password in REDIS_URL",
            Self::Rights => {
                "; the user of REDIS_URL needs the commands PUBLISH, SUBSCRIBE, UNSUBSCRIBE and \
                 PING, and the channels ysyncd:*"
            }
            Self::Url => "; see to REDIS_URL",
            Self::Authority => {
                "; SSL_CERT_FILE may name a file with the certificate of the authority to trust"
            }
            Self::Reach => "; see whether Redis runs, and whether REDIS_URL has its address",
            Self::None => "",
        })
    }
}
