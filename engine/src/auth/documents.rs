//! Which documents a token is for.

use std::fmt;

use crate::{DocId, DocIdError};

/// Documents that a token is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Documents {
    /// Every one.
    #[default]
    All,
    /// Those that one of the patterns means; of no pattern, none.
    Only(Vec<DocumentPattern>),
}

/// One document, or all whose ids begin in a way. A single document whose id
/// ends with a `*` cannot be named: as text it would mean more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentPattern(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// This one.
    One(DocId),
    /// All that begin so.
    Prefix(String),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}; a pattern is a document id, or its beginning and a `*`")]
pub struct DocumentsError(#[from] DocIdError);

impl Documents {
    /// Whether a document is among them.
    #[must_use]
    pub fn include(&self, doc: &DocId) -> bool {
        match self {
            Self::All => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.means(doc)),
        }
    }
}

impl DocumentPattern {
    /// Reads a document id, or a prefix with a `*` behind it. A `*` elsewhere
    /// is a character as any other.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Self, DocumentsError> {
        Ok(Self(match text.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.to_owned()),
            None => Pattern::One(DocId::new(text)?),
        }))
    }

    fn means(&self, doc: &DocId) -> bool {
        match &self.0 {
            Pattern::One(one) => one == doc,
            Pattern::Prefix(prefix) => doc.as_str().starts_with(prefix.as_str()),
        }
    }
}

impl fmt::Display for DocumentPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::One(doc) => f.write_str(doc.as_str()),
            Pattern::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_one_document_or_all_that_begin_so() {
        let means = |pattern: &str, doc: &str| {
            let pattern = DocumentPattern::parse(pattern).unwrap();
            Documents::Only(vec![pattern]).include(&DocId::new(doc).unwrap())
        };
        assert!(means("team/plan", "team/plan"));
        assert!(!means("team/plan", "team/plans"));
        assert!(!means("team/plan", "team/pla"));
        assert!(means("team/*", "team/plan"));
        assert!(means("team/*", "team/"));
        assert!(!means("team/*", "team"));
        assert!(!means("team/*", "Team/plan"));
        assert!(means("*", "anything"));
        assert!(means("a*b", "a*b"));
        assert!(!means("a*b", "axb"));
        assert!(means("a**", "a*x"));
        assert!(!means("a**", "ax"));
        assert!(DocumentPattern::parse("").is_err());
    }

    #[test]
    fn an_empty_list_means_no_document() {
        let doc = DocId::new("a").unwrap();
        assert!(!Documents::Only(Vec::new()).include(&doc));
        assert!(Documents::All.include(&doc));
    }
}
