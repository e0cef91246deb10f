//! Snapshots as objects in an S3 bucket, or in that of a work-alike.

mod catalog;
mod endpoint;
mod failure;
mod probe;

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{
        self, BehaviorVersion, Region, RequestChecksumCalculation, SharedHttpClient,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
    operation::get_object::GetObjectOutput,
    primitives::ByteStream,
};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use bytes::Bytes;
use tokio::time;
use ysyncd_engine::{
    Condition, DocId, Etag, Snapshot, StoreError,
    marks::{self, Mark},
    planted::{self, Bug},
};

use self::failure::{Failure, Rights};
use crate::{SnapshotStore, StoreFuture, object_name::object_name};

/// A bucket with one object per document, `<prefix>/<name>` with the name of
/// [`object_name`].
///
/// Conditions are S3's own (`If-None-Match: *`, `If-Match`); the bucket must
/// honour them, which [`Probe`](crate::probed::Probe) finds out. An etag is
/// kept as it came, quotes included.
///
/// S3 takes keys of 1,024 bytes, which leaves 119 for the prefix beside the
/// longest name. Work-alikes that keep objects as files may take no name of
/// more than 255 bytes; [`Probed`](crate::probed::Probed) answers for those.
///
/// The server needs the rights `s3:GetObject`, `s3:PutObject` and
/// `s3:ListBucket`. Without the last S3 answers 403 for an object that does
/// not exist, which is no certain absence, so that no new document can be
/// opened.
///
/// Content is guarded on its way there by the SHA-256 that the request's
/// signature covers, and on its way back by its length and by the checksum
/// that the store keeps with the object, if it tells one. No further checksum
/// is sent, since several work-alikes refuse requests that hold one.
#[derive(Debug)]
pub struct S3Store {
    client: Client,
    bucket: String,
    /// Empty or ending in a slash.
    prefix: String,
    timeout: Duration,
    /// Where it is and what says so, for people who look for what is wrong.
    endpoint: Option<String>,
}

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an operation may take, its one attempt and the transfer of the
/// body included: enough for 50 MB over 10 Mbit/s.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The region that signatures name where the endpoint is no AWS region's.
const CUSTOM_ENDPOINT_REGION: &str = "us-east-1";

impl S3Store {
    /// A bucket as the standard AWS variables and the profile files describe
    /// it.
    ///
    /// Region: `AWS_REGION`, the profile or the instance metadata; with a
    /// custom endpoint it may be missing. Endpoint: `AWS_ENDPOINT_URL_S3`,
    /// `AWS_ENDPOINT_URL` or the profile; one that is set is spoken to in path
    /// style. Credentials: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`
    /// (with `AWS_SESSION_TOKEN`), the profile (keys or an assumed role), web
    /// identity, container and instance metadata, in this order. Single
    /// sign-on and credential processes are not supported.
    ///
    /// Credentials are asked for when they are first needed: nothing here
    /// speaks to the bucket yet.
    ///
    /// # Errors
    /// No region and no endpoint is named anywhere.
    pub async fn from_env(bucket: &str, prefix: &str) -> Result<Self, NoRegion> {
        let sdk = aws_config::defaults(behavior())
            .http_client(https_client())
            .load()
            .await;
        let mut config = config::Builder::from(&sdk);
        if endpoint::is_named(&sdk) {
            config.set_force_path_style(Some(true));
            let region = sdk.region().cloned();
            config.set_region(region.or(Some(Region::from_static(CUSTOM_ENDPOINT_REGION))));
        } else if sdk.region().is_none() {
            return Err(NoRegion);
        }
        let endpoint = Some(endpoint::in_words(&sdk));
        Ok(Self {
            endpoint,
            ..Self::new(config, bucket, prefix)
        })
    }

    /// A bucket reached with a client of the caller's making, who brings what
    /// the environment would: the HTTP client, credentials, the region, and
    /// path style where it is due. Simulation brings its own network and clock.
    ///
    /// What this store promises is set here and cannot be brought: one attempt
    /// per operation, time limits, checksums.
    ///
    /// Slashes around `prefix` do not count; an empty one puts objects at the
    /// bucket's top.
    #[must_use]
    pub fn new(config: config::Builder, bucket: &str, prefix: &str) -> Self {
        let config = config
            .behavior_version(behavior())
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .build(),
            )
            // The limit on the whole operation covers stalls.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        let mut prefix = prefix.trim_matches('/').to_owned();
        if !prefix.is_empty() {
            prefix.push('/');
        }
        Self {
            client: Client::from_conf(config),
            bucket: bucket.to_owned(),
            prefix,
            timeout: TIMEOUT,
            endpoint: None,
        }
    }

    /// Changes how long an operation may take, by default 60 s.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    fn key(&self, doc: &DocId) -> String {
        format!("{}{}", self.prefix, object_name(doc))
    }

    async fn get(&self, key: &str) -> Result<Option<Snapshot>, StoreError> {
        let request = self.client.get_object();
        let request = request.bucket(&self.bucket).key(key);
        match request.send().await.map_err(|error| self.failure(error)) {
            Ok(object) => read(object).await.map(Some),
            Err(failure) if failure.is_absence() => {
                marks::hit(Mark::S3NotFound);
                Ok(None)
            }
            Err(failure) => Err(failure.into_load_error(Rights::LOAD)),
        }
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Etag, StoreError> {
        let request = self.client.put_object();
        let request = request.bucket(&self.bucket).key(key);
        let request = match &condition {
            _ if planted::is(Bug::UnconditionalPut) => request,
            Condition::Absent => request.if_none_match("*"),
            Condition::Matches(etag) => request.if_match(&*etag.0),
        };
        match request.body(ByteStream::from(body)).send().await {
            Ok(written) => written
                .e_tag
                .map(|etag| Etag(etag.into()))
                .ok_or_else(|| StoreError::Unknown("S3 told no etag".to_owned())),
            Err(error) => {
                let error = self
                    .failure(error)
                    .into_save_error(&condition, Rights::SAVE);
                match condition {
                    Condition::Matches(etag)
                        if error == StoreError::Conflict
                            && planted::is(Bug::ConflictTakenForSuccess) =>
                    {
                        Ok(etag)
                    }
                    _ => Err(error),
                }
            }
        }
    }

    fn late(&self) -> String {
        self.located(format!("S3 did not answer in {:?}", self.timeout))
    }

    fn failure(&self, error: impl Into<Failure>) -> Failure {
        error.into().located(|text| self.located(text))
    }

    /// A text on a store that did not answer, with where it was asked.
    fn located(&self, text: String) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{text}; it was asked at {endpoint}"),
            None => text,
        }
    }
}

impl SnapshotStore for S3Store {
    fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>> {
        Box::pin(async move {
            time::timeout(self.timeout, self.get(&self.key(doc)))
                .await
                .unwrap_or_else(|_| {
                    marks::hit(Mark::S3LoadTimeout);
                    match planted::is(Bug::LateLoadTakenForAbsence) {
                        true => Ok(None),
                        false => Err(StoreError::Unavailable(self.late())),
                    }
                })
        })
    }

    fn save<'a>(
        &'a self,
        doc: &'a DocId,
        body: Bytes,
        condition: Condition,
    ) -> StoreFuture<'a, Etag> {
        Box::pin(async move {
            time::timeout(self.timeout, self.put(&self.key(doc), body, condition))
                .await
                .unwrap_or_else(|_| {
                    marks::hit(Mark::S3SaveTimeout);
                    Err(StoreError::Unknown(self.late()))
                })
        })
    }
}

/// Reads a whole object, or fails.
async fn read(object: GetObjectOutput) -> Result<Snapshot, StoreError> {
    let incomplete = |what: String| {
        marks::hit(Mark::S3TruncatedBody);
        StoreError::Unavailable(format!("S3 sent {what}"))
    };
    let etag = object
        .e_tag
        .ok_or_else(|| incomplete("an object without an etag".to_owned()))?;
    let length = object
        .content_length
        .and_then(|length| usize::try_from(length).ok())
        .ok_or_else(|| incomplete("an object without its length".to_owned()))?;
    let body = object.body.collect().await.map_err(|error| {
        incomplete(format!("a body that broke off: {}", failure::chain(&error)))
    })?;
    let body = body.into_bytes();
    if body.len() != length {
        return Err(incomplete(format!("{} of {length} bytes", body.len())));
    }
    let etag = Etag(etag.into());
    Ok(Snapshot { body, etag })
}

/// Why the environment describes no bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no S3 region is known: set AWS_REGION, or AWS_ENDPOINT_URL_S3 for a store that is not AWS's"
)]
pub struct NoRegion;

/// An HTTP client with connections kept open, for `http` and `https` (rustls,
/// with the system's root certificates).
#[must_use]
pub fn https_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// Pinned, so that a newer SDK does not behave differently unasked.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}
