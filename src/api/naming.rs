//! What operators call devices: aliases and tags.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{DeviceName, Segments};
use super::problem::{Code, Problem};
use crate::credentials::MAY_ENROL_TAG;
use crate::registry::Device;
use crate::store::Operation;
use axum::extract::State;
use axum::http::StatusCode;
use model::{Alias, AliasKind};
use serde_json::json;

/// Longest tag, in bytes.
const TAG_LEN_MAX: usize = 64;
/// Most tags of one device.
const TAGS_MAX: usize = 64;
/// Most aliases of one device; the registry passes over more.
const ALIASES_MAX: usize = 64;

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
    if alias.kind() == AliasKind::Imsi && state.boards.is_of_bench(alias.value()) {
        let detail = "this is a SIM of the inspection bench: no board is bound to it";
        return Err(Problem::new(Code::InvalidPath, detail));
    }
    if device.facts.aliases.len() >= ALIASES_MAX && !device.facts.aliases.contains(&alias) {
        let detail = format!("a device has at most {ALIASES_MAX} aliases");
        return Err(Problem::new(Code::Conflict, detail));
    }
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
    let device = state.device(caller.tenant(), &name)?;
    if device.tags.len() >= TAGS_MAX && !device.tags.iter().any(|it| **it == *tag) {
        return Err(Problem::new(Code::Conflict, format!("a device has at most {TAGS_MAX} tags")));
    }
    set_tag(&state, &caller, device, tag, true).await
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
    let device = state.device(caller.tenant(), &name)?;
    if !device.tags.iter().any(|it| **it == *tag) {
        return Err(Code::NoSuchTag.into());
    }
    set_tag(&state, &caller, device, tag, false).await
}

async fn set_tag(
    state: &ApiState,
    caller: &Authorised<need::DevicesWrite>,
    device: Device,
    tag: String,
    present: bool,
) -> Result<StatusCode, Problem> {
    if tag == MAY_ENROL_TAG {
        let detail = "this tag is the mark that `POST …/enrolment` sets";
        return Err(Problem::new(Code::Conflict, detail));
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
