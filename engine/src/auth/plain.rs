//! Plain tokens: `<userId>:<signature>`.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{TokenError, UserId};

/// Mints the token of a user.
pub(super) fn mint(mac: &Hmac<Sha256>, user: &UserId) -> String {
    let mut mac = mac.clone();
    mac.update(user.as_str().as_bytes());
    let signature = BASE64URL_NOPAD.encode(&mac.finalize().into_bytes());
    format!("{user}:{signature}")
}

/// Verifies a token, comparing the signature in constant time. A signature
/// holds no `:`, so the last one ends the name.
pub(super) fn verify(mac: &Hmac<Sha256>, token: &str) -> Result<UserId, TokenError> {
    let (user, signature) = token.rsplit_once(':').ok_or(TokenError::Malformed)?;
    let user = UserId::new(user).map_err(|_| TokenError::Malformed)?;
    let signature = decode_signature(signature).ok_or(TokenError::Malformed)?;
    let mut mac = mac.clone();
    mac.update(user.as_str().as_bytes());
    mac.verify_slice(&signature)
        .map_err(|_| TokenError::WrongSignature)?;
    Ok(user)
}

/// 64 characters are hex, 43 are base64url: the length tells them apart.
fn decode_signature(text: &str) -> Option<Vec<u8>> {
    match text.len() {
        64 => HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok(),
        43 => BASE64URL_NOPAD.decode(text.as_bytes()).ok(),
        _ => None,
    }
}
