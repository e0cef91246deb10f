//! Structs of plain form that come one behind the other are taken together, and
//! those that are settled take a shorter way. What comes of it has to be what comes
//! of them one by one, whatever stands between them and in whatever order they come.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ysyncd_engine::{document::DocumentState, state_vector::StateVector};

use crate::{
    handmade::{Item, Update},
    loading::load,
};

/// Where somebody writes, neighbours given as fractions of what there is.
#[derive(Debug, Clone)]
enum Place {
    Front,
    Key,
    BehindOwn,
    BehindOwnBefore(prop::sample::Index),
    Behind(prop::sample::Index),
    Before(prop::sample::Index),
    Between(prop::sample::Index, prop::sample::Index),
}

#[derive(Debug, Clone)]
enum Content {
    /// ASCII, so many letters.
    Text(usize),
    /// Other text, of which not all is taken in runs.
    Wide(usize),
    Deleted(u32),
    Values(usize),
    /// So many units, and what else the info byte says.
    Garbage(u32, u8),
}

fn place() -> impl Strategy<Value = Place> {
    let id = any::<prop::sample::Index>;
    prop_oneof![
        2 => Just(Place::Front),
        1 => Just(Place::Key),
        4 => Just(Place::BehindOwn),
        6 => id().prop_map(Place::BehindOwnBefore),
        10 => id().prop_map(Place::Behind),
        5 => id().prop_map(Place::Before),
        10 => (id(), id()).prop_map(|(left, right)| Place::Between(left, right)),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    let bits = prop::sample::select(&[0, 0, 0x80, 0x40, 0xc0, 0x20][..]);
    prop_oneof![
        20 => (1..4_usize).prop_map(Content::Text),
        // Few of these fill a block.
        2 => (500..2_000_usize).prop_map(Content::Text),
        10 => (1..4_u32).prop_map(Content::Deleted),
        1 => (1..3_usize).prop_map(Content::Wide),
        10 => (1..3_usize).prop_map(Content::Values),
        2 => (1..30_u32, bits).prop_map(|(len, bits)| Content::Garbage(len, bits)),
    ]
}

impl Content {
    fn at(&self, place: Item) -> Item {
        match *self {
            Self::Text(len) => place.text(&"x".repeat(len)),
            Self::Wide(len) => place.text(&"ä".repeat(len)),
            Self::Deleted(len) => place.deleted(len),
            Self::Values(count) => place.any(&vec![&[120][..]; count]),
            Self::Garbage(len, bits) => Item::garbage(len).with_bits(bits),
        }
    }
}

/// Structs in an order in which everybody could have written them: client and clock
/// of each.
type Written = Vec<(u64, u32, Item)>;

/// So far neighbours of map entries are followed: further than this none are looked for
/// as something comes, and it is told only later what was superseded. Parts of structs
/// are counted, and what goes on behind them.
const FOLLOWED: usize = 12;

/// How many neighbours are between a struct and the one that tells its key; `None` if it
/// is no map entry.
fn steps_to_key(place: &Item, written: &Written, steps: &[Option<usize>]) -> Option<usize> {
    let Some((client, clock)) = place.neighbour() else {
        return place.has_key().then_some(0);
    };
    let holds = |(theirs, start, item): &(u64, u32, Item)| {
        *theirs == client && (*start..*start + item.len()).contains(&clock)
    };
    let at = written.iter().position(holds)?;
    Some(steps[at]? + usize::from(written[at].2.len() > 1) + 1)
}

/// What a few clients write who know all that the others have written, as somebody
/// might who does not use Yjs: what is a map entry and what is not may change places.
fn written() -> impl Strategy<Value = Written> {
    prop::collection::vec((1..5_u64, place(), content()), 1..60).prop_map(|writes| {
        let (mut written, mut ends) = (Written::new(), BTreeMap::<u64, u32>::new());
        let mut steps = Vec::new();
        for (client, place, content) in writes {
            let clock = ends.get(&client).copied().unwrap_or(0);
            // Units of any struct, not the last alone.
            let id = |at: prop::sample::Index| {
                let (client, clock, item) = &written[at.index(written.len())];
                let unit = u32::try_from(at.index(item.len() as usize));
                (*client, clock + unit.expect("structs are short"))
            };
            let place = match place {
                Place::Key => Item::in_root("map").with_key("k"),
                Place::BehindOwn if clock > 0 => Item::after(client, clock - 1),
                Place::BehindOwnBefore(right) if clock > 0 => {
                    Item::between((client, clock - 1), id(right))
                }
                Place::Behind(left) if !written.is_empty() => {
                    let (client, clock) = id(left);
                    Item::after(client, clock)
                }
                Place::Before(right) if !written.is_empty() => {
                    let (client, clock) = id(right);
                    Item::before(client, clock)
                }
                Place::Between(left, right) if !written.is_empty() => {
                    Item::between(id(left), id(right))
                }
                _ => Item::in_root("text"),
            };
            let (place, to_key) = match steps_to_key(&place, &written, &steps) {
                Some(FOLLOWED..) => (Item::in_root("text"), None),
                to_key => (place, to_key),
            };
            let is_garbage = matches!(content, Content::Garbage(..));
            steps.push(to_key.filter(|_| !is_garbage));
            let item = content.at(place);
            ends.insert(client, clock + item.len());
            written.push((client, clock, item));
        }
        written
    })
}

/// All that a client has written, as one update.
fn by_client(written: &Written) -> BTreeMap<u64, Update> {
    let mut updates = BTreeMap::<u64, Update>::new();
    for (client, clock, item) in written {
        updates
            .entry(*client)
            .or_default()
            .push(*client, *clock, item);
    }
    updates
}

/// All that was written, as two updates: first so many structs of each client, then
/// those behind.
fn in_two(written: &Written, first: [usize; 4], order: [u64; 4]) -> [Update; 2] {
    let parts = |is_first: bool| {
        let mut counts = BTreeMap::<u64, usize>::new();
        let mut part = Written::new();
        for (client, clock, item) in written {
            let count = counts.entry(*client).or_default();
            *count += 1;
            let at = usize::try_from(*client - 1).expect("clients are few");
            if (*count <= first[at]) == is_first {
                part.push((*client, *clock, item.clone()));
            }
        }
        let (of, mut update) = (by_client(&part), Update::default());
        for of_client in order.iter().filter_map(|client| of.get(client)) {
            update.append(of_client);
        }
        update
    };
    [parts(true), parts(false)]
}

/// What stands behind the last struct of each client, as one update each, told by what
/// it holds: joined to that only if both stand in a list, so that it shows what is
/// believed of those.
fn behind_each(ends: &mut BTreeMap<u64, u32>, held: impl Fn(Item) -> Item) -> Vec<Vec<u8>> {
    let behind = |(client, end): (&u64, &mut u32)| {
        let (mut update, item) = (Update::default(), held(Item::after(*client, *end - 1)));
        update.push(*client, *end, &item);
        *end += item.len();
        update.encode()
    };
    ends.iter_mut().map(behind).collect()
}

/// How histories go on: by values, which are joined to values, and by text.
fn continued(written: &Written) -> [Vec<Vec<u8>>; 3] {
    let ends = |(client, clock, item): &(u64, u32, Item)| (*client, clock + item.len());
    let mut ends: BTreeMap<_, _> = written.iter().map(ends).collect();
    let value = |place: Item| place.any(&[&[120]]);
    [
        behind_each(&mut ends, value),
        behind_each(&mut ends, value),
        behind_each(&mut ends, |place| place.text("t")),
    ]
}

/// All that is known of a state that does not depend on how it is told.
#[derive(Debug, PartialEq)]
struct Known {
    vector: StateVector,
    integrated: StateVector,
    deletes: Vec<u8>,
}

fn known(state: &DocumentState) -> Known {
    state.check();
    let vector = state.state_vector();
    Known {
        integrated: state.integrated(),
        deletes: state.diff(&vector).to_vec(),
        vector,
    }
}

/// What is known of a state as it is, then all that can be told of it, once that is
/// told in the fewest words. What is superseded follows from what is there, so only
/// the first shows whether that was noticed as it came.
fn told(mut state: DocumentState) -> (Known, Known, Vec<u8>) {
    let before = known(&state);
    state.compact(true);
    (before, known(&state), state.encode().to_vec())
}

fn assert_same(states: &[DocumentState]) -> Result<(), TestCaseError> {
    let mut told = states.iter().cloned().map(told);
    let expected = told.next();
    for other in told {
        prop_assert_eq!(Some(&other), expected.as_ref());
    }
    Ok(())
}

/// A key's value is named by the client that also waits for text of the same other
/// client: that text was named first, and is later, so the value's place hangs on it.
#[test]
fn values_are_not_taken_for_a_list_because_of_what_an_earlier_step_named() {
    const A: u64 = 30;
    const X: u64 = 20;
    const Z: u64 = 10;
    let value = |place: Item| place.any(&[&[120]]);
    let mut first = Update::default();
    first
        .push(A, 0, &Item::in_root("text").text("a"))
        .push(A, 1, &Item::between((A, 0), (X, 1)).text("b"))
        .push(A, 2, &Item::between((A, 1), (Z, 0)).text("c"))
        .push(A, 3, &value(Item::after(X, 0)))
        .push(A, 4, &value(Item::after(A, 3)))
        .push(X, 0, &value(Item::in_root("map").with_key("k")))
        .push(X, 1, &Item::in_root("text").text("x"))
        .push(Z, 0, &Item::between((A, 1), (X, 1)).text("z"));
    let mut last = Update::default();
    last.push(A, 5, &value(Item::after(A, 4)));
    let mut state = load(&first.encode()).unwrap();
    state.apply(&last.encode()).unwrap();
    // Each value is a struct still, and those before the last are not superseded as
    // parts of one.
    assert_eq!(state.count_structs(&mut usize::MAX.clone()), Some(9));
    let deletes = known(&state).deletes;
    state.compact(true);
    assert_eq!(known(&state).deletes, deletes);
}

/// The same with an entry of two values, of which only the last is to live.
#[test]
fn what_is_superseded_is_seen_though_an_earlier_step_named_the_same_client() {
    let mut update = Update::default();
    update
        .push(30, 0, &Item::in_root("text").text("a"))
        .push(30, 1, &Item::between((30, 0), (20, 1)).text("b"))
        .push(30, 2, &Item::between((30, 1), (10, 0)).text("c"))
        .push(30, 3, &Item::after(20, 0).any(&[&[120], &[121]]))
        .push(20, 0, &Item::in_root("map").with_key("k").any(&[&[120]]))
        .push(20, 1, &Item::in_root("text").text("x"))
        .push(10, 0, &Item::between((30, 1), (20, 1)).text("z"));
    let state = load(&update.encode()).unwrap();
    let mut superseded = Update::default();
    superseded.delete(30, &[(3, 1)]);
    assert_eq!(known(&state).deletes, superseded.encode());
}

/// The same where the client waits from an update before, so that the earlier step has
/// to read its structs: what these name is looked at by the next step then. They are
/// known to stand in a list meanwhile, as their left neighbours do.
#[test]
fn what_an_earlier_step_read_is_looked_at_by_the_next() {
    let value = |place: Item| place.any(&[&[120]]);
    let (mut waiting, mut rest) = (Update::default(), Update::default());
    waiting.push(30, 0, &value(Item::in_root("list")));
    waiting.push(30, 1, &value(Item::between((30, 0), (20, 1))));
    // Values, as text would be taken in a run, of which nothing is known before it is
    // integrated.
    rest.push(30, 2, &value(Item::between((30, 1), (20, 1))))
        .push(30, 3, &value(Item::between((30, 2), (10, 0))))
        .push(30, 4, &Item::after(20, 0).any(&[&[120], &[121]]))
        .push(20, 0, &value(Item::in_root("map").with_key("k")))
        .push(20, 1, &value(Item::in_root("list")))
        .push(10, 0, &value(Item::after(30, 2)));
    let mut state = load(&waiting.encode()).unwrap();
    state.apply(&rest.encode()).unwrap();
    state.check();
    let mut superseded = Update::default();
    superseded.delete(30, &[(4, 1)]);
    assert_eq!(known(&state).deletes, superseded.encode());
}

/// Yjs sees garbage in any info byte of that kind, and nothing it names.
#[test]
fn garbage_names_nothing_whatever_its_info_byte_says() {
    for bits in [0x80, 0x40, 0xc0] {
        let (mut waiting, mut awaited) = (Update::default(), Update::default());
        waiting
            .push(30, 0, &Item::in_root("text").text("a"))
            .push(30, 1, &Item::between((30, 0), (20, 0)).text("b"))
            .push(30, 2, &Item::garbage(20).with_bits(bits))
            .push(30, 22, &Item::between((30, 21), (10, 0)).text("c"));
        awaited.push(20, 0, &Item::in_root("text").text("x")).push(
            10,
            0,
            &Item::after(30, 1).text("z"),
        );
        waiting.append(&awaited);
        let state = load(&waiting.encode()).unwrap();
        state.check();
        assert_eq!(state.integrated(), state.state_vector());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn structs_that_come_at_once_are_taken_as_one_by_one(
        written in written(),
        order in Just([1_u64, 2, 3, 4]).prop_shuffle(),
        first in prop::array::uniform4(prop_oneof![Just(0), 0..8_usize]),
    ) {
        let mut one_by_one = DocumentState::default();
        for (client, clock, item) in &written {
            let mut update = Update::default();
            update.push(*client, *clock, item);
            one_by_one.apply(&update.encode()).unwrap();
        }
        let mut client_by_client = DocumentState::default();
        let (of, mut all) = (by_client(&written), Update::default());
        for update in order.iter().filter_map(|client| of.get(client)) {
            client_by_client.apply(&update.encode()).unwrap();
            all.append(update);
        }
        let mut descending = Update::default();
        of.values().rev().for_each(|update| {
            descending.append(update);
        });
        // What waits from an update before is read again when it can be integrated.
        let mut part_by_part = DocumentState::default();
        for update in in_two(&written, first, order) {
            part_by_part.apply(&update.encode()).unwrap();
        }
        let mut states = [
            one_by_one,
            client_by_client,
            part_by_part,
            load(&all.encode()).unwrap(),
            load(&descending.encode()).unwrap(),
        ];
        assert_same(&states)?;
        for updates in continued(&written) {
            for state in &mut states {
                for update in &updates {
                    state.apply(update).unwrap();
                }
            }
            assert_same(&states)?;
        }
    }
}
