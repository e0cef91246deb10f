//! Connections at the edges of their life: not in yet, or lagging too far
//! behind.

use std::{collections::BTreeMap, time::Duration};

use ysyncd_engine::{
    Config, ConnId, DocId, Engine, Input, Now, Output, StoreResult,
    auth::{Grant, UserId},
    protocol,
};

const NOW: Now = Now {
    mono: Duration::ZERO,
};

fn grant() -> Grant {
    Grant::unlimited(UserId::new("somebody").unwrap())
}

/// An engine with some connections to one document, none of which ever reads.
fn engine_with(connections: u64) -> Engine {
    let config = Config {
        outbox_bytes_max: 200,
        ..Config::default()
    };
    let mut engine = Engine::new(config, 0);
    for conn in (1..=connections).map(ConnId) {
        let (doc, grant) = (DocId::new("doc").unwrap(), grant());
        engine.handle(NOW, Input::Open { conn, doc, grant });
        while let Some(output) = engine.poll_output() {
            if let Output::Store { op, .. } = output {
                let result = StoreResult::Loaded(Ok(None));
                engine.handle(NOW, Input::Store { op, result });
            }
        }
    }
    engine
}

/// Says something of its presence, again and again. Returns how many bytes
/// each was sent.
fn chatter(engine: &mut Engine, conns: &[ConnId]) -> BTreeMap<ConnId, usize> {
    let mut sent = BTreeMap::new();
    for clock in 1..20 {
        for &conn in conns {
            let id = u8::try_from(conn.0 % 100).unwrap();
            let states = [&[1, id, clock, 7][..], b"{\"a\":1}"].concat();
            let bytes = protocol::awareness(&states);
            engine.handle(NOW, Input::Received { conn, bytes });
            engine.check();
            while let Some(output) = engine.poll_output() {
                match output {
                    Output::Send { conns, frame } => {
                        for conn in conns {
                            *sent.entry(conn).or_default() += frame.len();
                        }
                    }
                    Output::Close { .. } => panic!("nobody is closed: {output:?}"),
                    _ => {}
                }
            }
        }
    }
    sent
}

#[test]
fn a_client_that_is_not_let_in_yet_is_not_heard() {
    let mut engine = Engine::new(Config::default(), 0);
    let (doc, grant) = (DocId::new("doc").unwrap(), grant());
    let conn = ConnId(1);
    engine.handle(NOW, Input::Open { conn, doc, grant });
    while engine.poll_output().is_some() {}
    for bytes in [protocol::keepalive(), vec![0xff].into()] {
        engine.handle(NOW, Input::Received { conn, bytes });
        engine.check();
        assert_eq!(engine.poll_output(), None);
    }
}

#[test]
fn a_client_may_come_to_lag_while_it_speaks() {
    let mut engine = engine_with(1);
    let sent = chatter(&mut engine, &[ConnId(1)]);
    assert!((200..230).contains(&sent[&ConnId(1)]), "{sent:?}");
}

#[test]
fn each_of_many_lagging_clients_gets_its_budget() {
    let mut engine = engine_with(50);
    let conns: Vec<_> = (1..=50).map(ConnId).collect();
    let sent = chatter(&mut engine, &conns);
    assert_eq!(sent.len(), 50);
    assert!(
        sent.values().all(|bytes| (200..230).contains(bytes)),
        "{sent:?}"
    );
}
