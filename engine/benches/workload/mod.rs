//! What is measured: recorded sessions, documents of any size, and engines with
//! people in their documents.

use std::{collections::BTreeMap, fs::File, path::PathBuf, sync::mpsc, time::Duration};

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde_json::Value;
use yrs::{
    Doc, Options, Text, TextRef, Transact, TransactionMut, block::ClientID,
    updates::decoder::Decode,
};
use ysyncd_engine::{
    Config, ConnId, DocId, Engine, Input, JournalCommand, JournalResult, Now, Output, StoreResult,
    auth::{Grant, UserId},
    document::DocumentState,
    lib0::{write_var_bytes, write_var_uint},
    protocol,
    state_vector::StateVector,
};

/// Transactions of a recording that somebody types before it is another's turn.
const TURN: usize = 50;

/// The updates of a client who types the recorded session of this name, a
/// keystroke or a few each. `None` if the recordings are not there: they lie in
/// the folder that `YSYNCD_SHARED` names, or in `shared` beside the repository.
pub(crate) fn typed(name: &str) -> Option<Vec<Vec<u8>>> {
    typed_by(name, 200_000_000)
}

/// What is saved of a document into which so many clients have typed a recorded
/// session, each the whole of it.
pub(crate) fn recorded_snapshot(name: &str, clients: u64) -> Option<Vec<u8>> {
    let mut state = DocumentState::default();
    for client in 1..=clients {
        for update in typed_by(name, client * 200_000_000)? {
            state.apply(&update).expect("it is an update");
        }
    }
    state.compact(true);
    Some(state.encode().to_vec())
}

/// What is saved of a document into which a recorded session was typed so many
/// times, each time by so many writers who take turns. Each names what the others
/// wrote, which mostly stands further on in what is saved.
pub(crate) fn snapshot_in_turns(name: &str, times: u64, writers: u64) -> Option<Vec<u8>> {
    let trace = recording(name)?;
    let mut state = DocumentState::default();
    for time in 0..times {
        for update in typed_in_turns(&trace, time * writers, writers) {
            state.apply(&update).expect("it is an update");
        }
    }
    state.compact(true);
    Some(state.encode().to_vec())
}

/// The updates of so many writers who type a session in turns.
fn typed_in_turns(trace: &Value, first: u64, writers: u64) -> Vec<Vec<u8>> {
    let docs: Vec<_> = (first..first + writers)
        .map(|writer| {
            // In no order, as clients draw their ids.
            let client = 1_000_000 + writer * 2_654_435_761 % 4_294_967_291;
            Doc::with_options(Options::with_client_id(ClientID::new(client)))
        })
        .collect();
    let start = trace["startContent"].as_str().expect("a recording begins");
    let transactions = trace["txns"].as_array().expect("it has transactions");
    let mut updates = Vec::new();
    for (turn, transactions) in transactions.chunks(TURN).enumerate() {
        let doc = &docs[turn % docs.len()];
        let text = doc.get_or_insert_text("text");
        let mut open = doc.transact_mut();
        if turn == 0 {
            text.push(&mut open, start);
        }
        let patches = transactions.iter().flat_map(patches);
        patches.for_each(|patch| type_in(&text, &mut open, patch));
        let update = open.encode_update_v1();
        drop(open);
        for other in docs
            .iter()
            .filter(|other| other.client_id() != doc.client_id())
        {
            let update = yrs::Update::decode_v1(&update).expect("it is an update");
            other
                .transact_mut()
                .apply_update(update)
                .expect("it is one of the same document");
        }
        updates.push(update);
    }
    updates
}

/// As [`typed`], by this client.
fn typed_by(name: &str, client: u64) -> Option<Vec<Vec<u8>>> {
    let trace = recording(name)?;
    let doc = Doc::with_options(Options::with_client_id(ClientID::new(client)));
    let (sent, updates) = mpsc::channel();
    doc.observe_update_v1("log", move |_, event| {
        sent.send(event.update.clone()).expect("somebody listens");
    })
    .expect("nobody else uses the document");
    let text = doc.get_or_insert_text("text");
    let start = trace["startContent"].as_str().expect("a recording begins");
    text.push(&mut doc.transact_mut(), start);
    let transactions = trace["txns"].as_array().expect("it has transactions");
    for transaction in transactions {
        let mut open = doc.transact_mut();
        patches(transaction).for_each(|patch| type_in(&text, &mut open, patch));
    }
    Some(updates.try_iter().collect())
}

fn recording(name: &str) -> Option<Value> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
    let shared = std::env::var_os("YSYNCD_SHARED").map_or_else(beside, PathBuf::from);
    let file = File::open(shared.join("traces").join(format!("{name}.json.gz"))).ok()?;
    Some(serde_json::from_reader(GzDecoder::new(file)).expect("a recording is JSON"))
}

fn patches(transaction: &Value) -> impl Iterator<Item = &Value> {
    let patches = transaction["patches"].as_array();
    patches.expect("with patches").iter()
}

/// A patch is `[position, deleted length, inserted text]`.
fn type_in(text: &TextRef, open: &mut TransactionMut<'_>, patch: &Value) {
    let number = |at: usize| {
        let number = patch[at].as_u64().expect("a number");
        u32::try_from(number).expect("a small one")
    };
    if number(1) > 0 {
        text.remove_range(open, number(0), number(1));
    }
    let inserted = patch[2].as_str().expect("a text");
    if !inserted.is_empty() {
        text.insert(open, number(0), inserted);
    }
}

/// An update that holds a whole document of so many structs of one letter, of
/// so many clients, none of which continues another.
pub(crate) fn scattered(structs: u64, clients: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_uint(&mut out, clients);
    for client in (1..=clients).rev() {
        let mine = structs / clients;
        write_var_uint(&mut out, mine);
        write_var_uint(&mut out, client);
        write_var_uint(&mut out, 0);
        for clock in 0..mine {
            match (client, clock) {
                (1, 0) => out.extend([4, 1, 1, b't']),
                // All behind the first letter of all.
                _ => out.extend([0x84, 1, 0]),
            }
            write_var_bytes(&mut out, b"a");
        }
    }
    out.push(0);
    out
}

/// What a client sends who types a letter behind its last one, or behind the
/// first letter of client 1.
pub(crate) fn keystroke(client: u64, clock: u64) -> Vec<u8> {
    let mut out = vec![1, 1];
    write_var_uint(&mut out, client);
    write_var_uint(&mut out, clock);
    out.push(0x84);
    match clock {
        0 => out.extend([1, 0]),
        _ => {
            write_var_uint(&mut out, client);
            write_var_uint(&mut out, clock - 1);
        }
    }
    write_var_bytes(&mut out, b"a");
    out.push(0);
    out
}

/// A document that these updates make.
pub(crate) fn document<U: AsRef<[u8]>>(updates: impl IntoIterator<Item = U>) -> DocumentState {
    let mut state = DocumentState::default();
    for update in updates {
        state.apply(update.as_ref()).expect("it is an update");
    }
    state
}

/// What a client says of its cursor.
pub(crate) fn cursor(client: u64, clock: u64) -> Bytes {
    let mut states = vec![1];
    write_var_uint(&mut states, client);
    write_var_uint(&mut states, clock);
    let state = format!(r##"{{"user":{{"name":"somebody","color":"#30bced"}},"cursor":{clock}}}"##);
    write_var_bytes(&mut states, state.as_bytes());
    protocol::awareness(&states)
}

/// An engine that is driven as a server drives it: all that it sends is
/// written at once, and it is told so.
pub(crate) struct Served {
    engine: Engine,
    now: Duration,
    sent: BTreeMap<ConnId, u64>,
    frames: u64,
}

impl Served {
    /// With so many connections to one document, which is empty.
    pub(crate) fn with(connections: u64) -> Self {
        Self::new(connections, false)
    }

    /// With one, and a journal that makes durable at once what it is told.
    #[allow(dead_code, reason = "not every benchmark has a journal")]
    pub(crate) fn with_journal() -> Self {
        Self::new(1, true)
    }

    fn new(connections: u64, journal: bool) -> Self {
        // Nothing is saved meanwhile, and more is written than documents hold.
        let config = Config {
            journal,
            document_bytes_max: usize::MAX / 2,
            unsaved_bytes_max: usize::MAX / 2,
            unsaved_bytes_total_max: usize::MAX / 2,
            ..Config::default()
        };
        let mut served = Self {
            engine: Engine::new(config, 1),
            now: Duration::from_secs(1),
            sent: BTreeMap::new(),
            frames: 0,
        };
        for conn in 1..=connections {
            served.open(ConnId(conn));
        }
        served
    }

    fn open(&mut self, conn: ConnId) {
        let doc = DocId::new("paper").expect("it is a name");
        let grant = Grant::unlimited(UserId::new("somebody").expect("it is a name"));
        self.handle(Input::Open { conn, doc, grant });
        self.receive(conn.0, protocol::sync_step_1(&StateVector::default()));
    }

    /// A connection's client sends a frame.
    pub(crate) fn receive(&mut self, conn: u64, bytes: Bytes) {
        let conn = ConnId(conn);
        self.handle(Input::Received { conn, bytes });
    }

    /// Frames that were sent to connections so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    fn handle(&mut self, input: Input) {
        self.now += Duration::from_micros(1);
        let now = Now { mono: self.now };
        self.engine.handle(now, input);
        let mut written = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { conns, frame } => {
                    self.frames += conns.len() as u64;
                    for conn in conns {
                        let total_bytes = self.sent.entry(conn).or_default();
                        *total_bytes += frame.len() as u64;
                        written.push((conn, *total_bytes));
                    }
                }
                Output::Store { op, .. } => {
                    let result = StoreResult::Loaded(Ok(None));
                    self.engine.handle(now, Input::Store { op, result });
                }
                Output::Journal { op, command } => {
                    let result = match command {
                        JournalCommand::Append { .. } => JournalResult::Appended(Ok(())),
                        JournalCommand::Trim { .. } => JournalResult::Trimmed(Ok(())),
                        other => unreachable!("nothing asks for {other:?}"),
                    };
                    self.engine.handle(now, Input::Journal { op, result });
                }
                _ => {}
            }
        }
        for (conn, total_bytes) in written {
            self.engine
                .handle(now, Input::Written { conn, total_bytes });
        }
    }
}
