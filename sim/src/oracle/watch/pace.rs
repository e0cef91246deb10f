//! What must not come too soon, and what must not be given up.

use std::{collections::BTreeMap, time::Duration};

use ysyncd_engine::{Config, ConnId, DocId};

use super::{Ids, Invariant, Violation, Watch, connections::Connections, is_judged};
use crate::swarm::ENOUGH;

/// How long one engine lets things be.
#[derive(Debug)]
pub(super) struct Pace {
    /// Whether deleted content is kept.
    keeps_content: bool,
    save_debounce: Duration,
    idle_grace: Duration,
    /// Whether documents have to leave for others, or are written to make room.
    has_little_room: bool,
    /// When a connection of each document went last.
    closed_at: BTreeMap<DocId, Duration>,
}

impl Pace {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            keeps_content: !config.gc,
            save_debounce: config.save_debounce,
            idle_grace: config.idle_grace,
            has_little_room: config.documents_bytes_max < ENOUGH
                || config.documents_growth_max < ENOUGH
                || config.document_bytes_max < ENOUGH,
            closed_at: BTreeMap::new(),
        }
    }

    pub(super) const fn keeps_content(&self) -> bool {
        self.keeps_content
    }

    /// A connection is about to go.
    pub(super) fn closes(&mut self, now: Duration, connections: &Connections, conn: ConnId) {
        if connections.is_in(conn) {
            self.closed_at.insert(connections.doc(conn).clone(), now);
        }
    }

    /// A document is in memory no more.
    pub(super) fn forget(&mut self, doc: &DocId) {
        self.closed_at.remove(doc);
    }
}

impl Watch {
    /// A document that nobody has open is about to leave memory: for want of room,
    /// at the end, or as nobody has come back for long enough.
    pub(super) fn leaves_in_time(&self, now: Duration, doc: &DocId) -> Result<(), Violation> {
        let closed_at = self.pace.closed_at.get(doc);
        let due = closed_at.map(|at| *at + self.pace.idle_grace);
        let may = self.deadline.is_some() || self.pace.has_little_room;
        Invariant::NotTooSoon.holds(may || due.is_none_or(|due| now >= due), || {
            format!("{doc} leaves memory, and nobody had it open since {closed_at:?}")
        })
    }

    /// A document that somebody has open is written. Unless something has gone
    /// wrong or there is little room, its first change has waited for others.
    pub(super) fn is_written_in_time(&self, now: Duration, doc: &DocId) -> Result<(), Violation> {
        // Another node may be told of it by way of the store.
        let is_free =
            self.store.has_turns() && !self.store.is_in_trouble(doc) && !self.bus.is_telling();
        if !is_free || self.pace.has_little_room || !is_judged(doc) {
            return Ok(());
        }
        let since = self.documents.waits_since(doc);
        let due = since.map(|since| since + self.pace.save_debounce);
        Invariant::NotTooSoon.holds(due.is_none_or(|due| now >= due), || {
            format!("{doc} is written, and was changed first at {since:?}")
        })
    }

    /// An update is about to become part of a document.
    pub(super) fn brings_content(&mut self, doc: &DocId, update: &[u8], ids: &Ids) {
        if self.pace.keeps_content {
            self.documents.brings_content(doc, update, ids);
        }
    }

    /// A snapshot holds all content that the document was given, deleted or not,
    /// where that is to be kept.
    pub(super) fn content_is_kept(&self, doc: &DocId, body: &[u8]) -> Result<(), Violation> {
        if !self.pace.keeps_content {
            return Ok(());
        }
        let lacks = self.documents.content_lacks(doc, body);
        Invariant::SnapshotComplete.holds(lacks.is_empty(), || {
            format!("{doc}: the snapshot lacks the content of {lacks:?}")
        })
    }
}
