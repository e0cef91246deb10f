//! Tokens: who a client is and what it may do, proven by a signature. Pure;
//! the caller brings the secret and the time.
//!
//! Two kinds are understood. A plain token is `<userId>:<signature>` with the
//! signature HMAC-SHA256(userId, secret), base64url without padding as minted
//! here, or hex: full use of every document, for ever. A JWT (RFC 7519, HS256)
//! says more: see [`Claims`].
//!
//! From a token to a [`Grant`] it is two steps: [`TokenVerifier::verify`] reads
//! the [`Claims`] of a token, and [`Claims::grant`] says what they allow for one
//! document.

mod documents;
mod jwt;
mod plain;
#[cfg(test)]
mod tests;
mod user;
mod verifier;

use std::time::Duration;

pub use self::{
    documents::{DocumentPattern, Documents, DocumentsError},
    user::{UserId, UserIdError},
    verifier::{Kinds, TokenKey, TokenVerifier},
};
use crate::DocId;

/// What ends later than that ends never, as far as one process can tell: a
/// moment so far off need not be one that clocks can count to.
const LIFETIME_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A longer token is not looked at.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// What a valid token allows a client on one document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Grant {
    /// Who the token was minted for.
    pub user: UserId,
    /// What it may do.
    #[cfg_attr(feature = "serde", serde(default))]
    pub access: Access,
    /// When that ends, on the monotonic clock. `None`: never.
    #[cfg_attr(feature = "serde", serde(default))]
    pub until: Option<Duration>,
}

/// What a client may do with a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum Access {
    /// Read it, and show itself to others (awareness).
    Read,
    /// Change it, too.
    #[default]
    Write,
}

/// What a valid token says.
///
/// | of a JWT | meaning | absent |
/// |---|---|---|
/// | `sub` | the user | refused |
/// | `exp`, `nbf` | when it ends and begins, in seconds since 1970 | refused unless allowed; at once |
/// | `docs` | a list of document ids; one that ends with `*` means all that begin so | all |
/// | `access` | `"read"` or `"write"` | `"write"` |
///
/// One of these that is there and `null` is refused. Other claims are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who it was minted for.
    pub user: UserId,
    /// Which documents it is for.
    pub documents: Documents,
    /// What it allows.
    pub access: Access,
    /// From when on it is worth nothing, since 1970. `None`: never.
    pub expires: Option<Duration>,
}

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// On the monotonic clock, as engines count.
    pub mono: Duration,
    /// Since 1970-01-01 UTC.
    pub unix: Duration,
}

/// A token is good, but not for this document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token does not allow this document")]
pub struct Forbidden;

/// Why a token is not accepted. Never says more than a stranger may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Of no form that is accepted.
    #[error("the token is neither of the form userId:signature nor a JWT")]
    Malformed,
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Tokens of this kind are not accepted here.
    #[error("tokens of this kind are not accepted here")]
    Kind,
    /// The signature is not one of the secret's.
    #[error("the token's signature is wrong")]
    WrongSignature,
    /// A JWT signed in another way than HS256, or not at all.
    #[error("only JWTs that are signed with HS256 are accepted")]
    Algorithm,
    /// A JWT whose header or claims make no sense here.
    #[error("the JWT's header or claims are not understood")]
    Claims,
    /// A JWT without a user.
    #[error("the JWT has no `sub` claim that names a user")]
    NoUser,
    /// A JWT that would never end.
    #[error("the JWT has no `exp` claim")]
    NoExpiry,
    /// It is over.
    #[error("the token has expired")]
    Expired,
    /// It has not begun.
    #[error("the token is not valid yet")]
    NotYet,
}

impl Claims {
    /// What the token allows for a document from `now` on.
    ///
    /// # Errors
    /// It is for others.
    pub fn grant(&self, doc: &DocId, now: Moment) -> Result<Grant, Forbidden> {
        if !self.documents.include(doc) {
            return Err(Forbidden);
        }
        let left = self.expires.map(|expires| expires.saturating_sub(now.unix));
        let left = left.filter(|left| *left <= LIFETIME_MAX);
        Ok(Grant {
            user: self.user.clone(),
            access: self.access,
            until: left.map(|left| now.mono + left),
        })
    }
}

impl Grant {
    /// Full use of a document, for ever.
    #[must_use]
    pub const fn unlimited(user: UserId) -> Self {
        Self {
            user,
            access: Access::Write,
            until: None,
        }
    }
}
