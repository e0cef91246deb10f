//! Requests that a proxy and the server might read differently, and clients
//! that take their time over one.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};
use ysyncd_net::{Config, TrustedProxies};

use crate::{
    handshake::{status, with_token},
    support::{Server, run, soon, token, upgrade},
};

/// Everything that the server answers to these bytes, until it or we end it.
async fn answers(server: &Server, bytes: &[u8]) -> String {
    let mut stream = server.tcp().await;
    // Whoever is refused in the middle of it may not read the rest.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = timeout(Duration::from_millis(500), reading).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A second request, which no answer may ever belong to: it stands where one
/// reader of the first sees its body, and another a request.
const HIDDEN: &str = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn a_request_that_can_be_read_in_two_ways_is_refused() {
    run(async {
        let server = Server::start(|_| {}).await;
        let len = HIDDEN.len();
        for head in [
            format!("content-length: {len}\r\ncontent-length: 0\r\n"),
            format!("content-length: 0\r\ncontent-length: {len}\r\n"),
            format!("content-length: {len}, 0\r\n"),
            "content-length: +0\r\n".to_owned(),
            "content-length: -1\r\n".to_owned(),
            "content-length: 0x0\r\n".to_owned(),
            "content-length: 99999999999999999999\r\n".to_owned(),
            "transfer-encoding: xchunked\r\n".to_owned(),
            "transfer-encoding: chunked, identity\r\n".to_owned(),
            "transfer-encoding : chunked\r\n".to_owned(),
            " folded: x\r\n".to_owned(),
            "no colon\r\n".to_owned(),
            "x: a\0b\r\n".to_owned(),
        ] {
            let request = format!("POST /sync/v1/a HTTP/1.1\r\nhost: x\r\n{head}\r\n{HIDDEN}");
            let answer = answers(&server, request.as_bytes()).await;
            assert!(
                answer.is_empty() || status(&answer) == 400,
                "{head}: {answer}"
            );
            assert!(!answer.contains("ysyncd_build"), "{head}: {answer}");
        }
    });
}

#[test]
fn a_body_is_never_taken_for_a_request() {
    run(async {
        let server = Server::start(|_| {}).await;
        let good = with_token(&token("alice"));
        let len = HIDDEN.len();
        let chunked = format!("{len:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
        for (head, body) in [
            (format!("content-length: {len}\r\n"), HIDDEN.to_owned()),
            ("transfer-encoding: chunked\r\n".to_owned(), chunked.clone()),
            // Both: the chunks count (RFC 9112 section 6.3).
            (
                "content-length: 3\r\ntransfer-encoding: chunked\r\n".to_owned(),
                chunked,
            ),
        ] {
            for (method, path) in [("POST", "/sync/v1/a"), ("GET", "/sync/v1/a"), ("GET", "/x")] {
                let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{head}\r\n{body}");
                let answer = answers(&server, request.as_bytes()).await;
                assert!(status(&answer) >= 400, "{method} {path} {head}: {answer}");
                assert!(
                    !answer.contains("ysyncd_build"),
                    "{method} {path} {head}: {answer}"
                );
            }
            let request = format!("GET /sync/v1/a HTTP/1.1\r\nhost: x\r\n{good}{head}\r\n{body}");
            let answer = answers(&server, request.as_bytes()).await;
            assert_eq!(status(&answer), 400, "{head}: {answer}");
            assert!(answer.contains("body"), "{answer}");
            assert!(!answer.contains("ysyncd_build"), "{head}: {answer}");
        }
    });
}

#[test]
fn what_comes_behind_an_upgrade_is_never_taken_for_a_request() {
    run(async {
        let server = Server::start(|_| {}).await;
        let good = with_token(&token("alice"));
        let request = format!("GET /sync/v1/a HTTP/1.1\r\nhost: x\r\n{good}\r\n{HIDDEN}");
        let answer = answers(&server, request.as_bytes()).await;
        assert_eq!(status(&answer), 101);
        assert!(!answer.contains("ysyncd_build"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    });
}

#[test]
fn what_may_be_said_once_is_not_said_twice() {
    run(async {
        let server = Server::start(|_| {}).await;
        let (alice, bob) = (token("alice"), token("bob"));
        for twice in [
            "host: y\r\n".to_owned(),
            "host: x\r\n".to_owned(),
            format!("authorization: Bearer {bob}\r\n"),
            "origin: https://a.example\r\norigin: https://b.example\r\n".to_owned(),
            "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n".to_owned(),
        ] {
            let good = with_token(&alice);
            let request = format!("GET /sync/v1/a HTTP/1.1\r\nhost: x\r\n{good}{twice}\r\n");
            let answer = answers(&server, request.as_bytes()).await;
            assert_eq!(status(&answer), 400, "{twice}: {answer}");
        }
        let (good, no_token) = (with_token(&alice), upgrade());
        for (target, headers) in [
            (format!("/sync/v1/a?token={alice}&token={bob}"), &no_token),
            (format!("/sync/v1/a?token={alice}&token={alice}"), &no_token),
            ("/sync/v1/a?token=x&token=y".to_owned(), &good),
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
            let answer = answers(&server, request.as_bytes()).await;
            assert_eq!(status(&answer), 400, "{target}: {answer}");
        }
    });
}

#[test]
fn an_upgrade_names_its_host() {
    run(async {
        let server = Server::start(|_| {}).await;
        let good = with_token(&token("alice"));
        let request = format!("GET /sync/v1/a HTTP/1.1\r\n{good}\r\n");
        let answer = answers(&server, request.as_bytes()).await;
        assert_eq!(status(&answer), 400, "{answer}");
        assert!(answer.contains("Host"), "{answer}");
    });
}

#[test]
fn while_most_places_are_taken_strangers_keep_theirs_for_one_answer() {
    run(async {
        let server = Server::start(|config| {
            config.handshakes_max = 4;
            config.header_timeout = Duration::from_secs(60);
        })
        .await;
        let ask = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";
        let mut strangers = Vec::new();
        for _ in 0..2 {
            let mut stream = server.tcp().await;
            for _ in 0..3 {
                stream.write_all(ask).await.unwrap();
                let mut answer = [0; 1_024];
                let len = soon(stream.read(&mut answer)).await.unwrap();
                let answer = String::from_utf8_lossy(&answer[..len]);
                assert_eq!(status(&answer), 200);
                assert!(!answer.contains("connection: close"), "{answer}");
            }
            strangers.push(stream);
        }
        // All places are taken now, and each of them asks once more in time.
        strangers.extend([server.tcp().await, server.tcp().await]);
        sleep(Duration::from_millis(50)).await;
        let client = server.client("a");
        tokio::pin!(client);
        let early = timeout(Duration::from_millis(200), &mut client).await;
        assert!(early.is_err(), "nobody has gone");
        strangers[0].write_all(ask).await.unwrap();
        let mut answer = Vec::new();
        let reading = strangers[0].read_to_end(&mut answer);
        soon(reading).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("connection: close"), "{answer}");
        soon(client).await.sync().await;
    });
}

#[test]
fn a_target_names_the_document_that_it_says_and_no_other() {
    run(async {
        let server = Server::start(|_| {}).await;
        let good = with_token(&token("alice"));
        for (target, expected) in [
            // Paths are not tidied up: what is no document is none.
            ("//sync/v1/a", 404),
            ("/sync//v1/a", 404),
            ("/sync/v1", 404),
            ("/SYNC/v1/a", 404),
            ("/sync%2Fv1%2Fa", 404),
            ("/sync/v1%2Fa", 404),
            ("/x/../sync/v1/a", 404),
            ("/sync/./v1/a", 404),
            ("/sync/v2/../v1/a", 404),
            ("http://x", 404),
            ("http://x/", 404),
            ("*", 404),
            ("x:443", 404),
            // Behind the prefix everything is the name, dots included.
            ("/sync/v1/../../metrics", 101),
            ("/sync/v1/a/../b", 101),
            ("/sync/v1/..%2F..%2Fetc%2Fpasswd", 101),
            ("/sync/v1//a", 101),
            // A proxy may write the whole of it.
            ("http://elsewhere/sync/v1/a", 101),
            ("sync/v1/a", 400),
            ("/sync/v1/a b", 400),
            ("/sync/v1/\x01", 400),
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n{good}\r\n");
            let answer = answers(&server, request.as_bytes()).await;
            assert_eq!(status(&answer), expected, "{target}: {answer}");
            assert!(!answer.contains("ysyncd_build"), "{target}");
        }
    });
}

fn hurried(config: &mut Config) {
    config.header_timeout = Duration::from_millis(500);
    config.handshakes_max = 4;
}

#[test]
fn a_head_that_comes_a_byte_at_a_time_is_cut_off_and_its_place_is_free() {
    run(async {
        let server = Server::start(hurried).await;
        let mut slow = Vec::new();
        for _ in 0..4 {
            slow.push(server.tcp().await);
        }
        let request = format!("GET /{} HTTP/1.1\r\n", "a".repeat(100));
        let start = Instant::now();
        let dripping = async {
            for byte in request.bytes() {
                for stream in &mut slow {
                    let _ = stream.write_all(&[byte]).await;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let other = async { server.client("a").await };
        tokio::select! {
            () = dripping => panic!("nobody else gets in"),
            mut other = other => other.sync().await,
        };
        let waited = start.elapsed();
        assert!(waited > Duration::from_millis(400), "{waited:?}");
        assert!(waited < Duration::from_secs(2), "{waited:?}");
        for mut stream in slow {
            let mut rest = Vec::new();
            let _ = soon(stream.read_to_end(&mut rest)).await;
        }
    });
}

#[test]
fn a_connection_that_idles_between_requests_is_ended() {
    run(async {
        let server = Server::start(hurried).await;
        let refused = with_token("alice:0");
        for request in [
            "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
            format!("GET /sync/v1/a HTTP/1.1\r\nhost: x\r\n{refused}\r\n"),
            "POST /sync/v1/a HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf".to_owned(),
        ] {
            let mut stream = server.tcp().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            let start = Instant::now();
            let mut answer = Vec::new();
            let _ = soon(stream.read_to_end(&mut answer)).await;
            assert!(answer.starts_with(b"HTTP/1.1 "), "{request}");
            assert!(start.elapsed() < Duration::from_secs(2), "{request}");
        }
    });
}

#[test]
fn one_address_cannot_take_all_places_of_strangers() {
    run(async {
        let server = Server::start(|config| {
            config.trusted_proxies = TrustedProxies::none();
            config.handshakes_max = 4;
            config.handshakes_per_address_max = 3;
            config.header_timeout = Duration::from_secs(20);
        })
        .await;
        let mut idle = Vec::new();
        for _ in 0..3 {
            idle.push(server.tcp().await);
        }
        let mut dropped = server.tcp().await;
        let read = soon(dropped.read(&mut [0; 1])).await;
        assert!(matches!(read, Ok(0) | Err(_)), "it waits");
        // Whoever goes away, or is let in, leaves its place.
        idle.pop();
        let mut clients = Vec::new();
        while clients.len() < 5 {
            match server.connect("a").await {
                Ok(client) => clients.push(client),
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
        let metrics = server.get("/metrics", "").await;
        assert!(
            !metrics.contains("ysyncd_handshakes_dropped_total 0\n"),
            "{metrics}"
        );
        assert!(
            metrics.contains("ysyncd_handshakes_dropped_total "),
            "{metrics}"
        );
    });
}
