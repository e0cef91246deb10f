//! Which tokens are accepted.

use std::{fmt, time::Duration};

use hmac::{Hmac, KeyInit};
use sha2::Sha256;

use super::{Access, Claims, Documents, TOKEN_BYTES_MAX, TokenError, UserId, jwt::JwtKey, plain};

/// The key that tokens are signed with.
#[derive(Clone)]
pub struct TokenKey {
    mac: Hmac<Sha256>,
    jwt: JwtKey,
}

impl TokenKey {
    /// Makes a key of a secret of any length.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self {
            mac: Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"),
            jwt: JwtKey::new(secret),
        }
    }

    /// Mints the plain token of a user.
    #[must_use]
    pub fn mint(&self, user: &UserId) -> String {
        plain::mint(&self.mac, user)
    }

    /// Mints a JWT with these claims.
    #[must_use]
    pub fn mint_jwt(&self, claims: &Claims) -> String {
        self.jwt.mint(claims)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// Kinds of tokens that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds {
    /// `<userId>:<signature>`.
    pub plain: bool,
    /// JWTs.
    pub jwt: bool,
}

/// Accepts tokens, or does not.
#[derive(Debug, Clone)]
pub struct TokenVerifier {
    /// The key that tokens are minted with today; then those of before.
    keys: Vec<TokenKey>,
    kinds: Kinds,
    may_last_for_ever: bool,
}

impl TokenVerifier {
    /// Accepts tokens of both kinds that are signed with a key; JWTs must say
    /// when they expire.
    #[must_use]
    pub fn new(key: TokenKey) -> Self {
        Self {
            keys: vec![key],
            kinds: Kinds {
                plain: true,
                jwt: true,
            },
            may_last_for_ever: false,
        }
    }

    /// Accepts tokens that are signed with an older key, too, while those who
    /// hold them get new ones.
    #[must_use]
    pub fn and_previous(mut self, key: TokenKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Accepts tokens of these kinds only.
    #[must_use]
    pub fn only(mut self, kinds: Kinds) -> Self {
        self.kinds = kinds;
        self
    }

    /// Accepts JWTs without an `exp` claim, too.
    #[must_use]
    pub const fn without_expiry(mut self) -> Self {
        self.may_last_for_ever = true;
        self
    }

    /// Reads what a token says, if it is signed and its time has come. `unix`
    /// is the time since 1970. Signatures are compared in constant time.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, unix: Duration) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        // No JWT holds a colon.
        match token.contains(':') {
            true if self.kinds.plain => self.verify_plain(token),
            false if self.kinds.jwt => self.verify_jwt(token, unix),
            _ => Err(TokenError::Kind),
        }
    }

    fn verify_plain(&self, token: &str) -> Result<Claims, TokenError> {
        let user = self.with_each_key(|key| plain::verify(&key.mac, token))?;
        Ok(Claims {
            user,
            documents: Documents::All,
            access: Access::Write,
            expires: None,
        })
    }

    fn verify_jwt(&self, token: &str, unix: Duration) -> Result<Claims, TokenError> {
        let claims = self.with_each_key(|key| key.jwt.verify(token, unix))?;
        match claims.expires {
            None if !self.may_last_for_ever => Err(TokenError::NoExpiry),
            _ => Ok(claims),
        }
    }

    /// The first key under which the signature is right decides.
    fn with_each_key<T>(
        &self,
        verify: impl Fn(&TokenKey) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let mut tried = self.keys.iter().map(verify);
        let decided = tried.find(|tried| !matches!(tried, Err(TokenError::WrongSignature)));
        decided.unwrap_or(Err(TokenError::WrongSignature))
    }
}
