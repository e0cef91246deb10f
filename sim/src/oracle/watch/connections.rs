//! What connections are told.

mod knowledge;
mod roster;
mod slow_readers;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use smallvec::SmallVec;
use ysyncd_engine::{
    CloseCode, Config, ConnId, DocId, Event as EngineEvent, Output,
    auth::{Access, Grant, UserId},
    lib0::{ReadError, Reader},
    protocol::{Message, Messages},
};

use self::roster::Roster;
use super::{
    Ids, Invariant, Violation,
    answers::AnswerLimits,
    is_judged,
    outbox::{Outbox, OutboxLimits},
    presence::Presence,
};

/// The user whose clients send what they must not.
pub(crate) const INTRUDER: &str = "intruder";

/// The connections of one engine.
#[derive(Debug)]
pub(super) struct Connections {
    limits: OutboxLimits,
    answer_limits: AnswerLimits,
    awareness_timeout: Duration,
    /// Whether those who left are remembered as long as they should be.
    remembers: bool,
    open: Roster,
    presence: Presence,
    keepalive: Duration,
    /// Who was let in with the input under way.
    joined: Vec<ConnId>,
    /// Who was sent something with the input under way, or has read something,
    /// so that it may have fallen behind or caught up.
    moved: Vec<ConnId>,
    /// Who waits for its turn to be told something large.
    waiting: BTreeSet<ConnId>,
    /// Who was asked with the input under way for what was refused, for the
    /// first time.
    asked: Vec<ConnId>,
    /// Documents that failed with the input under way.
    failed: Vec<DocId>,
    /// Who has read something with the input under way, and how much of a large
    /// answer was on its way to it before.
    has_read: Option<(ConnId, u64)>,
    /// The server goes down.
    is_ending: bool,
    /// When the engine was last told how late it is.
    ticked_at: Duration,
}

#[derive(Debug)]
struct Connection {
    stage: Stage,
    doc: DocId,
    user: UserId,
    is_intruder: bool,
    is_reader: bool,
    /// When its token expires.
    until: Option<Duration>,
    /// Not read from, since when.
    paused: Option<Duration>,
    /// It was refused an update, and whether it was asked for it since.
    owes: Option<bool>,
    /// What its client knows, from itself and from us.
    knows: Ids,
    /// What of it the client has said to have integrated.
    integrated: Ids,
    /// Whether it waits for an answer to its state vector.
    asks: bool,
    /// Whether it gets updates.
    follows: bool,
    outbox: Outbox,
    /// Whether it was told that something was refused.
    was_told_of_refusal: bool,
    /// When it was sent something last, or let in.
    told_at: Duration,
    /// Messages on who is there that it was told, less those that it was said to have
    /// repeated.
    repeats: usize,
    /// What it was told last of each client's awareness.
    heard: BTreeMap<u64, Heard>,
}

/// What a connection was told of somebody's awareness.
#[derive(Debug, Clone, Copy)]
struct Heard {
    clock: u64,
    is_here: bool,
    at: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    Accepted,
    Closed(CloseCode),
    Over,
}

impl Connection {
    fn is_in(&self) -> bool {
        self.stage == Stage::Accepted
    }

    /// Whether it is told what all are told.
    fn reads(&self) -> bool {
        self.stage == Stage::Accepted && !self.outbox.is_behind() && !self.outbox.is_waiting()
    }
}

impl Connections {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            limits: OutboxLimits::new(config),
            answer_limits: AnswerLimits::new(config),
            awareness_timeout: config.awareness_timeout,
            remembers: config.awareness_gone_max >= crate::swarm::ENOUGH,
            open: Roster::default(),
            presence: Presence::new(config),
            keepalive: config.keepalive,
            joined: Vec::new(),
            moved: Vec::new(),
            waiting: BTreeSet::new(),
            asked: Vec::new(),
            failed: Vec::new(),
            has_read: None,
            is_ending: false,
            ticked_at: Duration::ZERO,
        }
    }

    /// Everybody is sent away from now on.
    pub(super) const fn end(&mut self) {
        self.is_ending = true;
    }

    /// A document has failed: whoever has it open or waits for it has to go.
    pub(super) fn failed(&mut self, doc: &DocId) {
        self.failed.push(doc.clone());
    }

    /// Everybody has gone whose document failed with the input under way.
    fn are_sent_off(&mut self) -> Result<(), Violation> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let failed = std::mem::take(&mut self.failed);
        let stays = |connection: &Connection| {
            matches!(connection.stage, Stage::Asked | Stage::Accepted)
                && failed.contains(&connection.doc)
        };
        let mut open = self.open.iter();
        let stays = open.find(|(_, connection)| stays(connection));
        Invariant::Contained.holds(stays.is_none(), || {
            format!(
                "{:?} stays though its document has failed",
                stays.map(|(conn, _)| conn)
            )
        })
    }

    pub(super) fn opened(&mut self, conn: ConnId, doc: DocId, grant: &Grant) {
        let connection = Connection {
            stage: Stage::Asked,
            doc,
            user: grant.user.clone(),
            is_intruder: grant.user.as_str() == INTRUDER,
            is_reader: grant.access == Access::Read,
            until: grant.until,
            paused: None,
            owes: None,
            knows: Ids::default(),
            integrated: Ids::default(),
            asks: false,
            follows: false,
            was_told_of_refusal: false,
            outbox: Outbox::default(),
            told_at: Duration::ZERO,
            repeats: 0,
            heard: BTreeMap::new(),
        };
        self.open.add(conn, connection);
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        let connection = self.get(conn);
        if !matches!(connection.stage, Stage::Closed(_)) {
            connection.stage = Stage::Over;
        }
        connection.paused = None;
        (connection.knows, connection.integrated) = (Ids::default(), Ids::default());
        let doc = connection.doc.clone();
        self.has_left(&doc, conn);
    }

    /// A document has left memory: nobody knows any more who was there.
    pub(super) fn unloaded(&mut self, doc: &DocId) {
        self.presence.unloaded(doc);
    }

    /// What was on its way to a connection that is gone takes no more memory.
    pub(super) fn freed(&mut self, conn: ConnId) {
        let connection = self.get(conn);
        connection.outbox.freed();
        if matches!(connection.stage, Stage::Closed(_) | Stage::Over) {
            self.open.is_over(conn);
        }
    }

    fn has_left(&mut self, doc: &DocId, conn: ConnId) {
        match self.is_open(doc) && (self.is_read(doc) || self.remembers) {
            true => self.presence.left(doc, conn),
            // Nobody is told who goes, or who that is depends on what those who
            // are forgotten said.
            false => self.presence.forget(doc),
        }
    }

    /// A connection says who is there.
    pub(super) fn says_awareness(&mut self, now: Duration, conn: ConnId, states: &[u8]) {
        if !self.is_in(conn) {
            return;
        }
        let doc = self.doc(conn).clone();
        let is_thief = self.is_intruder(conn) && is_judged(&doc);
        for (client, clock, is_here) in awareness_clocks(states).into_iter().flatten() {
            if is_here && is_thief {
                // For clients of others nobody speaks.
                continue;
            }
            // Nobody but its owner can say of a client that it is gone.
            if is_here {
                self.presence.said(now, &doc, client, clock, conn);
                continue;
            }
            if !self.is_read(&doc) && self.remembers {
                self.presence
                    .says_gone_untold(now, &doc, client, clock, conn);
            } else if !self.is_read(&doc) {
                self.presence.may_be_forgotten(&doc, client);
            }
            self.presence.says_gone(&doc, client, conn);
        }
    }

    /// Another node says something of a client, as such a connection would.
    pub(super) fn node_says(
        &mut self,
        now: Duration,
        doc: &DocId,
        client: u64,
        clock: u64,
        speaker: ConnId,
    ) {
        self.presence
            .said_elsewhere(now, doc, client, clock, speaker);
    }

    /// Another node says that a client is gone.
    pub(super) fn node_says_gone(&mut self, doc: &DocId, client: u64) {
        if !self.remembers && !self.is_read(doc) {
            self.presence.may_be_forgotten(doc, client);
        }
    }

    /// Whether somebody has said this clock of a client.
    pub(super) fn was_said(&self, doc: &DocId, client: u64, clock: u64) -> bool {
        self.presence.was_said(doc, client, clock)
    }

    /// Whether a connection of a user may speak for a client, and not another node.
    pub(super) fn may_speak_for(&self, doc: &DocId, client: u64, user: &str) -> bool {
        let is_users = |conn: ConnId| {
            let connection = self.open.get(conn);
            connection.is_none_or(|connection| connection.user.as_str() == user)
        };
        self.presence.is_spoken_for_here(doc, client, is_users)
    }

    /// Whether connections speak for somebody who is there.
    pub(super) fn speaks_for_somebody(&self, doc: &DocId) -> bool {
        let is_in = |conn: ConnId| {
            let connection = self.open.get(conn);
            connection.is_some_and(|connection| connection.stage == Stage::Accepted)
        };
        self.presence.speakers(doc).any(is_in)
    }

    /// All is said in answer to an input: who is gone is told to be, and after
    /// a tick nobody has heard nothing for longer than may be.
    pub(super) fn settled(&mut self, now: Duration, is_tick: bool) -> Result<(), Violation> {
        let open = &self.open;
        let somebody_reads = |doc: &DocId| {
            let mut open = open.values();
            open.any(|connection| connection.reads() && connection.doc == *doc)
        };
        self.presence.settled(now, is_tick, somebody_reads)?;
        self.are_sent_off()?;
        self.has_read = None;
        if is_tick {
            self.ticked_at = now;
        }
        self.none_is_late()?;
        if !is_tick {
            return Ok(());
        }
        self.none_stalls(now)?;
        let since = now.saturating_sub(self.keepalive);
        let is_deaf = |connection: &Connection| {
            connection.stage == Stage::Accepted
                && connection.outbox.is_kept_alive(self.limits)
                && connection.told_at < since
        };
        let mut open = self
            .open
            .iter()
            .filter(|(_, connection)| is_deaf(connection));
        let deaf = open.next().map(|(conn, _)| *conn);
        Invariant::Keepalive.holds(deaf.is_none(), || {
            format!("{deaf:?} was told nothing since before {since:?}")
        })?;
        let has_expired = |connection: &Connection| {
            connection.stage == Stage::Accepted
                && connection.until.is_some_and(|until| until <= now)
        };
        let mut open = self.open.iter();
        let stays = open.find(|(_, connection)| has_expired(connection));
        Invariant::Expiry.holds(stays.is_none(), || {
            format!(
                "{:?} stays though its token has expired",
                stays.map(|(conn, _)| conn)
            )
        })
    }

    /// Whether it may only read.
    pub(super) fn is_reader(&self, conn: ConnId) -> bool {
        self.open[&conn].is_reader
    }

    /// Whether somebody has a document open.
    pub(super) fn is_open(&self, doc: &DocId) -> bool {
        let is_open =
            |connection: &Connection| connection.stage == Stage::Accepted && connection.doc == *doc;
        self.open.values().any(is_open)
    }

    pub(super) fn is_in(&self, conn: ConnId) -> bool {
        self.open[&conn].stage == Stage::Accepted
    }

    /// Whether somebody is told what all of a document are told.
    fn is_read(&self, doc: &DocId) -> bool {
        let mut open = self.open.values();
        open.any(|connection| connection.reads() && connection.doc == *doc)
    }

    /// Whether it is in and told what all are told.
    pub(super) fn reads(&self, conn: ConnId) -> bool {
        self.open[&conn].reads()
    }

    /// Those who get the updates of a document, and read them.
    pub(super) fn followers(&self, doc: &DocId) -> Vec<ConnId> {
        self.who_follow(doc, Connection::reads)
    }

    /// Those who get the updates of a document once they have read enough.
    pub(super) fn lagging(&self, doc: &DocId) -> Vec<ConnId> {
        self.who_follow(doc, |connection| !connection.reads())
    }

    fn who_follow(&self, doc: &DocId, how: impl Fn(&Connection) -> bool) -> Vec<ConnId> {
        let follows = |connection: &Connection| {
            connection.follows && connection.doc == *doc && how(connection)
        };
        let open = self.open.iter();
        let following = open.filter(|(_, connection)| follows(connection));
        following.map(|(conn, _)| *conn).collect()
    }

    /// Who was asked with the input under way for what was refused.
    pub(super) fn take_asked(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.asked)
    }

    /// Bytes that a connection was sent.
    pub(super) fn sent_to(&self, conn: ConnId) -> u64 {
        let connection = self.open.get(conn);
        connection.map_or(0, |connection| connection.outbox.bytes_sent())
    }

    pub(super) fn doc(&self, conn: ConnId) -> &DocId {
        &self.open[&conn].doc
    }

    /// The document of a connection, if yrs may look at what it says.
    pub(super) fn judged_doc(&self, conn: ConnId) -> Option<&DocId> {
        let connection = &self.open[&conn];
        let is_judged = is_judged(&connection.doc);
        is_judged.then_some(&connection.doc)
    }

    /// How many have asked for a document so far.
    pub(super) fn count(&self, doc: &DocId) -> usize {
        self.open.count(doc)
    }

    pub(super) fn close_code(&self, conn: ConnId) -> Option<CloseCode> {
        match self.open.get(conn)?.stage {
            Stage::Closed(code) => Some(code),
            _ => None,
        }
    }

    pub(super) fn is_intruder(&self, conn: ConnId) -> bool {
        self.open[&conn].is_intruder
    }

    /// Whether the engine has to take what a connection says now: it has let
    /// it in, and since it last refused something it has asked and been
    /// answered.
    pub(super) fn takes(&mut self, conn: ConnId, frame: &[u8]) -> bool {
        let connection = self.get(conn);
        let message = Messages::new(frame).read_next();
        let is_answer = matches!(message, Ok(Some(Message::SyncStep2(_))));
        if is_answer && connection.owes == Some(true) {
            connection.owes = None;
        }
        connection.stage == Stage::Accepted && connection.owes.is_none()
    }

    pub(super) fn owes(&self, conn: ConnId) -> bool {
        self.open[&conn].owes.is_some()
    }

    /// They are told that something was refused, each for the first time.
    pub(super) fn are_told_of_refusal(&mut self, conns: &[ConnId]) -> Result<(), Violation> {
        for conn in conns {
            let was_told = std::mem::replace(&mut self.get(*conn).was_told_of_refusal, true);
            Invariant::RefusedOnce.holds(!was_told, || {
                format!("{conn:?} is told again that something was refused")
            })?;
        }
        Ok(())
    }

    /// They are asked what they know.
    pub(super) fn are_asked(&mut self, conns: &[ConnId]) {
        for conn in conns {
            if let Some(asked) = &mut self.get(*conn).owes
                && !std::mem::replace(asked, true)
            {
                self.asked.push(*conn);
            }
        }
    }

    pub(super) fn all_resumed(&self, since: Duration) -> Result<(), Violation> {
        let mut waiting = self
            .open
            .iter()
            .filter(|(_, connection)| connection.asks && connection.stage == Stage::Accepted);
        let waiting = waiting.next().map(|(conn, _)| *conn);
        Invariant::Answered.holds(waiting.is_none(), || format!("{waiting:?} asked in vain"))?;
        let is_forgotten =
            |connection: &Connection| connection.paused.is_some_and(|paused| paused < since);
        match self
            .open
            .iter()
            .find(|(_, connection)| is_forgotten(connection))
        {
            Some((conn, connection)) => {
                let detail = format!("{conn:?} is not read from since {:?}", connection.paused);
                Err(Invariant::Paused.violated(detail))
            }
            None => Ok(()),
        }
    }

    pub(super) fn output(&mut self, now: Duration, output: &Output) -> Result<(), Violation> {
        match output {
            Output::Accept { conn } => {
                self.joined.push(*conn);
                self.get(*conn).told_at = now;
                self.step(*conn, Stage::Asked, Stage::Accepted)
            }
            Output::Refuse { conn, .. } => {
                self.step(*conn, Stage::Asked, Stage::Over)?;
                self.open.is_over(*conn);
                Ok(())
            }
            Output::Close { conn, code, reason } => {
                self.step(*conn, Stage::Accepted, Stage::Closed(*code))?;
                self.get(*conn).paused = None;
                if *code == CloseCode::InternalError
                    && let Some((reader, large)) = self.has_read
                    && reader == *conn
                {
                    // What it read was not noted any more.
                    self.get(*conn).outbox.still_has(large);
                }
                let doc = self.doc(*conn).clone();
                self.has_left(&doc, *conn);
                let others = self.open.of(&doc);
                others.for_each(|other| other.outbox.hears_of_a_close());
                self.is_for_cause(now, *conn, *code, reason)
            }
            Output::Send { conns, frame } => conns
                .iter()
                .try_for_each(|conn| self.sent(now, *conn, frame, conns.len() == 1)),
            Output::Pause { conn } => {
                self.step(*conn, Stage::Accepted, Stage::Accepted)?;
                let before = self.get(*conn).paused.replace(now);
                Invariant::Paused.holds(before.is_none(), || format!("{conn:?} is told twice"))
            }
            Output::Resume { conn } => {
                self.step(*conn, Stage::Accepted, Stage::Accepted)?;
                let before = self.get(*conn).paused.take();
                Invariant::Paused.holds(before.is_some(), || format!("{conn:?} was read from"))
            }
            Output::Event(EngineEvent::ConnectionLags { conn, .. }) => {
                let limits = self.limits;
                self.get(*conn).outbox.is_left_out(now, limits);
                self.moved.push(*conn);
                Ok(())
            }
            Output::Event(EngineEvent::AnswerWaits { conn, .. }) => {
                self.get(*conn).outbox.has_to_wait();
                self.waiting.insert(*conn);
                self.moved.push(*conn);
                Ok(())
            }
            Output::Event(EngineEvent::AnswerTurn { conn }) => {
                let limits = self.limits;
                self.get(*conn).outbox.has_its_turn(limits);
                self.moved.push(*conn);
                Ok(())
            }
            Output::Event(EngineEvent::UpdateRefused { conn, .. }) => {
                self.get(*conn).owes = Some(false);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn is_for_cause(
        &self,
        now: Duration,
        conn: ConnId,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), Violation> {
        let connection = &self.open[&conn];
        let is_for_cause = match code {
            CloseCode::GoingAway => self.is_ending,
            CloseCode::TryAgainLater => {
                let is_late = connection.outbox.is_late(now, self.limits);
                connection.outbox.stalls(now, self.limits) || is_late && self.is_waited_for(conn)
            }
            CloseCode::TokenExpired => {
                let is_over = connection.until.is_some_and(|until| until <= now);
                Invariant::Expiry.holds(is_over, || {
                    format!("{conn:?} is closed before {:?}", connection.until)
                })?;
                true
            }
            CloseCode::InternalError => {
                let has_failed = self.failed.contains(&connection.doc);
                Invariant::Contained.holds(has_failed, || {
                    format!("{conn:?} is closed, and {} is well", connection.doc)
                })?;
                true
            }
            _ => connection.is_intruder,
        };
        Invariant::ClosedForCause.holds(is_for_cause, || format!("{conn:?}: {reason}"))
    }

    fn step(&mut self, conn: ConnId, from: Stage, to: Stage) -> Result<(), Violation> {
        let connection = self.open.get_mut(conn);
        match connection {
            Some(connection) if connection.stage == from => {
                connection.stage = to;
                Ok(())
            }
            other => {
                let other = other.map(|connection| connection.stage);
                let detail = format!("{conn:?} is {other:?}, and goes from {from:?} to {to:?}");
                Err(Invariant::Order.violated(detail))
            }
        }
    }

    fn get(&mut self, conn: ConnId) -> &mut Connection {
        &mut self.open[&conn]
    }
}

/// Clients, their clocks, and whether they are there. Mostly messages tell of one.
type Clocks = SmallVec<[(u64, u64, bool); 2]>;

/// The ids and clocks of an awareness message, and whether they are there.
pub(super) fn awareness_clocks(states: &[u8]) -> Result<Clocks, ReadError> {
    let mut reader = Reader::new(states);
    let mut clocks = Clocks::new();
    for _ in 0..reader.var_uint()? {
        let (client, clock) = (reader.var_uint()?, reader.var_uint()?);
        clocks.push((client, clock, reader.var_str()? != "null"));
    }
    Ok(clocks)
}

/// The ids and clocks of an awareness message, and how many bytes the states have of
/// those who are there.
pub(super) fn awareness_sizes(states: &[u8]) -> Result<Vec<(u64, u64, Option<usize>)>, ReadError> {
    let mut reader = Reader::new(states);
    let mut sizes = Vec::new();
    for _ in 0..reader.var_uint()? {
        let (client, clock) = (reader.var_uint()?, reader.var_uint()?);
        let state = reader.var_str()?;
        sizes.push((client, clock, (state != "null").then_some(state.len())));
    }
    Ok(sizes)
}
