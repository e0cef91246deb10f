//! The page at `/`, what it is made of, and what it asks.

use ysyncd_net::{Config, Demo};

use crate::support::{Server, run, token};

fn with_page(config: &mut Config) {
    config.demo = Some(Demo { token: None });
}

/// As where nobody but this machine comes.
fn with_token(config: &mut Config) {
    let token = Some(token("demo"));
    config.demo = Some(Demo { token });
}

/// The head and the body of an answer.
fn parts(answer: &str) -> (&str, &str) {
    answer.split_once("\r\n\r\n").unwrap()
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(header, _)| *header == name);
    found.unwrap_or_else(|| panic!("no {name}: {head}")).1
}

impl Server {
    /// What the page is answered when it asks what it may do.
    async fn access(&self, document: &str, headers: &str) -> String {
        self.request(&format!(
            "POST /page/access?document={document} HTTP/1.1\r\ncontent-length: 0\r\n\
             connection: close\r\n{headers}\r\n"
        ))
        .await
    }
}

#[test]
fn every_file_has_its_type_and_a_policy() {
    run(async {
        let server = Server::start(with_page).await;
        for (path, content_type, begins) in [
            ("/", "text/html; charset=utf-8", "<!doctype html>"),
            ("/?x=1", "text/html; charset=utf-8", "<!doctype html>"),
            ("/page/editor.js", "text/javascript; charset=utf-8", ""),
            ("/page/editor.css", "text/css; charset=utf-8", ":root"),
            ("/page/icon.svg", "image/svg+xml", "<svg"),
            ("/page/licenses.txt", "text/plain; charset=utf-8", "The"),
        ] {
            let answer = server.get(path, "").await;
            let (head, body) = parts(&answer);
            assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
            assert_eq!(header(head, "content-type"), content_type, "{path}");
            assert_eq!(header(head, "cache-control"), "no-cache");
            assert_eq!(header(head, "x-content-type-options"), "nosniff");
            let policy = header(head, "content-security-policy");
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
            assert!(body.starts_with(begins), "{path}");
            assert_eq!(header(head, "content-length"), body.len().to_string());
        }
    });
}

#[test]
fn what_a_client_has_is_not_sent_again() {
    run(async {
        let server = Server::start(with_page).await;
        let answer = server.get("/page/editor.js", "").await;
        let etag = header(parts(&answer).0, "etag").to_owned();
        for known in [
            etag.clone(),
            format!("W/{etag}"),
            format!("\"x\", {etag}"),
            "*".to_owned(),
        ] {
            let known = format!("if-none-match: {known}\r\n");
            let answer = server.get("/page/editor.js", &known).await;
            let (head, body) = parts(&answer);
            assert!(head.starts_with("HTTP/1.1 304"), "{known}: {head}");
            assert_eq!(header(head, "etag"), etag);
            assert_eq!(body, "");
        }
        for unknown in ["\"x\"", "W/\"x\"", ""] {
            let unknown = format!("if-none-match: {unknown}\r\n");
            let answer = server.get("/page/editor.js", &unknown).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{unknown}");
        }
        let other = server.get("/page/editor.css", "").await;
        assert_ne!(header(parts(&other).0, "etag"), etag);
    });
}

#[test]
fn head_tells_the_length_and_other_methods_are_refused() {
    run(async {
        let server = Server::start(with_page).await;
        let ask = async |method| {
            let rest = "/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            server.request(&format!("{method} {rest}")).await
        };
        let (got, head) = (ask("GET").await, ask("HEAD").await);
        assert_eq!(parts(&head), (parts(&got).0, ""));
        let posted = ask("POST").await;
        assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
        assert_eq!(header(parts(&posted).0, "allow"), "GET, HEAD");
        let asked = server.get("/page/access", "").await;
        assert!(asked.starts_with("HTTP/1.1 405"), "{asked}");
    });
}

#[test]
fn without_demo_there_is_nothing() {
    run(async {
        let server = Server::start(|_| {}).await;
        for path in ["/", "/page/editor.js", "/page/licenses.txt"] {
            let answer = server.get(path, "").await;
            assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        }
        let bearer = format!("host: x\r\nauthorization: Bearer {}\r\n", token("alice"));
        let answer = server.access("a", &bearer).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    });
}

#[test]
fn the_page_is_told_what_its_token_allows() {
    run(async {
        let origin = "https://app.example.org";
        let server = Server::start(|config| {
            with_page(config);
            config.allowed_origins = Some(vec![origin.parse().unwrap()]);
        })
        .await;
        let good = format!("authorization: Bearer {}\r\n", token("alice"));
        let from = format!("host: x\r\norigin: {origin}\r\n");
        let granted = server.access("a", &format!("{from}{good}")).await;
        assert!(granted.starts_with("HTTP/1.1 200"), "{granted}");
        assert_eq!(parts(&granted).1, "access=write");
        assert_eq!(header(parts(&granted).0, "cache-control"), "no-store");
        let forged = token("bob").replace("bob", "alice");
        for (document, headers, status, says) in [
            ("a", from.clone(), 401, "a token is missing"),
            (
                "a",
                format!("{from}authorization: Bearer {forged}\r\n"),
                401,
                "signature is wrong",
            ),
            ("", format!("{from}{good}"), 400, "document id"),
            (
                "a",
                format!("host: x\r\norigin: http://evil.example\r\n{good}"),
                403,
                "origin",
            ),
            ("a", format!("{from}{good}{good}"), 400, "one Authorization"),
        ] {
            let answer = server.access(document, &headers).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
            assert!(parts(&answer).1.contains(says), "{answer}");
        }
    });
}

#[test]
fn this_machine_is_given_a_token_and_others_are_not() {
    run(async {
        let server = Server::start(with_token).await;
        let here = "host: localhost:1234\r\norigin: http://localhost:1234\r\n";
        let answer = server.access("a", here).await;
        let expected = form_urlencoded_token(&token("demo"));
        assert_eq!(parts(&answer).1, format!("access=write&token={expected}"));
        for elsewhere in [
            "host: evil.example\r\norigin: http://evil.example\r\n",
            "host: localhost:1234\r\norigin: http://evil.example\r\n",
            "host: localhost:1234\r\n",
            "host: localhost:1234\r\norigin: http://localhost:1234\r\nx-forwarded-for: 1.2.3.4\r\n",
        ] {
            let answer = server.access("a", elsewhere).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{elsewhere}: {answer}");
            assert!(!answer.contains(&token("demo")), "{elsewhere}");
            assert!(!answer.contains(&expected), "{elsewhere}");
        }
        // Whoever brings a token is judged by that one.
        let wrong = format!("{here}authorization: Bearer alice:x\r\n");
        assert!(server.access("a", &wrong).await.starts_with("HTTP/1.1 401"));
    });
}

/// A token as a form holds it: of what stands in tokens, only the colon is
/// written in another way.
fn form_urlencoded_token(token: &str) -> String {
    token.replace(':', "%3A")
}

#[test]
fn a_configuration_tells_no_token() {
    let demo = Demo {
        token: Some(token("demo")),
    };
    assert_eq!(format!("{demo:?}"), "Demo { .. }");
}
