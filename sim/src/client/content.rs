//! What clients write, and how it is shown.

use std::fmt::{Display, Write as _};

use rand::{RngExt, rngs::ChaCha8Rng};
use yrs::{
    Any, Array, ArrayRef, GetString, Map, MapPrelim, MapRef, Out, ReadTxn, Text, TextPrelim,
    TextRef, TransactionMut, Xml, XmlElementRef, XmlFragment, XmlOut, types::text::YChange,
};

/// Writes a word somewhere.
pub(super) fn write(text: &TextRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let at = place(text, txn, rng);
    let word = ["a", "bc", "def ", "\u{e9}", "1234567890", "\u{1f600}"][rng.random_range(0..6)];
    text.insert(txn, at, word);
}

/// A place in a text.
pub(super) fn place(text: &TextRef, txn: &TransactionMut<'_>, rng: &mut ChaCha8Rng) -> u32 {
    let letters = letters(text, txn);
    let units = text.len(txn) as usize;
    before_pair(&letters, rng.random_range(0..=units))
}

/// What a text is made of; in the place of what is no letter stands a character that
/// stands for it.
fn letters(text: &TextRef, txn: &TransactionMut<'_>) -> String {
    let letters = text.get_string(txn);
    if utf16_len(&letters) == text.len(txn) as usize {
        return letters;
    }
    let mut all = String::new();
    for part in text.diff(txn, YChange::identity) {
        match part.insert {
            Out::Any(Any::String(letters)) => all.push_str(&letters),
            _ => all.push('\u{fffc}'),
        }
    }
    all
}

/// Removes a few characters.
pub(super) fn erase(text: &TextRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let letters = letters(text, txn);
    let units = text.len(txn) as usize;
    let from = rng.random_range(0..=units);
    let until = (from + rng.random_range(1..=5)).min(units);
    let (from, until) = (before_pair(&letters, from), before_pair(&letters, until));
    if from < until {
        text.remove_range(txn, from, until - from);
    }
}

/// The place, in units of UTF-16, or the one before if it is inside a surrogate pair,
/// where no editor puts a cursor.
fn before_pair(letters: &str, at: usize) -> u32 {
    let mut before = 0;
    for letter in letters.chars() {
        let after = before + letter.len_utf16();
        if after > at {
            break;
        }
        before = after;
    }
    u32::try_from(before).expect("texts are short")
}

/// How many units of UTF-16 a text has: one for each character, and another one for
/// each of those that take four bytes in UTF-8.
fn utf16_len(text: &str) -> usize {
    let long = text.bytes().filter(|byte| *byte >= 0xf0);
    text.chars().count() + long.count()
}

/// Inserts a value, a text or a map.
pub(super) fn grow(list: &ArrayRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let at = rng.random_range(0..=list.len(txn));
    match rng.random_range(0..4) {
        0 => drop(list.insert(txn, at, TextPrelim::new("text"))),
        1 => drop(list.insert(txn, at, MapPrelim::from([("k0", 0)]))),
        _ => insert_value(list, txn, rng),
    }
}

/// Inserts a value.
pub(super) fn insert_value(list: &ArrayRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let at = rng.random_range(0..=list.len(txn));
    list.insert(txn, at, rng.random_range(0..1_000));
}

pub(super) fn shrink(list: &ArrayRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let len = list.len(txn);
    if len > 0 {
        list.remove(txn, rng.random_range(0..len));
    }
}

/// Edits what an element holds.
pub(super) fn edit_within(list: &ArrayRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let len = list.len(txn);
    if len == 0 {
        return;
    }
    match list.get(txn, rng.random_range(0..len)) {
        Some(Out::YText(text)) if rng.random_bool(0.7) => write(&text, txn, rng),
        Some(Out::YText(text)) => erase(&text, txn, rng),
        Some(Out::YMap(map)) => enter(&map, txn, rng),
        _ => {}
    }
}

/// Sets a key, or removes one.
pub(super) fn enter(map: &MapRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let key = key(rng);
    match rng.random_range(0..3) {
        0 => {
            map.remove(txn, key);
        }
        // The same key twice in a row: entries that follow each other.
        1 => {
            map.insert(txn, key, rng.random_range(0..1_000));
            map.insert(txn, key, rng.random_range(0..1_000));
        }
        _ => {
            map.insert(txn, key, rng.random_range(0..1_000));
        }
    }
}

fn key(rng: &mut ChaCha8Rng) -> &'static str {
    ["k0", "k1", "k2"][rng.random_range(0..3)]
}

/// Writes a value down, the same wherever it is the same.
pub(super) fn show(value: &Out, txn: &impl ReadTxn, shown: &mut String) {
    match value {
        Out::YText(text) => show_parts(text, txn, shown),
        Out::YXmlText(text) => show_parts(text, txn, shown),
        Out::YXmlElement(element) => show_element(element, txn, shown),
        Out::YXmlFragment(fragment) => show_children(fragment, txn, shown),
        Out::YMap(map) => {
            let mut entries: Vec<_> = map.iter(txn).collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            shown.push('{');
            for (key, value) in &entries {
                show_text(key, shown);
                shown.push_str(": ");
                show(value, txn, shown);
                shown.push_str(", ");
            }
            shown.push('}');
        }
        Out::YArray(list) => {
            shown.push('[');
            for value in list.iter(txn) {
                show(&value, txn, shown);
                shown.push_str(", ");
            }
            shown.push(']');
        }
        other => shown.push_str(&other.clone().to_string(txn)),
    }
}

/// Writes a text down, and its marks where they change: where yrs divides letters of the
/// same marks depends on marks that are gone.
fn show_parts(text: &impl Text, txn: &impl ReadTxn, shown: &mut String) {
    let (mut letters, mut marks) = (String::new(), None);
    for part in text.diff(txn, YChange::identity) {
        if part.attributes != marks {
            show_text(&std::mem::take(&mut letters), shown);
            marks = part.attributes;
            let marks = marks.iter().flat_map(|marks| marks.iter());
            show_entries(marks.map(|(name, value)| (&**name, value)), shown);
        }
        match &part.insert {
            Out::Any(Any::String(more)) => letters.push_str(more),
            other => {
                show_text(&std::mem::take(&mut letters), shown);
                shown.push('*');
                show(other, txn, shown);
            }
        }
    }
    show_text(&letters, shown);
}

fn show_element(element: &XmlElementRef, txn: &impl ReadTxn, shown: &mut String) {
    let tag = element.try_tag().map_or("", |tag| tag);
    let attributes = element.attributes(txn);
    let attributes = attributes.map(|(name, value)| (name, value.to_string(txn)));
    shown.push('<');
    show_text(tag, shown);
    show_entries(attributes, shown);
    show_children(element, txn, shown);
    shown.push('>');
}

fn show_children(fragment: &impl XmlFragment, txn: &impl ReadTxn, shown: &mut String) {
    for child in fragment.children(txn) {
        match child {
            XmlOut::Text(text) => show_parts(&text, txn, shown),
            XmlOut::Element(element) => show_element(&element, txn, shown),
            XmlOut::Fragment(fragment) => show_children(&fragment, txn, shown),
        }
        shown.push_str(", ");
    }
}

/// Writes down what a hash table holds, in order.
fn show_entries<'a, V: Display>(entries: impl Iterator<Item = (&'a str, V)>, shown: &mut String) {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in entries {
        write!(shown, " {name}={value}").expect("a string takes all");
    }
}

/// Writes a text down as it is, which is quicker than to escape it. As its length
/// comes first, nothing else can look the same.
fn show_text(text: &str, shown: &mut String) {
    write!(shown, "{}'{text}'", text.len()).expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_is_inside_of_a_pair() {
        let letters = "a\u{1f600}\u{e9}";
        assert_eq!(utf16_len(letters), 4);
        let places = (0..=4).map(|at| before_pair(letters, at));
        assert_eq!(places.collect::<Vec<_>>(), [0, 1, 1, 3, 4]);
    }
}
