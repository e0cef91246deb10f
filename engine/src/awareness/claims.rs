//! Whose a client is: which user's connection may speak for it.
//!
//! Pages of y-websocket send on what they hear, from the server and from other pages in
//! the same browser. So somebody may tell of a client before its own page does. But what
//! a connection tells of first is its page.

use std::collections::{BTreeMap, VecDeque, btree_map::Entry};

use crate::{auth::UserId, id::ConnId, update::ClientId};

/// Of so many pages it is known at least whose they are.
const PAGES_MIN: usize = 1_000;

/// Memory that it takes to know that of one, about, in bytes.
const PAGE_BYTES: usize = 48;

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
    /// Whether it is a page of theirs.
    pub(crate) is_page: bool,
}

/// Whose pages clients are: of the user who had the first connection whose own it was.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pages: BTreeMap<ClientId, UserId>,
    /// Those of each user in the order in which they came.
    of: BTreeMap<UserId, VecDeque<ClientId>>,
}

impl<'a> By<'a> {
    pub(crate) const fn owner(self) -> Owner {
        match self {
            Self::Conn(conn, _) => Owner::Conn(conn),
            Self::Node(node, _) => Owner::Node(node),
        }
    }

    pub(super) fn user(self) -> Option<&'a UserId> {
        match self {
            Self::Conn(_, user) => Some(user),
            Self::Node(_, claim) => claim.map(|claim| &claim.user),
        }
    }
}

impl Pages {
    pub(super) fn get(&self, client: ClientId) -> Option<&UserId> {
        self.pages.get(&client)
    }

    pub(super) fn note(&mut self, client: ClientId, user: &UserId) {
        if let Entry::Vacant(page) = self.pages.entry(client) {
            page.insert(user.clone());
            let of_user = self.of.entry(user.clone()).or_default();
            of_user.push_back(client);
        }
    }

    /// Keeps so many, and forgets of whoever has most: nobody has those of others
    /// forgotten.
    pub(super) fn forget_beyond(&mut self, most: usize) {
        while self.pages.len() > most.max(PAGES_MIN) {
            let of_user = self.of.values_mut().max_by_key(|pages| pages.len());
            let oldest = of_user.and_then(VecDeque::pop_front);
            oldest.map(|client| self.pages.remove(&client));
            self.of.retain(|_, pages| !pages.is_empty());
        }
    }

    /// Bytes that they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.pages.len() * PAGE_BYTES
    }

    pub(super) fn check(&self) {
        let of = self.of.iter();
        let of = of.flat_map(|(user, pages)| pages.iter().map(move |page| (page, user)));
        let of: BTreeMap<_, _> = of.collect();
        assert!(of.into_iter().eq(&self.pages));
    }
}
