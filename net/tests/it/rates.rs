//! How fast a client may send.

use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;
use ysyncd_net::Config;

use crate::support::{Client, SYNC_STEP_1, Server, run, soon, token};

/// A frame of this kind with an empty payload, masked with zeroes.
const fn empty_frame(first: u8) -> [u8; 6] {
    [first, 0x80, 0, 0, 0, 0]
}

fn raw(client: Client) -> TcpStream {
    client.socket.into_inner()
}

fn ten_messages_a_second(config: &mut Config) {
    config.inbound_messages_per_second = Some(10);
    config.inbound_messages_burst = 20;
    config.slowed_max = Duration::from_secs(1);
}

#[test]
fn a_burst_passes_at_once_and_more_at_the_rate() {
    run(async {
        let server = Server::start(|config| {
            config.inbound_messages_per_second = Some(100);
            config.inbound_messages_burst = 200;
        })
        .await;
        let mut client = server.client("a").await;
        let start = Instant::now();
        for _ in 0..150 {
            client.send(SYNC_STEP_1).await;
        }
        client.sync().await;
        assert!(
            start.elapsed() < Duration::from_millis(900),
            "{:?}",
            start.elapsed()
        );
        // One by one, so that what is read at once is little.
        for _ in 0..100 {
            client.sync().await;
        }
        let taken = start.elapsed();
        assert!(taken > Duration::from_millis(400), "{taken:?}");
        assert!(taken < Duration::from_secs(5), "{taken:?}");
        let metrics = server.get("/metrics", "").await;
        let slowed = "ysyncd_connections_slowed_total{excess=\"messages\"} 1\n";
        assert!(metrics.contains(slowed), "{metrics}");
    });
}

#[test]
fn bytes_that_come_too_fast_wait_with_their_sender() {
    run(async {
        let server = Server::start(|config| {
            config.engine.frame_bytes_max = 100_000;
            config.inbound_bytes_per_second = Some(1 << 20);
            config.inbound_bytes_burst = 100_000;
        })
        .await;
        let mut other = server.client("a").await;
        let mut stream = raw(server.client("a").await);
        // A ping holds 125 bytes at most, and is answered; what answers
        // nothing is an unknown awareness query.
        let mut frame = vec![0x82, 0xfe, 0x40, 0x00, 0, 0, 0, 0];
        frame.resize(8 + (0x40 << 8), 0);
        frame[8] = 3;
        let flood = frame.repeat(64);
        let mut sent = 0;
        let flooding = async {
            loop {
                stream.write_all(&flood).await?;
                sent += flood.len();
            }
            #[expect(unreachable_code, reason = "it tells the type of the error")]
            Ok::<(), std::io::Error>(())
        };
        let _ = timeout(Duration::from_secs(2), flooding).await;
        // What the kernel's buffers hold comes on top of what was read.
        assert!(sent < 24 << 20, "{sent} bytes were taken");
        timeout(Duration::from_secs(1), other.sync()).await.unwrap();
    });
}

#[test]
fn who_goes_on_is_closed_and_told_why() {
    run(async {
        let server = Server::start(ten_messages_a_second).await;
        let mut client = server.client("a").await;
        let start = Instant::now();
        let closed = async {
            loop {
                let sent = client.socket.send(Message::Ping(Bytes::new())).await;
                if sent.is_err() || start.elapsed() > Duration::from_secs(4) {
                    return client.closed().await;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        let (code, reason) = soon(closed).await;
        assert_eq!(code, 1008);
        assert_eq!(
            reason,
            "sends too fast: more than 10 messages a second for 1 seconds"
        );
        assert!(start.elapsed() >= Duration::from_secs(1));
        let metrics = server.get("/metrics", "").await;
        let cut = "ysyncd_connections_closed_for_rate_total{excess=\"messages\"} 1\n";
        assert!(metrics.contains(cut), "{metrics}");
    });
}

#[test]
fn frames_of_every_kind_count() {
    // Pings, pongs, and the fragments of one message that never ends.
    for kind in [0x89, 0x8a, 0x00] {
        run(async move {
            let server = Server::start(ten_messages_a_second).await;
            let mut stream = raw(server.client("a").await);
            if kind == 0 {
                stream.write_all(&empty_frame(0x02)).await.unwrap();
            }
            let flooding = async {
                let mut answer = [0; 4 << 10];
                loop {
                    let _ = stream.write_all(&empty_frame(kind)).await;
                    let read = timeout(Duration::from_millis(10), stream.read(&mut answer));
                    let Ok(read) = read.await else { continue };
                    let read = read.unwrap();
                    assert_ne!(read, 0, "cut without a word");
                    let said = &answer[..read];
                    if let Some(at) = said.windows(4).position(|at| at[0] == 0x88) {
                        return u16::from_be_bytes([said[at + 2], said[at + 3]]);
                    }
                }
            };
            assert_eq!(soon(flooding).await, 1008, "{kind:#x}");
        });
    }
}

#[test]
fn a_client_that_is_slowed_down_is_not_taken_for_silent() {
    run(async {
        let server = Server::start(|config| {
            config.inbound_messages_per_second = Some(10);
            config.inbound_messages_burst = 1;
            config.ping_interval = Duration::from_millis(100);
            config.silence_max = Duration::from_millis(400);
        })
        .await;
        let mut client = server.client("a").await;
        for _ in 0..20 {
            client
                .socket
                .feed(Message::Pong(Bytes::new()))
                .await
                .unwrap();
        }
        client.socket.flush().await.unwrap();
        // What is read together passes together.
        sleep(Duration::from_millis(50)).await;
        let start = Instant::now();
        client.sync().await;
        assert!(
            start.elapsed() > Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
    });
}

#[test]
fn connections_of_one_user_wait_for_each_other_and_are_not_closed() {
    run(async {
        let server = Server::start(|config| {
            config.inbound_messages_per_second = None;
            config.inbound_user_messages_per_second = Some(50);
            config.inbound_user_messages_burst = 50;
            config.slowed_max = Duration::from_millis(100);
        })
        .await;
        let mut first = server.client("a").await;
        let mut second = server.client("b").await;
        let other = server.connect_with("a", &token("bob")).await;
        let mut other = other.unwrap();
        for _ in 0..100 {
            first.send(SYNC_STEP_1).await;
        }
        first.sync().await;
        let start = Instant::now();
        other.sync().await;
        let undisturbed = start.elapsed();
        assert!(undisturbed < Duration::from_millis(500), "{undisturbed:?}");
        second.sync().await;
        let taken = start.elapsed();
        assert!(taken > Duration::from_millis(500), "{taken:?}");
        // Once both have their time, they go on.
        first.sync().await;
        second.sync().await;
        let slowed = server.metric("users_slowed_total{excess=\"messages\"}");
        assert_eq!(slowed.await, 1);
        let cut = server.metric("connections_closed_for_rate_total{excess=\"messages\"}");
        assert_eq!(cut.await, 0);
    });
}
