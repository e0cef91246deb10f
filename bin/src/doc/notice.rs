//! What the journals of this machine hold beside the store.

use ysyncd_engine::DocId;
use ysyncd_storage::journal::disk::{InstanceReport, inspect};

use super::output;
use crate::{cli::StoreSettings, journal};

/// Tells, on standard error, that a journal holds edits which are not in the
/// store yet: of one document, if it is about one, or of any.
pub(super) fn tell(settings: &StoreSettings, about: Option<&DocId>) {
    let folder = journal::folder(settings);
    let reports = match inspect(&folder) {
        Ok(reports) => reports,
        Err(error) => {
            output::note(&format!(
                "note: {error}, so that edits which are not saved yet may be missing here"
            ));
            return;
        }
    };
    let target = journal::target(settings);
    for report in reports {
        let is_ours = report.target.as_ref().is_none_or(|of| *of == target);
        if let Some(what) = unsaved(&report, about).filter(|_| is_ours) {
            let folder = folder.join(report.number.to_string());
            let when = when(&report, about);
            output::note(&format!(
                "note: the journal {} holds {what}, which are missing here; {when}",
                folder.display()
            ));
        }
    }
}

/// When the store will have them.
fn when(report: &InstanceReport, about: Option<&DocId>) -> &'static str {
    let is_about = |doc: &DocId| about.is_none_or(|about| about == doc);
    match &report.records {
        Err(_) => "move that file elsewhere and keep it, so that a server can save the others",
        Ok(docs) if docs.iter().any(|(doc, of)| of.damaged && is_about(doc)) => {
            "some are damaged, and their documents are not served; a server saves the others"
        }
        Ok(_) if report.in_use => "its server saves them soon",
        Ok(_) => "they are saved once a server starts here",
    }
}

/// What a journal holds that the store may not have; `None` for nothing.
fn unsaved(report: &InstanceReport, about: Option<&DocId>) -> Option<String> {
    match (&report.records, about) {
        (Err(error), _) => Some(format!("edits that cannot be told ({error})")),
        (Ok(docs), Some(doc)) => docs
            .contains_key(doc)
            .then(|| "edits of this document".to_owned()),
        (Ok(docs), None) => (!docs.is_empty()).then(|| match docs.len() {
            1 => "edits of 1 document".to_owned(),
            count => format!("edits of {count} documents"),
        }),
    }
}
