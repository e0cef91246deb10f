//! Who is there: cursors, names, whatever clients tell of themselves.
//!
//! A client's own clock orders what it says; states are JSON that nobody here looks
//! into.
//!
//! y-websocket clients announce back to the server each state that they get
//! from it. So a state counts only if it says something new, and who says it
//! first speaks for the id until its connection goes. Nobody is closed for what it
//! may only repeat: what goes past a limit is not shown, and that is all.

mod claims;
mod message;
mod nodes;
mod shown;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use thiserror::Error;

pub use self::shown::Unshown;
use self::{
    claims::Pages,
    message::{Said, encode},
};
pub(crate) use self::{
    claims::{By, Claim, Owner},
    message::{gone, split},
};
use crate::{
    auth::UserId,
    config::Config,
    id::ConnId,
    lib0::ReadError,
    marks::{self, Mark},
    planted::{self, Bug},
    update::ClientId,
};

/// Memory that an entry takes beside its state, about, in bytes.
const ENTRY_BYTES: usize = 200;

/// The awareness of one document.
#[derive(Debug, Default)]
pub(crate) struct Awareness {
    entries: BTreeMap<ClientId, Entry>,
    /// Those of the entries that are of clients which left, the oldest first.
    gone: BTreeSet<(Duration, ClientId)>,
    /// The same of each user: who has most of them loses its oldest first, so that
    /// nobody has those of others forgotten.
    gone_of: BTreeMap<UserId, BTreeSet<(Duration, ClientId)>>,
    /// Those of the others, each with a time when it was heard of, if not the last:
    /// it is looked at again when it could have been silent since.
    watched: BTreeSet<(Duration, ClientId)>,
    speakers: BTreeMap<Owner, Speaker>,
    /// Bytes of the states, as JavaScript writes them, of those who are here by the word
    /// of a user's connections to this server.
    written_of: BTreeMap<UserId, usize>,
    /// Whose pages they are, or were long ago.
    pages: Pages,
    /// Bytes of the states.
    state_bytes: usize,
    /// All that is known, as frames for those who join.
    all: Option<Arc<[Bytes]>>,
}

/// For whom somebody speaks, or did.
#[derive(Debug, Default)]
struct Speaker {
    /// The first id that it said something new of. A page says its own first.
    own: Option<ClientId>,
    /// Those who are here by its word.
    here: BTreeSet<ClientId>,
    /// Those who have gone since, and are remembered, if it is a connection.
    gone: BTreeSet<ClientId>,
    /// Bytes of the states of those who are here, as JavaScript writes them.
    written: usize,
}

/// What is known of one client.
#[derive(Debug)]
struct Entry {
    clock: u64,
    /// `None`: it left. Kept for a while, so that a late echo of its last
    /// state does not bring it back.
    state: Option<Box<[u8]>>,
    /// Bytes of the state as JavaScript writes it.
    written: usize,
    /// Who speaks for it while it has a state, and did before it left.
    speaker: Owner,
    /// The user by whose word that is.
    user: UserId,
    updated: Duration,
    /// Since when it is watched, while it has a state.
    watched: Duration,
}

/// Why an awareness message is not read.
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
}

/// Clients of whom something new is known, with the clock that came.
pub(crate) type News = BTreeMap<ClientId, u64>;

/// Adds what is said later to news, of which there mostly are none yet.
pub(crate) fn add_news(news: &mut News, later: News) {
    match news.is_empty() {
        true => *news = later,
        false => news.extend(later),
    }
}

impl Awareness {
    /// Takes what somebody says. Returns of whom that tells something new, which is to
    /// be told to all, and why not all of it is shown, if so.
    ///
    /// # Errors
    /// The message is malformed; nothing has changed.
    pub(crate) fn apply(
        &mut self,
        now: Duration,
        by: By<'_>,
        message: &[u8],
        config: &Config,
    ) -> Result<(News, Option<Unshown>), AwarenessError> {
        let shown = self.shown(by, message, config)?;
        if let Some(own) = shown.own {
            self.speakers.entry(by.owner()).or_default().own = Some(own);
        }
        let own = self.own_of(by.owner());
        for said in shown.news.values() {
            self.note_page(by, said, own);
            self.set(now, by, said);
        }
        self.forget_beyond(config.awareness_gone_max);
        let news = shown.news.values();
        let news = news.map(|said| (said.client, said.clock)).collect();
        Ok((news, shown.unshown))
    }

    /// Bytes that a message takes to tell of a client, about, when JavaScript repeats it.
    pub(crate) fn said_len(&self, client: ClientId) -> usize {
        self.entries.get(&client).map_or(0, |entry| entry.written) + 20
    }

    /// How many clients are known, those included that left.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether anything is known of a client.
    pub(crate) fn knows(&self, client: ClientId) -> bool {
        self.entries.contains_key(&client)
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
        let speakers = conns.iter().filter_map(|conn| self.speakers.remove(conn));
        let ids = speakers.flat_map(|speaker| speaker.here).collect();
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
        let is_here = |entry: &Entry| match entry.speaker {
            Owner::Conn(_) => entry.state.is_some(),
            Owner::Node(_) => entry.state.is_some() && planted::is(Bug::OthersSpokenFor),
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
        let all = self.all.iter().flat_map(|all| all.iter());
        self.state_bytes + entries + self.pages.bytes() + all.map(Bytes::len).sum::<usize>()
    }

    /// All that is known, those who left included, as frames: a client that comes
    /// back learns from it that it has to raise its clock to be seen. None if nothing
    /// is known. Made once for all that ask until something changes.
    pub(crate) fn frames(&mut self, config: &Config) -> Arc<[Bytes]> {
        if let Some(all) = &self.all {
            return Arc::clone(all);
        }
        let all = self.encode_with(&BTreeMap::new());
        let frames: Arc<[_]> = all.map_or_else(Arc::default, |all| split(&all, config).collect());
        self.all = Some(Arc::clone(&frames));
        frames
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

    /// Whether all fits together.
    pub(crate) fn check(&self, connections: &BTreeSet<ConnId>) {
        let states = self.entries.values().map(Entry::state_len);
        assert_eq!(self.state_bytes, states.sum::<usize>());
        for (client, entry) in &self.entries {
            let is_watched = self.watched.contains(&(entry.watched, *client));
            assert_eq!(is_watched, entry.state.is_some(), "who has a state");
            let gone = self.gone.contains(&(entry.updated, *client));
            assert_eq!(gone, entry.state.is_none(), "who has no state left");
            if let Some(speaker) = self.speakers.get(&entry.speaker) {
                assert_eq!(speaker.here.contains(client), entry.state.is_some());
                let is_counted = matches!(entry.speaker, Owner::Conn(_)) && entry.state.is_none();
                assert_eq!(speaker.gone.contains(client), is_counted);
            } else {
                assert!(entry.state.is_none(), "who is here is spoken for");
            }
        }
        let left = self.entries.values().filter(|entry| entry.state.is_none());
        assert_eq!(self.gone.len(), left.count());
        let gone_of = self.gone_of.iter().flat_map(|(user, gone)| {
            gone.iter()
                .inspect(move |(_, id)| assert_eq!(self.entries[id].user, *user))
        });
        assert_eq!(gone_of.copied().collect::<BTreeSet<_>>(), self.gone);
        let mut written_of = BTreeMap::new();
        for entry in self
            .entries
            .values()
            .filter(|entry| entry.counts_for_user())
        {
            *written_of.entry(entry.user.clone()).or_default() += entry.written;
        }
        assert_eq!(self.written_of, written_of);
        self.pages.check();
        assert_eq!(self.gone.len() + self.watched.len(), self.entries.len());
        for (owner, speaker) in &self.speakers {
            if let Owner::Conn(conn) = owner {
                assert!(connections.contains(conn), "who speaks is connected");
            }
            let written = speaker.here.iter().map(|id| self.entries[id].written);
            assert_eq!(speaker.written, written.sum::<usize>());
            for id in speaker.here.iter().chain(&speaker.gone) {
                assert_eq!(self.entries[id].speaker, *owner);
            }
        }
    }

    fn set(&mut self, now: Duration, by: By<'_>, said: &Said<'_>) {
        if !self.renew(now, by, said) {
            self.replace(now, by, said);
        }
    }

    /// Somebody says something else of one for whom it speaks: what is listed stays.
    fn renew(&mut self, now: Duration, by: By<'_>, said: &Said<'_>) -> bool {
        let known = self.entries.get_mut(&said.client);
        let is_its =
            |known: &&mut Entry| known.speaker == by.owner() && by.user() == Some(&known.user);
        let (Some(entry), Some(state)) = (known.filter(is_its), said.state) else {
            return false;
        };
        let counts_for_user = entry.counts_for_user();
        let Some(before) = &mut entry.state else {
            return false;
        };
        let is_same = **before == *state;
        let speaker = self.speakers.get_mut(&by.owner());
        let speaker = speaker.expect("who is here is spoken for");
        let written = said.written();
        speaker.written = speaker.written + written - entry.written;
        if counts_for_user {
            let of_user = self.written_of.get_mut(&entry.user);
            let of_user = of_user.expect("it is counted for its user");
            *of_user = *of_user + written - entry.written;
        }
        self.state_bytes = self.state_bytes + state.len() - before.len();
        (entry.clock, entry.written) = (said.clock, written);
        if !is_same {
            *before = state.into();
        }
        if !is_same || !planted::is(Bug::AwarenessLiveExpired) {
            entry.updated = now;
        }
        self.forget_frames();
        true
    }

    fn replace(&mut self, now: Duration, by: By<'_>, said: &Said<'_>) {
        let before = self.take_out(said.client);
        // Of who goes it may not be told whose it was.
        let user = by.user().or(before.as_ref().map(|known| &known.user));
        let Some(user) = user.cloned() else {
            return;
        };
        let here = before.as_ref().filter(|known| known.state.is_some());
        let watched = here.map_or(now, |known| known.watched);
        let speaker = match here {
            Some(known) if planted::is(Bug::AwarenessWrongOwner) => known.speaker,
            _ => by.owner(),
        };
        let entry = Entry {
            clock: said.clock,
            state: said.state.map(Into::into),
            written: said.written(),
            speaker,
            user,
            updated: now,
            watched,
        };
        self.put(said.client, entry);
    }

    /// Takes an entry out, from where it is listed, too.
    fn take_out(&mut self, client: ClientId) -> Option<Entry> {
        let entry = self.entries.remove(&client)?;
        self.forget_frames();
        self.state_bytes -= entry.state_len();
        match entry.state {
            Some(_) => self.watched.remove(&(entry.watched, client)),
            None => self.unlist_gone(&entry, client),
        };
        if entry.counts_for_user()
            && let Some(of_user) = self.written_of.get_mut(&entry.user)
        {
            *of_user -= entry.written;
            if *of_user == 0 {
                self.written_of.remove(&entry.user);
            }
        }
        if let Some(speaker) = self.speakers.get_mut(&entry.speaker) {
            if speaker.here.remove(&client) {
                speaker.written -= entry.written;
            }
            speaker.gone.remove(&client);
            if speaker.here.is_empty() && matches!(entry.speaker, Owner::Node(_)) {
                self.speakers.remove(&entry.speaker);
            }
        }
        Some(entry)
    }

    /// Puts an entry in, and where it is to be listed. Who left is listed with the
    /// connection that spoke for it, while there is one.
    fn put(&mut self, client: ClientId, entry: Entry) {
        self.forget_frames();
        self.state_bytes += entry.state_len();
        if entry.state.is_some() {
            self.watched.insert((entry.watched, client));
            let speaker = self.speakers.entry(entry.speaker).or_default();
            speaker.here.insert(client);
            speaker.written += entry.written;
            if entry.counts_for_user() {
                *self.written_of.entry(entry.user.clone()).or_default() += entry.written;
            }
        } else {
            self.gone.insert((entry.updated, client));
            let of_user = self.gone_of.entry(entry.user.clone()).or_default();
            of_user.insert((entry.updated, client));
            if matches!(entry.speaker, Owner::Conn(_))
                && let Some(speaker) = self.speakers.get_mut(&entry.speaker)
            {
                speaker.gone.insert(client);
            }
        }
        self.entries.insert(client, entry);
    }

    fn unlist_gone(&mut self, entry: &Entry, client: ClientId) -> bool {
        let left = (entry.updated, client);
        if let Some(of_user) = self.gone_of.get_mut(&entry.user) {
            of_user.remove(&left);
            if of_user.is_empty() {
                self.gone_of.remove(&entry.user);
            }
        }
        self.gone.remove(&left)
    }

    /// Notes whose page it is of whom something is said, if it is one. `own` is the
    /// speaker's, if it is a connection.
    fn note_page(&mut self, by: By<'_>, said: &Said<'_>, own: Option<ClientId>) {
        let user = match by {
            By::Conn(_, user) => (own == Some(said.client)).then_some(user),
            By::Node(_, claim) => claim.filter(|claim| claim.is_page).map(|claim| &claim.user),
        };
        if let Some(user) = user {
            self.pages.note(said.client, user);
        }
    }

    /// Forgets of those who have most, so that one who comes and goes all the time can
    /// neither fill the memory nor have others forgotten.
    fn forget_beyond(&mut self, gone_max: usize) {
        while self.gone.len() > gone_max {
            marks::hit(Mark::AwarenessForgotten);
            let most = self.gone_of.values().max_by_key(|gone| gone.len());
            let oldest = most.and_then(BTreeSet::first);
            oldest.copied().map(|(_, client)| self.take_out(client));
        }
        self.pages.forget_beyond(gone_max);
    }

    /// Forgets who left first.
    fn forget_oldest(&mut self) {
        if let Some(&(_, client)) = self.gone.first() {
            self.take_out(client);
        }
    }

    /// What was made for those who join is out of date.
    fn forget_frames(&mut self) {
        if !planted::is(Bug::StaleAwareness) {
            self.all = None;
        }
    }

    fn remove(&mut self, now: Duration, ids: &BTreeSet<ClientId>) -> Option<Vec<u8>> {
        for &client in ids {
            let entry = self.take_out(client);
            let entry = entry.expect("ids that are spoken for or listed exist");
            let gone = Entry {
                state: None,
                written: 0,
                updated: now,
                ..entry
            };
            self.put(client, gone);
        }
        let news = ids.iter().map(|id| self.entries[id].said(*id));
        (!ids.is_empty()).then(|| encode(news))
    }
}

impl Entry {
    /// Whether it does not expire: by mistake.
    fn is_kept(&self) -> bool {
        planted::is(Bug::BusAwarenessKept) && matches!(self.speaker, Owner::Node(_))
    }

    /// Whether it is one of those that a user shows by connections to this server.
    const fn counts_for_user(&self) -> bool {
        self.state.is_some() && matches!(self.speaker, Owner::Conn(_))
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
