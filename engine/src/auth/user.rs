//! Who somebody is.

use std::{fmt, sync::Arc};

/// The name of a user: 1 to [`UserId::BYTES_MAX`] bytes of text without control
/// characters, so that it can stand in a log.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_log() {
        for name in ["alice", "auth0|5f", "urn:user:7", "名前", " "] {
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
