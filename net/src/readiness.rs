//! `/readyz`: whether clients should be sent here.
//!
//! A server that has never reached its store can open no document, and one that
//! drains sends its clients away: both are well (`/healthz`), and neither is to be
//! given more clients. A store that goes away later does not make a server unready:
//! what is in memory goes on being served, and all servers together would miss the
//! store at the same time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};
use ysyncd_engine::{
    DocId, StoreCommand, StoreError, StoreResult,
    planted::{self, Bug},
};
use ysyncd_storage::SnapshotStore;

use crate::store;

/// Whether a server takes clients.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Phase>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The store has not answered yet.
    #[default]
    Starting,
    Ready,
    Draining,
}

impl Readiness {
    /// The store has answered.
    pub(crate) fn reached(&self) {
        let mut phase = self.phase();
        if *phase == Phase::Starting || planted::is(Bug::ReadyWhileDraining) {
            *phase = Phase::Ready;
        }
    }

    /// There is no way back.
    pub(crate) fn drain(&self) {
        *self.phase() = Phase::Draining;
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says whether clients should be sent here, and why not.
pub(crate) fn readyz(readiness: &Readiness) -> Response<String> {
    let (status, body) = match *readiness.phase() {
        Phase::Ready => (StatusCode::OK, "ready\n"),
        // Anybody may ask, so that what the store said is in the log alone.
        Phase::Starting => (
            StatusCode::SERVICE_UNAVAILABLE,
            "starting: the store has not been reached yet; the log says why\n",
        ),
        Phase::Draining => (
            StatusCode::SERVICE_UNAVAILABLE,
            "draining: this server is shutting down\n",
        ),
    };
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .header(CACHE_CONTROL, "no-store")
        .body(body.to_owned())
        .expect("the headers are valid")
}

/// What is asked for: nobody has such a document, and if somebody had it, asking
/// would change nothing.
const ASKED_FOR: &str = ".ysyncd-ready";

/// How long an answer is waited for. A disk that hangs may never give one, and
/// comes back without a word.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause after the first failure; each one after it is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Asks the store until it answers, this or somebody who opens a document.
pub(crate) async fn reach(store: &Arc<dyn SnapshotStore>, readiness: &Readiness) {
    let mut pause = PAUSE_MIN;
    let mut told = None;
    while *readiness.phase() == Phase::Starting {
        let asked = timeout(PATIENCE, ask(store)).await;
        let Err(error) = asked.unwrap_or_else(|_| Err(no_answer())) else {
            break;
        };
        // Once, and again when it is something else.
        if told.as_ref() == Some(&error) {
            debug!(%error, "the store still cannot be reached");
        } else {
            warn!(%error, "the store cannot be reached; not ready until it answers");
            told = Some(error);
        }
        sleep(pause).await;
        pause = (2 * pause).min(PAUSE_MAX);
    }
    if told.is_some() {
        info!("the store answers; ready");
    }
    readiness.reached();
}

fn no_answer() -> StoreError {
    StoreError::Unknown(format!("no answer within {} s", PATIENCE.as_secs()))
}

async fn ask(store: &Arc<dyn SnapshotStore>) -> Result<(), StoreError> {
    let doc = DocId::new(ASKED_FOR).expect("it is a name");
    match store::execute(Arc::clone(store), StoreCommand::Load { doc }).await {
        StoreResult::Loaded(loaded) => loaded.map(|_| ()),
        StoreResult::Saved(_) => unreachable!("a load was asked for"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_drains_does_not_become_ready_again() {
        let readiness = Readiness::default();
        readiness.reached();
        assert_eq!(readyz(&readiness).status(), StatusCode::OK);
        readiness.drain();
        // A load that was under way ends well.
        readiness.reached();
        let answer = readyz(&readiness);
        assert!(answer.body().starts_with("draining"), "{answer:?}");
    }
}
