//! Who is there: cursors, names, whatever clients tell of themselves.
//!
//! A client's own clock orders what it says; states are JSON that nobody here looks
//! into.
//!
//! y-websocket clients announce back to the server each state that they get
//! from it. So a state counts only if it says something new, and who says it
//! first owns the id until its connection goes.

mod message;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use thiserror::Error;

pub(crate) use self::message::gone;
use self::message::{Entries, Said, encode};
use crate::{
    config::Config,
    id::ConnId,
    lib0::ReadError,
    marks::{self, Mark},
    planted::{self, Bug},
    protocol,
    update::ClientId,
};

/// The highest clock that counts, in years of 30 changes a second the fourth. Who
/// hears of itself at a higher one than its own goes on from there: near the highest
/// that lib0 can write it would end up saying what nobody can read.
const CLOCK_MAX: u64 = u32::MAX as u64;

/// Memory that an entry takes beside its state, about, in bytes.
const ENTRY_BYTES: usize = 160;

/// The awareness of one document.
#[derive(Debug, Default)]
pub(crate) struct Awareness {
    entries: BTreeMap<ClientId, Entry>,
    /// Those of the entries that are of clients which left, the oldest first.
    gone: BTreeSet<(Duration, ClientId)>,
    /// Those of the others, each with a time when it was heard of, if not the last:
    /// it is looked at again when it could have been silent since.
    watched: BTreeSet<(Duration, ClientId)>,
    owned: BTreeMap<Owner, BTreeSet<ClientId>>,
    /// Bytes of the states.
    state_bytes: usize,
    /// Memory that the entries take for which nodes speak, about, in bytes.
    node_bytes: usize,
    /// All that is known, as a frame for those who join.
    all: Option<Bytes>,
}

/// Who speaks for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// A connection here.
    Conn(ConnId),
    /// A node, with whichever of its lives was heard of last.
    Node(u64),
}

/// What is known of one client.
#[derive(Debug)]
struct Entry {
    clock: u64,
    /// `None`: it left. Kept for a while, so that a late echo of its last
    /// state does not bring it back.
    state: Option<Box<[u8]>>,
    /// Who speaks for it, while there is somebody and it has a state.
    owner: Option<Owner>,
    updated: Duration,
    /// Since when it is watched, while it has a state.
    watched: Duration,
}

/// Why an awareness message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum AwarenessError {
    /// The bytes cannot be read.
    #[error("malformed awareness: {0}")]
    Malformed(#[from] ReadError),
    /// Bytes follow after the end.
    #[error("malformed awareness: trailing bytes")]
    TrailingBytes,
    /// A state is not JSON, or nests too deep.
    #[error("malformed awareness: invalid JSON")]
    Json,
    /// A state is bigger than allowed.
    #[error("awareness state too big")]
    StateTooBig,
    /// The connection speaks for more clients than allowed.
    #[error("too many awareness clients on one connection")]
    TooManyIds,
    /// The states that the connection speaks for are bigger than allowed
    /// together.
    #[error("too much awareness on one connection")]
    TooMuch,
}

/// Clients of whom something new is known, with the clock that came.
pub(crate) type News = BTreeMap<ClientId, u64>;

impl Awareness {
    /// Takes what a connection says. Returns of whom that tells something new, which
    /// is to be told to all.
    ///
    /// # Errors
    /// The message is malformed or goes past a limit; nothing has changed.
    pub(crate) fn apply(
        &mut self,
        now: Duration,
        conn: Owner,
        message: &[u8],
        config: &Config,
    ) -> Result<News, AwarenessError> {
        let news = self.news(conn, message, config)?;
        for said in news.values() {
            self.set(now, conn, said);
        }
        self.forget_beyond(config.awareness_gone_max);
        Ok(news
            .values()
            .map(|said| (said.client, said.clock))
            .collect())
    }

    /// What is known of these now; `None` if there are none.
    pub(crate) fn encode_news(&self, news: &News) -> Option<Vec<u8>> {
        let said = news.iter().map(|(client, clock)| {
            let forgotten = Said {
                client: *client,
                clock: *clock,
                state: None,
            };
            let known = self.entries.get(client);
            known.map_or(forgotten, |entry| entry.said(*client))
        });
        (!news.is_empty()).then(|| encode(said))
    }

    /// Removes what connections owned. Returns what to tell all others.
    pub(crate) fn leave(&mut self, now: Duration, conns: &[Owner]) -> Option<Vec<u8>> {
        let owned = conns.iter().filter_map(|conn| self.owned.remove(conn));
        let ids = owned.flatten().collect();
        self.remove(now, &ids)
    }

    /// Removes clients that fell silent, and forgets those that left long ago.
    /// Returns what to tell all.
    pub(crate) fn expire(&mut self, now: Duration, config: &Config) -> Option<Vec<u8>> {
        let timeout = config.awareness_timeout;
        while let Some(&(since, _)) = self.gone.first()
            && since + timeout <= now
        {
            self.forget_oldest();
        }
        let mut silent = BTreeSet::new();
        while let Some(&(since, client)) = self.watched.first()
            && since + timeout <= now
        {
            self.watched.pop_first();
            let entry = self.entries.get_mut(&client);
            let entry = entry.expect("who is watched is known");
            let heard = match entry.is_kept() {
                true => now,
                false => entry.updated,
            };
            if heard + timeout <= now {
                silent.insert(client);
            } else {
                entry.watched = heard;
                self.watched.insert((heard, client));
            }
        }
        marks::hit_if(Mark::AwarenessExpired, || !silent.is_empty());
        self.remove(now, &silent)
    }

    /// When [`Awareness::expire`] may have something to do next.
    pub(crate) fn next_expiry(&self, config: &Config) -> Option<Duration> {
        let watched = self.watched.first().into_iter();
        let (since, _) = watched.chain(self.gone.first()).min()?;
        Some(*since + config.awareness_timeout)
    }

    /// The states of those for whom connections here speak; `None` if there are
    /// none.
    pub(crate) fn spoken_for(&self) -> Option<Vec<u8>> {
        let is_here = |entry: &Entry| match entry.owner {
            Some(Owner::Conn(_)) => true,
            Some(Owner::Node(_)) => planted::is(Bug::OthersSpokenFor),
            None => false,
        };
        let here = self.entries.iter().filter(|(_, entry)| is_here(entry));
        let here: Vec<_> = here.map(|(id, entry)| entry.said(*id)).collect();
        (!here.is_empty()).then(|| encode(here.into_iter()))
    }

    /// Bytes of the states that are known.
    pub(crate) const fn state_bytes(&self) -> usize {
        self.state_bytes
    }

    /// Bytes that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.entries.len() * ENTRY_BYTES;
        self.state_bytes + entries + self.all.as_ref().map_or(0, Bytes::len)
    }

    /// All that is known, those who left included, as a frame: a client that
    /// comes back learns from it that it has to raise its clock to be seen.
    /// `None` if nothing is known. Made once for all that ask until something
    /// changes.
    pub(crate) fn frame(&mut self) -> Option<Bytes> {
        if self.all.is_none() {
            let all = self.encode_with(&BTreeMap::new());
            self.all = all.map(|all| protocol::awareness(&all));
        }
        self.all.clone()
    }

    /// All that is known, and that these are gone, unless more is known of them.
    pub(crate) fn encode_with(&self, gone: &BTreeMap<ClientId, u64>) -> Option<Vec<u8>> {
        let known = self.entries.iter().map(|(id, entry)| entry.said(*id));
        let forgotten = gone.iter().filter(|(id, _)| !self.entries.contains_key(id));
        let forgotten = forgotten.map(|(id, clock)| Said {
            client: *id,
            clock: *clock,
            state: None,
        });
        let all: Vec<_> = known.chain(forgotten).collect();
        (!all.is_empty()).then(|| encode(all.into_iter()))
    }

    /// Whether an id is owned by exactly the connection that its entry names.
    pub(crate) fn check(&self, connections: &BTreeSet<ConnId>) {
        let states = self.entries.values().map(Entry::state_len);
        assert_eq!(self.state_bytes, states.sum::<usize>());
        let sizes = self.entries.values().map(Entry::node_size);
        assert_eq!(self.node_bytes, sizes.sum::<usize>());
        for (client, entry) in &self.entries {
            let is_watched = self.watched.contains(&(entry.watched, *client));
            assert_eq!(is_watched, entry.state.is_some(), "who has a state");
            let gone = self.gone.contains(&(entry.updated, *client));
            assert_eq!(gone, entry.state.is_none(), "who has no state left");
            if let Some(owner) = entry.owner {
                assert!(entry.state.is_some(), "who left is owned by nobody");
                assert!(self.owned[&owner].contains(client));
            }
        }
        let left = self.entries.values().filter(|entry| entry.state.is_none());
        assert_eq!(self.gone.len(), left.count());
        assert_eq!(self.gone.len() + self.watched.len(), self.entries.len());
        for (owner, ids) in &self.owned {
            if let Owner::Conn(conn) = owner {
                assert!(connections.contains(conn), "owners are connected");
            }
            for id in ids {
                assert_eq!(self.entries[id].owner, Some(*owner));
            }
        }
    }

    /// What a connection says that is new, its last word on each client. Keeps
    /// nothing of what is only an echo: a message may hold millions.
    fn news<'m>(
        &self,
        conn: Owner,
        message: &'m [u8],
        config: &Config,
    ) -> Result<BTreeMap<ClientId, Said<'m>>, AwarenessError> {
        let mut news = BTreeMap::new();
        // States among them; some may be null further on, for others.
        let (mut states, most) = match conn {
            Owner::Conn(_) => (0, config.awareness_ids_max.saturating_mul(2)),
            Owner::Node(_) => (0, usize::MAX),
        };
        let mut entries = Entries::of(message)?;
        while let Some(said) = entries.next()? {
            said.check_json()?;
            self.mark(&said, conn);
            if !self.counts(&said, conn, &news) {
                continue;
            }
            // An echo may be larger than what it repeats: as JavaScript writes it, 1e20
            // has 21 digits.
            said.check_size(config)?;
            states += usize::from(said.state.is_some());
            if states > most {
                return Err(AwarenessError::TooManyIds);
            }
            let was_said = match self.entries.contains_key(&said.client) || said.state.is_some() {
                true => news.insert(said.client, said),
                // It came and went: nobody needs to know.
                false => news.remove(&said.client),
            };
            let had_state = was_said.is_some_and(|was: Said<'_>| was.state.is_some());
            states -= usize::from(had_state);
        }
        entries.end()?;
        self.is_within(conn, &news, config)?;
        Ok(news)
    }

    /// Whether news leave a connection within the limits.
    fn is_within(
        &self,
        conn: Owner,
        news: &BTreeMap<ClientId, Said<'_>>,
        config: &Config,
    ) -> Result<(), AwarenessError> {
        if let Owner::Node(_) = conn {
            return self.is_within_of_node(news, config);
        }
        let owned = self.owned.get(&conn).into_iter().flatten();
        let kept = owned.filter(|id| !news.contains_key(id));
        let kept = kept.map(|id| self.entries[id].state_len());
        let new = news.values().filter_map(|said| said.state);
        let (mut ids, mut bytes) = (0, 0);
        for size in kept.chain(new.map(<[u8]>::len)) {
            ids += 1;
            bytes += size;
        }
        match () {
            () if ids > config.awareness_ids_max => Err(AwarenessError::TooManyIds),
            () if bytes > config.awareness_bytes_max && !planted::is(Bug::AwarenessUnbounded) => {
                Err(AwarenessError::TooMuch)
            }
            () => Ok(()),
        }
    }

    /// The same of what a node says. All that nodes say may take so much room: what
    /// its clients may say each has looked after itself.
    fn is_within_of_node(
        &self,
        news: &BTreeMap<ClientId, Said<'_>>,
        config: &Config,
    ) -> Result<(), AwarenessError> {
        let new = news.values().filter_map(|said| said.state);
        let new = new.map(|state| state.len() + ENTRY_BYTES).sum::<usize>();
        let replaced = news.keys().filter_map(|id| self.entries.get(id));
        let replaced = replaced.map(Entry::node_size).sum::<usize>();
        let is_within = self.node_bytes + new - replaced <= config.bus_awareness_bytes_max;
        match is_within || new <= replaced {
            true => Ok(()),
            false => Err(AwarenessError::TooMuch),
        }
    }

    /// Whether it says something new, after what was said before in the same
    /// message, and is this connection's to say.
    fn counts(&self, said: &Said<'_>, conn: Owner, before: &BTreeMap<ClientId, Said<'_>>) -> bool {
        let (clock, owner) = match (before.get(&said.client), self.entries.get(&said.client)) {
            (Some(before), _) => (before.clock, before.state.map(|_| conn)),
            (None, Some(known)) => (known.clock, known.owner),
            (None, None) => return said.state.is_some() && said.clock <= CLOCK_MAX,
        };
        match said.state {
            _ if said.clock > CLOCK_MAX => false,
            Some(_) if planted::is(Bug::AwarenessEchoOwns) => said.clock >= clock,
            Some(_) if planted::is(Bug::AwarenessClockBack) => said.clock != clock,
            Some(_) => said.clock > clock,
            None if planted::is(Bug::ForeignNullCounts) && said.clock > clock => true,
            None => owner == Some(conn) && said.clock >= clock,
        }
    }

    /// Marks what a connection says of others, or again.
    fn mark(&self, said: &Said<'_>, conn: Owner) {
        let Some(known) = self.entries.get(&said.client) else {
            return;
        };
        let is_owner = known.owner == Some(conn);
        marks::hit_if(Mark::AwarenessOwnerNull, || {
            is_owner && said.state.is_none() && said.clock >= known.clock
        });
        marks::hit_if(Mark::AwarenessForeignNull, || {
            !is_owner && known.state.is_some() && said.state.is_none()
        });
        marks::hit_if(Mark::AwarenessTakeover, || {
            known.owner.is_some() && !is_owner && said.state.is_some() && said.clock > known.clock
        });
        marks::hit_if(Mark::AwarenessEcho, || {
            said.state.is_some() && said.clock <= known.clock
        });
    }

    fn set(&mut self, now: Duration, conn: Owner, said: &Said<'_>) {
        let owner = said.state.map(|_| conn);
        let same = |known: &Entry| said.state.is_some() && known.state.as_deref() == said.state;
        let updated = match self.entries.get(&said.client) {
            Some(known) if planted::is(Bug::AwarenessLiveExpired) && same(known) => known.updated,
            _ => now,
        };
        let before = self.entries.get(&said.client);
        let here = before.filter(|known| known.state.is_some());
        let watched = here.map_or(now, |known| known.watched);
        let entry = Entry {
            clock: said.clock,
            state: said.state.map(Into::into),
            owner,
            updated,
            watched,
        };
        self.forget_frame();
        self.state_bytes += entry.state_len();
        self.node_bytes += entry.node_size();
        let before = self.entries.insert(said.client, entry);
        self.state_bytes -= before.as_ref().map_or(0, Entry::state_len);
        self.node_bytes -= before.as_ref().map_or(0, Entry::node_size);
        if let Some(entry) = &before
            && entry.state.is_none()
        {
            self.gone.remove(&(entry.updated, said.client));
        }
        let had_state = before.as_ref().is_some_and(|entry| entry.state.is_some());
        match said.state {
            Some(_) if had_state => {}
            Some(_) => {
                self.watched.insert((watched, said.client));
            }
            None => {
                self.watched.remove(&(watched, said.client));
                self.gone.insert((now, said.client));
            }
        }
        let before = before.and_then(|entry| entry.owner);
        if before != owner {
            if let Some(before) = before
                && !planted::is(Bug::AwarenessWrongOwner)
            {
                self.disown(before, said.client);
            }
            if let Some(owner) = owner {
                self.owned.entry(owner).or_default().insert(said.client);
            }
        }
    }

    /// Forgets those who left first, so that one who comes and goes all the
    /// time cannot fill the memory.
    fn forget_beyond(&mut self, gone_max: usize) {
        while self.gone.len() > gone_max {
            marks::hit(Mark::AwarenessForgotten);
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, client)) = self.gone.pop_first() {
            self.forget_frame();
            self.entries.remove(&client);
        }
    }

    fn disown(&mut self, conn: Owner, client: ClientId) {
        if let Some(ids) = self.owned.get_mut(&conn) {
            ids.remove(&client);
            if ids.is_empty() {
                self.owned.remove(&conn);
            }
        }
    }

    /// What was made for those who join is out of date.
    fn forget_frame(&mut self) {
        if !planted::is(Bug::StaleAwareness) {
            self.all = None;
        }
    }

    fn remove(&mut self, now: Duration, ids: &BTreeSet<ClientId>) -> Option<Vec<u8>> {
        if !ids.is_empty() {
            self.forget_frame();
        }
        for &client in ids {
            let entry = self.entries.get_mut(&client);
            let entry = entry.expect("ids that are owned or listed exist");
            self.state_bytes -= entry.state_len();
            self.node_bytes -= entry.node_size();
            self.watched.remove(&(entry.watched, client));
            entry.state = None;
            entry.updated = now;
            self.gone.insert((now, client));
            if let Some(owner) = entry.owner.take() {
                self.disown(owner, client);
            }
        }
        let news = ids.iter().map(|id| self.entries[id].said(*id));
        (!ids.is_empty()).then(|| encode(news))
    }
}

impl Entry {
    /// Whether it does not expire: by mistake.
    fn is_kept(&self) -> bool {
        planted::is(Bug::BusAwarenessKept) && matches!(self.owner, Some(Owner::Node(_)))
    }

    /// Memory that it takes, if a node speaks for it.
    fn node_size(&self) -> usize {
        match self.owner {
            Some(Owner::Node(_)) => self.state_len() + ENTRY_BYTES,
            Some(Owner::Conn(_)) | None => 0,
        }
    }

    fn state_len(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.len())
    }

    fn said(&self, client: ClientId) -> Said<'_> {
        Said {
            client,
            clock: self.clock,
            state: self.state.as_deref(),
        }
    }
}
