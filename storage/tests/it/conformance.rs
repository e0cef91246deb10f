//! The behaviours that `SnapshotStore` promises, one function each. The macro
//! `conformance` makes a test of each of them for one backend.

use std::{any::Any, collections::HashMap, sync::Arc};

use bytes::Bytes;
use tokio::task::JoinSet;
use ysyncd_engine::{Condition, DocId, Etag, StoreError};
use ysyncd_storage::SnapshotStore;

/// An empty place to store in, and two stores that share it.
pub(crate) struct Stores {
    one: Arc<dyn SnapshotStore>,
    other: Arc<dyn SnapshotStore>,
    /// What has to live as long as the stores.
    _kept: Option<Box<dyn Any>>,
}

impl Stores {
    pub(crate) fn new(one: Arc<dyn SnapshotStore>, other: Arc<dyn SnapshotStore>) -> Self {
        let _kept = None;
        Self { one, other, _kept }
    }

    pub(crate) fn keeping(self, kept: impl Any) -> Self {
        let _kept = Some(Box::new(kept) as Box<dyn Any>);
        Self { _kept, ..self }
    }

    /// One of the two, in turn.
    fn pick(&self, n: usize) -> Arc<dyn SnapshotStore> {
        Arc::clone(if n.is_multiple_of(2) {
            &self.one
        } else {
            &self.other
        })
    }
}

/// Makes one test of each behaviour. The argument is an async function without
/// arguments that opens `Stores`, or gives `None` where there is nothing to
/// test against. A backend that is known not to keep some of the promises
/// leaves them out.
macro_rules! conformance {
    ($open:path) => {
        crate::conformance::conformance! { basics $open }
        crate::conformance::conformance! { long_ids $open }
        crate::conformance::conformance! { races $open }
    };
    ($open:path, without long_ids) => {
        crate::conformance::conformance! { basics $open }
        crate::conformance::conformance! { races $open }
    };
    ($open:path, without races) => {
        crate::conformance::conformance! { basics $open }
        crate::conformance::conformance! { long_ids $open }
    };
    (basics $open:path) => {
        crate::conformance::tests! { $open:
            an_absent_document_loads_as_none
            a_created_snapshot_loads_as_it_was_saved
            a_second_create_conflicts
            a_save_with_the_right_etag_replaces
            a_save_with_a_stale_etag_conflicts_and_changes_nothing
            a_save_with_an_etag_of_an_absent_document_conflicts
            the_etag_changes_with_the_content
            an_etag_of_one_document_is_none_of_another
            bodies_of_any_size_and_content_come_back
            ids_hostile_to_file_systems_are_just_names
        }
    };
    (long_ids $open:path) => {
        crate::conformance::tests! { $open: ids_of_every_length_are_just_names }
    };
    (races $open:path) => {
        crate::conformance::tests! { $open:
            of_concurrent_creates_one_wins
            of_concurrent_replacements_one_wins
            a_reader_never_sees_a_torn_snapshot
        }
    };
}
pub(crate) use conformance;

macro_rules! tests {
    ($open:path: $($behaviour:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $behaviour() {
            if let Some(stores) = $open().await {
                crate::conformance::$behaviour(&stores).await;
            }
        }
    )*};
}
pub(crate) use tests;

pub(crate) async fn an_absent_document_loads_as_none(stores: &Stores) {
    assert_eq!(stores.one.load(&doc("absent")).await, Ok(None));
}

pub(crate) async fn a_created_snapshot_loads_as_it_was_saved(stores: &Stores) {
    let etag = create(stores, &doc("a"), b"first").await;
    assert_holds(stores, &doc("a"), b"first", &etag).await;
    assert_eq!(stores.one.load(&doc("b")).await, Ok(None));
}

pub(crate) async fn a_second_create_conflicts(stores: &Stores) {
    let etag = create(stores, &doc("a"), b"first").await;
    for body in [&b"second"[..], b"first"] {
        let second = save(&*stores.other, &doc("a"), body, Condition::Absent).await;
        assert_eq!(second, Err(StoreError::Conflict));
    }
    assert_holds(stores, &doc("a"), b"first", &etag).await;
}

pub(crate) async fn a_save_with_the_right_etag_replaces(stores: &Stores) {
    let mut etag = create(stores, &doc("a"), b"0").await;
    for n in 1..10usize {
        let body = n.to_string();
        let condition = Condition::Matches(etag);
        etag = save(&*stores.pick(n), &doc("a"), body.as_bytes(), condition)
            .await
            .unwrap();
        assert_holds(stores, &doc("a"), body.as_bytes(), &etag).await;
    }
}

pub(crate) async fn a_save_with_a_stale_etag_conflicts_and_changes_nothing(stores: &Stores) {
    let stale = create(stores, &doc("a"), b"first").await;
    let condition = Condition::Matches(stale.clone());
    let etag = save(&*stores.one, &doc("a"), b"second", condition).await;
    let etag = etag.unwrap();
    for body in [&b"third"[..], b"second", b"first"] {
        let condition = Condition::Matches(stale.clone());
        let late = save(&*stores.other, &doc("a"), body, condition).await;
        assert_eq!(late, Err(StoreError::Conflict));
    }
    assert_holds(stores, &doc("a"), b"second", &etag).await;
}

pub(crate) async fn a_save_with_an_etag_of_an_absent_document_conflicts(stores: &Stores) {
    let etag = create(stores, &doc("a"), b"body").await;
    let condition = Condition::Matches(etag);
    let saved = save(&*stores.one, &doc("b"), b"body", condition).await;
    assert_eq!(saved, Err(StoreError::Conflict));
    assert_eq!(stores.one.load(&doc("b")).await, Ok(None));
}

pub(crate) async fn the_etag_changes_with_the_content(stores: &Stores) {
    let mut etag = create(stores, &doc("a"), b"").await;
    let mut seen = vec![etag.clone()];
    // Bodies of one length, written faster than a file's time may tell.
    for n in 0..20u8 {
        let condition = Condition::Matches(etag);
        etag = save(&*stores.one, &doc("a"), &[n], condition)
            .await
            .unwrap();
        assert!(!seen.contains(&etag), "{etag:?} names two contents");
        seen.push(etag.clone());
    }
}

pub(crate) async fn an_etag_of_one_document_is_none_of_another(stores: &Stores) {
    let etag_a = create(stores, &doc("a"), b"body of a").await;
    let etag_b = create(stores, &doc("b"), b"body of b").await;
    let mixed_up = Condition::Matches(etag_a);
    let saved = save(&*stores.one, &doc("b"), b"new", mixed_up).await;
    assert_eq!(saved, Err(StoreError::Conflict));
    assert_holds(stores, &doc("b"), b"body of b", &etag_b).await;
}

pub(crate) async fn bodies_of_any_size_and_content_come_back(stores: &Stores) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..5_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    for (name, body) in [
        ("empty", &b""[..]),
        ("one byte", b"\0"),
        ("lines", b"\r\n\r\n0\r\n"),
        ("every byte", &every_byte),
        ("large", &large),
    ] {
        let etag = create(stores, &doc(name), body).await;
        assert_holds(stores, &doc(name), body, &etag).await;
        let condition = Condition::Matches(etag);
        let again = save(&*stores.one, &doc(name), b"replaced", condition).await;
        assert_holds(stores, &doc(name), b"replaced", &again.unwrap()).await;
    }
}

pub(crate) async fn ids_hostile_to_file_systems_are_just_names(stores: &Stores) {
    let ids = [
        ".",
        "..",
        "...",
        "/",
        "//",
        "/a",
        "a/",
        "a/b",
        "a//b",
        "../a",
        "a/../b",
        "./a",
        "%2e",
        "%2E",
        "%",
        "%25",
        "a%2Fb",
        "\0",
        "a\0b",
        "\n",
        "\r\n",
        "\t",
        " ",
        "a",
        "a ",
        " a",
        "a.",
        ".a",
        "A",
        "a.bin",
        ".bin",
        ".locks",
        ".tmp-00",
        ".tmp-00.bin",
        "a+",
        "+",
        "CON",
        "con",
        "NUL.bin",
        "a:b",
        "a\\b",
        "*",
        "?",
        "a?b#c",
        "&=;",
        "<>|\"'",
        "~",
        "-",
        "--",
        "-rf",
        "$HOME",
        "`",
        "ä",
        "a\u{308}",
        "名前",
        "👩‍👩‍👧",
        "\u{202e}",
        "\u{feff}",
        "\u{7f}",
        "\u{10ffff}",
    ];
    are_just_names(stores, &ids.map(doc)).await;
}

pub(crate) async fn ids_of_every_length_are_just_names(stores: &Stores) {
    let mut ids = Vec::new();
    for length in [
        1, 50, 83, 84, 100, 166, 167, 250, 251, 252, 255, 256, 299, 300,
    ] {
        ids.push(doc(&"a".repeat(length)));
        ids.push(doc(&"/".repeat(length)));
    }
    let long = "长".repeat(99);
    for tail in ["", "a", "A", "aaa", "aaA", "/..", "..", " ", "."] {
        ids.push(doc(&format!("{long}{tail}")));
    }
    ids.push(doc(&"😀".repeat(75)));
    are_just_names(stores, &ids).await;
}

/// Stores something under each name before it looks at any.
async fn are_just_names(stores: &Stores, ids: &[DocId]) {
    for id in ids {
        create(stores, id, id.as_str().as_bytes()).await;
    }
    for id in ids {
        let snapshot = stores.other.load(id).await.unwrap().unwrap();
        assert_eq!(snapshot.body, id.as_str().as_bytes(), "{id:?}");
        let condition = Condition::Matches(snapshot.etag);
        let saved = save(&*stores.other, id, b"replaced", condition).await;
        saved.unwrap();
    }
}

pub(crate) async fn of_concurrent_creates_one_wins(stores: &Stores) {
    for round in 0..ROUNDS {
        let doc = doc(&format!("round {round}"));
        race(stores, &doc, &Condition::Absent).await;
    }
}

pub(crate) async fn of_concurrent_replacements_one_wins(stores: &Stores) {
    let doc = doc("a");
    let mut etag = create(stores, &doc, b"").await;
    for _ in 0..ROUNDS {
        etag = race(stores, &doc, &Condition::Matches(etag)).await;
    }
}

pub(crate) async fn a_reader_never_sees_a_torn_snapshot(stores: &Stores) {
    let doc = doc("a");
    let uniform = |n: usize| Bytes::from(vec![u8::try_from(n).unwrap(); 100_000 + n * 1_000]);
    let mut etag = create(stores, &doc, &uniform(0)).await;
    let mut readers = JoinSet::new();
    let (written, mut is_written) = tokio::sync::watch::channel(false);
    for n in 0..3 {
        let (store, doc) = (stores.pick(n), doc.clone());
        let is_written = is_written.clone();
        readers.spawn(async move {
            let mut seen = HashMap::new();
            while !*is_written.borrow() {
                let snapshot = store.load(&doc).await.unwrap().unwrap();
                assert!(!snapshot.body.is_empty());
                let n = usize::from(snapshot.body[0]);
                assert_eq!(snapshot.body, uniform(n));
                seen.insert(n, snapshot.etag);
            }
            seen
        });
    }
    is_written.mark_unchanged();
    let mut etags = vec![etag.clone()];
    for n in 1..40 {
        let condition = Condition::Matches(etag);
        let saved = stores.pick(n).save(&doc, uniform(n), condition).await;
        etag = saved.unwrap();
        etags.push(etag.clone());
    }
    written.send(true).unwrap();
    for (n, etag) in readers.join_all().await.into_iter().flatten() {
        assert_eq!(etag, etags[n]);
    }
}

const ROUNDS: usize = 10;
const SAVERS: usize = 8;

/// Lets several savers, on both stores, try the same condition; returns the
/// etag of the only one that succeeded.
async fn race(stores: &Stores, doc: &DocId, condition: &Condition) -> Etag {
    let mut savers = JoinSet::new();
    for n in 0..SAVERS {
        let (store, doc, condition) = (stores.pick(n), doc.clone(), condition.clone());
        savers.spawn(async move {
            let body = Bytes::from(format!("{condition:?} saver {n}"));
            let saved = store.save(&doc, body.clone(), condition).await;
            (body, saved)
        });
    }
    let mut winners = Vec::new();
    for (body, saved) in savers.join_all().await {
        match saved {
            Ok(etag) => winners.push((body, etag)),
            Err(error) => assert_eq!(error, StoreError::Conflict),
        }
    }
    let [(body, etag)] = &winners[..] else {
        panic!("{} of {SAVERS} savers won", winners.len());
    };
    assert_holds(stores, doc, body, etag).await;
    etag.clone()
}

async fn create(stores: &Stores, doc: &DocId, body: &[u8]) -> Etag {
    save(&*stores.one, doc, body, Condition::Absent)
        .await
        .unwrap()
}

async fn save(
    store: &dyn SnapshotStore,
    doc: &DocId,
    body: &[u8],
    condition: Condition,
) -> Result<Etag, StoreError> {
    store
        .save(doc, Bytes::copy_from_slice(body), condition)
        .await
}

async fn assert_holds(stores: &Stores, doc: &DocId, body: &[u8], etag: &Etag) {
    for store in [&stores.one, &stores.other] {
        let snapshot = store.load(doc).await.unwrap().unwrap();
        assert!(snapshot.body == body, "{doc:?} holds another body");
        assert_eq!(snapshot.etag, *etag);
    }
}

pub(crate) fn doc(name: &str) -> DocId {
    DocId::new(name).unwrap()
}
