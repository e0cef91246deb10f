//! What is refused, and how it is told.

use crate::process::output;

const SECRET: (&str, &str) = ("SYNC_SHARED_SECRET", "0123456789abcdef");

#[test]
fn a_bad_value_is_told_in_one_line_that_names_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    for (variable, value, says) in [
        ("PORT", "abc", "PORT is \"abc\": expected a port number"),
        ("PORT", "65536", "PORT is \"65536\": expected a port number"),
        (
            "HOST",
            "no such host",
            "HOST is \"no such host\": expected an address",
        ),
        ("GC", "yes", "GC is \"yes\": expected true or false"),
        (
            "SHARDS",
            "0",
            "SHARDS is \"0\": expected a number from 1 to 256, or auto",
        ),
        ("DEMO", "yes", "DEMO is \"yes\": expected true or false"),
        ("AUTH", "basic", "AUTH is \"basic\": expected token, jwt"),
        ("AUTH", "token,", "AUTH is \"token,\": expected token, jwt"),
        (
            "JWT_EXP",
            "never",
            "JWT_EXP is \"never\": expected required or optional",
        ),
        (
            "ALLOWED_ORIGINS",
            "app.example.org",
            "ALLOWED_ORIGINS is \"app.example.org\": expected origins",
        ),
        (
            "SAVE_DEBOUNCE",
            "5 parsecs",
            "SAVE_DEBOUNCE is \"5 parsecs\": expected a time",
        ),
        (
            "SAVE_DEBOUNCE",
            "31",
            "SAVE_DEBOUNCE is 31s: expected no more than SAVE_MAX_WAIT",
        ),
        (
            "SAVE_MAX_WAIT",
            "-1",
            "SAVE_MAX_WAIT is \"-1\": expected a time",
        ),
        (
            "SHUTDOWN_TIMEOUT",
            "25h",
            "SHUTDOWN_TIMEOUT is \"25h\": expected a time up to 24h",
        ),
        (
            "FRAME_BYTES_MAX",
            "16 parsecs",
            "FRAME_BYTES_MAX is \"16 parsecs\": expected a size",
        ),
        (
            "UNSAVED_BYTES_MAX",
            "lots",
            "UNSAVED_BYTES_MAX is \"lots\": expected a size",
        ),
        (
            "UNSAVED_BYTES_TOTAL_MAX",
            "1",
            "UNSAVED_BYTES_TOTAL_MAX is \"1\": expected a size",
        ),
        (
            "DOCUMENTS_BYTES_MAX",
            "9TiB",
            "DOCUMENTS_BYTES_MAX is \"9TiB\": expected a size",
        ),
        (
            "IDLE_GRACE",
            "soon",
            "IDLE_GRACE is \"soon\": expected a time",
        ),
        (
            "CONNECTIONS_MAX",
            "many",
            "CONNECTIONS_MAX is \"many\": expected a number from 1, or off for no limit",
        ),
        (
            "CONNECTIONS_PER_USER_MAX",
            "-1",
            "CONNECTIONS_PER_USER_MAX is \"-1\": expected a number from 1, or off for no limit",
        ),
        (
            "TRUSTED_PROXIES",
            "caddy",
            "TRUSTED_PROXIES is \"caddy\": expected addresses or networks",
        ),
        (
            "INBOUND_BYTES_PER_SECOND",
            "fast",
            "INBOUND_BYTES_PER_SECOND is \"fast\": expected a size",
        ),
        (
            "INBOUND_MESSAGES_PER_SECOND",
            "fast",
            "INBOUND_MESSAGES_PER_SECOND is \"fast\": expected a number from 1, or off for no limit",
        ),
        (
            "CONNECTIONS_MAX",
            "0",
            "CONNECTIONS_MAX is \"0\": expected a number from 1, or off for no limit",
        ),
        (
            "INBOUND_BYTES_PER_SECOND",
            "0",
            "INBOUND_BYTES_PER_SECOND is \"0\": expected a size",
        ),
        (
            "INBOUND_MESSAGES_BURST",
            "off",
            "INBOUND_MESSAGES_BURST is \"off\": expected a number",
        ),
        (
            "TYPE_DEPTH_MAX",
            "1001",
            "TYPE_DEPTH_MAX is 1001: expected at most 1000",
        ),
        (
            "OUTBOX_BYTES_MAX",
            "513MiB",
            "OUTBOX_BYTES_MAX is more than ANSWERS_BYTES_MAX",
        ),
        (
            "INBOUND_USER_BYTES_PER_SECOND",
            "0",
            "INBOUND_USER_BYTES_PER_SECOND is \"0\": expected a size",
        ),
        (
            "INBOUND_USER_TIME_PER_SECOND",
            "0",
            "INBOUND_USER_TIME_PER_SECOND is \"0\": expected a time",
        ),
        (
            "INBOUND_USER_MESSAGES_PER_SECOND",
            "4999",
            "INBOUND_USER_MESSAGES_PER_SECOND is less than INBOUND_MESSAGES_PER_SECOND",
        ),
        (
            "TYPE_DEPTH_MAX",
            "0",
            "TYPE_DEPTH_MAX is \"0\": expected a number from 1",
        ),
        (
            "AWARENESS_IDS_MAX",
            "off",
            "AWARENESS_IDS_MAX is \"off\": expected a number from 1",
        ),
        (
            "STALL_MAX",
            "0",
            "STALL_MAX is \"0\": expected a time from 1s",
        ),
        (
            "PING_INTERVAL",
            "10ms",
            "PING_INTERVAL is \"10ms\": expected a time from 1s",
        ),
        (
            "HEADER_BYTES_MAX",
            "4KiB",
            "HEADER_BYTES_MAX is \"4KiB\": expected a size from 8KiB",
        ),
        ("JOURNAL", "yes", "JOURNAL is \"yes\": expected on or off"),
        (
            "JOURNAL_SYNC",
            "never",
            "JOURNAL_SYNC is \"never\": expected always or interval",
        ),
        (
            "LOG_FORMAT",
            "xml",
            "LOG_FORMAT is \"xml\": expected human or json",
        ),
        ("LOG", "verbose", "LOG is \"verbose\": expected a level"),
        ("RUST_LOG", "a=b", "RUST_LOG is \"a=b\": expected a level"),
        (
            "S3_BUCKET",
            "a/b",
            "S3_BUCKET is \"a/b\": expected the name of a bucket",
        ),
        (
            "S3_CONDITIONS",
            "maybe",
            "S3_CONDITIONS is \"maybe\": expected check or trust",
        ),
    ] {
        let ended = output(folder.path(), &[], &[SECRET, (variable, value)]);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{variable}={value}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.starts_with(&format!("ysyncd: {says}")), "{told}");
    }
}

#[test]
fn an_url_that_is_none_of_redis_is_told_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for bad in [
        "redis.example.org:6379",
        "http://:pa55word@redis.example.org",
        "redis://:pa55word@redis.example.org:none",
        "redis://",
    ] {
        let ended = output(folder.path(), &[], &[SECRET, ("REDIS_URL", bad)]);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{bad}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        let says = "ysyncd: REDIS_URL: expected a URL such as redis://";
        assert!(told.starts_with(says), "{told}");
        assert!(!told.contains("pa55word"), "{told}");
    }
    let environment = [
        SECRET,
        ("REDIS_URL", "redis://redis.example.org"),
        ("REDIS_PREFIX", "a:b"),
    ];
    let ended = output(folder.path(), &[], &environment);
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert!(told.contains("REDIS_PREFIX is \"a:b\": expected"), "{told}");
    assert!(!folder.path().join("data").exists(), "something was begun");
}

#[test]
fn what_means_nothing_without_another_variable_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for (variable, words, without) in [
        ("S3_PREFIX", &[][..], "S3_BUCKET"),
        ("S3_PREFIX", &["doc", "list"], "S3_BUCKET"),
        ("REDIS_PREFIX", &[], "REDIS_URL"),
        ("NODE_NAME", &[], "REDIS_URL"),
    ] {
        let ended = output(folder.path(), words, &[SECRET, (variable, "docs")]);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{variable}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        let says = format!("ysyncd: {variable} is \"docs\", but {without} is not set: set it");
        assert!(told.starts_with(&says), "{told}");
    }
    assert!(!folder.path().join("data").exists(), "something was begun");
}

#[test]
fn limits_that_do_not_fit_together_are_told_in_one_line_that_names_both() {
    let folder = tempfile::tempdir().unwrap();
    for (variable, value, says) in [
        (
            "FRAME_BYTES_MAX",
            "15MiB",
            "FRAME_BYTES_MAX is 15MiB: expected at least 15424KiB, which is DOCUMENT_BYTES_MAX",
        ),
        (
            "STATE_VECTOR_ENTRIES_MAX",
            "99999",
            "STATE_VECTOR_ENTRIES_MAX is less than DOCUMENT_CLIENTS_MAX: raise",
        ),
        (
            "DOCUMENTS_BYTES_MAX",
            "14MiB",
            "DOCUMENTS_BYTES_MAX is less than DOCUMENT_BYTES_MAX: raise",
        ),
        (
            "UNSAVED_BYTES_MAX",
            "1GiB",
            "UNSAVED_BYTES_MAX is more than UNSAVED_BYTES_TOTAL_MAX: lower",
        ),
        (
            "INBOUND_BYTES_BURST",
            "1MiB",
            "INBOUND_BYTES_BURST is 1MiB: expected at least 16MiB, which is FRAME_BYTES_MAX",
        ),
        (
            "UNFINISHED_BYTES_MAX",
            "63MiB",
            "UNFINISHED_BYTES_PER_USER_MAX is more than UNFINISHED_BYTES_MAX: lower",
        ),
        (
            "SILENCE_MAX",
            "30s",
            "SILENCE_MAX is not more than PING_INTERVAL: raise",
        ),
    ] {
        let ended = output(folder.path(), &[], &[SECRET, (variable, value)]);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{variable}={value}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.starts_with(&format!("ysyncd: {says}")), "{told}");
    }
    assert!(!folder.path().join("data").exists(), "something was begun");
}

#[test]
fn others_are_not_let_in_with_a_secret_that_nobody_chose() {
    let folder = tempfile::tempdir().unwrap();
    for host in ["0.0.0.0", "::"] {
        let ended = output(folder.path(), &[], &[("HOST", host), ("PORT", "0")]);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("SYNC_SHARED_SECRET"), "{told}");
    }
    assert!(!folder.path().join("data").exists(), "a secret was made");
}

#[test]
fn an_endpoint_that_is_no_url_is_told_before_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = ("AWS_ENDPOINT_URL_S3", "nonsense");
    let environment = [SECRET, ("S3_BUCKET", "bucket"), endpoint];
    let ended = output(folder.path(), &[], &environment);
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert!(
        told.contains("AWS_ENDPOINT_URL_S3 is \"nonsense\""),
        "{told}"
    );
}

#[test]
fn a_secret_that_can_be_guessed_is_refused_wherever_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let guessable = "0123456789abcde";
    let short = ("SYNC_SHARED_SECRET", guessable);
    let previous = ("SYNC_SHARED_SECRET_PREVIOUS", guessable);
    for (words, environment) in [
        (&["--port", "0"][..], [short, ("HOST", "127.0.0.1")]),
        (&["--port", "0"], [short, ("HOST", "0.0.0.0")]),
        (&["--port", "0"], [SECRET, previous]),
        (&["token", "alice"], [short, ("HOST", "127.0.0.1")]),
    ] {
        let ended = output(folder.path(), words, &environment);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("at least 16 bytes"), "{told}");
        assert!(
            !told.contains(guessable) && ended.stdout.is_empty(),
            "{told}"
        );
    }
    assert!(!folder.path().join("data").exists(), "something was begun");
}

#[test]
fn a_folder_that_cannot_be_used_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for environment in [&[("DATA_DIR", "file")][..], &[("DATA_DIR", "file"), SECRET]] {
        let ended = output(folder.path(), &["--port", "0"], environment);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("file"), "{told}");
        assert!(told.contains("; set DATA_DIR to a folder"), "{told}");
    }
}

#[test]
fn help_explains_every_variable_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let shown = output(folder.path(), &["--help"], &[SECRET]);
    assert!(shown.status.success());
    let help = String::from_utf8(shown.stdout).unwrap();
    for variable in [
        "SYNC_SHARED_SECRET",
        "PORT",
        "HOST",
        "S3_BUCKET",
        "S3_PREFIX",
        "S3_CONDITIONS",
        "AWS_REGION",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ACCESS_KEY_ID",
        "DATA_DIR",
        "REDIS_URL",
        "REDIS_PREFIX",
        "NODE_NAME",
        "LOG_FORMAT",
        "LOG",
        "RUST_LOG",
        "SHUTDOWN_TIMEOUT",
        "GC",
        "SAVE_DEBOUNCE",
        "SAVE_MAX_WAIT",
        "FRAME_BYTES_MAX",
        "UNSAVED_BYTES_MAX",
        "UNSAVED_BYTES_TOTAL_MAX",
        "DOCUMENTS_BYTES_MAX",
        "IDLE_GRACE",
        "CONNECTIONS_MAX",
        "CONNECTIONS_PER_DOCUMENT_MAX",
        "CONNECTIONS_PER_USER_MAX",
        "CONNECTIONS_PER_ADDRESS_MAX",
        "TRUSTED_PROXIES",
        "INBOUND_BYTES_PER_SECOND",
        "INBOUND_BYTES_BURST",
        "INBOUND_MESSAGES_PER_SECOND",
        "INBOUND_MESSAGES_BURST",
        "INBOUND_USER_BYTES_PER_SECOND",
        "INBOUND_USER_BYTES_BURST",
        "INBOUND_USER_MESSAGES_PER_SECOND",
        "INBOUND_USER_MESSAGES_BURST",
        "INBOUND_USER_TIME_PER_SECOND",
        "INBOUND_USER_TIME_BURST",
        "OUTBOX_BYTES_MAX",
        "KNOWN_BYTES_MAX",
        "STALL_MAX",
        "DOCUMENT_BYTES_MAX",
        "DOCUMENT_CLIENTS_MAX",
        "STATE_VECTOR_ENTRIES_MAX",
        "TYPE_DEPTH_MAX",
        "GAP_RUNS_MAX",
        "PENDING_DELETE_RANGES_MAX",
        "STAGED_BYTES_MAX",
        "WAITING_OPENS_MAX",
        "STORE_OPERATIONS_MAX",
        "PUSHES_MAX",
        "AWARENESS_IDS_MAX",
        "AWARENESS_STATE_BYTES_MAX",
        "AWARENESS_BYTES_PER_USER_MAX",
        "AWARENESS_BYTES_PER_SECOND",
        "AWARENESS_GONE_MAX",
        "HANDSHAKES_MAX",
        "HANDSHAKES_PER_ADDRESS_MAX",
        "HEADER_TIMEOUT",
        "RESPONSE_TIMEOUT",
        "HEADER_BYTES_MAX",
        "PING_INTERVAL",
        "SILENCE_MAX",
        "CLOSE_TIMEOUT",
        "SLOWED_MAX",
        "UNFINISHED_BYTES_MAX",
        "UNFINISHED_BYTES_PER_USER_MAX",
        "MESSAGE_TIMEOUT",
        "JOURNAL",
        "JOURNAL_SYNC",
    ] {
        assert!(help.contains(variable), "{variable}");
    }
    assert!(!help.contains(SECRET.1), "{help}");
    let url = ("REDIS_URL", "redis://:pa55word@redis.example.org");
    let shown = output(folder.path(), &["--help"], &[url]);
    let help = String::from_utf8(shown.stdout).unwrap();
    assert!(!help.contains("pa55word"), "{help}");
}
