//! Who somebody is.

use std::{fmt, sync::Arc};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

/// The name of a user: 1 to [`UserId::BYTES_MAX`] bytes of text without control
/// characters, so that it can stand in a log.
///
/// What a JWT is signed over is no name: `<name>:<signature>` is signed with the
/// same secret in the same way, so that whoever has a JWT for one document would
/// have such a token for all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UserId(Arc<str>);

/// Why a text is no user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserIdError {
    /// It is empty.
    #[error("the user id is empty")]
    Empty,
    /// It is longer than [`UserId::BYTES_MAX`].
    #[error("the user id is longer than {max} bytes", max = UserId::BYTES_MAX)]
    TooLong,
    /// It holds a control character.
    #[error("the user id holds a control character")]
    Control,
    /// It is the head and the body of a JWT.
    #[error("the user id reads like a JWT, whose signature would do for either")]
    Jwt,
}

impl UserId {
    /// Length of the longest name, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Takes a user's name.
    ///
    /// # Errors
    /// [`UserIdError`].
    pub fn new(name: &str) -> Result<Self, UserIdError> {
        match name {
            "" => Err(UserIdError::Empty),
            name if name.len() > Self::BYTES_MAX => Err(UserIdError::TooLong),
            name if name.chars().any(char::is_control) => Err(UserIdError::Control),
            name if is_signed_by_jwt(name) => Err(UserIdError::Jwt),
            name => Ok(Self(name.into())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this is what a JWT is signed over: a head, which is a JSON object, and
/// a body.
fn is_signed_by_jwt(name: &str) -> bool {
    let Some((head, _)) = name.split_once('.') else {
        return false;
    };
    let head = BASE64URL_NOPAD.decode(head.as_bytes());
    head.is_ok_and(|head| serde_json::from_slice::<Map<String, Value>>(&head).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_log() {
        for name in ["alice", "a.b", "auth0|5f", "urn:user:7", "名前", " "] {
            assert_eq!(UserId::new(name).unwrap().as_str(), name);
        }
        assert_eq!(UserId::new(""), Err(UserIdError::Empty));
        assert_eq!(UserId::new("a\nb"), Err(UserIdError::Control));
        assert_eq!(UserId::new("\u{9b}31m"), Err(UserIdError::Control));
        let long = "a".repeat(UserId::BYTES_MAX + 1);
        assert_eq!(UserId::new(&long), Err(UserIdError::TooLong));
        assert!(UserId::new(&long[1..]).is_ok());
    }
}
