use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};

use super::*;

const SECRET: &[u8] = b"secret";
const NOW: Duration = Duration::from_secs(1_800_000_000);

fn key() -> TokenKey {
    TokenKey::new(SECRET)
}

fn verifier() -> TokenVerifier {
    TokenVerifier::new(key())
}

fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

/// A JWT as text, signed by hand.
fn forge(header: &str, claims: &str, secret: &[u8]) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let message = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message.as_bytes());
    let signature = BASE64URL_NOPAD.encode(&mac.finalize().into_bytes());
    format!("{message}.{signature}")
}

fn verify_claims(claims: &str) -> Result<Claims, TokenError> {
    verifier().verify(&forge(r#"{"alg":"HS256"}"#, claims, SECRET), NOW)
}

#[test]
fn a_minted_token_names_its_user() {
    for name in [
        "alice",
        "bob+tag@example.org",
        "ä ö/ü?&=#",
        "名前",
        " ",
        "urn:user:7",
    ] {
        let user = UserId::new(name).unwrap();
        let claims = verifier().verify(&key().mint(&user), NOW).unwrap();
        assert_eq!(claims.user, user);
        assert_eq!(claims.documents, Documents::All);
        assert_eq!((claims.access, claims.expires), (Access::Write, None));
    }
}

#[test]
fn the_signature_is_hmac_sha256_in_base64url_or_hex() {
    // printf %s alice | openssl dgst -sha256 -hmac secret
    let hex = "4360c67bc81025114044578d7c4e8e0f02fd0cae99f22d603390e8f9dc9888f8";
    let token = key().mint(&alice());
    assert_eq!(token, "alice:Q2DGe8gQJRFARFeNfE6ODwL9DK6Z8i1gM5Do-dyYiPg");
    for hex in [hex.to_owned(), hex.to_uppercase()] {
        assert!(verifier().verify(&format!("alice:{hex}"), NOW).is_ok());
    }
}

#[test]
fn what_was_not_signed_with_the_key_is_refused() {
    let token = key().mint(&alice());
    let signature = token.split_once(':').unwrap().1;
    let verify = |token: &str| verifier().verify(token, NOW).map(drop);
    assert_eq!(
        verify(&format!("bob:{signature}")),
        Err(TokenError::WrongSignature)
    );
    let other = TokenVerifier::new(TokenKey::new(b"other"));
    assert_eq!(other.verify(&token, NOW), Err(TokenError::WrongSignature));
    for malformed in [
        "",
        ":",
        "alice",
        "alice:",
        "alice:!",
        "a.b",
        "a.b.c",
        &format!(":{signature}"),
        &format!("a\nb:{signature}"),
    ] {
        assert_eq!(verify(malformed), Err(TokenError::Malformed), "{malformed}");
    }
}

#[test]
fn a_jwt_of_another_maker_is_understood() {
    // openssl dgst -sha256 -hmac secret, of the two parts before.
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
        eyJzdWIiOiJhbGljZSIsImV4cCI6MjAwMDAwMDAwMCwiZG9jcyI6WyJ0ZWFtLyoiLCJub3RlcyJdLCJhY2Nlc3MiOiJyZWFkIn0.\
        StcpgrnU3JIJrxezYBaX6B6mFJdbrz_Qe4PG_s8DiD8";
    let claims = verifier().verify(token, NOW).unwrap();
    assert_eq!(claims.user, alice());
    assert_eq!(claims.access, Access::Read);
    assert_eq!(claims.expires, Some(Duration::from_secs(2_000_000_000)));
    let includes = |doc: &str| claims.documents.include(&DocId::new(doc).unwrap());
    assert!(includes("team/plan") && includes("notes") && !includes("notes/2"));
}

#[test]
fn a_minted_jwt_says_what_it_was_made_of() {
    let patterns = ["team/*", "notes"].map(|text| DocumentPattern::parse(text).unwrap());
    for documents in [
        Documents::All,
        Documents::Only(Vec::new()),
        Documents::Only(patterns.into()),
    ] {
        for access in [Access::Read, Access::Write] {
            let claims = Claims {
                user: UserId::new("auth0|alice:7").unwrap(),
                documents: documents.clone(),
                access,
                expires: Some(NOW + Duration::from_secs(60)),
            };
            assert_eq!(verifier().verify(&key().mint_jwt(&claims), NOW), Ok(claims));
        }
    }
}

#[test]
fn the_algorithm_is_not_the_senders_to_choose() {
    let claims = r#"{"sub":"alice","exp":2000000000}"#;
    let verify = |token: &str| verifier().verify(token, NOW).map(drop);
    for algorithm in ["HS384", "HS512", "RS256", "ES256", "EdDSA"] {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        let token = forge(&header, claims, SECRET);
        assert_eq!(verify(&token), Err(TokenError::Algorithm), "{algorithm}");
    }
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":["HS256"]}"#,
        "{}",
        "[]",
        "",
    ] {
        let token = forge(header, claims, SECRET);
        assert!(verify(&token).is_err(), "{header}");
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert!(verify(&format!("{unsigned}.")).is_err(), "{header}");
    }
    // Properly signed, in a way that is not accepted.
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let message = format!("{}.{}", part(r#"{"alg":"HS512"}"#), part(claims));
    let mut mac = Hmac::<Sha512>::new_from_slice(SECRET).unwrap();
    mac.update(message.as_bytes());
    let signature = BASE64URL_NOPAD.encode(&mac.finalize().into_bytes());
    assert_eq!(
        verify(&format!("{message}.{signature}")),
        Err(TokenError::Algorithm)
    );
}

#[test]
fn a_jwt_is_changed_by_nobody() {
    let token = forge(
        r#"{"alg":"HS256"}"#,
        r#"{"sub":"alice","exp":2000000000}"#,
        SECRET,
    );
    assert!(verifier().verify(&token, NOW).is_ok());
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verifier().verify(&changed, NOW).is_err(), "byte {at}");
        assert!(verifier().verify(&token[..at], NOW).is_err());
    }
}

#[test]
fn a_jwt_is_no_plain_token_though_it_is_signed_as_one() {
    // For one document and to read only; over at that.
    let claims = r#"{"sub":"a","docs":["d"],"access":"read","exp":1}"#;
    let jwt = forge(r#"{"alg":"HS256"}"#, claims, SECRET);
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    assert!(signed.len() <= UserId::BYTES_MAX);
    assert_eq!(UserId::new(signed), Err(UserIdError::Jwt));
    let plain = format!("{signed}:{signature}");
    assert_eq!(verifier().verify(&plain, NOW), Err(TokenError::Malformed));
}

#[test]
fn a_jwt_counts_from_nbf_to_exp() {
    let at = |offset: i64| 1_800_000_000 + offset;
    let until = |exp: i64| verify_claims(&format!(r#"{{"sub":"alice","exp":{exp}}}"#)).map(drop);
    assert_eq!(until(at(1)), Ok(()));
    assert_eq!(until(at(0)), Err(TokenError::Expired));
    assert_eq!(until(at(-1)), Err(TokenError::Expired));
    assert_eq!(until(-5), Err(TokenError::Claims));
    let from = |nbf: i64| {
        let claims = format!(r#"{{"sub":"alice","exp":2000000000,"nbf":{nbf}}}"#);
        verify_claims(&claims).map(drop)
    };
    assert_eq!(from(at(-1)), Ok(()));
    assert_eq!(from(at(5)), Ok(()), "clocks may be a little apart");
    assert_eq!(from(at(6)), Err(TokenError::NotYet));
    let fraction = verify_claims(r#"{"sub":"alice","exp":1800000000.5}"#).unwrap();
    assert_eq!(fraction.expires, Some(NOW + Duration::from_millis(500)));
}

#[test]
fn a_jwt_without_an_end_is_refused_unless_allowed() {
    let token = forge(r#"{"alg":"HS256"}"#, r#"{"sub":"alice"}"#, SECRET);
    assert_eq!(verifier().verify(&token, NOW), Err(TokenError::NoExpiry));
    let lenient = verifier().without_expiry();
    assert_eq!(lenient.verify(&token, NOW).unwrap().expires, None);
}

#[test]
fn claims_that_make_no_sense_are_refused() {
    for (claims, error) in [
        (r#"{"exp":2000000000}"#, TokenError::NoUser),
        (r#"{"exp":2000000000,"sub":""}"#, TokenError::NoUser),
        (r#"{"exp":2000000000,"sub":"a\nb"}"#, TokenError::NoUser),
        (r#"{"exp":2000000000,"sub":7}"#, TokenError::Claims),
        (r#"{"exp":"soon","sub":"alice"}"#, TokenError::Claims),
        (r#"{"exp":1e400,"sub":"alice"}"#, TokenError::Claims),
        (r#"{"exp":1e300,"sub":"alice"}"#, TokenError::Claims),
        (
            r#"{"exp":1,"exp":2000000000,"sub":"alice"}"#,
            TokenError::Claims,
        ),
        (
            r#"{"exp":2000000000,"sub":"alice","docs":"a"}"#,
            TokenError::Claims,
        ),
        (
            r#"{"exp":2000000000,"sub":"alice","docs":[""]}"#,
            TokenError::Claims,
        ),
        (
            r#"{"exp":2000000000,"sub":"alice","docs":[1]}"#,
            TokenError::Claims,
        ),
        (
            r#"{"exp":2000000000,"sub":"alice","access":"admin"}"#,
            TokenError::Claims,
        ),
        ("[]", TokenError::Claims),
        ("", TokenError::Claims),
        ("null", TokenError::Claims),
    ] {
        assert_eq!(verify_claims(claims), Err(error), "{claims}");
    }
    let others = r#"{"exp":2000000000,"sub":"alice","iss":"x","aud":["y"],"deep":{"a":[1]}}"#;
    assert_eq!(verify_claims(others).unwrap().access, Access::Write);
    let critical = forge(
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"exp":2000000000,"sub":"alice"}"#,
        SECRET,
    );
    assert_eq!(verifier().verify(&critical, NOW), Err(TokenError::Claims));
}

#[test]
fn a_claim_that_is_null_is_not_taken_for_absent() {
    let lenient = verifier().without_expiry();
    for claims in [
        r#"{"sub":"alice","exp":2000000000,"docs":null}"#,
        r#"{"sub":"alice","exp":2000000000,"access":null}"#,
        r#"{"sub":"alice","exp":2000000000,"nbf":null}"#,
        r#"{"sub":"alice","exp":null}"#,
        r#"{"sub":null,"exp":2000000000}"#,
    ] {
        let token = forge(r#"{"alg":"HS256"}"#, claims, SECRET);
        let verified = lenient.clone().verify(&token, NOW);
        assert_eq!(verified, Err(TokenError::Claims), "{claims}");
    }
}

#[test]
fn a_huge_token_is_not_looked_at() {
    let claims = format!(
        r#"{{"exp":2000000000,"sub":"alice","x":"{}"}}"#,
        "x".repeat(TOKEN_BYTES_MAX)
    );
    assert_eq!(verify_claims(&claims), Err(TokenError::TooLong));
    let long = ".".repeat(TOKEN_BYTES_MAX);
    assert_eq!(verifier().verify(&long, NOW), Err(TokenError::Malformed));
}

#[test]
fn only_kinds_that_are_wanted_are_accepted() {
    let (plain, jwt) = (
        key().mint(&alice()),
        forge(
            r#"{"alg":"HS256"}"#,
            r#"{"sub":"alice","exp":2000000000}"#,
            SECRET,
        ),
    );
    for (kinds, takes_plain, takes_jwt) in [
        ((true, true), true, true),
        ((true, false), true, false),
        ((false, true), false, true),
    ] {
        let (plain_kind, jwt_kind) = kinds;
        let verifier = verifier().only(Kinds {
            plain: plain_kind,
            jwt: jwt_kind,
        });
        assert_eq!(verifier.verify(&plain, NOW).is_ok(), takes_plain);
        assert_eq!(verifier.verify(&jwt, NOW).is_ok(), takes_jwt);
    }
}

#[test]
fn tokens_of_the_previous_secret_are_good_while_it_is_named() {
    let old = TokenKey::new(b"the secret of last year");
    let both = verifier().and_previous(old.clone());
    let claims = Claims {
        user: alice(),
        documents: Documents::All,
        access: Access::Write,
        expires: Some(NOW + Duration::from_secs(1)),
    };
    for token in [old.mint(&alice()), old.mint_jwt(&claims)] {
        assert_eq!(
            verifier().verify(&token, NOW),
            Err(TokenError::WrongSignature)
        );
        assert!(both.verify(&token, NOW).is_ok());
    }
    assert!(both.verify(&key().mint(&alice()), NOW).is_ok());
    let over = old.mint_jwt(&Claims {
        expires: Some(NOW),
        ..claims
    });
    assert_eq!(both.verify(&over, NOW), Err(TokenError::Expired));
}

#[test]
fn claims_become_a_grant_for_a_document_of_theirs() {
    let claims = Claims {
        user: alice(),
        documents: Documents::Only(vec![DocumentPattern::parse("team/*").unwrap()]),
        access: Access::Read,
        expires: Some(NOW + Duration::from_secs(90)),
    };
    let now = Moment {
        mono: Duration::from_secs(10),
        unix: NOW,
    };
    let grant = claims
        .grant(&DocId::new("team/plan").unwrap(), now)
        .unwrap();
    assert_eq!(grant.until, Some(Duration::from_secs(100)));
    assert_eq!(grant.access, Access::Read);
    let other = DocId::new("teams").unwrap();
    assert_eq!(claims.grant(&other, now), Err(Forbidden));
}

#[test]
fn no_time_is_too_far_off() {
    // An application may write any number, and a clock may be wrong.
    for exp in ["1e19", "18446744073709549568", "9007199254740991"] {
        let claims = verify_claims(&format!(r#"{{"sub":"alice","exp":{exp}}}"#)).unwrap();
        let now = Moment {
            mono: Duration::from_secs(86_400 * 365),
            unix: NOW,
        };
        let grant = claims.grant(&DocId::new("a").unwrap(), now).unwrap();
        assert_eq!(grant.until, None, "no process lives as long as {exp}");
    }
    let claims = r#"{"sub":"alice","exp":2000000000,"nbf":1}"#;
    let token = forge(r#"{"alg":"HS256"}"#, claims, SECRET);
    let verify = |unix| verifier().verify(&token, unix).map(drop);
    assert_eq!(verify(Duration::MAX), Err(TokenError::Expired));
    assert_eq!(verify(Duration::ZERO), Ok(()));
}

#[test]
fn nothing_that_is_printed_tells_a_secret() {
    let told = format!("{:?} {:?}", key(), verifier().and_previous(key()));
    assert!(
        !told.contains("secret") && !told.contains("115, 101"),
        "{told}"
    );
}
