//! Whose a client is: which user's connection may speak for it.
//!
//! Pages of y-websocket send on what they hear, from the server and from other pages in
//! the same browser. So somebody may tell of a client before its own page does; but
//! what a connection tells of first is its page's own.

use std::collections::{BTreeMap, VecDeque};

use crate::{auth::UserId, id::ConnId, update::ClientId};

/// Of so many clients it is known at least whose they are.
const CLAIMS_MIN: usize = 1_000;

/// Memory that it takes to know that of one, about, in bytes.
const CLAIM_BYTES: usize = 64;

/// Who speaks for a client, or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// A connection here.
    Conn(ConnId),
    /// A node, with whichever of its lives was heard of last.
    Node(u64),
}

/// Who says something.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By<'a> {
    /// A connection here, of this user.
    Conn(ConnId, &'a UserId),
    /// Another node, and by whose word: `None` of those of whom it only knows that they
    /// have gone.
    Node(u64, Option<&'a Claim>),
}

/// By whose word somebody is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    /// The user whose connection says it.
    pub(crate) user: UserId,
    /// Whether it is the first client that this connection told of.
    pub(crate) is_own: bool,
}

/// The first claim to each client; one by a client's own page goes before one by
/// others. The oldest are forgotten.
#[derive(Debug, Default)]
pub(super) struct Claims {
    claims: BTreeMap<ClientId, Claim>,
    /// The clients in the order in which they were first claimed.
    order: VecDeque<ClientId>,
}

impl By<'_> {
    pub(crate) const fn owner(&self) -> Owner {
        match *self {
            Self::Conn(conn, _) => Owner::Conn(conn),
            Self::Node(node, _) => Owner::Node(node),
        }
    }

    /// What makes a word on a client theirs. `own` is the connection's own one.
    pub(super) fn claim(&self, client: ClientId, own: Option<ClientId>) -> Option<Claim> {
        match *self {
            Self::Conn(_, user) => Some(Claim {
                user: user.clone(),
                is_own: own == Some(client),
            }),
            Self::Node(_, claim) => claim.cloned(),
        }
    }
}

impl Claim {
    /// Whether this gives way to another claim to the same client.
    pub(super) fn yields_to(&self, other: &Self) -> bool {
        self.user == other.user || (other.is_own && !self.is_own)
    }
}

impl Claims {
    pub(super) fn get(&self, client: ClientId) -> Option<&Claim> {
        self.claims.get(&client)
    }

    pub(super) fn note(&mut self, client: ClientId, claim: &Claim) {
        match self.claims.get_mut(&client) {
            Some(first) if claim.is_own && !first.is_own => *first = claim.clone(),
            Some(_) => {}
            None => {
                self.claims.insert(client, claim.clone());
                self.order.push_back(client);
            }
        }
    }

    /// Forgets the oldest, but so many.
    pub(super) fn forget_beyond(&mut self, most: usize) {
        while self.order.len() > most.max(CLAIMS_MIN) {
            if let Some(oldest) = self.order.pop_front() {
                self.claims.remove(&oldest);
            }
        }
    }

    /// Bytes that they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.order.len() * CLAIM_BYTES
    }
}
