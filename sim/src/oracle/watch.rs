//! One engine, judged by what goes into it and what comes out.

mod connections;
mod documents;
mod journal;
mod store;

use std::time::Duration;

use ysyncd_engine::{
    CloseCode, Config, ConnId, DocId, Event as EngineEvent, Input, JournalCommand, JournalRecord,
    JournalResult, OpId, Output, StoreCommand, StoreResult,
    protocol::{Message, Messages},
};

pub(crate) use self::connections::INTRUDER;
use self::{
    connections::Connections, documents::Documents, journal::JournalWatch, store::StoreWatch,
};
use super::{Ids, Invariant, Violation, is_judged};

/// Watches one engine from its start to its end.
#[derive(Debug)]
pub(crate) struct Watch {
    has_journal: bool,
    connections: Connections,
    documents: Documents,
    store: StoreWatch,
    journal: JournalWatch,
    /// Without a journal: what the input under way says, if the engine has to
    /// take it.
    taking: Option<(ConnId, DocId, Vec<Ids>)>,
    /// Without a journal: what it took since somebody asked.
    taken: Vec<(DocId, Ids)>,
}

impl Watch {
    /// For an engine that is about to start.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            has_journal: config.journal,
            connections: Connections::new(config),
            documents: Documents::default(),
            store: StoreWatch::new(config.store_operations_max),
            journal: JournalWatch::new(config.staged_bytes_max),
            taking: None,
            taken: Vec::new(),
        }
    }

    /// Whether an input answers what the engine has asked, if it answers
    /// anything.
    pub(crate) fn expects(&self, input: &Input) -> bool {
        match input {
            Input::Store { op, result } => self.store.expects(*op, result),
            Input::Journal { op, result } => self.journal.expects(*op, result),
            Input::Written { conn, total_bytes } => self.connections.sent_to(*conn) >= *total_bytes,
            _ => true,
        }
    }

    /// Notes what the engine is about to be told.
    pub(crate) fn input(&mut self, input: &Input) {
        match input {
            Input::Open { conn, doc, grant } => {
                self.connections.opened(*conn, doc.clone(), grant);
            }
            Input::Received { conn, bytes } => self.received(*conn, bytes),
            Input::Written { conn, total_bytes } => self.connections.written(*conn, *total_bytes),
            Input::Closed { conn } => self.connections.closed(*conn),
            Input::Store { op, result } => {
                if let Some(doc) = self.store.result(*op, result) {
                    self.stored(&doc, result);
                }
            }
            Input::Journal { op, result } => {
                let command = self.journal.result(*op, result);
                self.journaled(command, result);
            }
            Input::JournalHolds { docs } => self.journal.holds(docs),
            Input::Tick | Input::Shutdown { .. } => {}
        }
    }

    /// Judges one thing that the engine says.
    pub(crate) fn output(&mut self, now: Duration, output: &Output) -> Result<(), Violation> {
        self.connections.output(now, output)?;
        match output {
            Output::Accept { conn } => {
                let doc = self.connections.doc(*conn);
                Invariant::Order.holds(self.documents.is_loaded(doc), || {
                    format!("{conn:?} is let in, and {doc} is not loaded")
                })
            }
            Output::Send { conns, frame } => self.sent(now, conns, frame),
            Output::Store { op, command } => self.store_command(*op, command),
            Output::Journal { .. } if !self.has_journal => {
                Err(Invariant::JournalWords.violated("there is no journal"))
            }
            Output::Journal { op, command } => {
                let connections = |doc: &DocId| self.connections.count(doc);
                self.journal
                    .command(*op, command, &self.documents, connections)
            }
            Output::Event(EngineEvent::DocumentLoaded { doc, replayed, .. }) => {
                self.store.loaded(doc);
                self.journal.loaded(doc, *replayed)?;
                self.documents.loaded(doc);
                Ok(())
            }
            Output::Event(EngineEvent::DocumentUnloaded { doc }) => {
                self.store.unloaded(doc);
                self.journal.unloaded(doc, &self.documents)?;
                self.documents.unloaded(doc)
            }
            Output::Drained { unsaved, journaled } => self.drained(unsaved, journaled),
            _ => Ok(()),
        }
    }

    /// Judges how the engine stands once all is said in answer to an input.
    pub(crate) fn settled(&mut self) -> Result<(), Violation> {
        if let Some((conn, doc, news)) = self.taking.take()
            && !self.connections.owes(conn)
        {
            for ids in news {
                self.documents.taken(&doc, &ids);
                self.taken.push((doc.clone(), ids));
            }
        }
        let news = self.documents.take_news();
        let mut news = news.iter();
        news.try_for_each(|(doc, news)| self.connections.were_told(doc, news))
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

    /// How a connection was closed by the engine, if it was.
    pub(crate) fn close_code(&self, conn: ConnId) -> Option<CloseCode> {
        self.connections.close_code(conn)
    }

    /// Checks that nobody is kept waiting who was told to wait before `since`.
    pub(crate) fn all_resumed(&self, since: Duration) -> Result<(), Violation> {
        self.connections.all_resumed(since)
    }

    fn received(&mut self, conn: ConnId, frame: &[u8]) {
        let Some(doc) = self.connections.judged_doc(conn).cloned() else {
            return;
        };
        if self.connections.is_intruder(conn) {
            return;
        }
        let takes = self.connections.takes(conn, frame);
        let mut news = Vec::new();
        let mut messages = Messages::new(frame);
        while let Ok(Some(message)) = messages.read_next() {
            match message {
                Message::SyncStep1(known) => {
                    let known = Ids::below(known).expect("clients send state vectors");
                    self.connections.knows(conn, &known);
                }
                Message::SyncStep2(update) | Message::Update(update) => {
                    let ids = Ids::of_valid(update);
                    self.connections.knows(conn, &ids);
                    news.push(ids);
                }
                Message::Awareness(_) | Message::QueryAwareness => {}
            }
        }
        if takes && !self.has_journal && !news.is_empty() {
            self.taking = Some((conn, doc, news));
        }
    }

    fn stored(&mut self, doc: &DocId, result: &StoreResult) {
        if !is_judged(doc) {
            return;
        }
        match result {
            StoreResult::Loaded(Ok(Some(snapshot))) => {
                self.documents
                    .read(doc, Some(Ids::of_valid(&snapshot.body)));
            }
            StoreResult::Loaded(Ok(None)) => self.documents.read(doc, None),
            StoreResult::Saved(Ok(_)) => self.documents.saved(doc),
            StoreResult::Loaded(Err(_)) | StoreResult::Saved(Err(_)) => {}
        }
    }

    fn journaled(&mut self, command: JournalCommand, result: &JournalResult) {
        match (command, result) {
            (
                JournalCommand::Append {
                    doc,
                    position,
                    update,
                },
                JournalResult::Appended(Ok(())),
            ) if is_judged(&doc) => {
                let ids = Ids::of_valid(&update);
                self.documents.appended(&doc, position, ids);
            }
            (JournalCommand::Read { doc }, JournalResult::Read(Ok(records))) if is_judged(&doc) => {
                let ids = |record: &JournalRecord| (record.position, Ids::of_valid(&record.update));
                self.documents.replays(&doc, records.iter().map(ids));
            }
            (JournalCommand::Trim { doc, through }, JournalResult::Trimmed(Ok(()))) => {
                self.documents.trimmed(&doc, through);
            }
            _ => {}
        }
    }

    fn store_command(&mut self, op: OpId, command: &StoreCommand) -> Result<(), Violation> {
        self.store.command(op, command)?;
        match command {
            StoreCommand::Load { .. } => Ok(()),
            StoreCommand::Save { doc, .. } if self.journal.is_damaged(doc) => {
                Err(Invariant::Damaged.violated("a damaged document is written"))
            }
            StoreCommand::Save { doc, body, .. } if is_judged(doc) => {
                let ids = Ids::of(body).map_err(|error| {
                    let detail = format!("a snapshot is no update: {error}");
                    Invariant::SnapshotComplete.violated(detail)
                })?;
                self.documents.saves(doc, ids)
            }
            StoreCommand::Save { .. } => Ok(()),
        }
    }

    /// A frame is sent: it tells only of what it may.
    fn sent(&mut self, now: Duration, conns: &[ConnId], frame: &[u8]) -> Result<(), Violation> {
        let Some(doc) = self.connections.judged_doc(conns[0]).cloned() else {
            return Ok(());
        };
        let mut messages = Messages::new(frame);
        while let Ok(Some(message)) = messages.read_next() {
            let told = match message {
                Message::SyncStep1(known) => Ids::below(known),
                Message::SyncStep2(update) | Message::Update(update) => Ids::of(update),
                Message::Awareness(states) => {
                    self.connections
                        .are_told_awareness(now, &doc, conns, states)?;
                    continue;
                }
                Message::QueryAwareness => continue,
            };
            let told = told.map_err(|error| Invariant::Understood.violated(error))?;
            self.documents.may_tell(&doc, &told, self.has_journal)?;
            match message {
                Message::SyncStep1(_) => self.connections.are_asked(conns),
                Message::SyncStep2(_) => {
                    conns
                        .iter()
                        .for_each(|conn| self.connections.knows(*conn, &told));
                    let here = self.documents.all_here(&doc);
                    self.connections.follow(conns, here)?;
                }
                _ => conns
                    .iter()
                    .for_each(|conn| self.connections.knows(*conn, &told)),
            }
        }
        Ok(())
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
