//! The path of a request, and the document that it names.

use percent_encoding::percent_decode_str;
use ysyncd_engine::{DocId, DocIdError};

/// What the path of every document begins with.
pub const PATH_PREFIX: &str = "/sync/v1/";

/// Why a path names no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with [`PATH_PREFIX`].
    #[error("nothing is here; documents are at {PATH_PREFIX}<document id>, health at /healthz")]
    Elsewhere,
    /// The name is empty or too long.
    #[error("{0}; use {PATH_PREFIX}<document id>, percent-encoded UTF-8 of 1 to {max} bytes",
        max = DocId::BYTES_MAX)]
    DocId(#[from] DocIdError),
    /// A `%` stands for itself.
    #[error("the document id holds a '%' that is not followed by two hex digits; write it as %25")]
    Percent,
    /// The name is no text.
    #[error("the document id is not UTF-8 after percent-decoding")]
    Utf8,
}

/// The document that a path names, a query left out. Slashes are part of the
/// name, as y-websocket does not encode them.
///
/// # Errors
/// See [`PathError`].
pub fn doc_id(path: &str) -> Result<DocId, PathError> {
    let encoded = path.strip_prefix(PATH_PREFIX).ok_or(PathError::Elsewhere)?;
    if !has_whole_escapes(encoded) {
        return Err(PathError::Percent);
    }
    let name = percent_decode_str(encoded).decode_utf8();
    let name = name.map_err(|_| PathError::Utf8)?;
    Ok(DocId::new(&name)?)
}

/// True if two hex digits follow every `%`. Decoding as such lets others pass
/// unchanged, and two names would be one document.
fn has_whole_escapes(encoded: &str) -> bool {
    encoded.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_path_is_the_document_id() {
        let name = |path: &str| doc_id(path).unwrap().as_str().to_owned();
        assert_eq!(name("/sync/v1/notes"), "notes");
        assert_eq!(name("/sync/v1/team%2Fa%20b"), "team/a b");
        assert_eq!(name("/sync/v1/team/notes/"), "team/notes/");
        assert_eq!(name("/sync/v1//"), "/");
        assert_eq!(name("/sync/v1/%E5%90%8D+"), "名+");
        assert_eq!(name("/sync/v1/100%25"), "100%");
    }

    #[test]
    fn a_path_without_a_document_id_says_what_is_wrong() {
        let error = |path: &str| doc_id(path).unwrap_err();
        assert_eq!(error("/sync/v1"), PathError::Elsewhere);
        assert_eq!(error("/sync/v2/a"), PathError::Elsewhere);
        assert_eq!(error("/sync/v1/"), PathError::DocId(DocIdError::Empty));
        let long = format!("/sync/v1/{}", "a".repeat(DocId::BYTES_MAX + 1));
        assert_eq!(error(&long), PathError::DocId(DocIdError::TooLong));
        for bad in ["%", "%4", "%zz", "a%2", "%%41"] {
            let path = format!("/sync/v1/{bad}");
            assert_eq!(error(&path), PathError::Percent, "{bad}");
        }
        assert_eq!(error("/sync/v1/%ff"), PathError::Utf8);
    }
}
