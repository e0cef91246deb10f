//! Lists and versions on real S3 servers.

use aws_sdk_s3::{
    Client,
    primitives::ByteStream,
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use bytes::Bytes;
use tokio::task::JoinSet;
use ysyncd_engine::{Condition, StoreError};
use ysyncd_storage::{
    SnapshotStore,
    catalog::{Catalog, Version, VersionContent, VersionId},
    s3::S3Store,
};

use crate::{
    catalog::{Place, catalog_conformance, list},
    conformance::doc,
    s3::{MOTO, SEAWEED, Server, unique_prefix},
};

mod seaweed {
    async fn open() -> Option<super::Place> {
        let place = super::open(super::SEAWEED)?;
        // It keeps objects as files, whose names have at most 255 bytes.
        let takes_long_ids = false;
        Some(super::Place {
            takes_long_ids,
            ..place
        })
    }

    super::catalog_conformance!(open);
}

mod moto {
    async fn open() -> Option<super::Place> {
        super::open(super::MOTO)
    }

    super::catalog_conformance!(open);
}

fn open(variable: &str) -> Option<Place> {
    let server = Server::named(variable)?;
    let store = S3Store::new(server.config(), &server.bucket, &unique_prefix());
    Some(Place::of(store))
}

#[tokio::test]
async fn a_list_of_more_than_one_page_is_complete() {
    const DOCUMENTS: usize = 1_100;
    for name in [SEAWEED, MOTO] {
        let Some(server) = Server::named(name) else {
            continue;
        };
        let prefix = unique_prefix();
        let mut savers = JoinSet::new();
        for saver in 0..10 {
            let store = S3Store::new(server.config(), &server.bucket, &prefix);
            savers.spawn(async move {
                for n in (saver..DOCUMENTS).step_by(10) {
                    let id = doc(&format!("docs/{n} ü+%"));
                    store
                        .save(&id, Bytes::new(), Condition::Absent)
                        .await
                        .unwrap();
                }
            });
        }
        savers.join_all().await;
        let store = S3Store::new(server.config(), &server.bucket, &prefix);
        let first = store.list("docs/", None).await.unwrap();
        assert!(first.next.is_some(), "{name}: all on one page");
        assert_eq!(list(&store, "docs/").await.len(), DOCUMENTS, "{name}");
    }
}

#[tokio::test]
async fn objects_that_are_no_documents_are_passed_over() {
    for name in [SEAWEED, MOTO] {
        let Some(server) = Server::named(name) else {
            continue;
        };
        let prefix = unique_prefix();
        let client = Client::from_conf(server.config().build());
        for key in [
            "a.bin",
            "notes.txt",
            "a b.bin",
            "deeper/b.bin",
            ".ysyncd-probe",
            "%41.bin",
            "c.bin~",
        ] {
            let put = client.put_object().bucket(&server.bucket);
            let body = ByteStream::from_static(b"foreign");
            let put = put.key(format!("{prefix}/{key}")).body(body);
            put.send().await.unwrap();
        }
        let store = S3Store::new(server.config(), &server.bucket, &prefix);
        let listed = list(&store, "").await;
        assert_eq!(listed.keys().collect::<Vec<_>>(), [&doc("a")], "{name}");
        assert!(listed[&doc("a")].modified.is_some(), "{name}");
    }
}

#[tokio::test]
async fn versions_are_told_newest_first_and_can_be_loaded() {
    for name in [SEAWEED, MOTO] {
        let Some(server) = Server::named(name) else {
            continue;
        };
        let store = versioned(&server).await;
        let a = doc("a");
        assert_eq!(store.versions(&a).await, Ok(vec![]), "{name}");
        let mut etag = save(&store, "a", "1", Condition::Absent).await;
        // A name that begins with the other's name.
        save(&store, "a.bin", "other", Condition::Absent).await;
        for body in ["22", "333"] {
            etag = save(&store, "a", body, Condition::Matches(etag)).await;
        }
        let versions = store.versions(&a).await.unwrap();
        assert_eq!(sizes(&versions), [Some(3), Some(2), Some(1)], "{name}");
        assert_eq!(latest(&versions), [true, false, false], "{name}");
        for (version, body) in versions.iter().zip(["333", "22", "1"]) {
            let loaded = store.load_version(&a, &version.id).await.unwrap().unwrap();
            assert_eq!(loaded.body, body, "{name}");
        }
    }
}

#[tokio::test]
async fn a_deletion_is_a_version_and_what_was_before_stays() {
    for name in [SEAWEED, MOTO] {
        let Some(server) = Server::named(name) else {
            continue;
        };
        let store = versioned(&server).await;
        let a = doc("a");
        assert_eq!(store.delete(&a).await, Ok(false), "{name}");
        assert_eq!(store.versions(&a).await, Ok(vec![]), "{name}: a trace");
        save(&store, "a", "1", Condition::Absent).await;
        assert_eq!(store.delete(&a).await, Ok(true), "{name}");
        assert_eq!(store.load(&a).await, Ok(None), "{name}");
        assert!(list(&store, "").await.is_empty(), "{name}");
        let versions = store.versions(&a).await.unwrap();
        assert_eq!(sizes(&versions), [None, Some(1)], "{name}");
        assert_eq!(latest(&versions), [true, false], "{name}");
        let deletion = store.load_version(&a, &versions[0].id).await;
        assert_eq!(deletion, Ok(None), "{name}");
        let before = store.load_version(&a, &versions[1].id).await;
        assert_eq!(before.unwrap().unwrap().body, "1", "{name}");
        save(&store, "a", "again", Condition::Absent).await;
        let mut sizes = sizes(&store.versions(&a).await.unwrap());
        assert_eq!(sizes[0], Some(5), "{name}");
        // All in one second, so that nothing tells which was before.
        sizes.sort_unstable();
        assert_eq!(sizes, [None, Some(1), Some(5)], "{name}");
    }
}

#[tokio::test]
async fn a_version_that_is_not_there_is_none_or_denied() {
    for name in [SEAWEED, MOTO] {
        let Some(server) = Server::named(name) else {
            continue;
        };
        let store = versioned(&server).await;
        save(&store, "a", "1", Condition::Absent).await;
        let version = VersionId("0".repeat(32));
        let loaded = store.load_version(&doc("a"), &version).await;
        let is_fine = matches!(loaded, Ok(None) | Err(StoreError::Denied(_)));
        assert!(is_fine, "{name}: {loaded:?}");
    }
}

#[tokio::test]
async fn without_versioning_the_present_is_the_only_version() {
    for name in [SEAWEED, MOTO] {
        let Some(server) = Server::named(name) else {
            continue;
        };
        let store = S3Store::new(server.config(), &server.bucket, &unique_prefix());
        save(&store, "a", "1", Condition::Absent).await;
        let versions = store.versions(&doc("a")).await.unwrap();
        assert_eq!(sizes(&versions), [Some(1)], "{name}");
        assert_eq!(versions[0].id, VersionId("null".to_owned()), "{name}");
    }
}

/// A store in a bucket that keeps versions.
async fn versioned(server: &Server) -> S3Store {
    let bucket = format!("versioned-{}", unique_prefix());
    let client = Client::from_conf(server.config().build());
    client.create_bucket().bucket(&bucket).send().await.unwrap();
    let enabled = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    let request = client.put_bucket_versioning().bucket(&bucket);
    let request = request.versioning_configuration(enabled);
    request.send().await.unwrap();
    S3Store::new(server.config(), &bucket, "docs")
}

async fn save(
    store: &S3Store,
    id: &str,
    body: &'static str,
    condition: Condition,
) -> ysyncd_engine::Etag {
    let saved = store.save(&doc(id), body.into(), condition).await;
    saved.unwrap()
}

/// Sizes of snapshots; `None` for deletions.
fn sizes(versions: &[Version]) -> Vec<Option<u64>> {
    let size = |version: &Version| match version.content {
        VersionContent::Snapshot { size_bytes, .. } => Some(size_bytes),
        VersionContent::Deletion => None,
    };
    versions.iter().map(size).collect()
}

fn latest(versions: &[Version]) -> Vec<bool> {
    versions.iter().map(|version| version.is_latest).collect()
}
