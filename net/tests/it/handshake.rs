//! Up to the upgrade, everything is plain HTTP.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::Error;
use ysyncd_engine::StoreError;

use crate::support::{GatedStore, SYNC_STEP_1, Server, run, soon, token, upgrade};

pub(crate) fn status(answer: &str) -> u16 {
    answer[9..12].parse().unwrap()
}

/// The handshake's headers with a token in the header.
pub(crate) fn with_token(token: &str) -> String {
    format!("{}authorization: Bearer {token}\r\n", upgrade())
}

#[test]
fn what_cannot_be_upgraded_is_answered_in_plain_http() {
    run(async {
        let server = Server::start(|_| {}).await;
        let good = with_token(&token("alice"));
        let long = format!("/sync/v1/{}", "a".repeat(301));
        for (path, headers, expected, says) in [
            ("/", "", 404, "/sync/v1/"),
            ("/sync/v1", &good, 404, "/sync/v1/"),
            ("/sync/v1/", &good, 400, "empty"),
            (&long, &good, 400, "longer than 300 bytes"),
            ("/sync/v1/%zz", &good, 400, "hex digits"),
            ("/sync/v1/%ff", &good, 400, "UTF-8"),
            ("/sync/v1/a", "", 426, "WebSocket"),
            ("/sync/v1/a", &upgrade(), 401, "token is missing"),
            ("/sync/v1/a", &with_token("alice"), 401, "userId:signature"),
            (
                "/sync/v1/a",
                &with_token(&"alice:0".repeat(9)),
                401,
                "userId:signature",
            ),
            (
                "/sync/v1/a?token=alice",
                &upgrade(),
                401,
                "userId:signature",
            ),
            ("/sync/v1/a", &good.replace("13", "12"), 426, "version 13"),
            (
                "/sync/v1/a",
                &good.replace("sec-websocket-key", "x"),
                400,
                "Sec-WebSocket-Key",
            ),
        ] {
            let answer = server.get(path, headers).await;
            assert_eq!(status(&answer), expected, "{path} {headers}");
            assert!(answer.contains(says), "{path} {headers}: {answer}");
            let challenges = answer.contains("www-authenticate: Bearer\r\n");
            assert_eq!(challenges, expected == 401, "{path} {headers}");
        }
    });
}

#[test]
fn other_methods_are_refused() {
    run(async {
        let server = Server::start(|_| {}).await;
        for (path, allow) in [("/sync/v1/a", "GET"), ("/healthz", "GET, HEAD")] {
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            );
            let answer = server.request(&request).await;
            assert_eq!(status(&answer), 405);
            assert!(answer.contains(&format!("allow: {allow}\r\n")), "{answer}");
        }
    });
}

#[test]
fn a_token_in_the_header_or_in_the_query_lets_a_client_in() {
    run(async {
        let server = Server::start(|_| {}).await;
        let alice = token("alice");
        let other = token("ä+b").replace('ä', "%C3%A4").replace('+', "%2B");
        for (path, headers, expected) in [
            ("/sync/v1/a/b%20c", with_token(&alice), 101),
            ("/sync/v1/a", with_token(&token("名 前")), 101),
            (&format!("/sync/v1/a?x=1&token={other}"), upgrade(), 101),
            (
                &format!("/sync/v1/a?token={alice}"),
                with_token("alice:no"),
                401,
            ),
            ("/sync/v1/a?token=alice:no", with_token(&alice), 101),
        ] {
            let mut stream = server.tcp().await;
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            soon(stream.read_exact(&mut answer)).await.unwrap();
            let answer = String::from_utf8(answer.to_vec()).unwrap();
            assert_eq!(status(&answer), expected, "{path}");
        }
    });
}

#[test]
fn what_comes_right_behind_the_handshake_is_not_lost() {
    run(async {
        let server = Server::start(|_| {}).await;
        let mut stream = server.tcp().await;
        let headers = with_token(&token("alice"));
        let mut bytes = format!("GET /sync/v1/a HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes();
        // A binary frame, masked with zeroes.
        bytes.extend_from_slice(&[0x82, 0x84, 0, 0, 0, 0]);
        bytes.extend_from_slice(SYNC_STEP_1);
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        while !answer.windows(4).any(|part| part == [0, 1, 2, 0]) {
            soon(stream.read_buf(&mut answer)).await.unwrap();
        }
    });
}

#[test]
fn a_handshake_waits_for_the_load() {
    run(async {
        let store = GatedStore::new(|| Ok(None));
        let server = Server::with_store(Arc::clone(&store) as _, |_| {}).await;
        let connect = server.connect("a");
        tokio::pin!(connect);
        let early = timeout(Duration::from_millis(200), &mut connect).await;
        assert!(early.is_err(), "answered before the load");
        store.gate.add_permits(1);
        soon(connect).await.unwrap().sync().await;
    });
}

#[test]
fn a_failed_load_is_answered_with_503_and_when_to_come_back() {
    run(async {
        let store = GatedStore::new(|| Err(StoreError::Unavailable("down".to_owned())));
        store.gate.add_permits(10);
        let server = Server::with_store(store, |_| {}).await;
        let Err(Error::Http(answer)) = server.connect("a").await else {
            panic!("let in without a document");
        };
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        let metric = "opens_refused_total{reason=\"load_failed\"}";
        assert_eq!(server.metric(metric).await, 1);
    });
}

#[test]
fn a_store_that_panics_refuses_and_the_server_goes_on() {
    run(async {
        let store = GatedStore::new(|| panic!("a store's own fault"));
        store.gate.add_permits(1);
        let server = Server::with_store(store, |_| {}).await;
        let Err(Error::Http(answer)) = soon(server.connect("a")).await else {
            panic!("let in without a document");
        };
        assert_eq!(answer.status(), 503);
        assert_eq!(status(&server.get("/healthz", "").await), 200);
    });
}

#[test]
fn who_goes_away_while_held_makes_room_for_others() {
    run(async {
        let store = GatedStore::new(|| Ok(None));
        let tweak = |config: &mut ysyncd_net::Config| config.engine.waiting_opens_max = 1;
        let server = Server::with_store(Arc::clone(&store) as _, tweak).await;
        let gone = timeout(Duration::from_millis(100), server.connect("a")).await;
        assert!(gone.is_err(), "answered before the load");
        sleep(Duration::from_millis(100)).await;
        let connect = server.connect("a");
        tokio::pin!(connect);
        let early = timeout(Duration::from_millis(100), &mut connect).await;
        assert!(early.is_err(), "refused, although nobody waits");
        store.gate.add_permits(2);
        soon(connect).await.unwrap().sync().await;
    });
}

#[test]
fn a_head_that_does_not_end_is_cut_off() {
    run(async {
        let tweak = |config: &mut ysyncd_net::Config| {
            config.header_timeout = Duration::from_millis(200);
        };
        let server = Server::start(tweak).await;
        let whole = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        // Nothing came, or nothing more: that is no slow head.
        for (begun, cut) in [
            (b"GET / HTTP/1.1\r\n".as_slice(), "head_late"),
            (b"", "idle"),
            (whole, "idle"),
        ] {
            let metric = format!("requests_cut_total{{reason=\"{cut}\"}}");
            let before = server.metric(&metric).await;
            let mut slow = server.tcp().await;
            slow.write_all(begun).await.unwrap();
            let mut answer = Vec::new();
            let _ = soon(slow.read_to_end(&mut answer)).await;
            assert_eq!(server.metric(&metric).await, before + 1, "{metric}");
        }
    });
}

#[test]
fn a_head_that_is_too_large_is_refused_and_counted() {
    run(async {
        let server = Server::start(|_| {}).await;
        let huge = format!("x: {}\r\n", "a".repeat(100_000));
        let many = "x: y\r\n".repeat(200);
        for headers in [huge, many] {
            assert_eq!(status(&server.get("/healthz", &headers).await), 431);
        }
        let metric = "requests_cut_total{reason=\"head_too_large\"}";
        assert_eq!(server.metric(metric).await, 2);
    });
}

#[test]
fn who_does_not_read_its_answers_loses_its_place() {
    run(async {
        let tweak = |config: &mut ysyncd_net::Config| {
            config.handshakes_max = 2;
            config.header_timeout = Duration::from_secs(60);
            config.response_timeout = Duration::from_millis(300);
        };
        let server = Server::start(tweak).await;
        let (mut reads, mut writes) = server.tcp().await.into_split();
        let asks = tokio::task::spawn_local(async move {
            let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
            while writes.write_all(&request).await.is_ok() {}
        });
        // A little now and then is no excuse.
        let drips = tokio::task::spawn_local(async move {
            while reads.read_u8().await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        });
        soon(asks).await.unwrap();
        drips.abort();
        let _other = server.tcp().await;
        assert_eq!(status(&soon(server.get("/healthz", "")).await), 200);
        let metric = "requests_cut_total{reason=\"answer_late\"}";
        assert_eq!(server.metric(metric).await, 1);
    });
}

#[test]
fn who_says_nothing_gives_way_when_all_places_are_taken() {
    run(async {
        let tweak = |config: &mut ysyncd_net::Config| {
            config.handshakes_max = 2;
            config.header_timeout = Duration::from_secs(60);
        };
        let server = Server::start(tweak).await;
        let mut begun = server.tcp().await;
        begun.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        let mut silent = Vec::new();
        for _ in 0..5 {
            silent.push(server.tcp().await);
        }
        assert_eq!(status(&soon(server.get("/healthz", "")).await), 200);
        // Who has begun to speak has the time that it is given.
        begun
            .write_all(b"host: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        soon(begun.read_to_string(&mut answer)).await.unwrap();
        assert_eq!(status(&answer), 200);
        let metric = "requests_cut_total{reason=\"gave_way\"}";
        assert_eq!(server.metric(metric).await, 5);
    });
}

#[test]
fn idle_strangers_wait_and_held_clients_take_no_place() {
    run(async {
        let store = GatedStore::new(|| Ok(None));
        let tweak = |config: &mut ysyncd_net::Config| {
            config.handshakes_max = 2;
            config.header_timeout = Duration::from_millis(500);
        };
        let server = Server::with_store(Arc::clone(&store) as _, tweak).await;

        let mut held = Vec::new();
        for doc in ["a", "b", "c"] {
            let mut stream = server.tcp().await;
            let headers = with_token(&token("alice"));
            let request = format!("GET /sync/v1/{doc} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            held.push(stream);
        }
        assert_eq!(status(&server.get("/healthz", "").await), 200);

        let _idle = (server.tcp().await, server.tcp().await);
        sleep(Duration::from_millis(50)).await;
        let health = server.get("/healthz", "");
        tokio::pin!(health);
        let early = timeout(Duration::from_millis(200), &mut health).await;
        assert!(early.is_err(), "more strangers than places");
        assert_eq!(status(&health.await), 200);
    });
}
