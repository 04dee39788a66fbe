//! What devices present when they sign in: given, taken away, and the mark to enrol again.

use super::ApiState;
use super::access::{Authorised, need};
use super::change::to_its_end;
use super::input::{DeviceName, JsonBody, Params};
use super::problem::{Code, Problem};
use crate::credentials::{Given, MAY_ENROL_TAG, NewCredential, Pending, Push, PutError, Standing};
use crate::registry::Device;
use crate::store::Operation;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use model::{Protocol, Redacted};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Shortest password, in bytes: what a fleet already uses may be short of the 128 bits that ours
/// have, but not guessable in an afternoon.
const PASSWORD_LEN_MIN: usize = 8;

/// Credentials for a device. What is left out is made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialRequest {
    /// By default the name that it uses, else its identity with a dash for its colon.
    username: Option<String>,
    /// By default a new secret of 128 bits.
    #[schema(value_type = Option<String>)]
    password: Option<Redacted<String>>,
    /// Whether lastmile puts them on the device, in its next session. Only a CPE has a place for
    /// them. By default true for a CPE that uses credentials of its own, or that is claimed.
    push: Option<bool>,
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
    /// Present and true where lastmile puts them on the device.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    push: bool,
}

/// Gives a device credentials of its own. Those that it uses stay until it has used the new ones;
/// what it was given before and has not used yet is replaced. A device that lastmile puts them on is
/// woken for it.
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
    let device = signing_in(state.device(caller.tenant(), &name)?)?;
    let is_short = |password: &Redacted<String>| password.expose().len() < PASSWORD_LEN_MIN;
    if body.password.as_ref().is_some_and(is_short) {
        let detail = format!("`password` has at least {PASSWORD_LEN_MIN} bytes");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let id = device.id.clone();
    let detail = json!({ "protocol": id.protocol().as_str() });
    let line = state.audit(&caller, "device.credential.put", id.as_str(), &detail);
    let (made, tenant) = (body.password.is_none(), device.tenant.clone());
    let credentials = Arc::clone(&state.credentials);
    let put = async move {
        let CredentialRequest { username, password, push } = body;
        let new = NewCredential { username: username.map(Into::into), password, push };
        credentials.put(&device.tenant, &device.id, new, vec![line]).await
    };
    let Given { username, password, push } = to_its_end(put).await??;
    if push {
        // Where it cannot be woken, its next session brings them.
        let _ = state.wakes.ask(&tenant, &id);
    }
    let (username, password) = (username.into_string(), made.then_some(password));
    Ok(Json(CredentialView { username, password, push }))
}

/// What a device has, without any secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Credentials)]
pub(super) struct StandingView {
    /// What it has signed in with.
    confirmed: Option<ConfirmedView>,
    /// What it was given and has not signed in with yet.
    pending: Option<PendingView>,
}

/// Credentials that a device uses.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfirmedCredential)]
pub(super) struct ConfirmedView {
    username: String,
}

/// Credentials that a device has not used yet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingCredential)]
pub(super) struct PendingView {
    username: String,
    /// What became of putting them on the device; `null` where somebody else does that.
    push: Option<PushView>,
}

/// Putting credentials on a device. Counted since the daemon started.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CredentialPush)]
pub(super) struct PushView {
    /// `waiting` for its next session, `taken` by the device and not used yet, or `refused` by it.
    state: &'static str,
    /// How often it was tried.
    tries: u32,
    /// When it was tried last.
    #[schema(value_type = Option<String>, format = DateTime)]
    tried_at: Option<Timestamp>,
    /// Why the device refused, in plain words.
    cause: Option<Box<str>>,
}

impl From<Standing> for StandingView {
    fn from(standing: Standing) -> Self {
        let push = |push: Push| PushView {
            state: match (push.tries, &push.refused) {
                (0, _) => "waiting",
                (_, None) => "taken",
                (_, Some(_)) => "refused",
            },
            tries: push.tries,
            tried_at: push.tried_at,
            cause: push.refused,
        };
        let confirmed = |username: Box<str>| ConfirmedView { username: username.into_string() };
        let pending = |pending: Pending| PendingView {
            username: pending.username.into_string(),
            push: pending.push.map(push),
        };
        Self {
            confirmed: standing.confirmed.map(confirmed),
            pending: standing.pending.map(pending),
        }
    }
}

/// Shows which credentials a device has, and which it has not used yet; never a secret.
#[utoipa::path(get, path = "/api/v1/devices/{id}/credentials", tag = "devices",
    operation_id = "show_credentials",
    security(("token" = ["devices.read"])),
    params(("id" = String, Path, description = "The device's identity or an alias")),
    responses((status = 200, description = "What it has", body = StandingView)))]
pub(super) async fn show(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    name: DeviceName,
) -> Result<Json<StandingView>, Problem> {
    let device = signing_in(state.device(caller.tenant(), &name)?)?;
    Ok(Json(state.credentials.standing(&device.tenant, &device.id).into()))
}

impl From<PutError> for Problem {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Taken => Self::new(Code::Conflict, error.to_string()),
            PutError::WrongProtocol => Self::new(Code::WrongProtocol, error.to_string()),
            PutError::Invalid | PutError::NotPushed => {
                Self::new(Code::InvalidBody, error.to_string())
            }
            PutError::Store(error) => error.into(),
        }
    }
}

/// Which credentials.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RemovalQuery {
    /// Only those that the device has not used yet.
    #[serde(default)]
    pending: bool,
}

/// Takes a device's own credentials away, those that it uses and those that it has not used yet. It
/// is then like one that never had any; or, with `pending`, goes on with those that it uses.
#[utoipa::path(delete, path = "/api/v1/devices/{id}/credentials", tag = "devices",
    operation_id = "delete_credentials",
    security(("token" = ["credentials.write"])),
    params(("id" = String, Path, description = "The device's identity or an alias"), RemovalQuery),
    responses((status = 204, description = "It has none")))]
pub(super) async fn delete(
    caller: Authorised<need::CredentialsWrite>,
    State(state): State<ApiState>,
    name: DeviceName,
    Params(RemovalQuery { pending }): Params<RemovalQuery>,
) -> Result<StatusCode, Problem> {
    let device = signing_in(state.device(caller.tenant(), &name)?)?;
    let mut detail = json!({ "protocol": device.id.protocol().as_str() });
    if pending {
        detail["pending"] = json!(true);
    }
    let line = state.audit(&caller, "device.credential.delete", device.id.as_str(), &detail);
    let credentials = Arc::clone(&state.credentials);
    let remove =
        async move { credentials.remove(&device.tenant, &device.id, !pending, vec![line]).await };
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
    let device = signing_in(state.device(caller.tenant(), &name)?)?;
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
fn signing_in(device: Device) -> Result<Device, Problem> {
    match device.id.protocol() {
        Protocol::Cwmp | Protocol::Mqtt => Ok(device),
        Protocol::Ussd => Err(Problem::new(Code::WrongProtocol, "a phone does not sign in")),
    }
}
