//! `ysyncd doc versions` and `ysyncd doc restore`.

use serde_json::json;
use ysyncd_engine::{Condition, DocId, Snapshot, StoreError};
use ysyncd_storage::catalog::{Version, VersionContent, VersionId};

use super::output::{self, Align};
use crate::{
    cli::{RestoreSettings, VersionsSettings},
    failure::Failure,
    store::Kept,
};

/// S3's name for what is written while versions are not kept.
const UNVERSIONED: &str = "null";

/// Prints the versions of a document, the latest first.
///
/// # Errors
/// There are none, or the store keeps none.
pub(super) async fn run(settings: &VersionsSettings) -> Result<(), Failure> {
    let kept = super::open_to_read(&settings.store, Some(&settings.id)).await?;
    let versions = kept.catalog.versions(&settings.id).await;
    let versions = versions.map_err(Failure::outside)?;
    if versions.is_empty() {
        return Err(super::no_such_document(&settings.id, &settings.store));
    }
    if versions.iter().all(|version| version.id.0 == UNVERSIONED) {
        output::note(
            "note: this is all there is to bring back: the bucket keeps no versions but the latest, as \
             versioning is not enabled for it",
        );
    }
    if settings.json {
        let lines: String = versions.iter().map(json_line).collect();
        return output::print(lines.as_bytes());
    }
    let columns = [
        ("MODIFIED", Align::Left),
        ("SIZE", Align::Right),
        ("VERSION", Align::Left),
        ("", Align::Left),
    ];
    let rows = versions.iter().map(|version| {
        let latest = if version.is_latest { "latest" } else { "" };
        let size = match version.content {
            VersionContent::Snapshot { size_bytes, .. } => size_bytes.to_string(),
            VersionContent::Deletion => "deleted".to_owned(),
        };
        let modified = output::moment(version.modified);
        let modified = modified.unwrap_or_else(|| "-".to_owned());
        [
            modified,
            size,
            output::one_line(&version.id.0),
            latest.to_owned(),
        ]
    });
    output::print(output::table(columns, rows).as_bytes())
}

fn json_line(version: &Version) -> String {
    let size_bytes = match version.content {
        VersionContent::Snapshot { size_bytes, .. } => Some(size_bytes),
        VersionContent::Deletion => None,
    };
    let line = json!({
        "version": version.id.0,
        "modified": output::moment(version.modified),
        "size_bytes": size_bytes,
        "deleted": matches!(version.content, VersionContent::Deletion),
        "latest": version.is_latest,
    });
    format!("{line}\n")
}

/// Makes a document of an old version, or brings it back in place.
///
/// # Errors
/// There is no such version, it is damaged, or the document that it should
/// become is there already.
pub(super) async fn restore(settings: &RestoreSettings) -> Result<(), Failure> {
    let kept = super::open_to_write(&settings.store, &settings.id).await?;
    let version = VersionId(settings.version.clone());
    let loaded = kept.catalog.load_version(&settings.id, &version).await;
    let Some(snapshot) = loaded.map_err(Failure::outside)? else {
        return Err(Failure::document(format_args!(
            "there is no version {:?} of {:?}; `ysyncd doc versions` shows those that are",
            settings.version,
            settings.id.as_str()
        )));
    };
    super::decode(&settings.id, &snapshot)?;
    match &settings.new_id {
        Some(new_id) => restore_as(&kept, new_id, snapshot).await,
        None => restore_in_place(&kept, &settings.id, snapshot).await,
    }
}

async fn restore_as(kept: &Kept, id: &DocId, snapshot: Snapshot) -> Result<(), Failure> {
    let saved = kept.snapshots.save(id, snapshot.body, Condition::Absent);
    match saved.await {
        Ok(_) => {
            output::print(format!("restored as {}\n", output::one_line(id.as_str())).as_bytes())
        }
        Err(StoreError::Conflict) => Err(Failure::document(format_args!(
            "there is a document {:?} already; choose another id",
            id.as_str()
        ))),
        Err(error) => Err(Failure::outside(error)),
    }
}

async fn restore_in_place(kept: &Kept, id: &DocId, snapshot: Snapshot) -> Result<(), Failure> {
    let stored = kept.snapshots.load(id).await.map_err(Failure::outside)?;
    let condition = stored.map_or(Condition::Absent, |stored| Condition::Matches(stored.etag));
    match kept.snapshots.save(id, snapshot.body, condition).await {
        Ok(_) => {}
        Err(StoreError::Conflict) => {
            return Err(Failure::document(format_args!(
                "{:?} was written meanwhile: stop all servers first",
                id.as_str()
            )));
        }
        Err(error) => return Err(Failure::outside(error)),
    }
    output::note(
        "note: any client or server that still holds the later state merges it back when it connects \
         or saves",
    );
    output::print(format!("restored {}\n", output::one_line(id.as_str())).as_bytes())
}
