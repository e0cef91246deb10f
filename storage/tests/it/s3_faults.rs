//! What each failure of S3 is taken for, shown by a server that answers every
//! request with the same bytes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};
use ysyncd_engine::{Condition, Etag, Snapshot, StoreError};
use ysyncd_storage::{SnapshotStore, s3::S3Store};

use crate::{conformance::doc, s3::config_for};

/// How a [`StoreError`] is named in the tables below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Conflict,
    Unknown,
    Unavailable,
    Denied,
}

#[tokio::test]
async fn a_refused_save_is_told_apart_from_one_that_may_have_happened() {
    use Is::{Conflict, Denied, Unavailable, Unknown};
    for (status, code, create, replace) in [
        (400, "InvalidRequest", Denied, Denied),
        (400, "RequestTimeout", Unavailable, Unavailable),
        (400, "ExpiredToken", Unavailable, Unavailable),
        (403, "AccessDenied", Denied, Denied),
        (403, "SignatureDoesNotMatch", Denied, Denied),
        (404, "NoSuchBucket", Denied, Denied),
        (404, "NoSuchKey", Denied, Conflict),
        (404, "", Denied, Conflict),
        (405, "MethodNotAllowed", Denied, Denied),
        (409, "ConditionalRequestConflict", Conflict, Conflict),
        (409, "OperationAborted", Unavailable, Unavailable),
        (412, "PreconditionFailed", Conflict, Conflict),
        (412, "", Conflict, Conflict),
        (413, "", Denied, Denied),
        (301, "PermanentRedirect", Denied, Denied),
        (307, "TemporaryRedirect", Unavailable, Unavailable),
        (429, "", Unavailable, Unavailable),
        (500, "InternalError", Unknown, Unknown),
        (501, "NotImplemented", Denied, Denied),
        (502, "", Unknown, Unknown),
        (503, "SlowDown", Unavailable, Unavailable),
        (503, "ServiceUnavailable", Unavailable, Unavailable),
        (503, "", Unknown, Unknown),
        (504, "", Unknown, Unknown),
    ] {
        let server = Server::answering(error_answer(status, code)).await;
        let created = save(&server.store(), Condition::Absent).await;
        assert_eq!(kind(&created), create, "{status} {code}: {created:?}");
        let replaced = save(&server.store(), matches("\"1\"")).await;
        assert_eq!(kind(&replaced), replace, "{status} {code}: {replaced:?}");
        assert_eq!(server.requests().await.len(), 2, "{status} {code}");
    }
}

#[tokio::test]
async fn only_s3s_own_word_for_a_missing_object_is_absence() {
    let server = Server::answering(error_answer(404, "NoSuchKey")).await;
    assert_eq!(server.store().load(&doc("a")).await, Ok(None));
    use Is::{Denied, Unavailable};
    for (status, code, expected) in [
        (404, "", Unavailable),
        (404, "NotFound", Unavailable),
        (404, "NoSuchBucket", Denied),
        (400, "InvalidRequest", Denied),
        (400, "ExpiredToken", Unavailable),
        (403, "AccessDenied", Denied),
        (301, "PermanentRedirect", Denied),
        (429, "", Unavailable),
        (500, "InternalError", Unavailable),
        (502, "", Unavailable),
        (503, "SlowDown", Unavailable),
        (503, "", Unavailable),
    ] {
        let server = Server::answering(error_answer(status, code)).await;
        let loaded = server.store().load(&doc("a")).await;
        assert_eq!(kind(&loaded), expected, "{status} {code}: {loaded:?}");
        assert_eq!(server.requests().await.len(), 1, "{status} {code}");
    }
}

#[tokio::test]
async fn a_denial_says_which_rights_are_needed() {
    let server = Server::answering(error_answer(403, "AccessDenied")).await;
    let loaded = server.store().load(&doc("a")).await.unwrap_err();
    assert!(loaded.to_string().contains("s3:ListBucket"), "{loaded}");
    let saved = save(&server.store(), Condition::Absent).await.unwrap_err();
    assert!(saved.to_string().contains("s3:PutObject"), "{saved}");
    assert!(saved.to_string().contains("told by the test"), "{saved}");
}

#[tokio::test]
async fn conditions_and_bodies_go_out_as_they_are() {
    let server = Server::answering(answer("200 OK", "etag: \"x\"", "")).await;
    let etag = Etag("\"x\"".into());
    assert_eq!(save(&server.store(), Condition::Absent).await, Ok(etag));
    let weak = matches("W/\"an odd one\"");
    save(&server.store(), weak).await.unwrap();
    let requests = server.requests().await;
    assert!(requests[0].starts_with("PUT /bucket/prefix/a%252Fb.bin?"));
    assert!(requests[0].contains("\r\nif-none-match: *\r\n"));
    assert!(requests[1].contains("\r\nif-match: W/\"an odd one\"\r\n"));
    for request in &requests {
        assert!(request.ends_with("\r\n\r\nbody"), "{request}");
        assert!(request.contains("\r\nx-amz-content-sha256: 230d8358"));
        assert!(!request.contains("x-amz-checksum"), "{request}");
        assert!(!request.contains("x-amz-sdk-checksum"), "{request}");
    }
}

#[tokio::test]
async fn slashes_around_the_prefix_do_not_count() {
    for (prefix, path) in [
        ("", "/bucket/a.bin?"),
        ("/", "/bucket/a.bin?"),
        ("docs", "/bucket/docs/a.bin?"),
        ("//docs//", "/bucket/docs/a.bin?"),
        ("docs/of/us/", "/bucket/docs/of/us/a.bin?"),
    ] {
        let server = Server::answering(error_answer(404, "NoSuchKey")).await;
        let store = S3Store::new(config_for(&server.endpoint), "bucket", prefix);
        assert_eq!(store.load(&doc("a")).await, Ok(None));
        let request = &server.requests().await[0];
        assert!(request.starts_with(&format!("GET {path}")), "{request}");
    }
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let server = Server::answering(String::new()).await;
    for (error, expected) in [
        (CredentialsError::not_loaded("there are none"), Is::Denied),
        (CredentialsError::provider_error("down"), Is::Unavailable),
    ] {
        let provider = NoCredentials(Mutex::new(Some(error)).into());
        let config = config_for(&server.endpoint).credentials_provider(provider);
        let store = S3Store::new(config, "bucket", "");
        let saved = save(&store, Condition::Absent).await;
        assert_eq!(kind(&saved), expected, "{saved:?}");
    }
    assert!(server.requests().await.is_empty());
}

/// Fails once as it is told.
#[derive(Debug)]
struct NoCredentials(Arc<Mutex<Option<CredentialsError>>>);

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let error = Arc::clone(&self.0);
        future::ProvideCredentials::new(async move { Err(error.lock().await.take().unwrap()) })
    }
}

#[tokio::test]
async fn a_whole_object_is_loaded_with_its_etag_as_it_came() {
    let server = Server::answering(answer("200 OK", "etag: W/\"odd\"", "body")).await;
    let snapshot = Snapshot {
        body: Bytes::from("body"),
        etag: Etag("W/\"odd\"".into()),
    };
    assert_eq!(server.store().load(&doc("a")).await, Ok(Some(snapshot)));
}

#[tokio::test]
async fn a_body_that_is_not_whole_is_an_error() {
    let crc32_of_body = "x-amz-checksum-crc32: 26gLsg==";
    for (what, answer) in [
        (
            "truncated",
            full_answer("etag: \"1\"\r\ncontent-length: 10", "body"),
        ),
        (
            "no length",
            full_answer("etag: \"1\"\r\nconnection: close", "body"),
        ),
        (
            "a chunk missing",
            full_answer("etag: \"1\"\r\ntransfer-encoding: chunked", "4\r\nbody\r\n"),
        ),
        (
            "another checksum",
            answer("200 OK", &format!("etag: \"1\"\r\n{crc32_of_body}"), "bodY"),
        ),
        ("no etag", answer("200 OK", "x: y", "body")),
    ] {
        let server = Server::answering(answer).await;
        let loaded = server.store().load(&doc("a")).await;
        assert_eq!(kind(&loaded), Is::Unavailable, "{what}: {loaded:?}");
    }
    let with_checksum = answer("200 OK", &format!("etag: \"1\"\r\n{crc32_of_body}"), "body");
    let server = Server::answering(with_checksum).await;
    assert!(server.store().load(&doc("a")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_save_without_an_etag_in_reply_is_unknown() {
    let server = Server::answering(answer("200 OK", "x: y", "")).await;
    let saved = save(&server.store(), Condition::Absent).await;
    assert_eq!(kind(&saved), Is::Unknown, "{saved:?}");
}

#[tokio::test]
async fn a_reply_that_never_comes_is_answered_in_time() {
    let stalled = full_answer("etag: \"1\"\r\ncontent-length: 10", "body");
    for reply in [Reply::Never, Reply::Stalling(stalled)] {
        let server = Server::start(reply).await;
        let store = server.store().with_timeout(Duration::from_millis(200));
        let start = Instant::now();
        let loaded = store.load(&doc("a")).await;
        assert_eq!(kind(&loaded), Is::Unavailable, "{loaded:?}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    let server = Server::start(Reply::Never).await;
    let store = server.store().with_timeout(Duration::from_millis(200));
    let saved = save(&store, Condition::Absent).await;
    assert_eq!(kind(&saved), Is::Unknown, "{saved:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_leaves_the_outcome_unknown() {
    for reply in ["", "HTTP/1.1 200 OK\r\netag", "no http at all\r\n\r\n"] {
        let server = Server::answering(reply.to_owned()).await;
        let saved = save(&server.store(), Condition::Absent).await;
        assert_eq!(kind(&saved), Is::Unknown, "{reply:?}: {saved:?}");
        let loaded = server.store().load(&doc("a")).await;
        assert_eq!(kind(&loaded), Is::Unavailable, "{reply:?}: {loaded:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_certainly_no_save() {
    let server = Server::answering(String::new()).await;
    let store = server.store();
    server.stop().await;
    let saved = save(&store, Condition::Absent).await;
    assert_eq!(kind(&saved), Is::Unavailable, "{saved:?}");
    let loaded = store.load(&doc("a")).await;
    assert_eq!(kind(&loaded), Is::Unavailable, "{loaded:?}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_denied() {
    let server = Server::answering(String::new()).await;
    let store = S3Store::new(config_for(&server.endpoint), "", "");
    let saved = save(&store, Condition::Absent).await;
    assert_eq!(kind(&saved), Is::Denied, "{saved:?}");
    assert!(server.requests().await.is_empty());
}

async fn save(store: &S3Store, condition: Condition) -> Result<Etag, StoreError> {
    store
        .save(&doc("a/b"), Bytes::from("body"), condition)
        .await
}

fn matches(etag: &str) -> Condition {
    Condition::Matches(Etag(etag.into()))
}

fn kind<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> Is {
    match result.as_ref().unwrap_err() {
        StoreError::Conflict => Is::Conflict,
        StoreError::Unknown(_) => Is::Unknown,
        StoreError::Unavailable(_) => Is::Unavailable,
        StoreError::Denied(_) => Is::Denied,
    }
}

/// An error as S3 tells it, or as a proxy does where there is no code.
fn error_answer(status: u16, code: &str) -> String {
    let body = if code.is_empty() {
        "<html>an error of somebody else</html>".to_owned()
    } else {
        format!("<Error><Code>{code}</Code><Message>told by the test</Message></Error>")
    };
    answer(&format!("{status} Some"), "x-amz-request-id: 7", &body)
}

fn answer(status: &str, header: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{header}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// A 200 with no header but those given.
fn full_answer(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}")
}

/// What the server does once it has read a request.
enum Reply {
    /// Sends these bytes and closes the connection.
    Bytes(String),
    /// Sends these bytes and keeps the connection open.
    Stalling(String),
    /// Says nothing.
    Never,
}

struct Server {
    endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn answering(answer: String) -> Self {
        Self::start(Reply::Bytes(answer)).await
    }

    async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut kept_open = Vec::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let mut socket = BufReader::new(socket);
                seen.lock().await.push(read_request(&mut socket).await);
                match &reply {
                    Reply::Bytes(bytes) => socket.write_all(bytes.as_bytes()).await.unwrap(),
                    Reply::Stalling(bytes) => {
                        socket.write_all(bytes.as_bytes()).await.unwrap();
                        kept_open.push(socket);
                    }
                    Reply::Never => kept_open.push(socket),
                }
            }
        });
        Self {
            endpoint,
            requests,
            task,
        }
    }

    fn store(&self) -> S3Store {
        S3Store::new(config_for(&self.endpoint), "bucket", "prefix")
    }

    async fn requests(&self) -> Vec<String> {
        self.requests.lock().await.clone()
    }

    /// Stops listening.
    async fn stop(self) {
        self.task.abort();
        self.task.await.unwrap_err();
    }
}

/// Reads a whole request, head and body.
async fn read_request(socket: &mut BufReader<TcpStream>) -> String {
    let mut request = String::new();
    let mut body_bytes = None;
    loop {
        request.push(char::from(socket.read_u8().await.unwrap()));
        if body_bytes.is_none() && request.ends_with("\r\n\r\n") {
            let length = request.split("\r\ncontent-length: ").nth(1);
            let length = length.map_or("0", |rest| rest.split("\r\n").next().unwrap());
            body_bytes = Some(request.len() + length.parse::<usize>().unwrap());
        }
        if body_bytes == Some(request.len()) {
            return request;
        }
    }
}
