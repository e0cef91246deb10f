//! File descriptors: how many there may be, and what for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, info, warn};
use ysyncd_net::Config;

/// A load or a save of a document holds a file, and for a moment its folder.
const PER_STORE_OPERATION: usize = 2;

/// For the journal, the listener, the runtime and standard streams.
const OTHERS: usize = 32;

/// For the runtime of a shard beside the first, and its bus.
const PER_SHARD: usize = 6;

/// Raises the limit to what the system lets it be, and says what it is then.
/// `None`: there is none.
pub(crate) fn raise_limit() -> Option<usize> {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    let raised = setrlimit(Resource::Nofile, wanted);
    if let Err(error) = raised {
        debug!(%error, "the limit of file descriptors stays as it is");
    }
    let limit = getrlimit(Resource::Nofile).current;
    info!(
        limit = limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string()),
        "file descriptors"
    );
    limit.and_then(|limit| usize::try_from(limit).ok())
}

/// Makes the configuration fit the limit, so that accepting a connection and
/// saving a document never fail for want of a descriptor: who is one too many
/// is answered with 503 instead.
pub(crate) fn fit(config: &mut Config, limit: Option<usize>) {
    let Some(limit) = limit else { return };
    let shares = Shares::of(limit, config);
    config.engine.store_operations_max = shares.store_operations;
    if shares.handshakes < config.handshakes_max {
        config.handshakes_max = shares.handshakes;
        let per_address = config.handshakes_per_address_max;
        config.handshakes_per_address_max = per_address.min(shares.handshakes.div_ceil(4));
    }
    if config.connections_max == usize::MAX {
        info!(
            connections = shares.connections,
            "as many connections as file descriptors allow"
        );
    } else if config.connections_max > shares.connections {
        warn!(
            limit,
            connections_max = config.connections_max,
            connections = shares.connections,
            "file descriptors allow fewer connections than CONNECTIONS_MAX; raise their hard \
             limit (LimitNOFILE= of systemd, --ulimit nofile= of docker, ulimit -n) or set \
             CONNECTIONS_MAX lower"
        );
    }
    config.connections_max = config.connections_max.min(shares.connections);
}

/// What file descriptors are used for.
#[derive(Debug, PartialEq, Eq)]
struct Shares {
    connections: usize,
    handshakes: usize,
    /// Loads at once, and saves at once.
    store_operations: usize,
}

impl Shares {
    /// Stores and handshakes get what they want, but neither more than a
    /// quarter; connections get the rest.
    fn of(limit: usize, config: &Config) -> Self {
        let others = OTHERS + PER_SHARD * (config.shards - 1);
        let free = limit.saturating_sub(others);
        let per_step = 2 * PER_STORE_OPERATION;
        let wanted = config.engine.store_operations_max;
        let store_operations = wanted.min(free / 4 / per_step);
        // As many for each shard.
        let store_operations = (store_operations / config.shards).max(1) * config.shards;
        let handshakes = config.handshakes_max.min(free / 4).max(1);
        let spare = store_operations * per_step + handshakes;
        Self {
            connections: free.saturating_sub(spare).max(1),
            handshakes,
            store_operations,
        }
    }
}

#[cfg(test)]
mod tests {
    use ysyncd_engine::auth::{TokenKey, TokenVerifier};

    use super::*;

    fn config() -> Config {
        Config::new(TokenVerifier::new(TokenKey::new(b"secret")), 1)
    }

    #[test]
    fn all_that_there_may_be_at_once_fits_the_limit() {
        let limits = [64, 100, 256, 1_024, 4_096, 1 << 20].map(|limit| (limit, 1));
        let several = [(1_024, 3), (4_096, 100), (1 << 20, 256)];
        for (limit, shards) in limits.into_iter().chain(several) {
            let mut config = config();
            config.shards = shards;
            let shares = Shares::of(limit, &config);
            assert!(shares.store_operations.is_multiple_of(shards));
            let stores = shares.store_operations * 2 * PER_STORE_OPERATION;
            let others = OTHERS + PER_SHARD * (shards - 1);
            let all = others + stores + shares.handshakes + shares.connections;
            assert!(all <= limit, "{limit}, {shards} shards: {shares:?}");
            assert!(
                shares.connections >= (limit - others) / 2,
                "{limit}: {shares:?}"
            );
        }
    }

    #[test]
    fn a_limit_that_is_high_enough_changes_nothing_and_a_low_one_bounds_connections() {
        let mut high = config();
        fit(&mut high, Some(20_000));
        assert_eq!(high.connections_max, config().connections_max);
        assert_eq!(high.handshakes_max, config().handshakes_max);
        let stores = config().engine.store_operations_max;
        assert_eq!(high.engine.store_operations_max, stores);
        let mut chosen = config();
        chosen.handshakes_per_address_max = chosen.handshakes_max;
        fit(&mut chosen, Some(20_000));
        assert_eq!(chosen.handshakes_per_address_max, chosen.handshakes_max);
        let mut low = config();
        low.connections_max = usize::MAX;
        fit(&mut low, Some(1_024));
        assert_eq!(low.connections_max, 496);
        assert_eq!(
            (low.handshakes_max, low.handshakes_per_address_max),
            (248, 62)
        );
        let mut none = config();
        fit(&mut none, None);
        assert_eq!(none.connections_max, config().connections_max);
    }
}
