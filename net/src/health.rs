//! `/healthz` and `/metrics`.

use crate::{
    accept::{MediaType, choose},
    exposition::prometheus_text,
    front::Front,
    recent::Recent,
};
use bytes::Bytes;
use hyper::{
    HeaderMap, Response,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY},
};
use ysyncd_engine::Status;

const JSON: MediaType = ("application", "json");
const OPEN_METRICS: MediaType = ("application", "openmetrics-text");
const TEXT: MediaType = ("text", "plain");

/// What was told last, in each of the formats: anybody may ask, and to look at all
/// documents takes time that those who write need.
#[derive(Debug, Default)]
pub(crate) struct HealthTold {
    json: Recent,
    open_metrics: Recent,
    text: Recent,
}

/// Says that the server is well: in JSON, or with all metrics where a scraper
/// asks for one of its formats.
pub(crate) async fn healthz<P>(front: &Front<P>, headers: &HeaderMap) -> Response<Bytes>
where
    P: Send + 'static,
{
    represent(front, headers, &[JSON, OPEN_METRICS, TEXT]).await
}

/// All metrics, as Prometheus text unless OpenMetrics is asked for.
pub(crate) async fn metrics<P>(front: &Front<P>, headers: &HeaderMap) -> Response<Bytes>
where
    P: Send + 'static,
{
    represent(front, headers, &[TEXT, OPEN_METRICS]).await
}

/// Answers in the offer that the client likes best, in the first one where it
/// does not say or likes none: an answer helps more than a 406.
async fn represent<P>(
    front: &Front<P>,
    headers: &HeaderMap,
    offers: &[MediaType],
) -> Response<Bytes>
where
    P: Send + 'static,
{
    let accept: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let offer = choose(&accept.join(","), offers).map_or(offers[0], |index| offers[index]);
    let told = &front.health;
    let (content_type, body) = match offer {
        OPEN_METRICS => (
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            told.open_metrics
                .told(async || front.open_metrics().await)
                .await,
        ),
        TEXT => (
            "text/plain; version=0.0.4; charset=utf-8",
            told.text
                .told(async || prometheus_text(&front.open_metrics().await))
                .await,
        ),
        _ => (
            "application/json",
            told.json.told(async || status(front).await).await,
        ),
    };
    Response::builder()
        .header(CONTENT_TYPE, content_type)
        .header(CACHE_CONTROL, "no-store")
        .header(VARY, "Accept")
        .body(body)
        .expect("the headers are valid")
}

async fn status<P: Send + 'static>(front: &Front<P>) -> String {
    let status = front.status().await;
    let shared = &front.shared;
    format!(
        "{{\"ok\":true,\"version\":\"{}\",\"uptime_seconds\":{},\"documents\":{},\"connections\":{},\
         \"journal\":\"{}\",\"bus\":\"{}\"}}\n",
        env!("CARGO_PKG_VERSION"),
        shared.uptime().as_secs(),
        status.documents_loading + status.documents_live + status.documents_draining,
        shared.metrics.connections(),
        journal(shared.has_journal(), &status),
        bus(front.bus_is_up(&status)),
    )
}

/// A failed journal does not make the server unwell: it goes on serving
/// readers, and whoever restarted it for that would not help.
pub(crate) fn journal(exists: bool, status: &Status) -> &'static str {
    match (exists, status.journal_failed) {
        (false, _) => "off",
        (true, false) => "ok",
        (true, true) => "failed",
    }
}

/// A bus that is down makes nobody unwell, either: nodes go on alone.
pub(crate) fn bus(is_up: Option<bool>) -> &'static str {
    match is_up {
        None => "off",
        Some(true) => "up",
        Some(false) => "down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_off_or_well_or_has_failed() {
        let failed = Status {
            journal_failed: true,
            ..Status::default()
        };
        assert_eq!(journal(false, &Status::default()), "off");
        assert_eq!(journal(true, &Status::default()), "ok");
        assert_eq!(journal(true, &failed), "failed");
    }
}
