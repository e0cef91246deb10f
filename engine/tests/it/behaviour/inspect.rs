//! What people are told of documents and connections.

use ysyncd_engine::{
    Config, DocumentFacts, DocumentPhase, Inspection, InspectionLimits, StoreError, auth::Access,
};

use super::{
    wire::{self, text},
    world::{World, doc, secs},
};

const ALL: InspectionLimits = InspectionLimits {
    documents: 100,
    connections: 100,
    connections_per_document: 100,
    pieces: 1_000,
};

/// The one document there is.
#[track_caller]
fn only(world: &World) -> DocumentFacts {
    let mut inspection = world.inspect(ALL);
    assert_eq!(inspection.documents_total, 1);
    inspection.documents.pop().expect("there is one")
}

fn names(inspection: &Inspection) -> Vec<&str> {
    let documents = inspection.documents.iter();
    documents.map(|facts| facts.id.as_str()).collect()
}

#[test]
fn versions_tell_what_is_here_what_is_durable_and_what_is_saved() {
    let mut world = World::new();
    let conn = world.joined("d");
    let facts = only(&world);
    assert_eq!((facts.version, facts.saved_version), (0, 0));
    assert_eq!((facts.changed, facts.saved), (None, None));
    world.advance(secs(10));
    world.send_update(conn, &text(1, 0, "abc"));
    world.advance(secs(1));
    world.send_update(conn, &text(2, 0, "de"));
    world.advance(secs(2));
    let facts = only(&world);
    assert_eq!((facts.id, facts.phase), (doc("d"), DocumentPhase::Live));
    assert_eq!((facts.clients, facts.structs), (2, Some(2)));
    assert_eq!((facts.version, facts.saved_version), (2, 0));
    assert_eq!(facts.durable_version, 0, "there is no journal");
    assert_eq!(facts.changed, Some(secs(2)));
    assert_eq!(facts.oldest_undurable, Some(secs(3)));
    assert_eq!(facts.oldest_unsaved, Some(secs(3)));
    assert!(facts.unsaved_bytes > 5 && facts.bytes >= facts.unsaved_bytes);

    world.advance(secs(3));
    let save = world.take_save();
    world.send_update(conn, &text(2, 2, "f"));
    world.saved(save.op, Ok("v1"));
    world.advance(secs(1));
    let facts = only(&world);
    assert_eq!((facts.version, facts.saved_version), (3, 2));
    assert_eq!(facts.durable_version, 2);
    assert_eq!((facts.changed, facts.saved), (Some(secs(1)), Some(secs(1))));
    assert_eq!(facts.oldest_unsaved, Some(secs(1)));
    assert!(!facts.is_failing);
}

#[test]
fn what_waits_for_the_journal_is_no_change_yet() {
    let mut world = World::with(Config {
        journal: true,
        ..Config::default()
    });
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "abc"));
    world.advance(secs(1));
    let facts = only(&world);
    assert_eq!((facts.version, facts.durable_version), (0, 0));
    assert!(facts.staged_bytes > 3);
    assert_eq!(facts.oldest_undurable, Some(secs(1)));
    world.sync();
    let facts = only(&world);
    assert_eq!((facts.version, facts.durable_version), (1, 1));
    assert_eq!((facts.saved_version, facts.staged_bytes), (0, 0));
    assert_eq!(facts.oldest_undurable, None);
    assert!(facts.oldest_unsaved.is_some());
}

#[test]
fn a_document_that_cannot_be_saved_is_told() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "abc"));
    world.advance(secs(5));
    let save = world.take_save();
    world.saved(save.op, Err(StoreError::Unavailable("down".into())));
    let facts = only(&world);
    assert!(facts.is_failing);
    assert_eq!((facts.saved_version, facts.saved), (0, None));
}

#[test]
fn who_waits_for_a_document_counts() {
    let mut world = World::new();
    world.open("d");
    world.open("d");
    let facts = only(&world);
    assert_eq!(facts.phase, DocumentPhase::Loading);
    assert_eq!(facts.connections_total, 2);
    assert_eq!(facts.connections, []);
    assert_eq!(world.inspect(ALL).connections_total, 2);
}

#[test]
fn connections_tell_whose_they_are_and_what_waits_for_them() {
    let mut world = World::with(Config {
        outbox_bytes_max: 100,
        ..Config::default()
    });
    let (writer, slow) = (world.joined("d"), world.joined("d"));
    let reader = world.open_as("d", Access::Read, None);
    world.stall(slow);
    for clock in 0..20 {
        world.send_update(writer, &text(1, clock, "a"));
    }
    let facts = only(&world).connections;
    let order: Vec<_> = facts.iter().map(|facts| facts.conn).collect();
    assert_eq!(order, [slow, writer, reader], "who lags comes first");
    assert!(facts[0].lags && facts[0].waiting_bytes > 100);
    assert!(facts[0].sent_bytes >= facts[0].waiting_bytes);
    assert!(!facts[1].lags);
    assert_eq!(facts[1].waiting_bytes, 0);
    assert!(facts[1].may_write && !facts[2].may_write);
    assert_eq!(facts[2].user.as_str(), "tester");
}

#[test]
fn an_update_that_was_refused_shows_with_its_connection() {
    let mut world = World::with(Config {
        document_clients_max: 1,
        ..Config::default()
    });
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "a"));
    assert!(!only(&world).connections[0].is_refused);
    world.send_update(conn, &text(2, 0, "a"));
    assert!(only(&world).connections[0].is_refused);
}

#[test]
fn those_that_changed_last_come_first_and_the_rest_is_counted() {
    let mut world = World::new();
    let conns: Vec<_> = ["a", "b", "c", "d", "e"]
        .map(|name| world.joined(name))
        .into();
    world.joined("d");
    for conn in [conns[1], conns[0], conns[2]] {
        world.advance(secs(1));
        world.send_update(conn, &text(1, 0, "a"));
    }
    assert_eq!(names(&world.inspect(ALL)), ["c", "a", "b", "d", "e"]);
    for documents in 0..5 {
        let inspection = world.inspect(InspectionLimits { documents, ..ALL });
        assert_eq!(names(&inspection), ["c", "a", "b", "d", "e"][..documents]);
        assert_eq!(inspection.documents_total, 5);
        assert_eq!(inspection.connections_total, 6);
    }
}

#[test]
fn no_more_connections_are_told_than_asked_for() {
    let mut world = World::new();
    for name in ["a", "a", "a", "b", "b"] {
        world.joined(name);
    }
    let told = |connections, connections_per_document| {
        let limits = InspectionLimits {
            connections,
            connections_per_document,
            ..ALL
        };
        let documents = world.inspect(limits).documents.into_iter();
        documents
            .map(|facts| (facts.connections.len(), facts.connections_total))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(100, 100), [(3, 3), (2, 2)]);
    assert_eq!(told(100, 1), [(1, 3), (1, 2)]);
    assert_eq!(told(4, 100), [(3, 3), (1, 2)]);
    assert_eq!(told(0, 100), [(0, 3), (0, 2)]);
}

#[test]
fn structs_are_counted_as_far_as_that_costs_little() {
    let mut world = World::new();
    for (name, clients) in [("a", 3), ("b", 2)] {
        let conn = world.joined(name);
        for client in 1..=clients {
            world.send_update(conn, &text(client, 0, "a"));
        }
        world.advance(secs(1));
    }
    let counts = |pieces| {
        let inspection = world.inspect(InspectionLimits { pieces, ..ALL });
        let documents = inspection.documents.into_iter();
        documents.map(|facts| facts.structs).collect::<Vec<_>>()
    };
    assert_eq!(counts(5), [Some(2), Some(3)]);
    assert_eq!(counts(4), [Some(2), None]);
    assert_eq!(counts(1), [None, None]);
}

#[test]
fn looking_changes_nothing() {
    let mut world = World::new();
    let conn = world.joined("d");
    world.send_update(conn, &text(1, 0, "abc"));
    let before = (world.poll_timeout(), world.inspect(ALL));
    assert_eq!(before, (world.poll_timeout(), world.inspect(ALL)));
    world.send(conn, wire::sync_step_1(&[]));
    assert_eq!(world.take(conn).len(), 1);
}
