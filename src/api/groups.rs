//! Groups: which one a device is in, and what firmware is wanted of it.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{DeviceName, JsonBody, Segments};
use super::problem::{Code, Problem};
use super::rollouts::window;
use crate::store::{GroupFirmwareRow, Operation};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use firmware::{ImageName, Label};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Longest name of a group, in bytes.
const GROUP_LEN_MAX: usize = 64;

/// A device's group.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupRequest {
    /// 1 to 64 letters, digits, `.`, `-`, `_` or `:`.
    group: String,
}

fn check(group: &str, code: Code) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if group.is_empty() || group.len() > GROUP_LEN_MAX || !group.bytes().all(allowed) {
        let detail =
            format!("a group is 1 to {GROUP_LEN_MAX} letters, digits, `.`, `-`, `_` or `:`");
        return Err(Problem::new(code, detail));
    }
    Ok(())
}

/// Puts a device into a group; it leaves the one that it was in.
#[utoipa::path(put, path = "/api/v1/devices/{id}/group", tag = "devices",
    operation_id = "put_device_group",
    security(("token" = ["devices.write"])),
    params(("id" = String, Path, description = "The device's identity or an alias")),
    request_body = GroupRequest,
    responses((status = 204, description = "The device is in it")))]
pub(super) async fn put_device(
    caller: Authorised<need::DevicesWrite>,
    State(state): State<ApiState>,
    name: DeviceName,
    JsonBody(body): JsonBody<GroupRequest>,
) -> Result<StatusCode, Problem> {
    check(&body.group, Code::InvalidBody)?;
    set(&state, &caller, &name, Some(body.group)).await
}

/// Takes a device out of its group.
#[utoipa::path(delete, path = "/api/v1/devices/{id}/group", tag = "devices",
    operation_id = "delete_device_group",
    security(("token" = ["devices.write"])),
    params(("id" = String, Path, description = "The device's identity or an alias")),
    responses((status = 204, description = "The device is in none")))]
pub(super) async fn delete_device(
    caller: Authorised<need::DevicesWrite>,
    State(state): State<ApiState>,
    name: DeviceName,
) -> Result<StatusCode, Problem> {
    set(&state, &caller, &name, None).await
}

async fn set(
    state: &ApiState,
    caller: &Authorised<need::DevicesWrite>,
    name: &DeviceName,
    group: Option<String>,
) -> Result<StatusCode, Problem> {
    let device = state.device(caller.tenant(), name)?;
    let detail = json!({ "group": group });
    let action = if group.is_some() { "device.group.put" } else { "device.group.delete" };
    let (tenant, id) = (device.tenant.clone(), device.id.clone());
    let group = group.map(String::into_boxed_str);
    let operations = vec![Operation::SetGroup { tenant, device: id, group }];
    state.change(caller, action, device.id.as_str(), &detail, operations).await?;
    state.upgrades.regrouped(&device.tenant, &device.id);
    Ok(StatusCode::NO_CONTENT)
}

/// What a group should run: an image, or the image for each one's model that has a version.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WishRequest {
    /// The image's name in the catalogue.
    image: Option<String>,
    /// Or a version, for which the catalogue has an image of each model.
    version: Option<String>,
    /// When the image may be given to a device; at any time by default.
    #[schema(value_type = Option<Object>)]
    window: Option<Value>,
}

/// What a group should run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupFirmware)]
pub(super) struct WishView {
    /// Which group.
    group: Box<str>,
    /// The image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    image: Option<ImageName>,
    /// Or the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Box<str>>,
    /// When the image may be given to a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    window: Option<model::Json>,
    /// Who says so.
    actor: Box<str>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

impl From<GroupFirmwareRow> for WishView {
    fn from(row: GroupFirmwareRow) -> Self {
        let GroupFirmwareRow { tenant: _, group, image, version, window, actor, since } = row;
        Self { group, image, version, window, actor, since }
    }
}

/// Says what the devices of a group should run, also those that join it later. Each is brought to it
/// within the same rules as a rollout's; how that goes is shown by the rollout `group:<name>`.
#[utoipa::path(put, path = "/api/v1/groups/{group}/firmware", tag = "rollouts",
    operation_id = "put_group_firmware",
    security(("token" = ["rollouts.write"])),
    params(("group" = String, Path, description = "The group's name")),
    request_body = WishRequest,
    responses((status = 200, description = "What is wanted", body = WishView)))]
pub(super) async fn put(
    caller: Authorised<need::RolloutsWrite>,
    State(state): State<ApiState>,
    Segments(group): Segments<String>,
    JsonBody(body): JsonBody<WishRequest>,
) -> Result<Json<WishView>, Problem> {
    check(&group, Code::InvalidPath)?;
    let invalid = |why: String| Problem::new(Code::InvalidBody, why);
    let image = body.image.as_deref().map(ImageName::new).transpose();
    let image = image.map_err(|error| invalid(error.to_string()))?;
    let version = body.version.as_deref().map(Label::new).transpose();
    let version = version.map_err(|error| invalid(error.to_string()))?;
    if image.is_some() == version.is_some() {
        return Err(invalid("give `image` or `version`".to_owned()));
    }
    if let Some(image) = &image
        && state.transfers.image(caller.tenant(), image).is_none()
    {
        return Err(Code::NoSuchImage.into());
    }
    let row = GroupFirmwareRow {
        tenant: caller.tenant().clone(),
        group: group.into(),
        image,
        version: version.map(|it| it.as_str().into()),
        window: window(body.window)?,
        actor: caller.grant.name.clone(),
        since: state.clock.now().wall,
    };
    state.upgrades.set_group(row.clone()).await?;
    Ok(Json(row.into()))
}

/// Shows what the devices of a group should run.
#[utoipa::path(get, path = "/api/v1/groups/{group}/firmware", tag = "rollouts",
    operation_id = "show_group_firmware",
    security(("token" = ["devices.read"])),
    params(("group" = String, Path, description = "The group's name")),
    responses((status = 200, description = "What is wanted", body = WishView)))]
pub(super) async fn show(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    Segments(group): Segments<String>,
) -> Result<Json<WishView>, Problem> {
    let row = state.upgrades.group(caller.tenant(), &group).ok_or(Code::NoSuchWish)?;
    Ok(Json(row.into()))
}

/// Wants nothing of a group any more. What devices were told goes on.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/firmware", tag = "rollouts",
    operation_id = "delete_group_firmware",
    security(("token" = ["rollouts.write"])),
    params(("group" = String, Path, description = "The group's name")),
    responses((status = 204, description = "Nothing is wanted")))]
pub(super) async fn delete(
    caller: Authorised<need::RolloutsWrite>,
    State(state): State<ApiState>,
    Segments(group): Segments<String>,
) -> Result<StatusCode, Problem> {
    if !state.upgrades.clear_group(caller.tenant(), &group, &caller.grant.name).await? {
        return Err(Code::NoSuchWish.into());
    }
    Ok(StatusCode::NO_CONTENT)
}
