//! Tokens: who a client is, proven by a signature. Pure; the caller brings
//! the secret.
//!
//! A token is `<userId>:<signature>` with the signature HMAC-SHA256(userId,
//! secret), base64url without padding as minted here, or hex. A user id is any
//! non-empty text without `:`.

use std::{fmt, sync::Arc};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a valid token allows: full use of any document, under this name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Grant {
    /// The user that the token was minted for.
    pub user: UserId,
}

/// The name of a user: not empty, without `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UserId(Arc<str>);

impl UserId {
    /// Takes a user's name.
    ///
    /// # Errors
    /// The name is empty or holds a `:`, which ends it in a token.
    pub fn new(name: &str) -> Result<Self, UserIdError> {
        if name.is_empty() {
            Err(UserIdError::Empty)
        } else if name.contains(':') {
            Err(UserIdError::Colon)
        } else {
            Ok(Self(name.into()))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserIdError {
    /// It is empty.
    #[error("the user id is empty")]
    Empty,
    /// It holds a colon.
    #[error("the user id holds a ':', which separates it from the signature")]
    Colon,
}

/// Why a token is not accepted. Never says more than a stranger may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not of the form `<userId>:<signature>`.
    #[error("the token is not of the form userId:signature")]
    Malformed,
    /// The signature is not this secret's for this user.
    #[error("the token's signature is wrong")]
    WrongSignature,
}

/// The key that tokens are signed with.
#[derive(Clone)]
pub struct TokenKey {
    mac: Hmac<Sha256>,
}

impl TokenKey {
    /// Makes a key of a secret of any length.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        Self { mac }
    }

    /// Mints the token of a user.
    #[must_use]
    pub fn mint(&self, user: &UserId) -> String {
        let mut mac = self.mac.clone();
        mac.update(user.as_str().as_bytes());
        let signature = BASE64URL_NOPAD.encode(&mac.finalize().into_bytes());
        format!("{}:{signature}", user.as_str())
    }

    /// Verifies a token, comparing the signature in constant time.
    ///
    /// # Errors
    /// The token is malformed, or not signed with this key.
    pub fn verify(&self, token: &str) -> Result<Grant, TokenError> {
        let (user, signature) = token.split_once(':').ok_or(TokenError::Malformed)?;
        let user = UserId::new(user).map_err(|_| TokenError::Malformed)?;
        let signature = decode_signature(signature).ok_or(TokenError::Malformed)?;
        let mut mac = self.mac.clone();
        mac.update(user.as_str().as_bytes());
        mac.verify_slice(&signature)
            .map_err(|_| TokenError::WrongSignature)?;
        Ok(Grant { user })
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// 64 characters are hex, 43 are base64url: the length tells them apart.
fn decode_signature(text: &str) -> Option<Vec<u8>> {
    match text.len() {
        64 => HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok(),
        43 => BASE64URL_NOPAD.decode(text.as_bytes()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey::new(b"secret")
    }

    #[test]
    fn a_minted_token_names_its_user() {
        for name in ["alice", "bob+tag@example.org", "ä ö/ü?&=#", "名前", " "] {
            let user = UserId::new(name).unwrap();
            assert_eq!(key().verify(&key().mint(&user)).unwrap().user, user);
        }
    }

    #[test]
    fn the_signature_is_hmac_sha256_in_base64url_or_hex() {
        // printf %s alice | openssl dgst -sha256 -hmac secret
        let hex = "4360c67bc81025114044578d7c4e8e0f02fd0cae99f22d603390e8f9dc9888f8";
        let token = key().mint(&UserId::new("alice").unwrap());
        assert_eq!(token, "alice:Q2DGe8gQJRFARFeNfE6ODwL9DK6Z8i1gM5Do-dyYiPg");
        assert!(key().verify(&format!("alice:{hex}")).is_ok());
        assert!(
            key()
                .verify(&format!("alice:{}", hex.to_uppercase()))
                .is_ok()
        );
    }

    #[test]
    fn what_was_not_signed_with_the_key_is_refused() {
        let token = key().mint(&UserId::new("alice").unwrap());
        let signature = token.split_once(':').unwrap().1;
        assert_eq!(
            key().verify(&format!("bob:{signature}")),
            Err(TokenError::WrongSignature)
        );
        assert_eq!(
            TokenKey::new(b"other").verify(&token),
            Err(TokenError::WrongSignature)
        );
        for malformed in [
            "",
            ":",
            "alice",
            "alice:",
            "alice:!",
            &format!(":{signature}"),
        ] {
            assert_eq!(
                key().verify(malformed),
                Err(TokenError::Malformed),
                "{malformed}"
            );
        }
    }
}
