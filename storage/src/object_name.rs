//! Names of objects: `<encodeURIComponent(docId)>.bin`.
//!
//! The name of a document's object is the same in a folder as in a bucket, so
//! that objects can be copied from one to the other, and a person who knows
//! JavaScript can find one. Encoding leaves the ASCII letters, the digits and
//! ``-_.!~*'()`` as they are and writes every other byte of the UTF-8 text as
//! `%XX` in upper case; hence the name is plain ASCII without a slash, and two
//! documents never share one.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ysyncd_engine::DocId;

/// What every object's name ends with.
const SUFFIX: &str = ".bin";

/// What `encodeURIComponent` escapes (ECMA-262, section "URI Handling
/// Functions": all but `uriUnreserved`).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// Longest name in bytes.
pub const BYTES_MAX: usize = 3 * DocId::BYTES_MAX + SUFFIX.len();

/// The name of a document's object: at most three bytes for each byte of the
/// id, and four more.
#[must_use]
pub fn object_name(doc: &DocId) -> String {
    format!("{}{SUFFIX}", utf8_percent_encode(doc.as_str(), ESCAPED))
}

/// What the names of all objects begin with whose documents' ids begin with
/// `id_prefix`.
#[must_use]
pub fn object_name_prefix(id_prefix: &str) -> String {
    utf8_percent_encode(id_prefix, ESCAPED).to_string()
}

/// The document that an object is named after; `None` if [`object_name`]
/// gives no document this name.
#[must_use]
pub fn doc_id(object_name: &str) -> Option<DocId> {
    let encoded = object_name.strip_suffix(SUFFIX)?;
    let decoded = percent_decode_str(encoded).decode_utf8().ok()?;
    let doc = DocId::new(&decoded).ok()?;
    // Decoding is lenient (`%2f`, `a b`, a lone `%`), names are not.
    (self::object_name(&doc) == object_name).then_some(doc)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name_of(doc: &str) -> String {
        object_name(&DocId::new(doc).unwrap())
    }

    #[test]
    fn names_are_those_of_encode_uri_component() {
        // node -e 'console.log(encodeURIComponent(…))', Node 20.20.2
        for (doc, encoded) in [
            ("plain", "plain"),
            ("a/b", "a%2Fb"),
            (".", "."),
            ("..", ".."),
            ("%2e", "%252e"),
            ("a b", "a%20b"),
            ("ä", "%C3%A4"),
            ("名前", "%E5%90%8D%E5%89%8D"),
            ("😀", "%F0%9F%98%80"),
            ("-_.!~*'()", "-_.!~*'()"),
            ("#?&=+;,:@$", "%23%3F%26%3D%2B%3B%2C%3A%40%24"),
            ("[]{}|\\^`\"<>", "%5B%5D%7B%7D%7C%5C%5E%60%22%3C%3E"),
            ("CON", "CON"),
            ("a.", "a."),
            ("a ", "a%20"),
        ] {
            assert_eq!(name_of(doc), format!("{encoded}.bin"));
        }
    }

    #[test]
    fn every_ascii_character_is_encoded_as_node_does() {
        // let a = ""; for (let i = 0; i < 128; i++) a += String.fromCharCode(i)
        // console.log(encodeURIComponent(a)), Node 20.20.2
        let encoded = "%00%01%02%03%04%05%06%07%08%09%0A%0B%0C%0D%0E%0F\
            %10%11%12%13%14%15%16%17%18%19%1A%1B%1C%1D%1E%1F\
            %20!%22%23%24%25%26'()*%2B%2C-.%2F0123456789%3A%3B%3C%3D%3E%3F\
            %40ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_\
            %60abcdefghijklmnopqrstuvwxyz%7B%7C%7D~%7F";
        let ascii: String = (0..128u8).map(char::from).collect();
        assert_eq!(name_of(&ascii), format!("{encoded}.bin"));
    }

    #[test]
    fn what_names_no_document_is_not_decoded() {
        for name in [
            "",
            ".bin",
            "a",
            "a.BIN",
            "a.bin.tmp",
            "a b.bin",
            "a/b.bin",
            "a%2fb.bin",
            "%41.bin",
            "%.bin",
            "%2.bin",
            "%FF.bin",
            "ä.bin",
        ] {
            assert_eq!(doc_id(name), None, "{name}");
        }
        assert_eq!(doc_id(&format!("{}.bin", "a".repeat(301))), None);
    }

    proptest! {
        #[test]
        fn a_name_leads_back_to_its_document(
            text in proptest::collection::vec(any::<char>(), 1..75)
        ) {
            let doc = DocId::new(&String::from_iter(text)).unwrap();
            prop_assert_eq!(doc_id(&object_name(&doc)), Some(doc));
        }

        #[test]
        fn only_a_documents_own_name_leads_to_it(name in "[-a%2FfE3.!/ ]{0,12}(\\.bin)?") {
            if let Some(doc) = doc_id(&name) {
                prop_assert_eq!(object_name(&doc), name);
            }
        }
    }
}
