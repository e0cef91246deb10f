//! How fast the connections of one user may send together, whatever shards they
//! are in: what is over that is read later, and nobody is closed for it.
//!
//! Time counts, too: what a byte costs depends on what it says.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use ysyncd_engine::{
    auth::UserId,
    planted::{self, Bug},
};

use crate::{
    Config,
    rate::{Bucket, Excess},
};

/// How much later than it might a connection looks again whether its user may send:
/// a user's connections all wait for the same moment, and there may be many.
const PAUSE: Duration = Duration::from_millis(50);

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The rates of all users.
#[derive(Debug, Default)]
pub(crate) struct UserRates {
    users: Mutex<Users>,
}

#[derive(Debug, Default)]
struct Users {
    rates: BTreeMap<UserId, Arc<UserRate>>,
    /// With how many it is looked next who is of no interest any more.
    sweep_at: usize,
}

/// What the connections of one user send together.
#[derive(Debug)]
pub(crate) struct UserRate {
    /// Whether there may be something to wait for. As long as there is not,
    /// nobody has to ask what time it is.
    may_wait: AtomicBool,
    buckets: Mutex<Buckets>,
}

/// Each is `None` where there is no limit.
#[derive(Debug)]
struct Buckets {
    bytes: Option<Bucket>,
    messages: Option<Bucket>,
    /// In nanoseconds.
    time: Option<Bucket>,
    /// Set when one is found empty, until all are half full.
    is_slowed: bool,
}

/// A user sends too fast, and is not to be read from before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserTooFast {
    pub(crate) until: Instant,
    pub(crate) excess: Excess,
    /// Whether the user was not slowed down before.
    pub(crate) begins: bool,
}

impl UserRates {
    /// The rate of a user, `None` where there is no limit. A user who has gone and comes
    /// back has the same: another connection would otherwise be another burst.
    pub(crate) fn of(&self, user: &UserId, config: &Config, now: Instant) -> Option<Arc<UserRate>> {
        let fresh = UserRate::new(config, now)?;
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = users.rates.get(user) {
            return Some(Arc::clone(rate));
        }
        if users.rates.len() >= users.sweep_at {
            let is_used = |rate: &Arc<UserRate>| Arc::strong_count(rate) > 1;
            let rates = &mut users.rates;
            rates.retain(|_, rate| is_used(rate) || !rate.buckets().are_full(now));
            users.sweep_at = (users.rates.len() * 2).max(64);
        }
        let rate = Arc::new(fresh);
        users.rates.insert(user.clone(), Arc::clone(&rate));
        Some(rate)
    }
}

impl UserRate {
    fn new(config: &Config, now: Instant) -> Option<Self> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // What comes while they wait is not lost, however small the burst: it would be
        // less on average than they may send.
        let at_least = |per_second: u64| {
            let tokens = u128::from(per_second) * (2 * PAUSE).as_nanos() / NANOS_PER_SECOND;
            u64::try_from(tokens).unwrap_or(u64::MAX)
        };
        let bucket = |per_second: Option<u64>, burst: u64| {
            per_second.map(|rate| Bucket::new(rate, burst.max(at_least(rate)), now))
        };
        // A message of the largest size is no fault.
        let burst = config.inbound_user_bytes_burst;
        let burst = burst.max(config.engine.frame_bytes_max as u64);
        let buckets = Buckets {
            bytes: bucket(config.inbound_user_bytes_per_second, burst),
            messages: bucket(
                config.inbound_user_messages_per_second,
                config.inbound_user_messages_burst,
            ),
            time: bucket(
                config.inbound_user_time_per_second.map(nanos),
                nanos(config.inbound_user_time_burst),
            ),
            is_slowed: false,
        };
        buckets.all().next()?;
        Some(Self {
            may_wait: AtomicBool::new(false),
            buckets: Mutex::new(buckets),
        })
    }

    /// Counts what has been read.
    pub(crate) fn took(&self, bytes: usize, messages: u64, now: Instant) {
        let mut buckets = self.buckets();
        if let Some(bucket) = &mut buckets.bytes {
            bucket.take(bytes as u64, now);
        }
        if let Some(bucket) = &mut buckets.messages {
            bucket.take(messages, now);
        }
        self.look(&buckets, now);
    }

    /// So many of the messages were mere repetitions.
    pub(crate) fn forgive(&self, messages: u64) {
        if let Some(bucket) = &mut self.buckets().messages {
            bucket.give_back(messages);
        }
    }

    /// Counts time for which others had to wait.
    pub(crate) fn worked(&self, time: Duration, now: Instant) {
        let mut buckets = self.buckets();
        if let Some(bucket) = &mut buckets.time {
            bucket.take(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), now);
            self.look(&buckets, now);
        }
    }

    /// Whether a connection of the user has to wait, and for what.
    pub(crate) fn wait(&self, now: impl FnOnce() -> Instant) -> Option<UserTooFast> {
        if !self.may_wait.load(Ordering::Relaxed) {
            return None;
        }
        let now = now();
        let mut buckets = self.buckets();
        let is_stuck = buckets.is_slowed && planted::is(Bug::UserNeverRefills);
        if buckets.all().all(|bucket| bucket.is_half_full(now)) && !is_stuck {
            buckets.is_slowed = false;
            self.look(&buckets, now);
            return None;
        }
        let (ready_at, excess) = buckets.ready_at(now);
        if ready_at <= now && !is_stuck {
            return None;
        }
        Some(UserTooFast {
            until: ready_at.max(now) + PAUSE,
            excess,
            begins: !std::mem::replace(&mut buckets.is_slowed, true),
        })
    }

    fn look(&self, buckets: &Buckets, now: Instant) {
        let may_wait = buckets.is_slowed || buckets.all().any(|bucket| bucket.ready_at() > now);
        self.may_wait.store(may_wait, Ordering::Relaxed);
    }

    /// Nothing panics halfway through a change of them.
    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    fn all(&self) -> impl Iterator<Item = &Bucket> {
        [&self.bytes, &self.messages, &self.time]
            .into_iter()
            .flatten()
    }

    fn are_full(&self, now: Instant) -> bool {
        self.all().all(|bucket| bucket.is_full(now))
    }

    /// When all will have, or had, a token again, and which is the last.
    fn ready_at(&self, now: Instant) -> (Instant, Excess) {
        let of = |bucket: &Option<Bucket>| bucket.as_ref().map_or(now, Bucket::ready_at);
        let (bytes, messages, time) = (of(&self.bytes), of(&self.messages), of(&self.time));
        let last = bytes.max(messages).max(time);
        let excess = match last {
            last if last == time => Excess::Time,
            last if last == messages => Excess::Messages,
            _ => Excess::Bytes,
        };
        (last, excess)
    }
}

#[cfg(test)]
mod tests {
    use ysyncd_engine::auth::{TokenKey, TokenVerifier};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> Config {
        let mut config = Config::new(TokenVerifier::new(TokenKey::new(b"secret")), 1);
        config.engine.frame_bytes_max = 1;
        config.inbound_user_bytes_per_second = Some(100);
        config.inbound_user_bytes_burst = 1_000;
        config.inbound_user_messages_per_second = Some(10);
        config.inbound_user_messages_burst = 100;
        config.inbound_user_time_per_second = Some(SECOND / 4);
        config.inbound_user_time_burst = SECOND;
        config
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[test]
    fn connections_of_a_user_wait_for_each_other_and_for_no_other_user() {
        let (rates, config, start) = (UserRates::default(), config(), Instant::now());
        let of = |name| rates.of(&user(name), &config, start).unwrap();
        let (first, second, other) = (of("alice"), of("alice"), of("bob"));
        first.took(1_000, 1, start);
        assert_eq!(second.wait(|| start), None);
        first.took(300, 1, start);
        let waits = |begins| UserTooFast {
            until: start + 3 * SECOND + PAUSE,
            excess: Excess::Bytes,
            begins,
        };
        assert_eq!(second.wait(|| start), Some(waits(true)));
        assert_eq!(first.wait(|| start), Some(waits(false)));
        assert_eq!(other.wait(|| start), None);
        assert_eq!(second.wait(|| start + 3 * SECOND), None);
        // It begins anew after a rest.
        let rested = start + 20 * SECOND;
        assert_eq!(second.wait(|| rested), None);
        second.took(0, 200, rested);
        let waits = first.wait(|| rested).unwrap();
        assert_eq!((waits.excess, waits.begins), (Excess::Messages, true));
    }

    #[test]
    fn what_takes_long_waits_however_few_bytes_it_has() {
        let (rates, config, start) = (UserRates::default(), config(), Instant::now());
        let rate = rates.of(&user("alice"), &config, start).unwrap();
        rate.worked(SECOND, start);
        assert_eq!(rate.wait(|| start), None);
        rate.worked(SECOND / 2, start);
        let waits = rate.wait(|| start).unwrap();
        let until = start + 2 * SECOND + PAUSE;
        assert_eq!((waits.until, waits.excess), (until, Excess::Time));
    }

    #[test]
    fn a_small_burst_takes_nothing_from_what_they_may_send_on_average() {
        let mut config = config();
        config.inbound_user_bytes_per_second = Some(1 << 30);
        config.inbound_user_messages_per_second = Some(4_000);
        config.inbound_user_messages_burst = 1;
        let (rates, start) = (UserRates::default(), Instant::now());
        let rate = rates.of(&user("alice"), &config, start).unwrap();
        let (mut now, mut sent) = (start, 0);
        while now < start + 2 * SECOND {
            match rate.wait(|| now) {
                // Timers are late.
                Some(waits) => now = waits.until + PAUSE / 2,
                None => {
                    rate.took(1, 1, now);
                    sent += 1;
                }
            }
        }
        assert!((8_000..8_500).contains(&sent), "{sent} messages");
    }

    #[test]
    fn who_comes_back_has_no_new_burst_and_who_is_at_rest_is_forgotten() {
        let (rates, config, start) = (UserRates::default(), config(), Instant::now());
        let of = |name: &str, now| rates.of(&user(name), &config, now).unwrap();
        of("alice", start).took(1_300, 1, start);
        assert!(of("alice", start).wait(|| start).is_some());
        for number in 0..1_000 {
            of(&number.to_string(), start);
        }
        assert!(of("alice", start).wait(|| start).is_some());
        let count = || rates.users.lock().unwrap().rates.len();
        assert!(count() <= 64, "{}", count());
        let rested = start + 20 * SECOND;
        let here = of("carol", rested);
        here.took(0, 0, rested);
        for number in 0..64 {
            of(&number.to_string(), rested);
        }
        let users = rates.users.lock().unwrap();
        assert!(!users.rates.contains_key(&user("alice")));
        assert!(users.rates.contains_key(&user("carol")));
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_count() {
        let mut config = config();
        config.inbound_user_bytes_per_second = None;
        config.inbound_user_messages_per_second = None;
        config.inbound_user_time_per_second = None;
        let rates = UserRates::default();
        assert!(rates.of(&user("alice"), &config, Instant::now()).is_none());
    }
}
