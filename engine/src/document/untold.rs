//! What is said of who is there faster than it may be told.
//!
//! Each client repeats what it hears, and what it hears it has to send: whoever shows
//! much all the time would have everybody else send as much, from each to the server.
//! So only so much is told a second, and what is more waits, the last word on each
//! client. While nobody says more than that, all is told at once.

use std::{
    ops::Bound::{Excluded, Unbounded},
    time::Duration,
};

use super::{Context, Document};
use crate::{
    awareness::{self, Awareness, News},
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

/// What waits to be told.
#[derive(Debug, Default)]
pub(super) struct Untold {
    news: News,
    /// The last of whom was told: those behind it are next.
    last: Option<ClientId>,
    /// When all that was told would have been told at the rate that is allowed
    /// (the "theoretical arrival time" of a leaky bucket).
    paid_at: Duration,
}

impl Untold {
    /// These are told at once.
    pub(super) fn forget(&mut self, clients: impl IntoIterator<Item = ClientId>) {
        if !self.news.is_empty() {
            for client in clients {
                self.news.remove(&client);
            }
        }
    }

    /// Some of what waits, each in its turn.
    fn take_piece(&mut self, awareness: &Awareness) -> News {
        let behind = self.last.map_or(Unbounded, Excluded);
        let in_turn = self.news.range((behind, Unbounded)).chain(&self.news);
        let mut bytes = 0;
        let mut piece = News::new();
        for (client, clock) in in_turn {
            bytes += awareness.said_len(*client);
            if bytes > PIECE_BYTES && !piece.is_empty() || piece.contains_key(client) {
                break;
            }
            piece.insert(*client, *clock);
            self.last = Some(*client);
        }
        for client in piece.keys() {
            self.news.remove(client);
        }
        piece
    }
}

impl Document {
    /// Tells all of clients of whom connections here have said something, now or as
    /// soon as it is time.
    pub(super) fn tell_news(&mut self, cx: Context<'_>, news: News, out: &mut Effects) {
        if news.is_empty() {
            return;
        }
        self.untold.news.extend(news);
        self.watch_awareness(cx);
        self.tell_untold(cx, out);
    }

    /// Tells what waits, as much as it is time for.
    pub(super) fn tell_untold(&mut self, cx: Context<'_>, out: &mut Effects) {
        let rate = cx.config.awareness_bytes_per_second.get();
        while !self.untold.news.is_empty() {
            let due = self.untold.paid_at.saturating_sub(BURST);
            if due > cx.now {
                marks::hit(Mark::AwarenessWaits);
                if !planted::is(Bug::PresenceLeftUntold) {
                    self.timers.set(Timer::Presence, due);
                }
                return;
            }
            let piece = self.untold.take_piece(&self.awareness);
            let Some(states) = self.awareness.encode_news(&piece) else {
                return;
            };
            let takes = Duration::from_secs_f64(states.len() as f64 / rate as f64);
            self.untold.paid_at = self.untold.paid_at.max(cx.now) + takes;
            self.tell_awareness(cx, &states, out);
            self.publish_awareness(cx, &states, out);
        }
    }
}

/// Of whom a message says that they have gone.
pub(super) fn gone(left: &[u8]) -> impl Iterator<Item = ClientId> {
    awareness::gone(left).into_iter().map(|(client, _)| client)
}
