//! Awareness between nodes: who is told of, by whose word.

use std::collections::BTreeMap;

use super::{
    Awareness, Claim,
    message::{Entries, FRAME_BYTES, Said, encode, parts},
};
use crate::{
    bus::Presence,
    config::Config,
    planted::{self, Bug},
};

impl Awareness {
    /// What a message of our own says, as the bodies of messages to other nodes. None is
    /// too large.
    pub(crate) fn for_nodes(&self, message: &[u8], config: &Config) -> Vec<Vec<u8>> {
        let (mut bodies, mut body) = (Vec::new(), Vec::new());
        for (claim, said) in self.by_claim(message) {
            let states = encode(said.into_iter());
            for states in parts(&states, config) {
                if !body.is_empty() && body.len() + states.len() > FRAME_BYTES {
                    bodies.push(std::mem::take(&mut body));
                }
                let presence = Presence {
                    user: claim.as_ref().map_or("", |claim| claim.user.as_str()),
                    is_page: claim.as_ref().is_some_and(|claim| claim.is_page),
                    states: &states,
                };
                presence.write(&mut body);
            }
        }
        bodies.extend((!body.is_empty()).then_some(body));
        bodies
    }

    /// The clients that a message tells of, by whose word they are there.
    fn by_claim<'a>(&self, message: &'a [u8]) -> BTreeMap<Option<Claim>, Vec<Said<'a>>> {
        let mut by_claim = BTreeMap::<_, Vec<_>>::new();
        let Ok(mut entries) = Entries::of(message) else {
            return by_claim;
        };
        while let Ok(Some(said)) = entries.next() {
            let known = self.entries.get(&said.client);
            let mut claim = known.map(|known| Claim {
                user: known.user.clone(),
                is_page: self.pages.get(said.client) == Some(&known.user),
            });
            if planted::is(Bug::BusUsersMixed)
                && let Some(first) = by_claim.keys().next()
            {
                claim.clone_from(first);
            }
            by_claim.entry(claim).or_default().push(said);
        }
        by_claim
    }
}
