//! Bytes as the target of a request, and as the name of an object.

#![no_main]

use http::Uri;
use libfuzzer_sys::fuzz_target;
use ysyncd_engine::DocId;
use ysyncd_fuzz::cost::Bound;
use ysyncd_net::path::{PATH_PREFIX, doc_id};
use ysyncd_storage::object_name;

/// The decoded name, the id made of it, and its name once more, three times as
/// long and in a text that grows. The worst seen was 5 a byte, and 8 in all.
const NAMING: Bound = Bound {
    peak_per_byte: 10,
    total_per_byte: 32,
    fixed: 1 << 10,
};

fuzz_target!(|input: &[u8]| {
    if let Ok(target) = Uri::try_from(input) {
        let path = target.path();
        if let Ok(doc) = NAMING.keep(path.len(), || doc_id(path)) {
            assert_found_again(&doc);
        }
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(doc) = DocId::new(text) {
        assert_found_again(&doc);
    }
    if let Some(doc) = NAMING.keep(text.len(), || object_name::doc_id(text)) {
        assert_eq!(object_name::object_name(&doc), text);
    }
});

/// A client that encodes the name of a document asks for that document; and so
/// does its object.
fn assert_found_again(doc: &DocId) {
    let name = object_name::object_name(doc);
    assert!(name.len() <= object_name::BYTES_MAX && !name.contains('/'));
    assert_eq!(object_name::doc_id(&name).as_ref(), Some(doc));
    let encoded = name.strip_suffix(".bin").expect("every name ends so");
    let target: Uri = format!("{PATH_PREFIX}{encoded}?token=x")
        .parse()
        .expect("it is encoded");
    assert_eq!(doc_id(target.path()).as_ref(), Ok(doc));
}
