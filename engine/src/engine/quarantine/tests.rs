//! Documents that are made to panic, beside others. The engine is handed code
//! that does: no document can be told to.

use bytes::Bytes;

use super::{super::JournalOperation, *};
use crate::{
    Now, OpId,
    auth::{Access, Grant, UserId},
    effect::Effects,
    input::Input,
    journal::{JournalCommand, JournalRecord, JournalResult, Position},
    protocol,
    store::{StoreCommand, StoreResult},
};

/// Client 1, clock 0: the string "abc" in the text "t".
const ABC: &[u8] = &[1, 1, 1, 0, 4, 1, 1, b't', 3, b'a', b'b', b'c', 0];

/// A time at which nothing planted happens.
const START: Duration = Duration::from_secs(1);

struct World {
    engine: Engine,
    now: Duration,
    conns: u64,
}

fn doc(name: &str) -> DocId {
    DocId::new(name).expect("a valid name")
}

fn failed(name: &str) -> Output {
    Output::Event(Event::DocumentFailed {
        doc: doc(name),
        message: "oh".to_owned(),
    })
}

fn refused(conn: ConnId) -> Output {
    let reason = Refusal::InternalError;
    Output::Refuse { conn, reason }
}

fn is_close(output: &Output, of: ConnId) -> bool {
    matches!(output, Output::Close { conn, code: CloseCode::InternalError, .. } if *conn == of)
}

impl World {
    fn new(journal: bool) -> Self {
        Self::with(Config {
            journal,
            ..Config::default()
        })
    }

    fn with(config: Config) -> Self {
        Self {
            engine: Engine::new(config, 1),
            now: START,
            conns: 0,
        }
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.engine.handle(Now { mono: self.now }, input);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<Output> {
        self.engine.check();
        std::iter::from_fn(|| self.engine.poll_output()).collect()
    }

    fn wait(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.input(Input::Tick)
    }

    /// Somebody asks for a document.
    fn ask(&mut self, name: &str) -> (ConnId, Vec<Output>) {
        self.conns += 1;
        let (conn, doc) = (ConnId(self.conns), doc(name));
        let grant = Grant {
            user: UserId::new("tester").expect("a good name"),
            access: Access::Write,
            until: None,
        };
        (conn, self.input(Input::Open { conn, doc, grant }))
    }

    /// Somebody is let in, to a new document unless it is there, and follows
    /// it.
    fn join(&mut self, name: &str) -> ConnId {
        let (conn, mut outputs) = self.ask(name);
        if let [Output::Store { op, .. }] = outputs[..] {
            outputs = self.loaded(op);
        }
        assert!(outputs.contains(&Output::Accept { conn }), "{outputs:?}");
        let bytes = protocol::sync_step_1(&crate::state_vector::StateVector::default());
        self.input(Input::Received { conn, bytes });
        conn
    }

    /// The store has nothing.
    fn loaded(&mut self, op: OpId) -> Vec<Output> {
        let result = StoreResult::Loaded(Ok(None));
        self.input(Input::Store { op, result })
    }

    fn writes(&mut self, conn: ConnId) -> Vec<Output> {
        let bytes = protocol::update(ABC);
        self.input(Input::Received { conn, bytes })
    }

    /// A document panics halfway through something that it tells `conn`.
    fn panics(&mut self, name: &str, conn: ConnId) -> Vec<Output> {
        let key = self.engine.names[&doc(name)];
        self.engine
            .with(self.now, key, |document, cx, out: &mut Effects| {
                document.received(cx, conn, &protocol::update(ABC), out);
                panic!("oh");
            });
        self.engine.push(self.now);
        self.engine.give_turns(self.now);
        self.outputs()
    }
}

#[test]
fn a_document_that_panics_costs_its_own_connections_alone() {
    let mut world = World::new(false);
    let (one, two) = (world.join("bad"), world.join("bad"));
    let (other, third) = (world.join("good"), world.join("good"));
    let outputs = world.panics("bad", one);
    assert_eq!(outputs[0], failed("bad"));
    let closed = |conn| outputs.iter().any(|output| is_close(output, conn));
    assert!(closed(one) && closed(two));
    // And the two events that tell of it: nothing else, no frame above all.
    assert_eq!(outputs.len(), 5, "{outputs:?}");
    let is_told =
        |output: &Output| matches!(output, Output::Send { conns, .. } if conns[..] == [third]);
    assert!(world.writes(other).iter().any(is_told));
}

#[test]
fn nothing_follows_from_what_closed_connections_still_say() {
    let mut world = World::new(false);
    let conn = world.join("bad");
    world.panics("bad", conn);
    assert_eq!(world.writes(conn), []);
    let total_bytes = 0;
    assert_eq!(world.input(Input::Written { conn, total_bytes }), []);
    assert_eq!(world.input(Input::Closed { conn }), []);
}

#[test]
fn who_waits_for_a_document_that_panics_is_refused() {
    let mut world = World::with(Config {
        store_operations_max: 1,
        ..Config::default()
    });
    let (one, asked) = world.ask("bad");
    let [Output::Store { op, .. }] = asked[..] else {
        panic!("{asked:?}");
    };
    let (two, _) = world.ask("bad");
    let (_, nothing) = world.ask("good");
    assert_eq!(nothing, [], "it is not its turn");
    let outputs = world.panics("bad", one);
    assert_eq!(outputs, [failed("bad"), refused(one), refused(two)]);
    // The late answer ends the turn, and is for nobody.
    let next = world.loaded(op);
    let is_load = |output: &Output| matches!(output, Output::Store { command: StoreCommand::Load { doc: of }, .. } if *of == doc("good"));
    assert!(next.len() == 1 && is_load(&next[0]), "{next:?}");
}

#[test]
fn who_is_just_being_let_in_is_refused() {
    let mut world = World::new(false);
    let inside = world.join("bad");
    let document = world.engine.names[&doc("bad")];
    let (conn, is_accepted) = (ConnId(100), false);
    let link = super::super::Link {
        document,
        is_accepted,
        user: UserId::new("tester").expect("a good name"),
    };
    world.engine.connections.insert(conn, link);
    let outputs = world.panics("bad", inside);
    assert!(outputs.contains(&refused(conn)), "{outputs:?}");
    assert!(outputs.iter().any(|output| is_close(output, inside)));
}

#[test]
fn what_was_on_its_way_to_the_journal_is_read_again() {
    let mut world = World::new(true);
    let conn = world.join("bad");
    let appended = world.writes(conn);
    let [Output::Journal { op, .. }] = appended[..] else {
        panic!("{appended:?}");
    };
    world.panics("bad", conn);
    assert_eq!(world.engine.unsaved_bytes(), ABC.len());
    let result = JournalResult::Appended(Ok(()));
    assert_eq!(world.input(Input::Journal { op, result }), []);
    // By itself, without anybody asking.
    let read = world.wait(Duration::from_secs(1));
    let [
        Output::Journal {
            op,
            command: JournalCommand::Read { .. },
        },
    ] = read[..]
    else {
        panic!("{read:?}");
    };
    let record = JournalRecord {
        position: Position(1),
        update: Bytes::from_static(ABC),
    };
    let result = JournalResult::Read(Ok(vec![record]));
    let load = world.input(Input::Journal { op, result });
    let [Output::Store { op, .. }] = load[..] else {
        panic!("{load:?}");
    };
    let is_save = |output: &Output| {
        matches!(
            output,
            Output::Store {
                command: StoreCommand::Save { .. },
                ..
            }
        )
    };
    assert!(world.loaded(op).iter().any(is_save));
}

#[test]
fn a_document_that_panics_amid_an_answer_of_several_costs_others_nothing() {
    let mut world = World::new(true);
    let (first, after, bad) = (world.join("first"), world.join("after"), world.join("bad"));
    let (told_first, told_after) = (world.join("first"), world.join("after"));
    world.writes(first);
    world.writes(bad);
    // What it has never asked for makes it panic, though it waits for two more.
    for _ in 0..3 {
        let unasked = JournalOperation {
            op: world.engine.next_op(),
            document: world.engine.names[&doc("bad")],
            is_append: true,
        };
        world.engine.journal_operations.begin(unasked);
    }
    world.writes(after);
    let [last, later] = [2, 3].map(|client| {
        let mut update = ABC.to_vec();
        update[2] = client;
        let bytes = protocol::update(&update);
        let appended = world.input(Input::Received { conn: bad, bytes });
        let [Output::Journal { op, .. }] = appended[..] else {
            panic!("{appended:?}");
        };
        op
    });
    let result = JournalResult::Appended(Ok(()));
    let outputs = world.input(Input::Journal { op: last, result });
    let sent_to = |conn: ConnId| {
        let sent = outputs.iter().filter(|output| {
            matches!(output, Output::Send { conns, frame } if conns[..] == [conn] && *frame == protocol::update(ABC))
        });
        sent.count()
    };
    assert_eq!((sent_to(told_first), sent_to(told_after)), (1, 1));
    assert!(outputs.iter().any(|output| is_close(output, bad)));
    let appending: Vec<_> = world.engine.failures.appending.keys().collect();
    assert_eq!(appending, [&later], "what has been answered waits no more");
}

#[test]
fn a_document_that_is_being_pushed_may_panic() {
    let mut world = World::new(true);
    let docs = vec![doc("bad")];
    let read = world.input(Input::JournalHolds { docs });
    assert!(matches!(read[..], [Output::Journal { .. }]), "{read:?}");
    assert_eq!(world.engine.pushing, 1);
    assert_eq!(world.panics("bad", ConnId(0)), [failed("bad")]);
    assert_eq!((world.engine.pushing, world.engine.backlog.len()), (0, 1));
    let pause = world.engine.poll_timeout().map(|due| due - world.now);
    assert!(pause >= Some(Duration::from_millis(500)), "{pause:?}");
}

#[test]
fn without_a_journal_a_document_that_panicked_is_loaded_when_it_is_opened() {
    let mut world = World::new(false);
    let conn = world.join("bad");
    world.writes(conn);
    world.panics("bad", conn);
    assert_eq!(world.engine.poll_timeout(), None, "nothing is left to do");
    assert_eq!(world.engine.unsaved_bytes(), 0);
    world.wait(Duration::from_secs(1));
    world.join("bad");
}

#[test]
fn who_was_refused_for_want_of_room_is_asked_when_a_panic_has_made_some() {
    let mut world = World::with(Config {
        unsaved_bytes_total_max: ABC.len(),
        ..Config::default()
    });
    let (conn, other) = (world.join("bad"), world.join("good"));
    world.writes(conn);
    let refused = world.writes(other);
    let is_refused = |output: &Output| matches!(output, Output::Event(Event::UpdateRefused { .. }));
    assert!(refused.iter().any(is_refused), "{refused:?}");
    world.panics("bad", conn);
    let asked = world.input(Input::Tick);
    assert!(matches!(asked[..], [Output::Send { .. }]), "{asked:?}");
}

#[test]
fn an_open_soon_after_a_panic_is_refused_and_ever_longer() {
    let mut world = World::new(false);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let conn = world.join("bad");
        world.panics("bad", conn);
        let since = world.now;
        let (early, outputs) = world.ask("bad");
        assert_eq!(outputs, [refused(early)]);
        while world.engine.failures.holds_back(world.now, &doc("bad")) {
            world.now += Duration::from_millis(100);
        }
        pauses.push((world.now - since).as_millis());
        // Others need not wait.
        let other = world.join("good");
        world.input(Input::Closed { conn: other });
    }
    for (pause, at) in pauses.iter().zip(0..) {
        let longest = 1_000 * (1 << at.min(6)).min(60);
        assert!((longest / 2..=longest + 100).contains(pause), "{pauses:?}");
    }
    // It was well for long: the next pause is short again.
    let conn = world.join("bad");
    world.wait(Duration::from_secs(61));
    world.panics("bad", conn);
    world.now += Duration::from_secs(1);
    world.join("bad");
}

#[test]
fn only_so_many_failures_are_remembered() {
    let (mut failures, config, mut jitter) =
        (Failures::default(), Config::default(), Jitter::new(1));
    for at in 0..REMEMBERED_MAX as u64 + 10 {
        let now = Duration::from_secs(at);
        failures.note(now, &doc(&at.to_string()), &config, &mut jitter);
    }
    assert_eq!(failures.documents.len(), REMEMBERED_MAX);
    assert!(
        !failures.documents.contains_key(&doc("0")),
        "the oldest went"
    );
}

#[test]
fn what_a_panic_says_is_told() {
    assert_eq!(contain(|| 1), Ok(1));
    let (what, code) = (String::from("formatted"), 3);
    let told = contain(|| panic!("{what} {code}"));
    assert_eq!(told, Err::<(), _>("formatted 3".to_owned()));
    let told = contain(|| panic::panic_any(code));
    assert_eq!(told, Err::<(), _>("a panic without a text".to_owned()));
}

#[test]
fn a_shutdown_waits_for_what_a_document_that_panicked_had_on_its_way() {
    for is_answered in [true, false] {
        let mut world = World::new(true);
        let conn = world.join("bad");
        let appended = world.writes(conn);
        let [Output::Journal { op, .. }] = appended[..] else {
            panic!("{appended:?}");
        };
        let deadline = world.now + Duration::from_secs(10);
        world.input(Input::Shutdown { deadline });
        world.panics("bad", conn);
        assert_eq!(world.input(Input::Tick), []);
        let (lost, kept, ended) = match is_answered {
            true => {
                let result = JournalResult::Appended(Ok(()));
                let ended = world.input(Input::Journal { op, result });
                (vec![], vec![doc("bad")], ended)
            }
            false => (
                vec![doc("bad")],
                vec![],
                world.wait(Duration::from_secs(10)),
            ),
        };
        let (unsaved, journaled) = (lost, kept);
        assert_eq!(ended, [Output::Drained { unsaved, journaled }]);
    }
}
