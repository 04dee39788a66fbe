//! `POST /api/v1/devices/{id}/provision`: has a device made what its profiles say, and how it stands.

use super::ApiState;
use super::access::{Authorised, need};
use super::devices::StandingWord;
use super::input::{DeviceName, Params, WaitQuery, wait};
use super::problem::{Code, Problem};
use super::push;
use crate::provisioner::{Kept, Lacking, Reason};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use model::Protocol;
use provisioning::Standing;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// How a device stands to what it should be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Provisioning)]
pub(super) struct ProvisioningView {
    /// The profile that goes before the others; absent when none is for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Box<str>>,
    /// The profiles that it was made to fit last, the lowest first.
    profiles: Vec<Box<str>>,
    /// As they stood.
    revision: String,
    /// How it stands.
    #[schema(value_type = StandingWord)]
    state: Standing,
    /// Since when; absent when nothing was decided yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Why, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
    /// What it would not take or does not have.
    #[schema(value_type = Vec<LackingView>)]
    refused: Vec<Lacking>,
    /// When it was last as wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    converged_at: Option<Timestamp>,
    /// When it is looked at again by itself, at its next session after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    due_at: Option<Timestamp>,
}

/// What a device lacks of what is wanted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lacking)]
pub(super) struct LackingView {
    /// The parameter or object.
    path: Box<str>,
    /// The device's fault code (TR-069 A.5.1), where it refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    /// Why, in plain words.
    cause: Box<str>,
    /// When it is tried again by itself; absent: not before something changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    retry_at: Option<Timestamp>,
}

impl From<Kept> for ProvisioningView {
    fn from(kept: Kept) -> Self {
        let Kept { held, lacking, .. } = kept;
        Self {
            profile: held.profiles.last().cloned(),
            profiles: held.profiles,
            revision: held.revision.to_string(),
            state: held.standing,
            since: Some(held.since).filter(|since| *since != Timestamp::UNIX_EPOCH),
            cause: Some(held.cause).filter(|cause| !cause.is_empty()),
            refused: lacking,
            converged_at: held.converged_at,
            due_at: held.due_at,
        }
    }
}

/// A request, and how the device stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProvisionRequest)]
pub(super) struct RequestView {
    /// Names the request in the event that tells its end.
    request: Box<str>,
    /// How the device stands now.
    #[serde(flatten)]
    provisioning: ProvisioningView,
}

/// Has a CPE looked at anew in its next session, and wakes it: 202 at once, or 200 when that ended
/// within `wait`.
///
/// What it refused and what was given up is tried again at once.
#[utoipa::path(post, path = "/api/v1/devices/{id}/provision", tag = "devices",
    operation_id = "provision_device",
    security(("token" = ["commands.send"])),
    params(("id" = String, Path, description = "The device's identity or an alias"), WaitQuery),
    responses(
        (status = 200, description = "How it stands after it", body = RequestView),
        (status = 202, description = "It is to come", body = RequestView),
    ))]
pub(super) async fn provision(
    caller: Authorised<need::CommandsSend>,
    State(state): State<ApiState>,
    name: DeviceName,
    Params(query): Params<WaitQuery>,
) -> Result<(StatusCode, Json<RequestView>), Problem> {
    let wait = wait(&state, query.wait.as_deref())?;
    let device = state.device(caller.tenant(), &name)?;
    if device.id.protocol() != Protocol::Cwmp {
        return Err(Problem::new(Code::WrongProtocol, "only CPEs have profiles"));
    }
    state.change(&caller, "device.provision", device.id.as_str(), &json!({}), Vec::new()).await?;
    let ended = push::ended(&state, caller.tenant(), &device.id, Reason::Ordered, wait).await;
    let (request, has_ended) = ended.ok_or(Code::NoSuchDevice)?;
    let kept = state.provisioner.kept(caller.tenant(), &device.id).await?;
    let status = if has_ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(RequestView { request, provisioning: kept.into() })))
}
