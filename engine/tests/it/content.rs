//! What a yrs document holds, in a form that can be compared.

use yrs::{
    Any, Array, Doc, GetString, Map, OffsetKind, Options, Out, ReadTxn, Snapshot, Text, Transact,
    Update, Xml, XmlFragment, block::ClientID, types::text::YChange, updates::decoder::Decode,
};

/// The types that every test document has at its root.
pub(crate) const ROOTS: [&str; 4] = ["text", "array", "map", "xml"];

/// A yrs document as a JavaScript client has it: offsets count UTF-16 units.
///
/// It does not clean up formatting after others. Yjs shares what it cleans up;
/// yrs keeps it to itself, and its peers drift apart.
pub(crate) fn yrs_doc(client: u64, skip_gc: bool) -> Doc {
    let options = Options {
        offset_kind: OffsetKind::Utf16,
        skip_gc,
        cleanup_formatting: false,
        ..Options::with_client_id(ClientID::new(client))
    };
    with_roots(Doc::with_options(options))
}

/// A document to compare with, which writes nothing.
pub(crate) fn reader() -> Doc {
    yrs_doc(1 << 40, false)
}

fn with_roots(doc: Doc) -> Doc {
    doc.get_or_insert_text("text");
    doc.get_or_insert_array("array");
    doc.get_or_insert_map("map");
    doc.get_or_insert_xml_fragment("xml");
    doc
}

/// A fresh document that has taken some updates, one after the other.
pub(crate) fn load<B: AsRef<[u8]>>(updates: impl IntoIterator<Item = B>) -> Doc {
    let doc = reader();
    for update in updates {
        apply(&doc, update.as_ref());
    }
    doc
}

/// Applies an update as a provider does.
pub(crate) fn apply(doc: &Doc, update: &[u8]) {
    let update = Update::decode_v1(update)
        .unwrap_or_else(|error| panic!("yrs does not decode {update:02x?}: {error}"));
    let mut txn = doc.transact_mut_with("remote");
    txn.apply_update(update).expect("yrs integrates it");
}

/// Everything that two documents have to agree on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) content: String,
    pub(crate) snapshot: Snapshot,
    pub(crate) waits: bool,
}

/// The `BigInt` that the histories use, as an encoded value.
pub(crate) const BIG_INT: [u8; 9] = [122, 0, 0, 1, 0, 0, 0, 0, 9];

impl Told {
    /// What is left after yrs has encoded it again: `BigInt` becomes a number.
    pub(crate) fn without_big_ints(mut self) -> Self {
        self.content = self
            .content
            .replace("Int(1099511627785)", "Float(1099511627785.0)");
        self
    }
}

/// Asserts that two documents tell the same, and shows where they differ.
#[track_caller]
pub(crate) fn assert_same(told: &Told, truth: &Told, which: impl std::fmt::Display) {
    for (told, truth) in told.content.lines().zip(truth.content.lines()) {
        assert_eq!(told, truth, "{which}: content");
    }
    let (told_sets, truth_sets) = (&told.snapshot, &truth.snapshot);
    assert_eq!(told_sets.state_map, truth_sets.state_map, "{which}");
    assert_eq!(told_sets.delete_set, truth_sets.delete_set, "{which}");
    assert_eq!(told.waits, truth.waits, "{which}: waits for something");
}

/// Tells a document: its content, its state vector and delete set, and whether
/// it waits for something.
pub(crate) fn tell(doc: &Doc) -> Told {
    let txn = doc.transact();
    Told {
        content: content(&txn),
        snapshot: txn.snapshot(),
        waits: txn.has_missing_updates(),
    }
}

/// The content of all root types, formatting and all.
pub(crate) fn content(txn: &impl ReadTxn) -> String {
    let mut out = String::new();
    for name in ROOTS {
        out.push_str(name);
        out.push('=');
        if let Some(root) = root(txn, name) {
            write_out(&root, txn, &mut out);
        }
        out.push('\n');
    }
    out
}

/// A root type by its name.
pub(crate) fn root(txn: &impl ReadTxn, name: &str) -> Option<Out> {
    Some(match name {
        "text" => Out::YText(txn.get_text(name)?),
        "array" => Out::YArray(txn.get_array(name)?),
        "map" => Out::YMap(txn.get_map(name)?),
        _ => Out::YXmlFragment(txn.get_xml_fragment(name)?),
    })
}

/// The shared types that a type holds, in an order that repeats.
pub(crate) fn children(of: &Out, txn: &impl ReadTxn) -> Vec<Out> {
    let all: Vec<Out> = match of {
        Out::YText(text) => pieces(text, txn).into_iter().map(|piece| piece.0).collect(),
        Out::YXmlText(text) => pieces(text, txn).into_iter().map(|piece| piece.0).collect(),
        Out::YArray(array) => array.iter(txn).collect(),
        Out::YMap(map) => {
            let mut entries: Vec<_> = map.iter(txn).collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            entries.into_iter().map(|(_, value)| value).collect()
        }
        Out::YXmlElement(node) => node.children(txn).map(Into::into).collect(),
        Out::YXmlFragment(node) => node.children(txn).map(Into::into).collect(),
        _ => Vec::new(),
    };
    let is_type = |out: &Out| !matches!(out, Out::Any(_) | Out::YDoc(_) | Out::UndefinedRef(_));
    all.into_iter().filter(is_type).collect()
}

type Piece = (Out, Vec<(String, Any)>);

/// A text in pieces of equal formatting, embeds by themselves.
pub(crate) fn pieces(text: &impl Text, txn: &impl ReadTxn) -> Vec<Piece> {
    let diff = text.diff(txn, YChange::identity);
    let pieces = diff.into_iter().map(|piece| {
        let attributes = piece.attributes.map(|boxed| *boxed).unwrap_or_default();
        let mut attributes: Vec<_> = attributes
            .into_iter()
            .map(|(key, value)| (key.to_string(), value))
            .collect();
        attributes.sort_by(|a, b| a.0.cmp(&b.0));
        (piece.insert, attributes)
    });
    pieces.collect()
}

fn write_out(out: &Out, txn: &impl ReadTxn, to: &mut String) {
    match out {
        Out::Any(any) => write_any(any, to),
        Out::YText(text) => write_text(text, txn, to),
        Out::YXmlText(text) => {
            write_attributes(text, txn, to);
            write_text(text, txn, to);
            to.push_str(&text.get_string(txn));
        }
        Out::YArray(array) => {
            to.push_str(&format!("array {}", array.len(txn)));
            write_all(array.iter(txn), txn, to);
        }
        Out::YMap(map) => {
            let mut entries: Vec<_> = map.iter(txn).collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            to.push_str("map{");
            for (key, value) in entries {
                to.push_str(&format!("{key:?}:"));
                write_out(&value, txn, to);
                to.push(',');
            }
            to.push('}');
        }
        Out::YXmlElement(node) => {
            to.push_str(&format!("<{}", node.tag()));
            write_attributes(node, txn, to);
            write_all(node.children(txn).map(Into::into), txn, to);
        }
        Out::YXmlFragment(node) => {
            to.push_str("fragment");
            write_all(node.children(txn).map(Into::into), txn, to);
        }
        Out::YDoc(doc) => to.push_str(&format!("doc {}", doc.guid())),
        Out::UndefinedRef(_) => to.push_str("undefined type"),
    }
}

fn write_all(all: impl Iterator<Item = Out>, txn: &impl ReadTxn, to: &mut String) {
    to.push('[');
    for out in all {
        write_out(&out, txn, to);
        to.push(',');
    }
    to.push(']');
}

fn write_text(text: &impl Text, txn: &impl ReadTxn, to: &mut String) {
    to.push_str(&format!("text {}[", text.len(txn)));
    for (insert, attributes) in pieces(text, txn) {
        write_out(&insert, txn, to);
        for (key, value) in attributes {
            to.push_str(&format!(" {key:?}="));
            write_any(&value, to);
        }
        to.push(',');
    }
    to.push(']');
}

fn write_attributes(node: &impl Xml, txn: &impl ReadTxn, to: &mut String) {
    let mut attributes: Vec<_> = node.attributes(txn).collect();
    attributes.sort_by(|a, b| a.0.cmp(b.0));
    for (key, value) in attributes {
        to.push_str(&format!(" {key:?}="));
        write_out(&value, txn, to);
    }
}

fn write_any(any: &Any, to: &mut String) {
    match any {
        Any::Map(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            to.push('{');
            for (key, value) in entries {
                to.push_str(&format!("{key:?}:"));
                write_any(value, to);
                to.push(',');
            }
            to.push('}');
        }
        Any::Array(all) => {
            to.push('[');
            for value in all.iter() {
                write_any(value, to);
                to.push(',');
            }
            to.push(']');
        }
        plain => to.push_str(&format!("{plain:?}")),
    }
}
