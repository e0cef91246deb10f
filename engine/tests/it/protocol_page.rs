//! Runs the examples of docs/PROTOCOL.md.
//!
//! Blocks marked `exchange` talk to an engine; `update` and `refused` list
//! updates, one to a line. `#` begins a comment.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use ysyncd_engine::{
    Config, ConnId, DocId, Engine, Input, Now, Output, StoreResult,
    auth::{Grant, UserId},
    document::DocumentState,
    update::Update,
};

const PAGE: &str = include_str!("../../../docs/PROTOCOL.md");

#[test]
fn exchanges_happen_as_told() {
    let blocks = blocks("exchange");
    assert!(blocks.len() >= 4, "the page lost its examples");
    for block in blocks {
        let mut exchange = Exchange::new();
        block.iter().for_each(|line| exchange.play(line));
        exchange.expect_silence();
    }
}

#[test]
fn updates_are_taken_and_come_back_as_they_are() {
    let updates = blocks("update").concat();
    assert!(updates.len() >= 5, "the page lost its examples");
    for line in updates {
        let update = hex(&line);
        let mut state = DocumentState::default();
        state
            .apply(&update)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(state.encode(), update, "{line}");
    }
}

#[test]
fn what_is_refused_is_refused() {
    let refused = blocks("refused").concat();
    assert!(refused.len() >= 10, "the page lost its examples");
    for line in refused {
        assert!(Update::decode(&hex(&line)).is_err(), "{line}");
    }
}

/// The lines of each block with a mark, without comments and empty lines.
fn blocks(mark: &str) -> Vec<Vec<String>> {
    let fence = format!("```{mark}\n");
    let bodies = PAGE.split(&fence).skip(1);
    bodies
        .map(|body| {
            let (body, _) = body.split_once("```").expect("a fence is closed");
            let lines = body
                .lines()
                .map(|line| line.split('#').next().unwrap().trim());
            lines
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .collect()
}

fn hex(text: &str) -> Bytes {
    let byte = |digits| u8::from_str_radix(digits, 16).expect("two hex digits");
    text.split_whitespace().map(byte).collect()
}

/// An engine with clients named by letters, and what they got and were not
/// asked about yet.
struct Exchange {
    engine: Engine,
    clients: BTreeMap<String, ConnId>,
    got: BTreeMap<ConnId, VecDeque<Got>>,
}

#[derive(Debug, PartialEq)]
enum Got {
    Frame(Bytes),
    Close(u16),
}

impl Exchange {
    fn new() -> Self {
        Self {
            engine: Engine::new(Config::default(), 0),
            clients: BTreeMap::new(),
            got: BTreeMap::new(),
        }
    }

    fn play(&mut self, line: &str) {
        let mut words = line.splitn(3, ' ');
        let (client, verb) = (words.next().unwrap(), words.next().unwrap());
        let rest = words.next().unwrap_or_default();
        match verb {
            "opens" => self.open(client),
            "leaves" => self.handle(Input::Closed {
                conn: self.clients[client],
            }),
            ">" => self.handle(Input::Received {
                conn: self.clients[client],
                bytes: hex(rest),
            }),
            "<" => self.expect(client, &Got::Frame(hex(rest)), line),
            "closed" => self.expect(client, &Got::Close(rest.parse().unwrap()), line),
            _ => panic!("the page says {line:?}"),
        }
    }

    fn open(&mut self, client: &str) {
        let conn = ConnId(self.clients.len() as u64);
        self.clients.insert(client.to_owned(), conn);
        let grant = Grant::unlimited(UserId::new(client).unwrap());
        let doc = DocId::new("page").unwrap();
        self.handle(Input::Open { conn, doc, grant });
    }

    fn handle(&mut self, input: Input) {
        let now = Now {
            mono: Duration::ZERO,
        };
        self.engine.handle(now, input);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Store { op, .. } => {
                    let result = StoreResult::Loaded(Ok(None));
                    self.engine.handle(now, Input::Store { op, result });
                }
                Output::Send { conns, frame } => {
                    for conn in conns {
                        self.got
                            .entry(conn)
                            .or_default()
                            .push_back(Got::Frame(frame.clone()));
                    }
                }
                Output::Close { conn, code, .. } => {
                    self.got
                        .entry(conn)
                        .or_default()
                        .push_back(Got::Close(code.number()));
                }
                _ => {}
            }
        }
        self.engine.check();
    }

    fn expect(&mut self, client: &str, expected: &Got, line: &str) {
        let got = self
            .got
            .get_mut(&self.clients[client])
            .and_then(VecDeque::pop_front);
        assert_eq!(got.as_ref(), Some(expected), "{line}");
    }

    fn expect_silence(&self) {
        for (client, conn) in &self.clients {
            let left = self.got.get(conn);
            assert!(
                left.is_none_or(VecDeque::is_empty),
                "{client} also got {left:?}"
            );
        }
    }
}
