//! What connections say of who is there.

#![no_main]

use std::{collections::BTreeMap, time::Duration};

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ysyncd_engine::{
    Config, ConnId,
    lib0::{Reader, write_var_bytes, write_var_uint},
    protocol::{self, Message, Messages},
    state_vector::StateVector,
};
use ysyncd_fuzz::{cost::Bound, room::Room};

/// An entry of four bytes takes a few hundred in trees, is told to four
/// connections, and their frames are kept here. Nothing that was seen went past
/// four times the fixed part.
const TALKING: Bound = Bound {
    peak_per_byte: 1 << 7,
    total_per_byte: 1 << 10,
    fixed: 64 << 10,
};

#[derive(Debug, Arbitrary)]
enum Step {
    Open,
    Say { conn: u8, entries: Vec<Entry> },
    Raw { conn: u8, bytes: Vec<u8> },
    Query { conn: u8 },
    Close { conn: u8 },
    Wait { seconds: u8 },
}

#[derive(Debug, Arbitrary)]
struct Entry {
    client: u8,
    clock: Clock,
    state: State,
}

#[derive(Debug, Arbitrary)]
enum Clock {
    Small(u8),
    /// So far below the greatest there is.
    Great(u8),
    Any(u64),
}

#[derive(Debug, Arbitrary)]
enum State {
    Null,
    Name(u8),
    Raw(Vec<u8>),
}

fuzz_target!(|steps: Vec<Step>| {
    let steps: Vec<_> = steps.into_iter().take(48).collect();
    let weight: usize = steps.iter().map(Step::weight).sum();
    let (room, waited) = TALKING.keep(weight, || run(steps));
    // What was forgotten may come again.
    let mut told = BTreeMap::new();
    for (conn, frame) in &room.sent {
        for (client, clock, gone) in entries(frame) {
            let before = told.insert((*conn, client), (clock, gone));
            assert!(waited >= 30 || before.is_none_or(|before| before <= (clock, gone)));
        }
    }
    // Whatever one server sends another one takes.
    let mut echo = Room::new(
        Config {
            awareness_ids_max: usize::MAX,
            ..Config::default()
        },
        None,
    );
    let conn = echo.open();
    for (_, frame) in room.sent {
        if matches!(
            Messages::new(&frame).read_next(),
            Ok(Some(Message::Awareness(_)))
        ) {
            echo.receive(conn, frame);
        }
    }
    assert_eq!(echo.closed, []);
});

fn run(steps: Vec<Step>) -> (Room, u64) {
    let config = Config {
        awareness_ids_max: 3,
        awareness_state_bytes_max: 64,
        ..Config::default()
    };
    let mut room = Room::new(config, None);
    let mut waited = 0;
    for step in steps {
        let at = |conn: u8| ConnId(u64::from(conn) % room.opened().max(1) + 1);
        match step {
            Step::Open if room.opened() < 4 => {
                let conn = room.open();
                room.receive(conn, protocol::sync_step_1(&StateVector::default()));
            }
            Step::Open => {}
            Step::Say { conn, entries } => room.receive(at(conn), said(&entries)),
            Step::Raw { conn, bytes } => room.receive(at(conn), protocol::awareness(&bytes)),
            Step::Query { conn } => room.receive(at(conn), Bytes::from_static(&[3])),
            Step::Close { conn } => room.close(at(conn)),
            Step::Wait { seconds } => {
                waited += u64::from(seconds);
                room.wait(Duration::from_secs(seconds.into()));
            }
        }
    }
    (room, waited)
}

impl Step {
    /// In bytes of input; everything that makes the engine say something
    /// counts for some.
    fn weight(&self) -> usize {
        64 + match self {
            Self::Say { entries, .. } => said(entries).len(),
            Self::Raw { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }
}

fn said(entries: &[Entry]) -> Bytes {
    let mut out = Vec::new();
    write_var_uint(&mut out, entries.len() as u64);
    for Entry {
        client,
        clock,
        state,
    } in entries
    {
        write_var_uint(&mut out, u64::from(client % 8));
        write_var_uint(
            &mut out,
            match clock {
                Clock::Small(clock) => u64::from(*clock),
                Clock::Great(less) => ysyncd_engine::lib0::UINT_MAX - u64::from(*less),
                Clock::Any(clock) => *clock,
            },
        );
        match state {
            State::Null => write_var_bytes(&mut out, b"null"),
            State::Name(name) => {
                write_var_bytes(&mut out, format!("{{\"name\":{name}}}").as_bytes())
            }
            State::Raw(bytes) => write_var_bytes(&mut out, bytes),
        }
    }
    protocol::awareness(&out)
}

/// The awareness that a frame of the server tells: clients, clocks, and whether
/// they left.
fn entries(frame: &[u8]) -> Vec<(u64, u64, bool)> {
    let Ok(Some(Message::Awareness(bytes))) = Messages::new(frame).read_next() else {
        return Vec::new();
    };
    let mut reader = Reader::new(bytes);
    let mut number = || reader.var_uint().expect("the server writes numbers");
    let count = number();
    let mut entries = Vec::new();
    for _ in 0..count {
        let (client, clock) = (reader.var_uint(), reader.var_uint());
        let state = reader.var_str().expect("the server writes texts");
        entries.push((
            client.expect("a number"),
            clock.expect("a number"),
            state == "null",
        ));
    }
    assert!(reader.is_empty());
    entries
}
