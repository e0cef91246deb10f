//! A message of the bus, as bytes.
//!
//! ```text
//! message = version kind node incarnation body
//! version = 01
//! kind    = 00 update | 01 diff | 02 awareness | 03 digest | 04 state
//!         | 05 saved | 06 in store | 07 joined
//! node, incarnation, to = 8 bytes, the highest first
//! update, diff = a Yjs v1 update
//! awareness    = who is there, see Presence
//! digest, joined = vector deletes gaps                (32 bytes each)
//! state        = to vector deletes gaps state-vector
//! saved        = vector deletes gaps length etag    (UTF-8, its length in 2 bytes)
//! in store     = length etag
//! ```
//!
//! Bytes are taken apart only; what they tell, an update say, is checked by who
//! takes it. docs/PROTOCOL.md shows each message.

use bytes::Bytes;
use thiserror::Error;

use super::{Node, StateDigest};

/// The version of all messages.
const VERSION: u8 = 1;

const UPDATE: u8 = 0;
const DIFF: u8 = 1;
const AWARENESS: u8 = 2;
const DIGEST: u8 = 3;
const STATE: u8 = 4;
const SAVED: u8 = 5;
const IN_STORE: u8 = 6;
const JOINED: u8 = 7;

/// Bytes in front of what a message says.
const HEADER: usize = 18;

/// Who says what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Who published it.
    pub from: Node,
    /// What it says.
    pub body: Body<'a>,
}

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// A client's update has become part of the document: what of it was new.
    Update(&'a [u8]),
    /// An update with what a node lacked that has said so.
    Diff(&'a [u8]),
    /// Clients that are connected to the sender, or were: see
    /// [`Presence`](super::Presence).
    Awareness(&'a [u8]),
    /// So much the sender has.
    Digest(StateDigest),
    /// The same of one that has just subscribed, and knows of nobody's presence.
    Joined(StateDigest),
    /// The sender has not what somebody's digest said. This it has.
    State {
        /// Whose digest: that node is to answer.
        to: u64,
        /// What the sender has, in short …
        digest: StateDigest,
        /// … and its state vector, as Yjs encodes it.
        state_vector: &'a [u8],
    },
    /// The sender has written the snapshot.
    Saved {
        /// What that holds.
        digest: StateDigest,
        /// The name that the store gave it.
        etag: &'a str,
    },
    /// What a node lacked is too large for the bus, and is in the store.
    InStore {
        /// The name that the store gave to the object.
        etag: &'a str,
    },
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum EnvelopeError {
    /// The bytes end too early.
    #[error("unexpected end")]
    End,
    /// Bytes follow after the end.
    #[error("trailing bytes")]
    TrailingBytes,
    /// A version that is not known here.
    #[error("unknown version {0}")]
    Version(u8),
    /// A kind that is not known here.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// A text that is not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// Something else where there is to be yes or no.
    #[error("invalid flag")]
    Flag,
}

impl<'a> Envelope<'a> {
    /// Takes a message apart. Allocates nothing.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn decode(message: &'a [u8]) -> Result<Self, EnvelopeError> {
        let (&[version, kind], rest) = take(message)?;
        if version != VERSION {
            return Err(EnvelopeError::Version(version));
        }
        let (node, rest) = take(rest)?;
        let (incarnation, rest) = take(rest)?;
        let from = Node {
            id: u64::from_be_bytes(*node),
            incarnation: u64::from_be_bytes(*incarnation),
        };
        let body = Body::decode(kind, rest)?;
        Ok(Self { from, body })
    }

    /// The bytes of it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(HEADER + self.body.len());
        out.extend_from_slice(&[VERSION, self.body.kind()]);
        out.extend_from_slice(&self.from.id.to_be_bytes());
        out.extend_from_slice(&self.from.incarnation.to_be_bytes());
        self.body.write(&mut out);
        out.into()
    }
}

impl<'a> Body<'a> {
    fn decode(kind: u8, rest: &'a [u8]) -> Result<Self, EnvelopeError> {
        Ok(match kind {
            UPDATE => Self::Update(rest),
            DIFF => Self::Diff(rest),
            AWARENESS => Self::Awareness(rest),
            DIGEST | JOINED => {
                let (digest, rest) = take_digest(rest)?;
                ended(rest)?;
                match kind {
                    DIGEST => Self::Digest(digest),
                    _ => Self::Joined(digest),
                }
            }
            STATE => {
                let (to, rest) = take(rest)?;
                let (digest, state_vector) = take_digest(rest)?;
                Self::State {
                    to: u64::from_be_bytes(*to),
                    digest,
                    state_vector,
                }
            }
            SAVED => {
                let (digest, rest) = take_digest(rest)?;
                let etag = last_etag(rest)?;
                Self::Saved { digest, etag }
            }
            IN_STORE => Self::InStore {
                etag: last_etag(rest)?,
            },
            unknown => return Err(EnvelopeError::Kind(unknown)),
        })
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Update(_) => UPDATE,
            Self::Diff(_) => DIFF,
            Self::Awareness(_) => AWARENESS,
            Self::Digest(_) => DIGEST,
            Self::State { .. } => STATE,
            Self::Saved { .. } => SAVED,
            Self::InStore { .. } => IN_STORE,
            Self::Joined(_) => JOINED,
        }
    }

    /// Its size, or more.
    const fn len(&self) -> usize {
        match self {
            Self::Update(bytes) | Self::Diff(bytes) | Self::Awareness(bytes) => bytes.len(),
            Self::State { state_vector, .. } => 8 + StateDigest::BYTES + state_vector.len(),
            Self::Saved { etag, .. } => StateDigest::BYTES + 2 + etag.len(),
            Self::Digest(_) | Self::Joined(_) => StateDigest::BYTES,
            Self::InStore { etag } => 2 + etag.len(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Update(bytes) | Self::Diff(bytes) | Self::Awareness(bytes) => {
                out.extend_from_slice(bytes);
            }
            Self::Digest(digest) | Self::Joined(digest) => digest.write(out),
            Self::State {
                to,
                digest,
                state_vector,
            } => {
                out.extend_from_slice(&to.to_be_bytes());
                digest.write(out);
                out.extend_from_slice(state_vector);
            }
            Self::Saved { digest, etag } => {
                digest.write(out);
                write_etag(etag, out);
            }
            Self::InStore { etag } => write_etag(etag, out),
        }
    }
}

/// The first bytes, and the rest.
fn take<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), EnvelopeError> {
    bytes.split_first_chunk().ok_or(EnvelopeError::End)
}

fn take_digest(bytes: &[u8]) -> Result<(StateDigest, &[u8]), EnvelopeError> {
    let (vector, rest) = take(bytes)?;
    let (deletes, rest) = take(rest)?;
    let (gaps, rest) = take(rest)?;
    let digest = StateDigest {
        vector: *vector,
        deletes: *deletes,
        gaps: *gaps,
    };
    Ok((digest, rest))
}

/// An etag that ends the message.
fn last_etag(bytes: &[u8]) -> Result<&str, EnvelopeError> {
    let (len, etag) = take(bytes)?;
    let len = usize::from(u16::from_be_bytes(*len));
    let (etag, rest) = etag.split_at_checked(len).ok_or(EnvelopeError::End)?;
    ended(rest)?;
    std::str::from_utf8(etag).map_err(|_| EnvelopeError::Utf8)
}

/// No store has longer ones; cut, it is of no use, and does no harm.
fn write_etag(etag: &str, out: &mut Vec<u8>) {
    let len = u16::try_from(etag.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&etag.as_bytes()[..usize::from(len)]);
}

const fn ended(rest: &[u8]) -> Result<(), EnvelopeError> {
    match rest.is_empty() {
        true => Ok(()),
        false => Err(EnvelopeError::TrailingBytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Node = Node {
        id: 7,
        incarnation: u64::MAX,
    };
    const DIGEST_OF: StateDigest = StateDigest {
        vector: [1; 32],
        deletes: [2; 32],
        gaps: [3; 32],
    };

    fn bodies() -> [Body<'static>; 8] {
        [
            Body::Update(&[0, 0]),
            Body::Diff(&[9]),
            Body::Awareness(&[]),
            Body::Digest(DIGEST_OF),
            Body::Joined(DIGEST_OF),
            Body::State {
                to: 3,
                digest: DIGEST_OF,
                state_vector: &[1, 5, 1],
            },
            Body::Saved {
                digest: DIGEST_OF,
                etag: "\"etag\"",
            },
            Body::InStore { etag: "\"etag\"" },
        ]
    }

    #[test]
    fn a_message_survives_a_round_trip() {
        for body in bodies() {
            let envelope = Envelope { from: FROM, body };
            assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
        }
    }

    #[test]
    fn a_message_cut_short_is_none_where_that_can_be_seen() {
        for body in bodies() {
            let bytes = Envelope { from: FROM, body }.encode();
            for len in 0..HEADER {
                assert!(Envelope::decode(&bytes[..len]).is_err(), "{body:?} {len}");
            }
        }
        for body in &bodies()[3..7] {
            let bytes = Envelope {
                from: FROM,
                body: *body,
            }
            .encode();
            for len in HEADER..HEADER + StateDigest::BYTES {
                let cut = Envelope::decode(&bytes[..len]);
                assert_eq!(cut, Err(EnvelopeError::End), "{body:?} {len}");
            }
        }
    }

    #[test]
    fn what_is_unknown_is_no_message() {
        let mut bytes = Envelope {
            from: FROM,
            body: Body::InStore { etag: "e" },
        }
        .encode()
        .to_vec();
        bytes.push(0);
        assert_eq!(Envelope::decode(&bytes), Err(EnvelopeError::TrailingBytes));
        bytes[1] = 8;
        assert_eq!(Envelope::decode(&bytes), Err(EnvelopeError::Kind(8)));
        bytes[0] = 2;
        assert_eq!(Envelope::decode(&bytes), Err(EnvelopeError::Version(2)));
    }
}
