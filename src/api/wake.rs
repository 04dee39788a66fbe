//! `POST /api/v1/devices/{id}/wake`: has a CPE begin a session, and tells what became of it.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{DeviceName, Params, WaitQuery, wait};
use super::problem::{Code, Problem};
use crate::wake::{AskError, Outcome};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use model::Protocol;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// In how many seconds the waker may have caught up.
const RETRY_AFTER_S: u32 = 30;

/// What became of a try to wake a device.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Wake)]
pub(super) struct WakeView {
    /// `woken`, `under_way`, or why not: `no_url`, `denied`, `unreachable`, `tls`, `broken`, `silent`,
    /// `busy`, `refused`, `no_credentials`, `not_digest`, `unexpected`.
    outcome: &'static str,
    /// Why not, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
    /// `http`, `https` or `udp`; absent when there was no way to try.
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<&'static str>,
    /// When it was known; absent while it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
}

impl From<Outcome> for WakeView {
    fn from(outcome: Outcome) -> Self {
        let way = outcome.way.map(crate::wake::Way::as_str);
        Self { outcome: outcome.code, cause: outcome.cause, way, at: Some(outcome.at) }
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        let code = match error {
            AskError::TooMany => Code::TooManyWakes,
            AskError::Stopping => Code::Stopping,
        };
        Self::new(code, error.to_string()).retry_after(RETRY_AFTER_S)
    }
}

/// Wakes a CPE without a command for it: 202 at once, or 200 when it ended within `wait`.
///
/// By HTTP it is awake when it said so, by UDP when its session began. A device that is not woken
/// comes by itself at its next periodic Inform.
#[utoipa::path(post, path = "/api/v1/devices/{id}/wake", tag = "devices",
    operation_id = "wake_device",
    security(("token" = ["commands.send"])),
    params(("id" = String, Path, description = "The device's identity or an alias"), WaitQuery),
    responses(
        (status = 200, description = "What became of it", body = WakeView),
        (status = 202, description = "It is under way", body = WakeView),
    ))]
pub(super) async fn wake(
    caller: Authorised<need::CommandsSend>,
    State(state): State<ApiState>,
    name: DeviceName,
    Params(query): Params<WaitQuery>,
) -> Result<(StatusCode, Json<WakeView>), Problem> {
    let wait = wait(&state, query.wait.as_deref())?;
    let device = state.device(caller.tenant(), &name)?;
    if device.id.protocol() != Protocol::Cwmp {
        return Err(Problem::new(Code::WrongProtocol, "only CPEs are woken"));
    }
    state.change(&caller, "device.wake", device.id.as_str(), &json!({}), Vec::new()).await?;
    let asked = state.wakes.ask(caller.tenant(), &device.id)?;
    let ended = match wait {
        Some(wait) => tokio::select! {
            waited = tokio::time::timeout(wait, asked) => waited.ok().and_then(Result::ok),
            () = state.stop.cancelled() => None,
        },
        None => None,
    };
    Ok(match ended {
        Some(outcome) => (StatusCode::OK, Json(outcome.into())),
        None => {
            let view = WakeView { outcome: "under_way", cause: None, way: None, at: None };
            (StatusCode::ACCEPTED, Json(view))
        }
    })
}
