//! Messages that come in part.

use std::time::Duration;

use futures_util::SinkExt;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Server, run, soon, token};

const LEN: usize = 300_000;

/// The head of a frame of [`LEN`] bytes, masked with zeroes.
fn head(first: u8) -> Vec<u8> {
    let mut head = vec![first, 0xff];
    head.extend((LEN as u64).to_be_bytes());
    head.extend([0; 4]);
    head
}

/// A part of a message that asks who is there, again and again.
async fn send_part(client: &mut Client, bytes: &[u8]) {
    client.socket.get_mut().write_all(bytes).await.unwrap();
}

async fn asks(client: &mut Client, times: usize) {
    send_part(client, &vec![3; times]).await;
}

/// Waits for the one answer to all of that.
async fn answered(client: &mut Client) {
    let frame = soon(client.message()).await;
    assert_eq!(frame, [1, 1, 0][..], "nobody is there");
}

async fn unfinished_bytes(server: &Server) -> usize {
    let metrics = server.get("/metrics", "").await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("ysyncd_unfinished_bytes "));
    let (_, bytes) = line.unwrap().split_once(' ').unwrap();
    bytes.parse().unwrap()
}

/// A client whose greeting is over.
async fn greeted(server: &Server, user: &str) -> Client {
    let mut client = soon(server.connect_with("a", &token(user))).await.unwrap();
    client.sync().await;
    client
}

#[test]
fn a_user_whose_messages_do_not_end_waits_and_others_do_not() {
    run(async {
        let server = Server::start(|config| config.unfinished_bytes_per_user_max = 200_000).await;
        let (mut first, mut second) = (
            greeted(&server, "alice").await,
            greeted(&server, "alice").await,
        );
        let mut other = greeted(&server, "bob").await;
        send_part(&mut first, &head(0x82)).await;
        asks(&mut first, 150_000).await;
        sleep(Duration::from_millis(100)).await;
        send_part(&mut second, &head(0x82)).await;
        asks(&mut second, LEN).await;
        sleep(Duration::from_millis(300)).await;
        let held = unfinished_bytes(&server).await;
        // What is small is free, and a read is not cut short.
        assert!((200_000..350_000).contains(&held), "{held}");
        assert!(
            timeout(Duration::from_millis(200), second.message())
                .await
                .is_err(),
            "it waits"
        );

        send_part(&mut other, &head(0x82)).await;
        asks(&mut other, LEN).await;
        answered(&mut other).await;

        asks(&mut first, LEN - 150_000).await;
        answered(&mut first).await;
        answered(&mut second).await;
        assert_eq!(unfinished_bytes(&server).await, 0);
    });
}

#[test]
fn what_is_gone_is_not_counted() {
    run(async {
        let server = Server::start(|_| {}).await;
        let mut client = greeted(&server, "alice").await;
        send_part(&mut client, &head(0x82)).await;
        asks(&mut client, 150_000).await;
        sleep(Duration::from_millis(100)).await;
        assert_eq!(unfinished_bytes(&server).await, 150_000);
        drop(client);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(unfinished_bytes(&server).await, 0);
    });
}

#[test]
fn a_message_that_never_ends_is_not_waited_for() {
    run(async {
        let server =
            Server::start(|config| config.message_timeout = Duration::from_millis(400)).await;
        let mut client = greeted(&server, "alice").await;
        let mut patient = greeted(&server, "alice").await;
        // A fragment, and a ping within the message now and then.
        let start = Instant::now();
        send_part(&mut client, &[0x02, 0x81, 0, 0, 0, 0, 3]).await;
        for _ in 0..3 {
            sleep(Duration::from_millis(100)).await;
            send_part(&mut client, &[0x89, 0x80, 0, 0, 0, 0]).await;
            patient.socket.send(Message::Ping("".into())).await.unwrap();
        }
        let (code, reason) = soon(client.closed()).await;
        assert_eq!(
            (code, reason.as_str()),
            (1008, "a message took too long to come")
        );
        let elapsed = start.elapsed();
        assert!(elapsed >= Duration::from_millis(400), "{elapsed:?}");
        assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
        // Who says nothing but pings is not closed.
        sleep(Duration::from_millis(300)).await;
        patient.sync().await;
    });
}
