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
    Garbage(u32),
}

fn place() -> impl Strategy<Value = Place> {
    let id = any::<prop::sample::Index>;
    prop_oneof![
        2 => Just(Place::Front),
        1 => Just(Place::Key),
        4 => Just(Place::BehindOwn),
        10 => id().prop_map(Place::Behind),
        5 => id().prop_map(Place::Before),
        10 => (id(), id()).prop_map(|(left, right)| Place::Between(left, right)),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        20 => (1..4_usize).prop_map(Content::Text),
        // Few of these fill a block.
        2 => (500..2_000_usize).prop_map(Content::Text),
        10 => (1..4_u32).prop_map(Content::Deleted),
        1 => (1..3_usize).prop_map(Content::Wide),
        1 => (1..3_usize).prop_map(Content::Values),
        1 => (1..3_u32).prop_map(Content::Garbage),
    ]
}

impl Content {
    fn at(&self, place: Item) -> Item {
        match *self {
            Self::Text(len) => place.text(&"x".repeat(len)),
            Self::Wide(len) => place.text(&"ä".repeat(len)),
            Self::Deleted(len) => place.deleted(len),
            Self::Values(count) => place.any(&vec![&[120][..]; count]),
            Self::Garbage(len) => Item::garbage(len),
        }
    }
}

/// Structs in an order in which everybody could have written them: client and clock
/// of each.
type Written = Vec<(u64, u32, Item)>;

/// What a few clients write who know all that the others have written, as somebody
/// might who does not use Yjs: what is a map entry and what is not may change places.
fn written() -> impl Strategy<Value = Written> {
    prop::collection::vec((1..5_u64, place(), content()), 1..60).prop_map(|steps| {
        let (mut written, mut ends) = (Written::new(), BTreeMap::<u64, u32>::new());
        for (client, place, content) in steps {
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

/// Text behind the last struct of each client: joined to it only if both stand in a
/// list, so that it shows what is believed of those.
fn continued(written: &Written) -> Vec<Vec<u8>> {
    let mut ends = BTreeMap::new();
    for (client, clock, item) in written {
        ends.insert(*client, clock + item.len());
    }
    let behind = |(client, end): (u64, u32)| {
        let mut update = Update::default();
        update.push(client, end, &Item::after(client, end - 1).text("t"));
        update.encode()
    };
    ends.into_iter().map(behind).collect()
}

/// All that can be told of a state, once it is told in the fewest words.
fn told(mut state: DocumentState) -> (StateVector, StateVector, Vec<u8>) {
    state.check();
    state.compact(true);
    state.check();
    (
        state.state_vector(),
        state.integrated(),
        state.encode().to_vec(),
    )
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
        let mut states = [
            one_by_one,
            client_by_client,
            load(&all.encode()).unwrap(),
            load(&descending.encode()).unwrap(),
        ];
        let [expected, rest @ ..] = states.clone().map(told);
        for other in rest {
            prop_assert_eq!(&other, &expected);
        }
        for state in &mut states {
            for update in continued(&written) {
                state.apply(&update).unwrap();
            }
        }
        let [expected, rest @ ..] = states.map(told);
        for other in rest {
            prop_assert_eq!(&other, &expected);
        }
    }
}
