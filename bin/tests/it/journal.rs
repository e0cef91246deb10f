//! Journals that were left behind, and how the binary starts on them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Output,
    thread,
    time::{Duration, Instant},
};

use ysyncd_engine::{DocId, Position};
use ysyncd_storage::journal::{
    Journal, JournalWrite,
    disk::{DiskJournal, JournalOptions},
};

use crate::process::{Server, output};

/// An edit, as Yjs writes it.
const EDIT: &[u8] = &[1, 1, 1, 0, 4, 1, 1, b't', 2, b'h', b'i', 0];

/// A journal as a server has it that keeps documents in the folder.
pub(crate) fn journal_with_an_edit_of(
    folder: &Path,
    id: &str,
    update: &'static [u8],
) -> DiskJournal {
    let options = JournalOptions::new("disk");
    let journal = DiskJournal::open(folder.join("data/journal"), &options).unwrap();
    let edit = JournalWrite::Append {
        doc: DocId::new(id).unwrap(),
        position: Position(1),
        update: update.into(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(journal.commit(vec![edit])).unwrap();
    journal
}

/// What the binary says when it does not start.
fn refusal(folder: &Path, environment: &[(&str, &str)]) -> String {
    let Output { status, stderr, .. } = output(folder, &["--port", "0"], environment);
    let told = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{told}");
    told
}

#[test]
fn without_a_journal_it_does_not_start_while_one_is_left() {
    let folder = tempfile::tempdir().unwrap();
    drop(journal_with_an_edit_of(folder.path(), "a", EDIT));
    let told = refusal(folder.path(), &[("JOURNAL", "off")]);
    assert!(
        told.contains("data/journal/0 holds changes of 1 document "),
        "{told}"
    );
    assert!(told.contains("start once with JOURNAL=on"), "{told}");
}

#[cfg(feature = "s3")]
#[test]
fn with_another_store_it_does_not_start_while_a_journal_is_left() {
    let folder = tempfile::tempdir().unwrap();
    drop(journal_with_an_edit_of(folder.path(), "a", EDIT));
    for journal in ["on", "off"] {
        let told = refusal(
            folder.path(),
            &[("S3_BUCKET", "elsewhere"), ("JOURNAL", journal)],
        );
        assert!(
            told.contains("belong to the store 'disk', not to 's3://elsewhere'"),
            "{told}"
        );
    }
}

#[test]
fn what_a_journal_holds_is_saved_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(journal_with_an_edit_of(folder.path(), "a", EDIT));
    let server = Server::start(folder.path());
    let deadline = Instant::now() + Duration::from_secs(10);
    while !folder.path().join("data/a.bin").exists() {
        assert!(Instant::now() < deadline, "it is not saved");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(server.end("-TERM").success());
    // And nothing is left that would keep one without a journal from starting.
    Server::start_with(folder.path(), &[("JOURNAL", "off")]);
}

#[test]
fn others_on_the_machine_cannot_read_along() {
    let folder = tempfile::tempdir().unwrap();
    drop(Server::start_with(
        folder.path(),
        &[("DATA_DIR", "made/here")],
    ));
    for made in ["made", "made/here", "made/here/journal"] {
        let mode = fs::metadata(folder.path().join(made))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{made}: {mode:o}");
    }
}
