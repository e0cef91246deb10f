//! From the first start to the end.

use std::{
    fs::{self, File},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use crate::process::{Server, between, closed, output};

#[test]
fn without_any_environment_it_prints_a_url_and_a_token_that_work() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());

    let url = between(&server.greeting, "url    ", "\n");
    let path = &url[url.find("/sync").unwrap()..];
    assert_eq!(server.handshake(path, ""), "HTTP/1.1 101");

    let token = between(&server.greeting, "token  ", "\n");
    let header = format!("authorization: Bearer {token}\r\n");
    assert_eq!(server.handshake("/sync/v1/a", &header), "HTTP/1.1 101");
    assert_eq!(server.handshake("/sync/v1/a", ""), "HTTP/1.1 401");
}

#[test]
fn it_greets_with_a_token_that_it_accepts() {
    for auth in ["token", "jwt"] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start_with(folder.path(), &[("AUTH", auth)]);
        let token = between(&server.greeting, "token  ", "\n");
        let header = format!("authorization: Bearer {token}\r\n");
        assert_eq!(server.handshake("/sync/v1/a", &header), "HTTP/1.1 101");
    }
}

#[test]
fn it_serves_where_nobody_reads_its_greeting() {
    for stdout in [closed(), File::create("/dev/full").unwrap().into()] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start_unheard(folder.path(), stdout, &[]);
        let status = server.status_of("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(status, "HTTP/1.1 200");
        assert_eq!(server.end("-TERM").code(), Some(0));
    }
}

#[test]
fn the_secret_is_made_once_and_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data/secret");
    assert!(Server::start(folder.path()).end("-TERM").success());
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = fs::read(&file).unwrap();
    // 32 bytes in base64url, and the end of the line.
    assert_eq!(secret.len(), 44);

    let again = Server::start(folder.path());
    assert_eq!(fs::read(&file).unwrap(), secret);
    let minted = output(folder.path(), &["token", "alice"], &[]);
    let token = String::from_utf8(minted.stdout).unwrap();
    let header = format!("authorization: Bearer {}\r\n", token.trim_end());
    assert_eq!(again.handshake("/sync/v1/a", &header), "HTTP/1.1 101");
}

#[test]
fn servers_that_start_together_agree_on_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let servers: Vec<Server> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| Server::start(folder.path())))
            .collect();
        starting
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect()
    });
    let tokens = servers
        .iter()
        .map(|one| between(&one.greeting, "token  ", "\n"));
    assert_eq!(tokens.collect::<std::collections::BTreeSet<_>>().len(), 1);
}

#[test]
fn sigterm_and_sigint_end_it_in_order() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path());
        let connection = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        let status = server.end(signal);
        assert_eq!(status.code(), Some(0), "{signal}");
        drop(connection);
    }
}

#[test]
fn each_shard_has_a_thread_of_its_own_and_all_end_together() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), &[("SHARDS", "3")]);
    let token = output(folder.path(), &["token", "alice"], &[]).stdout;
    let token = String::from_utf8(token).unwrap();
    let header = format!("authorization: Bearer {}\r\n", token.trim_end());
    for doc in 0..8 {
        let path = format!("/sync/v1/{doc}");
        assert_eq!(server.handshake(&path, &header), "HTTP/1.1 101");
    }
    for number in [2, 3] {
        assert!(server.threads().contains(&format!("shard {number}")));
    }
    assert_eq!(server.end("-TERM").code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let port = server.port.to_string();
    std::thread::sleep(Duration::from_millis(10));
    let second = output(folder.path(), &["--port", &port], &[]);
    assert_eq!(second.status.code(), Some(1));
    let says = String::from_utf8(second.stderr).unwrap();
    assert_eq!(says.lines().count(), 1, "{says}");
    assert!(says.contains(&port) && says.contains("set PORT"), "{says}");
}

#[test]
fn an_address_of_another_machine_is_told_with_the_setting_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    // Of a network that is for examples alone.
    let secret = ("SYNC_SHARED_SECRET", "a secret for tests, long enough");
    let ended = output(folder.path(), &["--host", "192.0.2.1"], &[secret]);
    let says = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{says}");
    assert!(
        says.contains("192.0.2.1:1234") && says.contains("set HOST"),
        "{says}"
    );
}

#[test]
fn a_page_that_no_origin_is_allowed_for_is_told() {
    for (origins, is_told) in [
        ("https://app.example.org", true),
        ("http://localhost:PORT", false),
        ("", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let origins = origins.replace("PORT", &port.to_string());
        let environment = [("ALLOWED_ORIGINS", origins.as_str())];
        let server = Server::start_at(folder.path(), port, &environment);
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(log.contains("ALLOWED_ORIGINS"), is_told, "{origins}: {log}");
        drop(server);
    }
}

#[test]
fn a_server_to_try_has_a_page_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let status = |server: &Server| server.status_of("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    let server = Server::start(folder.path());
    let url = format!("http://127.0.0.1:{}/\n", server.port);
    assert!(server.greeting.contains(&url), "{}", server.greeting);
    assert_eq!(status(&server), "HTTP/1.1 200");
    let look = format!("http://127.0.0.1:{}/inspector\n", server.port);
    assert!(server.greeting.contains(&look), "{}", server.greeting);
    assert_eq!(facts(&server, ""), "HTTP/1.1 200");
    drop(server);
    let without = Server::start_with(folder.path(), &[("DEMO", "false")]);
    assert!(
        !without.greeting.contains("http://"),
        "{}",
        without.greeting
    );
    assert_eq!(status(&without), "HTTP/1.1 404");
    assert_eq!(facts(&without, ""), "HTTP/1.1 404");
}

/// How a request for what the inspector shows is answered.
fn facts(server: &Server, header: &str) -> String {
    let host = format!("host: 127.0.0.1:{}\r\n", server.port);
    server.status_of(&format!(
        "GET /inspector/facts HTTP/1.1\r\n{host}{header}\r\n"
    ))
}

#[test]
fn an_admin_token_opens_the_inspector() {
    let folder = tempfile::tempdir().unwrap();
    let token = "an-admin-token-of-16+";
    let server = Server::start_with(folder.path(), &[("ADMIN_TOKEN", token)]);
    assert_eq!(facts(&server, ""), "HTTP/1.1 401");
    let header = format!("authorization: Bearer {token}\r\n");
    assert_eq!(facts(&server, &header), "HTTP/1.1 200");
}

#[test]
fn an_admin_token_that_can_be_guessed_is_refused_and_not_told() {
    let folder = tempfile::tempdir().unwrap();
    for token in ["only-15-letters", "sixteen letters with blanks"] {
        let ended = output(folder.path(), &["--port", "0"], &[("ADMIN_TOKEN", token)]);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("ADMIN_TOKEN"), "{told}");
        assert!(!told.contains(token), "{told}");
    }
}
