//! Images on their way to fleets: ordered, watched, stopped.

mod view;

pub(super) use self::view::window;

use self::view::{DeviceState, Ordered, RolloutRequest, RolloutView, StepView};
use super::ApiState;
use super::access::{Authorised, need};
use super::commands::idempotency_key;
use super::input::{DeviceName, Items, JsonBody, PageQuery, Params, Segments, cursor, limit};
use super::problem::{Code, Problem};
use crate::store::RolloutDevices;
use crate::upgrades::{Entry, NewRollout, OrderFault};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use firmware::Stage;
use model::DeviceId;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

impl From<OrderFault> for Problem {
    fn from(fault: OrderFault) -> Self {
        match fault {
            OrderFault::NoSuchImage => Code::NoSuchImage.into(),
            OrderFault::NotSigned => Code::NotSigned.into(),
            OrderFault::NoSuchRollout => Code::NoSuchRollout.into(),
            OrderFault::Refused(refusal) => {
                let detail = format!("{refusal}; `force` passes over what can be passed over");
                Self::new(Code::ImageRefused, detail)
            }
            OrderFault::Order(error) => Self::new(Code::InvalidBody, error.to_string()),
            OrderFault::State(error) => Self::new(Code::RolloutState, error.to_string()),
            OrderFault::TooMany => Self::new(Code::TooManyRollouts, fault.to_string()),
            OrderFault::Store(error) => error.into(),
        }
    }
}

/// Orders a rollout, and begins its first wave.
///
/// The answer says how many devices it reaches and in which waves. With `Idempotency-Key`, asking
/// twice is the same as asking once (200).
#[utoipa::path(post, path = "/api/v1/rollouts", tag = "rollouts",
    operation_id = "create_rollout",
    security(("token" = ["rollouts.write"])),
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Asking twice with one key is the same as asking once")),
    request_body = RolloutRequest,
    responses(
        (status = 200, description = "The rollout that was made under this key", body = RolloutView),
        (status = 201, description = "The rollout, begun", body = RolloutView),
    ))]
pub(super) async fn create(
    caller: Authorised<need::RolloutsWrite>,
    State(state): State<ApiState>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<RolloutRequest>,
) -> Result<(StatusCode, Json<RolloutView>), Problem> {
    let Ordered { name, order, window } = body.read()?;
    let new = NewRollout {
        tenant: caller.tenant().clone(),
        name,
        actor: caller.grant.name.clone(),
        key: idempotency_key(&caller, &headers)?,
        order,
        window,
    };
    let made = state.upgrades.order(new).await?;
    let status = if made.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(RolloutView::made(&made))))
}

/// Lists rollouts, newest first; those that stand because a profile or a group wants an image are
/// before them.
#[utoipa::path(get, path = "/api/v1/rollouts", tag = "rollouts",
    operation_id = "list_rollouts",
    security(("token" = ["devices.read"])), params(PageQuery),
    responses((status = 200, description = "A page of rollouts", body = Items<RolloutView>)))]
pub(super) async fn list(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<RolloutView>>, Problem> {
    let limit = limit(query.limit)?;
    let before = cursor(query.cursor.as_deref(), |text| Some(text.to_owned()))?;
    let entries = state.upgrades.list(caller.tenant(), before.as_deref(), limit + 1);
    let views = entries.iter().map(|entry| RolloutView::of(entry)).collect();
    Ok(Json(Items::page(views, limit, |view: &RolloutView| view.id.to_string())))
}

fn find<N>(state: &ApiState, caller: &Authorised<N>, id: &str) -> Result<Arc<Entry>, Problem> {
    let entry = state.upgrades.rollout(caller.tenant(), id);
    entry.ok_or_else(|| Code::NoSuchRollout.into())
}

/// Shows how a rollout stands: its state and why, its wave, and how many devices are at which stage.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}", tag = "rollouts",
    operation_id = "show_rollout",
    security(("token" = ["devices.read"])),
    params(("id" = String, Path, description = "The rollout's name")),
    responses((status = 200, description = "The rollout", body = RolloutView)))]
pub(super) async fn show(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<RolloutView>, Problem> {
    Ok(Json(RolloutView::of(&*find(&state, &caller, &id)?)))
}

/// Which devices of a rollout.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DevicesQuery {
    /// At this stage: `waiting`, `offered`, `downloading`, `applied`, `confirmed`, `failed` or
    /// `refused`.
    state: Option<String>,
    /// How many at most: 1 to 1000, 100 by default.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Lists the devices of a rollout, and how each stands.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/devices", tag = "rollouts",
    operation_id = "list_rollout_devices",
    security(("token" = ["devices.read"])),
    params(("id" = String, Path, description = "The rollout's name"), DevicesQuery),
    responses((status = 200, description = "A page of devices", body = Items<DeviceState>)))]
pub(super) async fn devices(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    Params(query): Params<DevicesQuery>,
) -> Result<Json<Items<DeviceState>>, Problem> {
    let entry = find(&state, &caller, &id)?;
    let limit = limit(query.limit)?;
    let stage = query.state.as_deref().map(|word| {
        let known = Stage::ALL.map(Stage::as_str).join(", ");
        let refuse = || Problem::new(Code::InvalidQuery, format!("`state` is one of {known}"));
        Stage::parse(word).ok_or_else(refuse)
    });
    let after = cursor(query.cursor.as_deref(), |text| DeviceId::parse(text).ok())?;
    let (tenant, rollout) = (caller.tenant().clone(), entry.id.clone());
    let which = RolloutDevices { tenant, rollout, stage: stage.transpose()?, after };
    let rows = state.store.rollout_devices(&which, limit + 1).await?;
    let views = rows.into_iter().map(DeviceState::from).collect();
    Ok(Json(Items::page(views, limit, |view: &DeviceState| view.device.clone())))
}

/// Stops a rollout until it is resumed. Downloads that devices were told of go on.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/pause", tag = "rollouts",
    operation_id = "pause_rollout",
    security(("token" = ["rollouts.write"])),
    params(("id" = String, Path, description = "The rollout's name")),
    responses((status = 200, description = "The rollout, paused", body = RolloutView)))]
pub(super) async fn pause(
    caller: Authorised<need::RolloutsWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<RolloutView>, Problem> {
    let entry = state.upgrades.pause(caller.tenant(), &id, &caller.grant.name).await?;
    Ok(Json(RolloutView::of(&entry)))
}

/// Lets a paused rollout go on. Failures so far are forgiven: the threshold counts new ones only; the
/// totals go on.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/resume", tag = "rollouts",
    operation_id = "resume_rollout",
    security(("token" = ["rollouts.write"])),
    params(("id" = String, Path, description = "The rollout's name")),
    responses((status = 200, description = "The rollout, running", body = RolloutView)))]
pub(super) async fn resume(
    caller: Authorised<need::RolloutsWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<RolloutView>, Problem> {
    let entry = state.upgrades.resume(caller.tenant(), &id, &caller.grant.name).await?;
    Ok(Json(RolloutView::of(&entry)))
}

/// Begins the next wave without waiting for the one before.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/next", tag = "rollouts",
    operation_id = "advance_rollout",
    security(("token" = ["rollouts.write"])),
    params(("id" = String, Path, description = "The rollout's name")),
    responses((status = 200, description = "The rollout, one wave on", body = RolloutView)))]
pub(super) async fn next(
    caller: Authorised<need::RolloutsWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<RolloutView>, Problem> {
    let entry = state.upgrades.next(caller.tenant(), &id, &caller.grant.name).await?;
    Ok(Json(RolloutView::of(&entry)))
}

/// Ends a rollout: once this is answered no download of it begins. Those that devices were told of
/// are heard out.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/abort", tag = "rollouts",
    operation_id = "abort_rollout",
    security(("token" = ["rollouts.write"])),
    params(("id" = String, Path, description = "The rollout's name")),
    responses((status = 200, description = "The rollout, aborted", body = RolloutView)))]
pub(super) async fn abort(
    caller: Authorised<need::RolloutsWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<RolloutView>, Problem> {
    let entry = state.upgrades.abort(caller.tenant(), &id, &caller.grant.name).await?;
    Ok(Json(RolloutView::of(&entry)))
}

/// Lists what a device went through on its way to images, newest first.
#[utoipa::path(get, path = "/api/v1/devices/{id}/firmware", tag = "rollouts",
    operation_id = "list_device_firmware",
    security(("token" = ["devices.read"])),
    params(("id" = String, Path, description = "The device's identity or an alias"), PageQuery),
    responses((status = 200, description = "A page of steps", body = Items<StepView>)))]
pub(super) async fn of_device(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    name: DeviceName,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<StepView>>, Problem> {
    let device = state.device(caller.tenant(), &name)?;
    let limit = limit(query.limit)?;
    let before = cursor(query.cursor.as_deref(), |text| text.parse().ok())?;
    let steps = state.store.firmware_steps(caller.tenant(), &device.id, before, limit + 1).await?;
    let views = steps.into_iter().map(StepView::from).collect();
    Ok(Json(Items::page(views, limit, |view: &StepView| view.id.to_string())))
}
