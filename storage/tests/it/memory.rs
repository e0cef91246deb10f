use std::sync::Arc;

use ysyncd_storage::memory::MemoryStore;

use crate::conformance::{Stores, conformance};

async fn open() -> Option<Stores> {
    let store = Arc::new(MemoryStore::new());
    Some(Stores::new(store.clone(), store))
}

conformance!(open);
