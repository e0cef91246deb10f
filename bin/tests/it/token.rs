//! `ysyncd token`.

use std::{
    fs::File,
    process::Stdio,
    time::{SystemTime, UNIX_EPOCH},
};

use ysyncd_engine::{
    DocId,
    auth::{Access, Documents, Kinds, TokenKey, TokenVerifier},
};

use crate::process::{closed, output, ysyncd};

const SECRET: (&str, &str) = ("SYNC_SHARED_SECRET", "0123456789abcdef");

#[test]
fn a_token_and_nothing_else_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let secret = [SECRET];
    let minted = output(folder.path(), &["token", "alice"], &secret);
    assert!(minted.status.success());
    // printf %s alice | openssl dgst -sha256 -hmac secret -binary | basenc --base64url
    let expected = "alice:_b-LHKzT1XjgYtDkEQQ1fQaqY-yjn4C2_XyDr-3x1Eo\n";
    assert_eq!(String::from_utf8(minted.stdout).unwrap(), expected);
    assert!(
        !folder.path().join("data").exists(),
        "minting leaves no trace"
    );
}

#[test]
fn an_output_that_takes_nothing_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let secret = [SECRET];
    let mint = |stdout: Stdio| {
        let mut command = ysyncd(folder.path(), &["token", "alice"], &secret);
        let ended = command.stdout(stdout).output().unwrap();
        (
            ended.status.code(),
            String::from_utf8(ended.stderr).unwrap(),
        )
    };
    assert_eq!(mint(closed()), (Some(0), String::new()));
    let full = File::create("/dev/full").unwrap();
    let (code, told) = mint(full.into());
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("ysyncd: cannot write"), "{told}");
}

#[test]
fn what_is_no_user_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let secret = [SECRET];
    for user in ["a\nb", "", &"a".repeat(257)] {
        let ended = output(folder.path(), &["token", user], &secret);
        assert_eq!(ended.status.code(), Some(2), "{user}");
        assert!(ended.stdout.is_empty());
    }
}

#[test]
fn a_token_with_rights_is_a_jwt() {
    let folder = tempfile::tempdir().unwrap();
    let secret = [SECRET];
    let claims = |options: &[&str]| {
        let words: Vec<_> = ["token", "alice"].iter().chain(options).copied().collect();
        let minted = output(folder.path(), &words, &secret);
        assert!(minted.status.success(), "{minted:?}");
        let token = String::from_utf8(minted.stdout).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let verifier = TokenVerifier::new(TokenKey::new(SECRET.1.as_bytes()));
        let claims = verifier.verify(token.trim_end(), now).unwrap();
        let lasts = claims.expires.unwrap().saturating_sub(now).as_secs();
        (claims, lasts)
    };
    let (reader, hour) = claims(&["--read-only", "--doc", "team/*", "--doc", "notes"]);
    assert_eq!(reader.access, Access::Read);
    assert!((3_590..=3_600).contains(&hour), "{hour}");
    for (doc, may) in [("team/plan", true), ("notes", true), ("other", false)] {
        assert_eq!(reader.documents.include(&DocId::new(doc).unwrap()), may);
    }
    let (writer, week) = claims(&["--ttl", "7d"]);
    assert_eq!(writer.access, Access::Write);
    assert_eq!(writer.documents, Documents::All);
    assert!((604_790..=604_800).contains(&week), "{week}");
}

#[test]
fn only_what_is_accepted_is_minted() {
    let folder = tempfile::tempdir().unwrap();
    let environment = |auth| [SECRET, ("AUTH", auth)];
    let minted = output(folder.path(), &["token", "alice"], &environment("jwt"));
    let token = String::from_utf8(minted.stdout).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let verifier = TokenVerifier::new(TokenKey::new(SECRET.1.as_bytes())).only(Kinds {
        plain: false,
        jwt: true,
    });
    let claims = verifier.verify(token.trim_end(), now).unwrap();
    assert_eq!(claims.documents, Documents::All);
    assert_eq!(claims.access, Access::Write);

    let words = ["token", "alice", "--read-only"];
    let ended = output(folder.path(), &words, &environment("token"));
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.contains("AUTH is \"token\""), "{told}");
}

#[test]
fn rights_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let secret = [SECRET];
    for (options, says) in [
        (["--ttl", "soon"], "expected a time"),
        (["--ttl", "0"], "expected a time from 1s"),
        (["--doc", ""], "document id"),
        (["--doc", "a*b"], "expected * at the end only"),
        (["--doc", "a**"], "expected * at the end only"),
    ] {
        let words: Vec<_> = ["token", "alice"].iter().chain(&options).copied().collect();
        let ended = output(folder.path(), &words, &secret);
        assert_eq!(ended.status.code(), Some(2), "{options:?}");
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn without_a_secret_there_is_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let ended = output(
        folder.path(),
        &["token", "alice"],
        &[("SYNC_SHARED_SECRET", "")],
    );
    assert_eq!(ended.status.code(), Some(2));
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.contains("SYNC_SHARED_SECRET"), "{told}");
    assert!(!folder.path().join("data").exists());
}
