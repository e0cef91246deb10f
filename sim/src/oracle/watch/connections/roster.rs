//! The connections of one engine, by number.

use std::{
    collections::BTreeMap,
    ops::{Index, IndexMut},
};

use ysyncd_engine::{ConnId, DocId};

use super::Connection;

/// All connections that there ever were. With each input all those are looked
/// at of which something may come; there may be many more of which nothing does,
/// and they lie apart.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// In the order of numbers.
    here: Vec<(ConnId, Connection)>,
    /// Nothing is on its way to them any more.
    over: BTreeMap<ConnId, Connection>,
    /// How many have asked for a document.
    asked: BTreeMap<DocId, usize>,
}

impl Roster {
    /// Adds one.
    pub(super) fn add(&mut self, conn: ConnId, connection: Connection) {
        *self.asked.entry(connection.doc.clone()).or_default() += 1;
        self.over.remove(&conn);
        match self.place(conn) {
            Ok(at) => self.here[at] = (conn, connection),
            Err(at) => self.here.insert(at, (conn, connection)),
        }
    }

    /// Nothing comes of it any more, whatever is asked of it.
    pub(super) fn is_over(&mut self, conn: ConnId) {
        if let Ok(at) = self.place(conn) {
            let (conn, connection) = self.here.remove(at);
            self.over.insert(conn, connection);
        }
    }

    /// One of all.
    pub(super) fn get(&self, conn: ConnId) -> Option<&Connection> {
        match self.place(conn) {
            Ok(at) => Some(&self.here[at].1),
            Err(_) => self.over.get(&conn),
        }
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        match self.place(conn) {
            Ok(at) => Some(&mut self.here[at].1),
            Err(_) => self.over.get_mut(&conn),
        }
    }

    /// Those that are not over, in the order of numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ConnId, &Connection)> {
        self.here
            .iter()
            .map(|(conn, connection)| (conn, connection))
    }

    /// Those of a document that are not over, to be changed.
    pub(super) fn of(&mut self, doc: &DocId) -> impl Iterator<Item = &mut Connection> {
        let all = self.here.iter_mut().map(|(_, connection)| connection);
        all.filter(move |connection| connection.doc == *doc)
    }

    /// Those that are not over.
    pub(super) fn values(&self) -> impl Iterator<Item = &Connection> {
        self.here.iter().map(|(_, connection)| connection)
    }

    /// How many have asked for a document so far.
    pub(super) fn count(&self, doc: &DocId) -> usize {
        self.asked.get(doc).copied().unwrap_or(0)
    }

    fn place(&self, conn: ConnId) -> Result<usize, usize> {
        self.here.binary_search_by_key(&conn, |(conn, _)| *conn)
    }
}

impl Index<&ConnId> for Roster {
    type Output = Connection;

    fn index(&self, conn: &ConnId) -> &Connection {
        self.get(*conn)
            .expect("it was opened, and numbers are kept")
    }
}

impl IndexMut<&ConnId> for Roster {
    fn index_mut(&mut self, conn: &ConnId) -> &mut Connection {
        let connection = self.get_mut(*conn);
        connection.expect("it was opened, and numbers are kept")
    }
}
