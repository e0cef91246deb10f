//! Store operations, carried out beside the engine.

use std::sync::Arc;

use tokio::task::spawn_local;
use ysyncd_engine::{StoreCommand, StoreError, StoreResult};
use ysyncd_storage::SnapshotStore;

/// Carries out one command. There is a result whatever happens to the store's
/// future: one that panics leaves the outcome unknown.
pub(crate) async fn execute(store: Arc<dyn SnapshotStore>, command: StoreCommand) -> StoreResult {
    match command {
        StoreCommand::Load { doc } => {
            let load = spawn_local(async move { store.load(&doc).await });
            StoreResult::Loaded(load.await.unwrap_or_else(|_| Err(broken())))
        }
        StoreCommand::Save {
            doc,
            body,
            condition,
        } => {
            let save = spawn_local(async move { store.save(&doc, body, condition).await });
            StoreResult::Saved(save.await.unwrap_or_else(|_| Err(broken())))
        }
    }
}

fn broken() -> StoreError {
    StoreError::Unknown("the store's task broke off".to_owned())
}
