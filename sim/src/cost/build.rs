//! A layout at a size: the updates that tell it.

use ysyncd_engine::lib0::{write_var_bytes, write_var_uint};

use super::{
    LARGEST,
    shape::{
        Clients, Content, Cut, Deletes, Filler, Gaps, Ids, Key, Layout, Neighbour, Order, Parent,
        Start, Telling, Turns,
    },
    wire::{self, Deleted, Place, Section, kind},
};

/// Steps that visit all numbers below a size in a scattered order, as it divides none
/// that is drawn.
const STRIDE: usize = 7_919;

/// Clocks in a gap.
const GAP: u32 = 2;

/// Frames of which there may be one for each struct.
const FRAMES_MOST: usize = 16_000;

/// Of which client nothing ever comes.
const UNKNOWN: u64 = 77;

/// The structs of a layout at a size.
#[derive(Debug)]
pub(super) struct Built<'a> {
    layout: &'a Layout,
    clients: usize,
    units: Vec<Unit>,
}

#[derive(Debug)]
struct Unit {
    client: u64,
    clock: u32,
    len: u32,
    /// Clocks in front of it that no struct has.
    gap: u32,
    bytes: Vec<u8>,
}

/// Frames, each of one or more messages.
pub(super) type Frames = Vec<Vec<u8>>;

impl<'a> Built<'a> {
    /// Builds it, so many times as large as it is drawn.
    pub(super) fn new(layout: &'a Layout, size: usize, times: usize) -> Self {
        let count = size * times;
        let clients = match layout.clients {
            Clients::Few(few) => few,
            Clients::Root => count.isqrt(),
            Clients::Quarter => count / 4,
            Clients::Each => count,
        };
        let gap_every = match layout.gaps {
            Gaps::Many(most) => count / (most * times / LARGEST),
            Gaps::Each => 1,
            Gaps::No | Gaps::First => usize::MAX,
        };
        let start = match layout.start {
            Start::First => 0,
            Start::Far => 10_000_000,
        };
        let mut next = vec![start; clients];
        let mut units = Vec::with_capacity(count);
        for at in 0..count {
            let client = match layout.turns {
                Turns::InTurns => at % clients,
                Turns::InBlocks => at * clients / count,
            };
            let first = layout.gaps == Gaps::First && next[client] == start;
            let gap = match first || (at + 1).is_multiple_of(gap_every.max(1)) {
                true => GAP,
                false => 0,
            };
            let clock = next[client] + gap;
            let len = layout.content(at).len();
            next[client] = clock + len;
            units.push(Unit {
                client: layout.ids.nth(client),
                clock,
                len,
                gap,
                bytes: Vec::new(),
            });
        }
        let mut built = Self {
            layout,
            clients,
            units,
        };
        for at in 0..count {
            built.units[at].bytes = built.write(at);
        }
        built
    }

    pub(super) fn count(&self) -> usize {
        self.units.len()
    }

    /// The frames that tell all, and those that tell the clocks in the gaps then.
    pub(super) fn frames(&self, telling: Telling) -> (Frames, Frames) {
        let all: Vec<usize> = (0..self.units.len()).collect();
        let parts = |count: usize| all.chunks(all.len().div_ceil(count).max(1));
        let each = |parts: std::slice::Chunks<'_, usize>| -> Frames {
            parts.map(|part| self.frame(part)).collect()
        };
        let told = match telling {
            Telling::Once => vec![self.frame(&all)],
            Telling::Again => vec![self.frame(&all); 3],
            Telling::Frames(count) => each(parts(count)),
            Telling::FrameEach => each(parts(FRAMES_MOST)),
            Telling::FrameEachBack => {
                let back = parts(FRAMES_MOST).rev();
                back.map(|part| self.frame(part)).collect()
            }
            Telling::Messages(count) => vec![each(parts(count)).concat()],
            Telling::Halves => {
                let third = all.len() / 3;
                vec![self.frame(&all[third..]), self.frame(&all[..2 * third])]
            }
            Telling::AsGarbage => {
                let again = frame(&self.update_of_ids(&all));
                vec![self.frame(&all), again.clone(), again]
            }
            Telling::OtherWords(cut, order) => {
                let again = self.update(&all, cut, order);
                vec![self.frame(&all), frame(&again)]
            }
            Telling::EverySecondFirst(count) => {
                let chunks = all.chunks(count);
                let halves = chunks.flat_map(|chunk| {
                    [0, 1].map(|first| {
                        chunk[first.min(chunk.len() - 1)..]
                            .iter()
                            .copied()
                            .step_by(2)
                    })
                });
                halves
                    .map(|half| self.frame(&half.collect::<Vec<_>>()))
                    .collect()
            }
            Telling::Prefixes(count) => (1..=count)
                .map(|part| self.frame(&all[..part * all.len() / count]))
                .collect(),
        };
        (told, self.fillers())
    }

    /// The last so many of its structs, as somebody tells them who writes as Yjs does.
    pub(super) fn end_in_order(&self, count: usize) -> Vec<u8> {
        let end: Vec<usize> = (self.units.len() - count..self.units.len()).collect();
        frame(&self.update(&end, Cut::Whole, Order::Canonical))
    }

    /// Each client, and what comes behind its last clock.
    pub(super) fn clocks(&self) -> Vec<(u64, u32)> {
        let ends = self.units.iter().map(|unit| (unit.client, unit.end()));
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable_by_key(|&(client, end)| {
            (std::cmp::Reverse(client), std::cmp::Reverse(end))
        });
        ends.dedup_by_key(|(client, _)| *client);
        ends
    }

    fn frame(&self, units: &[usize]) -> Vec<u8> {
        frame(&self.update(units, self.layout.cut, self.layout.order))
    }

    fn update(&self, units: &[usize], cut: Cut, order: Order) -> Vec<u8> {
        let sections = ordered(self.sections(units, cut, false), order);
        let filler = match self.layout.filler {
            Filler::Ahead | Filler::Behind => ordered(self.filler_sections(units, cut), order),
            _ => Vec::new(),
        };
        let sections = match self.layout.filler {
            Filler::Ahead => [filler, sections].concat(),
            _ => [sections, filler].concat(),
        };
        wire::update(&sections, &self.deletes(units))
    }

    /// The same ids as garbage.
    fn update_of_ids(&self, units: &[usize]) -> Vec<u8> {
        let sections = self.sections(units, self.layout.cut, true);
        wire::update(&ordered(sections, self.layout.order), &[])
    }

    /// Sections as they are cut, in the order of clients and clocks.
    fn sections(&self, units: &[usize], cut: Cut, as_garbage: bool) -> Vec<(usize, Section)> {
        let runs = self.of_clients(units);
        let sections = runs.iter().flat_map(|theirs| {
            let groups = groups(theirs, cut).into_iter().enumerate();
            groups.map(|(nth, group)| (nth, self.section(&group, as_garbage)))
        });
        sections.collect()
    }

    fn section(&self, group: &[usize], as_garbage: bool) -> Section {
        let first = &self.units[group[0]];
        let mut section = Section {
            client: first.client,
            clock: first.clock,
            ..Section::default()
        };
        let mut next = first.clock;
        for unit in group.iter().map(|at| &self.units[*at]) {
            let bytes = match as_garbage {
                true => wire::bare(kind::GC, unit.len),
                false => unit.bytes.clone(),
            };
            append(&mut section, &mut next, unit.clock, unit.len, &bytes);
        }
        section
    }

    /// What fills the gaps.
    fn filler_sections(&self, units: &[usize], cut: Cut) -> Vec<(usize, Section)> {
        let mut sections = Vec::new();
        for theirs in self.of_clients(units) {
            let mut section = Section::default();
            let mut next = 0;
            for unit in theirs.iter().map(|at| &self.units[*at]) {
                if unit.gap == 0 {
                    continue;
                }
                if section.structs == 0 || cut != Cut::Whole {
                    sections.extend((section.structs > 0).then_some(section));
                    section = Section {
                        client: unit.client,
                        clock: unit.clock - unit.gap,
                        ..Section::default()
                    };
                    next = section.clock;
                }
                let bytes = wire::bare(kind::GC, unit.gap);
                append(
                    &mut section,
                    &mut next,
                    unit.clock - unit.gap,
                    unit.gap,
                    &bytes,
                );
            }
            sections.extend((section.structs > 0).then_some(section));
        }
        sections.into_iter().enumerate().collect()
    }

    fn fillers(&self) -> Frames {
        let all: Vec<usize> = (0..self.units.len()).collect();
        let each = || -> Frames {
            let gaps = self.filler_sections(&all, Cut::Each).into_iter();
            gaps.map(|(_, section)| frame(&wire::update(&[section], &[])))
                .collect()
        };
        match self.layout.filler {
            Filler::Nothing | Filler::Ahead | Filler::Behind => Vec::new(),
            Filler::Later => {
                let sections = self.filler_sections(&all, self.layout.cut);
                vec![frame(&wire::update(
                    &ordered(sections, self.layout.order),
                    &[],
                ))]
            }
            Filler::OneByOne => each(),
            Filler::OneByOneBack => each().into_iter().rev().collect(),
            Filler::Whole => {
                let whole = self.clocks().into_iter().map(|(client, end)| Section {
                    client,
                    clock: 0,
                    structs: 1,
                    bytes: wire::bare(kind::GC, end),
                });
                vec![frame(&wire::update(&whole.collect::<Vec<_>>(), &[]))]
            }
        }
    }

    /// Structs by client, each as they follow each other.
    fn of_clients(&self, units: &[usize]) -> Vec<Vec<usize>> {
        let mut units = units.to_vec();
        units.sort_unstable_by_key(|at| (self.units[*at].client, self.units[*at].clock));
        let runs = units.chunk_by(|a, b| self.units[*a].client == self.units[*b].client);
        runs.map(<[usize]>::to_vec).collect()
    }

    fn deletes(&self, units: &[usize]) -> Vec<Deleted> {
        let one = |unit: &Unit| (unit.client, (unit.clock, unit.len));
        let chosen = units.iter().map(|at| (*at, &self.units[*at]));
        let ranges: Vec<(u64, (u32, u32))> = match self.layout.deletes {
            Deletes::No => Vec::new(),
            Deletes::All => chosen.map(|(_, unit)| one(unit)).collect(),
            Deletes::Whole => {
                let of_clients = self.of_clients(units).into_iter();
                let whole = of_clients.map(|theirs| {
                    let (first, last) = (&self.units[theirs[0]], theirs[theirs.len() - 1]);
                    let len = self.units[last].end() - first.clock;
                    (first.client, (first.clock, len))
                });
                whole.collect()
            }
            Deletes::EverySecond => {
                let second = chosen.filter(|(at, _)| (at / self.clients).is_multiple_of(2));
                second.map(|(_, unit)| one(unit)).collect()
            }
            Deletes::Descending => {
                let second = chosen.filter(|(at, _)| (at / self.clients).is_multiple_of(2));
                second.map(|(_, unit)| one(unit)).rev().collect()
            }
            Deletes::Overlapping => chosen
                .map(|(_, unit)| (unit.client, (unit.clock, unit.len + 1)))
                .collect(),
            Deletes::Nested => chosen
                .map(|(_, unit)| (unit.client, (0, unit.end())))
                .collect(),
            Deletes::Same => chosen.map(|_| one(&self.units[units[0]])).collect(),
            Deletes::Scattered => {
                let scattered = scattered(units.len()).map(|at| &self.units[units[at]]);
                scattered.map(one).step_by(2).collect()
            }
            Deletes::UnknownClients => chosen
                .map(|(at, _)| (self.layout.ids.nth(self.clients + 1 + at), (3, 2)))
                .collect(),
            Deletes::UnknownClocks => chosen
                .map(|(at, unit)| (unit.client, (1_000_000 + 3 * number(at), 2)))
                .collect(),
            Deletes::UnknownDescending => chosen
                .map(|(at, unit)| (unit.client, (1_000_000 + 3 * number(at), 2)))
                .rev()
                .collect(),
            Deletes::Across => chosen
                .map(|(at, unit)| (unit.client, (unit.clock, 1_000_000 + number(at))))
                .collect(),
        };
        let same = ranges.chunk_by(|a, b| a.0 == b.0);
        same.map(|theirs| {
            (
                theirs[0].0,
                theirs.iter().map(|(_, range)| *range).collect(),
            )
        })
        .collect()
    }

    fn write(&self, at: usize) -> Vec<u8> {
        let unit = &self.units[at];
        let content = self.layout.content(at);
        if let Content::Garbage(len) = content {
            return wire::bare(kind::GC, len);
        }
        let root;
        let parent = match self.parent(at) {
            Some((client, clock)) => wire::Parent::Id(client, clock),
            None if self.layout.parent == Parent::Roots => {
                root = format!("root {at}");
                wire::Parent::Root(&root)
            }
            None => wire::Parent::Root("t"),
        };
        let key = match self.layout.key {
            Key::No => None,
            Key::One => Some("k".to_owned()),
            Key::Some(count) => Some(format!("k{}", at % count)),
            Key::Each => Some(format!("k{at}")),
        };
        let place = Place {
            origin: self.neighbour(at, self.layout.origin),
            right: self.neighbour(at, self.layout.right),
            parent,
            key: key.as_deref(),
        };
        debug_assert_eq!(unit.len, content.len());
        let (kind, content) = content.write();
        wire::item(kind, &place, &content)
    }

    /// The last clock of what stands beside a struct.
    fn neighbour(&self, at: usize, which: Neighbour) -> Option<(u64, u32)> {
        let count = self.units.len();
        let other = match which {
            Neighbour::Nothing => return None,
            Neighbour::Own => {
                let unit = &self.units[at];
                let last = unit.clock.checked_sub(unit.gap + 1);
                return last.map(|clock| (unit.client, clock));
            }
            Neighbour::First => 0,
            Neighbour::Last => at.checked_sub(1)?,
            Neighbour::Next => at + 1,
            Neighbour::Mirrored => count - 1 - at,
            Neighbour::Scattered => (at * STRIDE).checked_rem(at)?.max(at * STRIDE / 31 % at),
            Neighbour::ScatteredAhead => at * STRIDE % count,
            Neighbour::Unknown => return Some((UNKNOWN, 5)),
            Neighbour::UnknownOfMany => return Some((UNKNOWN, number(at))),
        };
        let id = |other: &Unit| (other.client, other.end() - 1);
        self.before(at, self.units.get(other).map(id)?)
    }

    fn parent(&self, at: usize) -> Option<(u64, u32)> {
        let other = match self.layout.parent {
            Parent::Root | Parent::Roots => return None,
            Parent::First => 0,
            Parent::Last => at.checked_sub(1)?,
            Parent::Next => at + 1,
            Parent::Scattered => (at * STRIDE / 31).checked_rem(at)?,
            Parent::Unknown => return Some((UNKNOWN, number(at))),
        };
        let id = |other: &Unit| (other.client, other.clock);
        self.before(at, self.units.get(other).map(id)?)
    }

    /// An id, unless it is one that the struct's client comes to later: no update may
    /// say that.
    fn before(&self, at: usize, id: (u64, u32)) -> Option<(u64, u32)> {
        let unit = &self.units[at];
        (id.0 != unit.client || id.1 < unit.clock).then_some(id)
    }
}

impl Unit {
    const fn end(&self) -> u32 {
        self.clock + self.len
    }
}

impl Layout {
    fn content(&self, at: usize) -> Content {
        // Those of one client are not all of one kind.
        self.contents[(at + at / 7) % self.contents.len()]
    }
}

impl Ids {
    fn nth(self, client: usize) -> u64 {
        let client = client as u64;
        match self {
            Self::Small => 100 + client,
            Self::Large => (1 << 30) + 977 * client,
            Self::Huge => (1 << 53) - 1 - 3 * client,
        }
    }
}

impl Content {
    /// How many clocks it takes.
    const fn len(self) -> u32 {
        match self {
            Self::Text(len)
            | Self::Any(len)
            | Self::Json(len)
            | Self::Deleted(len)
            | Self::Garbage(len) => len,
            Self::Astral => 2,
            Self::Binary | Self::Embed | Self::Format | Self::Type => 1,
        }
    }

    fn write(self) -> (u8, Vec<u8>) {
        let times = |count: u32, one: &[u8]| {
            let mut out = Vec::new();
            write_var_uint(&mut out, u64::from(count));
            out.extend(one.repeat(count as usize));
            out
        };
        match self {
            Self::Text(len) => (kind::TEXT, wire::text(&"a".repeat(len as usize))),
            Self::Astral => (kind::TEXT, wire::text("😀")),
            Self::Any(len) => (kind::ANY, times(len, &[125, 7])),
            Self::Json(len) => (kind::JSON, times(len, b"\x011")),
            Self::Binary => (kind::BINARY, wire::text("abc")),
            Self::Embed => (kind::EMBED, wire::text("{}")),
            Self::Format => (kind::FORMAT, [wire::text("b"), wire::text("true")].concat()),
            Self::Type => (kind::TYPE, vec![1]),
            Self::Deleted(len) => (kind::DELETED, times(len, &[])),
            Self::Garbage(_) => unreachable!("it has no place"),
        }
    }
}

/// Appends a struct to a section, with a Skip before it if need be.
fn append(section: &mut Section, next: &mut u32, clock: u32, len: u32, bytes: &[u8]) {
    if *next < clock {
        section.bytes.extend(wire::bare(kind::SKIP, clock - *next));
        section.structs += 1;
    }
    section.bytes.extend_from_slice(bytes);
    section.structs += 1;
    *next = clock + len;
}

/// What of a client goes into which section.
fn groups(theirs: &[usize], cut: Cut) -> Vec<Vec<usize>> {
    let chunks = |len: usize| theirs.chunks(len).map(<[usize]>::to_vec).collect();
    let interleaved = |count: usize| -> Vec<Vec<usize>> {
        let count = count.clamp(1, theirs.len());
        let nth = |from: usize| theirs[from..].iter().copied().step_by(count);
        (0..count).map(|from| nth(from).collect()).collect()
    };
    match cut {
        Cut::Whole => vec![theirs.to_vec()],
        Cut::Each => chunks(1),
        Cut::Every(len) => chunks(len),
        Cut::Interleaved(count) => interleaved(count),
        Cut::InterleavedRoot => interleaved(theirs.len().isqrt()),
        Cut::Overlapping => {
            let from = (0..theirs.len()).step_by(8);
            from.map(|from| theirs[from..theirs.len().min(from + 16)].to_vec())
                .collect()
        }
    }
}

/// Sections in another order than that of clients and clocks. Each says the how many of
/// its client it is.
fn ordered(mut sections: Vec<(usize, Section)>, order: Order) -> Vec<Section> {
    let count = sections.len();
    match order {
        Order::Canonical => sections.sort_by_key(|(_, section)| std::cmp::Reverse(section.client)),
        Order::Ascending => {}
        Order::Descending => sections.reverse(),
        Order::Rotating => sections.sort_by_key(|(nth, _)| *nth),
        Order::Scattered => {
            let order: Vec<_> = scattered(count).collect();
            return order.into_iter().map(|at| sections[at].1.clone()).collect();
        }
        Order::Inwards => {
            let inwards = (0..count).map(|at| match at % 2 {
                0 => at / 2,
                _ => count - 1 - at / 2,
            });
            return inwards.map(|at| sections[at].1.clone()).collect();
        }
    }
    sections.into_iter().map(|(_, section)| section).collect()
}

/// All numbers below one, scattered.
fn scattered(count: usize) -> impl Iterator<Item = usize> {
    let step = if count.is_multiple_of(STRIDE) {
        1
    } else {
        STRIDE
    };
    (0..count).map(move |at| at * step % count)
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("sizes are small")
}

/// An update as a message.
fn frame(update: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 2];
    write_var_bytes(&mut out, update);
    out
}
