//! `/healthz` and `/metrics`.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;

use crate::support::{Server, run, upgrade};

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
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let kind;
            (family, kind) = rest.split_once(' ').unwrap();
            assert!(declared.insert(family), "{family} is declared twice");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(family.ends_with("_total"), kind == "counter", "{line}");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert_eq!(name, family, "{line} stands under another family");
            let value = value.parse().unwrap();
            assert!(samples.insert(series.to_owned(), value).is_none(), "{line}");
        }
    }
    samples
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

        let answer = server.get("/metrics", "").await;
        let samples = parse(answer.split_once("\r\n\r\n").unwrap().1);
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
