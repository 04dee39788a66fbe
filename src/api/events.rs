//! `GET /api/v1/events`: the stream, as server-sent events that can be resumed.

use super::access::{Authorised, need};
use super::input::Params;
use super::problem::{Code, Problem};
use super::{Access, ApiState};
use crate::deliver::{Feed, FeedItem, FeedStart, Filter, Positions, cloud_event};
use crate::store::ReadError;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, StreamExt as _};
use model::Tenant;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

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
    /// The `id` of the last event that was seen, where the header cannot be set; `oldest` for all
    /// that is kept. By default the stream starts with what happens from now on.
    after: Option<String>,
}

/// Streams events as they happen, from the place named by `Last-Event-ID`.
///
/// Each `data` is one CloudEvent in JSON, each `id` the place to resume from. Comments keep the
/// connection alive. An event of the name `gap` says that events after a place are no longer kept,
/// and that what follows is the oldest there is. The stream ends when the token is revoked and when
/// the daemon stops.
#[utoipa::path(get, path = "/api/v1/events", tag = "delivery",
    operation_id = "stream_events",
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
    let filter = filter(query.types.as_deref(), caller.tenant())?;
    let start = start(&query, &headers)?;
    let Ok(permit) = Arc::clone(&state.streams).try_acquire_owned() else {
        let problem = Problem::from(Code::TooManyStreams);
        return Err(problem.retry_after(TOO_MANY_RETRY_AFTER_S));
    };
    let feed = Feed::open(Arc::clone(&state.store), &state.writer, filter, start).await?;
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
    let source = state.source.clone();
    // A failure ends the stream; the client comes back and is told by a problem.
    let events = feed.into_stream().take_while(|item| std::future::ready(item.is_ok()));
    let events = events.filter_map(move |item| std::future::ready(render(&source, item)));
    let all = futures_util::stream::iter([first]).chain(events).take_until(ended);
    let all = all.map(move |event| {
        let _ = &open;
        Ok(event)
    });
    Ok(Sse::new(all).keep_alive(KeepAlive::new().interval(state.options.keep_alive)))
}

fn render(source: &str, item: Result<FeedItem, ReadError>) -> Option<Event> {
    let event = match item.ok()? {
        FeedItem::Event { event, resume } => {
            Event::default().id(resume.to_string()).data(cloud_event::to_text(source, &event))
        }
        // An event of another name is no CloudEvent: who does not listen for it misses nothing.
        FeedItem::Gap { after } => {
            Event::default().event("gap").data(format!("{{\"after\":\"{after}\"}}"))
        }
    };
    Some(event)
}

/// Where to begin: the header goes before the query.
fn start(query: &EventQuery, headers: &HeaderMap) -> Result<FeedStart, Problem> {
    let wrong = || Problem::new(Code::InvalidQuery, "not a place in the stream that we gave");
    let header = headers.get("last-event-id").map(|value| value.to_str());
    let header = header.transpose().map_err(|_| wrong())?;
    match header.or(query.after.as_deref()) {
        None | Some("") => Ok(FeedStart::Now),
        Some("oldest") => Ok(FeedStart::Oldest),
        Some(place) => Positions::parse(place).map(FeedStart::After).ok_or_else(wrong),
    }
}

fn filter(types: Option<&str>, tenant: &Tenant) -> Result<Filter, Problem> {
    let types = types.map(|types| types.split(',')).into_iter().flatten();
    let filter = Filter::new(types, [tenant.clone()]);
    filter.map_err(|error| Problem::new(Code::InvalidQuery, format!("`types`: {error}")))
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
