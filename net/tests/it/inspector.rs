//! The page at `/inspector`, and what it asks.

use std::time::Duration;

use tokio::time::sleep;
use ysyncd_net::{Config, Inspector};

use crate::support::{Server, run, text_update};

const TOKEN: &str = "an-admin-token-of-the-tests";

fn with_token(config: &mut Config) {
    config.inspector = Some(Inspector::Token(TOKEN.to_owned()));
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// Longer than what was found out is told again.
const STALE: Duration = Duration::from_millis(1_000);

#[test]
fn the_page_is_there_for_everybody_and_its_facts_are_not() {
    run(async {
        let server = Server::start(with_token).await;
        for path in ["/inspector", "/page/inspector.js", "/page/inspector.css"] {
            let answer = server.get(path, "").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            assert!(answer.contains("content-security-policy: default-src 'none'; script-src"));
        }
        let icon = server.get("/page/icon.svg", "").await;
        assert!(icon.starts_with("HTTP/1.1 200"), "{icon}");
        for path in ["/", "/page/editor.js", "/page/licenses.txt"] {
            let answer = server.get(path, "").await;
            assert!(answer.starts_with("HTTP/1.1 404"), "{path} is the editor's");
        }
        for wrong in [
            String::new(),
            bearer(""),
            bearer("an-admin-token-of-the-test"),
            bearer("an-admin-token-of-the-testsx"),
            bearer("An-admin-token-of-the-tests"),
            format!("authorization: Basic {TOKEN}\r\n"),
        ] {
            let answer = server.get("/inspector/facts", &wrong).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{wrong}: {answer}");
            assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
            assert!(!answer.contains("documents"), "{answer}");
        }
        let in_address = format!("/inspector/facts?token={TOKEN}");
        let answer = server.get(&in_address, "").await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        let twice = format!("{}{}", bearer(TOKEN), bearer("x"));
        let answer = server.get("/inspector/facts", &twice).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let posted = format!(
            "POST /inspector/facts HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n",
            bearer(TOKEN)
        );
        let answer = server.request(&posted).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    });
}

#[test]
fn who_has_the_token_sees_documents_and_connections() {
    run(async {
        let server = Server::start(with_token).await;
        let mut client = server.client("no%22tes").await;
        client.sync().await;
        let update = text_update(3);
        let mut message = vec![0, 2, u8::try_from(update.len()).unwrap()];
        message.extend(update);
        client.send(&message).await;
        client.sync().await;
        let answer = server.get("/inspector/facts", &bearer(TOKEN)).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        for line in ["content-type: application/json", "cache-control: no-store"] {
            assert!(head.contains(line), "{head}");
        }
        for part in [
            r#""documents_total":1,"#,
            r#""connections_total":1,"#,
            r#""id":"no\"tes""#,
            r#""phase":"live""#,
            r#""user":"alice""#,
            r#""version":1"#,
            r#""saved_version":0,"#,
            r#""structs":1,"#,
            r#""journal":"off""#,
        ] {
            assert!(body.contains(part), "{part}: {body}");
        }
        let again = server.get("/inspector/facts", &bearer(TOKEN)).await;
        assert_eq!(again, answer, "it is not found out anew at once");
        sleep(STALE).await;
        let later = server.get("/inspector/facts", &bearer(TOKEN)).await;
        assert_ne!(later, answer);
    });
}

#[test]
fn where_no_token_is_needed_only_this_machine_may_look() {
    run(async {
        let server = Server::start(|config| config.inspector = Some(Inspector::ThisMachine)).await;
        let ask = async |headers: &str| {
            let head = "GET /inspector/facts HTTP/1.1\r\nconnection: close\r\n";
            server.request(&format!("{head}{headers}\r\n")).await
        };
        let host = format!("host: {}\r\n", server.address);
        let own = ask(&format!("{host}sec-fetch-site: same-origin\r\n")).await;
        assert!(own.starts_with("HTTP/1.1 200"), "{own}");
        for bad in [
            "host: evil.example\r\n".to_owned(),
            format!("{host}origin: http://evil.example\r\n"),
            format!("{host}sec-fetch-site: cross-site\r\n"),
            format!("{host}x-forwarded-for: 203.0.113.7\r\n"),
        ] {
            let answer = ask(&bad).await;
            assert!(answer.starts_with("HTTP/1.1 403"), "{bad}: {answer}");
            assert!(!answer.contains("documents"), "{answer}");
        }
    });
}

#[test]
fn without_an_inspector_there_is_nothing() {
    run(async {
        let server = Server::start(|_| {}).await;
        for path in ["/inspector", "/inspector/facts", "/page/inspector.js"] {
            let answer = server.get(path, &bearer(TOKEN)).await;
            assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        }
    });
}

#[test]
fn a_configuration_tells_no_admin_token() {
    let inspector = Inspector::Token(TOKEN.to_owned());
    assert!(!format!("{inspector:?}").contains(TOKEN));
}
