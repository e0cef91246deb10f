//! Tokens: some minted, some minted and then changed, some signed with claims
//! that nobody mints, and any text.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;
use ysyncd_engine::auth::{
    Access, Claims, DocumentPattern, Documents, Kinds, TOKEN_BYTES_MAX, TokenError, TokenKey,
    TokenVerifier, UserId,
};
use ysyncd_fuzz::cost::Bound;

/// Claims are read into texts and patterns; nothing that was seen went past the
/// fixed part.
const VERIFYING: Bound = Bound {
    peak_per_byte: 16,
    total_per_byte: 64,
    fixed: 16 << 10,
};

/// Today's, the one of before, and a stranger's.
const SECRETS: [&[u8]; 3] = [b"a secret", b"an older secret", b"a stranger's secret"];
const STRANGER: usize = 2;

#[derive(Debug, Arbitrary)]
struct Plan<'a> {
    plain: bool,
    jwt: bool,
    may_last_for_ever: bool,
    unix: u32,
    secret: u8,
    token: Token<'a>,
}

#[derive(Debug, Arbitrary)]
enum Token<'a> {
    Any(&'a str),
    Plain {
        user: &'a str,
        edits: Vec<Edit>,
    },
    Jwt {
        claims: Said<'a>,
        edits: Vec<Edit>,
    },
    Signed {
        header: Header<'a>,
        payload: &'a str,
    },
}

#[derive(Debug, Arbitrary)]
struct Said<'a> {
    user: &'a str,
    docs: Option<Vec<&'a str>>,
    reads_only: bool,
    expires: Option<u32>,
}

#[derive(Debug, Arbitrary)]
enum Header<'a> {
    Usual,
    None,
    Other(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Edit {
    Set(u16, u8),
    Insert(u16, u8),
    Remove(u16),
    Cut(u16),
}

fuzz_target!(|plan: Plan<'_>| {
    let secret = usize::from(plan.secret) % SECRETS.len();
    let keys = SECRETS.map(TokenKey::new);
    let kinds = Kinds {
        plain: plan.plain,
        jwt: plan.jwt,
    };
    let mut verifier = TokenVerifier::new(keys[0].clone())
        .and_previous(keys[1].clone())
        .only(kinds);
    if plan.may_last_for_ever {
        verifier = verifier.without_expiry();
    }
    let unix = Duration::from_secs(plan.unix.into());
    let verify = |token: &str| VERIFYING.keep(token.len(), || verifier.verify(token, unix));
    match &plan.token {
        Token::Any(token) => {
            if let Ok(claims) = verify(token) {
                // Whoever finds one without the secret has broken HMAC.
                let minted = |key: &TokenKey| *token == key.mint(&claims.user);
                assert!(
                    keys[..STRANGER].iter().any(minted),
                    "nobody has minted {token}"
                );
            }
        }
        Token::Plain { user, edits } => {
            let Ok(user) = UserId::new(user) else { return };
            let token = keys[secret].mint(&user);
            let expected = if !plan.plain {
                Err(TokenError::Kind)
            } else if secret == STRANGER {
                Err(TokenError::WrongSignature)
            } else {
                let (documents, access, expires) = (Documents::All, Access::Write, None);
                Ok(Claims {
                    user,
                    documents,
                    access,
                    expires,
                })
            };
            assert_eq!(verify(&token), expected);
            assert_refused_if_changed(&token, edits, verify);
        }
        Token::Jwt { claims, edits } => {
            let Some(claims) = claims.claims() else {
                return;
            };
            let token = keys[secret].mint_jwt(&claims);
            let expected = match claims.expires {
                _ if token.len() > TOKEN_BYTES_MAX => Err(TokenError::TooLong),
                _ if !plan.jwt => Err(TokenError::Kind),
                _ if secret == STRANGER => Err(TokenError::WrongSignature),
                None if !plan.may_last_for_ever => Err(TokenError::NoExpiry),
                Some(expires) if expires <= unix => Err(TokenError::Expired),
                _ => Ok(claims),
            };
            assert_eq!(verify(&token), expected);
            assert_refused_if_changed(&token, edits, verify);
        }
        Token::Signed { header, payload } => {
            let (header, is_usual) = match header {
                Header::Usual => (r#"{"alg":"HS256"}"#, true),
                Header::None => (r#"{"alg":"none"}"#, false),
                Header::Other(header) => (*header, header.contains("HS256")),
            };
            let Ok(claims) = verify(&signed(SECRETS[secret], header, payload)) else {
                return;
            };
            assert!(plan.jwt && secret != STRANGER && is_usual);
            assert!(claims.expires.is_none_or(|expires| expires > unix));
            assert_minted_again(&claims, &keys[0], unix);
        }
    }
});

/// A token that differs in one character from one that was minted is none.
fn assert_refused_if_changed(
    token: &str,
    edits: &[Edit],
    verify: impl Fn(&str) -> Result<Claims, TokenError>,
) {
    let mut bytes = token.as_bytes().to_vec();
    for edit in edits {
        let at = |at: u16| usize::from(at) % token.len();
        match *edit {
            Edit::Set(to, byte) if at(to) < bytes.len() => bytes[at(to)] = byte,
            Edit::Insert(to, byte) if at(to) <= bytes.len() => bytes.insert(at(to), byte),
            Edit::Remove(from) if at(from) < bytes.len() => _ = bytes.remove(at(from)),
            Edit::Cut(from) => bytes.truncate(at(from)),
            _ => {}
        }
    }
    if let Ok(changed) = std::str::from_utf8(&bytes)
        && changed != token
    {
        assert!(verify(changed).is_err(), "{changed} was made of {token}");
    }
}

/// Minting what a token says gives one that says it.
fn assert_minted_again(claims: &Claims, key: &TokenKey, unix: Duration) {
    let whole_seconds = |time: Duration| Duration::from_secs(time.as_secs());
    let claims = Claims {
        expires: claims.expires.map(whole_seconds),
        ..claims.clone()
    };
    // Beyond that JavaScript and JSON do not count in whole seconds.
    if claims
        .expires
        .is_some_and(|expires| expires <= unix || expires.as_secs() >= 1 << 53)
    {
        return;
    }
    let token = key.mint_jwt(&claims);
    if token.len() <= TOKEN_BYTES_MAX {
        let again = TokenVerifier::new(key.clone())
            .without_expiry()
            .verify(&token, unix);
        assert_eq!(again, Ok(claims));
    }
}

impl Said<'_> {
    fn claims(&self) -> Option<Claims> {
        let documents = match &self.docs {
            None => Documents::All,
            Some(docs) => {
                let patterns = docs.iter().map(|doc| DocumentPattern::parse(doc).ok());
                Documents::Only(patterns.collect::<Option<_>>()?)
            }
        };
        Some(Claims {
            user: UserId::new(self.user).ok()?,
            documents,
            access: if self.reads_only {
                Access::Read
            } else {
                Access::Write
            },
            expires: self
                .expires
                .map(|expires| Duration::from_secs(expires.into())),
        })
    }
}

fn signed(secret: &[u8], header: &str, payload: &str) -> String {
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let message = format!("{}.{}", encode(header), encode(payload));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    mac.update(message.as_bytes());
    let signature = BASE64URL_NOPAD.encode(&mac.finalize().into_bytes());
    format!("{message}.{signature}")
}
