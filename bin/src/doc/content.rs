//! What a document holds, built by yrs. This runs in a process of its own,
//! which `materialise` starts.

use std::{
    fmt::Write as _,
    io::{self, Read},
    process,
};

use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use yrs::{
    Any, ArrayRef, Doc, GetString, MapRef, Number, Out, ReadTxn, Text, TextRef, Transact, Update,
    XmlFragmentRef,
    branch::{Branch, BranchPtr},
    types::{ToJson, text::YChange},
    updates::decoder::Decode,
};

use super::output;
use crate::{cli::MaterialiseSettings, failure::Failure};

/// Reads an update from standard input and prints the content of its roots.
///
/// # Errors
/// yrs does not take the update.
pub(super) fn run(settings: &MaterialiseSettings) -> Result<(), Failure> {
    let mut update = Vec::new();
    io::stdin()
        .read_to_end(&mut update)
        .map_err(Failure::outside)?;
    let update = Update::decode_v1(&update).map_err(Failure::document)?;
    let doc = Doc::new();
    let mut transaction = doc.transact_mut();
    transaction
        .apply_update(update)
        .map_err(Failure::document)?;
    let roots = roots(&transaction);
    let content = match (settings.json, &roots[..]) {
        (true, roots) => Value::from_iter(roots.iter().map(Root::to_json)).to_string(),
        (false, []) => "\nno content\n".to_owned(),
        (false, roots) => roots.iter().map(Root::to_text).collect(),
    };
    output::print(content.as_bytes())?;
    // Without taking the document apart, which may fail, too.
    process::exit(0);
}

/// One root type, or one side of it: a type of Yjs has a sequence and a map.
struct Root {
    name: String,
    content: Content,
}

/// What a root looks like. Its type is not part of a document; clients agree
/// on it.
enum Content {
    /// Only deleted things, or none.
    Nothing,
    /// Something like a `Y.Text`. The delta, as Quill and Yjs write it, is
    /// there if it tells more than the text.
    Text { text: String, delta: Option<Value> },
    /// Something like a `Y.XmlFragment`.
    Xml(String),
    /// Something like a `Y.Array`.
    Array(Value),
    /// Something like a `Y.Map`.
    Map(Value),
}

fn roots<T: ReadTxn>(transaction: &T) -> Vec<Root> {
    let mut names: Vec<_> = transaction.root_refs().collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    let mut roots = Vec::new();
    for (name, out) in names {
        let Some(branch) = out.try_branch() else {
            continue;
        };
        let sides = [sequence(branch, transaction), map(branch, transaction)];
        let mut contents: Vec<_> = sides.into_iter().flatten().collect();
        if contents.is_empty() {
            contents.push(Content::Nothing);
        }
        roots.extend(contents.into_iter().map(|content| Root {
            name: name.to_owned(),
            content,
        }));
    }
    roots
}

fn map<T: ReadTxn>(branch: &Branch, transaction: &T) -> Option<Content> {
    let map = to_json(&MapRef::from(BranchPtr::from(branch)).to_json(transaction));
    let is_empty = map.as_object().is_some_and(Map::is_empty);
    (!is_empty).then_some(Content::Map(map))
}

fn sequence<T: ReadTxn>(branch: &Branch, transaction: &T) -> Option<Content> {
    let branch = BranchPtr::from(branch);
    let text = TextRef::from(branch);
    let plain = text.get_string(transaction);
    // Only texts hold characters; arrays hold strings as values.
    if !plain.is_empty() {
        let delta = delta(&text, transaction);
        return Some(Content::Text { text: plain, delta });
    }
    let items: Vec<Out> = yrs::Array::iter(&ArrayRef::from(branch), transaction).collect();
    let is_xml = |item: &Out| {
        matches!(
            item,
            Out::YXmlElement(_) | Out::YXmlText(_) | Out::YXmlFragment(_)
        )
    };
    if items.is_empty() {
        None
    } else if items.iter().all(is_xml) {
        let xml = XmlFragmentRef::from(branch).get_string(transaction);
        Some(Content::Xml(xml))
    } else {
        let items = items.iter().map(|item| to_json(&item.to_json(transaction)));
        Some(Content::Array(items.collect()))
    }
}

/// Pieces of a text with their attributes, unless they are all plain.
fn delta<T: ReadTxn>(text: &TextRef, transaction: &T) -> Option<Value> {
    let pieces = text.diff(transaction, YChange::identity);
    let is_plain = pieces.iter().all(|piece| {
        piece.attributes.is_none() && matches!(piece.insert, Out::Any(Any::String(_)))
    });
    let to_json = |piece: &yrs::types::text::Diff<YChange>| {
        let mut object = Map::new();
        let insert = to_json(&piece.insert.to_json(transaction));
        object.insert("insert".to_owned(), insert);
        if let Some(attributes) = &piece.attributes {
            let attributes = attributes.iter();
            let attributes: Map<_, _> = attributes
                .map(|(name, value)| (name.to_string(), to_json(value)))
                .collect();
            object.insert("attributes".to_owned(), attributes.into());
        }
        Value::Object(object)
    };
    (!is_plain).then(|| pieces.iter().map(to_json).collect())
}

/// As JSON, which has no word for some values: what is undefined becomes null,
/// numbers that are none become strings, bytes become base64.
fn to_json(any: &Any) -> Value {
    match any {
        Any::Null | Any::Undefined => Value::Null,
        Any::Bool(value) => json!(value),
        Any::Number(Number::Int(value)) => json!(value),
        Any::Number(Number::Float(value)) if value.is_finite() => json!(value),
        Any::Number(Number::Float(value)) => json!(value.to_string()),
        Any::String(value) => json!(&**value),
        Any::Buffer(bytes) => json!({ "base64": BASE64.encode(bytes) }),
        Any::Array(items) => items.iter().map(to_json).collect(),
        Any::Map(entries) => {
            let entries = entries.iter();
            Value::Object(
                entries
                    .map(|(key, value)| (key.clone(), to_json(value)))
                    .collect(),
            )
        }
    }
}

impl Root {
    fn to_json(&self) -> Value {
        let (kind, content) = match &self.content {
            Content::Nothing => ("empty", Value::Null),
            Content::Text { text, .. } => ("text", json!(text)),
            Content::Xml(xml) => ("xml", json!(xml)),
            Content::Array(items) => ("array", items.clone()),
            Content::Map(entries) => ("map", entries.clone()),
        };
        let mut root = json!({ "name": self.name, "kind": kind, "content": content });
        if let Content::Text {
            delta: Some(delta), ..
        } = &self.content
        {
            root["delta"] = delta.clone();
        }
        root
    }

    fn to_text(&self) -> String {
        let name = output::one_line(&self.name);
        let mut text = String::new();
        let (kind, content) = match &self.content {
            Content::Nothing => ("empty", String::new()),
            Content::Text { text, delta: None } => ("text", text.clone()),
            Content::Text {
                delta: Some(delta), ..
            } => ("text with formats", pieces(delta)),
            Content::Xml(xml) => ("xml", xml.clone()),
            Content::Array(items) => ("array", format!("{items:#}")),
            Content::Map(entries) => ("map", format!("{entries:#}")),
        };
        write!(text, "\n{kind} \"{name}\"\n{}", output::indented(&content))
            .expect("a string takes all");
        text
    }
}

/// A piece per line.
fn pieces(delta: &Value) -> String {
    let pieces = delta.as_array().into_iter().flatten();
    pieces.map(|piece| format!("{piece}\n")).collect()
}
