//! A bucket's documents as a whole, and their versions.

use std::{cmp::Reverse, future::Future, time::SystemTime};

use aws_sdk_s3::{
    operation::{
        list_object_versions::ListObjectVersionsOutput, list_objects_v2::ListObjectsV2Output,
    },
    primitives::DateTime,
    types::{DeleteMarkerEntry, EncodingType, Object, ObjectVersion},
};
use percent_encoding::percent_decode_str;
use tokio::time;
use ysyncd_engine::{Condition, DocId, Etag, Snapshot, StoreError};

use super::{S3Store, failure::Rights, read};
use crate::{
    StoreFuture,
    catalog::{Catalog, Listed, Page, PageMark, Version, VersionContent, VersionId},
    object_name::{doc_id, object_name_prefix},
};

impl Catalog for S3Store {
    fn list<'a>(&'a self, id_prefix: &'a str, from: Option<PageMark>) -> StoreFuture<'a, Page> {
        Box::pin(self.in_time(self.list_page(id_prefix, from), StoreError::Unavailable))
    }

    fn versions<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Vec<Version>> {
        Box::pin(self.in_time(self.list_versions(doc), StoreError::Unavailable))
    }

    fn load_version<'a>(
        &'a self,
        doc: &'a DocId,
        version: &'a VersionId,
    ) -> StoreFuture<'a, Option<Snapshot>> {
        Box::pin(self.in_time(self.get_version(doc, version), StoreError::Unavailable))
    }

    fn delete<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, bool> {
        Box::pin(self.in_time(self.find_and_delete(doc), StoreError::Unknown))
    }
}

impl S3Store {
    async fn in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
        unfinished: fn(String) -> StoreError,
    ) -> Result<T, StoreError> {
        time::timeout(self.timeout, operation)
            .await
            .unwrap_or_else(|_| Err(unfinished(self.late())))
    }

    async fn list_page(&self, id_prefix: &str, from: Option<PageMark>) -> Result<Page, StoreError> {
        let listed = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("{}{}", self.prefix, object_name_prefix(id_prefix)))
            // Passes over what lies deeper; no document's name holds a slash.
            .delimiter("/")
            // XML cannot hold every key that somebody else may have chosen.
            .encoding_type(EncodingType::Url)
            .set_continuation_token(from.map(|mark| mark.0))
            .send()
            .await
            .map_err(|error| self.failure(error).into_load_error(Rights::LIST))?;
        let documents = self.documents(&listed, id_prefix);
        let next = match (listed.is_truncated, listed.next_continuation_token) {
            (Some(true), None) => return Err(no_mark()),
            (Some(true), Some(mark)) => Some(PageMark(mark)),
            _ => None,
        };
        Ok(Page { documents, next })
    }

    fn documents(&self, listed: &ListObjectsV2Output, id_prefix: &str) -> Vec<Listed> {
        let is_encoded = listed.encoding_type == Some(EncodingType::Url);
        let document = |object: &Object| {
            let key = object.key()?;
            let key = if is_encoded {
                decode(key)?
            } else {
                key.to_owned()
            };
            let doc = doc_id(key.strip_prefix(&self.prefix)?)?;
            doc.as_str().starts_with(id_prefix).then_some(Listed {
                doc,
                size_bytes: size(object.size()),
                modified: moment(object.last_modified()),
                etag: object.e_tag().map(|etag| Etag(etag.into())),
            })
        };
        listed.contents().iter().filter_map(document).collect()
    }

    async fn list_versions(&self, doc: &DocId) -> Result<Vec<Version>, StoreError> {
        let key = self.key(doc);
        let mut versions = Vec::new();
        let mut from = (None, None);
        loop {
            let page = self
                .client
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(&key)
                .set_key_marker(from.0)
                .set_version_id_marker(from.1)
                .send()
                .await
                .map_err(|error| self.failure(error).into_load_error(Rights::VERSIONS))?;
            versions.extend(versions_of(&key, &page));
            // Keys come in order, so that others follow only after this one.
            let is_done = page
                .next_key_marker()
                .is_some_and(|next| next > key.as_str());
            if page.is_truncated != Some(true) || is_done {
                break;
            }
            from = (page.next_key_marker, page.next_version_id_marker);
            if from.0.is_none() {
                return Err(no_mark());
            }
        }
        versions.sort_by_key(|version| (!version.is_latest, Reverse(version.modified)));
        Ok(versions)
    }

    async fn get_version(
        &self,
        doc: &DocId,
        version: &VersionId,
    ) -> Result<Option<Snapshot>, StoreError> {
        let request = self.client.get_object().bucket(&self.bucket);
        let request = request.key(self.key(doc)).version_id(&version.0);
        match request.send().await.map_err(|error| self.failure(error)) {
            Ok(object) => read(object).await.map(Some),
            Err(failure) if failure.is_absence_of_version() => Ok(None),
            Err(failure) => Err(failure.into_load_error(Rights::VERSIONS)),
        }
    }

    /// S3 does not say whether what it deletes was there, and deleting nothing
    /// would leave a trace where versions are kept.
    async fn find_and_delete(&self, doc: &DocId) -> Result<bool, StoreError> {
        let key = self.key(doc);
        if self.get(&key).await?.is_none() {
            return Ok(false);
        }
        let request = self.client.delete_object();
        match request.bucket(&self.bucket).key(key).send().await {
            Ok(_) => Ok(true),
            Err(error) => {
                let failure = self.failure(error);
                Err(failure.into_save_error(&Condition::Absent, Rights::DELETE))
            }
        }
    }
}

fn no_mark() -> StoreError {
    StoreError::Unavailable("S3 sent a part of a list and no mark to go on from".to_owned())
}

/// The versions of one object, in no order.
fn versions_of<'a>(
    key: &'a str,
    page: &'a ListObjectVersionsOutput,
) -> impl Iterator<Item = Version> + 'a {
    let snapshots = page.versions().iter();
    let snapshots = snapshots.filter(move |version| version.key() == Some(key));
    let deletions = page.delete_markers().iter();
    let deletions = deletions.filter(move |marker| marker.key() == Some(key));
    snapshots.map(of_snapshot).chain(deletions.map(of_deletion))
}

fn of_snapshot(version: &ObjectVersion) -> Version {
    Version {
        id: version_id(version.version_id()),
        modified: moment(version.last_modified()),
        is_latest: version.is_latest() == Some(true),
        content: VersionContent::Snapshot {
            size_bytes: size(version.size()),
            etag: version.e_tag().map(|etag| Etag(etag.into())),
        },
    }
}

fn of_deletion(marker: &DeleteMarkerEntry) -> Version {
    Version {
        id: version_id(marker.version_id()),
        modified: moment(marker.last_modified()),
        is_latest: marker.is_latest() == Some(true),
        content: VersionContent::Deletion,
    }
}

/// S3's own name for what was written before versions were kept.
fn version_id(id: Option<&str>) -> VersionId {
    VersionId(id.unwrap_or("null").to_owned())
}

fn size(bytes: Option<i64>) -> u64 {
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(0)
}

fn moment(time: Option<&DateTime>) -> Option<SystemTime> {
    time.and_then(|time| SystemTime::try_from(*time).ok())
}

/// A key as `encoding-type=url` writes it.
fn decode(key: &str) -> Option<String> {
    let key = key.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8().ok()?;
    Some(key.into_owned())
}
