//! How what is drawn is written down, where the types of others do not say so.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ysyncd_storage::journal::disk::SyncMode;

/// A [`SyncMode`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "SyncMode")]
pub(super) enum WrittenSyncMode {
    Always,
    Interval(Duration),
}

/// The kinds of errors that a disk gives.
pub(super) mod error_kind {
    use std::io::ErrorKind;

    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    const NAMES: &[(&str, ErrorKind)] = &[
        ("other", ErrorKind::Other),
        ("storage_full", ErrorKind::StorageFull),
    ];

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde wants it like this"
    )]
    pub(in super::super) fn serialize<S: Serializer>(
        kind: &ErrorKind,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match NAMES.iter().find(|(_, named)| named == kind) {
            Some((name, _)) => serializer.serialize_str(name),
            None => Err(ser::Error::custom(format_args!("{kind} has no name"))),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ErrorKind, D::Error> {
        let name = String::deserialize(deserializer)?;
        match NAMES.iter().find(|(named, _)| *named == name) {
            Some((_, kind)) => Ok(*kind),
            None => Err(de::Error::custom(format_args!("no kind is called {name}"))),
        }
    }
}
