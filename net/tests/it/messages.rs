//! What happens on an open WebSocket.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::support::{SYNC_STEP_1, Server, run, soon, store_with, text_update};

#[test]
fn a_stored_document_reaches_a_client_whole() {
    run(async {
        for len in [0, 100, 20_000, 5_000_000] {
            let update = text_update(len.max(1));
            let server = Server::with_store(store_with(update.clone()).await, |_| {}).await;
            let answer = server.client("big").await.sync().await;
            assert!(
                answer.ends_with(&update),
                "{} of {len} bytes came",
                answer.len()
            );
        }
    });
}

#[test]
fn every_request_is_answered_however_many_come_at_once() {
    run(async {
        let server = Server::start(|_| {}).await;
        let mut client = server.client("a").await;
        for _ in 0..1_000 {
            let message = Message::Binary(Bytes::from_static(SYNC_STEP_1));
            client.socket.feed(message).await.unwrap();
        }
        client.socket.flush().await.unwrap();
        // One answer may stand for several requests: only the last counts.
        client.sync_step_2().await;
        client.sync().await;
    });
}

#[test]
fn what_comes_right_behind_a_large_message_is_answered_at_once() {
    run(async {
        let server = Server::start(|_| {}).await;
        let mut client = server.client("a").await;
        let large = ysyncd_engine::protocol::update(&text_update(100_000));
        for bytes in [large, Bytes::from_static(SYNC_STEP_1)] {
            client.socket.feed(Message::Binary(bytes)).await.unwrap();
        }
        client.socket.flush().await.unwrap();
        let answer = timeout(Duration::from_secs(8), client.sync_step_2()).await;
        assert!(answer.is_ok(), "nothing but a ping would wake it");
    });
}

#[test]
fn a_message_in_fragments_is_one_message() {
    run(async {
        let server = Server::start(|_| {}).await;
        let mut client = server.client("a").await;
        for (index, byte) in SYNC_STEP_1.iter().enumerate() {
            let kind = if index == 0 {
                Data::Binary
            } else {
                Data::Continue
            };
            let last = index + 1 == SYNC_STEP_1.len();
            let frame = Frame::message(vec![*byte], OpCode::Data(kind), last);
            client.socket.send(Message::Frame(frame)).await.unwrap();
        }
        client.sync_step_2().await;
    });
}

#[test]
fn a_fault_closes_its_connection_with_its_code() {
    run(async {
        let server = Server::start(|config| config.engine.frame_bytes_max = 100_000).await;
        let mut bystander = server.client("a").await;
        bystander.sync().await;

        let reserved_bit = {
            let mut frame = Frame::message(vec![0], OpCode::Data(Data::Binary), true);
            frame.header_mut().rsv1 = true;
            frame
        };
        let part = |kind| Frame::message(vec![0; 60_000], OpCode::Data(kind), false);
        let faults = [
            (vec![Message::text("hello")], 1003),
            (vec![Message::binary(vec![0; 100_001])], 1009),
            (
                vec![
                    Message::Frame(part(Data::Binary)),
                    Message::Frame(part(Data::Continue)),
                ],
                1009,
            ),
            (vec![Message::Frame(reserved_bit)], 1002),
            (vec![Message::Frame(part(Data::Continue))], 1002),
            (vec![Message::binary(vec![9, 9, 9])], 1007),
        ];
        for (messages, expected) in faults {
            let mut client = server.client("a").await;
            for message in messages {
                client.socket.send(message).await.unwrap();
            }
            let (code, reason) = client.closed().await;
            assert_eq!(code, expected, "{reason}");
            assert!(!reason.is_empty());
        }
        bystander.sync().await;
    });
}

#[test]
fn a_message_that_is_not_taken_is_counted_by_what_is_wrong_with_it() {
    run(async {
        let server = Server::start(|config| {
            config.engine.frame_bytes_max = 100_000;
        })
        .await;
        let too_big = vec![0; 100_001];
        // Messages of no type, and state vectors cut short.
        let faults = [
            (&[5][..], 1007),
            (&[0, 0, 1, 1], 1007),
            (&[0, 0, 1, 2], 1007),
            (&too_big, 1009),
        ];
        for (message, expected) in faults {
            let mut client = server.client("a").await;
            client
                .socket
                .send(Message::binary(message.to_vec()))
                .await
                .unwrap();
            let (code, reason) = client.closed().await;
            assert_eq!(code, expected, "{reason}");
        }
        let metrics = server.get("/metrics", "").await;
        for (reason, count) in [
            ("malformed", 1),
            ("malformed_state_vector", 2),
            ("state_vector_too_long", 0),
            ("too_big", 1),
        ] {
            let counted =
                format!("\nysyncd_messages_refused_total{{reason=\"{reason}\"}} {count}\n");
            assert!(metrics.contains(&counted), "{counted}{metrics}");
        }
    });
}

#[test]
fn the_close_frame_arrives_although_the_client_is_still_sending() {
    run(async {
        let server = Server::start(|_| {}).await;
        let client = server.client("a").await;
        // Four times what is allowed, announced and sent: the server must
        // not reset the connection over what it does not want to read.
        let message = Message::binary(vec![0; 64 << 20]);
        let (mut sender, mut receiver) = client.socket.split();
        let sending = tokio::task::spawn_local(async move {
            let _ = sender.send(message).await;
        });
        let closed = soon(async {
            loop {
                if let Message::Close(Some(frame)) = receiver.next().await.unwrap().unwrap() {
                    return frame.code;
                }
            }
        });
        assert_eq!(u16::from(closed.await), 1009);
        sending.abort();
    });
}

#[test]
fn a_client_that_answers_pings_stays_and_a_silent_one_is_cut() {
    run(async {
        let server = Server::start(|config| {
            config.ping_interval = Duration::from_millis(100);
            config.silence_max = Duration::from_millis(400);
        })
        .await;
        let silent = server.client("a").await;
        let mut lively = server.client("a").await;
        let start = Instant::now();
        let mut pings = 0;
        while start.elapsed() < Duration::from_millis(1_000) {
            match timeout(Duration::from_millis(300), lively.socket.next()).await {
                Ok(Some(Ok(Message::Ping(_)))) => pings += 1,
                Ok(Some(Ok(_))) => {}
                other => panic!("{other:?} after {:?}", start.elapsed()),
            }
        }
        assert!(pings >= 5, "{pings} pings");
        // Not read from until now, so not one pong was sent.
        let mut silent = silent.socket;
        let mut last = None;
        while let Some(Ok(message)) = soon(silent.next()).await {
            last = Some(message);
        }
        assert!(!matches!(last, Some(Message::Close(_))), "cut, not closed");
        assert_eq!(server.metric("connections_cut_for_silence_total").await, 1);
    });
}

#[test]
fn pings_are_answered() {
    run(async {
        let server = Server::start(|_| {}).await;
        let mut client = server.client("a").await;
        let ping = Message::Ping(Bytes::from_static(b"are you there"));
        client.socket.send(ping).await.unwrap();
        loop {
            if let Message::Pong(payload) = soon(client.socket.next()).await.unwrap().unwrap() {
                assert_eq!(&payload[..], b"are you there");
                break;
            }
        }
    });
}

#[test]
fn a_client_that_does_not_read_stops_nobody_else() {
    run(async {
        let store = store_with(text_update(15 << 20)).await;
        let server = Server::with_store(store, |_| {}).await;
        let mut stalled = server.client("big").await;
        stalled.send(SYNC_STEP_1).await;
        sleep(Duration::from_millis(100)).await;
        // Not even the server's reading of the same client.
        stalled.send(SYNC_STEP_1).await;
        let mut other = server.client("a").await;
        for _ in 0..100 {
            timeout(Duration::from_secs(1), other.sync()).await.unwrap();
        }
        assert!(stalled.sync_step_2().await.len() > 15 << 20);
    });
}

#[test]
fn pongs_do_not_pile_up_for_a_client_that_does_not_read() {
    run(async {
        let server = Server::start(|_| {}).await;
        let client = server.client("a").await;
        let mut stream = client.socket.into_inner();
        // Pings of the largest size, masked with zeroes. What the server does
        // not read stays in the kernel's buffers, and then with the client.
        let mut ping = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
        ping.resize(ping.len() + 125, 0);
        let pings = ping.repeat(1_000);
        let mut sent = 0;
        while timeout(Duration::from_secs(2), stream.write_all(&pings))
            .await
            .is_ok()
        {
            sent += pings.len();
            assert!(sent < 40 << 20, "the server swallows pings without end");
        }
    });
}

#[test]
fn a_client_that_vanishes_is_counted_out() {
    run(async {
        let server = Server::start(|_| {}).await;
        drop(server.client("a").await);
        soon(async {
            let gone = "ysyncd_connections_closed_total{code=\"1006\"} 1\n";
            while !server.get("/metrics", "").await.contains(gone) {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    });
}

#[test]
fn a_close_frame_that_cannot_be_written_does_not_keep_a_connection() {
    run(async {
        let store = store_with(text_update(15 << 20)).await;
        let server = Server::with_store(store, |_| {}).await;
        let mut stalled = server.client("big").await;
        stalled.send(SYNC_STEP_1).await;
        sleep(Duration::from_millis(100)).await;
        stalled.send(&[9, 9, 9]).await;
        let gone = async {
            let none = "ysyncd_connections 0\n";
            while !server.get("/metrics", "").await.contains(none) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(4), gone).await.unwrap();
    });
}
