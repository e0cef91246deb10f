//! What goes into the engine: what it makes of that shows later.

use std::time::Duration;

use ysyncd_engine::{
    ConnId, DocId, Input, JournalCommand, JournalRecord, JournalResult, Rejection, StoreResult,
    protocol::{Message, Messages},
};

use super::{
    Ids, Invariant, Record, Violation, Watch, connections::awareness_clocks, is_judged, states_in,
};

/// What a message says to an engine without a journal.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) conn: ConnId,
    pub(super) doc: DocId,
    pub(super) updates: Vec<(Vec<u8>, Ids)>,
    /// Something of it opens too many gaps: what opens none is taken, and no more.
    pub(super) only_of_use: bool,
}

/// What a message says to an engine with a journal.
#[derive(Debug)]
pub(super) struct Bringing {
    conn: ConnId,
    doc: DocId,
    structs: Ids,
    /// Something of it opens too many gaps: what opens none is taken, and no more.
    only_of_use: bool,
}

impl Watch {
    /// Something goes to the journal.
    pub(super) fn writes(&mut self, doc: &DocId, update: &[u8]) -> Result<(), Violation> {
        let Some(mut bringing) = self.bringing.take_if(|bringing| bringing.doc == *doc) else {
            return Ok(());
        };
        let written = Ids::of_valid(update);
        if bringing.only_of_use {
            let of_use = self.here_or_on_its_way(doc).of_use(&written);
            Invariant::Bounded.holds(of_use.cover(&written), || {
                let useless = of_use.lacking(&written);
                format!("{doc}: {useless:?} is taken, though too much waits already")
            })?;
        }
        bringing.structs = written.lacking(&bringing.structs);
        self.bringing = Some(bringing);
        Ok(())
    }

    /// An update of the message under way is refused, and it is the only one. If that is
    /// for the gaps it opens, what opens none is taken all the same.
    pub(super) fn takes_less(&mut self, doc: &DocId, reason: Rejection) {
        if reason != Rejection::TooManyGaps {
            (self.taking, self.bringing) = (None, None);
            return;
        }
        let here = self.documents.all_here(doc);
        if let Some(bringing) = &mut self.bringing {
            bringing.only_of_use = true;
            bringing.structs = here.of_use(&bringing.structs);
        }
        if let Some(taking) = &mut self.taking {
            taking.only_of_use = true;
            for (_, ids) in &mut taking.updates {
                *ids = here.of_use(ids);
            }
        }
    }

    /// Without a journal: what a message says is part of its document now, or of each
    /// update what waits for nothing.
    pub(super) fn takes(&mut self, now: Duration, taking: Taking) -> Result<(), Violation> {
        let Taking {
            conn,
            doc,
            updates,
            only_of_use,
        } = taking;
        for (update, ids) in updates {
            self.brings_content(&doc, &update, &ids);
            let news = self.documents.all_here(&doc).lacking(&ids);
            match only_of_use {
                // How many bytes the part takes only the engine knows.
                true => {
                    self.documents.taken(&doc, &ids, 0);
                    let here = self.documents.all_here(&doc);
                    self.relays.applied_part(&doc, &update, &ids, here);
                    self.gains(now, &doc, Some(conn), &news)?;
                }
                false => {
                    self.documents.taken(&doc, &ids, update.len());
                    self.applied(now, &doc, Some(conn), &update, &news)?;
                }
            }
            self.taken.push((doc.clone(), ids));
        }
        Ok(())
    }

    /// All that the message under way brought and that was new is on its way to the
    /// journal, unless it was refused, or its sender was closed.
    pub(super) fn all_is_recorded(&mut self) -> Result<(), Violation> {
        let Some(bringing) = self.bringing.take() else {
            return Ok(());
        };
        let Bringing {
            conn, doc, structs, ..
        } = bringing;
        let is_let_off = !self.connections.is_in(conn);
        Invariant::Recorded.holds(structs.is_empty() || is_let_off, || {
            format!("{doc}: {conn:?} brings {structs:?}, and nobody writes it down")
        })
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
    pub(crate) fn input(&mut self, now: Duration, input: &Input) {
        (self.receiving, self.is_tick) = (None, matches!(input, Input::Tick));
        self.record = None;
        self.bus.begins(matches!(input, Input::Bus(_)));
        self.journal.begins();
        match input {
            Input::Open { conn, doc, grant } => {
                self.connections.opened(*conn, doc.clone(), grant);
            }
            Input::Received { conn, bytes } => {
                self.receiving = Some(*conn);
                self.message = bytes.clone();
                if bytes.len() <= self.limits.frame_bytes_max {
                    self.limits.largest_update = self.limits.largest_update.max(bytes.len());
                }
                self.received(now, *conn, bytes);
            }
            Input::Written { conn, total_bytes } => {
                self.connections.written(now, *conn, *total_bytes);
            }
            Input::Closed { conn } => {
                self.pace.closes(now, &self.connections, *conn);
                self.connections.closed(*conn);
            }
            Input::Freed { conn } => self.connections.freed(*conn),
            Input::Store { op, result } => {
                if let Some(doc) = self.store.result(now, *op, result) {
                    self.stored(now, &doc, result);
                }
            }
            Input::Journal { op, result } => {
                for (command, from, result) in self.journal.results(*op, result) {
                    self.journaled(command, from, &result);
                }
                self.next_record(now);
            }
            Input::JournalHolds { docs } => self.journal.holds(docs),
            Input::Bus(told) => self.told_by_bus(now, told),
            Input::Shutdown { deadline } => {
                let before = self.deadline.unwrap_or(*deadline);
                self.deadline = Some(before.min(*deadline));
                self.connections.end();
            }
            Input::Tick => {}
        }
    }

    fn received(&mut self, now: Duration, conn: ConnId, frame: &[u8]) {
        let Some(doc) = self.connections.judged_doc(conn).cloned() else {
            self.connections.intruder_says(conn, states_in(frame));
            return;
        };
        if self.connections.is_intruder(conn) {
            self.connections.intruder_knows(conn, frame);
            return;
        }
        let is_reader = self.connections.is_reader(conn);
        let heeds = self.connections.takes(conn, frame) && !is_reader;
        let takes = heeds && !self.has_journal;
        let mut structs = Ids::default();
        let mut updates = Vec::new();
        let mut messages = Messages::new(frame);
        while let Ok(Some(message)) = messages.read_next() {
            match message {
                Message::SyncStep1(known) => {
                    let known = Ids::below(known).expect("clients send state vectors");
                    self.connections.asks(conn, &known);
                }
                // It has made it up for the occasion.
                Message::SyncStep2(_) | Message::Update(_) if is_reader => {}
                Message::SyncStep2(update) | Message::Update(update) => {
                    let ids = Ids::of_valid(update);
                    self.growth.comes(&doc, update);
                    self.connections.knows(conn, &ids);
                    if takes {
                        updates.push((update.to_vec(), ids));
                    } else if heeds && self.documents.is_loaded(&doc) {
                        let news = self.documents.all_here(&doc).lacking(&ids);
                        structs.add(&news.structs());
                    }
                }
                Message::Awareness(states) => {
                    for (client, clock, _) in awareness_clocks(states).into_iter().flatten() {
                        self.bus.said(&doc, client, clock);
                    }
                    self.connections.says_awareness(now, conn, states);
                }
                Message::QueryAwareness => {}
            }
        }
        if !structs.is_empty() {
            let doc = doc.clone();
            self.bringing = Some(Bringing {
                conn,
                doc,
                structs,
                only_of_use: false,
            });
        }
        if !updates.is_empty() {
            self.taking = Some(Taking {
                conn,
                doc,
                updates,
                only_of_use: false,
            });
        }
    }

    fn stored(&mut self, now: Duration, doc: &DocId, result: &StoreResult) {
        if !is_judged(doc) {
            return;
        }
        match result {
            StoreResult::Loaded(Ok(Some(snapshot))) => match Ids::of(&snapshot.body) {
                Ok(ids) => {
                    let is_loaded = self.documents.is_loaded(doc);
                    // What is here already does not count twice.
                    if !is_loaded || !self.documents.all_here(doc).cover(&ids) {
                        self.growth.comes(doc, &snapshot.body);
                    }
                    match is_loaded {
                        true => self.growth.merged(doc),
                        false => self.growth.loaded(doc, snapshot.body.len()),
                    }
                    self.relays.read(doc, &snapshot.body, &ids);
                    if self.pace.keeps_content() {
                        self.documents.reads_content(doc, &snapshot.body, &ids);
                    }
                    self.documents.read(doc, Some(ids));
                    self.gaps.is_unlimited(doc);
                    if self.documents.is_loaded(doc) {
                        let here = self.documents.all_here(doc);
                        self.relays.applied(doc, &snapshot.body, here);
                    }
                }
                Err(_) => self.documents.read_in_vain(doc),
            },
            StoreResult::Loaded(Ok(None)) => self.documents.read(doc, None),
            StoreResult::Saved(Ok(_)) => self.documents.saved(now, doc),
            StoreResult::Saved(Err(_)) => self.documents.not_saved(doc),
            StoreResult::Loaded(Err(_)) => {}
        }
    }

    fn journaled(&mut self, command: JournalCommand, from: Option<ConnId>, result: &JournalResult) {
        if let JournalResult::Read(Ok(records)) = result {
            let bytes = records.iter().map(|record| record.update.len());
            self.limits.replayed += bytes.sum::<usize>();
        }
        match (command, result) {
            (
                JournalCommand::Append {
                    doc,
                    position,
                    update,
                },
                JournalResult::Appended(Ok(())),
            ) if is_judged(&doc) => {
                self.documents
                    .recorded(&doc, position, &Ids::of_valid(&update));
                self.records.push_back(Record {
                    doc,
                    position,
                    from,
                    update,
                });
            }
            (JournalCommand::Read { doc }, JournalResult::Read(Ok(records))) if is_judged(&doc) => {
                let ids = |record: &JournalRecord| (record.position, Ids::of_valid(&record.update));
                self.documents.replays(&doc, records.iter().map(ids));
                for record in records {
                    self.growth.comes(&doc, &record.update);
                    self.relays.read(&doc, &record.update, &Ids::default());
                }
                self.gaps.is_unlimited(&doc);
            }
            (JournalCommand::Trim { doc, through }, JournalResult::Trimmed(Ok(()))) => {
                self.documents.trimmed(&doc, through);
            }
            _ => {}
        }
    }
}
