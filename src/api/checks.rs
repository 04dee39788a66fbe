//! `GET /api/v1/devices/{id}/checks`: what a technician asks before he leaves, in one call.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{DeviceName, Params, wait};
use super::problem::{Code, Problem};
use crate::commands::NewCommand;
use crate::registry::Device;
use crate::wake::Outcome;
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use model::{CommandKind, CommandState, Protocol, Tenant};
use provisioning::checkup::{Check, Checkup, State as Stand};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// How long a device is waited for that is to be asked anew.
const WAIT: Duration = Duration::from_secs(30);
/// How long readings that were asked for may take: who asked is gone by then.
const EXPIRES: Duration = Duration::from_secs(300);
/// Within so many seconds asking twice is asking once.
const ASKED_ONCE_S: i64 = 10;

/// How something stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CheckState)]
#[expect(dead_code, reason = "describes `checkup::State` to the OpenAPI document")]
pub(super) enum StandView {
    /// As it should be.
    Ok,
    /// It works, or soon will.
    Warning,
    /// It does not.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// One answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Check)]
pub(super) struct CheckView {
    #[schema(value_type = StandView)]
    state: Stand,
    /// What was read or is known: `true` or `false` of `online` and the networks, dBm of `optical`, the
    /// device's word of `sip`, an object of `profile` and `firmware`; null where nothing is.
    value: Value,
    /// When that was known.
    #[schema(value_type = Option<String>, format = DateTime)]
    read_at: Option<Timestamp>,
    /// How many seconds ago that was.
    age_s: Option<i64>,
    /// Why it does not stand well, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
}

/// The answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Checks)]
pub(super) struct AnswersView {
    /// Whether it can be reached.
    online: CheckView,
    /// Whether it is what its profiles say.
    profile: CheckView,
    /// Whether its network of 2.4 GHz is on.
    wifi_2g: CheckView,
    /// Whether its network of 5 GHz is on.
    wifi_5g: CheckView,
    /// Whether its telephone lines are registered.
    sip: CheckView,
    /// Whether its received light is strong enough; the limits are in `[checks]`.
    optical: CheckView,
    /// Whether it runs the firmware that it should.
    firmware: CheckView,
}

/// What became of asking the device anew.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refresh)]
pub(super) struct RefreshView {
    /// `done`; `under_way` when the time was over; `failed`, and then the readings are the old ones.
    state: &'static str,
    /// Why not, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
}

/// Whether a device is well.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Checkup)]
pub(super) struct CheckupView {
    /// Which.
    device: String,
    /// The worst of all answers: `failed`, `warning`, `unknown`, `ok`.
    #[schema(value_type = StandView)]
    state: Stand,
    checks: AnswersView,
    /// What became of asking it anew; absent when that was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<RefreshView>,
}

/// How to ask.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChecksQuery {
    /// Whether the device is woken and asked anew.
    #[serde(default)]
    refresh: bool,
    /// How long to wait for it then: a duration, `30s` by default.
    wait: Option<String>,
}

/// Tells whether a device is well: online, as its profile says, both networks on, the line
/// registered, the light strong enough, the firmware right.
///
/// From what is known, each with its age; a reading older than `checks.reading_age_max` counts as
/// unknown. With `refresh` a router is woken and asked anew first.
#[utoipa::path(get, path = "/api/v1/devices/{id}/checks", tag = "devices",
    operation_id = "check_device",
    security(("token" = ["devices.read"])),
    params(("id" = String, Path, description = "Its identity or an alias"), ChecksQuery),
    responses((status = 200, description = "How it stands", body = CheckupView)))]
pub(super) async fn show(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    name: DeviceName,
    Params(query): Params<ChecksQuery>,
) -> Result<Json<CheckupView>, Problem> {
    let wait = wait(&state, query.wait.as_deref())?;
    let mut device = state.device(caller.tenant(), &name)?;
    let mut refresh = None;
    if query.refresh {
        let wait = wait.unwrap_or_else(|| WAIT.min(state.options.wait_max));
        refresh = Some(ask(&state, &caller, &device, wait).await?);
        // What it told meanwhile.
        device = state.device(caller.tenant(), &name)?;
    }
    let not_woken = not_woken(&state, caller.tenant(), &device);
    let limits = &state.options.checks;
    let checkup =
        state.provisioner.check_up(caller.tenant(), &device, not_woken.as_deref(), limits).await?;
    let now = state.clock.now().wall;
    Ok(Json(CheckupView {
        device: device.id.as_str().to_owned(),
        state: checkup.overall(),
        checks: answers(checkup, now),
        refresh,
    }))
}

/// Why the device could not be woken last; nothing where it was, or nobody tried.
fn not_woken(state: &ApiState, tenant: &Tenant, device: &Device) -> Option<Box<str>> {
    let last = state.wakes.last(tenant, &device.id)?;
    (last.code != Outcome::WOKEN).then(|| last.cause.unwrap_or_else(|| last.code.into()))
}

/// Has the device told its answers anew.
async fn ask<N>(
    state: &ApiState,
    caller: &Authorised<N>,
    device: &Device,
    wait: Duration,
) -> Result<RefreshView, Problem> {
    if device.id.protocol() != Protocol::Cwmp {
        return Err(Problem::new(Code::WrongProtocol, "only CPEs are asked anew"));
    }
    let names = state.provisioner.paths_to_check(caller.tenant(), device).await?;
    if names.is_empty() {
        let cause = "nothing that it is known to have is measured by its profiles";
        return Ok(RefreshView { state: "failed", cause: Some(cause.into()) });
    }
    let moment = state.clock.now().wall.as_second() / ASKED_ONCE_S;
    let request = NewCommand {
        tenant: caller.tenant().clone(),
        device: device.id.clone(),
        kind: CommandKind::GetParameters { names: names.into_iter().map(Into::into).collect() },
        expires: Some(EXPIRES),
        retry: None,
        actor: caller.grant.name.clone(),
        // Somebody who asks again and again does not fill the queue.
        key: Some(format!("checks/{}/{moment}", device.id.as_str()).into()),
    };
    let asked = state.desk.submit(request).await?;
    let command = tokio::select! {
        waited = state.desk.wait(&asked, wait) => waited,
        () = state.stop.cancelled() => asked,
    };
    let cause = command.cause.clone();
    Ok(match command.state {
        CommandState::Done => RefreshView { state: "done", cause: None },
        _ if command.state.is_final(&command.kind) => RefreshView { state: "failed", cause },
        _ => RefreshView { state: "under_way", cause: not_woken(state, caller.tenant(), device) },
    })
}

fn answers(checkup: Checkup, now: Timestamp) -> AnswersView {
    let view = |check: Check| CheckView {
        state: check.state,
        value: check.value.0,
        read_at: check.read_at,
        age_s: check.read_at.map(|at| now.duration_since(at).as_secs().max(0)),
        cause: Some(check.cause).filter(|cause| !cause.is_empty()),
    };
    AnswersView {
        online: view(checkup.online),
        profile: view(checkup.profile),
        wifi_2g: view(checkup.wifi_2g),
        wifi_5g: view(checkup.wifi_5g),
        sip: view(checkup.sip),
        optical: view(checkup.optical),
        firmware: view(checkup.firmware),
    }
}
