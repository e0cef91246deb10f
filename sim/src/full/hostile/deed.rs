//! What somebody hostile does.

use rand::{RngExt, rngs::ChaCha8Rng};
use ysyncd_engine::{protocol, update::Update};

use crate::{
    client::Client,
    full::{scene::IDS_PER_DOCUMENT, websocket::Socket},
    hostile::crafted_update,
    oracle::Ids,
    swarm::Content,
};

/// One thing that is not done.
#[derive(Debug)]
pub(super) enum Deed {
    /// A connection on which nothing is asked.
    Idle,
    /// A token that is none.
    BadToken,
    /// A text message.
    Text,
    /// A message that is none.
    Garbage(Vec<u8>),
    /// A word about permissions, which only servers have.
    Auth,
    /// An update.
    Update { update: Vec<u8>, is_refused: bool },
    /// Frames that RFC 6455 forbids.
    Framing(Vec<u8>),
    /// The header of a message that is too big, and the beginning of it.
    TooBig(u64),
    /// The beginning of a frame, and then nothing.
    Unfinished,
    /// The same, and it stays until it is closed.
    Late,
    /// The beginning of a large message, and then nothing.
    Hog,
    /// A large message that is none.
    Large,
    /// Far more messages than may come.
    Flood,
    /// Nothing, not even an answer to a ping.
    Silence,
}

/// More than every message may take whatever others do, with what a server
/// reads at once, and less than one may have.
const LARGE: usize = 150 << 10;

/// Messages in a flood.
const FLOOD: usize = 4_000;

/// What is to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Status(u16),
    Code(u16),
    /// The end of the connection, and no word.
    End,
    Nothing,
}

impl Deed {
    /// Draws something. What goes to a shared document is refused for sure.
    pub(super) fn draw(rng: &mut ChaCha8Rng, is_shared: bool, message_bytes_max: usize) -> Self {
        match rng.random_range(0..13) {
            0 => Self::BadToken,
            1 => Self::Text,
            2 => Self::Garbage(draw_garbage(rng)),
            3 => Self::Auth,
            4 | 5 => Self::Framing(draw_framing(rng)),
            6 => Self::TooBig(message_bytes_max as u64 + rng.random_range(1..1 << 40)),
            7 => Self::Unfinished,
            8 => Self::Idle,
            _ => Self::draw_update(rng, is_shared),
        }
    }

    /// Draws something that a server bears for a while, where it bears little.
    pub(super) fn draw_excess(rng: &mut ChaCha8Rng, may_be_large: bool) -> Self {
        match rng.random_range(0..3) {
            0 => Self::Flood,
            1 if may_be_large => Self::Hog,
            _ => Self::Late,
        }
    }

    fn draw_update(rng: &mut ChaCha8Rng, is_shared: bool) -> Self {
        for _ in 0..20 {
            let update = match rng.random_bool(0.5) {
                true => crafted_update(rng),
                false => mutated(rng),
            };
            // What the oracle's own reader cannot read is no update, whatever the engine's
            // says.
            let is_refused = Update::decode(&update).is_err() || Ids::of(&update).is_err();
            if is_refused || !is_shared {
                return Self::Update { update, is_refused };
            }
        }
        Self::Auth
    }

    pub(super) fn expected(&self) -> Expected {
        match self {
            Self::BadToken => Expected::Status(401),
            Self::Text => Expected::Code(1003),
            Self::Garbage(_) | Self::Large => Expected::Code(1007),
            Self::Auth | Self::Late | Self::Hog | Self::Flood => Expected::Code(1008),
            Self::Update { is_refused, .. } => match is_refused {
                true => Expected::Code(1007),
                false => Expected::Nothing,
            },
            Self::Framing(_) => Expected::Code(1002),
            Self::TooBig(_) => Expected::Code(1009),
            Self::Silence => Expected::End,
            Self::Unfinished | Self::Idle => Expected::Nothing,
        }
    }

    pub(super) fn send(&self, socket: &mut Socket) {
        // It wants to know everything, too.
        socket.send(&[0, 0, 1, 0]);
        match self {
            Self::Idle | Self::BadToken | Self::Silence => {}
            Self::Text => socket.push(0x81, b"hello"),
            Self::Garbage(message) => socket.send(message),
            Self::Auth => socket.send(&protocol::permission_denied("no")),
            Self::Update { update, .. } => socket.send(&protocol::update(update)),
            Self::Framing(bytes) => socket.push_raw(bytes),
            Self::TooBig(len) => {
                socket.push_raw(&[0x82, 0x80 | 127]);
                socket.push_raw(&len.to_be_bytes());
                socket.push_raw(&[0; 100]);
            }
            Self::Hog => {
                socket.push_raw(&[0x82, 0x80 | 127]);
                socket.push_raw(&(LARGE as u64 + 1).to_be_bytes());
                socket.push_raw(&[0; 4 + LARGE]);
            }
            Self::Large => socket.send(&[7; LARGE]),
            Self::Flood => (0..FLOOD).for_each(|_| socket.pong(&[])),
            Self::Unfinished | Self::Late => socket.push_raw(&[0x82, 0x80 | 20, 1, 2, 3, 4, 5]),
        }
    }
}

/// No message begins like this.
fn draw_garbage(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut garbage = vec![rng.random_range(4..128)];
    garbage.extend((0..rng.random_range(0..50)).map(|_| rng.random::<u8>()));
    garbage
}

fn draw_framing(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut frame = match rng.random_range(0..5) {
        // Not masked.
        0 => vec![0x82, 2, 0, 0],
        // Opcodes that nobody has given a meaning.
        1 => vec![0x80 | rng.random_range(3..8), 0x80, 1, 2, 3, 4],
        // Reserved bits.
        2 => vec![0x82 | (rng.random_range(1..8) << 4), 0x80, 1, 2, 3, 4],
        // A ping in fragments.
        3 => vec![0x09, 0x80, 1, 2, 3, 4],
        // The end of a message that was not begun.
        _ => vec![0x80, 0x80, 1, 2, 3, 4],
    };
    frame.extend((0..rng.random_range(0..50)).map(|_| rng.random::<u8>()));
    frame
}

/// A good update, with some of its bytes changed, cut off or added.
fn mutated(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut client = Client::new(IDS_PER_DOCUMENT / 2, 0, Content::Nested);
    for _ in 0..rng.random_range(1..4) {
        client.edit(rng);
    }
    let mut update = client.encode();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..update.len());
        match rng.random_range(0..4) {
            0 => update.truncate(at.max(1)),
            1 => update.insert(at, rng.random()),
            2 => update[at] ^= 1 << rng.random_range(0..8),
            _ => update[at] = rng.random(),
        }
    }
    update
}
