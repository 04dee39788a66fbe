//! What devices present when they sign in: given, taken away, and the mark to enrol again.

use super::ApiState;
use super::access::{Authorised, need};
use super::change::to_its_end;
use super::input::{DeviceName, JsonBody};
use super::problem::{Code, Problem};
use crate::credentials::{MAY_ENROL_TAG, PutError};
use crate::registry::Device;
use crate::store::Operation;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::{Protocol, Redacted};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

/// Shortest password, in bytes: what a fleet already uses may be short of the 128 bits that ours
/// have, but not guessable in an afternoon.
const PASSWORD_LEN_MIN: usize = 8;
/// Credentials for a device. What is left out is made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialRequest {
    /// By default the device's identity, with a dash for its colon.
    username: Option<String>,
    /// By default a new secret of 128 bits.
    #[schema(value_type = Option<String>)]
    password: Option<Redacted<String>>,
}

/// What the device is to present. Shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Credential)]
pub(super) struct CredentialView {
    username: String,
    /// Present where it was made by us.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    password: Option<Redacted<String>>,
}

/// Gives a device credentials of its own, in place of those it had.
#[utoipa::path(put, path = "/api/v1/devices/{id}/credentials", tag = "devices",
    operation_id = "put_credentials",
    security(("token" = ["credentials.write"])),
    params(("id" = String, Path, description = "The device's identity or an alias")),
    request_body = CredentialRequest,
    responses((status = 200, description = "What it is to present", body = CredentialView)))]
pub(super) async fn put(
    caller: Authorised<need::CredentialsWrite>,
    State(state): State<ApiState>,
    name: DeviceName,
    JsonBody(body): JsonBody<CredentialRequest>,
) -> Result<Json<CredentialView>, Problem> {
    let device = signing_in(&state, &caller, &name)?;
    let is_short = |password: &Redacted<String>| password.expose().len() < PASSWORD_LEN_MIN;
    if body.password.as_ref().is_some_and(is_short) {
        let detail = format!("`password` has at least {PASSWORD_LEN_MIN} bytes");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let id = device.id.clone();
    let detail = json!({ "protocol": id.protocol().as_str() });
    let line = state.audit(&caller, "device.credential.put", id.as_str(), &detail);
    let made = body.password.is_none();
    let credentials = Arc::clone(&state.credentials);
    let put = async move {
        let CredentialRequest { username, password } = body;
        let username = username.as_deref();
        credentials.put(&device.tenant, &device.id, username, password, vec![line]).await
    };
    let (username, password) = to_its_end(put).await??;
    let username = username.into_string();
    Ok(Json(CredentialView { username, password: made.then_some(password) }))
}

impl From<PutError> for Problem {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Taken => Self::new(Code::Conflict, error.to_string()),
            PutError::WrongProtocol => Self::new(Code::WrongProtocol, error.to_string()),
            PutError::Invalid => Self::new(Code::InvalidBody, error.to_string()),
            PutError::Store(error) => error.into(),
        }
    }
}

/// Takes a device's own credentials away. It is then like one that never had any.
#[utoipa::path(delete, path = "/api/v1/devices/{id}/credentials", tag = "devices",
    operation_id = "delete_credentials",
    security(("token" = ["credentials.write"])),
    params(("id" = String, Path, description = "The device's identity or an alias")),
    responses((status = 204, description = "It has none")))]
pub(super) async fn delete(
    caller: Authorised<need::CredentialsWrite>,
    State(state): State<ApiState>,
    name: DeviceName,
) -> Result<StatusCode, Problem> {
    let device = signing_in(&state, &caller, &name)?;
    let protocol = device.id.protocol();
    let detail = json!({ "protocol": protocol.as_str() });
    let line = state.audit(&caller, "device.credential.delete", device.id.as_str(), &detail);
    let credentials = Arc::clone(&state.credentials);
    let remove =
        async move { credentials.remove(&device.tenant, &device.id, protocol, vec![line]).await };
    to_its_end(remove).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a known device that lost its credentials enrol again.
#[utoipa::path(post, path = "/api/v1/devices/{id}/enrolment", tag = "devices",
    security(("token" = ["credentials.write"])),
    params(("id" = String, Path, description = "The device's identity or an alias")),
    responses((status = 204, description = "It may enrol")))]
pub(super) async fn allow_enrolment(
    caller: Authorised<need::CredentialsWrite>,
    State(state): State<ApiState>,
    name: DeviceName,
) -> Result<StatusCode, Problem> {
    let device = signing_in(&state, &caller, &name)?;
    let operations = vec![Operation::SetTag {
        tenant: device.tenant,
        device: device.id.clone(),
        tag: MAY_ENROL_TAG.into(),
        present: true,
    }];
    let subject = device.id.as_str();
    state.change(&caller, "device.enrolment.allow", subject, &json!({}), operations).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The device, if it is of a kind that signs in: a phone does not.
fn signing_in(
    state: &ApiState,
    caller: &Authorised<need::CredentialsWrite>,
    name: &DeviceName,
) -> Result<Device, Problem> {
    let device = state.device(caller.tenant(), name)?;
    match device.id.protocol() {
        Protocol::Cwmp | Protocol::Mqtt => Ok(device),
        Protocol::Ussd => Err(Problem::new(Code::WrongProtocol, "a phone does not sign in")),
    }
}
