//! One engine, judged by what goes into it and what comes out.

mod answers;
mod bus;
mod connections;
mod documents;
mod entries;
mod gaps;
mod growth;
mod inputs;
mod journal;
mod outbox;
mod pace;
mod presence;
mod records;
mod refusals;
mod relays;
mod standing;
mod store;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use ysyncd_engine::{
    CloseCode, Config, ConnId, DocId, Event as EngineEvent, JournalCommand, OpId, Output, Status,
    StoreCommand,
    protocol::{Message, Messages},
};

pub(crate) use self::connections::INTRUDER;
use self::{
    bus::BusWatch,
    connections::{Connections, awareness_clocks, awareness_sizes},
    documents::Documents,
    gaps::Gaps,
    growth::Growth,
    inputs::{Bringing, Taking},
    journal::JournalWatch,
    pace::Pace,
    records::{LastRecord, Record},
    refusals::Refusals,
    relays::Relays,
    store::StoreWatch,
};
use super::{Ids, Invariant, Violation, is_judged};
use crate::swarm::ENOUGH;

/// How a frame begins that says that something was refused.
const PERMISSION_DENIED: [u8; 2] = [2, 0];

/// Watches one engine from its start to its end.
#[derive(Debug)]
pub(crate) struct Watch {
    has_journal: bool,
    /// Whether documents may fail.
    bears_failures: bool,
    connections: Connections,
    documents: Documents,
    store: StoreWatch,
    journal: JournalWatch,
    relays: Relays,
    gaps: Gaps,
    growth: Growth,
    refusals: Refusals,
    bus: BusWatch,
    pace: Pace,
    limits: Limits,
    /// Whose message is the input under way.
    receiving: Option<ConnId>,
    /// The last message that came.
    message: Bytes,
    /// Whether the input under way is a tick.
    is_tick: bool,
    /// When a shutdown has to be over.
    deadline: Option<Duration>,
    /// Without a journal: what the input under way says, if the engine has to
    /// take it.
    taking: Option<Taking>,
    /// With a journal: the structs that the input under way brings, and that it has
    /// not written yet.
    bringing: Option<Bringing>,
    /// With a journal: what the input under way made durable and that is not part of
    /// its document yet.
    records: VecDeque<Record>,
    /// What of it became part of its document last.
    record: Option<LastRecord>,
    /// Without a journal: what it took since somebody asked.
    taken: Vec<(DocId, Ids)>,
}

/// How much may be unsaved.
#[derive(Debug)]
struct Limits {
    unsaved_bytes_max: usize,
    unsaved_bytes_total_max: usize,
    save_debounce: Duration,
    save_wait_max: Duration,
    /// How many times as long large documents wait.
    save_times_max: u32,
    foreign_save_wait: Duration,
    frame_bytes_max: usize,
    largest_update: usize,
    /// Bytes that were replayed, which no limit holds for.
    replayed: usize,
}

/// What a frame says of who is there.
fn states_in(frame: &[u8]) -> impl Iterator<Item = (u64, u64, Option<usize>)> {
    let mut messages = Messages::new(frame);
    let messages = std::iter::from_fn(move || messages.read_next().ok().flatten());
    messages.flat_map(|message| match message {
        Message::Awareness(states) => awareness_sizes(states).unwrap_or_default(),
        _ => Vec::new(),
    })
}

/// How many times as long as others documents may wait to be saved, by their size:
/// where there is a journal, and worlds have documents of such sizes.
pub(crate) const fn save_times_max(config: &Config) -> u32 {
    match config.journal && config.save_step_bytes.get() < ENOUGH {
        true => 6,
        false => 1,
    }
}

impl Watch {
    /// For an engine that is about to start.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            has_journal: config.journal,
            bears_failures: false,
            connections: Connections::new(config),
            documents: Documents::default(),
            store: StoreWatch::new(config),
            journal: JournalWatch::new(config.staged_bytes_max),
            relays: Relays::default(),
            gaps: Gaps::new(config),
            growth: Growth::new(config),
            refusals: Refusals::new(config),
            bus: BusWatch::new(config),
            pace: Pace::new(config),
            limits: Limits {
                unsaved_bytes_max: config.unsaved_bytes_max,
                unsaved_bytes_total_max: config.unsaved_bytes_total_max,
                save_debounce: config.save_debounce,
                save_wait_max: config.save_wait_max,
                save_times_max: save_times_max(config),
                foreign_save_wait: config.foreign_save_wait,
                frame_bytes_max: config.frame_bytes_max,
                largest_update: 0,
                replayed: 0,
            },
            receiving: None,
            message: Bytes::new(),
            is_tick: false,
            deadline: None,
            taking: None,
            bringing: None,
            records: VecDeque::new(),
            record: None,
            taken: Vec::new(),
        }
    }

    /// Documents may fail under its eyes: then it sees to it that nothing else
    /// does.
    pub(crate) fn bearing_failures(self, bears_failures: bool) -> Self {
        Self {
            bears_failures,
            ..self
        }
    }

    /// Judges one thing that the engine says.
    pub(crate) fn output(&mut self, now: Duration, output: &Output) -> Result<(), Violation> {
        if let Output::Close { conn, .. } = output {
            self.pace.closes(now, &self.connections, *conn);
        }
        self.connections.output(now, output)?;
        self.changes_nothing(output)?;
        match output {
            Output::Accept { conn } => {
                let doc = self.connections.doc(*conn);
                self.bus.opened(doc);
                Invariant::Order.holds(self.documents.is_loaded(doc), || {
                    format!("{conn:?} is let in, and {doc} is not loaded")
                })
            }
            Output::Send { conns, frame } => self.sent(now, conns, frame),
            Output::Store { op, command } => self.store_command(now, *op, command),
            Output::Journal { .. } if !self.has_journal => {
                Err(Invariant::JournalWords.violated("there is no journal"))
            }
            Output::Journal { op, command } => {
                if let JournalCommand::Append { doc, update, .. } = command
                    && is_judged(doc)
                {
                    let known = self
                        .growth
                        .is_limited()
                        .then(|| self.here_or_on_its_way(doc));
                    let staged = self.journal.staged(doc);
                    known.map_or(Ok(()), |known| {
                        self.growth.takes(doc, update, &known, staged)
                    })?;
                }
                if let JournalCommand::Append { doc, update, .. } = command {
                    self.writes(doc, update)?;
                }
                let connections = |doc: &DocId| self.connections.count(doc);
                let from = self.receiving;
                self.journal
                    .command(now, *op, command, from, &self.documents, connections)
            }
            Output::Bus(command) => self.asks_bus(now, command),
            Output::Repeated { conn } => self.has_repeated(*conn),
            Output::Event(EngineEvent::SnapshotAdopted {
                doc,
                etag,
                is_whole,
            }) => {
                self.adopts(doc, etag, *is_whole);
                Ok(())
            }
            Output::Event(EngineEvent::DocumentLoaded { doc, replayed, .. }) => {
                self.store.loaded(doc);
                self.journal.loaded(doc, *replayed)?;
                self.documents.loaded(doc);
                // Those who had it open when it failed were closed after that.
                self.pace.forget(doc);
                Ok(())
            }
            Output::Event(EngineEvent::DocumentDrains { doc }) => {
                self.leaves_in_time(now, doc)?;
                self.drains(doc)
            }
            Output::Event(EngineEvent::DocumentUnloaded { doc }) => {
                self.store.unloaded(doc);
                self.bus.unloaded(doc);
                self.connections.unloaded(doc);
                self.growth.forget(doc);
                self.relays.forget(doc);
                self.pace.forget(doc);
                self.journal.unloaded(doc, &self.documents)?;
                self.documents.unloaded(doc)
            }
            Output::Event(EngineEvent::DocumentFailed { doc, message }) => {
                self.failed(doc, message)
            }
            Output::Event(EngineEvent::UpdateApplied {
                conn,
                position: Some(position),
                ..
            }) => self.applies(now, *conn, *position),
            Output::Event(EngineEvent::UpdateRefused { doc, conn, reason }) => {
                self.gaps.forget(*conn);
                self.refused(doc, *reason)?;
                self.takes_less(doc, *reason);
                Ok(())
            }
            Output::Drained { unsaved, journaled } => {
                let is_time_up = self.deadline.is_some_and(|deadline| deadline <= now);
                Invariant::Drained.holds(is_time_up || !self.documents.is_any_loaded(), || {
                    "it ends with time left and documents in memory".to_owned()
                })?;
                self.drained(unsaved, journaled)
            }
            _ => Ok(()),
        }
    }

    /// A message is called a repetition: it tells of nothing but who is there.
    fn has_repeated(&mut self, conn: ConnId) -> Result<(), Violation> {
        let mut messages = Messages::new(&self.message);
        let tells = |message| matches!(message, Ok(Some(Message::Awareness(_))));
        let is_one = self.receiving == Some(conn) && tells(messages.read_next());
        let is_judged = is_judged(self.connections.doc(conn));
        let is_one = is_one && (self.connections.has_repeated(conn) || !is_judged);
        Invariant::Order.holds(is_one, || {
            format!("{conn:?} is said to have said nothing new")
        })
    }

    /// A document has failed, and has left memory with all that it was to do.
    fn failed(&mut self, doc: &DocId, message: &str) -> Result<(), Violation> {
        Invariant::Panic.holds(self.bears_failures, || format!("{doc} failed: {message}"))?;
        self.taking.take_if(|taking| taking.doc == *doc);
        self.connections.failed(doc);
        // Nobody knows any more who was there.
        self.connections.unloaded(doc);
        self.bus.unloaded(doc);
        self.documents.failed(doc);
        self.store.failed(doc);
        self.growth.forget(doc);
        self.relays.forget(doc);
        self.pace.forget(doc);
        self.records.retain(|record| record.doc != *doc);
        self.record.take_if(|record| record.is_of(doc));
        if self.has_journal {
            self.journal.failed(doc);
        }
        Ok(())
    }

    /// Judges how the engine stands once all is said in answer to an input.
    pub(crate) fn settled(
        &mut self,
        now: Duration,
        status: impl FnOnce() -> Status,
    ) -> Result<(), Violation> {
        if let Some(taking) = self.taking.take() {
            self.takes(now, taking)?;
        }
        while !self.records.is_empty() {
            self.record_was_told()?;
            self.next_record(now);
        }
        self.all_is_recorded()?;
        self.bus_settled(now, self.is_tick)?;
        self.gaps.take_violation()?;
        while let Some((doc, news)) = self.documents.take_some_news() {
            self.connections.were_told(&doc, &news)?;
        }
        self.relays.settled(&mut self.connections)?;
        self.connections.joiners_know()?;
        let misses = |doc: &DocId, knows: &Ids| {
            let lacking = knows.lacking(self.documents.all_here(doc));
            (!self.documents.implied(doc).cover(&lacking)).then_some(lacking)
        };
        self.connections.have_caught_up(now, misses)?;
        self.connections.settled(now, self.is_tick)?;
        self.store.settled()?;
        self.gaps.put_off(now, |conn| self.connections.reads(conn));
        if self.is_tick {
            let is_in = |conn: &ConnId| self.connections.is_in(*conn);
            self.gaps.are_asked(now, is_in)?;
            self.is_saved_in_time(now)?;
        }
        let asked = self.connections.take_asked();
        if self.is_tick || self.receiving.is_some() {
            let status = status();
            self.status_is_true(now, &status)?;
            self.refused_for_room(&status)?;
            self.is_bounded(&status, self.is_tick.then_some(asked))?;
        }
        Ok(())
    }

    /// Unless something keeps it from being written, a change waits no longer
    /// than it may.
    fn is_saved_in_time(&self, now: Duration) -> Result<(), Violation> {
        let longest = self.limits.save_debounce.max(self.limits.save_wait_max);
        let longest = longest * self.limits.save_times_max;
        let since = now.saturating_sub(longest);
        let mut waiting = self.documents.unsaved_before(since);
        let late = waiting.find(|doc| self.store.is_free(doc));
        Invariant::SavedInTime.holds(late.is_none(), || {
            format!("{late:?} waits to be written since before {since:?}")
        })?;
        // Others have to save it, and if they do not, it is saved here.
        let foreign = self.limits.foreign_save_wait.max(longest * 2);
        let since = since.saturating_sub(foreign);
        let mut waiting = self.documents.foreign_before(since);
        let late = waiting.find(|doc| self.store.is_free(doc));
        Invariant::SavedInTime.holds(late.is_none(), || {
            format!("{late:?} of another node waits since before {since:?}")
        })
    }

    /// What is unsaved is bounded, and who owes something is asked for it only
    /// when half of that is free.
    fn is_bounded(&self, status: &Status, asked: Option<Vec<ConnId>>) -> Result<(), Violation> {
        let limits = &self.limits;
        let one_more = |most: usize| most.max(limits.largest_update) + limits.replayed;
        let documents = status.documents_live + status.documents_draining;
        let most = one_more(limits.unsaved_bytes_total_max)
            .min(one_more(limits.unsaved_bytes_max).saturating_mul(documents));
        Invariant::Bounded.holds(status.unsaved_bytes <= most, || {
            format!("{} bytes are unsaved, and {most} may", status.unsaved_bytes)
        })?;
        let is_early =
            status.journal_failed || status.unsaved_bytes > limits.unsaved_bytes_total_max / 2;
        let asked = asked.unwrap_or_default();
        Invariant::RoomFirst.holds(asked.is_empty() || !is_early, || {
            format!(
                "{asked:?} are asked while {} bytes are unsaved",
                status.unsaved_bytes
            )
        })
    }

    /// An update is part of a document from now on, or as from now on.
    fn applied(
        &mut self,
        now: Duration,
        doc: &DocId,
        from: Option<ConnId>,
        update: &[u8],
        news: &Ids,
    ) -> Result<(), Violation> {
        let here = self.documents.all_here(doc);
        self.relays.applied(doc, update, here);
        self.gains(now, doc, from, news)
    }

    /// Something new became part of a document.
    fn gains(
        &mut self,
        now: Duration,
        doc: &DocId,
        from: Option<ConnId>,
        news: &Ids,
    ) -> Result<(), Violation> {
        if !news.is_empty() {
            self.documents.is_changed(now, doc);
        }
        match from {
            Some(from) if !self.connections.owes(from) => {
                let here = self.documents.all_here(doc);
                self.gaps.applied(now, doc, from, news, here)
            }
            _ => Ok(()),
        }
    }

    /// What the store and the journal are known to have of the documents,
    /// this engine having been told.
    pub(crate) fn durable(&self) -> impl Iterator<Item = (&DocId, &Ids)> {
        let durable = self.documents.durable();
        durable.filter(|(doc, _)| is_judged(doc))
    }

    /// Without a journal: what the engine took since somebody asked last.
    pub(crate) fn take_taken(&mut self) -> Vec<(DocId, Ids)> {
        std::mem::take(&mut self.taken)
    }

    /// Who is there by the word of connections that are here, or of other nodes, and at
    /// which clock.
    pub(crate) fn spoken_for(&self, doc: &DocId) -> Vec<(u64, u64)> {
        self.connections.spoken_for(doc)
    }

    /// How a connection was closed by the engine, if it was.
    pub(crate) fn close_code(&self, conn: ConnId) -> Option<CloseCode> {
        self.connections.close_code(conn)
    }

    /// Checks that nobody is kept waiting who was told to wait before `since`.
    pub(crate) fn all_resumed(&self, since: Duration) -> Result<(), Violation> {
        self.connections.all_resumed(since)
    }

    fn store_command(
        &mut self,
        now: Duration,
        op: OpId,
        command: &StoreCommand,
    ) -> Result<(), Violation> {
        let (StoreCommand::Load { doc } | StoreCommand::Save { doc, .. }) = command;
        let is_in_use = self.deadline.is_none() && self.connections.is_open(doc);
        if matches!(command, StoreCommand::Save { .. }) && is_in_use {
            self.is_written_in_time(now, doc)?;
        }
        self.store.command(now, op, command, is_in_use)?;
        match command {
            StoreCommand::Load { .. } => Ok(()),
            StoreCommand::Save { doc, .. } if self.journal.is_damaged(doc) => {
                Err(Invariant::Damaged.violated("a damaged document is written"))
            }
            StoreCommand::Save { doc, body, .. } if is_judged(doc) => {
                let (ids, has_rows) = Ids::and_rows(body).map_err(|error| {
                    let detail = format!("a snapshot is no update: {error}");
                    Invariant::SnapshotComplete.violated(detail)
                })?;
                let staged = self.journal.staged(doc);
                self.growth.written(doc, body.len(), staged);
                self.content_is_kept(doc, body)?;
                entries::stand_alone(body, has_rows)?;
                self.documents.saves(doc, ids)
            }
            StoreCommand::Save { .. } => Ok(()),
        }
    }

    /// What comes in answer to somebody who may only read tells of no change.
    fn changes_nothing(&self, output: &Output) -> Result<(), Violation> {
        let is_reader = |conn: &ConnId| self.connections.is_reader(*conn);
        let Some(reader) = self.receiving.filter(is_reader) else {
            return Ok(());
        };
        let is_change = match output {
            Output::Event(EngineEvent::UpdateApplied { .. })
            | Output::Journal {
                command: JournalCommand::Append { .. },
                ..
            } => true,
            Output::Send { frame, .. } => matches!(
                Messages::new(frame).read_next(),
                Ok(Some(Message::Update(_)))
            ),
            _ => false,
        };
        Invariant::ReadOnly.holds(!is_change, || {
            format!("{reader:?} may only read, and changes something: {output:?}")
        })
    }

    /// Whoever opens a document of intruders is told of no more than one of them may
    /// show.
    fn intruders_are_told(&mut self, conn: ConnId, frame: &[u8]) -> Result<(), Violation> {
        let doc = self.connections.doc(conn).clone();
        if is_judged(&doc) {
            return Ok(());
        }
        let Some(from) = self.receiving else {
            self.connections.are_shown_no_more(&doc, states_in(frame));
            return Ok(());
        };
        self.connections.are_shown(&doc, from, states_in(frame))
    }

    /// A frame is sent: it tells only of what it may.
    fn sent(&mut self, now: Duration, conns: &[ConnId], frame: &[u8]) -> Result<(), Violation> {
        let Some(doc) = self.connections.judged_doc(conns[0]).cloned() else {
            return self.intruders_are_told(conns[0], frame);
        };
        if frame.starts_with(&PERMISSION_DENIED) {
            self.connections.are_told_of_refusal(conns)?;
        }
        let mut messages = Messages::new(frame);
        while let Ok(Some(message)) = messages.read_next() {
            let told = match message {
                Message::SyncStep1(known) => Ids::below(known),
                Message::SyncStep2(update) | Message::Update(update) => Ids::of(update),
                Message::Awareness(states) => {
                    for (client, clock, is_here) in awareness_clocks(states).into_iter().flatten() {
                        if is_here {
                            self.bus.may_tell(&doc, client, clock)?;
                        }
                    }
                    self.connections
                        .are_told_awareness(now, &doc, conns, states)?;
                    continue;
                }
                Message::QueryAwareness => continue,
            };
            let told = told.map_err(|error| Invariant::Understood.violated(error))?;
            self.documents.may_tell(&doc, &told, self.has_journal)?;
            self.is_not_early(&doc, &told)?;
            match message {
                Message::SyncStep1(_) => {
                    let reader = conns.iter().find(|conn| self.connections.is_reader(**conn));
                    Invariant::ReadOnly.holds(reader.is_none(), || {
                        format!("{reader:?} may only read, and is asked what it knows")
                    })?;
                    self.connections.are_asked(conns);
                    conns.iter().for_each(|conn| self.gaps.forget(*conn));
                }
                Message::Update(update) => {
                    let news = self.news(&doc);
                    match self.connections.catch_up(conns) {
                        true => self.relays.caught_up(conns, &told),
                        false => self.relays.relayed(conns, update, &told, &news)?,
                    }
                    conns
                        .iter()
                        .for_each(|conn| self.connections.knows(*conn, &told));
                }
                Message::SyncStep2(_) => {
                    conns
                        .iter()
                        .for_each(|conn| self.connections.knows(*conn, &told));
                    let here = self.documents.all_here(&doc);
                    self.connections.follow(conns, here)?;
                }
                Message::Awareness(_) | Message::QueryAwareness => {}
            }
        }
        Ok(())
    }

    /// What becomes part of a document with the input under way; of records, with the
    /// last of them.
    fn news(&self, doc: &DocId) -> Ids {
        if let Some(last) = &self.record {
            return last.news_of(doc);
        }
        let mut news = self.documents.news(doc).cloned().unwrap_or_default();
        if let Some(taking) = &self.taking {
            let here = self.documents.all_here(doc);
            for (_, ids) in &taking.updates {
                news.add(&here.lacking(ids));
            }
        }
        news
    }

    /// A shutdown is over, and the lists tell how.
    fn drained(&self, unsaved: &[DocId], journaled: &[DocId]) -> Result<(), Violation> {
        let untrue = |doc: &DocId, detail: &str| {
            let detail = format!("{doc}: {detail}; unsaved {unsaved:?}, journaled {journaled:?}");
            Err(Invariant::DrainedTruly.violated(detail))
        };
        let names = self.documents.names().chain(self.journal.held());
        for doc in names.filter(|doc| is_judged(doc)) {
            let (is_unsaved, is_journaled) = (unsaved.contains(doc), journaled.contains(doc));
            let is_kept = self.documents.is_kept(doc);
            match () {
                () if is_unsaved
                    && self.has_journal
                    && is_kept
                    && !self.documents.holds_foreign(doc)
                    && !self.documents.is_bereft(doc)
                    && !self.journal.is_appending(doc) =>
                {
                    return untrue(doc, "it is kept, and said to be lost");
                }
                () if !is_unsaved && (!is_kept || self.journal.is_appending(doc)) => {
                    return untrue(doc, "it is lost, and not said to be");
                }
                () if !is_unsaved && !is_journaled && !self.documents.is_saved(doc) => {
                    return untrue(doc, "the store does not have it");
                }
                () if is_journaled && !self.journal.may_hold(doc, &self.documents) => {
                    return untrue(doc, "the journal does not have it");
                }
                () => {}
            }
        }
        Ok(())
    }
}
