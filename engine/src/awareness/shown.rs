//! What of an awareness message is shown to others.

use std::collections::BTreeMap;

use super::{
    Awareness, AwarenessError, By, ENTRY_BYTES, Entry, Owner, Speaker,
    message::{Entries, Said},
};
use crate::{
    config::Config,
    marks::{self, Mark},
    planted::{self, Bug},
    update::ClientId,
};

/// The highest clock that counts, in years of 30 changes a second the fourth. Who
/// hears of itself at a higher one than its own goes on from there: near the highest
/// that lib0 can write it would end up saying what nobody can read.
const CLOCK_MAX: u64 = u32::MAX as u64;

/// The highest one that counts of a page which may be somebody else's, or is new …
const NEW_CLOCK_MAX: u64 = CLOCK_MAX / 2;

/// … unless its last one was nearly as high.
const CLOCK_JUMP_MAX: u64 = 1 << 20;

/// What a message has around a state, at most.
const MESSAGE_BYTES: usize = 64;

/// Why a state is not shown to others. Nobody is closed for one: it may be what a
/// client repeats, in JavaScript's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unshown {
    /// It is no JSON object. Some that are none would keep a client of y-protocols
    /// that takes one for its own from ever having a state again.
    NoObject,
    /// It is bigger than allowed.
    TooBig,
    /// The connection speaks for more clients than it may, those among them that went
    /// lately.
    TooManyIds,
    /// The states that the connection speaks for are bigger than allowed together.
    TooMuch,
    /// Those of all connections of the user are.
    TooMuchOfUser,
    /// A connection of another user speaks for the client.
    SomeoneElses,
}

impl Unshown {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::NoObject,
        Self::TooBig,
        Self::TooManyIds,
        Self::TooMuch,
        Self::TooMuchOfUser,
        Self::SomeoneElses,
    ];

    /// In a word, for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoObject => "no_object",
            Self::TooBig => "too_big",
            Self::TooManyIds => "too_many_ids",
            Self::TooMuch => "too_much",
            Self::TooMuchOfUser => "too_much_of_user",
            Self::SomeoneElses => "someone_elses",
        }
    }
}

/// What a message brings.
#[derive(Debug, Default)]
pub(super) struct Shown<'m> {
    /// The last word on each client of whom it says something new.
    pub(super) news: BTreeMap<ClientId, Said<'m>>,
    /// The speaker's own id, if that is known only now.
    pub(super) own: Option<ClientId>,
    /// Why not all of it is shown.
    pub(super) unshown: Option<Unshown>,
}

impl Awareness {
    /// What somebody says that is new, and may be shown. Keeps nothing of what is
    /// only an echo: a message may hold millions.
    pub(super) fn shown<'m>(
        &self,
        by: By<'_>,
        message: &'m [u8],
        config: &Config,
    ) -> Result<Shown<'m>, AwarenessError> {
        let mut shown = Shown::default();
        let owner = by.owner();
        let mut own = self.own_of(owner);
        // Some may be null further on, and others here.
        let most = match owner {
            Owner::Conn(_) => config.awareness_ids_max.saturating_mul(2).saturating_add(1),
            Owner::Node(_) => usize::MAX,
        };
        let mut entries = Entries::of(message)?;
        while let Some(said) = entries.next()? {
            said.check_json()?;
            self.mark(&said, owner);
            let is_page = self.is_page_of(said.client, by, own);
            if !self.counts(&said, owner, is_page, &shown.news) {
                continue;
            }
            let is_one_more = !shown.news.contains_key(&said.client);
            let barred = self.barred(&said, by, is_page, config);
            if own.is_none() && barred.is_none() && matches!(owner, Owner::Conn(_)) {
                (own, shown.own) = (Some(said.client), Some(said.client));
            }
            let too_many = (is_one_more && shown.news.len() >= most).then_some(Unshown::TooManyIds);
            if let Some(why) = barred.or(too_many) {
                shown.unshown.get_or_insert(why);
            } else if self.entries.contains_key(&said.client) || said.state.is_some() {
                shown.news.insert(said.client, said);
            } else {
                // It came and went: nobody needs to know.
                shown.news.remove(&said.client);
            }
        }
        entries.end()?;
        self.keep_within(by, own, &mut shown, config);
        Ok(shown)
    }

    /// Whether it says something new, after what was said before in the same message;
    /// that somebody is gone, only its speaker may say.
    fn counts(
        &self,
        said: &Said<'_>,
        owner: Owner,
        is_page: bool,
        before: &BTreeMap<ClientId, Said<'_>>,
    ) -> bool {
        let speaks = |known: &Entry| known.state.is_some() && known.speaker == owner;
        let known = self.entries.get(&said.client);
        let known = known.map(|known| (known.clock, speaks(known)));
        let before = before.get(&said.client);
        let before = before.map(|before| (before.clock, before.state.is_some()));
        let known = before.or(known);
        if said.clock > self.clock_max(said.client, owner, is_page, known) {
            return false;
        }
        let Some((clock, speaks)) = known else {
            return said.state.is_some();
        };
        match said.state {
            Some(_) if planted::is(Bug::AwarenessEchoOwns) => said.clock >= clock,
            Some(_) if planted::is(Bug::AwarenessClockBack) => said.clock != clock,
            Some(_) => said.clock > clock,
            None if planted::is(Bug::ForeignNullCounts) && said.clock > clock => true,
            None => speaks && said.clock >= clock,
        }
    }

    /// The highest clock that counts, where this is known, and whether by the same
    /// speaker. A page goes on from what others have said of it, and has to have room for
    /// that with each change, and when it comes back after it was forgotten.
    fn clock_max(
        &self,
        client: ClientId,
        owner: Owner,
        is_page: bool,
        known: Option<(u64, bool)>,
    ) -> u64 {
        // What its clients may say a node has looked after itself.
        let is_nodes = matches!(owner, Owner::Node(_));
        match known {
            None if is_nodes || is_page && self.pages.get(client).is_some() => CLOCK_MAX,
            None => NEW_CLOCK_MAX,
            Some(_) if !is_nodes && !is_page => NEW_CLOCK_MAX,
            Some((_, true)) => CLOCK_MAX,
            Some((clock, false)) => CLOCK_MAX.min(NEW_CLOCK_MAX.max(clock + CLOCK_JUMP_MAX)),
        }
    }

    /// Why a state that says something new is not shown, whatever else there is.
    fn barred(
        &self,
        said: &Said<'_>,
        by: By<'_>,
        is_page: bool,
        config: &Config,
    ) -> Option<Unshown> {
        let state = said.state?;
        // Whoever hears of it sends it back.
        let repeatable = config.frame_bytes_max.saturating_sub(MESSAGE_BYTES);
        let most = config.awareness_state_bytes_max.min(repeatable);
        match () {
            () if !state.trim_ascii_start().starts_with(b"{") => Some(Unshown::NoObject),
            () if said.written() > most => Some(Unshown::TooBig),
            () if !is_page && self.is_someone_elses(said.client, by) => {
                marks::hit(Mark::AwarenessSomeoneElses);
                (!planted::is(Bug::AwarenessStolen)).then_some(Unshown::SomeoneElses)
            }
            () => None,
        }
    }

    /// Whether a client is a page of whoever says something of it, who has it back when
    /// another one has said it while the page was away. Where nobody has said it as its
    /// own before, it is whose who does: each connection has one.
    fn is_page_of(&self, client: ClientId, by: By<'_>, own: Option<ClientId>) -> bool {
        match (self.pages.get(client), by) {
            (Some(user), _) => by.user() == Some(user),
            (None, By::Conn(..)) => own.is_none_or(|own| own == client),
            (None, By::Node(_, claim)) => claim.is_some_and(|claim| claim.is_page),
        }
    }

    /// Whether another user's connection speaks for a client, or did until lately.
    fn is_someone_elses(&self, client: ClientId, by: By<'_>) -> bool {
        let Some(user) = by.user() else {
            // Of nobody it can only be told that they have gone.
            return true;
        };
        self.entries.get(&client).is_some_and(|known| {
            let is_nobodys =
                planted::is(Bug::StolenOverBus) && matches!(known.speaker, Owner::Node(_));
            known.user != *user && !is_nobodys
        })
    }

    pub(super) fn own_of(&self, owner: Owner) -> Option<ClientId> {
        self.speakers.get(&owner).and_then(|speaker| speaker.own)
    }

    /// Leaves out of the news what would take the speaker or its user past a limit. A
    /// page's own state has room beside those of others that its connection shows.
    fn keep_within(
        &self,
        by: By<'_>,
        own: Option<ClientId>,
        shown: &mut Shown<'_>,
        config: &Config,
    ) {
        let owner = by.owner();
        let known = |client: ClientId| {
            let known = self.entries.get(&client);
            known.filter(|entry| entry.speaker == owner)
        };
        let own_entry = own.and_then(known);
        let mut room = Room::of(owner, self.speakers.get(&owner), own_entry, config);
        let mut of_user = self.user_room(by, config);
        let mut news: Vec<_> = shown.news.values().copied().collect();
        // First those that make room, then those that have some.
        news.sort_by_key(|said| match (said.state, known(said.client)) {
            (None, _) => 0,
            _ if own == Some(said.client) => 1,
            (Some(_), Some(_)) => 2,
            (Some(_), None) => 3,
        });
        for said in news {
            let before = self.entries.get(&said.client);
            let left = of_user.after(before, by, &said);
            let fits = left.and_then(|left| match own == Some(said.client) {
                true => Ok(left),
                false => room.change(known(said.client), &said).map(|()| left),
            });
            match fits {
                Ok(left) => of_user = left,
                Err(why) => {
                    shown.unshown.get_or_insert(why);
                    shown.news.remove(&said.client);
                }
            }
        }
    }

    fn user_room(&self, by: By<'_>, config: &Config) -> UserRoom {
        let By::Conn(_, user) = by else {
            return UserRoom(None);
        };
        let written = self.written_of.get(user).copied().unwrap_or_default();
        let most = config.awareness_bytes_per_user_max;
        UserRoom(Some(most.saturating_sub(written)))
    }

    /// Marks what somebody says of others, or again.
    fn mark(&self, said: &Said<'_>, owner: Owner) {
        let Some(known) = self.entries.get(&said.client) else {
            return;
        };
        let speaks = known.state.is_some() && known.speaker == owner;
        marks::hit_if(Mark::AwarenessOwnerNull, || {
            speaks && said.state.is_none() && said.clock >= known.clock
        });
        marks::hit_if(Mark::AwarenessForeignNull, || {
            !speaks && known.state.is_some() && said.state.is_none()
        });
        marks::hit_if(Mark::AwarenessTakeover, || {
            known.state.is_some() && !speaks && said.state.is_some() && said.clock > known.clock
        });
        marks::hit_if(Mark::AwarenessEcho, || {
            said.state.is_some() && said.clock <= known.clock
        });
    }
}

/// How much more somebody may show.
struct Room {
    /// How many ids. `None`: of nodes the memory is bounded, what each of its
    /// connections may say a node has looked after itself.
    ids: Option<usize>,
    bytes: usize,
    /// What an id takes beside its state.
    id_bytes: usize,
}

impl Room {
    /// What is left beside what is known of its own.
    fn of(owner: Owner, speaker: Option<&Speaker>, own: Option<&Entry>, config: &Config) -> Self {
        let (here, gone, written) = speaker.map_or((0, 0, 0), |speaker| {
            (speaker.here.len(), speaker.gone.len(), speaker.written)
        });
        match owner {
            Owner::Conn(_) => {
                let ids = here + gone - usize::from(own.is_some());
                let bytes = written - own.map_or(0, |own| own.written);
                Self {
                    ids: Some(config.awareness_ids_max.saturating_sub(ids)),
                    bytes: config.awareness_bytes_max.saturating_sub(bytes),
                    id_bytes: 0,
                }
            }
            Owner::Node(_) => {
                let bytes = written + here * ENTRY_BYTES;
                Self {
                    ids: None,
                    bytes: config.bus_awareness_bytes_max.saturating_sub(bytes),
                    id_bytes: ENTRY_BYTES,
                }
            }
        }
    }

    /// What is said of one takes the place of what it said before. Nothing changes if
    /// there is no room for that.
    fn change(&mut self, known: Option<&Entry>, said: &Said<'_>) -> Result<(), Unshown> {
        let before = known.map_or(0, |entry| self.size(entry.state.is_some(), entry.written));
        let after = self.size(said.state.is_some(), said.written());
        let is_one_more = known.is_none();
        if is_one_more && self.ids == Some(0) {
            return Err(Unshown::TooManyIds);
        }
        if after > before + self.bytes && !planted::is(Bug::AwarenessUnbounded) {
            return Err(Unshown::TooMuch);
        }
        self.ids = self.ids.map(|ids| ids - usize::from(is_one_more));
        self.bytes = (self.bytes + before).saturating_sub(after);
        Ok(())
    }

    const fn size(&self, is_here: bool, written: usize) -> usize {
        match is_here {
            true => written + self.id_bytes,
            false => 0,
        }
    }
}

/// How many bytes more a user may show by all its connections together. `None`: whom
/// another node speaks for that has looked after itself.
#[derive(Clone, Copy)]
struct UserRoom(Option<usize>);

impl UserRoom {
    /// What is left after something is said that takes the place of what is known.
    fn after(self, known: Option<&Entry>, by: By<'_>, said: &Said<'_>) -> Result<Self, Unshown> {
        let Some(left) = self.0 else {
            return Ok(self);
        };
        let counts = |entry: &&Entry| entry.counts_for_user() && by.user() == Some(&entry.user);
        let before = known.filter(counts).map_or(0, |entry| entry.written);
        let after = said.state.map_or(0, |_| said.written());
        if after > before + left && !planted::is(Bug::AwarenessOfUserUnbounded) {
            marks::hit(Mark::AwarenessOfUserFull);
            return Err(Unshown::TooMuchOfUser);
        }
        Ok(Self(Some((left + before).saturating_sub(after))))
    }
}
