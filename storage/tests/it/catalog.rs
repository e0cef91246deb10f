//! What `Catalog` promises, one function each, asked of every store. The macro
//! `catalog_conformance` makes a test of each for one backend.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use ysyncd_engine::{Condition, DocId, Etag};
use ysyncd_storage::{
    SnapshotStore,
    catalog::{Catalog, Listed},
};

use crate::conformance::doc;

/// An empty place to store in, seen from both sides.
pub(crate) struct Place {
    pub(crate) store: Arc<dyn SnapshotStore>,
    pub(crate) catalog: Arc<dyn Catalog>,
    /// Whether it keeps documents with ids of every length.
    pub(crate) takes_long_ids: bool,
    /// What has to live as long as the store.
    pub(crate) _kept: Option<Box<dyn Any>>,
}

impl Place {
    pub(crate) fn of<S: SnapshotStore + Catalog + 'static>(store: S) -> Self {
        let store = Arc::new(store);
        Self {
            store: store.clone(),
            catalog: store,
            takes_long_ids: true,
            _kept: None,
        }
    }

    async fn create(&self, id: &str, body: &str) -> Etag {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let created = self.store.save(&doc(id), body, Condition::Absent).await;
        created.unwrap()
    }
}

/// As `conformance` does for stores.
macro_rules! catalog_conformance {
    ($open:path) => {
        crate::catalog::tests! { $open:
            an_empty_store_lists_nothing
            every_document_is_listed_once_as_it_is
            a_prefix_is_one_of_the_id
            a_deleted_document_is_gone_and_can_be_made_anew
        }
    };
}
pub(crate) use catalog_conformance;

macro_rules! tests {
    ($open:path: $($behaviour:ident)*) => {$(
        #[tokio::test]
        async fn $behaviour() {
            if let Some(place) = $open().await {
                crate::catalog::$behaviour(&place).await;
            }
        }
    )*};
}
pub(crate) use tests;

pub(crate) async fn an_empty_store_lists_nothing(place: &Place) {
    assert_eq!(list(&*place.catalog, "").await, BTreeMap::new());
}

pub(crate) async fn every_document_is_listed_once_as_it_is(place: &Place) {
    let long = "a/".repeat(150);
    let mut ids = vec![
        "a", "A", "a.bin", ".bin", "..", "/", "a/b", "a+", "+", " ", "%2F", "%", "ä", "\0", "\n",
        "<&>\"'", "名前", "-", "$HOME", "a?b#c",
    ];
    if place.takes_long_ids {
        ids.push(&long);
    }
    let mut etags = BTreeMap::new();
    for id in &ids {
        etags.insert(doc(id), place.create(id, &id.repeat(3)).await);
    }
    let listed = list(&*place.catalog, "").await;
    assert_eq!(
        listed.keys().collect::<Vec<_>>(),
        etags.keys().collect::<Vec<_>>()
    );
    for (doc, listed) in &listed {
        assert_eq!(listed.size_bytes, 3 * doc.as_str().len() as u64, "{doc:?}");
        if let Some(etag) = &listed.etag {
            assert_eq!(*etag, etags[doc], "{doc:?}");
        }
    }
}

pub(crate) async fn a_prefix_is_one_of_the_id(place: &Place) {
    for id in ["a", "ab", "a/b", "a/c", "b", "ä", "äö", "%C3", "a%2F"] {
        place.create(id, id).await;
    }
    for (prefix, expected) in [
        ("", 9),
        ("a", 5),
        ("a/", 2),
        ("a/b", 1),
        ("ä", 2),
        ("%", 1),
        ("a%", 1),
        ("a.", 0),
        ("a.bin", 0),
        ("c", 0),
    ] {
        let listed = list(&*place.catalog, prefix).await;
        assert_eq!(listed.len(), expected, "{prefix:?}: {:?}", listed.keys());
        assert!(listed.keys().all(|doc| doc.as_str().starts_with(prefix)));
    }
}

pub(crate) async fn a_deleted_document_is_gone_and_can_be_made_anew(place: &Place) {
    let long = "b".repeat(300);
    let ids: &[&str] = if place.takes_long_ids {
        &["a", &long]
    } else {
        &["a"]
    };
    place.create("other", "other").await;
    for id in ids {
        assert_eq!(place.catalog.delete(&doc(id)).await, Ok(false));
        let etag = place.create(id, "first").await;
        assert_eq!(place.catalog.delete(&doc(id)).await, Ok(true));
        assert_eq!(place.store.load(&doc(id)).await, Ok(None));
        let condition = Condition::Matches(etag);
        let late = place.store.save(&doc(id), Bytes::new(), condition).await;
        assert!(late.is_err(), "{late:?}");
        assert_eq!(place.catalog.delete(&doc(id)).await, Ok(false));
        assert_eq!(list(&*place.catalog, "").await.len(), 1);
        place.create(id, "again").await;
        let snapshot = place.store.load(&doc(id)).await.unwrap().unwrap();
        assert_eq!(snapshot.body, "again");
        place.catalog.delete(&doc(id)).await.unwrap();
    }
}

/// Everything, through all pages.
pub(crate) async fn list(catalog: &dyn Catalog, prefix: &str) -> BTreeMap<DocId, Listed> {
    let mut documents = BTreeMap::new();
    let mut from = None;
    loop {
        let page = catalog.list(prefix, from).await.unwrap();
        for listed in page.documents {
            let before = documents.insert(listed.doc.clone(), listed);
            assert_eq!(before, None, "listed twice");
        }
        from = page.next;
        if from.is_none() {
            return documents;
        }
    }
}
