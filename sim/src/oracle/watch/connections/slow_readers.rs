//! Who reads slowly: what it may be left out of, how long it may wait, and that it
//! is told then all that it missed.

use std::time::Duration;

use ysyncd_engine::{ConnId, DocId};

use super::{Connection, Connections, Stage};
use crate::oracle::watch::{Ids, Invariant, Violation, answers::ToOthers, is_judged};

impl Connections {
    pub(in super::super) fn written(&mut self, now: Duration, conn: ConnId, total_bytes: u64) {
        let limits = self.limits;
        let connection = self.get(conn);
        if connection.stage != Stage::Accepted {
            return;
        }
        let large = connection.outbox.large();
        if connection.outbox.written(now, total_bytes, limits) {
            connection.told_at = now;
        }
        self.has_read = Some((conn, large));
        self.moved.push(conn);
    }

    /// Whether they have come to be told what they missed.
    pub(in super::super) fn catch_up(&self, conns: &[ConnId]) -> bool {
        let catches_up = |conn: &ConnId| self.open[conn].outbox.catches_up();
        conns.iter().all(catches_up)
    }

    /// Who has read so much with the input under way that it can be told what
    /// it missed, knows all that is here now, and who is there.
    pub(in super::super) fn have_caught_up(
        &mut self,
        now: Duration,
        misses: impl Fn(&DocId, &Ids) -> Option<Ids>,
    ) -> Result<(), Violation> {
        self.none_waits_in_vain()?;
        let mut moved = std::mem::take(&mut self.moved);
        for conn in moved.drain(..) {
            let may_wait = self.waiting.contains(&conn) && self.has_to_wait(conn);
            let connection = &mut self.open[&conn];
            if !connection.outbox.take_caught_up(may_wait) || connection.stage != Stage::Accepted {
                continue;
            }
            let doc = &connection.doc;
            if connection.follows && is_judged(doc) {
                let missing = misses(doc, &connection.knows);
                Invariant::CaughtUp.holds(missing.is_none(), || {
                    format!("{conn:?} still misses {missing:?}")
                })?;
            }
            for (client, clock, is_here) in self.presence.told_lately(now, doc) {
                let heard = connection.heard.get(&client);
                let is_up_to_date = heard.map_or(!is_here, |heard| {
                    heard.clock == clock && heard.is_here == is_here
                });
                // Who comes in is told of what others still wait for.
                let is_up_to_date = is_up_to_date || self.presence.may_have_to_wait();
                Invariant::CaughtUp.holds(is_up_to_date, || {
                    format!("{conn:?} takes client {client} for {heard:?}, not {clock}, {is_here}")
                })?;
            }
        }
        // Its room is used again with the next input.
        self.moved = moved;
        Ok(())
    }

    /// Who waits for its turn to be told something large does so because too much
    /// is on its way.
    fn none_waits_in_vain(&mut self) -> Result<(), Violation> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let open = &self.open;
        self.waiting.retain(|conn| {
            let connection = &open[conn];
            connection.stage == Stage::Accepted && connection.outbox.is_waiting()
        });
        let mut waiting = self.waiting.iter();
        let in_vain = waiting.find(|conn| {
            let can_be_told = self.open[conn].outbox.can_be_told(self.limits);
            can_be_told && !self.has_to_wait(**conn)
        });
        Invariant::Answered.holds(in_vain.is_none(), || {
            format!("{in_vain:?} waits, though there is room for what it is to be told")
        })
    }

    /// Whether so much is on its way to others that it has to wait for
    /// something large.
    pub(super) fn has_to_wait(&self, conn: ConnId) -> bool {
        self.answer_limits.are_reached(self.to_others(conn))
    }

    /// What is on its way to others, those included that are gone, as long as
    /// it takes memory.
    fn to_others(&self, conn: ConnId) -> ToOthers {
        let user = &self.open[&conn].user;
        let mut others = ToOthers { all: 0, of_user: 0 };
        for (_, other) in self.open.iter().filter(|(other, _)| **other != conn) {
            others.all += other.outbox.large();
            others.of_user += u64::from(other.user == *user) * other.outbox.large();
        }
        others
    }

    /// Whether somebody waits for what is on its way to a connection.
    pub(super) fn is_waited_for(&self, conn: ConnId) -> bool {
        let user = &self.open[&conn].user;
        let mut waiting = self.waiting.iter().filter(|waits| **waits != conn);
        waiting.any(|waits| {
            let others = self.to_others(*waits);
            let waits = &self.open[waits];
            waits.stage == Stage::Accepted
                && match self.answer_limits.are_reached_by_user(others) {
                    true => waits.user == *user,
                    false => self.answer_limits.are_reached(others),
                }
        })
    }

    /// Who takes too long to read what others wait for is closed in time: with the
    /// tick that is due then, or with what has somebody wait for it after that.
    /// Where a process stands still, other inputs may come before the tick.
    pub(super) fn none_is_late(&self) -> Result<(), Violation> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let limits = self.limits;
        let just_before = self.ticked_at.saturating_sub(Duration::from_millis(1));
        let is_late = |(conn, connection): &(&ConnId, &Connection)| {
            connection.stage == Stage::Accepted
                && connection.outbox.is_late(just_before, limits)
                && self.is_waited_for(**conn)
        };
        let late = self.open.iter().find(is_late).map(|(conn, _)| *conn);
        Invariant::Answered.holds(late.is_none(), || {
            format!("{late:?} reads too slowly while others wait, and stays")
        })
    }

    /// Who reads nothing, though much waits for it, is closed in time.
    pub(super) fn none_stalls(&self, now: Duration) -> Result<(), Violation> {
        let stalls = |(_, connection): &(&ConnId, &Connection)| {
            connection.stage == Stage::Accepted && connection.outbox.stalls(now, self.limits)
        };
        let stalls = self.open.iter().find(stalls).map(|(conn, _)| *conn);
        Invariant::CaughtUp.holds(stalls.is_none(), || {
            format!("{stalls:?} reads nothing for too long, and stays")
        })
    }

    /// Who has more on its way than it may gets no more of what all get.
    pub(super) fn sent(
        &mut self,
        now: Duration,
        conn: ConnId,
        frame: &[u8],
        is_alone: bool,
    ) -> Result<(), Violation> {
        self.step(conn, Stage::Accepted, Stage::Accepted)?;
        let limits = self.limits;
        let connection = self.get(conn);
        connection.told_at = now;
        let large = connection.outbox.large();
        let is_allowed = connection.outbox.sent(now, frame, is_alone, limits);
        let is_large = connection.outbox.large() > large && limits.is_surely_large(frame);
        if !connection.outbox.is_in_step() {
            self.moved.push(conn);
        }
        Invariant::Bounded.holds(!is_large || !self.has_to_wait(conn), || {
            let others = self.open.iter().filter(|(other, _)| **other != conn);
            let bytes = others.map(|(other, connection)| (*other, connection.outbox.large()));
            let large: Vec<_> = bytes.filter(|(_, bytes)| *bytes > 0).collect();
            format!("{conn:?} is answered at once, and on its way to others are {large:?}")
        })?;
        Invariant::Bounded.holds(is_allowed, || {
            format!("{conn:?} is sent more, though too much waits for it")
        })
    }
}
