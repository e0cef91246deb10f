//! Reading a segment back, and telling what was torn from what was damaged.
//!
//! A crash leaves the end of the last segment in any state, but only what was
//! not durable yet. Each frame says how much was durable when it was written,
//! so what is unreadable before that point is damage: it was durable, and is
//! no more.

use ysyncd_engine::DocId;

use super::{
    frame::{Head, Header, Kind, Salt},
    index::Place,
    records::Span,
};

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
    let pieces = pieces(bytes, header);
    let at = bytes.len().max(header.len());
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

/// Makes the front of a segment readable that the disk has damaged, given the
/// places of the records that are needed of it. Tells which of them are lost: frames
/// of [`Kind::Damage`] stand there. What is not needed any more is passed over, and
/// costs nobody anything; a trim among it is forgotten, so that records come back that
/// a snapshot holds.
pub(super) fn mend(
    bytes: &mut [u8],
    header: &Header,
    places: &[(DocId, Place)],
) -> Vec<(DocId, Place)> {
    if let Some(front) = bytes.get_mut(..header.len()) {
        front.copy_from_slice(&header.encode());
    }
    let mut lost = Vec::new();
    for (doc, place) in places {
        let start = usize::try_from(place.offset).ok();
        let frame = start.and_then(|start| bytes.get_mut(start..)?.get_mut(..place.len));
        let frame = frame.expect("a record stands in its segment");
        let (offset, salt) = (place.offset, &header.salt);
        if !restore(frame, offset, salt) {
            fill(frame, Kind::Damage, Some(doc), place.span, offset, salt);
            lost.push((doc.clone(), *place));
        }
    }
    for (offset, piece) in pieces(bytes, header) {
        if let Piece::Gap(len) = piece {
            let gap = &mut bytes[offset..offset + len];
            let (offset, salt) = (offset as u64, &header.salt);
            fill(gap, Kind::Synced, None, Span::NONE, offset, salt);
        }
    }
    lost
}

/// Makes both heads of a frame whole again. False if neither is, or the body is
/// not what was written.
fn restore(frame: &mut [u8], offset: u64, salt: &Salt) -> bool {
    let head = Head::of_frame(frame, offset, salt);
    let whole = head.and_then(|head| {
        let mut whole = Vec::with_capacity(frame.len());
        head.write(head.body(frame)?, salt, offset, &mut whole);
        Some(whole)
    });
    whole.is_some_and(|whole| {
        frame.copy_from_slice(&whole);
        true
    })
}

/// Puts a frame into a place that had one or several, of the same documents.
/// What is found in the middle is its body.
fn fill(place: &mut [u8], kind: Kind, doc: Option<&DocId>, span: Span, offset: u64, salt: &Salt) {
    let frame = |body: &[u8]| {
        // All before it is made durable together with it.
        let head = Head::new(kind, doc, span, offset, body);
        let mut frame = Vec::new();
        head.write(body, salt, offset, &mut frame);
        frame
    };
    let around = frame(&[]).len();
    // Less than a frame has never stood anywhere.
    if let Some(found) = place.len().checked_sub(around) {
        let body = place[around / 2..around / 2 + found].to_vec();
        place.copy_from_slice(&frame(&body));
    }
}

fn pieces(bytes: &[u8], header: &Header) -> Vec<(usize, Piece)> {
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
    pieces
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
