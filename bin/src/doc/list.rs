//! `ysyncd doc list`.

use serde_json::json;
use ysyncd_storage::catalog::{Catalog, Listed};

use super::output::{self, Align};
use crate::{cli::ListSettings, failure::Failure, store};

/// Prints the documents, sorted by id.
///
/// # Errors
/// The store does not tell.
pub(super) async fn run(settings: &ListSettings) -> Result<(), Failure> {
    let kept = super::open_to_read(&settings.store, None).await?;
    let documents = all(&*kept.catalog, &settings.prefix).await?;
    if settings.json {
        let lines = documents.iter().map(json_line);
        return output::print(lines.collect::<String>().as_bytes());
    }
    if documents.is_empty() {
        let (place, prefix) = (store::place(&settings.store), &settings.prefix);
        output::note(&match prefix.as_str() {
            "" => format!("no documents in {place}"),
            _ => format!("no documents in {place} whose ids begin with {prefix:?}"),
        });
        return Ok(());
    }
    let columns = [
        ("MODIFIED", Align::Left),
        ("SIZE", Align::Right),
        ("ID", Align::Left),
    ];
    let rows = documents.iter().map(|listed| {
        [
            output::moment(listed.modified).unwrap_or_else(|| "-".to_owned()),
            listed.size_bytes.to_string(),
            output::one_line(listed.doc.as_str()),
        ]
    });
    output::print(output::table(columns, rows).as_bytes())
}

/// The documents whose ids begin with `prefix`, sorted by id.
///
/// # Errors
/// The store does not tell.
pub(super) async fn all(catalog: &dyn Catalog, prefix: &str) -> Result<Vec<Listed>, Failure> {
    let mut documents = Vec::new();
    let mut from = None;
    loop {
        let page = catalog.list(prefix, from).await.map_err(Failure::outside)?;
        documents.extend(page.documents);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    documents.sort_unstable_by(|a, b| a.doc.cmp(&b.doc));
    Ok(documents)
}

fn json_line(listed: &Listed) -> String {
    let line = json!({
        "id": listed.doc.as_str(),
        "size_bytes": listed.size_bytes,
        "modified": output::moment(listed.modified),
        "etag": listed.etag.as_ref().map(|etag| &*etag.0),
    });
    format!("{line}\n")
}
