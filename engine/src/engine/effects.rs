//! Lets a document handle something, and does what it wants done.

use std::{collections::BTreeSet, time::Duration};

use super::{
    DocKey, Engine, JournalOperation, LOOK_RATE, quarantine,
    slot::{Slot, Standing},
};
use crate::{
    bus::BusCommand,
    document::{Context, Document, Left},
    effect::{Effect, Effects},
    event::Event,
    id::{ConnId, OpId},
    journal::JournalCommand,
    output::Output,
    planted::{self, Bug},
};

impl Engine {
    pub(super) fn with_connection(
        &mut self,
        now: Duration,
        conn: ConnId,
        handle: impl FnOnce(&mut Document, Context<'_>, &mut Effects),
    ) {
        if let Some(link) = self.connections.get(&conn) {
            self.with(now, link.document, handle);
        }
    }

    /// Lets a document handle something, then does what it wants done. If it
    /// panics, nothing of that is done, and it is dropped.
    pub(super) fn with(
        &mut self,
        now: Duration,
        key: DocKey,
        handle: impl FnOnce(&mut Document, Context<'_>, &mut Effects),
    ) {
        let unsaved_bytes = self.unsaved_bytes();
        let bus = self.on_bus();
        let Some(slot) = self.documents.get_mut(&key) else {
            return;
        };
        let cx = Context {
            now,
            config: &self.config,
            journal: self.journaling.health(),
            unsaved_bytes,
            others_bytes: self.totals.documents - slot.share.documents,
            may_look_at: self.looked_until,
            bus,
        };
        let (document, out, is_pushed) = (&mut slot.document, &mut self.effects, slot.pushed);
        let is_leaving = self.shutdown.is_some() || is_pushed;
        let handled = quarantine::contain(|| {
            handle(document, cx, out);
            planted::panic_at(now);
            // Not to stay for a while in case somebody comes.
            if is_leaving {
                document.drain_if_idle(cx, out);
            }
            // What the store does not take makes way for others.
            if is_pushed {
                document.abandon(cx, out);
            }
            Standing::of(document)
        });
        match handled {
            Ok(standing) => self.settle(now, key, &standing),
            Err(panic) => self.quarantine(now, key, panic),
        }
    }

    /// Carries out a document's effects, minds its timeout and its size, and
    /// drops it if it has left.
    pub(super) fn settle(&mut self, now: Duration, key: DocKey, standing: &Standing) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.carry_out(now, key, effect);
        }
        self.effects = effects;
        let was_full = self.is_half_full();
        let slot = self.documents.get_mut(&key);
        let slot = slot.expect("it has just handled something");
        let is_early = |due| standing.timeout.is_some_and(|timeout| due <= timeout);
        if !slot.due.is_some_and(is_early) {
            replace(&mut self.due, key, &mut slot.due, standing.timeout);
        }
        let idle_since = standing.is_idle.then(|| slot.idle_since.unwrap_or(now));
        replace(&mut self.idle, key, &mut slot.idle_since, idle_since);
        let goes_live = slot.is_loading && !standing.is_loading && standing.left.is_none();
        slot.is_loading = standing.is_loading;
        self.totals.add(standing.share);
        self.totals
            .subtract(std::mem::replace(&mut slot.share, standing.share));
        if goes_live {
            self.subscribe(key);
        }
        if let Some(left) = standing.left {
            self.drop_document(now, key, left);
        }
        if was_full && !self.is_half_full() {
            self.tell_room(now);
        }
    }

    /// Whether so much is unsaved that asking for more is not worth it.
    pub(super) const fn is_half_full(&self) -> bool {
        self.unsaved_bytes() > self.config.unsaved_bytes_total_max / 2
    }

    fn carry_out(&mut self, now: Duration, key: DocKey, effect: Effect) {
        let output = match effect {
            Effect::Accept(conn) => {
                if let Some(link) = self.connections.get_mut(&conn) {
                    link.is_accepted = true;
                }
                Output::Accept { conn }
            }
            Effect::Refuse(conn, reason) => {
                self.forget(conn);
                Output::Refuse { conn, reason }
            }
            Effect::Send(conns, frame) => Output::Send { conns, frame },
            Effect::AwaitAnswer(conn) => {
                if let Some(link) = self.connections.get(&conn) {
                    self.answers.wait(&link.user, conn);
                }
                return;
            }
            Effect::AnswerSent(conn, bytes) => {
                if let Some(link) = self.connections.get(&conn) {
                    self.answers
                        .sent(now, &link.user, conn, bytes, &self.config);
                }
                return;
            }
            Effect::AnswerWritten(conn) => {
                self.answers.written(conn);
                return;
            }
            Effect::Close(conn, fault) => {
                self.forget(conn);
                let (code, reason) = (fault.code, fault.reason);
                Output::Close { conn, code, reason }
            }
            Effect::Pause(conn) => Output::Pause { conn },
            Effect::Resume(conn) => Output::Resume { conn },
            Effect::Repeated(conn) => Output::Repeated { conn },
            Effect::AwaitStore(lane) => {
                self.turns.wait(key, lane);
                return;
            }
            Effect::Store(command) => {
                let op = self.next_op();
                let lane = self.turn.expect("documents wait for their turn");
                self.turns.begin(op, lane);
                self.operations.insert(op, key);
                Output::Store { op, command }
            }
            Effect::Journal(command) => {
                let op = self.next_op();
                let operation = JournalOperation {
                    op,
                    document: key,
                    is_append: matches!(command, JournalCommand::Append { .. }),
                };
                self.journal_operations.begin(operation);
                Output::Journal { op, command }
            }
            Effect::LookedAt(bytes) => {
                let takes = Duration::from_secs(bytes as u64) / LOOK_RATE;
                self.looked_until = self.looked_until.max(now) + takes;
                return;
            }
            Effect::Bus(command) => Output::Bus(command),
            Effect::Event(event) => Output::Event(event),
        };
        self.outputs.push_back(output);
    }

    pub(super) fn next_op(&mut self) -> OpId {
        let op = self.next_operation;
        self.next_operation.0 += 1;
        op
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Takes a document out of memory, and all that is noted of it with it.
    pub(super) fn take_out(&mut self, key: DocKey) -> Slot {
        let slot = self.documents.remove(&key).expect("it was just there");
        self.names.remove(&slot.name);
        self.due.remove(&(slot.due.unwrap_or_default(), key));
        self.idle
            .remove(&(slot.idle_since.unwrap_or_default(), key));
        self.totals.subtract(slot.share);
        self.pushing -= usize::from(slot.pushed);
        if slot.on_bus {
            let doc = slot.name.clone();
            self.command_bus(BusCommand::Unsubscribe { doc });
        }
        slot
    }

    fn drop_document(&mut self, now: Duration, key: DocKey, left: Left) {
        let slot = self.take_out(key);
        let entry = match left {
            Left::Clean => None,
            Left::Journaled if planted::is(Bug::LeftWithoutEntry) => {
                slot.entry.map(|entry| entry.with_bytes(slot.share.unsaved))
            }
            Left::Journaled => Some(
                slot.entry
                    .unwrap_or_default()
                    .with_bytes(slot.share.unsaved),
            ),
            Left::Failed | Left::Damaged => slot.entry,
        };
        if let Some(entry) = entry {
            let (config, jitter) = (&self.config, &mut self.jitter);
            self.backlog
                .put(now, slot.name, entry, left, config, jitter);
        }
    }
}

/// Notes a document under a new time instead of an old one.
pub(super) fn replace(
    set: &mut BTreeSet<(Duration, DocKey)>,
    key: DocKey,
    old: &mut Option<Duration>,
    new: Option<Duration>,
) {
    if *old == new {
        return;
    }
    if let Some(old) = *old {
        set.remove(&(old, key));
    }
    if let Some(new) = new {
        set.insert((new, key));
    }
    *old = new;
}
