//! What is said of who is there faster than it may be told.
//!
//! Each client repeats what it hears, and what it hears it has to send: whoever shows
//! much all the time would have everybody else send as much, from each to the server.
//! So only so much is told a second, and what is more waits, the last word on each
//! client. While nobody says more than that, all is told at once.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    time::Duration,
};

use super::{Context, Document};
use crate::{
    auth::UserId,
    awareness::{self, Awareness, News, add_news},
    effect::Effects,
    marks::{self, Mark},
    planted::{self, Bug},
    timer::Timer,
    update::ClientId,
};

/// So long the allowance may be saved up.
const BURST: Duration = Duration::from_secs(1);

/// So much of what waits is told at once: what is larger has to be left out of what
/// all are sent.
const PIECE_BYTES: usize = 128 << 10;

/// Of so many more than are known something may wait.
const FORGOTTEN_MAX: usize = 1_000;

/// Memory that it takes to know of one, about, in bytes.
const NEWS_BYTES: usize = 32;

/// What waits to be told.
#[derive(Debug, Default)]
pub(super) struct Untold {
    /// What each user's connections have said. Users are told of in turn, one client at
    /// a time: who shows much has others wait for one state of it, not for all.
    of: BTreeMap<UserId, Waiting>,
    /// How many clients that are.
    count: usize,
    /// The last user of whom was told: the one behind it is next.
    last: Option<UserId>,
    /// When all that was told would have been told at the rate that is allowed
    /// (the "theoretical arrival time" of a leaky bucket).
    paid_at: Duration,
}

/// What waits of one user; something does.
#[derive(Debug, Default)]
struct Waiting {
    news: News,
    /// The last of whom was told: those behind it are next.
    last: Option<ClientId>,
}

impl Untold {
    /// Memory that it takes, about, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.count * NEWS_BYTES
    }

    /// These are told at once.
    pub(super) fn forget(&mut self, clients: impl IntoIterator<Item = ClientId>) {
        if !self.of.is_empty() {
            for client in clients {
                for waiting in self.of.values_mut() {
                    let forgotten = waiting.news.remove(&client);
                    self.count -= usize::from(forgotten.is_some());
                }
            }
            self.of.retain(|_, waiting| !waiting.news.is_empty());
        }
    }

    /// When what waits may be told.
    const fn due(&self) -> Duration {
        self.paid_at.saturating_sub(BURST)
    }

    fn add(&mut self, user: &UserId, news: News, awareness: &Awareness) {
        let waiting = self.of.entry(user.clone()).or_default();
        let before = waiting.news.len();
        add_news(&mut waiting.news, news);
        self.count += waiting.news.len() - before;
        // Who has come, gone and been forgotten before it was its turn. Clients that
        // know of it take it for gone themselves when they hear nothing of it.
        if self.count > 2 * awareness.len() + FORGOTTEN_MAX {
            self.count = 0;
            self.of.retain(|_, waiting| {
                waiting.news.retain(|client, _| awareness.knows(*client));
                self.count += waiting.news.len();
                !waiting.news.is_empty()
            });
        }
    }

    pub(super) fn check(&self) {
        let waits = self.of.values().map(|waiting| waiting.news.len());
        assert_eq!(self.count, waits.clone().sum::<usize>());
        assert!(waits.min() != Some(0), "something of each waits");
    }

    /// Some of what waits, each in its turn.
    fn take_piece(&mut self, awareness: &Awareness) -> News {
        let mut bytes = 0;
        let mut piece = News::new();
        while let Some((user, client)) = self.next() {
            bytes += awareness.said_len(client);
            if bytes > PIECE_BYTES && !piece.is_empty() {
                break;
            }
            piece.extend(self.take(user, client));
        }
        piece
    }

    /// Whose turn it is.
    fn next(&self) -> Option<(UserId, ClientId)> {
        let behind = self.last.as_ref().map_or(Unbounded, Excluded);
        let mut in_turn = self.of.range((behind, Unbounded)).chain(&self.of);
        let (user, waiting) = in_turn.next()?;
        let behind = waiting.last.map_or(Unbounded, Excluded);
        let mut in_turn = waiting.news.range((behind, Unbounded)).chain(&waiting.news);
        let (client, _) = in_turn.next()?;
        Some((user.clone(), *client))
    }

    fn take(&mut self, user: UserId, client: ClientId) -> Option<(ClientId, u64)> {
        let waiting = self.of.get_mut(&user)?;
        let taken = waiting.news.remove_entry(&client);
        self.count -= usize::from(taken.is_some());
        waiting.last = Some(client);
        if waiting.news.is_empty() {
            self.of.remove(&user);
        }
        self.last = Some(user);
        taken
    }
}

impl Document {
    /// Tells all of clients of whom connections here have said something, now or as
    /// soon as it is time.
    pub(super) fn tell_news(
        &mut self,
        cx: Context<'_>,
        user: &UserId,
        news: News,
        out: &mut Effects,
    ) {
        if news.is_empty() {
            return;
        }
        self.watch_awareness(cx);
        let bytes = self.said_bytes(&news);
        if self.untold.of.is_empty() && self.untold.due() <= cx.now && bytes <= PIECE_BYTES {
            return self.tell_piece(cx, &news, out);
        }
        self.untold.add(user, news, &self.awareness);
        self.tell_untold(cx, out);
    }

    /// Tells what waits, as much as it is time for.
    pub(super) fn tell_untold(&mut self, cx: Context<'_>, out: &mut Effects) {
        while !self.untold.of.is_empty() {
            let due = self.untold.due();
            if due > cx.now {
                marks::hit(Mark::AwarenessWaits);
                if !planted::is(Bug::PresenceLeftUntold) {
                    self.timers.set(Timer::Presence, due);
                }
                return;
            }
            let piece = self.untold.take_piece(&self.awareness);
            self.tell_piece(cx, &piece, out);
        }
    }

    fn tell_piece(&mut self, cx: Context<'_>, piece: &News, out: &mut Effects) {
        let Some(states) = self.awareness.encode_news(piece) else {
            return;
        };
        let rate = cx.config.awareness_bytes_per_second.get();
        let takes = Duration::from_secs_f64(self.said_bytes(piece) as f64 / rate as f64);
        self.untold.paid_at = self.untold.paid_at.max(cx.now) + takes;
        self.tell_awareness(cx, &states, out);
        self.publish_awareness(cx, &states, out);
    }

    /// Bytes that all repeat who are told so much.
    fn said_bytes(&self, news: &News) -> usize {
        news.keys().map(|id| self.awareness.said_len(*id)).sum()
    }
}

/// Of whom a message says that they have gone.
pub(super) fn gone(left: &[u8]) -> impl Iterator<Item = ClientId> {
    awareness::gone(left).into_iter().map(|(client, _)| client)
}
