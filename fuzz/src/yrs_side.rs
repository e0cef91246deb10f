//! What yrs is asked, and does, in a process that may die of it.

use std::fmt::Write as _;

use yrs::{
    Any, Array, Doc, GetString, Map, MapPrelim, Options, Out, ReadTxn, StateVector, Text, Transact,
    Update,
    types::{Attrs, ToJson},
    updates::decoder::Decode,
};
use ysyncd_engine::{lib0, update};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question<'a> {
    /// The content of these updates.
    Load(Vec<&'a [u8]>),
    /// Updates of honest clients that do what a script says.
    Write(&'a [u8]),
}

impl<'a> Question<'a> {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Load(updates) => {
                out.push(b'l');
                for update in updates {
                    lib0::write_var_bytes(&mut out, update);
                }
            }
            Self::Write(script) => {
                out.push(b'w');
                out.extend_from_slice(script);
            }
        }
        out
    }

    /// # Panics
    /// If the bytes are no question.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Self {
        match bytes.split_first() {
            Some((b'l', rest)) => {
                let mut reader = lib0::Reader::new(rest);
                Self::Load(std::iter::from_fn(|| reader.var_bytes().ok()).collect())
            }
            Some((b'w', script)) => Self::Write(script),
            _ => panic!("no question"),
        }
    }
}

/// The content that updates load to: state vector, deletes, values. `None` if
/// they are refused, or wait for others.
#[must_use]
pub fn load(updates: &[&[u8]]) -> Option<String> {
    let doc = client(1 << 31);
    {
        let mut txn = doc.transact_mut();
        for update in updates {
            txn.apply_update(Update::decode_v1(update).ok()?).ok()?;
        }
    }
    let txn = doc.transact();
    let store = txn.store();
    if store.pending_update().is_some() || store.pending_ds().is_some() {
        return None;
    }
    let bytes = txn.encode_diff_v1(&StateVector::default());
    let told = update::Update::decode(&bytes).ok()?;
    let mut out = String::new();
    let mut clocks: Vec<_> = txn
        .state_vector()
        .iter()
        .map(|(client, clock)| (client.get(), *clock))
        .collect();
    clocks.sort_unstable();
    _ = writeln!(out, "{clocks:?}");
    _ = writeln!(
        out,
        "{:?}",
        merged(
            told.deletes()
                .map(|(client, range)| (client.0, range.start, range.end))
                .collect()
        )
    );
    let mut names: Vec<_> = txn.root_refs().map(|(name, _)| name.to_owned()).collect();
    names.sort_unstable();
    for name in names {
        let text = txn
            .get_text(name.as_str())
            .map(|text| text.get_string(&txn));
        let list = txn.get_array(name.as_str()).map(|list| list.to_json(&txn));
        let map = txn.get_map(name.as_str()).map(|map| map.to_json(&txn));
        _ = writeln!(out, "{name:?}: {text:?}");
        for any in [list, map].into_iter().flatten() {
            write_any(&any, &mut out);
            out.push('\n');
        }
    }
    Some(out)
}

/// Ranges that touch are one.
fn merged(mut ranges: Vec<(u64, u32, u32)>) -> Vec<(u64, u32, u32)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let touch = next.0 == last.0 && next.1 <= last.2;
        if touch {
            last.2 = last.2.max(next.2);
        }
        touch
    });
    ranges
}

/// Maps in the order of their keys.
fn write_any(any: &Any, out: &mut String) {
    match any {
        Any::Array(values) => {
            out.push('[');
            for value in values.iter() {
                write_any(value, out);
                out.push(',');
            }
            out.push(']');
        }
        Any::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in entries {
                _ = write!(out, "{key:?}:");
                write_any(value, out);
                out.push(',');
            }
            out.push('}');
        }
        other => _ = write!(out, "{other:?}"),
    }
}

fn client(id: u64) -> Doc {
    Doc::with_options(Options {
        client_id: yrs::block::ClientID::new(id),
        ..Options::default()
    })
}

/// Three clients write, and now and then hear of each other. Three bytes are
/// an edit: who, what, where.
#[must_use]
pub fn write(script: &[u8]) -> Vec<Vec<u8>> {
    let clients: Vec<_> = [3, 70_000, 5].into_iter().map(client).collect();
    let mut log = Vec::new();
    for step in script.chunks_exact(3).take(100) {
        let (who, what, at) = (usize::from(step[0]) % 3, step[1], u32::from(step[2]));
        if what % 8 == 7 {
            let from = &clients[(who + 1) % 3];
            hear(&clients[who], from);
            continue;
        }
        let update = edit(&clients[who], what, at);
        // `00 00` says nothing.
        if update.len() > 2 {
            log.push(update);
        }
    }
    log
}

fn hear(client: &Doc, from: &Doc) {
    let known = client.transact().state_vector();
    let diff = from.transact().encode_diff_v1(&known);
    let diff = Update::decode_v1(&diff).expect("yrs reads what it wrote");
    client
        .transact_mut()
        .apply_update(diff)
        .expect("yrs takes what it wrote");
}

fn edit(client: &Doc, what: u8, at: u32) -> Vec<u8> {
    let text = client.get_or_insert_text("text");
    let map = client.get_or_insert_map("map");
    let list = client.get_or_insert_array("list");
    let mut txn = client.transact_mut();
    let key = ["a", "b", "c"][at as usize % 3];
    match what % 8 {
        0 | 1 => {
            let len = text.len(&txn);
            text.insert(
                &mut txn,
                at % (len + 1),
                &"abcdefgh"[..usize::from(what) / 32 % 8 + 1],
            );
        }
        2 => {
            let len = text.len(&txn);
            if len > 0 {
                let from = at % len;
                text.remove_range(&mut txn, from, (u32::from(what) / 32 + 1).min(len - from));
            }
        }
        3 => {
            let len = text.len(&txn);
            if len > 0 {
                let from = at % len;
                let attributes = Attrs::from([("b".into(), Any::Bool(what > 127))]);
                text.format(
                    &mut txn,
                    from,
                    (u32::from(what) / 32 + 1).min(len - from),
                    attributes,
                );
            }
        }
        4 => _ = map.insert(&mut txn, key, i64::from(what)),
        5 => match list.get(&txn, at % list.len(&txn).max(1)) {
            Some(Out::YMap(inner)) if what > 127 => {
                _ = inner.insert(&mut txn, key, i64::from(what))
            }
            _ if what > 63 => {
                let len = list.len(&txn);
                list.insert(
                    &mut txn,
                    at % (len + 1),
                    MapPrelim::from([("k", i64::from(at))]),
                );
            }
            _ => {
                let len = list.len(&txn);
                list.insert(&mut txn, at % (len + 1), i64::from(at));
            }
        },
        _ if what > 127 => _ = map.remove(&mut txn, key),
        _ => {
            let len = list.len(&txn);
            if len > 0 {
                list.remove(&mut txn, at % len);
            }
        }
    }
    txn.encode_update_v1()
}
