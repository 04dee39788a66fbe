//! `GET /api/v1/events`: the stream, as server-sent events that can be resumed.

use super::access::{Authorised, need};
use super::input::Params;
use super::problem::{Code, Problem};
use super::seam::{FeedError, FeedItem, FeedRequest, TypePattern};
use super::{Access, ApiState};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, StreamExt as _};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

/// Most patterns in one request.
const TYPES_MAX: usize = 32;
/// Longest place to resume from, in bytes: some thousand shards.
const PLACE_LEN_MAX: usize = 16 * 1024;
/// How long a client waits before it comes back: at once would be a storm after a restart.
const RETRY: Duration = Duration::from_secs(2);
/// In how many seconds another stream may have ended.
const TOO_MANY_RETRY_AFTER_S: u32 = 30;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Types, separated by commas: `lastmile.device.bootstrapped`, `lastmile.device.*`. All by
    /// default.
    types: Option<String>,
    /// The `id` of the last event that was seen, where the header cannot be set; `0-0` is before
    /// the first. By default the stream starts with what happens from now on.
    after: Option<String>,
}

/// Streams events as they happen, from the place named by `Last-Event-ID`.
///
/// Each `data` is one CloudEvent in JSON, each `id` the place to resume from. Comments keep the
/// connection alive. The stream ends when the token is revoked, when the daemon stops, and when the
/// events to come next are no longer kept.
#[utoipa::path(get, path = "/api/v1/events", tag = "delivery",
    security(("token" = ["events.read"])),
    params(
        EventQuery,
        ("Last-Event-ID" = Option<String>, Header,
            description = "The `id` of the last event that was seen"),
    ),
    responses((status = 200, description = "The stream", body = String,
        content_type = "text/event-stream")))]
pub(super) async fn stream(
    caller: Authorised<need::EventsRead>,
    State(state): State<ApiState>,
    Params(query): Params<EventQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let request = FeedRequest {
        tenant: caller.tenant().clone(),
        after: place(&query, &headers)?,
        types: types(query.types.as_deref())?,
    };
    let Ok(permit) = Arc::clone(&state.streams).try_acquire_owned() else {
        let problem = Problem::from(Code::TooManyStreams);
        return Err(problem.retry_after(TOO_MANY_RETRY_AFTER_S));
    };
    let feed = state.feed.open(request).await?;
    let open = Open::new(&state, permit);
    let revoked = Access::revoked(Arc::clone(&state.access), caller.grant);
    let stop = state.stop.clone();
    let ended = Box::pin(async move {
        tokio::select! {
            () = revoked => {}
            () = stop.cancelled() => {}
        }
    });
    let first = Event::default().retry(RETRY).comment("lastmile");
    // A failure ends the stream; the client resumes and is told why by a problem.
    let events = feed.take_while(|item| std::future::ready(item.is_ok()));
    let events = events.filter_map(|item| std::future::ready(item.ok().map(render)));
    let all = futures_util::stream::iter([first]).chain(events).take_until(ended);
    let all = all.map(move |event| {
        let _ = &open;
        Ok(event)
    });
    Ok(Sse::new(all).keep_alive(KeepAlive::new().interval(state.options.keep_alive)))
}

fn render(item: FeedItem) -> Event {
    let event = Event::default().id(&*item.id);
    match item.event {
        Some(json) => event.data(&*json),
        // Without data a client keeps the id and tells nobody.
        None => event,
    }
}

fn place(query: &EventQuery, headers: &HeaderMap) -> Result<Option<Box<str>>, Problem> {
    let header = headers.get("last-event-id").map(|value| value.to_str());
    let header = header.transpose().map_err(|_| Problem::from(FeedError::NoSuchPlace))?;
    let given = header.or(query.after.as_deref()).filter(|place| !place.is_empty());
    match given {
        Some(place) if place.len() > PLACE_LEN_MAX => Err(FeedError::NoSuchPlace.into()),
        Some(place) => Ok(Some(place.into())),
        None => Ok(None),
    }
}

fn types(given: Option<&str>) -> Result<Vec<TypePattern>, Problem> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let patterns: Option<Vec<_>> =
        given.split(',').take(TYPES_MAX + 1).map(TypePattern::parse).collect();
    patterns.filter(|patterns| patterns.len() <= TYPES_MAX).ok_or_else(|| {
        let detail = format!(
            "`types` is up to {TYPES_MAX} of \"lastmile.device.bootstrapped\" or \
             \"lastmile.device.*\", separated by commas"
        );
        Problem::new(Code::InvalidQuery, detail)
    })
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        let code = match error {
            FeedError::NoSuchPlace => Code::InvalidQuery,
            FeedError::Gone => Code::EventsGone,
            FeedError::Failed => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

/// One open stream, for as long as it is.
struct Open {
    gauge: prometheus::IntGauge,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(state: &ApiState, permit: OwnedSemaphorePermit) -> Self {
        let gauge = state.metrics.streams.clone();
        gauge.inc();
        Self { gauge, _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
