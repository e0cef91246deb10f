//! Who gets in, to what, and for how long.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;
use ysyncd_engine::auth::{
    Access, Claims, DocumentPattern, Documents, TokenKey, TokenVerifier, UserId,
};

use crate::{
    handshake::{status, with_token},
    support::{Server, key, run, soon, text_update, token, upgrade},
};

/// What alice may do: for so long from now, in the documents of one pattern.
fn claims(lasts: Duration, pattern: &str, access: Access) -> Claims {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Claims {
        user: UserId::new("alice").unwrap(),
        documents: Documents::Only(vec![DocumentPattern::parse(pattern).unwrap()]),
        access,
        // In whole seconds, as JWTs count.
        expires: Some(Duration::from_secs((now + lasts).as_secs())),
    }
}

fn update_frame(update: &[u8]) -> Vec<u8> {
    let len = u8::try_from(update.len()).unwrap();
    [&[0, 2, len][..], update].concat()
}

#[test]
fn a_token_opens_the_documents_that_it_is_for() {
    run(async {
        let server = Server::start(|_| {}).await;
        let hour = Duration::from_secs(3_600);
        let jwt = key().mint_jwt(&claims(hour, "team/*", Access::Write));
        assert!(server.connect_with("team/plan", &jwt).await.is_ok());
        for other in ["teams", "tea", "TEAM/plan"] {
            let answer = server
                .get(&format!("/sync/v1/{other}"), &with_token(&jwt))
                .await;
            assert_eq!(status(&answer), 403, "{other}");
            assert!(answer.contains("does not allow this document"), "{answer}");
        }
        // The name that counts is the one after decoding.
        let encoded = server
            .get("/sync/v1/x%2F..%2Fteam%2Fplan", &with_token(&jwt))
            .await;
        assert_eq!(status(&encoded), 403);
        let over = key().mint_jwt(&claims(Duration::ZERO, "*", Access::Write));
        let answer = server.get("/sync/v1/a", &with_token(&over)).await;
        assert_eq!(status(&answer), 401);
        assert!(answer.contains("has expired"), "{answer}");
        let query = server
            .get(&format!("/sync/v1/teams?token={jwt}"), &upgrade())
            .await;
        assert_eq!(status(&query), 403);
    });
}

#[test]
fn a_reader_reads_and_changes_nothing() {
    run(async {
        let server = Server::start(|_| {}).await;
        let hour = Duration::from_secs(3_600);
        let jwt = key().mint_jwt(&claims(hour, "a", Access::Read));
        let mut writer = server.client("a").await;
        writer.sync().await;
        writer.send(&update_frame(&text_update(3))).await;
        let mut reader = server.connect_with("a", &jwt).await.unwrap();
        assert!(reader.sync().await.ends_with(&text_update(3)));
        reader.send(&update_frame(&text_update(9))).await;
        loop {
            let Message::Binary(frame) = soon(reader.socket.next()).await.unwrap().unwrap() else {
                continue;
            };
            assert!(
                !frame.starts_with(&[0, 0]),
                "nobody asks what a reader knows"
            );
            if frame.starts_with(&[2, 0]) {
                break;
            }
        }
        assert!(writer.sync().await.ends_with(&text_update(3)));
        let metrics = server.get("/metrics", "").await;
        assert!(
            metrics.contains("ysyncd_updates_forbidden_total 1\n"),
            "{metrics}"
        );
    });
}

#[test]
fn an_open_connection_ends_with_its_token() {
    run(async {
        let server = Server::start(|_| {}).await;
        let expiring = claims(Duration::from_secs(3), "a", Access::Write);
        let jwt = key().mint_jwt(&expiring);
        let mut client = server.connect_with("a", &jwt).await.unwrap();
        let mut stays = server.client("a").await;
        client.sync().await;
        let (code, reason) = client.closed().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert_eq!((code, reason.as_str()), (4401, "the token has expired"));
        let late = now.saturating_sub(expiring.expires.unwrap());
        assert!(now >= expiring.expires.unwrap(), "not before its time");
        assert!(late < Duration::from_secs(1), "{late:?} late");
        stays.sync().await;
        drop(client);
        let counted = "ysyncd_connections_closed_total{code=\"4401\"} 1\n";
        soon(async {
            while !server.get("/metrics", "").await.contains(counted) {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    });
}

/// A page sees no status of a handshake that fails.
#[test]
fn a_browser_is_told_why_it_is_refused() {
    run(async {
        let server = Server::start(|_| {}).await;
        let hour = Duration::from_secs(3_600);
        let jwt = key().mint_jwt(&claims(hour, "team/*", Access::Write));
        let page = |token: &str| format!("{}origin: https://a.example\r\n", with_token(token));
        for (path, token, code, why) in [
            ("a", "alice:wrong", 4401, "the token"),
            ("a", &jwt, 4403, "does not allow this document"),
            ("%ff", &token("alice"), 4400, "UTF-8"),
        ] {
            let mut stream = server.tcp().await;
            let request = format!(
                "GET /sync/v1/{path} HTTP/1.1\r\nhost: x\r\n{}\r\n",
                page(token)
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            // As y-websocket does before it hears anything, and a browser when it has.
            stream
                .write_all(&[0x82, 0x83, 0, 0, 0, 0, 0, 0, 0, 0x88, 0x80, 0, 0, 0, 0])
                .await
                .unwrap();
            let mut answer = Vec::new();
            soon(stream.read_to_end(&mut answer)).await.unwrap();
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
            let (head, frame) = answer.split_at(end.expect("a head") + 4);
            assert!(head.starts_with(b"HTTP/1.1 101 "), "{path}");
            assert_eq!(frame[0], 0x88, "a close frame");
            assert_eq!(u16::from_be_bytes([frame[2], frame[3]]), code, "{path}");
            let reason = std::str::from_utf8(&frame[4..]).unwrap();
            assert!(reason.contains(why), "{reason}");
        }
        // Older y-websocket comes back at once for as long as it is let in.
        let mut refused = 3;
        loop {
            let stream = server.tcp().await;
            refused += 1;
            match status(&first_line(stream, &page("alice:wrong")).await) {
                101 if refused < 20 => {}
                other => break assert_eq!((other, refused), (401, 9)),
            }
        }
        // Nobody is let in by that.
        let metrics = server.get("/metrics", "").await;
        assert!(metrics.contains("ysyncd_connections 0\n"), "{metrics}");
        for (status, count) in [(400, 1), (401, 7), (403, 1)] {
            let counted =
                format!("ysyncd_handshakes_refused_total{{status=\"{status}\"}} {count}\n");
            assert!(metrics.contains(&counted), "{metrics}");
        }
    });
}

#[test]
fn a_secret_is_replaced_without_a_gap() {
    run(async {
        let old = TokenKey::new(b"the secret of last year");
        let verifier = TokenVerifier::new(key()).and_previous(old.clone());
        let server = Server::start(|config| config.tokens = verifier).await;
        let alice = UserId::new("alice").unwrap();
        assert!(server.connect_with("a", &old.mint(&alice)).await.is_ok());
        assert!(server.connect_with("a", &token("alice")).await.is_ok());
    });
}

#[test]
fn pages_of_other_origins_are_refused_where_origins_are_named() {
    run(async {
        let allowed = || Some(vec!["https://app.example.org".parse().unwrap()]);
        let server = Server::start(|config| config.allowed_origins = allowed()).await;
        let headers = |origin: &str| {
            let origin = match origin {
                "" => String::new(),
                origin => format!("origin: {origin}\r\n"),
            };
            format!("{}{origin}", with_token(&token("alice")))
        };
        for (origin, expected) in [
            ("https://evil.example", 403),
            ("null", 403),
            ("https://app.example.org.evil.example", 403),
        ] {
            let answer = server.get("/sync/v1/a", &headers(origin)).await;
            assert_eq!(status(&answer), expected, "{origin}");
            assert!(answer.contains("ALLOWED_ORIGINS"), "{answer}");
        }
        for origin in ["https://app.example.org", "HTTPS://App.Example.org", ""] {
            let stream = server.tcp().await;
            let answer = first_line(stream, &headers(origin)).await;
            assert_eq!(status(&answer), 101, "{origin}");
        }
    });
}

/// The first bytes of the answer to a handshake.
async fn first_line(mut stream: tokio::net::TcpStream, headers: &str) -> String {
    let request = format!("GET /sync/v1/a HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

#[test]
fn a_token_that_outlives_no_connection_costs_no_time() {
    run(async {
        // One that ends in a thousand years must not wake anybody.
        let server = Server::start(|_| {}).await;
        let years = Duration::from_secs(1_000 * 365 * 86_400);
        let jwt = key().mint_jwt(&claims(years, "a", Access::Write));
        let mut client = server.connect_with("a", &jwt).await.unwrap();
        client.sync().await;
        let start = Instant::now();
        let quiet = timeout(Duration::from_millis(300), client.closed()).await;
        assert!(quiet.is_err() && start.elapsed() >= Duration::from_millis(300));
    });
}
