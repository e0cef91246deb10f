//! What connections are told.

use std::{collections::BTreeMap, time::Duration};

use ysyncd_engine::{
    CloseCode, ConnId, DocId, Event as EngineEvent, Output,
    protocol::{Message, Messages},
};

use super::{Invariant, Violation};

/// The connections of one engine.
#[derive(Debug)]
pub(super) struct Connections {
    /// Whether what a client has not read yet may be too much.
    may_lag: bool,
    stages: BTreeMap<ConnId, Stage>,
    docs: BTreeMap<ConnId, DocId>,
    /// Who is not read from, since when.
    paused: BTreeMap<ConnId, Duration>,
    /// Who was refused an update, and whether it was asked for it since.
    owing: BTreeMap<ConnId, bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    Accepted,
    Over,
}

impl Connections {
    pub(super) const fn new(may_lag: bool) -> Self {
        Self {
            may_lag,
            stages: BTreeMap::new(),
            docs: BTreeMap::new(),
            paused: BTreeMap::new(),
            owing: BTreeMap::new(),
        }
    }

    pub(super) fn opened(&mut self, conn: ConnId, doc: DocId) {
        self.stages.insert(conn, Stage::Asked);
        self.docs.insert(conn, doc);
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        self.stages.insert(conn, Stage::Over);
        self.paused.remove(&conn);
    }

    pub(super) fn doc(&self, conn: ConnId) -> &DocId {
        &self.docs[&conn]
    }

    pub(super) fn takes(&mut self, conn: ConnId, frame: &[u8]) -> Option<DocId> {
        let is_in = self.stages.get(&conn) == Some(&Stage::Accepted);
        let message = Messages::new(frame).read_next();
        let is_answer = matches!(message, Ok(Some(Message::SyncStep2(_))));
        if is_answer && self.owing.get(&conn) == Some(&true) {
            self.owing.remove(&conn);
        }
        (is_in && !self.owes(conn)).then(|| self.doc(conn).clone())
    }

    pub(super) fn owes(&self, conn: ConnId) -> bool {
        self.owing.contains_key(&conn)
    }

    pub(super) fn all_resumed(&self, since: Duration) -> Result<(), Violation> {
        match self.paused.iter().find(|(_, paused)| **paused < since) {
            Some((conn, paused)) => {
                let detail = format!("{conn:?} is not read from since {paused:?}");
                Err(Invariant::Paused.violated(detail))
            }
            None => Ok(()),
        }
    }

    pub(super) fn output(&mut self, now: Duration, output: &Output) -> Result<(), Violation> {
        match output {
            Output::Accept { conn } => self.step(*conn, Stage::Asked, Stage::Accepted),
            Output::Refuse { conn, .. } => self.step(*conn, Stage::Asked, Stage::Over),
            Output::Close { conn, code, reason } => {
                self.step(*conn, Stage::Accepted, Stage::Over)?;
                self.paused.remove(conn);
                self.is_for_cause(*code, reason)
            }
            Output::Send { conns, frame } => self.sent(conns, frame),
            Output::Pause { conn } => {
                self.step(*conn, Stage::Accepted, Stage::Accepted)?;
                match self.paused.insert(*conn, now) {
                    Some(_) => Err(Invariant::Paused.violated(format!("{conn:?} is told twice"))),
                    None => Ok(()),
                }
            }
            Output::Resume { conn } => {
                self.step(*conn, Stage::Accepted, Stage::Accepted)?;
                match self.paused.remove(conn) {
                    Some(_) => Ok(()),
                    None => Err(Invariant::Paused.violated(format!("{conn:?} was read from"))),
                }
            }
            Output::Event(EngineEvent::UpdateRefused { conn, .. }) => {
                self.owing.insert(*conn, false);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn sent(&mut self, conns: &[ConnId], frame: &[u8]) -> Result<(), Violation> {
        for conn in conns {
            self.step(*conn, Stage::Accepted, Stage::Accepted)?;
        }
        if let Ok(Some(Message::SyncStep1(_))) = Messages::new(frame).read_next() {
            for conn in conns {
                self.owing.entry(*conn).and_modify(|asked| *asked = true);
            }
        }
        Ok(())
    }

    fn is_for_cause(&self, code: CloseCode, reason: &str) -> Result<(), Violation> {
        match code {
            CloseCode::GoingAway => Ok(()),
            CloseCode::TryAgainLater if self.may_lag && reason.contains("slow") => Ok(()),
            _ => Err(Invariant::ClosedForCause.violated(reason)),
        }
    }

    fn step(&mut self, conn: ConnId, from: Stage, to: Stage) -> Result<(), Violation> {
        let stage = self.stages.get_mut(&conn);
        match stage {
            Some(stage) if *stage == from => {
                *stage = to;
                Ok(())
            }
            other => {
                let detail = format!("{conn:?} is {other:?}, and goes from {from:?} to {to:?}");
                Err(Invariant::Order.violated(detail))
            }
        }
    }
}
