//! What a node has of a document, in a few bytes.

/// Hashes (SHA-256) of the three things that make two states equal. One that
/// differs says what is missing; a state vector alone would not tell of deletes,
/// nor of what waits behind a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateDigest {
    /// Of the state vector.
    pub vector: [u8; 32],
    /// Of the delete set in canonical form.
    pub deletes: [u8; 32],
    /// Of the runs of structs behind gaps.
    pub gaps: [u8; 32],
}

impl StateDigest {
    /// Its size in bytes.
    pub const BYTES: usize = 96;

    /// Appends the bytes of it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for hash in [&self.vector, &self.deletes, &self.gaps] {
            out.extend_from_slice(hash);
        }
    }
}
