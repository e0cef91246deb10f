//! Reading a segment back, and telling what was torn from what was damaged.
//!
//! A crash leaves the end of the last segment in any state, but only what was
//! not durable yet. Each frame says how much was durable when it was written,
//! so what is unreadable before that point is damage: it was durable, and is
//! no more.

use super::frame::{Head, Header, Kind};

/// What a segment holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) frames: Vec<Frame>,
    /// Where the frames end, and a torn end begins.
    pub(super) end: usize,
}

/// A frame in its place.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) head: Head,
    pub(super) offset: usize,
    pub(super) len: usize,
    /// Whether the body is what was written.
    pub(super) intact: bool,
}

/// Damage at this offset that does not tell which document it concerns.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) usize);

enum Piece {
    Frame(Frame),
    /// Something that is no frame; how long it is.
    Gap(usize),
}

/// Reads all frames. `durable_len` is the length of a segment that was written
/// to its end, `None` for the last one.
pub(super) fn scan(
    bytes: &[u8],
    header: &Header,
    durable_len: Option<usize>,
) -> Result<Scan, Unreadable> {
    let mut pieces = Vec::new();
    let mut at = header.len();
    while at < bytes.len() {
        let piece = piece(bytes, at, header);
        let offset = at;
        at += match &piece {
            Piece::Frame(frame) => frame.len,
            Piece::Gap(len) => *len,
        };
        pieces.push((offset, piece));
    }
    if durable_len.is_some_and(|len| at < len) {
        return Err(Unreadable(at));
    }
    let durable = durable_len.unwrap_or_else(|| durable_through(&pieces));
    let mut frames = Vec::new();
    for (offset, piece) in pieces {
        match piece {
            Piece::Frame(frame) if frame.intact || offset < durable => frames.push(frame),
            Piece::Gap(_) if offset < durable => return Err(Unreadable(offset)),
            Piece::Frame(_) | Piece::Gap(_) => {
                let end = offset;
                return Ok(Scan { frames, end });
            }
        }
    }
    let end = bytes.len();
    Ok(Scan { frames, end })
}

fn piece(bytes: &[u8], at: usize, header: &Header) -> Piece {
    let salt = &header.salt;
    let head = Head::front(bytes, at, salt).or_else(|| Head::from_tail(bytes, at, salt));
    if let Some(head) = head
        && let Some(len) = head.frame_len()
        && let Some(bytes) = bytes[at..].get(..len)
    {
        let intact = head.body(bytes).is_some();
        return Piece::Frame(Frame {
            head,
            offset: at,
            len,
            intact,
        });
    }
    let next = Head::next_front(bytes, at, salt).unwrap_or(bytes.len());
    Piece::Gap(next - at)
}

/// How much of the segment is known to have been durable.
fn durable_through(pieces: &[(usize, Piece)]) -> usize {
    let known = pieces.iter().filter_map(|(offset, piece)| match piece {
        Piece::Frame(frame) if frame.head.kind == Kind::Synced => Some(*offset),
        Piece::Frame(frame) => usize::try_from(frame.head.synced_through).ok(),
        Piece::Gap(_) => None,
    });
    known.max().unwrap_or(0)
}
