//! `/healthz` and `/metrics`.

use crate::{
    accept::{MediaType, choose},
    exposition::prometheus_text,
    shard::Shard,
};
use hyper::{
    HeaderMap, Response,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY},
};

const JSON: MediaType = ("application", "json");
const OPEN_METRICS: MediaType = ("application", "openmetrics-text");
const TEXT: MediaType = ("text", "plain");

/// Says that the server is well: in JSON, or with all metrics where a scraper
/// asks for one of its formats.
pub(crate) fn healthz(shard: &Shard, headers: &HeaderMap) -> Response<String> {
    represent(shard, headers, &[JSON, OPEN_METRICS, TEXT])
}

/// All metrics, as Prometheus text unless OpenMetrics is asked for.
pub(crate) fn metrics(shard: &Shard, headers: &HeaderMap) -> Response<String> {
    represent(shard, headers, &[TEXT, OPEN_METRICS])
}

/// Answers in the offer that the client likes best, in the first one where it
/// does not say or likes none: an answer helps more than a 406.
fn represent(shard: &Shard, headers: &HeaderMap, offers: &[MediaType]) -> Response<String> {
    let accept: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let offer = choose(&accept.join(","), offers).map_or(offers[0], |index| offers[index]);
    let (content_type, body) = match offer {
        OPEN_METRICS => (
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            shard.metrics().open_metrics(),
        ),
        TEXT => (
            "text/plain; version=0.0.4; charset=utf-8",
            prometheus_text(&shard.metrics().open_metrics()),
        ),
        _ => ("application/json", status(shard)),
    };
    Response::builder()
        .header(CONTENT_TYPE, content_type)
        .header(CACHE_CONTROL, "no-store")
        .header(VARY, "Accept")
        .body(body)
        .expect("the headers are valid")
}

fn status(shard: &Shard) -> String {
    format!(
        "{{\"ok\":true,\"version\":\"{}\",\"uptime_seconds\":{},\"documents\":{},\"connections\":{}}}\n",
        env!("CARGO_PKG_VERSION"),
        shard.uptime().as_secs(),
        shard.metrics().documents(),
        shard.metrics().connections(),
    )
}
