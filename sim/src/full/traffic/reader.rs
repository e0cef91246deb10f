//! Takes what is sent on one way of a connection apart: HTTP, then WebSocket
//! frames if both sides agreed on that. Whatever is sent, some message comes
//! of it or none; hostile clients send what is neither.

use bytes::{Buf, Bytes, BytesMut};

/// All that was sent of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// A request or an answer.
    Http { head: String, body: Bytes },
    /// A WebSocket message, or a control frame.
    Frame { opcode: u8, payload: Bytes },
    /// It broke off after these bytes.
    Rest(Bytes),
}

/// What comes next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Grammar {
    #[default]
    Http,
    WebSocket,
}

/// Of one way.
#[derive(Debug, Default)]
pub(super) struct Reader {
    grammar: Grammar,
    inbox: BytesMut,
    /// A message that has come in part.
    fragments: BytesMut,
    opcode: u8,
}

impl Reader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// Bytes that no message was made of yet.
    pub(super) fn left(&self) -> usize {
        self.inbox.len()
    }

    /// What nothing will come of any more.
    pub(super) fn rest(&mut self) -> Option<Message> {
        let rest = self.inbox.split().freeze();
        (!rest.is_empty()).then_some(Message::Rest(rest))
    }

    pub(super) fn next(&mut self) -> Option<Message> {
        match self.grammar {
            Grammar::Http => self.next_http(),
            Grammar::WebSocket => self.next_frame(),
        }
    }

    fn next_http(&mut self) -> Option<Message> {
        let end = self.inbox.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.inbox[..end]).into_owned();
        let len = header(&head, "content-length").and_then(|len| len.parse().ok());
        let body_len: usize = len.unwrap_or(0);
        if self.inbox.len() - end < body_len {
            return None;
        }
        self.inbox.advance(end);
        let body = self.inbox.split_to(body_len).freeze();
        if header(&head, "upgrade").is_some() {
            self.grammar = Grammar::WebSocket;
        }
        Some(Message::Http { head, body })
    }

    /// RFC 6455, section 5.2, without its rules.
    fn next_frame(&mut self) -> Option<Message> {
        loop {
            let (first, payload) = self.take_frame()?;
            let (is_last, opcode) = (first & 0x80 != 0, first & 0x0f);
            if opcode >= 8 {
                return Some(Message::Frame { opcode, payload });
            }
            if opcode != 0 {
                self.opcode = opcode;
                self.fragments.clear();
            }
            self.fragments.extend_from_slice(&payload);
            if is_last {
                let (opcode, payload) = (self.opcode, self.fragments.split().freeze());
                return Some(Message::Frame { opcode, payload });
            }
        }
    }

    fn take_frame(&mut self) -> Option<(u8, Bytes)> {
        let (&first, &second) = (self.inbox.first()?, self.inbox.get(1)?);
        let extra = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let number = |number, byte: &u8| (number << 8) | u64::from(*byte);
        let len = match extra {
            0 => u64::from(second & 0x7f),
            _ => self.inbox.get(2..2 + extra)?.iter().fold(0, number),
        };
        let mask_len = if second & 0x80 == 0 { 0 } else { 4 };
        let start = 2 + extra + mask_len;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        if self.inbox.len() < end {
            return None;
        }
        let frame = self.inbox.split_to(end);
        let mask = frame[2 + extra..start].iter().cycle();
        let payload = match mask_len {
            0 => Bytes::copy_from_slice(&frame[start..]),
            _ => frame[start..]
                .iter()
                .zip(mask)
                .map(|(b, m)| b ^ m)
                .collect(),
        };
        Some((first, payload))
    }
}

/// The value of a header of a request or an answer.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(named, _)| named.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], piece: usize) -> Vec<Message> {
        let (mut reader, mut read) = (Reader::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            read.extend(std::iter::from_fn(|| reader.next()));
        }
        read.extend(reader.rest());
        read
    }

    fn frame(opcode: u8, payload: &'static [u8]) -> Message {
        let payload = Bytes::from_static(payload);
        Message::Frame { opcode, payload }
    }

    #[test]
    fn requests_and_answers_come_whole() {
        let bytes = b"PUT /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\nGET";
        for piece in 1..bytes.len() {
            let read = read(bytes, piece);
            let [
                Message::Http { head, body },
                Message::Http { .. },
                Message::Rest(rest),
            ] = &read[..]
            else {
                panic!("{read:?}");
            };
            assert!(head.starts_with("PUT /a"));
            assert_eq!((&body[..], &rest[..]), (&b"abc"[..], &b"GET"[..]));
        }
    }

    #[test]
    fn frames_come_whole_and_bare() {
        let mut bytes = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n".to_vec();
        // In two fragments around a ping, masked; then one that is not.
        bytes.extend([0x02, 0x81, 1, 2, 3, 4, 9 ^ 1]);
        bytes.extend([0x89, 0x80, 1, 2, 3, 4]);
        bytes.extend([0x80, 0x82, 0, 0, 0, 0, 8, 7, 0x88, 0x02, 3, 0xe8]);
        for piece in 1..bytes.len() {
            let read = read(&bytes, piece);
            let expected = [frame(9, b""), frame(2, &[9, 8, 7]), frame(8, &[3, 0xe8])];
            assert_eq!(read[1..], expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn nothing_breaks_it() {
        let head = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
        for hostile in [
            &[0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0][..],
            &[0x83, 0x80, 0, 0, 0, 0, 0x80, 0x80],
            &[0xff; 40],
        ] {
            read(&[&head[..], hostile].concat(), 3);
            read(hostile, 3);
        }
        read(
            b"A HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
            5,
        );
    }
}
