//! The edges of the WebSocket protocol (RFC 6455), written byte by byte.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{SYNC_STEP_1, Server, run, soon};

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame of a client, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut frame = vec![first];
    match u16::try_from(payload.len()).unwrap() {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            frame.push(0x80 | 126);
            frame.extend(long.to_be_bytes());
        }
    }
    frame.extend(MASK);
    let mask = MASK.iter().cycle();
    frame.extend(payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A head that declares a length in eight bytes, and no more.
fn declared(len: u64) -> Vec<u8> {
    let mut head = vec![FIN | BINARY, 0x80 | 127];
    head.extend(len.to_be_bytes());
    head.extend([0; 4]);
    head
}

/// What the server says next.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
    End,
}

async fn next(stream: &mut TcpStream) -> Said {
    loop {
        let mut head = [0; 2];
        if stream.read_exact(&mut head).await.is_err() {
            return Said::End;
        }
        let len = match head[1] {
            126 => usize::from(stream.read_u16().await.unwrap()),
            127 => usize::try_from(stream.read_u64().await.unwrap()).unwrap(),
            len => len.into(),
        };
        let mut payload = vec![0; len];
        stream.read_exact(&mut payload).await.unwrap();
        match head[0] & 0xf {
            BINARY => return Said::Binary(payload),
            PONG => return Said::Pong(payload),
            CLOSE => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                return Said::Close(code);
            }
            _ => {}
        }
    }
}

/// A stream behind the handshake and the server's first words.
async fn open(server: &Server) -> TcpStream {
    let mut client = server.client("a").await;
    assert_eq!(soon(client.message()).await, SYNC_STEP_1);
    client.socket.into_inner()
}

/// Sends all of it at once and waits for one answer.
async fn answer(server: &Server, frames: &[Vec<u8>]) -> Said {
    let mut stream = open(server).await;
    stream.write_all(&frames.concat()).await.unwrap();
    soon(next(&mut stream)).await
}

#[test]
fn what_is_against_the_rules_closes_with_the_code_that_says_so() {
    run(async {
        let server = Server::start(|config| config.engine.frame_bytes_max = 10_000).await;
        let unmasked = {
            let mut frame = vec![FIN | BINARY, 4];
            frame.extend(SYNC_STEP_1);
            frame
        };
        let cases: Vec<(&str, Vec<Vec<u8>>, u16)> = vec![
            ("unmasked", vec![unmasked], 1002),
            (
                "first reserved bit",
                vec![frame(FIN | 0x40 | BINARY, SYNC_STEP_1)],
                1002,
            ),
            (
                "second reserved bit",
                vec![frame(FIN | 0x20 | BINARY, SYNC_STEP_1)],
                1002,
            ),
            (
                "third reserved bit",
                vec![frame(FIN | 0x10 | PING, b"")],
                1002,
            ),
            ("reserved opcode of data", vec![frame(FIN | 3, b"")], 1002),
            ("reserved opcode of data", vec![frame(FIN | 7, b"")], 1002),
            (
                "reserved opcode of control",
                vec![frame(FIN | 11, b"")],
                1002,
            ),
            (
                "reserved opcode of control",
                vec![frame(FIN | 15, b"")],
                1002,
            ),
            (
                "a ping in fragments",
                vec![frame(PING, b""), frame(FIN, b"")],
                1002,
            ),
            ("a long ping", vec![frame(FIN | PING, &[0; 126])], 1002),
            ("a long pong", vec![frame(FIN | PONG, &[0; 126])], 1002),
            ("a long close", vec![frame(FIN | CLOSE, &[3; 126])], 1002),
            ("a close in fragments", vec![frame(CLOSE, &[3, 232])], 1002),
            ("half a close code", vec![frame(FIN | CLOSE, &[3])], 1002),
            ("a continuation of nothing", vec![frame(FIN, b"")], 1002),
            (
                "a message within a message",
                vec![frame(BINARY, b""), frame(FIN | BINARY, SYNC_STEP_1)],
                1002,
            ),
            ("a text", vec![frame(FIN | TEXT, b"hello")], 1003),
            (
                "a text in fragments",
                vec![frame(TEXT, b"he"), frame(FIN, b"llo")],
                1003,
            ),
            (
                "a text that is not UTF-8",
                vec![frame(FIN | TEXT, &[0xff])],
                1007,
            ),
            ("one byte too many", vec![declared(10_001)], 1009),
            ("4 GiB", vec![declared(1 << 32)], 1009),
            ("more than there is", vec![declared(u64::MAX)], 1009),
            (
                "too much in small parts",
                vec![frame(BINARY, &[0; 6_000]), frame(FIN, &[0; 6_000])],
                1009,
            ),
        ];
        let mut good = server.client("a").await;
        for (name, frames, code) in cases {
            let said = answer(&server, &frames).await;
            assert_eq!(said, Said::Close(Some(code)), "{name}");
        }
        // A message of no content says nothing, and is none of these.
        good.send(b"").await;
        good.sync().await;
    });
}

#[test]
fn close_codes_that_may_not_be_sent_are_not_echoed() {
    run(async {
        let server = Server::start(|_| {}).await;
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535_u16] {
            let said = answer(&server, &[frame(FIN | CLOSE, &code.to_be_bytes())]).await;
            assert_eq!(said, Said::Close(Some(1002)), "{code}");
        }
        for code in [1000, 1001, 1003, 1011, 3000, 4999_u16] {
            let said = answer(&server, &[frame(FIN | CLOSE, &code.to_be_bytes())]).await;
            assert_eq!(said, Said::Close(Some(code)), "{code}");
        }
        let said = answer(&server, &[frame(FIN | CLOSE, b"")]).await;
        assert_eq!(said, Said::Close(None));
        let not_text = [3, 232, 0xff, 0xfe];
        let said = answer(&server, &[frame(FIN | CLOSE, &not_text)]).await;
        assert!(matches!(said, Said::Close(Some(1002 | 1007))), "{said:?}");
        // What comes behind a close frame is not for anybody.
        let mut stream = open(&server).await;
        let both = [
            frame(FIN | CLOSE, &[3, 232]),
            frame(FIN | BINARY, SYNC_STEP_1),
        ];
        stream.write_all(&both.concat()).await.unwrap();
        assert_eq!(soon(next(&mut stream)).await, Said::Close(Some(1000)));
        assert_eq!(soon(next(&mut stream)).await, Said::End);
    });
}

/// A proxy that is reloaded may end a client's stream like this (Caddy 2.6.2).
#[test]
fn a_close_that_is_not_masked_is_a_plain_disconnect() {
    run(async {
        let server = Server::start(|_| {}).await;
        let with_code = [FIN | CLOSE, 2, 3, 233];
        let cases: [&[&[u8]]; 4] = [
            &[&[FIN | CLOSE, 0]],
            &[&with_code],
            &[&frame(FIN | BINARY, SYNC_STEP_1), &with_code],
            &[&with_code, &frame(FIN | BINARY, SYNC_STEP_1)],
        ];
        for frames in cases {
            let mut stream = open(&server).await;
            stream.write_all(&frames.concat()).await.unwrap();
            loop {
                match soon(next(&mut stream)).await {
                    Said::Binary(_) => {}
                    said => break assert_eq!(said, Said::End, "{frames:?}"),
                }
            }
        }
        // What is wrong with it otherwise is a fault.
        let long = [vec![FIN | CLOSE, 126, 0, 126], vec![0; 126]];
        let said = answer(&server, &long).await;
        assert_eq!(said, Said::Close(Some(1002)));
        let said = answer(&server, &[vec![CLOSE, 0]]).await;
        assert_eq!(said, Said::Close(Some(1002)));
        let metrics = server.get("/metrics", "").await;
        for (code, times) in [(1002, 2), (1006, 4)] {
            let closed = format!("ysyncd_connections_closed_total{{code=\"{code}\"}} {times}\n");
            assert!(metrics.contains(&closed), "{metrics}");
        }
    });
}

#[test]
fn pings_between_fragments_are_answered_and_the_message_stays_whole() {
    run(async {
        let server = Server::start(|_| {}).await;
        let mut stream = open(&server).await;
        let frames = [
            frame(BINARY, &SYNC_STEP_1[..1]),
            frame(FIN | PING, b"one"),
            frame(CONTINUATION, b""),
            frame(CONTINUATION, &SYNC_STEP_1[1..3]),
            frame(FIN | PONG, b"nobody asked"),
            frame(FIN | PING, &[7; 125]),
            frame(FIN, &SYNC_STEP_1[3..]),
        ];
        // Byte by byte, so that no head arrives in one piece.
        for byte in frames.concat() {
            stream.write_all(&[byte]).await.unwrap();
        }
        assert_eq!(soon(next(&mut stream)).await, Said::Pong(b"one".to_vec()));
        assert_eq!(soon(next(&mut stream)).await, Said::Pong(vec![7; 125]));
        loop {
            if let Said::Binary(message) = soon(next(&mut stream)).await
                && message.starts_with(&[0, 1])
            {
                break;
            }
        }
    });
}

#[test]
fn a_flood_of_empty_fragments_stops_nobody_else() {
    run(async {
        let server = Server::start(|_| {}).await;
        let mut other = server.client("a").await;
        let mut stream = open(&server).await;
        stream.write_all(&frame(BINARY, b"")).await.unwrap();
        let flood = frame(CONTINUATION, b"").repeat(10_000);
        let flooding = async { while stream.write_all(&flood).await.is_ok() {} };
        let editing = async {
            for _ in 0..100 {
                timeout(Duration::from_secs(1), other.sync()).await.unwrap();
            }
        };
        tokio::select! {
            () = flooding => panic!("closed before a minute was over"),
            () = editing => {}
        }
        let metrics = server.get("/metrics", "").await;
        let slowed = "ysyncd_connections_slowed_total{excess=\"messages\"} 1\n";
        assert!(metrics.contains(slowed), "{metrics}");
    });
}
