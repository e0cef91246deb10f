//! The bus between nodes: what is told on it, and what is made of that.

use bytes::Bytes;
use ysyncd_engine::{
    Config, ConnId, Event, Input, Node, StoreError,
    bus::{Body, BusCommand, BusInput, Envelope, Presence, StateDigest},
    document::DocumentState,
    protocol::{self, Message, Messages},
};

use super::{
    wire::{self, awareness, deletion, text},
    world::{World, doc, secs, snapshot},
};

const ONE: Node = Node {
    id: 1,
    incarnation: 10,
};
const TWO: Node = Node {
    id: 2,
    incarnation: 20,
};
const THREE: Node = Node {
    id: 3,
    incarnation: 30,
};

/// A node on a bus that is up, with a client of the document `d`.
fn node(name: Node, config: &Config) -> (World, ConnId) {
    let node = Some(name);
    let mut world = World::with(Config {
        node,
        ..config.clone()
    });
    world.handle(Input::Bus(BusInput::Up));
    let conn = world.joined("d");
    assert_eq!(world.bus, [BusCommand::Subscribe { doc: doc("d") }]);
    subscribed(&mut world);
    world.bus.clear();
    (world, conn)
}

fn two_nodes() -> [(World, ConnId); 2] {
    [ONE, TWO].map(|name| node(name, &Config::default()))
}

fn subscribed(world: &mut World) {
    world.handle(Input::Bus(BusInput::Subscribed { doc: doc("d") }));
}

/// What a node has published since somebody looked.
fn published(world: &mut World) -> Vec<Bytes> {
    let commands = std::mem::take(&mut world.bus).into_iter();
    let messages = commands.filter_map(|command| match command {
        BusCommand::Publish { message, .. } => Some(message),
        _ => None,
    });
    messages.collect()
}

fn hears(world: &mut World, message: Bytes) {
    let doc = doc("d");
    world.handle(Input::Bus(BusInput::Received { doc, message }));
}

/// A message of a node.
fn says(from: Node, body: Body<'_>) -> Bytes {
    Envelope { from, body }.encode()
}

/// What a node says of who is there, by the word of this user's pages.
fn says_of(from: Node, user: &str, clients: &[(u64, u64, &str)]) -> Bytes {
    let frame = wire::awareness(clients);
    let Ok(Some(Message::Awareness(states))) = Messages::new(&frame).read_next() else {
        panic!("an awareness frame");
    };
    let mut body = Vec::new();
    let is_page = !user.is_empty();
    Presence {
        user,
        is_page,
        states,
    }
    .write(&mut body);
    says(from, Body::Awareness(&body))
}

fn digest(updates: &[&[u8]]) -> StateDigest {
    let mut state = DocumentState::default();
    for update in updates {
        state.apply(update).expect("a good update");
    }
    state.digest()
}

/// Lets two nodes talk, time passing, until they have nothing more to say.
fn talk([one, two]: [&mut World; 2], time: std::time::Duration) {
    let end = one.now + time;
    while one.now < end {
        for message in published(one) {
            hears(two, message);
        }
        for message in published(two) {
            hears(one, message);
        }
        for world in [&mut *one, &mut *two] {
            world.advance(std::time::Duration::from_millis(50));
        }
    }
}

#[test]
fn without_a_bus_nothing_is_asked_of_one() {
    let mut world = World::new();
    world.handle(Input::Bus(BusInput::Up));
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    world.advance(secs(100));
    assert!(world.bus.is_empty());
    assert!(!world.status().bus_is_up);
}

#[test]
fn what_a_client_says_reaches_the_clients_of_another_node() {
    let [(mut one, alice), (mut two, bob)] = two_nodes();
    one.send_update(alice, &text(1, 0, "a"));
    let messages = published(&mut one);
    let update = text(1, 0, "a");
    assert_eq!(messages, [says(ONE, Body::Update(&update))]);
    hears(&mut two, messages[0].clone());
    assert_eq!(two.take(bob), [protocol::update(&update)]);
    assert!(published(&mut two).is_empty(), "it is no news of its own");
    hears(&mut two, messages[0].clone());
    assert!(two.take(bob).is_empty(), "told once");
    hears(&mut one, messages[0].clone());
    assert!(one.take(alice).is_empty() && published(&mut one).is_empty());
}

#[test]
fn with_a_journal_nothing_is_published_before_it_is_durable() {
    let journal = true;
    let config = Config {
        journal,
        ..Config::default()
    };
    let (mut one, alice) = node(ONE, &config);
    one.send_update(alice, &text(1, 0, "a"));
    assert!(published(&mut one).is_empty());
    one.sync();
    assert_eq!(published(&mut one).len(), 1);
}

#[test]
fn a_document_is_on_the_bus_while_it_is_in_memory() {
    let (mut one, alice) = node(ONE, &Config::default());
    one.leave(alice);
    one.advance(secs(31));
    let unsubscribed = BusCommand::Unsubscribe { doc: doc("d") };
    assert_eq!(one.bus.last(), Some(&unsubscribed));
    hears(&mut one, says(TWO, Body::Update(&text(2, 0, "b"))));
    assert!(one.store_is_idle() && !one.told(|event| matches!(event, Event::BusApplied { .. })));
}

#[test]
fn when_the_bus_is_up_again_documents_are_subscribed_to_again() {
    let (mut one, alice) = node(ONE, &Config::default());
    one.handle(Input::Bus(BusInput::Down));
    assert!(!one.status().bus_is_up);
    one.send_update(alice, &text(1, 0, "a"));
    one.advance(secs(100));
    assert!(one.bus.is_empty(), "nothing is said to nobody");
    one.handle(Input::Bus(BusInput::Up));
    assert_eq!(one.bus, [BusCommand::Subscribe { doc: doc("d") }]);
    subscribed(&mut one);
    let joined = says(ONE, Body::Joined(digest(&[&text(1, 0, "a")])));
    assert_eq!(published(&mut one), [joined]);
}

#[test]
fn what_was_lost_is_noticed_and_healed_both_ways() {
    let [(mut one, alice), (mut two, bob)] = two_nodes();
    one.send_update(alice, &text(1, 0, "a"));
    two.send_update(bob, &text(2, 0, "b"));
    two.send_update(bob, &deletion(2, 0, 1));
    one.bus.clear();
    two.bus.clear();
    one.take(alice);
    two.take(bob);
    talk([&mut one, &mut two], secs(15));
    for (world, conn) in [(&mut one, alice), (&mut two, bob)] {
        assert_eq!(world.take(conn).len(), 1, "what it lacked, at once");
        assert!(world.told(|event| matches!(event, Event::BusHealed { .. })));
    }
}

#[test]
fn a_delete_alone_is_missed() {
    let [(mut one, alice), (mut two, bob)] = two_nodes();
    one.send_update(alice, &text(1, 0, "abc"));
    talk([&mut one, &mut two], secs(15));
    two.take(bob);
    one.send_update(alice, &deletion(1, 1, 1));
    one.bus.clear();
    talk([&mut one, &mut two], secs(15));
    assert_eq!(two.take(bob), [protocol::update(&deletion(1, 1, 1))]);
}

#[test]
fn what_stands_behind_a_gap_is_missed() {
    let [(mut one, alice), (mut two, bob)] = two_nodes();
    one.send_update(alice, &text(1, 5, "x"));
    one.bus.clear();
    two.take(bob);
    talk([&mut one, &mut two], secs(15));
    assert_eq!(two.take(bob), [protocol::update(&text(1, 5, "x"))]);
}

#[test]
fn nodes_that_have_the_same_say_ever_less() {
    let [(mut one, alice), (mut two, _)] = two_nodes();
    one.send_update(alice, &text(1, 0, "a"));
    talk([&mut one, &mut two], secs(10));
    let save = one.take_save();
    one.saved(save.op, Ok("1"));
    talk([&mut one, &mut two], secs(200));
    one.bus.clear();
    two.bus.clear();
    let mut messages = 0;
    for _ in 0..30 {
        one.advance(secs(10));
        two.advance(secs(10));
        messages += published(&mut one).len() + published(&mut two).len();
    }
    // They do not hear each other now, and each tells every 30 to 60 s.
    assert!((10..=20).contains(&messages), "{messages}");
}

#[test]
fn who_hears_that_all_it_has_is_saved_does_not_save_it() {
    let [(mut one, alice), (mut two, _)] = two_nodes();
    one.send_update(alice, &text(1, 0, "a"));
    talk([&mut one, &mut two], secs(6));
    let save = one.take_save();
    assert!(two.store_is_idle(), "the other one is to save it");
    one.saved(save.op, Ok("1"));
    talk([&mut one, &mut two], secs(1));
    assert_eq!(two.status().oldest_unsaved, None);
    two.advance(secs(200));
    assert!(two.store_is_idle());
    let adopted = |event: &Event| matches!(event, Event::SnapshotAdopted { is_whole: true, .. });
    assert!(two.told(adopted));
}

#[test]
fn what_nobody_saves_is_saved_here_after_a_while() {
    // Without a journal it may be nowhere else soon.
    // Of several nodes one is to be first: each waits for three quarters to all of it.
    for (journal, least, most) in [(true, 67, 90), (false, 22, 30)] {
        let config = Config {
            journal,
            ..Config::default()
        };
        let (mut two, _) = node(TWO, &config);
        hears(&mut two, says(ONE, Body::Update(&text(1, 0, "a"))));
        two.advance(secs(least));
        assert!(two.store_is_idle());
        assert_eq!(two.status().oldest_unsaved, Some(secs(least)));
        two.advance(secs(most - least + 1));
        let save = two.take_save();
        two.saved(save.op, Ok("1"));
        assert_eq!(two.status().oldest_unsaved, None);
    }
}

/// What was planned for the first is not for the second.
#[test]
fn what_others_save_is_not_saved_here_soon_after_their_next_edit() {
    let config = Config {
        journal: true,
        ..Config::default()
    };
    let (mut two, _) = node(TWO, &config);
    hears(&mut two, says(ONE, Body::Update(&text(1, 0, "a"))));
    two.advance(secs(5));
    let saved = Body::Saved {
        digest: digest(&[&text(1, 0, "a")]),
        etag: "1",
    };
    hears(&mut two, says(ONE, saved));
    assert_eq!(two.status().oldest_unsaved, None);
    two.advance(secs(60));
    hears(&mut two, says(ONE, Body::Update(&text(1, 1, "b"))));
    two.advance(secs(60));
    assert!(two.store_is_idle());
}

#[test]
fn a_snapshot_that_is_told_of_during_a_write_is_looked_at() {
    let (mut one, alice) = node(ONE, &Config::default());
    one.send_update(alice, &text(1, 0, "a"));
    one.advance(secs(6));
    let save = one.take_save();
    hears(&mut one, says(TWO, Body::InStore { etag: "2" }));
    one.saved(save.op, Ok("1"));
    let op = one.take_load();
    one.loaded(op, Ok(Some(snapshot(text(2, 0, "b"), "2"))));
    assert!(
        one.take(alice)
            .contains(&protocol::update(&text(2, 0, "b")))
    );
}

#[test]
fn a_snapshot_of_something_else_is_not_taken_for_saved() {
    let (mut two, bob) = node(TWO, &Config::default());
    two.send_update(bob, &text(2, 0, "b"));
    let other = digest(&[&text(1, 0, "a")]);
    let saved = Body::Saved {
        digest: other,
        etag: "1",
    };
    hears(&mut two, says(ONE, saved));
    assert!(two.status().oldest_unsaved.is_some());
    two.advance(secs(6));
    let save = two.take_save();
    two.saved(save.op, Err(StoreError::Conflict));
    let op = two.take_load();
    two.loaded(op, Ok(Some(snapshot(text(1, 0, "a"), "1"))));
}

#[test]
fn what_is_too_large_for_the_bus_is_read_from_the_store() {
    let config = Config {
        bus_message_bytes_max: 200,
        ..Config::default()
    };
    let (mut one, alice) = node(ONE, &config);
    let (mut two, bob) = node(TWO, &config);
    let large = text(1, 0, &"a".repeat(500));
    one.send_update(alice, &large);
    talk([&mut one, &mut two], secs(3));
    let save = one.take_save();
    assert!(two.store_is_idle());
    one.saved(save.op, Ok("1"));
    two.take(bob);
    talk([&mut one, &mut two], secs(1));
    let op = two.take_load();
    two.loaded(op, Ok(Some(snapshot(save.body, "1"))));
    assert_eq!(two.take(bob), [protocol::update(&large)]);
    assert_eq!(two.status().oldest_unsaved, None);
}

/// A client that keeps what is deleted joins the old values of a key. What told of
/// the deletes may have been lost.
#[test]
fn a_value_that_lives_as_its_delete_was_lost_stands_alone() {
    let (mut two, bob) = node(TWO, &Config::default());
    let joined = wire::update(
        &[(1, 0, vec![wire::long_map_entry("k", &[1, 2])])],
        &[(1, 0, 1)],
    );
    hears(&mut two, says(ONE, Body::Update(&joined)));
    let last = vec![0xa8, 1, 0, 1, 125, 2];
    let apart = wire::update(&[(1, 0, vec![wire::map_entry("k", 1), last])], &[(1, 0, 1)]);
    assert_eq!(two.take(bob), [protocol::update(&apart)]);
}

#[test]
fn what_is_told_as_deleted_is_deleted_though_its_delete_was_lost() {
    let (mut one, alice) = node(ONE, &Config::default());
    one.send_update(alice, &text(2, 0, "a"));
    let bob = one.joined("d");
    one.take(bob);
    // Content kind 1: deleted, of one unit, in the root type `t`.
    let deleted = vec![1, 1, 1, b't', 1];
    let update = wire::update(&[(2, 0, vec![deleted])], &[]);
    hears(&mut one, says(TWO, Body::Update(&update)));
    assert_eq!(one.take(bob), [protocol::update(&deletion(2, 0, 1))]);
}

#[test]
fn who_is_there_stays_when_its_node_starts_again() {
    let [(mut one, alice), (mut two, bob)] = two_nodes();
    one.send(alice, awareness(&[(1, 1, "{}")]));
    talk([&mut one, &mut two], secs(1));
    assert_eq!(two.take(bob), [awareness(&[(1, 1, "{}")])]);
    // y-websocket says again what it hears.
    two.send(bob, awareness(&[(1, 1, "{}")]));
    assert!(published(&mut two).is_empty());
    let next = Node {
        incarnation: 11,
        ..ONE
    };
    hears(&mut two, says(next, Body::InStore { etag: "e9" }));
    let late = says_of(ONE, "tester", &[(1, 2, "{}")]);
    hears(&mut two, late);
    assert!(two.take(bob).is_empty(), "that life is over");
    let again = says_of(next, "tester", &[(1, 2, "{}")]);
    hears(&mut two, again);
    assert_eq!(two.take(bob), [awareness(&[(1, 2, "{}")])]);
    two.advance(secs(31));
    assert!(two.take(bob).contains(&awareness(&[(1, 2, "null")])));
}

/// They connect to another node in a moment.
#[test]
fn when_a_node_ends_its_clients_are_not_said_to_be_gone() {
    let (mut one, alice) = node(ONE, &Config::default());
    one.send(alice, awareness(&[(1, 1, "{}")]));
    one.bus.clear();
    let deadline = one.now + secs(10);
    one.handle(Input::Shutdown { deadline });
    one.advance(secs(1));
    let mut said = published(&mut one).into_iter();
    let is_awareness = |message: Bytes| {
        let envelope = Envelope::decode(&message).expect("a message of our own");
        matches!(envelope.body, Body::Awareness(_))
    };
    assert!(!said.any(is_awareness));
}

#[test]
fn a_document_about_to_leave_takes_nothing_and_catches_up_when_it_is_opened() {
    let [(mut one, alice), (mut two, bob)] = two_nodes();
    two.send_update(bob, &text(2, 0, "b"));
    talk([&mut one, &mut two], secs(10));
    let save = two.take_save();
    two.leave(bob);
    two.advance(secs(31));
    assert_eq!(two.status().documents_draining, 1);
    one.send_update(alice, &text(1, 0, "a"));
    talk([&mut one, &mut two], secs(60));
    assert!(!two.told(|event| matches!(event, Event::BusApplied { .. })));

    let carol = two.joined("d");
    talk([&mut one, &mut two], secs(3));
    let told = two.take(carol);
    assert!(
        told.contains(&protocol::update(&text(1, 0, "a"))),
        "{told:?}"
    );
    two.saved(save.op, Ok("1"));
}

#[test]
fn a_document_about_to_leave_leaves_though_others_go_on() {
    let (mut two, bob) = node(TWO, &Config::default());
    two.send_update(bob, &text(2, 0, "b"));
    two.leave(bob);
    two.advance(secs(31));
    let save = two.take_save();
    for (clock, letter) in [(0, "a"), (1, "b"), (2, "c")] {
        hears(&mut two, says(ONE, Body::Update(&text(1, clock, letter))));
        two.advance(secs(1));
    }
    two.saved(save.op, Ok("1"));
    assert_eq!(two.status().documents_draining, 0);
}

#[test]
fn a_namesake_is_told_of() {
    let (mut one, _) = node(ONE, &Config::default());
    let [before, after] = [9, 11].map(|incarnation| Node { incarnation, ..ONE });
    let taken = |event: &Event| matches!(event, Event::BusNameTaken);
    hears(&mut one, says(before, Body::Digest(digest(&[]))));
    assert!(
        !one.told(taken),
        "that was this one, before it was started again"
    );
    hears(&mut one, says(after, Body::Digest(digest(&[]))));
    assert!(one.told(taken));
}

#[test]
fn what_is_asked_for_in_vain_is_asked_for_ever_more_seldom() {
    let (mut one, _) = node(ONE, &Config::default());
    let other = digest(&[&text(2, 0, "b")]);
    let mut asked = 0;
    for _ in 0..120 {
        hears(&mut one, says(TWO, Body::Digest(other)));
        one.advance(secs(1));
        let said = published(&mut one);
        let is_asking = |message: &&Bytes| {
            let envelope = Envelope::decode(message).expect("a message of our own");
            matches!(envelope.body, Body::State { .. })
        };
        asked += said.iter().filter(is_asking).count();
    }
    assert!((5..10).contains(&asked), "{asked}");

    // What is something else is asked for at once.
    one.bus.clear();
    let next = digest(&[&text(2, 0, "c"), &text(3, 0, "c")]);
    hears(&mut one, says(TWO, Body::Digest(next)));
    one.advance(secs(2));
    let said = published(&mut one);
    let asks = said
        .iter()
        .map(|message| Envelope::decode(message).expect("our own"));
    assert_eq!(
        asks.filter(|said| matches!(said.body, Body::State { .. }))
            .count(),
        1
    );
}

#[test]
fn who_has_what_is_in_the_store_does_not_read_it() {
    let (mut one, alice) = node(ONE, &Config::default());
    one.send_update(alice, &text(1, 0, "a"));
    one.advance(secs(6));
    let save = one.take_save();
    one.saved(save.op, Ok("1"));
    hears(&mut one, says(TWO, Body::InStore { etag: "1" }));
    assert!(one.store_is_idle());
    hears(&mut one, says(TWO, Body::InStore { etag: "2" }));
    one.take_load();
}

/// However small their states are.
#[test]
fn what_is_known_of_the_clients_of_other_nodes_is_bounded() {
    let config = Config {
        bus_awareness_bytes_max: 10_000,
        ..Config::default()
    };
    let (mut one, alice) = node(ONE, &config);
    one.take(alice);
    let told = |one: &mut World, from: Node, clients: std::ops::Range<u64>| {
        let states: Vec<_> = clients.map(|client| (client, 1, "{}")).collect();
        hears(one, says_of(from, "tester", &states));
        let frames = one.take(alice);
        let told = frames.iter().map(|frame| wire::read_awareness(frame).len());
        told.sum::<usize>()
    };
    assert_eq!(told(&mut one, TWO, 1_000..1_040), 40);
    assert_eq!(
        told(&mut one, TWO, 2_000..2_040),
        9,
        "what there is room for"
    );
    assert_eq!(told(&mut one, THREE, 3_000..3_040), 40, "each has its own");
    let refused = |event: &Event| matches!(event, Event::BusMessageRefused { .. });
    assert!(!one.told(refused));
}

#[test]
fn who_is_there_leaves_with_its_connection_and_expires_in_silence() {
    let [(mut one, alice), (mut two, bob)] = two_nodes();
    one.send(alice, awareness(&[(1, 1, "{}")]));
    talk([&mut one, &mut two], secs(1));
    two.take(bob);
    one.leave(alice);
    talk([&mut one, &mut two], secs(1));
    assert_eq!(two.take(bob), [awareness(&[(1, 1, "null")])]);

    hears(&mut two, says_of(ONE, "tester", &[(3, 1, "{}")]));
    two.take(bob);
    two.advance(secs(31));
    assert!(two.take(bob).contains(&awareness(&[(3, 1, "null")])));
}

#[test]
fn who_joins_the_bus_is_told_who_is_there() {
    let (mut one, alice) = node(ONE, &Config::default());
    one.send(alice, awareness(&[(1, 1, "{}")]));
    one.bus.clear();
    let nothing = digest(&[]);
    hears(&mut one, says(TWO, Body::Joined(nothing)));
    let told = says_of(ONE, "tester", &[(1, 1, "{}")]);
    assert_eq!(published(&mut one), [told]);
}

#[test]
fn nobody_speaks_for_a_client_of_another_user_on_another_node() {
    let [(mut one, _), (mut two, bob)] = two_nodes();
    let alice = one.greeted_by("alice", "d");
    one.send(alice, awareness(&[(1, 1, "{}")]));
    talk([&mut one, &mut two], secs(1));
    assert_eq!(two.take(bob), [awareness(&[(1, 1, "{}")])]);
    let thief = two.greeted_by("thief", "d");
    two.send(thief, awareness(&[(1, 2, "{}")]));
    assert!(two.take(bob).is_empty());
    one.send(alice, awareness(&[(1, 2, "{}")]));
    talk([&mut one, &mut two], secs(1));
    assert_eq!(two.take(bob), [awareness(&[(1, 2, "{}")])]);
    // She may herself, when she is connected to that node now.
    let again = two.greeted_by("alice", "d");
    two.send(again, awareness(&[(1, 3, "{}")]));
    assert_eq!(two.take(bob), [awareness(&[(1, 3, "{}")])]);
    talk([&mut one, &mut two], secs(1));
    one.leave(alice);
    talk([&mut one, &mut two], secs(1));
    assert!(two.take(bob).is_empty(), "she has gone from there only");
}

/// Pages in one browser tell each other, and may be connected to several nodes.
#[test]
fn what_a_page_says_of_itself_goes_before_what_was_passed_on_to_another_node() {
    let [(mut one, carol), (mut two, bob)] = two_nodes();
    let mallory = two.greeted_by("mallory", "d");
    two.send(mallory, awareness(&[(2, 1, "{}")]));
    two.send(mallory, awareness(&[(1, 1, "{}")]));
    two.take(bob);
    let alice = one.greeted_by("alice", "d");
    one.send(alice, awareness(&[(1, 1, "{}")]));
    talk([&mut one, &mut two], secs(1));
    one.send(alice, awareness(&[(1, 2, "{}")]));
    talk([&mut one, &mut two], secs(1));
    assert_eq!(two.take(bob), [awareness(&[(1, 2, "{}")])]);
    one.take(carol);
    two.send(mallory, awareness(&[(1, 3, "{}")]));
    talk([&mut one, &mut two], secs(1));
    assert!(two.take(bob).is_empty() && one.take(carol).is_empty());
}

#[test]
fn of_nobody_is_only_told_that_it_has_gone() {
    let (mut two, bob) = node(TWO, &Config::default());
    hears(&mut two, says_of(ONE, "", &[(1, 1, "{}")]));
    assert!(two.take(bob).is_empty());
    hears(&mut two, says_of(ONE, "alice", &[(1, 1, "{}")]));
    hears(&mut two, says_of(ONE, "", &[(1, 1, "null")]));
    let told = [awareness(&[(1, 1, "{}")]), awareness(&[(1, 1, "null")])];
    assert_eq!(two.take(bob), told);
}

#[test]
fn bad_messages_are_dropped_and_told() {
    let (mut one, _) = node(ONE, &Config::default());
    let bad = [
        Bytes::from_static(b""),
        Bytes::from_static(&[9; 40]),
        says(TWO, Body::Update(&[1])),
        says(TWO, Body::Awareness(&[7])),
        says_of(TWO, "no\name", &[]),
        says(
            TWO,
            Body::State {
                to: 1,
                digest: digest(&[&text(1, 0, "a")]),
                state_vector: &[9],
            },
        ),
    ];
    for message in bad {
        one.events.clear();
        hears(&mut one, message.clone());
        let refused = |event: &Event| matches!(event, Event::BusMessageRefused { .. });
        assert!(one.told(refused), "{message:?}");
    }
}

/// Has each node hear what the others have published, in this order.
fn deliver<const N: usize>(worlds: &mut [World; N], order: &[usize]) {
    for &from in order {
        for message in published(&mut worlds[from]) {
            for at in (0..N).filter(|at| *at != from) {
                hears(&mut worlds[at], message.clone());
            }
        }
    }
}

#[test]
fn who_leaves_at_its_node_is_seen_nowhere_whoever_told_of_it_first() {
    let config = Config::default();
    let [(one, alice), (two, _)] = two_nodes();
    let three = Node {
        id: 3,
        incarnation: 30,
    };
    let (three, carol) = node(three, &config);
    let mut worlds = [one, two, three];
    worlds[0].send(alice, awareness(&[(7, 1, "{}")]));
    let told = published(&mut worlds[0]);
    told.into_iter()
        .for_each(|message| hears(&mut worlds[1], message));
    // The third joins, and the second answers it first: not for whom the first speaks.
    subscribed(&mut worlds[2]);
    deliver(&mut worlds, &[2, 1, 0, 2]);
    assert!(worlds[2].take(carol).contains(&awareness(&[(7, 1, "{}")])));
    worlds[0].leave(alice);
    deliver(&mut worlds, &[0, 1, 2]);
    let gone = awareness(&[(7, 1, "null")]);
    assert!(worlds[2].take(carol).contains(&gone));
}
