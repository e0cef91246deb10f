//! The bytes that one connection has yet to write.

mod spares;

use std::{collections::VecDeque, rc::Rc};

use bytes::Bytes;
use ysyncd_engine::planted::{self, Bug};

pub(crate) use self::spares::SpareQueues;

/// Payloads of at least this size are written from where they are; smaller
/// ones are copied together, so that many share one write.
const COPY_BYTES_MAX: usize = 16 << 10;

/// Of a queue that is so long the small messages that follow are copied together as
/// they come: each would take several times its size, and keep what it was read with.
const PACKED_FROM: usize = 32;

/// How large a message is to be for that, at most.
const PACKED_MESSAGE_MAX: usize = 1 << 10;

/// Frames are packed up to this size.
const PACKED_BYTES_MAX: usize = 4 << 10;

/// A queue of WebSocket frames, from the engine's hand to the kernel's.
///
/// Payloads stay shared with other receivers: a frame's header is made when
/// the frame is written, and nothing is copied that is not about to leave. An
/// empty queue takes no room.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    chunks: Chunks,
    /// Where the room of `chunks` comes from, and goes when they are written.
    spares: Rc<SpareQueues>,
    /// Bytes of the first chunk, header included, that are written already.
    front_written: usize,
    control_bytes: usize,
    messages_written: u64,
    payload_bytes_written: u64,
}

type Chunks = VecDeque<Chunk>;

#[derive(Debug)]
enum Chunk {
    /// The payload of one binary message.
    Message(Bytes),
    /// Several of them.
    Packed(Packed),
    /// A control frame, with its header.
    Control(Bytes),
}

/// Small binary messages, with their headers.
#[derive(Debug)]
struct Packed {
    frames: Vec<u8>,
    messages: u32,
    /// Bytes of them without headers.
    payload_bytes: u32,
}

impl Outgoing {
    /// An empty queue of a shard that has these spares.
    pub(crate) fn new(spares: Rc<SpareQueues>) -> Self {
        Self {
            spares,
            ..Self::default()
        }
    }

    /// Queues one binary message.
    pub(crate) fn push_message(&mut self, payload: Bytes) {
        if self.chunks.len() >= PACKED_FROM && payload.len() <= PACKED_MESSAGE_MAX {
            return self.pack(&payload);
        }
        self.ensure_room();
        self.chunks.push_back(Chunk::Message(payload));
    }

    #[cold]
    fn pack(&mut self, payload: &[u8]) {
        if let Some(Chunk::Packed(last)) = self.chunks.back_mut()
            && last.has_room_for(payload)
        {
            return last.push(payload);
        }
        let mut packed = Packed::new();
        packed.push(payload);
        self.chunks.push_back(Chunk::Packed(packed));
    }

    /// Queues bytes that are framed already.
    pub(crate) fn push_control(&mut self, framed: Bytes) {
        self.control_bytes += framed.len();
        self.ensure_room();
        if planted::is(Bug::CloseOvertakes) {
            let begun = usize::from(self.front_written > 0);
            return self.chunks.insert(begun, Chunk::Control(framed));
        }
        self.chunks.push_back(Chunk::Control(framed));
    }

    fn ensure_room(&mut self) {
        if self.chunks.capacity() == 0 {
            self.chunks = self.spares.take();
        }
    }

    /// True if nothing is left to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes of control frames in the queue.
    pub(crate) fn control_bytes(&self) -> usize {
        self.control_bytes
    }

    /// Messages written whole, since the beginning.
    pub(crate) fn messages_written(&self) -> u64 {
        self.messages_written
    }

    /// Bytes of messages written since the beginning, without headers. Parts
    /// of a message count.
    pub(crate) fn payload_bytes_written(&self) -> u64 {
        self.payload_bytes_written
    }

    /// What to write next: either a large payload itself, or as much of the
    /// queue as `scratch` holds, copied there. Empty if the queue is.
    pub(crate) fn next_write<'a>(&'a self, scratch: &'a mut [u8]) -> &'a [u8] {
        if let Some(front) = self.chunks.front() {
            let header_len = front.header_len();
            let payload = front.payload();
            if self.front_written >= header_len && payload.len() >= COPY_BYTES_MAX {
                return &payload[self.front_written - header_len..];
            }
        }
        let filled = self.fill(scratch);
        &scratch[..filled]
    }

    /// Notes that the first `written` bytes of the queue have left.
    pub(crate) fn advance(&mut self, mut written: usize) {
        while written > 0 {
            let front = self.chunks.front().expect("only queued bytes are written");
            let left = front.len() - self.front_written;
            let step = written.min(left);
            self.count(self.front_written, self.front_written + step);
            written -= step;
            if step < left {
                self.front_written += step;
                return;
            }
            self.front_written = 0;
            self.chunks.pop_front();
        }
        if self.chunks.is_empty() {
            self.spares.give(std::mem::take(&mut self.chunks));
        }
    }

    /// Copies chunks into `scratch` up to the first large payload.
    fn fill(&self, scratch: &mut [u8]) -> usize {
        let mut filled = 0;
        let mut from = self.front_written;
        for chunk in &self.chunks {
            let (header, payload) = (chunk.header(), chunk.payload());
            let header = header.as_slice();
            let in_header = from.min(header.len());
            filled += copy(&header[in_header..], &mut scratch[filled..]);
            if payload.len() >= COPY_BYTES_MAX {
                break;
            }
            filled += copy(&payload[from - in_header..], &mut scratch[filled..]);
            if filled == scratch.len() {
                break;
            }
            from = 0;
        }
        filled
    }

    /// Counts the bytes `from..to` of the first chunk as written.
    fn count(&mut self, from: usize, to: usize) {
        let Some(front) = self.chunks.front() else {
            return;
        };
        let whole = to == front.len();
        match front {
            Chunk::Message(payload) => {
                let header_len = front.header_len();
                let bytes = to.max(header_len) - from.max(header_len);
                debug_assert!(bytes <= payload.len(), "a payload is written once");
                self.payload_bytes_written += bytes as u64;
                self.messages_written += u64::from(whole);
            }
            Chunk::Packed(packed) => {
                self.payload_bytes_written += packed.payload_to(to) - packed.payload_to(from);
                self.messages_written += u64::from(packed.messages) * u64::from(whole);
            }
            Chunk::Control(framed) if whole && !planted::is(Bug::ControlBytesLeak) => {
                self.control_bytes -= framed.len();
            }
            Chunk::Control(_) => {}
        }
    }
}

/// Copies as much as fits and says how much that was.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let len = from.len().min(to.len());
    to[..len].copy_from_slice(&from[..len]);
    len
}

impl Chunk {
    fn header(&self) -> Header {
        match self {
            Self::Message(payload) => Header::of_message(payload.len()),
            Self::Packed(_) | Self::Control(_) => Header::default(),
        }
    }

    fn header_len(&self) -> usize {
        match self {
            Self::Message(payload) => Header::len_of_message(payload.len()),
            Self::Packed(_) | Self::Control(_) => 0,
        }
    }

    fn payload(&self) -> &[u8] {
        match self {
            Self::Message(bytes) | Self::Control(bytes) => bytes,
            Self::Packed(packed) => &packed.frames,
        }
    }

    fn len(&self) -> usize {
        self.header_len() + self.payload().len()
    }
}

impl Packed {
    fn new() -> Self {
        Self {
            frames: Vec::new(),
            messages: 0,
            payload_bytes: 0,
        }
    }

    fn has_room_for(&self, payload: &[u8]) -> bool {
        let frame = Header::len_of_message(payload.len()) + payload.len();
        self.frames.len() + frame <= PACKED_BYTES_MAX
    }

    fn push(&mut self, payload: &[u8]) {
        let header = Header::of_message(payload.len());
        self.frames.extend_from_slice(header.as_slice());
        self.frames.extend_from_slice(payload);
        self.messages += 1;
        self.payload_bytes += u32::try_from(payload.len()).expect("it is small");
    }

    /// How much of the payloads the first bytes of the frames hold: about, until it is
    /// all.
    fn payload_to(&self, written: usize) -> u64 {
        u64::from(self.payload_bytes) * written as u64 / self.frames.len() as u64
    }
}

/// The header of a frame, as RFC 6455 section 5.2 draws it.
#[derive(Debug, Default)]
struct Header {
    bytes: [u8; 10],
    len: usize,
}

impl Header {
    /// FIN set, opcode 2 (binary), not masked.
    const FINAL_BINARY: u8 = 0x82;

    /// Made whole, as this is done for every receiver of every message.
    fn of_message(payload_len: usize) -> Self {
        const FIRST: u8 = Header::FINAL_BINARY;
        if let Ok(len @ ..=125) = u8::try_from(payload_len) {
            let bytes = [FIRST, len, 0, 0, 0, 0, 0, 0, 0, 0];
            Self { bytes, len: 2 }
        } else if let Ok(len) = u16::try_from(payload_len) {
            let [a, b] = len.to_be_bytes();
            let bytes = [FIRST, 126, a, b, 0, 0, 0, 0, 0, 0];
            Self { bytes, len: 4 }
        } else {
            let [a, b, c, d, e, f, g, h] = (payload_len as u64).to_be_bytes();
            let bytes = [FIRST, 127, a, b, c, d, e, f, g, h];
            Self { bytes, len: 10 }
        }
    }

    const fn len_of_message(payload_len: usize) -> usize {
        match payload_len {
            0..126 => 2,
            126..0x1_0000 => 4,
            _ => 10,
        }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor, Read, Write};

    use tungstenite::{Message, WebSocket, protocol::Role};

    use super::*;

    /// What the other side of a wire reads; what it writes is dropped.
    struct Wire(Cursor<Vec<u8>>);

    impl Read for Wire {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read(buf)
        }
    }

    impl Write for Wire {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Writes everything out, at most `step` bytes at a time.
    fn drain(outgoing: &mut Outgoing, scratch_len: usize, step: usize) -> Vec<u8> {
        let mut scratch = vec![0; scratch_len];
        let mut wire = Vec::new();
        while !outgoing.is_empty() {
            let next = outgoing.next_write(&mut scratch);
            let len = next.len().min(step);
            assert!(len > 0, "a queue that is not empty has something to write");
            wire.extend_from_slice(&next[..len]);
            outgoing.advance(len);
        }
        wire
    }

    #[test]
    fn what_is_queued_arrives_however_the_writes_are_cut() {
        let sizes = [
            0, 1, 125, 126, 127, 65_535, 65_536, 200_000, 3, 16_383, 16_384, 5,
        ];
        for (scratch_len, step) in [(64 << 10, usize::MAX), (64 << 10, 1_000), (50, 7), (16, 1)] {
            let mut outgoing = Outgoing::default();
            let payloads =
                sizes.map(|len| Bytes::from(vec![u8::try_from(len % 251).unwrap(); len]));
            for payload in &payloads {
                outgoing.push_message(payload.clone());
                outgoing.push_control(Bytes::from_static(&[0x89, 1, b'p']));
            }
            assert_eq!(outgoing.control_bytes(), 3 * sizes.len());

            let wire = drain(&mut outgoing, scratch_len, step);

            let mut client =
                WebSocket::from_raw_socket(Wire(Cursor::new(wire)), Role::Client, None);
            for payload in &payloads {
                let message = client.read().unwrap();
                assert!(
                    message == Message::Binary(payload.clone()),
                    "{}",
                    payload.len()
                );
                assert_eq!(
                    client.read().unwrap(),
                    Message::Ping(Bytes::from_static(b"p"))
                );
            }
            assert_eq!(outgoing.control_bytes(), 0);
            assert_eq!(outgoing.messages_written(), sizes.len() as u64);
            assert_eq!(
                outgoing.payload_bytes_written(),
                sizes.iter().sum::<usize>() as u64
            );
        }
    }

    #[test]
    fn many_small_messages_take_little_more_room_than_their_bytes() {
        let mut outgoing = Outgoing::default();
        let sizes = (0..100_000).map(|at| at % 20);
        let mut expected = Vec::new();
        for len in sizes.clone() {
            let payload = vec![u8::try_from(len).unwrap(); len];
            expected.extend([0x82, u8::try_from(len).unwrap()]);
            expected.extend_from_slice(&payload);
            outgoing.push_message(payload.into());
            if len == 19 {
                outgoing.push_control(Bytes::from_static(&[0x89, 0]));
                expected.extend([0x89, 0]);
            }
        }
        let packed = |chunk: &Chunk| match chunk {
            Chunk::Packed(packed) => packed.frames.capacity(),
            _ => 0,
        };
        let packed = outgoing.chunks.iter().map(packed).sum::<usize>();
        let room = packed + outgoing.chunks.capacity() * size_of::<Chunk>();
        assert!(room < 3 * expected.len(), "{room} of {}", expected.len());

        let mut written = 0;
        let mut scratch = vec![0; 1_000];
        let mut wire = Vec::new();
        while !outgoing.is_empty() {
            let next = outgoing.next_write(&mut scratch);
            let len = next.len().min(777);
            wire.extend_from_slice(&next[..len]);
            outgoing.advance(len);
            assert!(written <= outgoing.payload_bytes_written());
            written = outgoing.payload_bytes_written();
        }
        assert!(wire == expected);
        assert_eq!(written, sizes.sum::<usize>() as u64);
        assert_eq!(outgoing.messages_written(), 100_000);
    }

    #[test]
    fn an_empty_queue_leaves_its_room_to_the_next() {
        let spares = Rc::<SpareQueues>::default();
        let [mut one, mut two] = [0; 2].map(|_| Outgoing::new(Rc::clone(&spares)));
        for _ in 0..100 {
            one.push_message(Bytes::from_static(b"a"));
        }
        let (room, wire) = (one.chunks.capacity(), drain(&mut one, 64, 64));
        assert_eq!(wire, b"\x82\x01a".repeat(100));
        assert_eq!(one.chunks.capacity(), 0);
        two.push_control(Bytes::from_static(&[0x89, 0]));
        assert_eq!(two.chunks.capacity(), room);
        one.push_message(Bytes::from_static(b"b"));
        assert_eq!(one.chunks.capacity(), 4, "nothing is left to take");
        assert_eq!(drain(&mut two, 64, 64), [0x89, 0], "nothing came along");
    }

    #[test]
    fn small_messages_share_a_write_and_large_ones_are_not_copied() {
        let mut outgoing = Outgoing::default();
        let large = Bytes::from(vec![7; COPY_BYTES_MAX]);
        outgoing.push_message(Bytes::from_static(b"a"));
        outgoing.push_message(Bytes::from_static(b"b"));
        outgoing.push_message(large.clone());
        let mut scratch = vec![0; 64 << 10];
        let first = outgoing.next_write(&mut scratch).to_vec();
        assert_eq!(first, b"\x82\x01a\x82\x01b\x82\x7e\x40\x00");
        outgoing.advance(first.len());
        assert_eq!(outgoing.next_write(&mut scratch).as_ptr(), large.as_ptr());
    }
}
