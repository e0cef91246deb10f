use std::sync::Arc;

use ysyncd_engine::StoreError;
use ysyncd_storage::{catalog::Catalog, memory::MemoryStore};

use crate::{
    catalog::{self, catalog_conformance},
    conformance::{Stores, conformance, doc},
};

async fn open() -> Option<Stores> {
    let store = Arc::new(MemoryStore::new());
    Some(Stores::new(store.clone(), store))
}

conformance!(open);

async fn open_catalog() -> Option<catalog::Place> {
    Some(catalog::Place::of(MemoryStore::new()))
}

catalog_conformance!(open_catalog);

#[tokio::test]
async fn memory_keeps_no_versions() {
    let versions = MemoryStore::new().versions(&doc("a")).await;
    assert!(
        matches!(versions, Err(StoreError::Denied(_))),
        "{versions:?}"
    );
}
