//! `ysyncd doc export` and `ysyncd doc import`.

use std::{
    io::{self, IsTerminal, Read},
    time::Duration,
};

use tokio::time;
use ysyncd_engine::{
    Condition, DocId, Snapshot, StoreError,
    document::{DocumentState, NewPart},
};
use ysyncd_storage::SnapshotStore;

use super::output;
use crate::{
    cli::{ExportSettings, ImportSettings},
    failure::Failure,
};

/// How often an import starts again because somebody else wrote.
const TRIES: u32 = 10;

/// Pause before the second try; each further one is longer by as much.
const PAUSE: Duration = Duration::from_millis(50);

/// Writes a snapshot to standard output, byte for byte, damaged or not.
///
/// # Errors
/// It is not there, or standard output is a terminal.
pub(super) async fn export(settings: &ExportSettings) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::configuration(
            "an update is binary and no terminal shows it: ysyncd doc export ID > file.bin",
        ));
    }
    let kept = super::open_to_read(&settings.store, Some(&settings.id)).await?;
    let snapshot = super::load(&*kept.snapshots, &settings.id, &settings.store).await?;
    output::print(&snapshot.body)?;
    // All is written, but whoever keeps it should know.
    super::decode(&settings.id, &snapshot).map(drop)
}

/// Merges an update from standard input into a document.
///
/// # Errors
/// It is no update, the document is damaged, or it cannot be written.
pub(super) async fn import(settings: &ImportSettings) -> Result<(), Failure> {
    if io::stdin().is_terminal() {
        return Err(Failure::configuration(
            "an update is expected on standard input: ysyncd doc import ID < file.bin",
        ));
    }
    let mut update = Vec::new();
    io::stdin()
        .read_to_end(&mut update)
        .map_err(Failure::outside)?;
    DocumentState::default().apply(&update).map_err(|error| {
        Failure::document(format_args!(
            "standard input is no Yjs update (v1) that clients could read: {error}"
        ))
    })?;
    let kept = super::open_to_write(&settings.store, &settings.id).await?;
    let told = merge(&*kept.snapshots, &settings.id, &update).await?;
    output::print(format!("{told}\n").as_bytes())
}

/// Merges until it is written, or found to be there. Writing under the
/// condition that nobody wrote meanwhile makes it safe beside running servers.
async fn merge(store: &dyn SnapshotStore, id: &DocId, update: &[u8]) -> Result<String, Failure> {
    let name = output::one_line(id.as_str());
    for attempt in 0..TRIES {
        time::sleep(PAUSE * attempt).await;
        let stored = store.load(id).await.map_err(Failure::outside)?;
        let (mut state, condition) = known(id, stored)?;
        let applied = state.apply(update).map_err(Failure::document)?;
        let how_much = match applied.new_part {
            NewPart::Nothing if attempt == 0 => {
                return Ok(format!(
                    "{name} holds all of it already; nothing was written"
                ));
            }
            // A try whose outcome was not known has written it.
            NewPart::Nothing => return Ok(format!("merged into {name}")),
            NewPart::All => "all",
            NewPart::Some(_) => "part",
        };
        let body = state.encode();
        let bytes = body.len();
        match store.save(id, body, condition).await {
            Ok(_) => {
                return Ok(format!(
                    "merged into {name}: {how_much} of it was new; {bytes} bytes are stored now"
                ));
            }
            // It may have been written all the same, which the next load tells.
            Err(StoreError::Conflict | StoreError::Unknown(_)) => {}
            Err(error) => return Err(Failure::outside(error)),
        }
    }
    Err(Failure::outside(format_args!(
        "others wrote {name} all the time: try again, nothing is lost"
    )))
}

/// What is stored, and the condition under which it may be replaced.
fn known(id: &DocId, stored: Option<Snapshot>) -> Result<(DocumentState, Condition), Failure> {
    match stored {
        None => Ok((DocumentState::default(), Condition::Absent)),
        Some(snapshot) => Ok((
            super::decode(id, &snapshot)?,
            Condition::Matches(snapshot.etag),
        )),
    }
}
