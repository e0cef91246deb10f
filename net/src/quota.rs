//! How many connections there may be, and how many of them may share a
//! document, a user or an address.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ysyncd_engine::{
    DocId,
    auth::UserId,
    marks::{self, Mark},
    planted::{self, Bug},
};

use crate::Config;

/// Counts connections from their request for a document until their socket is
/// closed.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    documents: HashMap<DocId, usize>,
    users: HashMap<UserId, usize>,
    addresses: HashMap<IpAddr, usize>,
}

/// What a connection is counted under.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) doc: DocId,
    pub(crate) user: UserId,
    /// `None` where it is not known who is behind it.
    pub(crate) address: Option<IpAddr>,
}

/// A connection's place, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    quotas: Arc<Quotas>,
    claim: Claim,
}

/// What there are too many connections of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum LimitReached {
    #[error(
        "the server has as many connections as it takes; try again later, or raise CONNECTIONS_MAX"
    )]
    Total,
    #[error(
        "too many connections to this document; close some, or raise \
         CONNECTIONS_PER_DOCUMENT_MAX on the server"
    )]
    Document,
    #[error(
        "too many connections of this user; close some, or raise CONNECTIONS_PER_USER_MAX on \
         the server"
    )]
    User,
    #[error(
        "too many connections from this address; close some, or raise \
         CONNECTIONS_PER_ADDRESS_MAX on the server"
    )]
    Address,
}

impl LimitReached {
    pub(crate) const ALL: [Self; 4] = [Self::Total, Self::Document, Self::User, Self::Address];

    /// What is counted, in a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Document => "document",
            Self::User => "user",
            Self::Address => "address",
        }
    }
}

impl Quotas {
    /// Takes a place for a connection, if all limits leave one.
    pub(crate) fn claim(
        self: &Arc<Self>,
        claim: Claim,
        config: &Config,
    ) -> Result<Place, LimitReached> {
        let mut counts = self.counts();
        counts.check(&claim, config)?;
        counts.add(&claim);
        Ok(Place {
            quotas: Arc::clone(self),
            claim,
        })
    }

    /// Nothing panics halfway through a change of them.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The narrowest limit is told first: there is most to be done about it.
    fn check(&self, claim: &Claim, config: &Config) -> Result<(), LimitReached> {
        let of_address = claim.address.map_or(0, |ip| count(&self.addresses, &ip));
        for (count, max, reached) in [
            (
                of_address,
                config.connections_per_address_max,
                LimitReached::Address,
            ),
            (
                count(&self.users, &claim.user),
                config.connections_per_user_max,
                LimitReached::User,
            ),
            (
                count(&self.documents, &claim.doc),
                config.connections_per_document_max,
                LimitReached::Document,
            ),
            (self.total, config.connections_max, LimitReached::Total),
        ] {
            if count >= max {
                marks::hit(Mark::ConnectionLimit);
                return Err(reached);
            }
        }
        Ok(())
    }

    fn add(&mut self, claim: &Claim) {
        self.total += 1;
        *self.documents.entry(claim.doc.clone()).or_default() += 1;
        *self.users.entry(claim.user.clone()).or_default() += 1;
        if let Some(address) = claim.address {
            *self.addresses.entry(address).or_default() += 1;
        }
    }

    fn remove(&mut self, claim: &Claim) {
        self.total -= 1;
        take(&mut self.documents, &claim.doc);
        take(&mut self.users, &claim.user);
        if let Some(address) = claim.address {
            take(&mut self.addresses, &address);
        }
    }
}

fn count<K: Eq + Hash>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or_default()
}

/// Counts one less. Keys without connections are forgotten.
fn take<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    let count = counts
        .get_mut(key)
        .expect("what is counted out was counted in");
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if planted::is(Bug::PlaceKept) {
            return;
        }
        self.quotas.counts().remove(&self.claim);
    }
}

#[cfg(test)]
mod tests {
    use ysyncd_engine::auth::{TokenKey, TokenVerifier};

    use super::*;

    fn claim(doc: &str, user: &str, address: Option<[u8; 4]>) -> Claim {
        Claim {
            doc: DocId::new(doc).unwrap(),
            user: UserId::new(user).unwrap(),
            address: address.map(IpAddr::from),
        }
    }

    #[test]
    fn each_limit_counts_its_own_and_a_place_is_free_again_when_dropped() {
        let mut config = Config::new(TokenVerifier::new(TokenKey::new(b"secret")), 1);
        config.connections_max = 4;
        config.connections_per_document_max = 3;
        config.connections_per_user_max = 2;
        config.connections_per_address_max = 1;
        let quotas = Arc::<Quotas>::default();
        let take = |claim| quotas.claim(claim, &config);

        let first = take(claim("a", "alice", Some([1; 4]))).unwrap();
        let again = take(claim("b", "bob", Some([1; 4])));
        assert_eq!(again.unwrap_err(), LimitReached::Address);
        let _second = take(claim("a", "alice", None)).unwrap();
        let again = take(claim("b", "alice", None));
        assert_eq!(again.unwrap_err(), LimitReached::User);
        let _third = take(claim("a", "bob", None)).unwrap();
        let again = take(claim("a", "carol", None));
        assert_eq!(again.unwrap_err(), LimitReached::Document);
        let _fourth = take(claim("b", "bob", None)).unwrap();
        let again = take(claim("c", "carol", None));
        assert_eq!(again.unwrap_err(), LimitReached::Total);

        drop(first);
        drop(take(claim("a", "alice", Some([1; 4]))).unwrap());
        drop((_second, _third, _fourth));
        let counts = quotas.counts();
        assert_eq!(counts.total, 0);
        assert!(counts.documents.is_empty() && counts.users.is_empty());
        assert!(counts.addresses.is_empty());
    }
}
