//! Ending in order.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};
use ysyncd_net::Drained;

use crate::support::{
    GatedStore, SYNC_STEP_1, Server, run, soon, store_with, text_update, token, upgrade,
};

#[test]
fn clients_are_told_that_the_server_goes_away() {
    run(async {
        let server = Server::start(|_| {}).await;
        let address = server.address;
        let mut client = server.client("a").await;
        client.sync().await;
        server.begin_stop();
        assert_eq!(client.closed().await.0, 1001);
        assert_eq!(server.stop().await, Drained::default());
        assert!(
            TcpStream::connect(address).await.is_err(),
            "still listening"
        );
    });
}

#[test]
fn clients_that_do_not_read_do_not_hold_up_the_end() {
    run(async {
        let store = store_with(text_update(15 << 20)).await;
        let server = Server::with_store(store, |_| {}).await;
        let mut stalled = server.client("big").await;
        stalled.send(SYNC_STEP_1).await;
        let _idle = server.tcp().await;
        sleep(Duration::from_millis(200)).await;
        let start = Instant::now();
        assert_eq!(server.stop().await, Drained::default());
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "{:?}",
            start.elapsed()
        );
    });
}

#[test]
fn requests_that_are_not_finished_do_not_hold_up_the_end() {
    run(async {
        let store = GatedStore::new(|| Ok(None));
        let server = Server::with_store(Arc::clone(&store) as _, |config| {
            config.header_timeout = Duration::from_secs(60);
            config.close_timeout = Duration::from_secs(60);
        })
        .await;
        // One that keeps its connection after an answer.
        let mut kept = server.tcp().await;
        kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}\n") {
            soon(kept.read_buf(&mut answer)).await.unwrap();
        }
        // One in the middle of its request, one that waits for a load, and one
        // that has not said anything.
        let mut half = server.tcp().await;
        half.write_all(b"GET /sync/v1/a HTTP/1.1\r\nhost: x\r\n")
            .await
            .unwrap();
        let mut held = server.tcp().await;
        let headers = format!("{}authorization: Bearer {}\r\n", upgrade(), token("alice"));
        let request = format!("GET /sync/v1/a HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        held.write_all(request.as_bytes()).await.unwrap();
        let _silent = server.tcp().await;
        sleep(Duration::from_millis(100)).await;

        assert_eq!(server.stop().await, Drained::default());
        let mut answer = String::new();
        soon(held.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    });
}

#[test]
fn every_client_is_told_however_many_there_are() {
    run(async {
        let server = Server::start(|config| {
            config.engine.closing_max = Duration::from_millis(500);
        })
        .await;
        let mut clients = Vec::new();
        for doc in 0..40 {
            let mut client = server.client(&format!("{}", doc % 4)).await;
            client.sync().await;
            clients.push(client);
        }
        server.begin_stop();
        for client in &mut clients {
            assert_eq!(client.closed().await.0, 1001);
        }
        assert_eq!(server.ended().await, Ok(Drained::default()));
    });
}
