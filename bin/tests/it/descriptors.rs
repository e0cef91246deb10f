//! At the limit of file descriptors.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::process::{PATIENCE, Server, between};

/// What a client is answered, and the connection, if it stays.
fn handshake(server: &Server, token: &str, doc: usize) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET /sync/v1/{doc} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    (String::from_utf8(status.to_vec()).unwrap(), stream)
}

#[test]
fn who_is_one_too_many_gets_503_and_nothing_spins() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_limited(folder.path(), "ulimit -n 128");
    let token = between(&server.greeting, "token  ", "\n");
    let mut kept = Vec::new();
    let mut refused = 0;
    for doc in 0..128 {
        let (status, stream) = handshake(&server, token, doc);
        match status.as_str() {
            "HTTP/1.1 101" => kept.push(stream),
            "HTTP/1.1 503" => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((kept.len(), refused), (48, 80));
    // Strangers that say nothing fill the places of handshakes, and the
    // backlog; there is nothing to be done, and so nothing is.
    let strangers = (0..100).map(|_| TcpStream::connect(("127.0.0.1", server.port)));
    let strangers: Vec<_> = strangers.collect::<Result<_, _>>().unwrap();
    let before = server.cpu_ticks();
    thread::sleep(Duration::from_secs(1));
    let used = server.cpu_ticks() - before;
    assert!(used < 20, "{used} hundredths of a second");

    drop(strangers);
    drop(kept.pop());
    let start = Instant::now();
    while handshake(&server, token, 1).0 != "HTTP/1.1 101" {
        assert!(start.elapsed() < PATIENCE, "a free place is not used");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(server.end("-TERM").success());
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_limited(folder.path(), "ulimit -Hn 512; ulimit -Sn 64");
    let token = between(&server.greeting, "token  ", "\n");
    let kept: Vec<_> = (0..100).map(|doc| handshake(&server, token, doc)).collect();
    assert!(kept.iter().all(|(status, _)| status == "HTTP/1.1 101"));
}
