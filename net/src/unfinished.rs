//! Messages that have begun to come: how much memory they take together.
//!
//! Each may be large, and a client may take its time. So all that is half
//! received is bounded, and for each user, too: past that a connection waits,
//! but for the one whose message began first, so that somebody always gets on.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use ysyncd_engine::{
    auth::UserId,
    planted::{self, Bug},
};

use crate::Config;

/// What every message may take, whatever others do: most are smaller.
const FREE_BYTES: usize = 64 << 10;

/// All messages of a server that have begun to come.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    bytes: usize,
    users: HashMap<UserId, OfUser>,
    /// Those that are more than small, in the order in which they came to be
    /// so.
    large: BTreeMap<u64, UserId>,
    next: u64,
}

#[derive(Debug, Default)]
struct OfUser {
    bytes: usize,
    large: BTreeSet<u64>,
}

/// The message that has begun to come on one connection, if there is one.
#[derive(Debug)]
pub(crate) struct Share {
    all: Arc<Unfinished>,
    user: UserId,
    bytes: usize,
    /// Its place among the large ones.
    place: Option<u64>,
    begun: Option<Instant>,
}

/// What a message waits for that may not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Budget {
    /// Its own user has too much under way.
    User,
    /// All users together have.
    All,
}

impl Budget {
    pub(crate) const ALL: [Self; 2] = [Self::User, Self::All];

    /// In a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::All => "all",
        }
    }
}

impl Unfinished {
    /// Bytes of them.
    pub(crate) fn bytes(&self) -> usize {
        self.counts().bytes
    }

    /// The share of a new connection.
    pub(crate) fn share(self: &Arc<Self>, user: UserId) -> Share {
        Share {
            all: Arc::clone(self),
            user,
            bytes: 0,
            place: None,
            begun: None,
        }
    }

    /// Nothing panics halfway through a change of them.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Notes how much of a message is here and still unfinished; `anew` if that
    /// is another one than before.
    pub(crate) fn is(&mut self, bytes: usize, anew: bool, now: Instant) {
        if bytes == self.bytes && !anew {
            return;
        }
        // A message never shrinks: what is less is another one.
        if anew || bytes < self.bytes {
            self.leave();
            if !planted::is(Bug::MessageTimedFromFirst) {
                self.begun = None;
            }
        }
        if bytes == 0 {
            return;
        }
        self.begun.get_or_insert(now);
        let mut counts = self.all.counts();
        let grown = bytes - self.bytes;
        counts.bytes += grown;
        if !counts.users.contains_key(&self.user) {
            counts.users.insert(self.user.clone(), OfUser::default());
        }
        let Counts {
            users, large, next, ..
        } = &mut *counts;
        let of_user = users.get_mut(&self.user).expect("it is there by now");
        of_user.bytes += grown;
        self.bytes = bytes;
        if bytes > FREE_BYTES && self.place.is_none() {
            self.place = Some(*next);
            of_user.large.insert(*next);
            large.insert(*next, self.user.clone());
            *next += 1;
        }
    }

    /// What has to be waited for before more of it is read. Its own user's
    /// budget comes first: whoever is in its own way is not held by others.
    pub(crate) fn waits_for(&self, config: &Config) -> Option<Budget> {
        let place = self.place?;
        let counts = self.all.counts();
        let of_user = counts.users.get(&self.user);
        let of_user = of_user.expect("its bytes are counted");
        let user_may = of_user.bytes < config.unfinished_bytes_per_user_max
            || of_user.large.first() == Some(&place);
        let all_may = counts.bytes < config.unfinished_bytes_max
            || counts.large.first_key_value().map(|(first, _)| *first) == Some(place);
        match (user_may, all_may) {
            (false, _) => Some(Budget::User),
            (true, false) => Some(Budget::All),
            (true, true) => None,
        }
    }

    /// When the message began to come.
    pub(crate) fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// Lets it begin so much later: for so long the server did not read it, and
    /// the client could do nothing about that.
    pub(crate) fn put_off(&mut self, by: Duration) {
        self.begun = self.begun.map(|begun| begun + by);
    }

    /// Gives everything back.
    fn leave(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut counts = self.all.counts();
        let Counts {
            bytes,
            users,
            large,
            ..
        } = &mut *counts;
        *bytes -= self.bytes;
        let of_user = users.get_mut(&self.user).expect("its bytes are counted");
        of_user.bytes -= std::mem::take(&mut self.bytes);
        if let Some(place) = self.place.take() {
            large.remove(&place);
            of_user.large.remove(&place);
        }
        if of_user.bytes == 0 {
            users.remove(&self.user);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if !planted::is(Bug::UnfinishedLeaks) {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use ysyncd_engine::auth::{TokenKey, TokenVerifier};

    use super::*;

    const LARGE: usize = FREE_BYTES + 1;

    fn config(per_user: usize, all: usize) -> Config {
        let mut config = Config::new(TokenVerifier::new(TokenKey::new(b"secret")), 1);
        config.unfinished_bytes_per_user_max = per_user;
        config.unfinished_bytes_max = all;
        config
    }

    fn share(all: &Arc<Unfinished>, user: &str) -> Share {
        all.share(UserId::new(user).unwrap())
    }

    #[test]
    fn a_user_waits_for_itself_and_its_first_message_goes_on() {
        let (config, now) = (config(2 * LARGE, 10 * LARGE), Instant::now());
        let all = Arc::<Unfinished>::default();
        let (mut one, mut two, mut small) = (share(&all, "a"), share(&all, "a"), share(&all, "a"));
        let mut other = share(&all, "b");
        one.is(LARGE, false, now);
        assert_eq!(one.waits_for(&config), None);
        two.is(LARGE, false, now);
        small.is(FREE_BYTES, false, now);
        other.is(LARGE, false, now);
        assert_eq!(one.waits_for(&config), None, "it was first");
        assert_eq!(two.waits_for(&config), Some(Budget::User));
        assert_eq!(small.waits_for(&config), None, "what is small is free");
        assert_eq!(other.waits_for(&config), None, "it is another's");
        one.is(0, false, now);
        assert_eq!(two.waits_for(&config), None);
        drop(two);
        drop(other);
        assert_eq!(all.bytes(), FREE_BYTES);
        drop(small);
        let counts = all.counts();
        assert!(counts.users.is_empty() && counts.large.is_empty());
    }

    #[test]
    fn all_wait_for_the_first_when_there_is_too_much_in_all() {
        let (config, now) = (config(10 * LARGE, 2 * LARGE), Instant::now());
        let all = Arc::<Unfinished>::default();
        let (mut one, mut two) = (share(&all, "a"), share(&all, "b"));
        one.is(LARGE, false, now);
        two.is(LARGE, false, now);
        assert_eq!(one.waits_for(&config), None);
        assert_eq!(two.waits_for(&config), Some(Budget::All));
        // Another message of the same connection has to wait its turn.
        one.is(LARGE, true, now);
        assert_eq!(one.waits_for(&config), Some(Budget::All));
        assert_eq!(two.waits_for(&config), None);
    }

    #[test]
    fn who_is_in_its_own_way_does_not_wait_for_others() {
        let (config, now) = (config(LARGE, LARGE), Instant::now());
        let all = Arc::<Unfinished>::default();
        let (mut one, mut two) = (share(&all, "a"), share(&all, "a"));
        one.is(LARGE, false, now);
        two.is(LARGE, false, now);
        assert_eq!(two.waits_for(&config), Some(Budget::User));
    }

    #[test]
    fn what_is_less_than_before_is_another_message() {
        let (config, now) = (config(LARGE, LARGE), Instant::now());
        let all = Arc::<Unfinished>::default();
        let (mut one, mut two) = (share(&all, "a"), share(&all, "a"));
        one.is(2 * LARGE, false, now);
        two.is(LARGE, false, now);
        one.is(LARGE, false, now);
        assert_eq!(all.bytes(), 2 * LARGE);
        assert_eq!(two.waits_for(&config), None);
        assert_eq!(one.waits_for(&config), Some(Budget::User));
    }

    #[test]
    fn a_message_knows_when_it_began() {
        let (start, all) = (Instant::now(), Arc::<Unfinished>::default());
        let second = Duration::from_secs(1);
        let later = start + second;
        let mut one = share(&all, "a");
        assert_eq!(one.begun(), None);
        one.is(1, false, start);
        one.is(2, false, later);
        assert_eq!(one.begun(), Some(start));
        one.put_off(second / 2);
        one.is(3, false, later);
        assert_eq!(one.begun(), Some(start + second / 2));
        one.is(2, true, later);
        assert_eq!(one.begun(), Some(later));
        one.is(0, false, later);
        one.put_off(second);
        assert_eq!(one.begun(), None);
    }
}
