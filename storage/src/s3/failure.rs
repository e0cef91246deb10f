//! What a failed request means for the snapshot.
//!
//! The question that decides is whether a save may have taken place. Where the
//! answer is not plainly no, the error is `Unknown`, and the engine looks.

use std::{error::Error, io};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use ysyncd_engine::{
    Condition, StoreError,
    marks::{self, Mark},
    planted::{self, Bug},
};

/// How a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It cannot be sent as it is.
    Malformed(String),
    /// It cannot be signed: there are no credentials.
    Unsigned(String),
    /// It was not sent.
    Unreachable(String),
    /// It may have got there; no answer came back, or none that makes sense.
    Lost(String),
    /// The store answered with an error.
    Refused {
        status: u16,
        /// S3's name of the error. Proxies between do not give one.
        code: Option<String>,
        message: String,
    },
}

/// What somebody who is denied an operation should be granted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights(&'static str);

impl Rights {
    pub(super) const LOAD: Self = Self(
        "; the server needs the rights s3:GetObject and s3:ListBucket (without the latter, \
         S3 answers like this for a document that does not exist yet)",
    );
    pub(super) const SAVE: Self =
        Self("; the server needs the rights s3:PutObject and s3:GetObject");
    pub(super) const LIST: Self = Self("; this needs the right s3:ListBucket");
    pub(super) const VERSIONS: Self =
        Self("; this needs the rights s3:ListBucketVersions and s3:GetObjectVersion");
    pub(super) const DELETE: Self = Self("; this needs the right s3:DeleteObject");
}

impl Failure {
    /// The same with more said of a store that did not answer.
    pub(super) fn located(self, say: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Unreachable(text) => Self::Unreachable(say(text)),
            Self::Lost(text) => Self::Lost(say(text)),
            other => other,
        }
    }

    /// Whether the answer to a load says that there is certainly no object.
    /// A 404 alone does not: a proxy or a wrong endpoint may give one.
    pub(super) fn is_absence(&self) -> bool {
        let Self::Refused { status, code, .. } = self else {
            return false;
        };
        let is_named = match code.as_deref() {
            Some("NoSuchBucket") => planted::is(Bug::NoBucketTakenForAbsence),
            code => code == Some("NoSuchKey") || planted::is(Bug::NotFoundTakenForAbsence),
        };
        *status == 404 && is_named
    }

    /// Whether the answer says that there is certainly no such version, or
    /// that it is a deletion.
    pub(super) fn is_absence_of_version(&self) -> bool {
        let Self::Refused { status, code, .. } = self else {
            return false;
        };
        let absent = ["NoSuchVersion", "NoSuchKey"];
        match (status, code.as_deref()) {
            (404, Some(code)) => absent.contains(&code),
            (405, code) => code == Some("MethodNotAllowed"),
            _ => false,
        }
    }

    pub(super) fn into_load_error(self, rights: Rights) -> StoreError {
        let text = self.text(rights);
        self.mark();
        match self {
            Self::Malformed(_) | Self::Unsigned(_) => StoreError::Denied(text),
            Self::Unreachable(_) | Self::Lost(_) => StoreError::Unavailable(text),
            Self::Refused { status, code, .. } => match (status, code.as_deref()) {
                _ if is_passing(status, code.as_deref()) => StoreError::Unavailable(text),
                (404, Some("NoSuchBucket")) => StoreError::Denied(text),
                // Something else than the store answers in its place.
                (404, _) => StoreError::Unavailable(text),
                (300..=499 | 501, _) => StoreError::Denied(text),
                _ => StoreError::Unavailable(text),
            },
        }
    }

    pub(super) fn into_save_error(self, condition: &Condition, rights: Rights) -> StoreError {
        let text = self.text(rights);
        self.mark();
        match self {
            Self::Malformed(_) | Self::Unsigned(_) => StoreError::Denied(text),
            Self::Unreachable(_) => StoreError::Unavailable(text),
            Self::Lost(_) => StoreError::Unknown(text),
            Self::Refused { status, code, .. } => match (status, code.as_deref()) {
                (412, _) | (409, Some("ConditionalRequestConflict")) => StoreError::Conflict,
                (404, Some("NoSuchBucket")) => StoreError::Denied(text),
                (404, _) if *condition != Condition::Absent => StoreError::Conflict,
                _ if is_passing(status, code.as_deref()) => StoreError::Unavailable(text),
                (409, _) => StoreError::Unavailable(text),
                (300..=499 | 501, _) => StoreError::Denied(text),
                // It failed inside, before or after writing.
                _ => StoreError::Unknown(text),
            },
        }
    }

    fn mark(&self) {
        marks::hit(match self {
            Self::Malformed(_) | Self::Unsigned(_) => Mark::S3Denied,
            Self::Unreachable(_) => Mark::S3Unreachable,
            Self::Lost(_) => Mark::S3Lost,
            Self::Refused { status, code, .. } => match (status, code.as_deref()) {
                (412, _) => Mark::S3Conflict412,
                (409, _) => Mark::S3Conflict409,
                (404, Some("NoSuchKey")) => Mark::S3VanishedOnSave,
                (404, None) => Mark::S3Absent404,
                (status, code) if is_passing(*status, code) => Mark::S3Passing,
                (500.., _) => Mark::S3Failed5xx,
                _ => Mark::S3Denied,
            },
        });
    }

    /// The failure in words, with what to do about it where that is clear.
    fn text(&self, rights: Rights) -> String {
        let (status, code, message) = match self {
            Self::Malformed(text) => return format!("cannot ask S3: {text}"),
            Self::Unsigned(text) => {
                return format!(
                    "no credentials for S3: {text}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                );
            }
            Self::Unreachable(text) => return format!("cannot reach S3: {text}"),
            Self::Lost(text) => return format!("no answer of S3: {text}"),
            Self::Refused {
                status,
                code,
                message,
            } => (*status, code.as_deref(), message),
        };
        let hint = match (status, code) {
            (403, None | Some("AccessDenied")) => rights.0,
            (_, Some("NoSuchBucket")) => "; check S3_BUCKET and the endpoint",
            (301, _) | (_, Some("AuthorizationHeaderMalformed")) => "; check AWS_REGION",
            (501, _) => "; the store must support conditional writes",
            (404, None) => "; check the endpoint",
            _ => "",
        };
        let code = code.unwrap_or("without a code");
        format!("S3 answered {status} {code}: {message}{hint}")
    }
}

impl<E> From<SdkError<E>> for Failure
where
    E: Error + ProvideErrorMetadata + RequestId + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        match &error {
            SdkError::ConstructionFailure(_) => Self::Malformed(chain(&error)),
            SdkError::DispatchFailure(_) => of_dispatch(&error),
            SdkError::ResponseError(context) => Self::Refused {
                status: context.raw().status().as_u16(),
                code: None,
                message: chain(&error),
            },
            SdkError::ServiceError(context) => {
                let (told, raw) = (context.err(), context.raw());
                let message = told.message().unwrap_or("no reason given");
                let request = told.request_id().unwrap_or("unknown");
                Self::Refused {
                    status: raw.status().as_u16(),
                    code: told.code().map(str::to_owned),
                    message: format!("{message} (request {request})"),
                }
            }
            _ => Self::Lost(chain(&error)),
        }
    }
}

/// An error with all its causes, in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Answers that say: not done, ask again.
fn is_passing(status: u16, code: Option<&str>) -> bool {
    match (status, code) {
        (307 | 429, _) => true,
        (400, Some(code)) => matches!(code, "RequestTimeout" | "ExpiredToken"),
        // Without one of these codes it may come from a proxy that lost the
        // answer.
        (503, Some(code)) => matches!(
            code,
            "SlowDown" | "SlowDownRead" | "SlowDownWrite" | "ServiceUnavailable"
        ),
        _ => false,
    }
}

/// A request that got no answer. Of the many reasons, two kinds prove that
/// nothing was sent.
fn of_dispatch(error: &(dyn Error + 'static)) -> Failure {
    let text = chain(error);
    for cause in causes(error) {
        match cause.downcast_ref() {
            Some(CredentialsError::CredentialsNotLoaded(_)) => return Failure::Unsigned(text),
            // A source of credentials that is known but does not answer.
            Some(_) => return Failure::Unreachable(text),
            None => {}
        }
        match cause.downcast_ref::<io::Error>() {
            Some(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {
                return Failure::Unreachable(text);
            }
            _ => {}
        }
    }
    Failure::Lost(text)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}
