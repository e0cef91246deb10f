//! Whether a bucket honours conditions, found out on an object of its own.

use std::{iter, time::Duration};

use bytes::Bytes;
use tokio::time;
use ysyncd_engine::{Condition, Etag, StoreError};

use super::S3Store;
use crate::{
    object_name,
    probed::{Honoured, Ignored, Probe, ProbeError, ProbeFuture},
};

/// The object's name. No document's object has it, as those end in `.bin`.
const NAME: &str = ".ysyncd-probe";

/// What the objects hold, for whoever finds one. Always the same, so that
/// nodes that probe at once do not get in each other's way where an etag is a
/// hash of the content.
const BODY: &[u8] = b"ysyncd writes this to see whether conditional writes work here.\n";

/// An etag as S3 makes them, which no content has.
const OTHER_ETAG: &str = "\"00000000000000000000000000000000\"";

/// How often a probe starts again because something came between.
const TRIES: usize = 5;

/// What is left to other nodes before trying again.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a probe may take, a handful of requests in all.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Probe for S3Store {
    fn probe(&self) -> ProbeFuture<'_> {
        let limit = TIMEOUT.min(self.timeout);
        Box::pin(async move {
            time::timeout(limit, self.probe_in_turn())
                .await
                .unwrap_or_else(|_| {
                    let text = self.located(format!("S3 did not answer a probe in {limit:?}"));
                    Err(ProbeError::Unreachable(StoreError::Unavailable(text)))
                })
        })
    }
}

impl S3Store {
    async fn probe_in_turn(&self) -> Result<Honoured, ProbeError> {
        let key = format!("{}{NAME}", self.prefix);
        self.check_refusals(&key).await?;
        self.check_replacing(&key).await?;
        let long_names = self.keeps_long_names().await?;
        Ok(Honoured { long_names })
    }

    /// Writes under conditions that do not hold.
    async fn check_refusals(&self, key: &str) -> Result<(), ProbeError> {
        self.find_or_make(key).await?;
        let other = Condition::Matches(Etag(OTHER_ETAG.into()));
        for (condition, ignored) in [
            (Condition::Absent, Ignored::Absent),
            (other, Ignored::OtherEtag),
        ] {
            match self.put(key, Bytes::from_static(BODY), condition).await {
                Err(StoreError::Conflict) => {}
                Ok(_) => return Err(ProbeError::IgnoresConditions(ignored)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes under a condition that holds, unless another node is faster: then
    /// the etag changes, or S3 answers 409 and it does not.
    async fn check_replacing(&self, key: &str) -> Result<(), ProbeError> {
        let mut etag = self.find_or_make(key).await?;
        let mut has_changed = false;
        for _ in 0..TRIES {
            let condition = Condition::Matches(etag.clone());
            match self.put(key, Bytes::from_static(BODY), condition).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
            time::sleep(PAUSE).await;
            let now = self.find_or_make(key).await?;
            has_changed |= now != etag;
            etag = now;
        }
        if has_changed {
            Err(crowded())
        } else {
            Err(ProbeError::IgnoresConditions(Ignored::OwnEtag))
        }
    }

    /// The etag of the probe object, which is there afterwards.
    async fn find_or_make(&self, key: &str) -> Result<Etag, ProbeError> {
        for _ in 0..TRIES {
            if let Some(found) = self.get(key).await? {
                return Ok(found.etag);
            }
            match self
                .put(key, Bytes::from_static(BODY), Condition::Absent)
                .await
            {
                Ok(etag) => return Ok(etag),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(crowded())
    }

    /// Whether an object with the longest name is kept. The rights are known
    /// to be there, so that a refusal is about the name.
    async fn keeps_long_names(&self) -> Result<bool, StoreError> {
        let padding = iter::repeat_n('-', object_name::BYTES_MAX - NAME.len());
        let key: String = self
            .prefix
            .chars()
            .chain(NAME.chars())
            .chain(padding)
            .collect();
        for _ in 0..TRIES {
            let body = Bytes::from_static(BODY);
            match self.put(&key, body, Condition::Absent).await {
                Ok(_) | Err(StoreError::Conflict) => return Ok(self.get(&key).await?.is_some()),
                Err(StoreError::Denied(_)) => return Ok(false),
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                // Some fail inside for such a name, always.
                Err(StoreError::Unknown(_)) => {}
            }
        }
        Ok(false)
    }
}

fn crowded() -> ProbeError {
    ProbeError::Unreachable(StoreError::Unavailable(
        "others wrote the probe object all the time".to_owned(),
    ))
}
