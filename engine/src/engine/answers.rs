//! Large answers on their way to clients: how much memory they take together.
//!
//! What a client asks for when it joins, or missed while it lagged, may be a
//! whole document, and the client may take its time to read it. An answer no
//! larger than the budget that every connection has is sent at once. Of the
//! others no more are on their way, for each user and in all, than is
//! configured: past that a connection waits for its turn. Users take turns, so
//! that one who does not read holds up nobody but itself for long. Who reads too
//! slowly while others wait has to go.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    auth::UserId,
    config::Config,
    id::ConnId,
    marks::{self, Mark},
    planted::{self, Bug},
};

/// Large answers that are on their way, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct Answers {
    bytes: usize,
    on_way: BTreeMap<ConnId, OnWay>,
    users: BTreeMap<UserId, OfUser>,
    /// Users of whom somebody waits and who may have more, in the order of
    /// their turns.
    turns: VecDeque<UserId>,
    /// Who came to wait with the input under way.
    came: Vec<(UserId, ConnId)>,
    /// Who comes to be late next, and when.
    next_late: Option<(Duration, ConnId)>,
    /// Whether that may have changed.
    has_changed: bool,
}

#[derive(Debug)]
struct OnWay {
    user: UserId,
    bytes: usize,
    /// When all of it should be written if others wait.
    due: Duration,
    /// Whether the connection is gone: its transport lets go of it soon.
    is_gone: bool,
}

#[derive(Debug, Default)]
struct OfUser {
    bytes: usize,
    /// In the order in which they came.
    waiting: VecDeque<ConnId>,
    /// Whether it is in `turns`.
    has_turn: bool,
}

impl OfUser {
    /// Whether so much is on its way to it that it is told nothing large.
    const fn is_full(&self, config: &Config) -> bool {
        self.bytes > 0 && self.bytes >= config.answers_bytes_per_user_max
    }
}

impl Answers {
    /// Bytes that are on their way.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A connection waits for its turn.
    pub(super) fn wait(&mut self, user: &UserId, conn: ConnId) {
        self.has_changed = true;
        let of_user = self.users.entry(user.clone()).or_default();
        of_user.waiting.push_back(conn);
        self.came.push((user.clone(), conn));
        self.give_turn(user);
    }

    /// Whose turn it is, if there is room. To be called until there is nobody.
    pub(super) fn next(&mut self, config: &Config) -> Option<ConnId> {
        let is_full = self.bytes > 0 && self.bytes >= config.answers_bytes_max;
        marks::hit_if(Mark::AnswersFull, || is_full && !self.turns.is_empty());
        if is_full && !planted::is(Bug::AnswersUnbounded) {
            return None;
        }
        while let Some(user) = self.turns.pop_front() {
            self.has_changed = true;
            let of_user = self.users.get_mut(&user);
            let of_user = of_user.expect("users of whom somebody waits are kept");
            of_user.has_turn = false;
            if of_user.is_full(config) && !planted::is(Bug::AnswersUnbounded) {
                marks::hit(Mark::AnswersOfUserFull);
                continue;
            }
            let conn = of_user.waiting.pop_front();
            self.give_turn(&user);
            if conn.is_some() {
                return conn;
            }
        }
        None
    }

    /// Who has come to wait since this was last asked, and still waits.
    pub(super) fn take_came(&mut self) -> Vec<(UserId, ConnId)> {
        let mut came = std::mem::take(&mut self.came);
        came.retain(|(user, conn)| {
            let of_user = self.users.get(user);
            of_user.is_some_and(|of_user| of_user.waiting.contains(conn))
        });
        came
    }

    /// An answer is on its way.
    pub(super) fn sent(
        &mut self,
        now: Duration,
        user: &UserId,
        conn: ConnId,
        bytes: usize,
        config: &Config,
    ) {
        self.has_changed = true;
        self.bytes += bytes;
        self.users.entry(user.clone()).or_default().bytes += bytes;
        let on_way = self.on_way.entry(conn).or_insert_with(|| OnWay {
            user: user.clone(),
            bytes: 0,
            due: now + config.stall_max,
            is_gone: false,
        });
        on_way.bytes += bytes;
        on_way.due += config.answer_time(bytes);
    }

    /// What was on its way to a connection is written, or let go of.
    pub(super) fn written(&mut self, conn: ConnId) {
        if let Some(OnWay { user, bytes, .. }) = self.on_way.remove(&conn) {
            self.has_changed = true;
            self.bytes -= bytes;
            let of_user = self.users.get_mut(&user).expect("its bytes are counted");
            of_user.bytes -= bytes;
            self.give_turn(&user);
        }
    }

    /// A connection is gone. What was on its way to it takes memory still.
    pub(super) fn closed(&mut self, user: &UserId, conn: ConnId) {
        self.has_changed = true;
        if planted::is(Bug::AnswersFreedAtClose) {
            self.written(conn);
        }
        if let Some(on_way) = self.on_way.get_mut(&conn) {
            marks::hit(Mark::AnswerOutlived);
            on_way.is_gone = true;
        }
        if let Some(of_user) = self.users.get_mut(user) {
            of_user.waiting.retain(|waiting| *waiting != conn);
            self.give_turn(user);
        }
    }

    /// The transport of a connection that is gone has let go of what was on its
    /// way to it.
    pub(super) fn freed(&mut self, conn: ConnId) {
        if !planted::is(Bug::AnswersLeak) {
            self.written(conn);
        }
    }

    /// Somebody who takes too long to read an answer for which others wait.
    pub(super) fn next_late(&mut self, now: Duration, config: &Config) -> Option<ConnId> {
        if std::mem::take(&mut self.has_changed) {
            let held_up = self.held_up(config);
            self.next_late = held_up.map(|(conn, on_way)| (on_way.due, conn)).min();
        }
        let (due, conn) = self.next_late?;
        (due <= now).then_some(conn)
    }

    /// When somebody comes to be late next, as of the last time that this was
    /// looked for.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.next_late.map(|(due, _)| due)
    }

    /// The answers on their way for which others wait: if there is no room for
    /// any more all of them, else those to users of whom somebody waits. There
    /// are no more of them than large ones fit the budget.
    fn held_up(&self, config: &Config) -> impl Iterator<Item = (ConnId, &OnWay)> {
        let waits = |of_user: &OfUser| !of_user.waiting.is_empty();
        // Whose turn it is and who waits nevertheless does so because there is no
        // room at all.
        let has_turn = |user: &UserId| {
            let of_user = &self.users[user];
            waits(of_user) && !of_user.is_full(config)
        };
        let all_wait = self.turns.iter().any(has_turn);
        let holds_up = move |(_, on_way): &(&ConnId, &OnWay)| {
            let is_waited_for = all_wait || waits(&self.users[&on_way.user]);
            !on_way.is_gone && is_waited_for && !planted::is(Bug::LateKept)
        };
        let on_way = self.on_way.iter().filter(holds_up);
        on_way.map(|(conn, on_way)| (*conn, on_way))
    }

    /// Panics if something does not hold that always must; these wait.
    pub(super) fn check(&self, waiting: usize) {
        let users = || self.users.values();
        assert_eq!(
            self.bytes,
            users().map(|of_user| of_user.bytes).sum::<usize>()
        );
        let on_way = self.on_way.values().map(|on_way| on_way.bytes);
        assert_eq!(self.bytes, on_way.sum::<usize>());
        assert_eq!(
            waiting,
            users().map(|of_user| of_user.waiting.len()).sum::<usize>()
        );
        let have_turns = users().filter(|of_user| of_user.has_turn).count();
        assert_eq!(self.turns.len(), have_turns);
    }

    /// Lets a user take part, if somebody of it waits, and forgets it if there
    /// is nothing to know of it.
    fn give_turn(&mut self, user: &UserId) {
        let of_user = self.users.get_mut(user).expect("it was just there");
        if of_user.waiting.is_empty() {
            if of_user.bytes == 0 && !of_user.has_turn {
                self.users.remove(user);
            }
        } else if !of_user.has_turn {
            of_user.has_turn = true;
            self.turns.push_back(user.clone());
        }
    }
}
