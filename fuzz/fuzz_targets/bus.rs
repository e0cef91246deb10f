//! What comes by the bus between nodes. It may be anything.

#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ysyncd_engine::{
    Config, ConnId, DocId, Engine, Event, Input, Node, Now, Output, StoreResult,
    auth::{Grant, UserId},
    bus::{BusInput, Envelope},
};
use ysyncd_fuzz::cost::Bound;

/// All that came before is input, too: a message may complete what waited, or
/// ask for everything. The worst seen was 61 a byte at a moment, and 106 in all.
const TAKING: Bound = Bound {
    peak_per_byte: 1 << 7,
    total_per_byte: 1 << 9,
    fixed: 8 << 10,
};

const OWN: Node = Node {
    id: 1,
    incarnation: 1,
};

fuzz_target!(|messages: Vec<Vec<u8>>| {
    let mut engine = node();
    let mut came = 0;
    for message in messages.into_iter().take(32) {
        came += message.len();
        if let Ok(envelope) = Envelope::decode(&message) {
            assert_eq!(envelope.encode(), message, "one way to say it");
        }
        let message = Bytes::from(message);
        let doc = doc();
        let received = Input::Bus(BusInput::Received { doc, message });
        for input in [received, Input::Tick] {
            TAKING.keep(came, || tell(&mut engine, input));
        }
    }
    engine.check();
});

/// A node on a bus that has a document open.
fn node() -> Engine {
    let config = Config {
        node: Some(OWN),
        ..Config::default()
    };
    let mut engine = Engine::new(config, 0);
    let (conn, doc) = (ConnId(1), doc());
    let grant = Grant::unlimited(UserId::new("fuzzer").expect("a good name"));
    tell(&mut engine, Input::Bus(BusInput::Up));
    let open = Input::Open {
        conn,
        doc: doc.clone(),
        grant,
    };
    let load = tell(&mut engine, open);
    let Some(Output::Store { op, .. }) = load.into_iter().next() else {
        panic!("a document is loaded first");
    };
    let result = StoreResult::Loaded(Ok(None));
    tell(&mut engine, Input::Store { op, result });
    tell(&mut engine, Input::Bus(BusInput::Subscribed { doc }));
    engine
}

fn tell(engine: &mut Engine, input: Input) -> Vec<Output> {
    let mono = Duration::from_secs(1);
    engine.handle(Now { mono }, input);
    let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
    for output in &outputs {
        if let Output::Event(Event::DocumentFailed { message, .. }) = output {
            panic!("{message}");
        }
    }
    outputs
}

fn doc() -> DocId {
    DocId::new("d").expect("a good name")
}
