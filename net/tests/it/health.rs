//! `/healthz` and `/metrics`.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::sleep;
use ysyncd_engine::{Condition, DocId, Etag, Snapshot, StoreError};
use ysyncd_storage::{SnapshotStore, StoreFuture, memory::MemoryStore};

use crate::support::{Server, run, soon, text_update, upgrade};

const PROMETHEUS: &str = "accept: application/openmetrics-text;version=1.0.0;q=0.5,\
    application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n";

#[test]
fn health_is_json_unless_a_scraper_asks() {
    run(async {
        let server = Server::start(|_| {}).await;
        for (path, headers, content_type, begins) in [
            ("/healthz", "", "application/json", "{\"ok\":true,"),
            (
                "/healthz",
                "accept: */*\r\n",
                "application/json",
                "{\"ok\":true,",
            ),
            (
                "/healthz",
                "accept: image/png\r\n",
                "application/json",
                "{\"ok\":true,",
            ),
            (
                "/healthz",
                PROMETHEUS,
                "application/openmetrics-text; version=1.0.0",
                "# HELP",
            ),
            (
                "/healthz",
                "accept: text/plain\r\n",
                "text/plain; version=0.0.4",
                "# HELP",
            ),
            ("/metrics", "", "text/plain; version=0.0.4", "# HELP"),
            (
                "/metrics",
                PROMETHEUS,
                "application/openmetrics-text; version=1.0.0",
                "# HELP",
            ),
        ] {
            let answer = server.get(path, headers).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let expected = format!("content-type: {content_type}");
            assert!(head.contains(&expected), "{path} {headers}: {head}");
            assert!(body.starts_with(begins), "{path} {headers}: {body}");
        }
    });
}

#[test]
fn a_head_request_gets_no_body() {
    run(async {
        let server = Server::start(|_| {}).await;
        let answer = server
            .request("HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await;
        assert!(answer.starts_with("HTTP/1.1 200"));
        assert!(answer.ends_with("\r\n\r\n"));
    });
}

/// Samples by name and labels, after checking what the text format demands:
/// every sample's family is declared once, directly above its samples.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut declared = BTreeSet::new();
    let mut family = "";
    let mut is_histogram = false;
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let kind;
            (family, kind) = rest.split_once(' ').unwrap();
            assert!(declared.insert(family), "{family} is declared twice");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            is_histogram = kind == "histogram";
            assert_eq!(family.ends_with("_total"), kind == "counter", "{line}");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let mut name = series.split('{').next().unwrap();
            if is_histogram {
                let mut suffixes = ["_bucket", "_sum", "_count"].iter();
                name = suffixes
                    .find_map(|suffix| name.strip_suffix(suffix))
                    .unwrap();
            }
            assert_eq!(name, family, "{line} stands under another family");
            let value = value.parse().unwrap();
            assert!(samples.insert(series.to_owned(), value).is_none(), "{line}");
        }
    }
    samples
}

impl Server {
    async fn samples(&self) -> BTreeMap<String, f64> {
        let answer = self.get("/metrics", "").await;
        parse(answer.split_once("\r\n\r\n").unwrap().1)
    }
}

#[test]
fn connections_messages_and_refusals_are_counted() {
    run(async {
        let server = Server::start(|_| {}).await;
        let mut first = server.client("a").await;
        first.sync().await;
        let mut second = server.client("a").await;
        second.sync().await;
        second.socket.close(None).await.unwrap();
        while let Some(Ok(_)) = second.socket.next().await {}
        server.get("/sync/v1/a", &upgrade()).await;

        let samples = server.samples().await;
        let sample = |name: &str| samples[&format!("ysyncd_{name}")];
        assert_eq!(sample("connections"), 1.0);
        assert_eq!(sample("connections_opened_total"), 2.0);
        assert_eq!(sample("connections_closed_total{code=\"1005\"}"), 1.0);
        assert_eq!(sample("handshakes_refused_total{status=\"401\"}"), 1.0);
        assert_eq!(sample("messages_received_total"), 2.0);
        assert_eq!(sample("received_bytes_total"), 8.0);
        assert!(sample("messages_sent_total") >= 2.0);
        assert!(sample("sent_bytes_total") >= 8.0);
    });
}

/// Saves end as told, first of all.
struct FailingStore {
    store: MemoryStore,
    failures: Mutex<VecDeque<StoreError>>,
}

impl SnapshotStore for FailingStore {
    fn load<'a>(&'a self, doc: &'a DocId) -> StoreFuture<'a, Option<Snapshot>> {
        self.store.load(doc)
    }

    fn save<'a>(
        &'a self,
        doc: &'a DocId,
        body: Bytes,
        condition: Condition,
    ) -> StoreFuture<'a, Etag> {
        match self.failures.lock().unwrap().pop_front() {
            Some(failure) => Box::pin(async { Err(failure) }),
            None => self.store.save(doc, body, condition),
        }
    }
}

#[test]
fn snapshots_are_counted_with_what_became_of_them() {
    run(async {
        let why = || "for a test".to_owned();
        let failures = [
            StoreError::Unavailable(why()),
            StoreError::Denied(why()),
            StoreError::Unknown(why()),
            StoreError::Conflict,
        ];
        let store = FailingStore {
            store: MemoryStore::new(),
            failures: Mutex::new(failures.into()),
        };
        let server = Server::with_store(Arc::new(store), |config| {
            config.engine.save_debounce = Duration::from_millis(10);
            config.engine.retry_delay_min = Duration::from_millis(10);
            config.engine.retry_delay_max = Duration::from_millis(10);
        })
        .await;
        let mut client = server.client("a").await;
        client.sync().await;
        let update = text_update(3);
        let mut message = vec![0, 2, u8::try_from(update.len()).unwrap()];
        message.extend(update);
        client.send(&message).await;

        let saved = async {
            loop {
                let samples = server.samples().await;
                if samples["ysyncd_snapshots_saved_total"] > 0.0 {
                    return samples;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        let samples = soon(saved).await;
        let sample = |name: &str| samples[&format!("ysyncd_{name}")];
        assert_eq!(sample("snapshots_saved_total"), 1.0);
        assert!(sample("snapshots_saved_bytes_total") > 3.0);
        assert_eq!(sample("snapshot_attempts_total"), 5.0);
        assert_eq!(sample("snapshot_save_seconds_count"), 5.0);
        assert!(sample("snapshot_load_seconds_count") >= 1.0);
        for error in ["unavailable", "denied", "unknown", "conflict"] {
            let name = format!("snapshots_failed_total{{error=\"{error}\"}}");
            assert_eq!(sample(&name), 1.0, "{error}");
        }
    });
}
