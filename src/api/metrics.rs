//! What the operator side counts of itself, and the page that shows everyone's counts.

use super::ApiState;
use super::problem::{Code, Problem};
use crate::metrics::Maker;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus::{IntCounter, IntCounterVec, IntGauge, TextEncoder};

/// Counters of the operator API. Labels are routes and statuses, never who or what was asked for.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Requests by route and status.
    pub requests: IntCounterVec,
    /// Requests with no token, or with one that is not known.
    pub sign_ins_refused: IntCounter,
    /// Event streams that are open.
    pub streams: IntGauge,
    /// Connections that are open.
    pub connections: IntGauge,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        Ok(Self {
            requests: make.counters(
                "lastmile_api_requests_total",
                "Requests to the operator API",
                &["route", "status"],
            )?,
            sign_ins_refused: make.counter(
                "lastmile_api_sign_ins_refused_total",
                "Requests to the operator API without a known token",
            )?,
            streams: make.gauge("lastmile_api_streams", "Event streams that are open")?,
            connections: make.gauge(
                "lastmile_api_connections",
                "Connections to the operator API that are open",
            )?,
        })
    }
}

/// Counts each request.
pub(super) async fn count(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    state.metrics.requests.with_label_values(&[route, response.status().as_str()]).inc();
    response
}

/// Every metric, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "probes", security(()), responses(
    (status = 200, description = "Every metric", body = String, content_type = "text/plain"),
))]
pub(super) async fn metrics(State(state): State<ApiState>) -> Result<Response, Problem> {
    let families = state.prometheus.gather();
    let text = TextEncoder::new().encode_to_string(&families);
    let text = text.map_err(|_| Problem::from(Code::Internal))?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
