//! What operators call devices: aliases and tags.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{DeviceName, Segments};
use super::problem::{Code, Problem};
use crate::store::Operation;
use axum::extract::State;
use axum::http::StatusCode;
use model::{Alias, AliasKind};
use serde_json::json;

/// Longest tag, in bytes.
const TAG_LEN_MAX: usize = 64;

/// Reads an alias out of a path.
fn alias(kind: &str, value: &str) -> Result<Alias, Problem> {
    let kind = AliasKind::parse(kind).ok_or_else(|| {
        let known = AliasKind::ALL.map(AliasKind::as_str).join(", ");
        Problem::new(Code::InvalidPath, format!("the kind of an alias is one of {known}"))
    })?;
    Alias::new(kind, value).map_err(|error| Problem::new(Code::InvalidPath, error.to_string()))
}

/// Gives a device another name, by which it may be called from then on.
#[utoipa::path(put, path = "/api/v1/devices/{id}/aliases/{kind}/{value}", tag = "devices",
    security(("token" = ["devices.write"])),
    params(
        ("id" = String, Path, description = "The device's identity or an alias"),
        ("kind" = String, Path,
            description = "serial, gpon_serial, mac, imsi, iccid, msisdn or imei"),
        ("value" = String, Path, description = "In any spelling of its kind"),
    ),
    responses((status = 204, description = "The device has it")))]
pub(super) async fn put_alias(
    caller: Authorised<need::DevicesWrite>,
    State(state): State<ApiState>,
    Segments(path): Segments<(String, String, String)>,
    name: DeviceName,
) -> Result<StatusCode, Problem> {
    let (_, kind, value) = path;
    let device = state.device(caller.tenant(), &name)?;
    let alias = alias(&kind, &value)?;
    let detail = json!({ "kind": alias.kind().as_str(), "value": alias.value() });
    let id = device.id.clone();
    let operations = vec![Operation::PutAlias { tenant: device.tenant, device: id, alias }];
    state.change(&caller, "device.alias.put", device.id.as_str(), &detail, operations).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a name from a device.
#[utoipa::path(delete, path = "/api/v1/devices/{id}/aliases/{kind}/{value}", tag = "devices",
    security(("token" = ["devices.write"])),
    params(
        ("id" = String, Path, description = "The device's identity or an alias"),
        ("kind" = String, Path,
            description = "serial, gpon_serial, mac, imsi, iccid, msisdn or imei"),
        ("value" = String, Path, description = "In any spelling of its kind"),
    ),
    responses((status = 204, description = "The device no longer has it")))]
pub(super) async fn delete_alias(
    caller: Authorised<need::DevicesWrite>,
    State(state): State<ApiState>,
    Segments(path): Segments<(String, String, String)>,
    name: DeviceName,
) -> Result<StatusCode, Problem> {
    let (_, kind, value) = path;
    let device = state.device(caller.tenant(), &name)?;
    let alias = alias(&kind, &value)?;
    if state.registry.by_alias(caller.tenant(), &alias).as_ref() != Some(&device.id) {
        return Err(Code::NoSuchAlias.into());
    }
    let detail = json!({ "kind": alias.kind().as_str(), "value": alias.value() });
    let id = device.id.clone();
    let operations = vec![Operation::RemoveAlias { tenant: device.tenant, device: id, alias }];
    state.change(&caller, "device.alias.delete", device.id.as_str(), &detail, operations).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a label on a device.
#[utoipa::path(put, path = "/api/v1/devices/{id}/tags/{tag}", tag = "devices",
    security(("token" = ["devices.write"])),
    params(
        ("id" = String, Path, description = "The device's identity or an alias"),
        ("tag" = String, Path, description = "1 to 64 letters, digits, `.`, `-`, `_` or `:`"),
    ),
    responses((status = 204, description = "The device has it")))]
pub(super) async fn put_tag(
    caller: Authorised<need::DevicesWrite>,
    State(state): State<ApiState>,
    Segments(path): Segments<(String, String)>,
    name: DeviceName,
) -> Result<StatusCode, Problem> {
    let (_, tag) = path;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if tag.is_empty() || tag.len() > TAG_LEN_MAX || !tag.bytes().all(allowed) {
        let detail = format!("a tag is 1 to {TAG_LEN_MAX} letters, digits, `.`, `-`, `_` or `:`");
        return Err(Problem::new(Code::InvalidPath, detail));
    }
    set_tag(&state, &caller, &name, tag, true).await
}

/// Takes a label off a device.
#[utoipa::path(delete, path = "/api/v1/devices/{id}/tags/{tag}", tag = "devices",
    security(("token" = ["devices.write"])),
    params(
        ("id" = String, Path, description = "The device's identity or an alias"),
        ("tag" = String, Path, description = "The label"),
    ),
    responses((status = 204, description = "The device no longer has it")))]
pub(super) async fn delete_tag(
    caller: Authorised<need::DevicesWrite>,
    State(state): State<ApiState>,
    Segments(path): Segments<(String, String)>,
    name: DeviceName,
) -> Result<StatusCode, Problem> {
    let (_, tag) = path;
    set_tag(&state, &caller, &name, tag, false).await
}

async fn set_tag(
    state: &ApiState,
    caller: &Authorised<need::DevicesWrite>,
    name: &DeviceName,
    tag: String,
    present: bool,
) -> Result<StatusCode, Problem> {
    let device = state.device(caller.tenant(), name)?;
    if !present && !device.tags.iter().any(|it| **it == *tag) {
        return Err(Code::NoSuchTag.into());
    }
    let detail = json!({ "tag": tag });
    let action = if present { "device.tag.put" } else { "device.tag.delete" };
    let operations = vec![Operation::SetTag {
        tenant: device.tenant,
        device: device.id.clone(),
        tag: tag.into(),
        present,
    }];
    state.change(caller, action, device.id.as_str(), &detail, operations).await?;
    Ok(StatusCode::NO_CONTENT)
}
