//! Random histories of several writers who edit one document at once.
//!
//! The writers are yrs documents that exchange updates among themselves, late,
//! out of order and more than once. One more writer is made by hand: it writes
//! what yrs cannot (`BigInt`, `undefined`, subdocuments with options). There is
//! no `ContentJSON` in it: yrs reads one value too many of that.

use std::{cell::RefCell, rc::Rc};

use rand::{
    RngExt, SeedableRng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};
use yrs::{
    Any, Array, ArrayPrelim, Doc, In, Map, MapPrelim, Out, ReadTxn, Text, TextPrelim, Transact,
    TransactionMut, Xml, XmlElementPrelim, XmlFragment, XmlTextPrelim,
    types::Attrs,
    undo::{Options as UndoOptions, UndoManager},
};

use crate::{
    content::{BIG_INT, ROOTS, apply, children, pieces, root, yrs_doc},
    handmade::{Item, Update},
};

/// A finished history.
pub(crate) struct History {
    /// Where the random choices of a check may go on from.
    pub(crate) rng: SmallRng,
    pub(crate) writers: Vec<Writer>,
    /// All updates in the order they were made: none depends on a later one.
    pub(crate) log: Vec<Vec<u8>>,
}

/// A client that edits.
pub(crate) struct Writer {
    pub(crate) doc: Doc,
    made: Rc<RefCell<Vec<Vec<u8>>>>,
    undo: Option<UndoManager<()>>,
    inbox: Vec<Vec<u8>>,
}

/// The writer made by hand.
struct Forger {
    client: u64,
    clock: u32,
    last_in_array: Option<u32>,
    last_in_map: Option<u32>,
}

impl History {
    /// The history of a seed, about so many steps long.
    pub(crate) fn random(seed: u64, steps: usize) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut writers = random_writers(&mut rng);
        let mut forger = Forger::new(&mut rng);
        let mut log = Vec::new();
        for _ in 0..steps {
            let at = rng.random_range(0..writers.len());
            let made = match rng.random_range(0..13) {
                0..6 => writers[at].edit(&mut rng),
                6 => writers[at].undo_or_redo(&mut rng),
                7 => {
                    let from = rng.random_range(0..writers.len());
                    sync(&writers[from].doc, &writers[at].doc);
                    Vec::new()
                }
                8 => vec![forger.forge(&mut rng)],
                _ => {
                    writers[at].receive_some(&mut rng);
                    Vec::new()
                }
            };
            for (other, writer) in writers.iter_mut().enumerate() {
                if other != at {
                    writer.inbox.extend(made.iter().cloned());
                }
            }
            log.extend(made);
        }
        Self { rng, writers, log }
    }

    /// Lets everybody have everything.
    pub(crate) fn settle(&mut self) {
        for writer in &mut self.writers {
            for update in writer.inbox.drain(..) {
                apply(&writer.doc, &update);
            }
            // What the forger made while this writer acted went to others only.
            for update in &self.log {
                apply(&writer.doc, update);
            }
        }
    }
}

/// Two to five writers, some of which keep deleted content.
pub(crate) fn random_writers(rng: &mut SmallRng) -> Vec<Writer> {
    let mut ids: Vec<u64> = (1..=9).chain([1 << 31, (1 << 53) - 2]).collect();
    ids.shuffle(rng);
    let count = rng.random_range(2..=5);
    ids.truncate(count);
    let mut writers: Vec<_> = ids
        .into_iter()
        .map(|id| {
            let skip_gc = rng.random_bool(0.25);
            Writer::new(yrs_doc(id, skip_gc), rng.random_bool(0.5))
        })
        .collect();
    writers.shuffle(rng);
    writers
}

/// Brings a document up to date as the sync protocol does.
pub(crate) fn sync(from: &Doc, to: &Doc) {
    if !Doc::ptr_eq(from, to) {
        let known = to.transact().state_vector();
        let diff = from.transact().encode_state_as_update_v1(&known);
        apply(to, &diff);
    }
}

impl Writer {
    fn new(doc: Doc, with_undo: bool) -> Self {
        let made = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&made);
        doc.observe_update_v1("made", move |txn, event| {
            // Providers send on what the client itself did.
            if txn.origin().is_none_or(|origin| *origin != "remote".into()) {
                sink.borrow_mut().push(event.update.clone());
            }
        })
        .unwrap();
        let undo = with_undo.then(|| undo_manager(&doc));
        Self {
            doc,
            made,
            undo,
            inbox: Vec::new(),
        }
    }

    /// Edits a little. Returns the updates that the client sends out.
    pub(crate) fn edit(&mut self, rng: &mut SmallRng) -> Vec<Vec<u8>> {
        let edits = if rng.random_bool(0.2) {
            rng.random_range(1..6)
        } else {
            1
        };
        let mut txn = self.doc.transact_mut();
        for _ in 0..edits {
            edit(rng, &mut txn);
        }
        drop(txn);
        self.made.take()
    }

    fn undo_or_redo(&mut self, rng: &mut SmallRng) -> Vec<Vec<u8>> {
        if let Some(undo) = &mut self.undo {
            if rng.random_bool(0.7) {
                undo.undo_blocking();
            } else {
                undo.redo_blocking();
            }
        }
        self.made.take()
    }

    fn receive_some(&mut self, rng: &mut SmallRng) {
        for _ in 0..rng.random_range(0..8) {
            if self.inbox.is_empty() {
                break;
            }
            let at = match rng.random_bool(0.15) {
                true => rng.random_range(0..self.inbox.len()),
                false => 0,
            };
            apply(&self.doc, &self.inbox[at]);
            if rng.random_bool(0.95) {
                self.inbox.remove(at);
            }
        }
    }
}

fn undo_manager(doc: &Doc) -> UndoManager<()> {
    let options = UndoOptions {
        capture_timeout_millis: 0,
        ..UndoOptions::default()
    };
    let mut undo = UndoManager::with_options(options);
    undo.expand_scope(doc, &doc.get_or_insert_text("text"));
    undo.expand_scope(doc, &doc.get_or_insert_array("array"));
    undo.expand_scope(doc, &doc.get_or_insert_map("map"));
    undo.expand_scope(doc, &doc.get_or_insert_xml_fragment("xml"));
    undo
}

impl Forger {
    fn new(rng: &mut SmallRng) -> Self {
        Self {
            client: *[20, 3_000_000_000].choose(rng).unwrap(),
            clock: 0,
            last_in_array: None,
            last_in_map: None,
        }
    }

    fn forge(&mut self, rng: &mut SmallRng) -> Vec<u8> {
        let mut update = Update::default();
        for _ in 0..rng.random_range(1..4) {
            let item = self.item(rng);
            let len = item.len();
            update.push(self.client, self.clock, &item);
            self.clock += len;
        }
        update.encode()
    }

    fn item(&mut self, rng: &mut SmallRng) -> Item {
        if rng.random_bool(0.3) {
            let place = match self.last_in_map.replace(self.clock) {
                Some(last) => Item::after(self.client, last),
                None => Item::in_root("map").with_key("forged"),
            };
            return place.any(&[&[125, 1]]);
        }
        let place = match self.last_in_array {
            Some(last) => Item::after(self.client, last),
            None => Item::in_root("array"),
        };
        let item = match rng.random_range(0..2) {
            0 => place.any(&[&BIG_INT, &[126]]),
            _ => place.subdoc("guid", &[118, 1, 4, b'm', b'e', b't', b'a', 119, 1, b'x']),
        };
        self.last_in_array = Some(self.clock + item.len() - 1);
        item
    }
}

const STRINGS: [&str; 9] = [
    "a",
    "hello",
    "xyz",
    "\u{1f600}",
    "a\u{1f600}b",
    "\u{e9}",
    "\n",
    "\u{df}\u{6f22}\u{5b57}",
    "lorem ipsum dolor sit amet",
];

/// Edits one random type somewhere in the document.
fn edit(rng: &mut SmallRng, txn: &mut TransactionMut<'_>) {
    let mut target = root(txn, ROOTS.choose(rng).unwrap()).unwrap();
    for _ in 0..3 {
        let inner = children(&target, txn);
        if inner.is_empty() || rng.random_bool(0.3) {
            break;
        }
        target = inner[rng.random_range(0..inner.len())].clone();
    }
    match target {
        Out::YText(text) => edit_text(rng, txn, &text),
        Out::YXmlText(text) if rng.random_bool(0.2) => edit_attributes(rng, txn, &text),
        Out::YXmlText(text) => edit_text(rng, txn, &text),
        Out::YArray(array) => edit_array(rng, txn, &array),
        Out::YMap(map) => edit_map(rng, txn, &map),
        Out::YXmlElement(node) if rng.random_bool(0.3) => edit_attributes(rng, txn, &node),
        Out::YXmlElement(node) => edit_nodes(rng, txn, &node),
        Out::YXmlFragment(node) => edit_nodes(rng, txn, &node),
        other => unreachable!("{other:?} is not chosen"),
    }
}

fn edit_text(rng: &mut SmallRng, txn: &mut TransactionMut<'_>, text: &impl Text) {
    let (at, end) = random_stretch(rng, txn, text);
    let string = STRINGS.choose(rng).unwrap();
    match rng.random_range(0..9) {
        0..3 => {
            let mut at = at;
            for _ in 0..rng.random_range(1..4) {
                let string = STRINGS.choose(rng).unwrap();
                text.insert(txn, at, string);
                at += utf16_len(string);
            }
        }
        3 => text.insert_with_attributes(txn, at, string, random_attributes(rng)),
        4 | 5 if at < end => text.remove_range(txn, at, end - at),
        6 if at < end => text.format(txn, at, end - at, random_attributes(rng)),
        7 => {
            let image = Any::from_json("{\"image\":1}").unwrap();
            text.insert_embed(txn, at, image);
        }
        8 => {
            text.insert_embed(txn, at, MapPrelim::from([("e", 1)]));
        }
        _ => text.push(txn, string),
    }
}

/// A stretch of a text that cuts no surrogate pair, as in editors.
fn random_stretch(rng: &mut SmallRng, txn: &impl ReadTxn, text: &impl Text) -> (u32, u32) {
    let mut edges = vec![0];
    let mut end = 0;
    for (insert, _) in pieces(text, txn) {
        match insert {
            Out::Any(Any::String(string)) => {
                for char in string.chars() {
                    end += u32::try_from(char.len_utf16()).unwrap();
                    edges.push(end);
                }
            }
            _ => {
                end += 1;
                edges.push(end);
            }
        }
    }
    let first = rng.random_range(0..edges.len());
    let last = edges
        .len()
        .min(first + rng.random_range(0..8_usize))
        .saturating_sub(1);
    (edges[first], edges[last.max(first)])
}

fn random_attributes(rng: &mut SmallRng) -> Attrs {
    let (key, value) = [
        ("bold", Any::from(true)),
        ("bold", Any::Null),
        ("color", Any::from("red")),
        ("em", Any::from_json("{\"level\":1}").unwrap()),
        ("em", Any::Null),
    ]
    .choose(rng)
    .unwrap()
    .clone();
    Attrs::from([(key.into(), value)])
}

fn edit_array(rng: &mut SmallRng, txn: &mut TransactionMut<'_>, array: &impl Array) {
    let len = array.len(txn);
    let at = rng.random_range(0..=len);
    match rng.random_range(0..5) {
        0 | 1 => {
            let values: Vec<_> = (0..rng.random_range(1..4))
                .map(|_| random_any(rng))
                .collect();
            array.insert_range(txn, at, values);
        }
        2 => {
            array.insert(txn, at, random_type(rng));
        }
        3 if at < len => {
            let count = rng.random_range(1..=(len - at).min(4));
            array.remove_range(txn, at, count);
        }
        _ => {
            array.push_back(txn, rng.random_range(0..9));
            array.push_back(txn, rng.random_range(0..9));
        }
    }
}

fn edit_map(rng: &mut SmallRng, txn: &mut TransactionMut<'_>, map: &impl Map) {
    let key = *["k0", "k1", "forged"].choose(rng).unwrap();
    match rng.random_range(0..6) {
        0 | 1 => {
            map.insert(txn, key, random_any(rng));
        }
        2 => {
            map.insert(txn, key, random_type(rng));
        }
        3 => {
            map.remove(txn, key);
        }
        _ => {
            map.insert(txn, key, 1);
            map.insert(txn, key, 2);
        }
    }
}

fn edit_nodes(rng: &mut SmallRng, txn: &mut TransactionMut<'_>, node: &impl XmlFragment) {
    let len = node.len(txn);
    let at = rng.random_range(0..=len);
    match rng.random_range(0..5) {
        0 | 1 if at < len => {
            let count = rng.random_range(1..=(len - at).min(2));
            node.remove_range(txn, at, count);
        }
        2 => {
            node.insert(txn, at, XmlTextPrelim::new(*STRINGS.choose(rng).unwrap()));
        }
        _ => {
            node.insert(txn, at, random_element(rng));
        }
    }
}

fn edit_attributes(rng: &mut SmallRng, txn: &mut TransactionMut<'_>, node: &impl Xml) {
    let key = *["id", "class"].choose(rng).unwrap();
    if rng.random_bool(0.75) {
        node.insert_attribute(txn, key, format!("v{}", rng.random_range(0..9)));
    } else {
        node.remove_attribute(txn, &key);
    }
}

fn random_any(rng: &mut SmallRng) -> Any {
    match rng.random_range(0..8) {
        0 => Any::from(rng.random_range(0..1000)),
        1 => Any::from(*STRINGS.choose(rng).unwrap()),
        2 => Any::Null,
        3 => Any::from_json("{\"a\":[1,null,{\"b\":2.5}]}").unwrap(),
        4 => Any::from(vec![1, 2, rng.random::<u8>()]),
        5 => Any::from(rng.random::<f64>()),
        6 => Any::from(-7),
        _ => Any::from(true),
    }
}

fn random_type(rng: &mut SmallRng) -> In {
    match rng.random_range(0..5) {
        0 => In::Text(TextPrelim::new(*STRINGS.choose(rng).unwrap()).into()),
        1 => In::Array(ArrayPrelim::from([1, 2, 3])),
        2 => In::XmlElement(random_element(rng)),
        3 => In::XmlText(XmlTextPrelim::new("xml").into()),
        _ => In::Map(MapPrelim::from([("k0", random_any(rng))])),
    }
}

fn random_element(rng: &mut SmallRng) -> XmlElementPrelim {
    let tag = *["p", "div", "h1"].choose(rng).unwrap();
    let mut nodes = Vec::new();
    for _ in 0..rng.random_range(0..3) {
        nodes.push(XmlTextPrelim::new(*STRINGS.choose(rng).unwrap()).into());
    }
    XmlElementPrelim::new(tag, nodes)
}

fn utf16_len(string: &str) -> u32 {
    u32::try_from(string.encode_utf16().count()).unwrap()
}
