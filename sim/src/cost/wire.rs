//! Structs, updates and messages, written by hand: hostile ones are none that an
//! encoder of Yjs would make.

use ysyncd_engine::lib0::{write_var_bytes, write_var_uint};

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) origin: Option<(u64, u32)>,
    pub(super) right: Option<(u64, u32)>,
    /// What holds it. Written only where no neighbour tells it.
    pub(super) parent: Parent<'a>,
    pub(super) key: Option<&'a str>,
}

/// What holds an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent<'a> {
    Root(&'a str),
    Id(u64, u32),
}

/// The kinds of structs, as Yjs numbers them.
pub(super) mod kind {
    pub(crate) const GC: u8 = 0;
    pub(crate) const DELETED: u8 = 1;
    pub(crate) const JSON: u8 = 2;
    pub(crate) const BINARY: u8 = 3;
    pub(crate) const TEXT: u8 = 4;
    pub(crate) const EMBED: u8 = 5;
    pub(crate) const FORMAT: u8 = 6;
    pub(crate) const TYPE: u8 = 7;
    pub(crate) const ANY: u8 = 8;
    pub(crate) const SKIP: u8 = 10;
}

/// Garbage, or a Skip.
pub(super) fn bare(kind: u8, len: u32) -> Vec<u8> {
    let mut out = vec![kind];
    write_var_uint(&mut out, u64::from(len));
    out
}

pub(super) fn item(kind: u8, place: &Place<'_>, content: &[u8]) -> Vec<u8> {
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    let info = kind
        | flag(place.origin.is_some(), 0x80)
        | flag(place.right.is_some(), 0x40)
        | flag(place.key.is_some(), 0x20);
    let mut out = vec![info];
    for (client, clock) in [place.origin, place.right].into_iter().flatten() {
        write_var_uint(&mut out, client);
        write_var_uint(&mut out, u64::from(clock));
    }
    if place.origin.is_none() && place.right.is_none() {
        match place.parent {
            Parent::Root(name) => {
                out.push(1);
                write_var_bytes(&mut out, name.as_bytes());
            }
            Parent::Id(client, clock) => {
                out.push(0);
                write_var_uint(&mut out, client);
                write_var_uint(&mut out, u64::from(clock));
            }
        }
        if let Some(key) = place.key {
            write_var_bytes(&mut out, key.as_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}

/// Text, or whatever else is bytes behind their length.
pub(super) fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_bytes(&mut out, text.as_bytes());
    out
}

/// Structs of one client that follow each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    pub(super) client: u64,
    pub(super) clock: u32,
    pub(super) structs: u64,
    pub(super) bytes: Vec<u8>,
}

/// Deleted ranges of one client: from, and how many.
pub(super) type Deleted = (u64, Vec<(u32, u32)>);

pub(super) fn update(sections: &[Section], deletes: &[Deleted]) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_uint(&mut out, sections.len() as u64);
    for section in sections {
        let clock = u64::from(section.clock);
        for number in [section.structs, section.client, clock] {
            write_var_uint(&mut out, number);
        }
        out.extend_from_slice(&section.bytes);
    }
    write_var_uint(&mut out, deletes.len() as u64);
    for (client, ranges) in deletes {
        write_var_uint(&mut out, *client);
        write_var_uint(&mut out, ranges.len() as u64);
        for &(from, len) in ranges {
            write_var_uint(&mut out, u64::from(from));
            write_var_uint(&mut out, u64::from(len));
        }
    }
    out
}

/// A `SyncStep1` of one who knows these clocks.
pub(super) fn sync_step_1(known: &[(u64, u32)]) -> Vec<u8> {
    let mut vector = Vec::new();
    write_var_uint(&mut vector, known.len() as u64);
    for &(client, clock) in known {
        write_var_uint(&mut vector, client);
        write_var_uint(&mut vector, u64::from(clock));
    }
    let mut out = vec![0, 0];
    write_var_bytes(&mut out, &vector);
    out
}
