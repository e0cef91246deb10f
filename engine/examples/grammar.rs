//! Writes random updates that the grammar of Yjs v1 allows, so that tests
//! written in other languages can hold the engine against Yjs over more than
//! clients write.
//!
//!     grammar FIRST_SEED LAST_SEED
//!
//! Each seed is a case: a byte, 1 if it is tame; the number of updates (32 bits,
//! little-endian); each with its length in front, as many bits. In a tame case
//! structs stand where clients could have put them; in the others they name
//! whatever came before.

use std::io::{self, BufWriter, Write};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use ysyncd_engine::lib0::{write_var_bytes, write_var_uint};

/// Some are past 31 and 32 bits.
const CLIENTS: [u64; 4] = [1, 77, (1 << 32) + 5, (1 << 53) - 1];
const ROOTS: [&str; 3] = ["plain", "list", "map"];
const KEYS: [&str; 3] = ["a", "b", "é"];
const TEXTS: [&str; 5] = ["x", "hello", "é", "😀", "a😀b\u{fffd}"];
const JSONS: [&str; 6] = ["null", "1", "\"x\"", "{\"a\":[1]}", "[]", "true"];

fn main() -> io::Result<()> {
    let seeds: Vec<u64> = std::env::args()
        .skip(1)
        .map(|seed| seed.parse().map_err(io::Error::other))
        .collect::<Result<_, _>>()?;
    let [first, last] = seeds[..] else {
        return Err(io::Error::other("grammar FIRST_SEED LAST_SEED"));
    };
    let mut output = BufWriter::new(io::stdout().lock());
    for seed in first..=last {
        let mut case = Case::new(seed);
        let updates: Vec<_> = (0..case.rng.random_range(1..=6))
            .map(|_| case.update())
            .collect();
        output.write_all(&[u8::from(case.tame)])?;
        write_len(&mut output, updates.len())?;
        for update in updates {
            write_len(&mut output, update.len())?;
            output.write_all(&update)?;
        }
    }
    output.flush()
}

fn write_len(output: &mut impl Write, len: usize) -> io::Result<()> {
    let len = u32::try_from(len).expect("updates are small");
    output.write_all(&len.to_le_bytes())
}

type Id = (usize, u64);

/// Where structs can stand: a root, or a type that an item holds.
#[derive(Debug, Default)]
struct Parent {
    root: Option<&'static str>,
    item: Option<Id>,
    /// Whether it is a text; others take no formats.
    is_text: bool,
    /// What it holds, in an order in which Yjs could.
    list: Vec<Id>,
    /// The last entry of each key.
    entries: Vec<(&'static str, Id)>,
}

/// Some clients, one document, and what was written so far.
struct Case {
    rng: StdRng,
    tame: bool,
    clocks: [u64; CLIENTS.len()],
    parents: Vec<Parent>,
    ids: Vec<Id>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let root = |name: &'static str| Parent {
            root: Some(name),
            is_text: name == "plain",
            ..Parent::default()
        };
        Self {
            rng: StdRng::seed_from_u64(seed),
            tame: seed.is_multiple_of(2),
            clocks: [0; CLIENTS.len()],
            parents: ROOTS.into_iter().map(root).collect(),
            ids: Vec::new(),
        }
    }

    fn update(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sections = Vec::new();
        // Descending, as Yjs writes them.
        for client in (0..CLIENTS.len()).rev() {
            if self.rng.random_bool(0.5) {
                sections.push(self.section(client));
            }
        }
        write_var_uint(&mut out, sections.len() as u64);
        sections
            .iter()
            .for_each(|section| out.extend_from_slice(section));
        self.deletes(&mut out);
        out
    }

    fn section(&mut self, client: usize) -> Vec<u8> {
        let count = self.rng.random_range(1..=5);
        let mut out = Vec::new();
        write_var_uint(&mut out, count);
        write_var_uint(&mut out, CLIENTS[client]);
        write_var_uint(&mut out, self.clocks[client]);
        for _ in 0..count {
            let len = match self.tame {
                true => self.tame_struct(client, &mut out),
                false => self.wild_struct(client, &mut out),
            };
            let clock = self.clocks[client];
            self.ids
                .extend((clock..clock + len).map(|clock| (client, clock)));
            self.clocks[client] += len;
        }
        out
    }

    /// As a client would write it that knows all that came before.
    fn tame_struct(&mut self, client: usize, out: &mut Vec<u8>) -> u64 {
        let at = self.rng.random_range(0..self.parents.len());
        let is_entry = !self.parents[at].is_text && self.rng.random_bool(0.4);
        let content = self.content(self.parents[at].is_text && !is_entry, is_entry);
        let first = (client, self.clocks[client]);
        let ids: Vec<Id> = (first.1..first.1 + content.len)
            .map(|clock| (client, clock))
            .collect();
        let last = ids[ids.len() - 1];
        let parent = &mut self.parents[at];
        let (origin, right, sub);
        if is_entry {
            let key = *KEYS.choose(&mut self.rng).expect("there are keys");
            let known = parent.entries.iter().position(|(of, _)| *of == key);
            origin = known.map(|known| parent.entries.swap_remove(known).1);
            parent.entries.push((key, last));
            (right, sub) = (None, Some(key));
        } else {
            let place = self.rng.random_range(0..=parent.list.len());
            origin = place.checked_sub(1).map(|before| parent.list[before]);
            right = parent.list.get(place).copied();
            parent.list.splice(place..place, ids);
            sub = None;
        }
        let head = Head {
            origin,
            right,
            parent: (parent.root, parent.item),
            sub,
        };
        head.write(&content, out);
        if let Some(is_text) = content.is_open {
            let item = Some(first);
            self.parents.push(Parent {
                item,
                is_text,
                ..Parent::default()
            });
        }
        content.len
    }

    /// Anywhere.
    fn wild_struct(&mut self, client: usize, out: &mut Vec<u8>) -> u64 {
        if self.rng.random_bool(0.05) {
            let len = self.rng.random_range(1..4);
            out.push(0);
            write_var_uint(out, len);
            return len;
        }
        let (is_text, is_entry) = (self.rng.random(), self.rng.random_bool(0.3));
        let content = self.content(is_text, is_entry);
        let origin = self.any_id(client, 0.5);
        let right = self.any_id(client, 0.3);
        let item = self.any_id(client, 0.4);
        let root = item
            .is_none()
            .then(|| *ROOTS.choose(&mut self.rng).expect("there are roots"));
        let sub = is_entry.then(|| *KEYS.choose(&mut self.rng).expect("there are keys"));
        Head {
            origin,
            right,
            parent: (root, item),
            sub,
        }
        .write(&content, out);
        content.len
    }

    /// Something that came before.
    fn any_id(&mut self, client: usize, chance: f64) -> Option<Id> {
        let id = *self.ids.choose(&mut self.rng)?;
        let is_past = id.0 != client || id.1 < self.clocks[client];
        (is_past && self.rng.random_bool(chance)).then_some(id)
    }

    fn content(&mut self, is_text: bool, is_entry: bool) -> Content {
        let mut bytes = Vec::new();
        let rng = &mut self.rng;
        let kind = match (is_text, rng.random_range(0..10)) {
            (true, 0..6) => 4,
            (true, 6) => 5,
            (true, 7..9) => 6,
            (_, 0) => 1,
            (_, 1) => 2,
            (_, 2) => 3,
            (_, 3 | 4) => 7,
            (_, 5) => 9,
            _ => 8,
        };
        let (mut len, mut is_open) = (1, None);
        match kind {
            1 => {
                len = rng.random_range(1..5);
                write_var_uint(&mut bytes, len);
            }
            // An entry of several values is no client's.
            2 | 8 => {
                len = if is_entry { 1 } else { rng.random_range(1..4) };
                write_var_uint(&mut bytes, len);
                for _ in 0..len {
                    match kind {
                        2 => write_var_bytes(&mut bytes, pick(rng, &JSONS).as_bytes()),
                        _ => any(rng, 3, &mut bytes),
                    }
                }
            }
            3 => write_var_bytes(&mut bytes, &[0, 255, 7]),
            4 => {
                let text = pick(rng, &TEXTS);
                len = text.encode_utf16().count() as u64;
                write_var_bytes(&mut bytes, text.as_bytes());
            }
            5 => write_var_bytes(&mut bytes, b"{\"image\":\"x\"}"),
            6 => {
                write_var_bytes(&mut bytes, pick(rng, &["bold", "link"]).as_bytes());
                write_var_bytes(
                    &mut bytes,
                    pick(rng, &["true", "null", "{\"href\":1}"]).as_bytes(),
                );
            }
            7 => {
                let of = rng.random_range(0..7);
                is_open = match of {
                    0 => Some(false),
                    2 | 6 => Some(true),
                    // Their children are types.
                    _ => None,
                };
                write_var_uint(&mut bytes, of);
                if of == 3 || of == 5 {
                    write_var_bytes(&mut bytes, b"p");
                }
            }
            _ => {
                write_var_bytes(&mut bytes, b"guid");
                // One option: `meta`, or whether it is loaded.
                bytes.extend([118, 1]);
                write_var_bytes(&mut bytes, pick(rng, &["meta", "autoLoad"]).as_bytes());
                bytes.push(120);
            }
        }
        Content {
            kind,
            bytes,
            len,
            is_open,
        }
    }

    fn deletes(&mut self, out: &mut Vec<u8>) {
        let mut ranges = [const { Vec::new() }; CLIENTS.len()];
        for _ in 0..self.rng.random_range(0..4) {
            if let Some(&(client, clock)) = self.ids.choose(&mut self.rng) {
                let most = self.clocks[client] - clock;
                ranges[client].push((clock, self.rng.random_range(1..=most.min(4))));
            }
        }
        let told = ranges.iter().filter(|ranges| !ranges.is_empty()).count();
        write_var_uint(out, told as u64);
        for (client, mut ranges) in ranges.into_iter().enumerate().rev() {
            if ranges.is_empty() {
                continue;
            }
            ranges.sort_unstable();
            write_var_uint(out, CLIENTS[client]);
            write_var_uint(out, ranges.len() as u64);
            for (clock, len) in ranges {
                write_var_uint(out, clock);
                write_var_uint(out, len);
            }
        }
    }
}

struct Content {
    kind: u8,
    bytes: Vec<u8>,
    len: u64,
    /// Whether it is a type that takes any content, and then whether a text.
    is_open: Option<bool>,
}

struct Head {
    origin: Option<Id>,
    right: Option<Id>,
    parent: (Option<&'static str>, Option<Id>),
    sub: Option<&'static str>,
}

impl Head {
    fn write(&self, content: &Content, out: &mut Vec<u8>) {
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let bits = bit(self.origin.is_some(), 0x80) | bit(self.right.is_some(), 0x40);
        out.push(content.kind | bits | bit(self.sub.is_some(), 0x20));
        for id in [self.origin, self.right].into_iter().flatten() {
            write_id(id, out);
        }
        if bits == 0 {
            match self.parent {
                (Some(root), _) => {
                    out.push(1);
                    write_var_bytes(out, root.as_bytes());
                }
                (None, Some(item)) => {
                    out.push(0);
                    write_id(item, out);
                }
                (None, None) => unreachable!("a parent is one or the other"),
            }
            if let Some(sub) = self.sub {
                write_var_bytes(out, sub.as_bytes());
            }
        }
        out.extend_from_slice(&content.bytes);
    }
}

fn write_id((client, clock): Id, out: &mut Vec<u8>) {
    write_var_uint(out, CLIENTS[client]);
    write_var_uint(out, clock);
}

fn pick(rng: &mut StdRng, from: &[&'static str]) -> &'static str {
    from.choose(rng).expect("there is something to pick")
}

/// A lib0 "any" value.
fn any(rng: &mut StdRng, depth: u8, out: &mut Vec<u8>) {
    match rng.random_range(0..if depth == 0 { 8 } else { 10 }) {
        0 => out.push(127),
        1 => out.push(126),
        2 => out.push(120),
        3 => out.extend([125, 0x40]),
        4 => out.extend([124, 0x3f, 0xc0, 0, 0]),
        5 => out.extend([123, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        6 => out.extend([122, 0, 0, 0, 1, 0, 0, 0, 0]),
        7 => {
            out.push(119);
            write_var_bytes(out, pick(rng, &TEXTS).as_bytes());
        }
        8 => {
            out.extend([117, 2]);
            any(rng, depth - 1, out);
            any(rng, depth - 1, out);
        }
        _ => {
            out.extend([118, 1]);
            write_var_bytes(out, pick(rng, &KEYS).as_bytes());
            any(rng, depth - 1, out);
        }
    }
}
