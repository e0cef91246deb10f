//! `ysyncd doc verify`.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal},
    sync::Arc,
};

use tokio::task::JoinSet;
use ysyncd_engine::{DocId, StoreError, document::DocumentState};
use ysyncd_storage::SnapshotStore;

use super::{list, output};
use crate::{cli::VerifySettings, failure::Failure};

/// Documents that are read at once.
const LOADS_MAX: usize = 8;

/// Reads documents as the server does and tells those that are not in order.
///
/// # Errors
/// One of them is damaged or cannot be read.
pub(super) async fn run(settings: &VerifySettings) -> Result<(), Failure> {
    let kept = super::open_to_read(&settings.store, settings.id.as_ref()).await?;
    let Some(id) = &settings.id else {
        let documents = list::all(&*kept.catalog, "").await?;
        let ids = documents.into_iter().map(|listed| listed.doc).collect();
        return verify_all(&kept.snapshots, ids).await;
    };
    let snapshot = super::load(&*kept.snapshots, id, &settings.store).await?;
    let bytes = snapshot.body.len();
    let state = super::decode(id, &snapshot)?;
    let id = output::one_line(id.as_str());
    let gaps = super::gaps(&state).map_or(String::new(), |gaps| format!("; gaps: {gaps}"));
    let line = format!("{id}: sound, {bytes} bytes{gaps}\n");
    output::print(line.as_bytes())
}

/// What was found out about a document.
enum Finding {
    Sound,
    Gaps(String),
    /// It went away meanwhile.
    Gone,
    Damaged(String),
    Unreadable(StoreError),
}

async fn verify_all(store: &Arc<dyn SnapshotStore>, ids: VecDeque<DocId>) -> Result<(), Failure> {
    let mut tally = Tally::new(ids.len());
    let mut ids = ids;
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < LOADS_MAX
            && let Some(id) = ids.pop_front()
        {
            let store = Arc::clone(store);
            under_way.spawn(async move {
                let finding = verify(&*store, &id).await;
                (id, finding)
            });
        }
        let Some(ended) = under_way.join_next().await else {
            break;
        };
        let (id, finding) = ended.map_err(Failure::outside)?;
        tally.add(&id, finding)?;
    }
    tally.finish()
}

async fn verify(store: &dyn SnapshotStore, id: &DocId) -> Finding {
    let snapshot = match store.load(id).await {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => return Finding::Gone,
        Err(error) => return Finding::Unreadable(error),
    };
    let mut state = DocumentState::default();
    match state.apply(&snapshot.body) {
        Err(error) => Finding::Damaged(error.to_string()),
        Ok(_) => super::gaps(&state).map_or(Finding::Sound, Finding::Gaps),
    }
}

/// What was found so far, told as it comes.
struct Tally {
    documents: usize,
    verified: usize,
    with_gaps: usize,
    bad: usize,
    shows_progress: bool,
}

impl Tally {
    fn new(documents: usize) -> Self {
        Self {
            documents,
            verified: 0,
            with_gaps: 0,
            bad: 0,
            shows_progress: io::stderr().is_terminal(),
        }
    }

    fn add(&mut self, id: &DocId, finding: Finding) -> Result<(), Failure> {
        self.verified += 1;
        let said = match finding {
            Finding::Sound | Finding::Gone => None,
            Finding::Gaps(gaps) => {
                self.with_gaps += 1;
                Some(format!("sound; gaps: {gaps}"))
            }
            Finding::Damaged(error) => {
                self.bad += 1;
                Some(format!("damaged: {error}"))
            }
            Finding::Unreadable(error) => {
                self.bad += 1;
                Some(format!("unreadable: {error}"))
            }
        };
        if let Some(said) = said {
            self.clear_progress();
            let id = output::one_line(id.as_str());
            output::print(format!("{id}: {said}\n").as_bytes())?;
        }
        if self.shows_progress {
            eprint!("\r{} of {} verified", self.verified, self.documents);
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), Failure> {
        self.clear_progress();
        let (documents, bad, with_gaps) = (self.documents, self.bad, self.with_gaps);
        let sound = documents - bad;
        let line = format!("{documents} documents: {sound} sound ({with_gaps} of them with gaps)");
        output::print(format!("{line}, {bad} damaged or unreadable\n").as_bytes())?;
        if bad == 0 {
            return Ok(());
        }
        Err(Failure::document(format_args!(
            "{bad} of {documents} documents are damaged or cannot be read"
        )))
    }

    fn clear_progress(&self) {
        if self.shows_progress {
            // To the start of the line, and all of it away.
            eprint!("\r\u{1b}[K");
        }
    }
}
