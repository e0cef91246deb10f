//! What an update says.

use ysyncd_engine::{
    lib0::Reader,
    update::{Holds, Id, Outline, Place, Update},
};

use super::{
    SHORT, malformed,
    values::{any_values, json_values, printable, quote},
};

/// What an update says, in one line.
#[must_use]
pub fn update(bytes: &[u8]) -> String {
    update_lines(bytes, SHORT.things, SHORT.bytes).join("; ")
}

/// What an update says: its structs, then what it deletes, at most so many of
/// each, and of each content so many bytes.
#[must_use]
pub fn update_lines(bytes: &[u8], things: usize, content_bytes: usize) -> Vec<String> {
    let update = match Update::decode(bytes) {
        Ok(update) => update,
        Err(error) => return vec![malformed(error)],
    };
    let mut told = Vec::new();
    let structs = update
        .outline()
        .map(|item| one_struct(&item, content_bytes));
    some(structs, things, "structs", &mut told);
    let deletes = update.deletes().map(|(client, range)| {
        format!(
            "deletes client {} [{}..{})",
            client.0, range.start, range.end
        )
    });
    some(deletes, things, "deleted ranges", &mut told);
    if told.is_empty() {
        told.push("nothing".to_owned());
    }
    told
}

fn some(
    mut lines: impl Iterator<Item = String>,
    things: usize,
    name: &str,
    told: &mut Vec<String>,
) {
    told.extend(lines.by_ref().take(things));
    let more = lines.count();
    if more > 0 {
        told.push(format!("… {more} more {name}"));
    }
}

fn one_struct(item: &Outline<'_>, content_bytes: usize) -> String {
    let clocks = item.clocks();
    format!(
        "client {} [{}..{}) {}{}",
        item.id.client.0,
        clocks.start,
        clocks.end,
        holds(&item.holds, content_bytes),
        item.place
            .map_or_else(String::new, |place| self::place(&place)),
    )
}

fn place(place: &Place<'_>) -> String {
    match place {
        Place::Between {
            origin,
            right_origin,
        } => {
            let after = origin.map_or_else(String::new, |at| format!(" after {}", id(at)));
            let before = right_origin.map_or_else(String::new, |at| format!(" before {}", id(at)));
            format!("{after}{before}")
        }
        Place::Root { name, key } => format!(" in {}{}", quote(name, 40), at_key(*key)),
        Place::Inside { parent, key } => format!(" in {}{}", id(*parent), at_key(*key)),
    }
}

fn at_key(key: Option<&[u8]>) -> String {
    key.map_or_else(String::new, |key| format!(" at {}", quote(key, 40)))
}

fn id(id: Id) -> String {
    format!("({},{})", id.client.0, id.clock)
}

fn holds(holds: &Holds<'_>, content_bytes: usize) -> String {
    match *holds {
        Holds::Garbage => "GC".to_owned(),
        Holds::Skipped => "Skip".to_owned(),
        Holds::Deleted => "Deleted".to_owned(),
        Holds::Json(bytes) => format!("JSON {}", json_values(bytes, content_bytes)),
        Holds::Any(bytes) => format!("Any {}", any_values(bytes, content_bytes)),
        Holds::String(text) => format!("String {}", quote(text, content_bytes)),
        Holds::Binary(bytes) => {
            let bytes = Reader::new(bytes).var_bytes().unwrap_or_default();
            format!("Binary of {} bytes", bytes.len())
        }
        Holds::Embed(bytes) => format!("Embed {}", json_values(bytes, content_bytes)),
        Holds::Format(bytes) => format(bytes, content_bytes),
        Holds::Type(bytes) => format!("new {}", type_name(bytes, content_bytes)),
        Holds::Document(bytes) => document(bytes, content_bytes),
    }
}

fn format(bytes: &[u8], content_bytes: usize) -> String {
    let mut reader = Reader::new(bytes);
    let key = reader.var_str().map(printable).unwrap_or_default();
    format!(
        "Format {key} = {}",
        json_values(reader.rest(), content_bytes)
    )
}

fn document(bytes: &[u8], content_bytes: usize) -> String {
    let mut reader = Reader::new(bytes);
    let guid = reader.var_bytes().unwrap_or_default();
    let options = any_values(reader.rest(), content_bytes);
    format!("Document {} {options}", quote(guid, content_bytes))
}

/// The names that Yjs gives to its type references, in order.
fn type_name(bytes: &[u8], content_bytes: usize) -> String {
    let mut reader = Reader::new(bytes);
    let number = reader.var_uint().unwrap_or(u64::MAX);
    let name = usize::try_from(number).ok().and_then(|number| {
        let names = [
            "Array",
            "Map",
            "Text",
            "XmlElement",
            "XmlFragment",
            "XmlHook",
            "XmlText",
        ];
        names.get(number).copied()
    });
    match (name, reader.var_bytes()) {
        (Some(name), Ok(tag)) => format!("{name} {}", quote(tag, content_bytes)),
        (Some(name), Err(_)) => name.to_owned(),
        (None, _) => format!("type {number}"),
    }
}
