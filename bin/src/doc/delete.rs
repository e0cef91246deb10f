//! `ysyncd doc delete`.

use std::io::{self, IsTerminal, Write};

use super::output;
use crate::{cli::DeleteSettings, failure::Failure, store};

/// Deletes a document, if that is what is wanted.
///
/// # Errors
/// It is not there, nobody confirms, or the store does not delete it.
pub(super) async fn run(settings: &DeleteSettings) -> Result<(), Failure> {
    if !settings.yes && !io::stdin().is_terminal() {
        return Err(Failure::configuration(
            "nobody is there to confirm: add --yes to delete without asking",
        ));
    }
    let kept = super::open_to_write(&settings.store, &settings.id).await?;
    let snapshot = super::load(&*kept.snapshots, &settings.id, &settings.store).await?;
    let id = output::one_line(settings.id.as_str());
    let place = store::place(&settings.store);
    output::note(
        "note: any client or server that still holds the document makes it anew when it connects \
         or saves",
    );
    let question = format!("delete {id} ({} bytes) from {place}?", snapshot.body.len());
    if !settings.yes && !is_confirmed(&question).map_err(Failure::outside)? {
        return Err(Failure::document("nothing was deleted"));
    }
    let was_there = kept.catalog.delete(&settings.id).await;
    if was_there.map_err(Failure::outside)? {
        output::print(format!("deleted {id}\n").as_bytes())
    } else {
        Err(super::no_such_document(&settings.id, &settings.store))
    }
}

fn is_confirmed(question: &str) -> io::Result<bool> {
    eprint!("ysyncd: {question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
