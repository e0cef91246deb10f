//! Updates written by hand, struct by struct.

use ysyncd_engine::lib0::{write_var_bytes, write_var_uint};

/// An update in the making. Structs of a client follow each other unless a
/// new section is begun.
#[derive(Debug, Clone, Default)]
pub(crate) struct Update {
    sections: Vec<Section>,
    deletes: Vec<(u64, Vec<(u32, u32)>)>,
}

#[derive(Debug, Clone)]
struct Section {
    client: u64,
    clock: u32,
    end: u32,
    structs: Vec<Vec<u8>>,
}

/// A struct without its id.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    origin: Option<(u64, u32)>,
    right_origin: Option<(u64, u32)>,
    parent: Vec<u8>,
    key: Option<&'static str>,
    kind: u8,
    content: Vec<u8>,
    len: u32,
}

impl Update {
    /// Appends a struct, in the last section if it continues that.
    pub(crate) fn push(&mut self, client: u64, clock: u32, item: &Item) -> &mut Self {
        let bytes = item.encode();
        match self.sections.last_mut() {
            Some(section) if section.client == client && section.end == clock => {
                section.structs.push(bytes);
                section.end += item.len;
            }
            _ => self.sections.push(Section {
                client,
                clock,
                end: clock + item.len,
                structs: vec![bytes],
            }),
        }
        self
    }

    /// Appends the sections of another.
    pub(crate) fn append(&mut self, other: &Self) -> &mut Self {
        self.sections.extend_from_slice(&other.sections);
        self
    }

    /// Adds ranges (clock, length) of a client to the delete set.
    pub(crate) fn delete(&mut self, client: u64, ranges: &[(u32, u32)]) -> &mut Self {
        self.deletes.push((client, ranges.to_vec()));
        self
    }

    /// The update that holds only the struct `at`, counted through all
    /// sections. Only for structs of length one.
    pub(crate) fn struct_at(&self, at: usize) -> Self {
        let mut structs = self.sections.iter().flat_map(|section| {
            let ids = (section.clock..).zip(&section.structs);
            ids.map(|(clock, bytes)| Section {
                client: section.client,
                clock,
                end: clock + 1,
                structs: vec![bytes.clone()],
            })
        });
        Self {
            sections: structs.nth(at).into_iter().collect(),
            deletes: Vec::new(),
        }
    }

    /// The bytes. Sections stand as they were pushed, which need not be the
    /// canonical order.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_var_uint(&mut out, self.sections.len() as u64);
        for section in &self.sections {
            write_var_uint(&mut out, section.structs.len() as u64);
            write_var_uint(&mut out, section.client);
            write_var_uint(&mut out, section.clock.into());
            out.extend(section.structs.iter().flatten());
        }
        write_var_uint(&mut out, self.deletes.len() as u64);
        for (client, ranges) in &self.deletes {
            write_var_uint(&mut out, *client);
            write_var_uint(&mut out, ranges.len() as u64);
            for (clock, len) in ranges {
                write_var_uint(&mut out, (*clock).into());
                write_var_uint(&mut out, (*len).into());
            }
        }
        out
    }
}

impl Item {
    /// In a root type, without neighbours.
    pub(crate) fn in_root(name: &str) -> Self {
        let mut parent = vec![1];
        write_var_bytes(&mut parent, name.as_bytes());
        Self::placed(None, None, parent)
    }

    /// In the type that an item holds, without neighbours.
    pub(crate) fn in_type(client: u64, clock: u32) -> Self {
        let mut parent = vec![0];
        write_id(&mut parent, (client, clock));
        Self::placed(None, None, parent)
    }

    /// After an item.
    pub(crate) fn after(client: u64, clock: u32) -> Self {
        Self::placed(Some((client, clock)), None, Vec::new())
    }

    /// Before an item, at the front.
    pub(crate) fn before(client: u64, clock: u32) -> Self {
        Self::placed(None, Some((client, clock)), Vec::new())
    }

    /// Between two items.
    pub(crate) fn between(left: (u64, u32), right: (u64, u32)) -> Self {
        Self::placed(Some(left), Some(right), Vec::new())
    }

    /// Nothing but a length.
    pub(crate) fn garbage(len: u32) -> Self {
        let mut content = Vec::new();
        write_var_uint(&mut content, len.into());
        Self::placed(None, None, Vec::new()).with(0, content, len)
    }

    /// From which item it takes its place, if from any.
    pub(crate) fn neighbour(&self) -> Option<(u64, u32)> {
        self.origin.or(self.right_origin)
    }

    pub(crate) const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// With further bits in the info byte, which say nothing of garbage.
    pub(crate) const fn with_bits(mut self, bits: u8) -> Self {
        self.kind |= bits;
        self
    }

    const fn placed(
        origin: Option<(u64, u32)>,
        right_origin: Option<(u64, u32)>,
        parent: Vec<u8>,
    ) -> Self {
        Self {
            origin,
            right_origin,
            parent,
            key: None,
            kind: 1,
            content: Vec::new(),
            len: 0,
        }
    }

    /// As a map entry.
    pub(crate) const fn with_key(mut self, key: &'static str) -> Self {
        self.key = Some(key);
        self
    }

    /// Content that was deleted.
    pub(crate) fn deleted(self, len: u32) -> Self {
        let mut content = Vec::new();
        write_var_uint(&mut content, len.into());
        self.with(1, content, len)
    }

    pub(crate) fn text(self, text: &str) -> Self {
        let mut content = Vec::new();
        write_var_bytes(&mut content, text.as_bytes());
        let len = text.encode_utf16().count();
        self.with(4, content, u32::try_from(len).unwrap())
    }

    /// `ContentJSON` of some JSON texts.
    pub(crate) fn json(self, texts: &[&str]) -> Self {
        let mut content = Vec::new();
        write_var_uint(&mut content, texts.len() as u64);
        for text in texts {
            write_var_bytes(&mut content, text.as_bytes());
        }
        self.with(2, content, u32::try_from(texts.len()).unwrap())
    }

    /// `ContentAny` of some encoded values.
    pub(crate) fn any(self, values: &[&[u8]]) -> Self {
        let mut content = Vec::new();
        write_var_uint(&mut content, values.len() as u64);
        content.extend(values.concat());
        self.with(8, content, u32::try_from(values.len()).unwrap())
    }

    /// A type: 0 array, 1 map, 2 text, 4 fragment, 6 XML text.
    pub(crate) fn holding_type(self, kind: u8) -> Self {
        self.with(7, vec![kind], 1)
    }

    /// An XML element.
    pub(crate) fn element(self, tag: &str) -> Self {
        let mut content = vec![3];
        write_var_bytes(&mut content, tag.as_bytes());
        self.with(7, content, 1)
    }

    pub(crate) fn subdoc(self, guid: &str, options: &[u8]) -> Self {
        let mut content = Vec::new();
        write_var_bytes(&mut content, guid.as_bytes());
        content.extend_from_slice(options);
        self.with(9, content, 1)
    }

    fn with(mut self, kind: u8, content: Vec<u8>, len: u32) -> Self {
        (self.kind, self.content, self.len) = (kind, content, len);
        self
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    fn encode(&self) -> Vec<u8> {
        let bit = |mask: u8, set: bool| if set { mask } else { 0 };
        let info = self.kind
            | bit(0x80, self.origin.is_some())
            | bit(0x40, self.right_origin.is_some())
            | bit(0x20, self.key.is_some());
        let mut out = vec![info];
        for id in [self.origin, self.right_origin].into_iter().flatten() {
            write_id(&mut out, id);
        }
        if self.origin.is_none() && self.right_origin.is_none() {
            out.extend_from_slice(&self.parent);
            if let Some(key) = self.key {
                write_var_bytes(&mut out, key.as_bytes());
            }
        }
        out.extend_from_slice(&self.content);
        out
    }
}

fn write_id(out: &mut Vec<u8>, (client, clock): (u64, u32)) {
    write_var_uint(out, client);
    write_var_uint(out, clock.into());
}
