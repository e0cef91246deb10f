//! `ysyncd doc`: looking after stored documents.

mod content;
mod delete;
mod list;
mod materialise;
mod notice;
mod output;
mod show;
mod transfer;
mod verify;
mod versions;

use ysyncd_engine::{
    DocId, Snapshot,
    document::DocumentState,
    lib0::{ReadError, Reader},
};
use ysyncd_storage::SnapshotStore;

use crate::{
    cli::{DocCommand, StoreSettings},
    failure::Failure,
    store::{self, Kept},
};

/// Does what is asked for.
///
/// # Errors
/// It cannot be done; the message says why.
pub(crate) fn run(command: &DocCommand) -> Result<(), Failure> {
    if let DocCommand::Materialise(settings) = command {
        return content::run(settings);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::outside)?;
    runtime.block_on(async {
        match command {
            DocCommand::List(settings) => list::run(settings).await,
            DocCommand::Show(settings) => show::run(settings).await,
            DocCommand::Verify(settings) => verify::run(settings).await,
            DocCommand::Export(settings) => transfer::export(settings).await,
            DocCommand::Import(settings) => transfer::import(settings).await,
            DocCommand::Versions(settings) => versions::run(settings).await,
            DocCommand::Restore(settings) => versions::restore(settings).await,
            DocCommand::Delete(settings) => delete::run(settings).await,
            DocCommand::Materialise(_) => unreachable!("it was handled above"),
        }
    })
}

/// Opens the store for a command that changes nothing, and tells what of the
/// document that it is about, or of all, the store does not have.
async fn open_to_read(settings: &StoreSettings, about: Option<&DocId>) -> Result<Kept, Failure> {
    store::check(settings)?;
    let kept = store::open_to_read(settings).await?;
    notice::tell(settings, about);
    Ok(kept)
}

/// The same, for a command that changes something.
async fn open_to_write(settings: &StoreSettings, about: &DocId) -> Result<Kept, Failure> {
    store::check(settings)?;
    let kept = store::open_to_write(settings).await?;
    notice::tell(settings, Some(about));
    Ok(kept)
}

/// The snapshot of a document that must be there.
async fn load(
    store: &dyn SnapshotStore,
    id: &DocId,
    settings: &StoreSettings,
) -> Result<Snapshot, Failure> {
    let snapshot = store.load(id).await.map_err(Failure::outside)?;
    snapshot.ok_or_else(|| no_such_document(id, settings))
}

fn no_such_document(id: &DocId, settings: &StoreSettings) -> Failure {
    let place = store::place(settings);
    Failure::document(format_args!(
        "there is no document {:?} in {place}; `ysyncd doc list` shows those that are",
        id.as_str()
    ))
}

/// Reads a snapshot as the server does.
fn decode(id: &DocId, snapshot: &Snapshot) -> Result<DocumentState, Failure> {
    DocumentState::load(&snapshot.body).map_err(|error| {
        Failure::document(format_args!(
            "the snapshot of {:?} is damaged: {error}; `ysyncd doc export` gives its bytes as they are",
            id.as_str()
        ))
    })
}

/// The clock of each client of a document.
fn clocks(state: &DocumentState) -> Vec<(u64, u64)> {
    fn read(bytes: &[u8]) -> Result<Vec<(u64, u64)>, ReadError> {
        let mut reader = Reader::new(bytes);
        let count = reader.var_uint()?;
        (0..count)
            .map(|_| Ok((reader.var_uint()?, reader.var_uint()?)))
            .collect()
    }
    let mut clocks = read(&state.state_vector().encode()).expect("it was encoded just now");
    clocks.sort_unstable();
    clocks
}

/// What waits in a document for something that never came; `None` if nothing
/// does.
fn gaps(state: &DocumentState) -> Option<String> {
    let pending = state.pending();
    let (runs, ranges) = (pending.gap_runs, pending.delete_ranges);
    (runs + ranges > 0).then(|| {
        format!("runs of structs without predecessors: {runs}, deleted ranges of unknown structs: {ranges}")
    })
}
