//! Messages that come in part.

use std::{ops::Range, time::Duration};

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

async fn send_part(client: &mut Client, bytes: &[u8]) {
    client.socket.get_mut().write_all(bytes).await.unwrap();
}

/// Sends a part of a sync step 1 of [`LEN`] bytes: one of somebody who knows much.
async fn asks(client: &mut Client, part: Range<usize>) {
    let clients = (LEN - 8) / 4;
    let mut state_vector = var_uint(clients);
    for at in 0..clients {
        state_vector.extend(var_uint(0x4000 + at));
        state_vector.push(1);
    }
    let mut message = vec![0, 0];
    message.extend(var_uint(state_vector.len()));
    message.extend(state_vector);
    assert_eq!(message.len(), LEN);
    send_part(client, &message[part]).await;
}

/// A number as lib0 writes it, of three bytes.
fn var_uint(number: usize) -> Vec<u8> {
    assert!((0x4000..0x20_0000).contains(&number));
    let seven = |shift: usize| u8::try_from(number >> shift & 0x7f).unwrap();
    vec![seven(0) | 0x80, seven(7) | 0x80, seven(14)]
}

/// Waits for the answer to that.
async fn answered(client: &mut Client) {
    soon(client.sync_step_2()).await;
}

async fn unfinished_bytes(server: &Server) -> usize {
    metric(server, "unfinished_bytes").await
}

async fn metric(server: &Server, name: &str) -> usize {
    let metrics = server.get("/metrics", "").await;
    let name = format!("ysyncd_{name} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("it is there").parse().unwrap()
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
        asks(&mut first, 0..150_000).await;
        sleep(Duration::from_millis(100)).await;
        send_part(&mut second, &head(0x82)).await;
        asks(&mut second, 0..LEN).await;
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
        asks(&mut other, 0..LEN).await;
        answered(&mut other).await;

        asks(&mut first, 150_000..LEN).await;
        answered(&mut first).await;
        answered(&mut second).await;
        assert_eq!(unfinished_bytes(&server).await, 0);
        let held = "messages_held_total";
        let of_user = metric(&server, &format!("{held}{{budget=\"user\"}}")).await;
        let of_all = metric(&server, &format!("{held}{{budget=\"all\"}}")).await;
        assert_eq!((of_user, of_all), (1, 0), "once, however long it waits");
    });
}

#[test]
fn what_is_gone_is_not_counted() {
    run(async {
        let server = Server::start(|_| {}).await;
        let mut client = greeted(&server, "alice").await;
        send_part(&mut client, &head(0x82)).await;
        asks(&mut client, 0..150_000).await;
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
        assert_eq!(metric(&server, "messages_timed_out_total").await, 1);
        // Who says nothing but pings is not closed.
        sleep(Duration::from_millis(300)).await;
        patient.sync().await;
    });
}

#[test]
fn who_is_slowed_by_its_own_rate_gets_no_more_time_for_a_message() {
    run(async {
        let server = Server::start(|config| {
            config.inbound_messages_per_second = Some(20);
            config.inbound_messages_burst = 1;
            config.message_timeout = Duration::from_secs(1);
        })
        .await;
        let mut client = greeted(&server, "alice").await;
        let start = Instant::now();
        send_part(&mut client, &[0x02, 0x81, 0, 0, 0, 0, 3]).await;
        // Twice as many fragments as are read.
        let trickle = async {
            while start.elapsed() < Duration::from_secs(4) {
                let fragment = [0x00, 0x81, 0, 0, 0, 0, 3];
                let (stream, answer) = (client.socket.get_mut(), &mut [0; 2]);
                let _ = stream.write_all(&fragment).await;
                sleep(Duration::from_millis(25)).await;
                if stream.try_read(answer).is_ok() {
                    return answer[0];
                }
            }
            panic!("it goes on for ever")
        };
        assert_eq!(trickle.await, 0x88, "a close frame");
        let elapsed = start.elapsed();
        assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
        assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
        assert_eq!(metric(&server, "messages_timed_out_total").await, 1);
    });
}

const TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client is borne whose message never ends, and waits most of the
/// time for an older one that does not end either.
async fn borne_behind_another(server: &Server, [older, newer]: [&str; 2]) -> Duration {
    let mut first = greeted(server, older).await;
    let mut second = greeted(server, newer).await;
    send_part(&mut first, &head(0x82)).await;
    asks(&mut first, 0..150_000).await;
    sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    send_part(&mut second, &head(0x82)).await;
    asks(&mut second, 0..LEN - 1).await;
    let (code, _) = soon(second.closed()).await;
    assert_eq!(code, 1008);
    start.elapsed()
}

#[test]
fn who_waits_for_its_own_user_gets_no_more_time_for_a_message() {
    run(async {
        let server = Server::start(|config| {
            config.unfinished_bytes_per_user_max = 200_000;
            config.message_timeout = TIMEOUT;
        })
        .await;
        let borne = borne_behind_another(&server, ["alice", "alice"]).await;
        assert!(borne < TIMEOUT + TIMEOUT / 2, "{borne:?}");
    });
}

#[test]
fn who_waits_for_others_gets_the_time_that_this_took() {
    run(async {
        let server = Server::start(|config| {
            config.unfinished_bytes_max = 200_000;
            config.message_timeout = TIMEOUT;
        })
        .await;
        let borne = borne_behind_another(&server, ["alice", "bob"]).await;
        assert!(borne > TIMEOUT + TIMEOUT / 2, "{borne:?}");
        assert!(borne < TIMEOUT * 3, "{borne:?}");
        let held = metric(&server, "messages_held_total{budget=\"all\"}").await;
        assert_eq!(held, 1);
    });
}
