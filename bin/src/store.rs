//! Where documents are kept, opened as the settings say.

use std::{fs, io, os::unix::fs::MetadataExt, path::Display, sync::Arc};

use tracing::warn;
use ysyncd_storage::{SnapshotStore, catalog::Catalog, disk::DiskStore};

use crate::{cli::StoreSettings, failure::Failure};

/// Checks what can be checked without asking anybody.
///
/// # Errors
/// The environment describes no store.
pub(crate) fn check(settings: &StoreSettings) -> Result<(), Failure> {
    match (settings.s3_bucket.as_str(), settings.s3_prefix.as_str()) {
        ("", "") => Ok(()),
        ("", prefix) => Err(Failure::configuration(format_args!(
            "S3_PREFIX is {prefix:?}, but S3_BUCKET is not set: set it, or leave S3_PREFIX unset \
             to keep documents in DATA_DIR"
        ))),
        _ => check_endpoint(),
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
    if let Some((folder, user, group)) = folder_of_another(settings) {
        warn!(
            "{folder} belongs to user {user}, and this server runs as root: a server of that user \
             could not open what it writes there; run it as that user (setpriv --reuid={user} \
             --regid={group} --clear-groups), or give the folder to root (chown -R root)"
        );
    }
    if !settings.s3_bucket.is_empty() {
        return bucket::open(settings).await;
    }
    Ok(Arc::new(open_folder(settings)?))
}

/// A store and its catalog, to look after documents.
pub(crate) struct Kept {
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) catalog: Arc<dyn Catalog>,
}

impl Kept {
    fn new<S: SnapshotStore + Catalog + 'static>(store: S) -> Self {
        let store = Arc::new(store);
        Self {
            snapshots: store.clone(),
            catalog: store,
        }
    }
}

/// Opens what is there. No right to write is needed.
///
/// # Errors
/// It cannot be read.
pub(crate) async fn open_to_read(settings: &StoreSettings) -> Result<Kept, Failure> {
    if !settings.s3_bucket.is_empty() {
        return bucket::open_to_read(settings).await;
    }
    DiskStore::open_to_read(&settings.folder.data_dir)
        .map(Kept::new)
        .map_err(Failure::outside)
}

/// Opens the store to change something in it. A bucket is asked whether it
/// honours conditions before anything is written.
///
/// # Errors
/// It cannot be used.
pub(crate) async fn open_to_write(settings: &StoreSettings) -> Result<Kept, Failure> {
    if !settings.s3_bucket.is_empty() {
        return bucket::open_to_write(settings).await;
    }
    refuse_files_of_root(settings)?;
    open_folder(settings).map(Kept::new)
}

fn open_folder(settings: &StoreSettings) -> Result<DiskStore, Failure> {
    DiskStore::open(&settings.folder.data_dir).map_err(|error| {
        let hint = data_dir_hint(error.kind());
        Failure::outside(format_args!("{error}{hint}"))
    })
}

/// What to do where `DATA_DIR` cannot be written to.
pub(crate) fn data_dir_hint(error: io::ErrorKind) -> &'static str {
    match error {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists => "; set DATA_DIR to a folder that this user can write to",
        // It is the right folder, whose disk is full or broken.
        _ => "",
    }
}

/// What root makes in the folder of another user, the files of locks among it,
/// that user's server could not open: its saves would fail from then on.
fn refuse_files_of_root(settings: &StoreSettings) -> Result<(), Failure> {
    let Some((folder, user, group)) = folder_of_another(settings) else {
        return Ok(());
    };
    Err(Failure::configuration(format_args!(
        "{folder} belongs to user {user}, whose server could not open what root writes there; \
         in that folder run DATA_DIR=. setpriv --reuid={user} --regid={group} --clear-groups \
         ysyncd doc …"
    )))
}

/// The folder, and its user and group, if this is root and it is another's.
fn folder_of_another(settings: &StoreSettings) -> Option<(Display<'_>, u32, u32)> {
    let folder = &settings.folder.data_dir;
    // Whoever is asked here owns what it is told of itself. Where there is no
    // /proc, and where there is no folder yet, nothing is known to be wrong.
    let process = fs::metadata("/proc/self").ok()?;
    let folder_is = fs::metadata(folder).ok()?;
    let (user, group) = (folder_is.uid(), folder_is.gid());
    (process.uid() == 0 && user != 0).then(|| (folder.display(), user, group))
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

    use super::{Kept, place};
    use crate::{
        cli::{Conditions, StoreSettings},
        failure::Failure,
    };

    pub(super) async fn open(settings: &StoreSettings) -> Result<Arc<dyn SnapshotStore>, Failure> {
        let store = from_env(settings).await?;
        if settings.s3_conditions == Conditions::Trust {
            warn!("S3_CONDITIONS is trust: nobody checks that the bucket honours conditions");
            return Ok(Arc::new(store));
        }
        let store = Probed::new(store);
        check_conditions(&store, settings).await?;
        Ok(Arc::new(store))
    }

    pub(super) async fn open_to_read(settings: &StoreSettings) -> Result<Kept, Failure> {
        Ok(Kept::new(from_env(settings).await?))
    }

    pub(super) async fn open_to_write(settings: &StoreSettings) -> Result<Kept, Failure> {
        let store = from_env(settings).await?;
        Ok(match settings.s3_conditions {
            Conditions::Check => Kept::new(Probed::new(store)),
            Conditions::Trust => Kept::new(store),
        })
    }

    async fn from_env(settings: &StoreSettings) -> Result<S3Store, Failure> {
        let store = S3Store::from_env(&settings.s3_bucket, &settings.s3_prefix).await;
        store.map_err(Failure::configuration)
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
                    "{place} cannot be reached; it is tried again, and no document can be opened \
                     until it answers"
                );
                Ok(())
            }
        }
    }
}

#[cfg(not(feature = "s3"))]
#[expect(clippy::unused_async, reason = "the other build waits here")]
mod bucket {
    use std::sync::Arc;

    use ysyncd_storage::SnapshotStore;

    use super::Kept;
    use crate::{cli::StoreSettings, failure::Failure};

    pub(super) async fn open(_: &StoreSettings) -> Result<Arc<dyn SnapshotStore>, Failure> {
        Err(built_without())
    }

    pub(super) async fn open_to_read(_: &StoreSettings) -> Result<Kept, Failure> {
        Err(built_without())
    }

    pub(super) async fn open_to_write(_: &StoreSettings) -> Result<Kept, Failure> {
        Err(built_without())
    }

    fn built_without() -> Failure {
        Failure::configuration("S3_BUCKET is set, but this ysyncd was built without S3")
    }
}
