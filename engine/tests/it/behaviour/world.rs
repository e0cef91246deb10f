//! The world around an engine: it minds that the engine keeps its contract,
//! and looks into its invariants after every input.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use ysyncd_engine::{
    CloseCode, Condition, Config, ConnId, DocId, Engine, Etag, Event, Input, Inspection,
    InspectionLimits, JournalCommand, JournalResult, Now, OpId, Output, Position, Refusal,
    Snapshot, Status, StoreCommand, StoreError, StoreResult, Unshown,
    auth::{Access, Grant, UserId},
    protocol,
};

use super::wire;

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) events: Vec<Event>,
    /// The documents told unsaved once the engine has drained.
    pub(super) drained: Option<Vec<DocId>>,
    /// The documents told then that the journal alone holds.
    pub(super) journaled: Vec<DocId>,
    /// Connections that are not to be read from.
    pub(super) paused: BTreeSet<ConnId>,
    /// Whose messages were called repetitions.
    pub(super) repeated: Vec<ConnId>,
    /// All outputs in order, to compare runs.
    pub(super) log: Vec<Output>,
    engine: Engine,
    peers: BTreeMap<ConnId, Peer>,
    asked: VecDeque<(OpId, StoreCommand)>,
    journal: VecDeque<(OpId, JournalCommand)>,
    /// What the bus is asked, in order.
    pub(super) bus: Vec<ysyncd_engine::BusCommand>,
}

/// The other end of a connection.
struct Peer {
    stage: Stage,
    inbox: Vec<Bytes>,
    sent_bytes: u64,
    told_bytes: u64,
    stalled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    Waiting,
    Open,
    Refused(Refusal),
    Closed(CloseCode, String),
    Left,
}

/// A save that the engine asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Save {
    pub(super) op: OpId,
    pub(super) body: Bytes,
    pub(super) condition: Condition,
}

pub(super) fn doc(name: &str) -> DocId {
    DocId::new(name).expect("tests name documents well")
}

pub(super) fn etag(name: &str) -> Etag {
    Etag(Arc::from(name))
}

pub(super) fn matches(name: &str) -> Condition {
    Condition::Matches(etag(name))
}

pub(super) fn snapshot(body: impl Into<Bytes>, name: &str) -> Snapshot {
    let (body, etag) = (body.into(), etag(name));
    Snapshot { body, etag }
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(super) fn with(config: Config) -> Self {
        Self::seeded(config, 1)
    }

    pub(super) fn seeded(config: Config, seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            events: Vec::new(),
            drained: None,
            journaled: Vec::new(),
            paused: BTreeSet::new(),
            repeated: Vec::new(),
            log: Vec::new(),
            engine: Engine::new(config, seed),
            peers: BTreeMap::new(),
            asked: VecDeque::new(),
            journal: VecDeque::new(),
            bus: Vec::new(),
        }
    }

    /// Asks for a document; whatever the engine wants of the store is left to
    /// the test.
    pub(super) fn open(&mut self, name: &str) -> ConnId {
        self.open_as(name, Access::Write, None)
    }

    /// As [`World::open`], with these rights until then.
    pub(super) fn open_as(
        &mut self,
        name: &str,
        access: Access,
        until: Option<Duration>,
    ) -> ConnId {
        let user = UserId::new("tester").expect("a good name");
        let grant = Grant {
            user,
            access,
            until,
        };
        self.open_with(name, grant)
    }

    /// As [`World::open`], as this user.
    pub(super) fn open_by(&mut self, user: &str, name: &str) -> ConnId {
        let user = UserId::new(user).expect("a good name");
        self.open_with(name, Grant::unlimited(user))
    }

    fn open_with(&mut self, name: &str, grant: Grant) -> ConnId {
        let conn = ConnId(self.peers.len() as u64);
        let peer = Peer {
            stage: Stage::Waiting,
            inbox: Vec::new(),
            sent_bytes: 0,
            told_bytes: 0,
            stalled: false,
        };
        self.peers.insert(conn, peer);
        let doc = doc(name);
        self.handle(Input::Open { conn, doc, grant });
        conn
    }

    /// Opens a document, new unless it is in memory, and passes over the
    /// greeting.
    pub(super) fn greeted(&mut self, name: &str) -> ConnId {
        self.greeted_by("tester", name)
    }

    /// As [`World::greeted`], as this user.
    pub(super) fn greeted_by(&mut self, user: &str, name: &str) -> ConnId {
        let conn = self.open_by(user, name);
        if self.stage(conn) == Stage::Waiting {
            let op = self.take_load();
            self.loaded(op, Ok(None));
        }
        assert_eq!(self.stage(conn), Stage::Open);
        self.take(conn);
        conn
    }

    /// As [`World::greeted`], and gets updates: it has sent a `SyncStep1`.
    pub(super) fn joined(&mut self, name: &str) -> ConnId {
        let conn = self.greeted(name);
        self.send(conn, wire::sync_step_1(&[]));
        self.take(conn);
        conn
    }

    /// A client sends a frame.
    pub(super) fn send(&mut self, conn: ConnId, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.handle(Input::Received { conn, bytes });
    }

    /// A client sends an update.
    pub(super) fn send_update(&mut self, conn: ConnId, update: &[u8]) {
        self.send(conn, protocol::update(update));
    }

    /// A client goes away.
    pub(super) fn leave(&mut self, conn: ConnId) {
        self.peer(conn).stage = Stage::Left;
        self.handle(Input::Closed { conn });
    }

    /// The transport lets go of what it had still to write to who left.
    pub(super) fn freed(&mut self, conn: ConnId) {
        self.handle(Input::Freed { conn });
    }

    /// From now on a client does not read.
    pub(super) fn stall(&mut self, conn: ConnId) {
        self.peer(conn).stalled = true;
    }

    /// The transport has written this much more to a stalled client.
    pub(super) fn written(&mut self, conn: ConnId, bytes: usize) {
        let peer = self.peer(conn);
        peer.told_bytes += bytes as u64;
        assert!(peer.told_bytes <= peer.sent_bytes);
        let total_bytes = peer.told_bytes;
        self.handle(Input::Written { conn, total_bytes });
    }

    /// What came at a client since the last look.
    pub(super) fn take(&mut self, conn: ConnId) -> Vec<Bytes> {
        std::mem::take(&mut self.peer(conn).inbox)
    }

    pub(super) fn stage(&self, conn: ConnId) -> Stage {
        self.peers[&conn].stage.clone()
    }

    /// The code and reason that a client was closed with.
    #[track_caller]
    pub(super) fn closed(&self, conn: ConnId) -> (CloseCode, String) {
        match self.stage(conn) {
            Stage::Closed(code, reason) => (code, reason),
            other => panic!("{conn:?} is not closed but {other:?}"),
        }
    }

    /// Lets time pass, waking the engine whenever it wants.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.handle(Input::Tick);
            assert!(
                self.engine.poll_timeout().is_none_or(|next| next > due) || self.drained.is_some(),
                "what was due is done"
            );
        }
        self.now = end;
    }

    pub(super) fn status(&self) -> Status {
        self.engine.status(Now { mono: self.now })
    }

    pub(super) fn inspect(&self, limits: InspectionLimits) -> Inspection {
        self.engine.inspect(Now { mono: self.now }, limits)
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.engine.poll_timeout()
    }

    pub(super) fn tick(&mut self) {
        self.handle(Input::Tick);
    }

    pub(super) fn shut_down(&mut self, within: Duration) {
        let deadline = self.now + within;
        self.handle(Input::Shutdown { deadline });
    }

    /// Whether the store has nothing to do.
    pub(super) fn store_is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// The one load that the store is asked for.
    #[track_caller]
    pub(super) fn take_load(&mut self) -> OpId {
        match self.asked.pop_front() {
            Some((op, StoreCommand::Load { .. })) => op,
            other => panic!("no load is asked for but {other:?}"),
        }
    }

    /// The one save that the store is asked for.
    #[track_caller]
    pub(super) fn take_save(&mut self) -> Save {
        match self.asked.pop_front() {
            Some((
                op,
                StoreCommand::Save {
                    body, condition, ..
                },
            )) => Save {
                op,
                body,
                condition,
            },
            other => panic!("no save is asked for but {other:?}"),
        }
    }

    pub(super) fn loaded(&mut self, op: OpId, result: Result<Option<Snapshot>, StoreError>) {
        let result = StoreResult::Loaded(result);
        self.handle(Input::Store { op, result });
    }

    pub(super) fn saved(&mut self, op: OpId, result: Result<&str, StoreError>) {
        let result = StoreResult::Saved(result.map(etag));
        self.handle(Input::Store { op, result });
    }

    /// What the journal is asked for next.
    #[track_caller]
    pub(super) fn take_journal(&mut self) -> (OpId, JournalCommand) {
        let asked = self.journal.pop_front();
        asked.expect("the journal is asked for something")
    }

    /// The update that the journal is asked to keep next.
    #[track_caller]
    pub(super) fn take_append(&mut self) -> (OpId, Bytes) {
        match self.take_journal() {
            (op, JournalCommand::Append { update, .. }) => (op, update),
            other => panic!("no append is asked for but {other:?}"),
        }
    }

    /// How far the journal is asked to forget.
    #[track_caller]
    pub(super) fn take_trim(&mut self) -> (OpId, Position) {
        match self.take_journal() {
            (op, JournalCommand::Trim { through, .. }) => (op, through),
            other => panic!("no trim is asked for but {other:?}"),
        }
    }

    pub(super) fn journal_is_idle(&self) -> bool {
        self.journal.is_empty()
    }

    pub(super) fn journal(&mut self, op: OpId, result: JournalResult) {
        self.handle(Input::Journal { op, result });
    }

    /// Everything that the journal is asked to keep becomes durable.
    pub(super) fn sync(&mut self) {
        while let Some((op, command)) = self.journal.pop_front() {
            let result = match command {
                JournalCommand::Append { .. } => JournalResult::Appended(Ok(())),
                JournalCommand::Trim { .. } => JournalResult::Trimmed(Ok(())),
                other => panic!("not a write: {other:?}"),
            };
            self.journal(op, result);
        }
    }

    /// Whether an event was told that looks like this.
    pub(super) fn told(&self, like: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(like)
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.engine.handle(Now { mono: self.now }, input);
        self.engine.check();
        while let Some(output) = self.engine.poll_output() {
            self.log.push(output.clone());
            self.carry_out(output);
        }
        self.tell_written();
    }

    /// Carries an output out, minding what the engine's documentation says
    /// about their order.
    fn carry_out(&mut self, output: Output) {
        assert_eq!(self.drained, None, "nothing comes after Drained");
        match output {
            Output::Accept { conn } => self.proceed(conn, &Stage::Waiting, Stage::Open),
            Output::Refuse { conn, reason } => {
                self.proceed(conn, &Stage::Waiting, Stage::Refused(reason));
            }
            Output::Send { conns, frame } => {
                assert!(!conns.is_empty(), "a frame is for somebody");
                for conn in conns {
                    let peer = self.peer(conn);
                    assert_eq!(peer.stage, Stage::Open, "{conn:?} is sent something");
                    peer.sent_bytes += frame.len() as u64;
                    peer.inbox.push(frame.clone());
                }
            }
            Output::Close { conn, code, reason } => {
                assert!(reason.len() <= CloseCode::REASON_BYTES_MAX);
                let closed = Stage::Closed(code, reason.into_owned());
                self.proceed(conn, &Stage::Open, closed);
            }
            Output::Store { op, command } => self.asked.push_back((op, command)),
            Output::Event(event) => self.events.push(event),
            Output::Journal { op, command } => self.journal.push_back((op, command)),
            Output::Bus(command) => self.bus.push(command),
            Output::Pause { conn } => assert!(self.paused.insert(conn), "paused once"),
            Output::Resume { conn } => assert!(self.paused.remove(&conn), "it was paused"),
            Output::Repeated { conn } => self.repeated.push(conn),
            Output::Drained { unsaved, journaled } => {
                self.drained = Some(unsaved);
                self.journaled = journaled;
            }
        }
    }

    #[track_caller]
    fn proceed(&mut self, conn: ConnId, from: &Stage, to: Stage) {
        let peer = self.peer(conn);
        assert_eq!(&peer.stage, from, "{conn:?} becomes {to:?}");
        peer.stage = to;
    }

    /// Those who read take everything off the transport at once.
    fn tell_written(&mut self) {
        let mut written = Vec::new();
        for (&conn, peer) in &mut self.peers {
            let reads = peer.stage == Stage::Open && !peer.stalled;
            if reads && peer.told_bytes < peer.sent_bytes {
                peer.told_bytes = peer.sent_bytes;
                written.push((conn, peer.sent_bytes));
            }
        }
        for (conn, total_bytes) in written {
            self.handle(Input::Written { conn, total_bytes });
        }
    }

    fn peer(&mut self, conn: ConnId) -> &mut Peer {
        self.peers.get_mut(&conn).expect("the test opened it")
    }
}

/// Something that a connection said of who is there is not shown, and why.
pub(super) fn is_unshown(conn: ConnId, why: Unshown) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::PresenceUnshown { conn: of, reason, .. } if *of == conn && *reason == why)
}
