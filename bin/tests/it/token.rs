//! `ysyncd token`.

use crate::process::output;

#[test]
fn a_token_and_nothing_else_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let secret = [("SYNC_SHARED_SECRET", "secret")];
    let minted = output(folder.path(), &["token", "alice"], &secret);
    assert!(minted.status.success());
    // printf %s alice | openssl dgst -sha256 -hmac secret -binary | basenc --base64url
    let expected = "alice:Q2DGe8gQJRFARFeNfE6ODwL9DK6Z8i1gM5Do-dyYiPg\n";
    assert_eq!(String::from_utf8(minted.stdout).unwrap(), expected);
    assert!(
        !folder.path().join("data").exists(),
        "minting leaves no trace"
    );
}

#[test]
fn what_is_no_user_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let secret = [("SYNC_SHARED_SECRET", "secret")];
    for user in ["a:b", ""] {
        let ended = output(folder.path(), &["token", user], &secret);
        assert_eq!(ended.status.code(), Some(2), "{user}");
        assert!(ended.stdout.is_empty());
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
