//! How many connections there may be.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, time::sleep};
use tokio_tungstenite::tungstenite::{Error, client::IntoClientRequest, http::Response};
use ysyncd_net::{Config, TrustedProxies};

use crate::support::{Client, Server, run, soon, token};

/// What is asked for: a document, by a user, from an address behind a proxy.
type Ask = (&'static str, &'static str, &'static str);

/// A limit of two, whom it lets in, whom not, and what that one is told.
type Case = (fn(&mut Config), [Ask; 3], u16, &'static str);

async fn ask(server: &Server, (doc, user, forwarded): Ask) -> Result<Client, Error> {
    let url = format!("ws://{}/sync/v1/{doc}", server.address);
    let mut request = url.into_client_request().unwrap();
    let headers = request.headers_mut();
    let bearer = format!("Bearer {}", token(user));
    headers.insert("authorization", bearer.parse().unwrap());
    if !forwarded.is_empty() {
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
    }
    soon(server.handshake(request)).await
}

async fn refusal(server: &Server, asked: Ask) -> Response<Option<Vec<u8>>> {
    match ask(server, asked).await {
        Err(Error::Http(answer)) => *answer,
        Err(error) => panic!("{asked:?}: {error}"),
        Ok(_) => panic!("{asked:?}: let in past the limit"),
    }
}

#[test]
fn past_each_limit_the_answer_says_which_and_when_to_come_back() {
    let cases: [Case; 4] = [
        (
            |config| config.connections_max = 2,
            [("a", "alice", ""), ("b", "bob", ""), ("c", "carol", "")],
            503,
            "CONNECTIONS_MAX",
        ),
        (
            |config| config.connections_per_document_max = 2,
            [("a", "alice", ""), ("a", "bob", ""), ("a", "carol", "")],
            429,
            "document",
        ),
        (
            |config| config.connections_per_user_max = 2,
            [("a", "alice", ""), ("b", "alice", ""), ("c", "alice", "")],
            429,
            "user",
        ),
        (
            |config| config.connections_per_address_max = 2,
            [
                ("a", "alice", "2001:db8::1"),
                ("b", "bob", "2001:db8::2"),
                ("c", "carol", "192.0.2.1, 2001:db8::3"),
            ],
            429,
            "address",
        ),
    ];
    for (tweak, [first, second, third], status, says) in cases {
        run(async move {
            let server = Server::start(tweak).await;
            let mut kept = ask(&server, first).await.unwrap();
            let gone = ask(&server, second).await.unwrap();
            let answer = refusal(&server, third).await;
            assert_eq!(answer.status(), status);
            assert!(answer.headers().contains_key("retry-after"));
            let body = String::from_utf8(answer.into_body().unwrap()).unwrap();
            assert!(body.contains(says), "{body}");
            let metrics = server.get("/metrics", "").await;
            let name = says.to_lowercase().replace("connections_max", "total");
            let counted = format!("ysyncd_connections_refused_total{{limit=\"{name}\"}} 1\n");
            assert!(metrics.contains(&counted), "{metrics}");
            // The others go on, and a place that is given up is free.
            kept.sync().await;
            drop(gone);
            while ask(&server, third).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        });
    }
}

#[test]
fn a_stranger_is_not_told_that_there_is_no_room() {
    run(async {
        let server = Server::start(|config| config.connections_max = 0).await;
        let Err(Error::Http(answer)) = server.connect_with("a", "alice:0").await else {
            panic!("let in");
        };
        assert_eq!(answer.status(), 401);
    });
}

#[test]
fn whoever_is_no_trusted_proxy_cannot_choose_its_address() {
    run(async {
        let server = Server::start(|config| {
            config.trusted_proxies = TrustedProxies::none();
            config.connections_per_address_max = 1;
        })
        .await;
        let _first = ask(&server, ("a", "alice", "192.0.2.1")).await.unwrap();
        let answer = refusal(&server, ("b", "bob", "192.0.2.2")).await;
        assert_eq!(answer.status(), 429);
    });
}

#[test]
fn a_proxy_that_does_not_say_for_whom_it_asks_is_not_counted_by_address() {
    run(async {
        let server = Server::start(|config| config.connections_per_address_max = 1).await;
        let mut clients = Vec::new();
        for doc in ["a", "b", "c"] {
            clients.push(ask(&server, (doc, "alice", "")).await.unwrap());
        }
        for client in &mut clients {
            client.sync().await;
        }
    });
}

#[test]
fn a_client_that_goes_away_before_it_is_let_in_leaves_its_place() {
    run(async {
        let store = crate::support::GatedStore::new(|| Ok(None));
        let tweak = |config: &mut Config| config.connections_max = 1;
        let server = Server::with_store(std::sync::Arc::clone(&store) as _, tweak).await;
        let mut waiting = server.tcp().await;
        let headers = crate::handshake::with_token(&token("alice"));
        let request = format!("GET /sync/v1/a HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        waiting.write_all(request.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        let answer = refusal(&server, ("b", "bob", "")).await;
        assert_eq!(answer.status(), 503);
        drop(waiting);
        store.gate.add_permits(10);
        while ask(&server, ("b", "bob", "")).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    });
}
