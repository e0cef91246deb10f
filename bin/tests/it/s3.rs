//! What becomes of a start where the store is not as it should be, shown by
//! something that speaks just enough of S3.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::process::{PATIENCE, Server, between, output};

#[test]
fn a_store_that_ignores_conditions_is_refused_unless_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = FakeS3::start(Mode::Ignores);
    let ended = output(folder.path(), &["--port", "0"], &s3.environment());
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    for what in ["s3://bucket/docs", "If-None-Match", "S3_CONDITIONS=trust"] {
        assert!(told.contains(what), "{told}");
    }

    let mut environment = s3.environment();
    environment.push(("S3_CONDITIONS", "trust"));
    let server = Server::start_with(folder.path(), &environment);
    assert_eq!(open_document(&server), "HTTP/1.1 101");
}

#[test]
fn a_store_that_denies_access_ends_the_start_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = FakeS3::start(Mode::Denies);
    let ended = output(folder.path(), &["--port", "0"], &s3.environment());
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    for what in ["s3://bucket/docs", "AccessDenied", "s3:ListBucket"] {
        assert!(told.contains(what), "{told}");
    }
}

#[test]
fn a_store_that_is_down_at_the_start_is_asked_again_before_its_first_use() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = FakeS3::start(Mode::IsDown);
    let server = Server::start_with(folder.path(), &s3.environment());
    assert_eq!(open_document(&server), "HTTP/1.1 503");
    s3.set(Mode::Ignores);
    assert_eq!(open_document(&server), "HTTP/1.1 503");
    s3.set(Mode::Honours);
    assert_eq!(open_document(&server), "HTTP/1.1 101");
}

#[test]
fn a_store_that_is_not_there_is_told_with_its_address_and_what_names_it() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there any more.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for variable in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] {
        let environment = [
            ("S3_BUCKET", "bucket"),
            (variable, &url),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        let log = folder.path().join("log");
        let server = Server::start_unheard(folder.path(), Stdio::null(), &environment);
        assert_eq!(server.status_of(READY), "HTTP/1.1 503");
        let told = fs::read_to_string(&log).unwrap();
        drop(server);
        let ended = output(folder.path(), &["doc", "list"], &environment);
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        for (told, again) in [
            (told, "it is tried again"),
            (String::from_utf8(ended.stderr).unwrap(), ""),
        ] {
            let place = format!("it was asked at {url} ({variable})");
            assert!(told.contains(&place) && told.contains(again), "{told}");
            assert!(!told.contains("unavailable: store unavailable"), "{told}");
        }
    }
}

const READY: &str = "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn a_server_whose_store_is_down_at_the_start_becomes_ready_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = FakeS3::start(Mode::IsDown);
    let server = Server::start_with(folder.path(), &s3.environment());
    let status = |path| server.status_of(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
    assert_eq!(status("/readyz"), "HTTP/1.1 503");
    assert_eq!(status("/healthz"), "HTTP/1.1 200");
    s3.set(Mode::Honours);
    let deadline = Instant::now() + PATIENCE;
    while status("/readyz") != "HTTP/1.1 200" {
        assert!(Instant::now() < deadline, "it does not become ready");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(open_document(&server), "HTTP/1.1 101");
}

/// The first line of the answer to a client that opens a document.
fn open_document(server: &Server) -> String {
    let token = between(&server.greeting, "token  ", "\n");
    server.handshake("/sync/v1/a", &format!("authorization: Bearer {token}\r\n"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Honours,
    Ignores,
    Denies,
    IsDown,
}

/// A bucket that holds the probe objects and nothing else, for ever.
struct FakeS3 {
    endpoint: String,
    mode: Arc<Mutex<Mode>>,
}

impl FakeS3 {
    /// Answers until the test's process ends.
    fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mode = Arc::new(Mutex::new(mode));
        let current = Arc::clone(&mode);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&stream);
                let mode = *current.lock().unwrap();
                stream.write_all(answer(mode, &request).as_bytes()).unwrap();
            }
        });
        Self { endpoint, mode }
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        vec![
            ("S3_BUCKET", "bucket"),
            ("S3_PREFIX", "docs"),
            ("AWS_ENDPOINT_URL_S3", &self.endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ]
    }
}

fn answer(mode: Mode, request: &str) -> String {
    let is_probe = request.contains("/docs/.ysyncd-probe");
    let is_allowed =
        !request.contains("\r\nif-none-match: *") && !request.contains("\r\nif-match: \"0");
    let (status, body) = match mode {
        Mode::IsDown => ("503 Slow Down", error("SlowDown")),
        Mode::Denies => ("403 Forbidden", error("AccessDenied")),
        _ if request.starts_with("GET") && !is_probe => ("404 Not Found", error("NoSuchKey")),
        Mode::Honours if !is_allowed => ("412 Precondition Failed", error("PreconditionFailed")),
        Mode::Honours | Mode::Ignores => ("200 OK", String::new()),
    };
    format!(
        "HTTP/1.1 {status}\r\netag: \"1\"\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn error(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>told by the test</Message></Error>")
}

/// The head of a request; its body is read, too.
fn read_request(stream: &TcpStream) -> String {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let length = head.split("\r\ncontent-length: ").nth(1);
    let length = length.map_or("0", |rest| rest.split("\r\n").next().unwrap());
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head
}
