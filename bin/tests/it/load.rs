//! Much at once.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::process::{PATIENCE, Server, between};

/// An update of the text "a" by the client 1, in a frame masked with zeroes.
const UPDATE: &[u8] = &[
    0x82, 0x8e, 0, 0, 0, 0, // header
    0, 2, 11, 1, 1, 1, 0, 4, 1, 1, b't', 1, b'a', 0,
];

fn request(server: &Server, doc: &str) -> String {
    let token = between(&server.greeting, "token  ", "\n");
    format!(
        "GET /sync/v1/{doc} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer {token}\r\n\r\n"
    )
}

fn client(server: &Server, doc: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request(server, doc).as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
    stream
}

#[test]
fn a_length_that_is_only_declared_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut clients: Vec<_> = (0..100).map(|_| client(&server, "a")).collect();
    thread::sleep(Duration::from_millis(200));
    let before = server.resident_kib();
    for client in &mut clients {
        // 16 MiB, of which one byte comes.
        let head = [0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
        client.write_all(&head).unwrap();
    }
    thread::sleep(Duration::from_millis(500));
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB for 100 promises");
    assert!(server.end("-TERM").success());
}

#[test]
fn sigterm_ends_it_in_time_under_load_and_in_the_middle_of_handshakes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let port = server.port;
    let over = AtomicBool::new(false);
    let status = thread::scope(|scope| {
        // Some send as fast as they can and never read …
        for doc in 0..4 {
            let mut stream = client(&server, &format!("doc-{doc}"));
            let over = &over;
            scope.spawn(
                move || while !over.load(Ordering::Relaxed) && stream.write_all(UPDATE).is_ok() {},
            );
        }
        // … some come and come again, and some stop in the middle of it.
        for cut in [usize::MAX, 60, 1, 0] {
            let (request, over) = (request(&server, "doc-1"), &over);
            scope.spawn(move || {
                let mut kept = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
                        break;
                    };
                    let _ = stream.write_all(&request.as_bytes()[..cut.min(request.len())]);
                    kept.push(stream);
                    kept.truncate(100);
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
        thread::sleep(Duration::from_secs(1));
        let start = Instant::now();
        let status = server.end("-TERM");
        over.store(true, Ordering::Relaxed);
        // Closing over five seconds, and five more for those that do not answer.
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "{:?}",
            start.elapsed()
        );
        status
    });
    assert!(status.success());
    let stored = std::fs::metadata(folder.path().join("data/doc-0.bin")).unwrap();
    assert!(stored.len() > 0);
}
