//! What clients write, and how it is shown.

use std::fmt::Write as _;

use rand::{RngExt, rngs::ChaCha8Rng};
use yrs::{
    Array, ArrayRef, GetString, Map, MapPrelim, MapRef, Out, ReadTxn, Text, TextPrelim, TextRef,
    TransactionMut,
};

/// Writes a word somewhere.
pub(super) fn write(text: &TextRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let units: Vec<u16> = text.get_string(txn).encode_utf16().collect();
    let at = before_pair(&units, rng.random_range(0..=units.len()));
    let word = ["a", "bc", "def ", "\u{e9}", "1234567890", "\u{1f600}"][rng.random_range(0..6)];
    text.insert(txn, at, word);
}

/// Removes a few characters.
pub(super) fn erase(text: &TextRef, txn: &mut TransactionMut<'_>, rng: &mut ChaCha8Rng) {
    let units: Vec<u16> = text.get_string(txn).encode_utf16().collect();
    let from = rng.random_range(0..=units.len());
    let until = (from + rng.random_range(1..=5)).min(units.len());
    let (from, until) = (before_pair(&units, from), before_pair(&units, until));
    if from < until {
        text.remove_range(txn, from, until - from);
    }
}

/// The place, or the one before if it is inside a surrogate pair, where no
/// editor puts a cursor.
fn before_pair(units: &[u16], at: usize) -> u32 {
    let is_inside = units
        .get(at)
        .is_some_and(|unit| (0xdc00..0xe000).contains(unit));
    u32::try_from(at - usize::from(is_inside)).expect("texts are short")
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
        Out::YText(text) => show_text(&text.get_string(txn), shown),
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

/// Writes a text down as it is, which is quicker than to escape it. As its length
/// comes first, nothing else can look the same.
fn show_text(text: &str, shown: &mut String) {
    write!(shown, "{}'{text}'", text.len()).expect("a string takes all");
}
