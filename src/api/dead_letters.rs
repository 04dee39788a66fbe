//! What a sink would not take, and the order to try again.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{Items, Params, Segments, cursor, limit};
use super::problem::{Code, Problem};
use crate::store::{DeadLetter, Operation, Page};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// An event that a sink would not take, or that waits behind one it did not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct DeadLetterView {
    id: u64,
    /// Which sink.
    sink: Box<str>,
    /// Why it is here, in plain words.
    reason: Box<str>,
    /// When it was parked.
    #[schema(value_type = String, format = DateTime)]
    parked_at: Timestamp,
    /// When another try was asked for; the sink gets it next.
    #[schema(value_type = Option<String>, format = DateTime)]
    replay_at: Option<Timestamp>,
    event: ParkedEvent,
}

/// The event itself, with the names of CloudEvents.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ParkedEvent {
    id: String,
    #[serde(rename = "type")]
    kind: Box<str>,
    /// The device.
    subject: String,
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    #[schema(value_type = Object)]
    data: model::Json,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        let event = letter.event;
        Self {
            id: letter.id,
            sink: letter.sink,
            reason: letter.reason,
            parked_at: letter.parked_at,
            replay_at: letter.replay_at,
            event: ParkedEvent {
                id: event.position.to_string(),
                kind: event.kind,
                subject: event.device.as_str().to_owned(),
                time: event.time,
                data: event.data,
            },
        }
    }
}

/// Which dead letters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadLetterQuery {
    /// Of this sink; of all when absent.
    sink: Option<String>,
    /// How many at most: 1 to 1000, 100 by default.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Lists dead letters, oldest first.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "delivery",
    operation_id = "list_dead_letters",
    security(("token" = ["dead_letters.replay"])), params(DeadLetterQuery),
    responses((status = 200, description = "A page of them", body = Items<DeadLetterView>)))]
pub(super) async fn list(
    caller: Authorised<need::DeadLettersReplay>,
    State(state): State<ApiState>,
    Params(query): Params<DeadLetterQuery>,
) -> Result<Json<Items<DeadLetterView>>, Problem> {
    let limit = limit(query.limit)?;
    let after = cursor(query.cursor.as_deref(), |text| text.parse().ok())?;
    let page = Page { after, rows_max: limit + 1 };
    let sink = query.sink.as_deref();
    let letters = state.store.dead_letters(Some(caller.tenant()), sink, page).await?;
    let letters = letters.into_iter().map(DeadLetterView::from).collect();
    Ok(Json(Items::page(letters, limit, |letter: &DeadLetterView| letter.id.to_string())))
}

/// Has a dead letter tried again, with all that wait of the same device for the same sink.
#[utoipa::path(post, path = "/api/v1/dead-letters/{id}/replay", tag = "delivery",
    operation_id = "replay_dead_letter",
    security(("token" = ["dead_letters.replay"])),
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 202, description = "The sink gets it next")))]
pub(super) async fn replay(
    caller: Authorised<need::DeadLettersReplay>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let id: u64 = id.parse().map_err(|_| Problem::from(Code::NoSuchDeadLetter))?;
    let (tenant, at) = (caller.tenant().clone(), state.clock.now().wall);
    let operations = vec![Operation::ReplayDeadLetter { tenant, id, at }];
    let subject = id.to_string();
    state.change(&caller, "dead_letter.replay", &subject, &json!({}), operations).await?;
    state.replays.wake();
    Ok(StatusCode::ACCEPTED)
}
