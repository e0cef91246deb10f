//! What editors of rich text write besides letters: marks, embeds, elements of XML,
//! and values of all kinds.

use std::sync::Arc;

use rand::{RngExt, rngs::ChaCha8Rng};
use yrs::{
    Any, Array, ArrayRef, Out, Text, TextRef, TransactionMut, Xml, XmlElementPrelim, XmlElementRef,
    XmlFragment, XmlFragmentPrelim, XmlOut, XmlTextPrelim,
    types::{Attrs, xml::XmlIn},
};

use super::content::{erase, place, write};

/// Does one such edit.
pub(super) fn edit(
    text: &TextRef,
    list: &ArrayRef,
    txn: &mut TransactionMut<'_>,
    rng: &mut ChaCha8Rng,
) {
    match rng.random_range(0..8) {
        0 | 1 => mark(text, txn, rng),
        2 => write_marked(text, txn, rng),
        3 => embed(text, txn, rng),
        4 => insert_value(list, txn, rng),
        5 => grow(list, txn, rng),
        _ => edit_within(list, txn, rng),
    }
}

/// Marks a part of a text, or takes a mark from it.
fn mark(text: &TextRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let (from, until) = (place(text, txn, rng), place(text, txn, rng));
    if from != until {
        let (from, until) = (from.min(until), from.max(until));
        text.format(txn, from, until - from, marks(rng));
    }
}

/// Writes a word and marks it: together yrs would end all other marks for it, in the
/// order of a hash table.
fn write_marked(text: &TextRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let at = place(text, txn, rng);
    text.insert(txn, at, "marked");
    text.format(txn, at, 6, marks(rng));
}

/// Puts something that is no letter into a text.
fn embed(text: &TextRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let at = place(text, txn, rng);
    text.insert_embed(txn, at, json(rng));
}

/// One mark, as several come in the order of a hash table.
fn marks(rng: &mut ChaCha8Rng) -> Attrs {
    let (name, value) = match rng.random_range(0..4) {
        0 => ("bold", Any::Bool(true)),
        1 => ("bold", Any::Null),
        2 => ("color", Any::from(["red", "blue"][rng.random_range(0..2)])),
        _ => ("link", map([("href", Any::from("a"))])),
    };
    Attrs::from([(name.into(), value)])
}

/// Inserts a value of any kind. Not a `BigInt`: yrs 0.28 passes it on as a number.
fn insert_value(list: &ArrayRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let at = rng.random_range(0..=list.len(txn));
    let value = match rng.random_range(0..8) {
        0 => Any::Undefined,
        1 => Any::Buffer(Arc::from([0, 0xff, 0x80])),
        _ => json(rng),
    };
    list.insert(txn, at, value);
}

/// A value that JSON can tell, too, as which marks and embeds are written. No text: in a
/// text nobody could tell it from letters.
fn json(rng: &mut ChaCha8Rng) -> Any {
    match rng.random_range(0..5) {
        0 => Any::Null,
        1 => Any::Bool(rng.random()),
        2 => Any::from([0.5, -1.0e300, 1.0e9][rng.random_range(0..3)]),
        3 => Any::Array(Arc::from([Any::Null, Any::from("\u{1f600} \u{0}")])),
        _ => map([("k", Any::Bool(false))]),
    }
}

/// A map of one entry, as more come in the order of a hash table.
fn map([(key, value)]: [(&str, Any); 1]) -> Any {
    Any::from(std::collections::HashMap::from([(key.to_owned(), value)]))
}

/// Inserts a type of XML.
fn grow(list: &ArrayRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let at = rng.random_range(0..=list.len(txn));
    match rng.random_range(0..3) {
        0 => drop(list.insert(txn, at, XmlTextPrelim::new("text"))),
        1 => drop(list.insert(
            txn,
            at,
            XmlFragmentPrelim::new::<_, ()>([XmlIn::from(XmlTextPrelim::new("x"))]),
        )),
        _ => drop(list.insert(txn, at, XmlElementPrelim::empty("p"))),
    }
}

/// Edits what an element of the list holds.
fn edit_within(list: &ArrayRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let len = list.len(txn);
    if len == 0 {
        return;
    }
    match list.get(txn, rng.random_range(0..len)) {
        Some(Out::YXmlText(text)) => edit_text(text.as_ref(), txn, rng),
        Some(Out::YXmlElement(element)) => edit_element(&element, txn, rng),
        Some(Out::YXmlFragment(fragment)) => edit_children(&fragment, txn, rng),
        _ => {}
    }
}

fn edit_text(text: &TextRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    match rng.random_range(0..3) {
        0 => write(text, txn, rng),
        1 => erase(text, txn, rng),
        _ => mark(text, txn, rng),
    }
}

fn edit_element(element: &XmlElementRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let name = ["class", "id"][rng.random_range(0..2)];
    match rng.random_range(0..4) {
        0 => drop(element.insert_attribute(txn, name, "value")),
        1 => element.remove_attribute(txn, &name),
        _ => edit_children(element, txn, rng),
    }
}

fn edit_children<F: XmlFragment>(fragment: &F, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let len = fragment.len(txn);
    let at = rng.random_range(0..=len);
    match rng.random_range(0..4) {
        0 => drop(fragment.insert(txn, at, XmlElementPrelim::empty("li"))),
        1 => drop(fragment.insert(txn, at, XmlTextPrelim::new("in an element"))),
        2 if at < len => fragment.remove(txn, at),
        _ => match fragment.get(txn, at) {
            Some(XmlOut::Text(text)) => edit_text(text.as_ref(), txn, rng),
            Some(XmlOut::Element(element)) => edit_element(&element, txn, rng),
            Some(XmlOut::Fragment(_)) | None => {}
        },
    }
}
