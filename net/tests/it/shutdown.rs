//! Ending in order.

use std::time::Duration;

use tokio::{net::TcpStream, time::Instant};
use ysyncd_net::Drained;

use crate::support::{SYNC_STEP_1, Server, run, store_with, text_update};

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
        tokio::time::sleep(Duration::from_millis(200)).await;
        let start = Instant::now();
        assert_eq!(server.stop().await, Drained::default());
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "{:?}",
            start.elapsed()
        );
    });
}
