//! Where documents are kept, opened as the settings say.

use std::sync::Arc;

use ysyncd_storage::{SnapshotStore, disk::DiskStore};

use crate::{cli::StoreSettings, failure::Failure};

/// Checks what can be checked without asking anybody.
///
/// # Errors
/// The environment describes no store.
pub(crate) fn check(settings: &StoreSettings) -> Result<(), Failure> {
    if settings.s3_bucket.is_empty() {
        Ok(())
    } else {
        check_endpoint()
    }
}

/// The SDK would notice a bad URL only when it first speaks to the store.
fn check_endpoint() -> Result<(), Failure> {
    for name in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] {
        let Ok(url) = std::env::var(name) else {
            continue;
        };
        let host = url.strip_prefix("http://").or(url.strip_prefix("https://"));
        if !url.is_empty() && host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
            return Err(Failure::configuration(format_args!(
                "{name} is {url:?}: expected a URL such as https://s3.example.org"
            )));
        }
    }
    Ok(())
}

/// Where documents are kept, as people are told.
pub(crate) fn place(settings: &StoreSettings) -> String {
    match (settings.s3_bucket.as_str(), settings.s3_prefix.as_str()) {
        ("", _) => settings.folder.data_dir.display().to_string(),
        (bucket, "") => format!("s3://{bucket}"),
        (bucket, prefix) => format!("s3://{bucket}/{prefix}"),
    }
}

/// Opens the store for serving: it can be written to and honours conditions,
/// or it is asked before its first use.
///
/// # Errors
/// It cannot be used, or must not be.
pub(crate) async fn open(settings: &StoreSettings) -> Result<Arc<dyn SnapshotStore>, Failure> {
    if !settings.s3_bucket.is_empty() {
        return bucket::open(settings).await;
    }
    let store = DiskStore::open(&settings.folder.data_dir).map_err(Failure::outside)?;
    Ok(Arc::new(store))
}

#[cfg(feature = "s3")]
mod bucket {
    use std::sync::Arc;

    use tracing::{info, warn};
    use ysyncd_storage::{
        SnapshotStore,
        probed::{ProbeError, Probed, SHORT_NAME_BYTES_MAX},
        s3::S3Store,
    };

    use super::place;
    use crate::{
        cli::{Conditions, StoreSettings},
        failure::Failure,
    };

    pub(super) async fn open(settings: &StoreSettings) -> Result<Arc<dyn SnapshotStore>, Failure> {
        let store = S3Store::from_env(&settings.s3_bucket, &settings.s3_prefix)
            .await
            .map_err(Failure::configuration)?;
        if settings.s3_conditions == Conditions::Trust {
            warn!("S3_CONDITIONS is trust: nobody checks that the bucket honours conditions");
            return Ok(Arc::new(store));
        }
        let store = Probed::new(store);
        check_conditions(&store, settings).await?;
        Ok(Arc::new(store))
    }

    /// A bucket that cannot be reached is no reason not to start: it is asked
    /// again before its first use.
    async fn check_conditions(
        store: &Probed<S3Store>,
        settings: &StoreSettings,
    ) -> Result<(), Failure> {
        let place = place(settings);
        match store.probe().await {
            Ok(honoured) if honoured.long_names => Ok(()),
            Ok(_) => {
                info!(
                    "{place} keeps no object names of more than {SHORT_NAME_BYTES_MAX} bytes; \
                     documents with a longer one are refused"
                );
                Ok(())
            }
            Err(error @ ProbeError::IgnoresConditions(_)) => {
                Err(Failure::configuration(format_args!(
                    "{place}: {error}, so that servers would overwrite each other's edits; use a \
                     store that honours conditional writes, or take the risk with \
                     S3_CONDITIONS=trust where a single server writes"
                )))
            }
            Err(ProbeError::Denied(text)) => {
                Err(Failure::outside(format_args!("cannot use {place}: {text}")))
            }
            Err(error @ ProbeError::Unreachable(_)) => {
                warn!(
                    %error,
                    "{place} cannot be reached; no document can be opened until it answers"
                );
                Ok(())
            }
        }
    }
}

#[cfg(not(feature = "s3"))]
mod bucket {
    use std::sync::Arc;

    use ysyncd_storage::SnapshotStore;

    use crate::{cli::StoreSettings, failure::Failure};

    #[expect(clippy::unused_async, reason = "the other build waits here")]
    pub(super) async fn open(_: &StoreSettings) -> Result<Arc<dyn SnapshotStore>, Failure> {
        Err(Failure::configuration(
            "S3_BUCKET is set, but this ysyncd was built without S3",
        ))
    }
}
