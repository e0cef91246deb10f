//! What became durable with one answer of the journal, followed record by record:
//! each becomes part of its document, and is told, before the next does.

use std::time::Duration;

use bytes::Bytes;
use ysyncd_engine::{ConnId, DocId, Position};

use super::{Ids, Invariant, Violation, Watch};

/// An update that is durable and not part of its document yet.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) doc: DocId,
    pub(super) position: Position,
    /// With whose message it came.
    pub(super) from: Option<ConnId>,
    pub(super) update: Bytes,
}

/// The record that became part of its document last.
#[derive(Debug)]
pub(super) struct LastRecord {
    doc: DocId,
    position: Position,
    news: Ids,
}

impl LastRecord {
    pub(super) fn is_of(&self, doc: &DocId) -> bool {
        self.doc == *doc
    }

    /// What it brought a document.
    pub(super) fn news_of(&self, doc: &DocId) -> Ids {
        match self.is_of(doc) {
            true => self.news.clone(),
            false => Ids::default(),
        }
    }
}

impl Watch {
    /// The engine says that a record is part of its document. Those before it were
    /// told by now, or held nothing new.
    pub(super) fn applies(
        &mut self,
        now: Duration,
        conn: ConnId,
        position: Position,
    ) -> Result<(), Violation> {
        let Some(doc) = self.connections.judged_doc(conn).cloned() else {
            return Ok(());
        };
        let is_it = |last: &LastRecord| last.doc == doc && last.position == position;
        while !self.record.as_ref().is_some_and(is_it) {
            Invariant::Order.holds(!self.records.is_empty(), || {
                format!("{doc}: {position:?} is applied, and it is not its turn")
            })?;
            self.record_was_told()?;
            self.next_record(now);
        }
        Ok(())
    }

    /// The next record becomes part of its document, if there is one.
    pub(super) fn next_record(&mut self, now: Duration) {
        let Some(record) = self.records.pop_front() else {
            return;
        };
        let Record {
            doc,
            position,
            from,
            update,
        } = record;
        self.relays.next_record();
        let mut news = Ids::default();
        // A document that has failed meanwhile reads it later.
        if self.documents.is_loaded(&doc) {
            let ids = Ids::of_valid(&update);
            news = self.documents.all_here(&doc).lacking(&ids);
            if !news.is_empty() {
                self.growth.applied(&doc, update.len());
            }
            self.brings_content(&doc, &update, &ids);
            self.documents.taken(&doc, &ids, update.len());
            if let Err(violation) = self.applied(now, &doc, from, &update, &news) {
                self.gaps.note(violation);
            }
        }
        self.record = Some(LastRecord {
            doc,
            position,
            news,
        });
    }

    /// What the last record brought was told to all who are told things at once.
    pub(super) fn record_was_told(&self) -> Result<(), Violation> {
        match &self.record {
            Some(last) if !last.news.is_empty() => {
                self.connections.were_told_at_once(&last.doc, &last.news)
            }
            _ => Ok(()),
        }
    }

    /// Nothing is told of a record before it is part of its document.
    pub(super) fn is_not_early(&self, doc: &DocId, told: &Ids) -> Result<(), Violation> {
        let of_doc = self.records.iter().filter(|record| record.doc == *doc);
        for record in of_doc {
            let news = self.documents.all_here(doc);
            let news = news.lacking(&Ids::of_valid(&record.update));
            let is_early = !self.documents.tells_nothing_of(doc, &news, told);
            Invariant::Order.holds(!is_early, || {
                format!("{doc}: told of {:?} too early: {news:?}", record.position)
            })?;
        }
        Ok(())
    }
}
