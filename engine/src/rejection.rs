//! Why an update is not taken.

use thiserror::Error;

/// Why an update of a client who may write is not taken for now. Its text is
/// for the person who made the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Rejection {
    /// The journal does not work.
    #[error("the server cannot make changes durable now; they are taken when it can")]
    NotDurable,
    /// Too much waits to be saved.
    #[error("too many changes wait to be saved; they are taken when there is room")]
    NotSaved,
    /// The document would become too big.
    #[error("the document is full; deleting something makes room")]
    DocumentFull,
    /// All documents in memory together would become too big.
    #[error("the server has no memory left for more; it is taken when there is some")]
    MemoryFull,
    /// One client more than a document may have.
    #[error("too many clients have written to this document")]
    TooManyClients,
    /// It opens more gaps than a document may have.
    #[error("too much in this document waits for content that never came")]
    TooManyGaps,
    /// Its types may stand too deep in each other.
    #[error("types may stand too deep in each other; what does not is taken soon")]
    TooDeep,
}

impl Rejection {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::NotDurable,
        Self::NotSaved,
        Self::DocumentFull,
        Self::MemoryFull,
        Self::TooManyClients,
        Self::TooManyGaps,
        Self::TooDeep,
    ];

    /// In a word, for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotDurable => "not_durable",
            Self::NotSaved => "not_saved",
            Self::DocumentFull => "document_full",
            Self::MemoryFull => "memory_full",
            Self::TooManyClients => "too_many_clients",
            Self::TooManyGaps => "too_many_gaps",
            Self::TooDeep => "too_deep",
        }
    }
}
