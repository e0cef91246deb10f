//! What the probe makes of stores that keep their word and of others.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_s3::config::Credentials;
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use ysyncd_engine::{Condition, StoreError};
use ysyncd_storage::{
    SnapshotStore,
    probed::{Honoured, Ignored, Probe, ProbeError, Probed},
    s3::S3Store,
};

use crate::{
    conformance::doc,
    s3::{MOTO, SEAWEED, Server, config_for, unique_prefix},
};

#[tokio::test]
async fn real_stores_honour_conditions() {
    for (name, long_names) in [(SEAWEED, false), (MOTO, true)] {
        let Some(server) = Server::named(name) else {
            continue;
        };
        let prefix = unique_prefix();
        let store = S3Store::new(server.config(), &server.bucket, &prefix);
        // The first time the probe object is made, the second time it is there.
        for _ in 0..2 {
            assert_eq!(store.probe().await, Ok(Honoured { long_names }), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_probe_at_once_do_not_disturb_each_other() {
    let Some(server) = Server::named(SEAWEED) else {
        return;
    };
    let prefix = unique_prefix();
    let probes: Vec<_> = (0..8)
        .map(|_| {
            let store = S3Store::new(server.config(), &server.bucket, &prefix);
            tokio::spawn(async move { store.probe().await })
        })
        .collect();
    for probe in probes {
        probe.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_document_that_a_real_store_would_not_keep_is_never_served() {
    let Some(server) = Server::named(SEAWEED) else {
        return;
    };
    let store = S3Store::new(server.config(), &server.bucket, &unique_prefix());
    let id = doc(&"a".repeat(252));
    // The store's own word for it, which would be taken for a new document.
    assert_eq!(store.load(&id).await, Ok(None));
    let loaded = Probed::new(store).load(&id).await;
    assert!(matches!(loaded, Err(StoreError::Denied(_))), "{loaded:?}");
}

#[tokio::test]
async fn a_missing_bucket_and_a_wrong_secret_are_denied() {
    for name in [SEAWEED, MOTO] {
        let Some(server) = Server::named(name) else {
            continue;
        };
        let store = S3Store::new(server.config(), "ysyncd-no-such-bucket", "");
        let found = store.probe().await;
        assert!(matches!(found, Err(ProbeError::Denied(_))), "{found:?}");
    }
    // Moto lets everybody in.
    let Some(server) = Server::named(SEAWEED) else {
        return;
    };
    let wrong = Credentials::new("ysyncd-test", "wrong", None, None, "test");
    let config = server.config().credentials_provider(wrong);
    let found = S3Store::new(config, &server.bucket, "").probe().await;
    assert!(matches!(found, Err(ProbeError::Denied(_))), "{found:?}");
}

#[tokio::test]
async fn a_store_that_ignores_a_condition_is_found_out() {
    for (flaw, ignored) in [
        (Flaw::IgnoresAbsent, Ignored::Absent),
        (Flaw::IgnoresEtags, Ignored::OtherEtag),
        (Flaw::RefusesOwnEtag, Ignored::OwnEtag),
    ] {
        let server = FakeS3::start(flaw).await;
        let found = server.store().probe().await;
        assert_eq!(found, Err(ProbeError::IgnoresConditions(ignored)));
        let probed = Probed::new(server.store());
        let body = Bytes::from_static(b"body");
        let saved = probed.save(&doc("a"), body, Condition::Absent).await;
        assert!(matches!(saved, Err(StoreError::Denied(_))), "{saved:?}");
    }
}

#[tokio::test]
async fn a_store_without_flaws_passes_whatever_it_says_of_long_names() {
    for (flaw, long_names) in [
        (Flaw::None, true),
        (Flaw::FailsAtLongNames(400), false),
        (Flaw::FailsAtLongNames(500), false),
        (Flaw::ForgetsLongNames, false),
    ] {
        let server = FakeS3::start(flaw).await;
        let found = server.store().probe().await;
        assert_eq!(found, Ok(Honoured { long_names }), "{flaw:?}");
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_no_verdict() {
    let silent = FakeS3::start(Flaw::Silent).await;
    let store = silent.store().with_timeout(Duration::from_millis(200));
    let found = store.probe().await;
    assert!(
        matches!(found, Err(ProbeError::Unreachable(_))),
        "{found:?}"
    );
    let gone = FakeS3::start(Flaw::None).await;
    let store = gone.store();
    gone.stop().await;
    let found = store.probe().await;
    assert!(
        matches!(found, Err(ProbeError::Unreachable(_))),
        "{found:?}"
    );
    let failing = FakeS3::start(Flaw::Fails(503)).await;
    let found = failing.store().probe().await;
    assert!(
        matches!(found, Err(ProbeError::Unreachable(_))),
        "{found:?}"
    );
    let denying = FakeS3::start(Flaw::Fails(403)).await;
    let found = denying.store().probe().await;
    assert!(matches!(found, Err(ProbeError::Denied(_))), "{found:?}");
}

/// What is wrong with a [`FakeS3`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    IgnoresAbsent,
    IgnoresEtags,
    RefusesOwnEtag,
    FailsAtLongNames(u16),
    ForgetsLongNames,
    Silent,
    Fails(u16),
}

/// Just enough of S3 for a probe: single objects, conditions, one request per
/// connection.
struct FakeS3 {
    endpoint: String,
    task: JoinHandle<()>,
}

impl FakeS3 {
    async fn start(flaw: Flaw) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let mut objects = BTreeMap::new();
            let mut silent = Vec::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let mut socket = BufReader::new(socket);
                if flaw == Flaw::Silent {
                    silent.push(socket);
                    continue;
                }
                let (head, body) = read_request(&mut socket).await;
                let answer = answer(&mut objects, flaw, &head, body);
                socket.write_all(&answer).await.unwrap();
            }
        });
        Self { endpoint, task }
    }

    fn store(&self) -> S3Store {
        S3Store::new(config_for(&self.endpoint), "bucket", "prefix")
    }

    async fn stop(self) {
        self.task.abort();
        self.task.await.unwrap_err();
    }
}

/// Objects with the numbers of their versions, by path.
type Objects = BTreeMap<String, (usize, Vec<u8>)>;

fn answer(objects: &mut Objects, flaw: Flaw, head: &str, body: Vec<u8>) -> Vec<u8> {
    let (method, rest) = head.split_once(' ').unwrap();
    let path = rest.split(['?', ' ']).next().unwrap().to_owned();
    let stored = objects.get(&path).cloned();
    if let Flaw::Fails(status) = flaw {
        return error(status, "Some");
    }
    if method == "GET" {
        return match stored {
            Some((version, body)) => whole(&format!("200 OK\r\netag: \"{version}\""), &body),
            None => error(404, "NoSuchKey"),
        };
    }
    let is_long = path.len() > 255;
    let condition = |name: &str| {
        let value = head.split(&format!("\r\n{name}: ")).nth(1)?;
        value.split("\r\n").next().map(str::to_owned)
    };
    let version = stored.as_ref().map_or(0, |(version, _)| *version);
    let must_be_absent = condition("if-none-match").is_some() && flaw != Flaw::IgnoresAbsent;
    let other_etag = condition("if-match").is_some_and(|etag| {
        flaw == Flaw::RefusesOwnEtag
            || flaw != Flaw::IgnoresEtags && etag != format!("\"{version}\"")
    });
    match flaw {
        Flaw::FailsAtLongNames(status) if is_long => error(status, "KeyTooLongError"),
        _ if must_be_absent && stored.is_some() || other_etag => error(412, "PreconditionFailed"),
        _ => {
            if !(is_long && flaw == Flaw::ForgetsLongNames) {
                objects.insert(path, (version + 1, body));
            }
            whole(&format!("200 OK\r\netag: \"{}\"", version + 1), b"")
        }
    }
}

fn error(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>told by the test</Message></Error>");
    whole(&format!("{status} Some"), body.as_bytes())
}

fn whole(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut answer =
        format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")
            .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// Reads a whole request, head and body.
async fn read_request(socket: &mut BufReader<tokio::net::TcpStream>) -> (String, Vec<u8>) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(socket.read_u8().await.unwrap()));
    }
    let length = head.split("\r\ncontent-length: ").nth(1);
    let length = length.map_or("0", |rest| rest.split("\r\n").next().unwrap());
    let mut body = vec![0; length.parse().unwrap()];
    socket.read_exact(&mut body).await.unwrap();
    (head, body)
}
