//! What clients know, and what they have to be told.

use std::time::Duration;

use ysyncd_engine::{
    ConnId, DocId,
    protocol::{Message, Messages},
    state_vector::StateVector,
};

use super::{Connections, Heard, Stage, awareness_clocks};
use crate::oracle::{
    ids::{is_at_home, is_judged},
    watch::{Ids, Invariant, Violation},
};

impl Connections {
    /// Who was let in with the input under way was told who is there.
    pub(in super::super) fn joiners_know(&mut self) -> Result<(), Violation> {
        for conn in std::mem::take(&mut self.joined) {
            let connection = &self.open[&conn];
            let present = self.presence.present(&connection.doc);
            let mut untold = present.filter(|client| !connection.heard.contains_key(client));
            // That somebody has gone may have to wait, and is not said to who comes.
            let is_judged = connection.reads() && !self.presence.may_have_to_wait();
            let untold = untold.next().filter(|_| is_judged);
            Invariant::JoinerAwareness.holds(untold.is_none(), || {
                format!("{conn:?} was not told that {untold:?} is there")
            })?;
        }
        Ok(())
    }

    /// A connection says what it knows, and asks for the rest.
    pub(in super::super) fn asks(&mut self, conn: ConnId, known: &Ids) {
        let connection = self.get(conn);
        connection.asks |= connection.stage == Stage::Accepted;
        connection.knows.add(known);
        connection.integrated.add(known);
    }

    /// An intruder may claim to know something.
    pub(in super::super) fn intruder_knows(&mut self, conn: ConnId, frame: &[u8]) {
        if let Ok(Some(Message::SyncStep1(known))) = Messages::new(frame).read_next()
            && StateVector::decode(known).is_ok()
            && let Ok(known) = Ids::below(known)
        {
            self.get(conn).knows = known;
        }
    }

    /// The client of a connection knows this.
    pub(in super::super) fn knows(&mut self, conn: ConnId, ids: &Ids) {
        self.get(conn).knows.add(ids);
    }

    /// What a client was told when it was of no use yet, it does not know until
    /// it is told again.
    pub(in super::super) fn knows_not(&mut self, conn: ConnId, ids: &Ids) {
        let connection = self.get(conn);
        connection.knows = ids.lacking(&connection.knows);
        connection.knows.add(&connection.integrated);
    }

    /// They were answered what they asked for, and get updates from now on:
    /// now they know all that is here.
    pub(in super::super) fn follow(
        &mut self,
        conns: &[ConnId],
        here: &Ids,
    ) -> Result<(), Violation> {
        for conn in conns {
            let connection = self.get(*conn);
            (connection.follows, connection.asks) = (true, false);
            let knows = &connection.knows;
            Invariant::DiffComplete.holds(knows.cover(here), || {
                format!("{conn:?} was not told {:?}", knows.lacking(here))
            })?;
        }
        Ok(())
    }

    /// Those who follow a document must have been told its news, unless they
    /// do not read what they are told.
    pub(in super::super) fn were_told(&self, doc: &DocId, news: &Ids) -> Result<(), Violation> {
        let followers = self.followers(doc);
        followers
            .iter()
            .try_for_each(|conn| self.was_told(*conn, news))
    }

    /// The same, while there is more to be said in answer to the input under way: those
    /// who are told what they missed may be at the end.
    pub(in super::super) fn were_told_at_once(
        &self,
        doc: &DocId,
        news: &Ids,
    ) -> Result<(), Violation> {
        let mut followers = self.followers(doc);
        followers.retain(|conn| self.open[conn].outbox.is_in_step());
        followers
            .iter()
            .try_for_each(|conn| self.was_told(*conn, news))
    }

    fn was_told(&self, conn: ConnId, news: &Ids) -> Result<(), Violation> {
        let knows = &self.open[&conn].knows;
        Invariant::Told.holds(knows.cover(news), || {
            format!("{conn:?} was not told {:?}", knows.lacking(news))
        })
    }

    /// It is said to repeat what it was told. False if it was not told so often.
    pub(in super::super) fn has_repeated(&mut self, conn: ConnId) -> bool {
        let connection = self.get(conn);
        let may_repeat = connection.repeats > 0;
        connection.repeats = connection.repeats.saturating_sub(1);
        may_repeat
    }

    /// What a connection says of who is there is told: clients, clocks, and the sizes
    /// of states.
    pub(in super::super) fn are_shown(
        &mut self,
        doc: &DocId,
        from: ConnId,
        states: impl Iterator<Item = (u64, u64, Option<usize>)>,
    ) -> Result<(), Violation> {
        let is_in = |conn: ConnId| self.open.get(conn).is_some_and(super::Connection::is_in);
        self.presence.shown(doc, from, states, is_in)
    }

    /// Whoever opens a document of intruders is told who is gone, nobody having said so.
    pub(in super::super) fn are_shown_no_more(
        &mut self,
        doc: &DocId,
        states: impl Iterator<Item = (u64, u64, Option<usize>)>,
    ) {
        let gone = states.filter(|(.., bytes)| bytes.is_none());
        self.presence
            .shown_no_more(doc, gone.map(|(client, ..)| client));
    }

    /// In a document of intruders somebody says who is there.
    pub(in super::super) fn intruder_says(
        &mut self,
        conn: ConnId,
        states: impl Iterator<Item = (u64, u64, Option<usize>)>,
    ) {
        let doc = self.doc(conn).clone();
        for (client, clock, _) in states {
            self.presence.intruder_says(&doc, client, clock, conn);
        }
    }

    /// Who is there by the word of connections that are here, or of other nodes.
    pub(in super::super) fn spoken_for(&self, doc: &DocId) -> Vec<(u64, u64)> {
        let is_in = |conn: ConnId| self.open.get(conn).is_some_and(super::Connection::is_in);
        self.presence.spoken_for(doc, is_in)
    }

    /// They are told who is there. Who was not heard of for long is forgotten,
    /// clock and all.
    pub(in super::super) fn are_told_awareness(
        &mut self,
        now: Duration,
        doc: &DocId,
        conns: &[ConnId],
        states: &[u8],
    ) -> Result<(), Violation> {
        let clocks = awareness_clocks(states);
        let clocks = clocks.map_err(|error| Invariant::Understood.violated(error))?;
        let is_open = self.is_open(doc);
        conns.iter().for_each(|conn| self.get(*conn).repeats += 1);
        for (client, clock, is_here) in clocks {
            if !is_here {
                let is_in =
                    |conn: ConnId| self.open.get(conn).is_some_and(super::Connection::is_in);
                let may_go = self.presence.may_go(now, doc, client, is_in);
                Invariant::Presence.holds(may_go, || {
                    format!("{doc}: client {client} is said to be gone, and not by itself")
                })?;
            }
            let may_be = !is_here || !self.remembers || !is_judged(doc);
            let is_said = may_be || self.presence.was_said(doc, client, clock);
            Invariant::Presence.holds(is_said, || {
                format!("{doc}: client {client} is told at {clock}, which nobody said who may")
            })?;
            if is_open {
                self.presence.told(now, doc, client, clock, is_here);
            }
            Invariant::Apart.holds(is_at_home(client, doc), || {
                format!("{doc}: told that client {client} is there")
            })?;
            for conn in conns {
                let timeout = self.awareness_timeout;
                let at = now;
                let heard = Heard { clock, is_here, at };
                let last = self.get(*conn).heard.insert(client, heard);
                let last = last.filter(|last| last.at + timeout > now);
                let is_forward = !self.remembers || last.is_none_or(|last| last.clock <= clock);
                Invariant::AwarenessForward.holds(is_forward, || {
                    format!("{conn:?}: client {client} goes from {last:?} to {clock}")
                })?;
            }
        }
        Ok(())
    }
}
