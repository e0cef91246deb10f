//! Which structs a client that has what we have could integrate.
//!
//! A Yjs client integrates the structs of each client in order, each once all
//! that it names is integrated. A struct that came before what it names is
//! relayed at once like any other, but a client may then be left waiting even
//! after the missing part has come; so it is relayed once more after that.
//!
//! As clients integrate in order, one clock per client tells it all: everything
//! below `integrated_end` can be integrated, and the struct there waits for one
//! id at a time.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

use super::structs::{ClientStructs, StructStore};
use crate::{
    planted::{self, Bug},
    update::{Body, ClientId, Clock, ClockRange, Id, Struct},
};

/// The clients whose next struct waits for an id.
pub(super) type Blocked = BTreeMap<Id, SmallVec<[ClientId; 1]>>;

/// A stretch of one client's history.
pub(crate) type Stretch = (ClientId, ClockRange);

impl StructStore {
    /// Carries on, after the clients `grown` have grown, with all that waited
    /// for them. Returns what was integrated in doing so.
    pub(super) fn integrate_waiting(&mut self, grown: &[ClientId]) -> Vec<Stretch> {
        let mut integrated = Vec::new();
        let mut todo: VecDeque<ClientId> = VecDeque::new();
        for &client in grown {
            // A gap may have closed in front of structs that came earlier.
            if self.has_more(client) {
                todo.push_back(client);
            }
            todo.extend(self.wake(client));
        }
        while let Some(client) = todo.pop_front() {
            let stretch = self.integrate_on(client);
            if !stretch.is_empty() {
                integrated.push((client, stretch));
                todo.extend(self.wake(client));
            }
        }
        integrated
    }

    fn integrated(&self, client: ClientId) -> Clock {
        self.clients.get(&client).map_or(0, |c| c.integrated_end)
    }

    fn set_integrated(&mut self, client: ClientId, end: Clock) {
        self.known_client(client).integrated_end = end;
    }

    /// Whether a client has structs to integrate and waits for nothing.
    fn has_more(&self, client: ClientId) -> bool {
        self.clients
            .get(&client)
            .is_some_and(|c| !c.blocked && c.integrated_end < c.contiguous_end())
    }

    /// Notes that a client's next struct waits for an id.
    pub(super) fn wait(&mut self, client: ClientId, missing: Id) {
        self.blocked.entry(missing).or_default().push(client);
    }

    fn known_client(&mut self, client: ClientId) -> &mut ClientStructs {
        self.clients
            .get_mut(&client)
            .expect("only clients with structs integrate or wait")
    }

    /// Takes out the clients that waited for what is integrated now.
    fn wake(&mut self, client: ClientId) -> Vec<ClientId> {
        let mut woken = Vec::new();
        let up_to = Id {
            client,
            clock: self.integrated(client),
        };
        while let Some((&id, _)) = self.blocked.range(Id { client, clock: 0 }..up_to).next() {
            woken.extend(self.blocked.remove(&id).into_iter().flatten());
            if planted::is(Bug::OnlyFirstWoken) {
                break;
            }
        }
        for &client in &woken {
            self.known_client(client).blocked = false;
        }
        woken
    }

    /// Integrates a client's structs up to one that has to wait.
    fn integrate_on(&mut self, client: ClientId) -> ClockRange {
        let start = self.integrated(client);
        let mut end = start;
        if !self.has_more(client) {
            return start..end;
        }
        let mut waits_for = None;
        for item in self.clients[&client].structs_from(start) {
            waits_for = self.first_missing(&item);
            if waits_for.is_some() {
                break;
            }
            end = item.end();
        }
        self.set_integrated(client, end);
        if let Some(missing) = waits_for {
            self.known_client(client).blocked = true;
            self.wait(client, missing);
        }
        start..end
    }

    /// The first id that a struct names and that is not integrated.
    fn first_missing(&self, item: &Struct<'_>) -> Option<Id> {
        let Body::Item(body) = item.body else {
            return None;
        };
        body.head.position.references().find(|named| {
            named.client != item.id.client && named.clock >= self.integrated(named.client)
        })
    }
}
