//! How this server reaches others that share its store, as the settings say.

use std::net::SocketAddr;

use ysyncd_net::Cluster;

use crate::{cli::ServeSettings, failure::Failure};

/// Checks what can be checked without asking anybody.
///
/// # Errors
/// The settings describe no bus.
pub(crate) fn check(settings: &ServeSettings) -> Result<(), Failure> {
    let nodes = &settings.nodes;
    if !nodes.redis_url.is_empty() {
        return bus::open(nodes).map(drop);
    }
    let for_several = [
        ("REDIS_PREFIX", &nodes.redis_prefix),
        ("NODE_NAME", &nodes.node_name),
    ];
    match for_several.iter().find(|(_, value)| !value.is_empty()) {
        None => Ok(()),
        Some((name, value)) => Err(Failure::configuration(format_args!(
            "{name} is {value:?}, but REDIS_URL is not set: set it, so that servers reach each \
             other, or leave {name} unset"
        ))),
    }
}

/// The others, if there are any to be. `address` is where this one listens.
///
/// # Errors
/// The settings describe no bus.
pub(crate) fn open(
    settings: &ServeSettings,
    address: SocketAddr,
) -> Result<Option<Cluster>, Failure> {
    if settings.nodes.redis_url.is_empty() {
        return Ok(None);
    }
    bus::cluster(settings, address).map(Some)
}

#[cfg(feature = "redis")]
mod bus {
    use std::{
        net::SocketAddr,
        sync::Arc,
        time::{SystemTime, UNIX_EPOCH},
    };

    use sha2::{Digest, Sha256};
    use tracing::{info, warn};
    use ysyncd_engine::Node;
    use ysyncd_net::{
        Cluster,
        bus::{RedisBus, RedisUrlError},
    };

    use crate::{
        cli::{NodeSettings, ServeSettings},
        failure::Failure,
    };

    pub(super) fn open(settings: &NodeSettings) -> Result<RedisBus, Failure> {
        let seed = getrandom::u64().map_err(Failure::outside)?;
        // What is not UTF-8 is no URL, either.
        let url = settings.redis_url.to_str().unwrap_or_default();
        RedisBus::new(url, &settings.redis_prefix, seed).map_err(|error| match error {
            // The URL may hold a password.
            RedisUrlError::Url => Failure::configuration(format_args!("REDIS_URL: {error}")),
            RedisUrlError::Prefix => Failure::configuration(format_args!(
                "REDIS_PREFIX is {:?}: {error}",
                settings.redis_prefix
            )),
        })
    }

    pub(super) fn cluster(
        settings: &ServeSettings,
        address: SocketAddr,
    ) -> Result<Cluster, Failure> {
        let bus = open(&settings.nodes)?;
        let name = name(settings, address);
        let node = Node {
            id: id(&name),
            incarnation: milliseconds_since_1970(),
        };
        if settings.store.s3_bucket.is_empty() {
            warn!(
                "REDIS_URL is set without S3_BUCKET: all servers with this Redis must have the same \
                 DATA_DIR, on a file system that they share; with folders of their own each would \
                 keep its own copy of a document, and edits could be missing in one of them"
            );
        }
        info!(node = name, redis = bus.address(), "one of several nodes");
        let bus = Arc::new(bus);
        Ok(Cluster { node, bus })
    }

    /// Two servers of one machine listen on different ports.
    fn name(settings: &ServeSettings, address: SocketAddr) -> String {
        match settings.nodes.node_name.as_str() {
            "" => {
                let system = rustix::system::uname();
                let host = system.nodename().to_string_lossy().into_owned();
                format!("{host}:{}", address.port())
            }
            name => name.to_owned(),
        }
    }

    /// The same number for the same name, whatever version runs.
    fn id(name: &str) -> u64 {
        let hash = Sha256::digest(name);
        let first = hash.first_chunk().expect("a hash has 32 bytes");
        u64::from_be_bytes(*first)
    }

    /// Higher at each start, unless the clock was set back by more than the time
    /// between.
    fn milliseconds_since_1970() -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis();
        u64::try_from(now).unwrap_or(u64::MAX)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_name_is_always_the_same_number() {
            assert_eq!(id("a"), 0xca97_8112_ca1b_bdca);
            assert_ne!(id("a"), id("b"));
        }

        #[test]
        fn a_later_start_is_a_higher_incarnation() {
            assert!(milliseconds_since_1970() > 1_700_000_000_000);
        }
    }
}

#[cfg(not(feature = "redis"))]
mod bus {
    use std::net::SocketAddr;

    use ysyncd_net::Cluster;

    use crate::{
        cli::{NodeSettings, ServeSettings},
        failure::Failure,
    };

    pub(super) fn open(_: &NodeSettings) -> Result<(), Failure> {
        Err(built_without())
    }

    pub(super) fn cluster(_: &ServeSettings, _: SocketAddr) -> Result<Cluster, Failure> {
        Err(built_without())
    }

    fn built_without() -> Failure {
        Failure::configuration("REDIS_URL is set, but this ysyncd was built without Redis")
    }
}
