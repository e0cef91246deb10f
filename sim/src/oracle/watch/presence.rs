//! Who is there, as those were told who have a document open.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ysyncd_engine::{Config, ConnId, DocId};

use super::{Invariant, Violation};
use crate::swarm::ENOUGH;

/// How long somebody's word may have to wait, where little may be told a second.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The awareness of the documents of one engine.
#[derive(Debug)]
pub(super) struct Presence {
    timeout: Duration,
    /// Whether those who left are remembered as long as they should be.
    remembers: bool,
    /// How large one state may be, all that a connection shows beside its own, and how
    /// many these are.
    state_bytes_max: usize,
    bytes_max: usize,
    /// How large all are that connections of one user show.
    bytes_per_user_max: usize,
    ids_max: usize,
    is_on_bus: bool,
    /// Whether so little may be told a second that it comes to wait.
    is_told_late: bool,
    documents: BTreeMap<DocId, BTreeMap<u64, Known>>,
    /// Who has to be gone when all is said in answer to the input under way.
    gone: BTreeSet<(DocId, u64)>,
    /// In documents of intruders: who said a client's clock, if that was but one.
    sayers: BTreeMap<(DocId, u64, u64), Option<ConnId>>,
}

/// What is known of one client.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The highest clock that a connection said, and which that was.
    said: Option<(u64, ConnId)>,
    /// Those who may speak for it: who said that, and whose word may have counted
    /// since it may have been forgotten.
    owners: BTreeSet<ConnId>,
    /// The lowest clock that may count for known.
    least: u64,
    /// One of those who may speak for it has said that it is gone.
    may_be_gone: bool,
    /// When somebody said something new of it last.
    said_at: Duration,
    /// The clock that was told last, and when it was told first.
    told: Option<(u64, Duration)>,
    is_here: bool,
    /// When it was told to be gone last.
    gone: Duration,
    /// What was told of it last, where that is counted.
    shown: Option<Shown>,
}

/// A state that was told.
#[derive(Debug, Clone, Copy)]
struct Shown {
    by: ConnId,
    bytes: usize,
}

impl Presence {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            timeout: config.awareness_timeout,
            remembers: config.awareness_gone_max >= ENOUGH,
            state_bytes_max: config.awareness_state_bytes_max,
            bytes_max: config.awareness_bytes_max,
            bytes_per_user_max: config.awareness_bytes_per_user_max,
            ids_max: config.awareness_ids_max,
            is_on_bus: config.node.is_some(),
            is_told_late: config.awareness_bytes_per_second.get() < ENOUGH,
            documents: BTreeMap::new(),
            gone: BTreeSet::new(),
            sayers: BTreeMap::new(),
        }
    }

    /// A connection says something of a client.
    pub(super) fn said(
        &mut self,
        now: Duration,
        doc: &DocId,
        client: u64,
        clock: u64,
        conn: ConnId,
    ) {
        let timeout = self.timeout;
        let known = self.known(doc, client);
        if known.said.is_none_or(|(before, _)| clock > before) {
            known.said = Some((clock, conn));
            (known.least, known.may_be_gone) = (clock, false);
            known.owners.clear();
        } else if !known.is_here && known.gone + timeout <= now {
            known.least = clock.min(known.least);
        } else if clock <= known.least {
            return;
        }
        known.owners.insert(conn);
        known.said_at = now;
    }

    /// A connection says of a client that it is gone.
    pub(super) fn says_gone(&mut self, doc: &DocId, client: u64, conn: ConnId) {
        let known = self.known(doc, client);
        known.may_be_gone |= known.owners.contains(&conn);
    }

    /// Whether what somebody says may be told later.
    pub(super) const fn may_have_to_wait(&self) -> bool {
        self.is_told_late
    }

    /// Another node says something of a client, as such a connection would, and
    /// may just have started again.
    pub(super) fn said_elsewhere(
        &mut self,
        now: Duration,
        doc: &DocId,
        client: u64,
        clock: u64,
        by: ConnId,
    ) {
        if self
            .known(doc, client)
            .said
            .is_some_and(|(before, _)| clock > before)
        {
            self.gone.remove(&(doc.clone(), client));
        }
        self.said(now, doc, client, clock, by);
    }

    /// Whether a connection said this clock of a client, or a higher one.
    pub(super) fn was_said(&self, doc: &DocId, client: u64, clock: u64) -> bool {
        let known = self.documents.get(doc).and_then(|known| known.get(&client));
        let said = known.and_then(|known| known.said);
        said.is_some_and(|(said, _)| clock <= said)
    }

    /// Whether such a connection may speak for a client, and not another node.
    pub(super) fn is_spoken_for_here(
        &self,
        doc: &DocId,
        client: u64,
        is_such: impl Fn(ConnId) -> bool,
    ) -> bool {
        let known = self.documents.get(doc).and_then(|known| known.get(&client));
        let may_be = |owner: &ConnId| !is_node(*owner) && is_such(*owner);
        let is_spoken_for = |known: &Known| known.owners.iter().any(may_be);
        !self.remembers || known.is_some_and(is_spoken_for)
    }

    /// Those who are there by the word of a connection that is, or of another node, and
    /// at which clock.
    pub(super) fn spoken_for(
        &self,
        doc: &DocId,
        is_in: impl Fn(ConnId) -> bool,
    ) -> Vec<(u64, u64)> {
        let clients = self.documents.get(doc).into_iter().flatten();
        let here = clients.filter(|(_, known)| known.is_here);
        here.filter_map(|(client, known)| {
            let (clock, by) = known.said?;
            (is_node(by) || is_in(by)).then_some((*client, clock))
        })
        .collect()
    }

    /// In a document of intruders somebody says something of a client.
    pub(super) fn intruder_says(&mut self, doc: &DocId, client: u64, clock: u64, by: ConnId) {
        let sayer = self.sayers.entry((doc.clone(), client, clock));
        let sayer = sayer.or_insert(Some(by));
        // Another node may have said it as well.
        *sayer = sayer.filter(|sayer| *sayer == by && !self.is_on_bus);
    }

    /// Something that a connection says is told: so much it may show, and so much may
    /// intruders, who are one user.
    pub(super) fn shown(
        &mut self,
        doc: &DocId,
        by: ConnId,
        states: impl Iterator<Item = (u64, u64, Option<usize>)>,
        is_in: impl Fn(ConnId) -> bool,
    ) -> Result<(), Violation> {
        for (client, clock, bytes) in states {
            // Others may be told with it, and what several said is one of theirs.
            let sayer = self.sayers.get(&(doc.clone(), client, clock));
            let is_its = sayer == Some(&Some(by));
            let known = self.known(doc, client);
            known.shown = match bytes {
                Some(bytes) if is_its => Some(Shown { by, bytes }),
                Some(_) => known.shown,
                None => None,
            };
        }
        let clients = self.documents.get(doc).into_iter().flatten();
        let shown = clients.filter_map(|(_, known)| known.shown);
        let of_user = shown.clone().filter(|shown| is_in(shown.by));
        let of_user = of_user.map(|shown| shown.bytes).sum::<usize>();
        Invariant::Bounded.holds(of_user <= self.bytes_per_user_max, || {
            format!("{doc}: {of_user} bytes of states are shown by one user")
        })?;
        let sizes: Vec<_> = shown
            .filter(|shown| shown.by == by)
            .map(|shown| shown.bytes)
            .collect();
        let (largest, all) = (sizes.iter().max(), sizes.iter().sum::<usize>());
        // Its own is measured apart.
        let is_within = largest.is_none_or(|bytes| *bytes <= self.state_bytes_max)
            && all <= self.bytes_max + self.state_bytes_max
            && sizes.len() <= self.ids_max + 1;
        Invariant::Bounded.holds(is_within, || {
            let count = sizes.len();
            format!("{doc}: {by:?} shows {count} states of {all} bytes, {largest:?} at most")
        })
    }

    /// In a document of intruders somebody is told who is gone.
    pub(super) fn shown_no_more(&mut self, doc: &DocId, clients: impl Iterator<Item = u64>) {
        for client in clients {
            self.known(doc, client).shown = None;
        }
    }

    /// Who speaks for those who are there.
    pub(super) fn speakers(&self, doc: &DocId) -> impl Iterator<Item = ConnId> {
        let clients = self.documents.get(doc).into_iter().flatten();
        let here = clients.filter(|(_, known)| known.is_here);
        here.filter_map(|(_, known)| known.said.map(|(_, conn)| conn))
    }

    /// Whether those who have a document open may be told that a client is gone
    /// who is there: whoever may speak for it has said so, is gone itself, or has
    /// not spoken for long.
    pub(super) fn may_go(
        &self,
        now: Duration,
        doc: &DocId,
        client: u64,
        is_in: impl Fn(ConnId) -> bool,
    ) -> bool {
        let known = self.documents.get(doc).and_then(|known| known.get(&client));
        known.is_none_or(|known| {
            let mut owners = known.owners.iter();
            let is_spoken_for = owners.all(|owner| !is_node(*owner) && is_in(*owner));
            let is_silent = known.said_at + self.timeout <= now;
            !self.remembers || !known.is_here || !is_spoken_for || known.may_be_gone || is_silent
        })
    }

    /// Those who have a document open are told of a client.
    pub(super) fn told(
        &mut self,
        now: Duration,
        doc: &DocId,
        client: u64,
        clock: u64,
        is_here: bool,
    ) {
        let timeout = self.timeout;
        let known = self.known(doc, client);
        // Those who left are remembered for so long. Then whoever repeats what
        // they said, having been held up, speaks for somebody new.
        let is_new = is_here && !known.is_here && known.gone + timeout <= now;
        if is_new || known.told.is_none_or(|(before, _)| clock != before) {
            known.told = Some((clock, now));
        }
        if known.is_here && !is_here {
            known.gone = now;
        }
        known.is_here = is_here;
    }

    /// A connection is gone: so are the clients that it spoke for.
    pub(super) fn left(&mut self, doc: &DocId, conn: ConnId) {
        // Where those who left are forgotten at once, whoever repeats what they
        // said speaks for them, or not.
        let Some(clients) = self.documents.get(doc).filter(|_| self.remembers) else {
            return;
        };
        let spoke = |known: &Known| known.said.is_some_and(|(_, by)| by == conn) && known.is_here;
        let gone = clients.iter().filter(|(_, known)| spoke(known));
        self.gone
            .extend(gone.map(|(client, _)| (doc.clone(), *client)));
    }

    /// Nobody has the document open any more, and nobody is told who goes.
    pub(super) fn forget(&mut self, doc: &DocId) {
        if let Some(clients) = self.documents.get_mut(doc) {
            // Whom another node speaks for is still there.
            clients.retain(|_, known| known.said.is_some_and(|(_, by)| is_node(by)));
            for known in clients.values_mut() {
                (known.is_here, known.told) = (false, None);
            }
        }
        self.gone.retain(|(of, _)| of != doc);
    }

    /// A document has left memory, and with it who was there.
    pub(super) fn unloaded(&mut self, doc: &DocId) {
        self.documents.remove(doc);
        self.gone.retain(|(of, _)| of != doc);
    }

    /// Whoever speaks for a client says that it is gone, and nobody reads that.
    pub(super) fn says_gone_untold(
        &mut self,
        now: Duration,
        doc: &DocId,
        client: u64,
        clock: u64,
        by: ConnId,
    ) {
        let known = self.known(doc, client);
        let is_owner = |&(said, owner): &(u64, ConnId)| owner == by && said <= clock;
        if known.said.as_ref().is_some_and(is_owner) {
            known.goes_untold(now);
        }
    }

    /// A client may be gone and forgotten, untold.
    pub(super) fn may_be_forgotten(&mut self, doc: &DocId, client: u64) {
        if let Some(clients) = self.documents.get_mut(doc) {
            clients.remove(&client);
        }
    }

    /// Who is there.
    pub(super) fn present(&self, doc: &DocId) -> impl Iterator<Item = u64> {
        let clients = self.documents.get(doc).into_iter().flatten();
        let here = clients.filter(|(_, known)| known.is_here);
        here.map(|(client, _)| *client)
    }

    /// What was told of the clients of a document, those who left lately
    /// included: client, clock, and whether it is there.
    pub(super) fn told_lately(
        &self,
        now: Duration,
        doc: &DocId,
    ) -> impl Iterator<Item = (u64, u64, bool)> {
        let clients = self.documents.get(doc).filter(|_| self.remembers);
        let lately = move |known: &Known| known.is_here || known.gone + self.timeout > now;
        let clients = clients.into_iter().flatten();
        clients.filter_map(move |(client, known)| {
            let (clock, _) = known.told.filter(|_| lately(known))?;
            Some((*client, clock, known.is_here))
        })
    }

    /// All is said: those who had to go are gone, and after a tick those who
    /// were silent for too long, too. Where nobody reads, nobody is told.
    pub(super) fn settled(
        &mut self,
        now: Duration,
        is_tick: bool,
        somebody_reads: impl Fn(&DocId) -> bool,
    ) -> Result<(), Violation> {
        while let Some((doc, client)) = self.gone.pop_first() {
            let is_told_late = self.is_told_late;
            let known = self.known(&doc, client);
            if known.is_here && !somebody_reads(&doc) {
                known.goes_untold(now);
            }
            // It has said so itself, and that may have to wait.
            let waits = is_told_late && known.may_be_gone;
            Invariant::Presence.holds(!known.is_here || waits, || {
                format!("{doc}: nobody is told that client {client} is gone")
            })?;
        }
        // Where those who left are forgotten at once, somebody may bring one back
        // with what was said before.
        if !is_tick || !self.remembers {
            return Ok(());
        }
        let since = now.saturating_sub(self.timeout);
        let is_silent = |known: &Known| known.told.is_some_and(|(_, at)| at < since);
        for (doc, clients) in &mut self.documents {
            let mut all = clients.iter_mut();
            while let Some((client, known)) =
                all.find(|(_, known)| known.is_here && is_silent(known))
            {
                Invariant::Presence.holds(!somebody_reads(doc), || {
                    format!("{client} is silent for longer than {:?}", self.timeout)
                })?;
                known.goes_untold(now);
            }
        }
        self.told_in_time(now, somebody_reads)
    }

    /// What somebody says who is here may have to wait, but not for long.
    fn told_in_time(
        &self,
        now: Duration,
        somebody_reads: impl Fn(&DocId) -> bool,
    ) -> Result<(), Violation> {
        let since = now.saturating_sub(WAIT_MAX);
        let waits = |known: &Known| {
            let (Some((said, by)), Some((told, _))) = (known.said, known.told) else {
                return false;
            };
            known.is_here && told < said && known.said_at < since && !is_node(by)
        };
        let read = self.documents.iter().filter(|(doc, _)| somebody_reads(doc));
        for (doc, clients) in read {
            let late = clients.iter().find(|(_, known)| waits(known));
            Invariant::Presence.holds(late.is_none(), || {
                format!("{doc}: told too late is {late:?}")
            })?;
        }
        Ok(())
    }

    fn known(&mut self, doc: &DocId, client: u64) -> &mut Known {
        let clients = self.documents.entry(doc.clone()).or_default();
        clients.entry(client).or_default()
    }
}

/// The connection that another node speaks as.
pub(super) const fn speaker(node: u64) -> ConnId {
    ConnId(u64::MAX - node)
}

/// Whether it is one as which a node speaks.
const fn is_node(conn: ConnId) -> bool {
    conn.0 > u64::MAX / 2
}

impl Known {
    /// It is gone, and as nobody reads, nobody is told.
    const fn goes_untold(&mut self, now: Duration) {
        (self.is_here, self.gone) = (false, now);
    }
}
