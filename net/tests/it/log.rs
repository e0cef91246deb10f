//! What is logged.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::SinkExt;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::support::{Server, run};

/// Messages of level info and above.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn count(&self, begins: &str) -> usize {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.starts_with(begins)).count()
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut &*self);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Visit for &Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

#[test]
fn what_clients_can_cause_does_not_fill_the_log() {
    run(async {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(lines.clone());
        let server = Server::start(|config| config.connections_per_user_max = 1).await;
        let client = server.client("a").await;
        for _ in 0..30 {
            assert!(server.connect("a").await.is_err());
        }
        assert_eq!(lines.count("connection refused"), 10);
        drop(client);

        let server = Server::start(|_| {}).await;
        for _ in 0..30 {
            let mut client = server.client("a").await;
            let sent = client.socket.send(Message::text("no bytes")).await;
            sent.unwrap();
            client.closed().await;
        }
        sleep(Duration::from_millis(50)).await;
        assert_eq!(lines.count("connection closed for a fault"), 10);
    });
}
