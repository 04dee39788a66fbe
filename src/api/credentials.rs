//! What devices present when they sign in: given, taken away, and the mark to enrol again.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{DeviceName, JsonBody};
use super::problem::{Code, Problem};
use crate::registry::Device;
use crate::secrets::new_secret;
use crate::store::Operation;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::{Protocol, Redacted};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// Longest user name, in bytes (TR-069 3.4.4 allows 256 characters for a CPE's own).
const USERNAME_LEN_MAX: usize = 256;
/// Shortest password, in bytes: what a fleet already uses may be short of the 128 bits that ours
/// have, but not guessable in an afternoon.
const PASSWORD_LEN_MIN: usize = 8;
/// Longest password, in bytes.
const PASSWORD_LEN_MAX: usize = 256;

/// Credentials for a device. What is left out is made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialRequest {
    /// By default the device's identity without its protocol. It holds no colon.
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
    let username = body.username.unwrap_or_else(|| own_name(&device));
    // RFC 7617 section 2 and RFC 7616 3.4: a colon would end the name.
    let is_username = (1..=USERNAME_LEN_MAX).contains(&username.len())
        && username.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':' && byte != b'"');
    if !is_username {
        let detail = "`username` is 1 to 256 visible ASCII characters without colon or quote";
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let fits = |password: &Redacted<String>| {
        (PASSWORD_LEN_MIN..=PASSWORD_LEN_MAX).contains(&password.expose().len())
            && !password.expose().chars().any(char::is_control)
    };
    if !body.password.as_ref().is_none_or(fits) {
        let detail = "`password` is 8 to 256 bytes without control characters";
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let (password, made) = match body.password {
        Some(given) => (given, false),
        None => (new_secret(), true),
    };
    let row = state.credentials.row(caller.tenant(), &device.id, &username, &password);
    let detail = json!({ "protocol": row.protocol.as_str(), "username": username });
    let operations = vec![Operation::PutCredential(row)];
    state.change(&caller, "device.credential.put", device.id.as_str(), &detail, operations).await?;
    Ok(Json(CredentialView { username, password: made.then_some(password) }))
}

/// Takes a device's own credentials away. It is then like one that never had any.
#[utoipa::path(delete, path = "/api/v1/devices/{id}/credentials", tag = "devices",
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
    let operations = vec![Operation::RemoveCredential {
        tenant: device.tenant,
        device: device.id.clone(),
        protocol,
    }];
    let detail = json!({ "protocol": protocol.as_str() });
    let subject = device.id.as_str();
    state.change(&caller, "device.credential.delete", subject, &detail, operations).await?;
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
    let operations = state.credentials.allow_enrolment(caller.tenant(), &device.id);
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

fn own_name(device: &Device) -> String {
    device.id.as_str().split_once(':').map_or("", |(_, own)| own).to_owned()
}
