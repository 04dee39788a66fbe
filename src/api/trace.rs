//! What a device and we say to each other, for who must find out why it does not work.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{DeviceName, JsonBody, duration};
use super::problem::{Code, Problem};
use crate::registry::Device;
use crate::trace::TraceError;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use model::Protocol;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use utoipa::ToSchema;

/// How long a trace lasts when nobody says.
const LASTS_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// Longest trace: one that is forgotten ends by itself.
const LASTS_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to listen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TraceRequest {
    /// A duration such as `10m`, which is the default; at most a day.
    #[serde(rename = "for")]
    lasts: Option<String>,
}

/// Begins to keep what a CPE and we say to each other, without secrets. Anew where it was kept
/// already.
#[utoipa::path(post, path = "/api/v1/devices/{id}/trace", tag = "devices",
    operation_id = "begin_trace",
    security(("token" = ["devices.trace"])),
    params(("id" = String, Path, description = "The device's identity or an alias")),
    request_body = TraceRequest,
    responses((status = 204, description = "From now on it is kept")))]
pub(super) async fn begin(
    caller: Authorised<need::DevicesTrace>,
    State(state): State<ApiState>,
    name: DeviceName,
    JsonBody(body): JsonBody<TraceRequest>,
) -> Result<StatusCode, Problem> {
    let device = speaking_cwmp(&state, &caller, &name)?;
    let lasts = match body.lasts.as_deref() {
        Some(text) => duration("for", text, LASTS_MAX)
            .map_err(|detail| Problem::new(Code::InvalidBody, detail))?,
        None => LASTS_DEFAULT,
    };
    let detail = json!({ "for_s": lasts.as_secs() });
    let subject = device.id.as_str();
    state.change(&caller, "device.trace.begin", subject, &detail, Vec::new()).await?;
    state.traces.begin(&device.tenant, &device.id, lasts, state.clock.now())?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows what was said so far: `>` from the device, `<` to it, `#` what is to be known of it. It can
/// be read for an hour after its end.
#[utoipa::path(get, path = "/api/v1/devices/{id}/trace", tag = "devices",
    operation_id = "show_trace",
    security(("token" = ["devices.trace"])),
    params(("id" = String, Path, description = "The device's identity or an alias")),
    responses((status = 200, description = "The transcript", body = String,
        content_type = "text/plain")))]
pub(super) async fn show(
    caller: Authorised<need::DevicesTrace>,
    State(state): State<ApiState>,
    name: DeviceName,
) -> Result<impl IntoResponse, Problem> {
    let device = speaking_cwmp(&state, &caller, &name)?;
    let transcript = state.traces.transcript(&device.tenant, &device.id);
    let transcript = transcript.ok_or(Code::NoSuchTrace)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], transcript))
}

/// Ends a trace and forgets what was kept.
#[utoipa::path(delete, path = "/api/v1/devices/{id}/trace", tag = "devices",
    operation_id = "end_trace",
    security(("token" = ["devices.trace"])),
    params(("id" = String, Path, description = "The device's identity or an alias")),
    responses((status = 204, description = "Nothing is kept any more")))]
pub(super) async fn end(
    caller: Authorised<need::DevicesTrace>,
    State(state): State<ApiState>,
    name: DeviceName,
) -> Result<StatusCode, Problem> {
    let device = speaking_cwmp(&state, &caller, &name)?;
    let subject = device.id.as_str();
    if state.traces.transcript(&device.tenant, &device.id).is_none() {
        return Err(Code::NoSuchTrace.into());
    }
    state.change(&caller, "device.trace.end", subject, &json!({}), Vec::new()).await?;
    state.traces.end(&device.tenant, &device.id, state.clock.now().monotonic);
    Ok(StatusCode::NO_CONTENT)
}

impl From<TraceError> for Problem {
    fn from(error: TraceError) -> Self {
        match error {
            TraceError::TooMany => Self::new(Code::TooManyTraces, error.to_string()),
        }
    }
}

fn speaking_cwmp(
    state: &ApiState,
    caller: &Authorised<need::DevicesTrace>,
    name: &DeviceName,
) -> Result<Device, Problem> {
    let device = state.device(caller.tenant(), name)?;
    match device.id.protocol() {
        Protocol::Cwmp => Ok(device),
        Protocol::Mqtt | Protocol::Ussd => {
            Err(Problem::new(Code::WrongProtocol, "only what a CPE says can be traced"))
        }
    }
}
