//! JSON web tokens (RFC 7519), signed with HS256.
//!
//! The crate jsonwebtoken takes them apart and compares algorithms; it is told
//! to leave all that has to do with time to us, as it would ask a clock. Its
//! cryptography is what we have anyway (hmac, sha2): what it brings itself
//! would bring RSA and elliptic curves along.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind, Result as JwtResult},
};
use serde::{Deserialize, Deserializer};
use sha2::Sha256;
use signature::{Signer, Verifier};

use super::{Access, Claims, DocumentPattern, Documents, TokenError, UserId};

/// So far the clocks of who mints and of who verifies may be apart for a token
/// that begins when it is minted.
const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// What is read of the claims. One that is there has a value: to take `null` for
/// absent would open every document to somebody for whom an application found none.
#[derive(Debug, Deserialize)]
struct Wire {
    #[serde(default, deserialize_with = "present")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    exp: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    docs: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    access: Option<WireAccess>,
}

/// The value of a claim that is there.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    claim: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(claim).map(Some)
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireAccess {
    Read,
    Write,
}

/// A secret in the form that the crate takes.
#[derive(Clone)]
pub(super) struct JwtKey {
    decoding: DecodingKey,
    encoding: EncodingKey,
}

impl JwtKey {
    pub(super) fn new(secret: &[u8]) -> Self {
        // Whoever embeds this and has installed another one is served by that.
        let _ = PROVIDER.install_default();
        Self {
            decoding: DecodingKey::from_secret(secret),
            encoding: EncodingKey::from_secret(secret),
        }
    }

    /// Mints a token with these claims.
    pub(super) fn mint(&self, claims: &Claims) -> String {
        let mut wire = serde_json::Map::new();
        wire.insert("sub".to_owned(), claims.user.as_str().into());
        if let Some(expires) = claims.expires {
            wire.insert("exp".to_owned(), expires.as_secs().into());
        }
        if let Documents::Only(patterns) = &claims.documents {
            let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
            wire.insert("docs".to_owned(), patterns.into());
        }
        let access = match claims.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        wire.insert("access".to_owned(), access.into());
        let header = Header::new(Algorithm::HS256);
        jsonwebtoken::encode(&header, &wire, &self.encoding).expect("plain claims can be written")
    }

    /// Verifies a token.
    pub(super) fn verify(&self, token: &str, unix: Duration) -> Result<Claims, TokenError> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let decoded = jsonwebtoken::decode::<Wire>(token, &self.decoding, &validation)
            .map_err(|error| refusal(&error))?;
        // Whoever does not understand what is critical must not go on.
        if decoded.header.crit.is_some() {
            return Err(TokenError::Claims);
        }
        let wire = decoded.claims;
        let begins = wire.nbf.map(seconds).transpose()?;
        if begins.is_some_and(|begins| unix.saturating_add(CLOCK_SKEW) < begins) {
            return Err(TokenError::NotYet);
        }
        let expires = wire.exp.map(seconds).transpose()?;
        if expires.is_some_and(|expires| expires <= unix) {
            return Err(TokenError::Expired);
        }
        let user = wire.sub.and_then(|sub| UserId::new(&sub).ok());
        Ok(Claims {
            user: user.ok_or(TokenError::NoUser)?,
            documents: documents(wire.docs)?,
            access: match wire.access {
                Some(WireAccess::Read) => Access::Read,
                Some(WireAccess::Write) | None => Access::Write,
            },
            expires,
        })
    }
}

/// A `NumericDate`.
fn seconds(date: f64) -> Result<Duration, TokenError> {
    Duration::try_from_secs_f64(date).map_err(|_| TokenError::Claims)
}

fn documents(docs: Option<Vec<String>>) -> Result<Documents, TokenError> {
    let Some(docs) = docs else {
        return Ok(Documents::All);
    };
    let patterns = docs.iter().map(|text| DocumentPattern::parse(text));
    let patterns = patterns.collect::<Result<_, _>>();
    Ok(Documents::Only(patterns.map_err(|_| TokenError::Claims)?))
}

fn refusal(error: &Error) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidSignature => TokenError::WrongSignature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => TokenError::Algorithm,
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => {
            TokenError::Malformed
        }
        _ => TokenError::Claims,
    }
}

/// HS256 of the crates hmac and sha2, and nothing else.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        hs256(*algorithm, key.as_bytes()).map(|mac| Box::new(mac) as Box<dyn JwtSigner>)
    },
    verifier_factory: |algorithm, key| {
        hs256(*algorithm, key.try_get_as_bytes()?).map(|mac| Box::new(mac) as Box<dyn JwtVerifier>)
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hs256(Hmac<Sha256>);

fn hs256(algorithm: Algorithm, secret: &[u8]) -> JwtResult<Hs256> {
    match algorithm {
        Algorithm::HS256 => {
            let mac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
            Ok(Hs256(mac))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mut mac = self.0.clone();
        mac.update(message);
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.verify_slice(signature)
            .map_err(|_| signature::Error::new())
    }
}
