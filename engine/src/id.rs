//! Names of things the engine talks about with the outside.

use std::{fmt, sync::Arc};

/// The name of a document, as it stands in the URL after percent-decoding.
///
/// Any non-empty text is a name. Its length is bounded so that the object key
/// made from it (see `ysyncd_storage::object_name`) fits what S3 allows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DocId(Arc<str>);

impl DocId {
    /// Longest name in UTF-8 bytes. Percent-encoding at most triples it, and
    /// an S3 key holds 1,024 bytes.
    pub const BYTES_MAX: usize = 300;

    /// Takes a decoded name.
    ///
    /// # Errors
    /// The name is empty or longer than [`DocId::BYTES_MAX`].
    pub fn new(name: &str) -> Result<Self, DocIdError> {
        if name.is_empty() {
            Err(DocIdError::Empty)
        } else if name.len() > Self::BYTES_MAX {
            Err(DocIdError::TooLong)
        } else {
            Ok(Self(name.into()))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocId({:?})", &*self.0)
    }
}

/// Why a text is no document name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DocIdError {
    /// Nothing stands where the name should.
    #[error("the document id is empty")]
    Empty,
    /// Longer than [`DocId::BYTES_MAX`].
    #[error("the document id is longer than {} bytes", DocId::BYTES_MAX)]
    TooLong,
}

/// One connection of one client. The driver chooses the numbers and never
/// uses one twice in the life of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnId(pub u64);

/// One storage operation, numbered by the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OpId(pub u64);
