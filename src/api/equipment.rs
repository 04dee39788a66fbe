//! What the business keeps for equipment, in our own backend: `…/equipment/{serial}`.
//!
//! A document may be there before its device is: kept under any name that a label or a scanner gives,
//! it is found when a device comes that has it. Its secrets are shown to a permission of their own.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{Items, JsonBody, PageQuery, Params, Segments, cursor, limit, refuse};
use super::problem::{Code, Problem};
use super::push;
use crate::store::{EquipmentChange, EquipmentRow, EquipmentStatus, Expect, Operation};
use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::IntoResponse;
use config::Permission;
use jiff::Timestamp;
use provisioning::Equipment;
use provisioning::equipment::{self, Faults};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use utoipa::ToSchema;

/// What an answer says beside the document: put back, it is passed over.
const OURS: [&str; 6] =
    ["status", "changed_at", "activated_at", "last_ip", "last_firmware", "device"];

/// A document, with what is known of its equipment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Equipment)]
pub(super) struct EquipmentView {
    /// The document (`GET /api/v1/equipment.schema.json`). Secrets are `…` to a caller without
    /// `equipment.secrets`, and so is what we do not know.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    document: Equipment,
    /// `created`; `Connected` when its device became as its profile says; `Actif` when the job is
    /// closed.
    status: &'static str,
    /// When the document last changed.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// When its device last became as its profile says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    activated_at: Option<Timestamp>,
    /// The address that the device was heard from then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    last_ip: Option<IpAddr>,
    /// The firmware that it ran then.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_firmware: Option<Box<str>>,
    /// The device that is given its secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
}

/// A status to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusRequest {
    /// `created`, `Connected` or `Actif`.
    status: String,
}

/// Every fault of a document, in one problem.
impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        Self::new(Code::InvalidBody, faults.to_string())
    }
}

/// The document of a row as a caller may see it.
fn view<N>(
    state: &ApiState,
    caller: &Authorised<N>,
    row: EquipmentRow,
) -> Result<EquipmentView, Problem> {
    let sealed = || Problem::new(Code::Internal, "the document was sealed under another key");
    let mut document = state.equipments.open(&row).ok_or_else(sealed)?;
    if !caller.grant.permits(Permission::EquipmentSecrets) {
        document = document.without_secrets();
    }
    Ok(EquipmentView {
        document,
        status: row.status.as_str(),
        changed_at: row.changed_at,
        activated_at: row.activated_at,
        last_ip: row.address,
        last_firmware: row.firmware,
        device: row.holder.map(|device| device.as_str().to_owned()),
    })
}

/// The one spelling of the name in the path; only where we keep equipment ourselves.
fn key(state: &ApiState, serial: &str) -> Result<Box<str>, Problem> {
    if !state.equipments.is_embedded() {
        return Err(Code::KeptByHub.into());
    }
    let detail = "a serial is a CWMP serial, a GPON serial or a MAC";
    equipment::key(serial).ok_or_else(|| Problem::new(Code::InvalidPath, detail))
}

fn etag(version: u64) -> [(HeaderName, String); 1] {
    [(ETAG, format!("\"{version:016x}\""))]
}

/// What the caller demands of what is there (RFC 9110 13.1).
fn expect(headers: &HeaderMap) -> Result<Expect, Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    match (text(IF_MATCH), text(IF_NONE_MATCH)) {
        (None, None) => Ok(Expect::Any),
        (Some("*"), None) => Ok(Expect::Present),
        (None, Some("*")) => Ok(Expect::Absent),
        (Some(tag), None) => {
            let version = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let version = version.and_then(|hex| u64::from_str_radix(hex, 16).ok());
            version.map(Expect::Version).ok_or_else(|| Code::PreconditionFailed.into())
        }
        _ => {
            let detail = "give `If-Match` with an ETag or `*`, or `If-None-Match: *`";
            Err(Problem::new(Code::InvalidQuery, detail))
        }
    }
}

/// A change that stands against what is there failed the caller's condition.
fn conditional(problem: Problem, expect: Expect) -> Problem {
    let met = match problem.code {
        Code::Conflict => expect == Expect::Any,
        Code::NoSuchEquipment => expect != Expect::Present,
        _ => true,
    };
    if met { problem } else { Code::PreconditionFailed.into() }
}

/// Keeps a document in place of what was there (201 when there was none).
///
/// Its name is any that the device has: the serial in CWMP, the GPON serial in either spelling, a MAC in
/// any; the device need not have been met. To put a document is to claim: the first device that comes
/// with this serial is given its secrets. A device that is known is woken and given them at once.
#[utoipa::path(put, path = "/api/v1/equipment/{serial}", tag = "equipment",
    operation_id = "put_equipment",
    security(("token" = ["equipment.write"])),
    params(
        ("serial" = String, Path, description = "CWMP serial, GPON serial or MAC"),
        ("If-Match" = Option<String>, Header, description = "Only this state, or `*`: only if there is one"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is none"),
    ),
    request_body(content = Object,
        description = "The document; `serial` may be left out. See `GET /api/v1/equipment.schema.json`"),
    responses(
        (status = 200, description = "The document, changed", body = EquipmentView),
        (status = 201, description = "The document, made", body = EquipmentView),
    ))]
pub(super) async fn put(
    caller: Authorised<need::EquipmentWrite>,
    State(state): State<ApiState>,
    Segments(serial): Segments<String>,
    headers: HeaderMap,
    JsonBody(mut body): JsonBody<Map<String, Value>>,
) -> Result<impl IntoResponse, Problem> {
    let key = key(&state, &serial)?;
    let expect = expect(&headers)?;
    OURS.iter().for_each(|name| drop(body.remove(*name)));
    body.entry("serial").or_insert_with(|| Value::String(serial.trim().to_owned()));
    let text = serde_json::to_vec(&body).map_err(|error| refuse(&error))?;
    let document = Equipment::parse(&text)?.strict()?;
    if equipment::key(&document.serial).as_ref() != Some(&key) {
        return Err(Faults::one("serial", "is not the one of the path").into());
    }
    let tenant = caller.tenant();
    let is_new = state.store.equipment(tenant, &key).await?.is_none();
    let row = state.equipments.row(tenant, &key, &document);
    let change = Operation::Equipment(EquipmentChange::Put { row, expect });
    let detail = json!({ "fields": body.keys().collect::<Vec<_>>() });
    let made = state.change(&caller, "equipment.put", &key, &detail, vec![change]).await;
    made.map_err(|problem| conditional(problem, expect))?;
    push::all(&state, tenant, &key);
    let row = state.store.equipment(tenant, &key).await?.ok_or(Code::NoSuchEquipment)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let tag = etag(row.version);
    Ok((status, tag, Json(view(&state, &caller, row)?)))
}

/// Shows a document.
#[utoipa::path(get, path = "/api/v1/equipment/{serial}", tag = "equipment",
    operation_id = "show_equipment",
    security(("token" = ["equipment.read"])),
    params(("serial" = String, Path, description = "CWMP serial, GPON serial or MAC")),
    responses((status = 200, description = "The document", body = EquipmentView)))]
pub(super) async fn show(
    caller: Authorised<need::EquipmentRead>,
    State(state): State<ApiState>,
    Segments(serial): Segments<String>,
) -> Result<impl IntoResponse, Problem> {
    let key = key(&state, &serial)?;
    let row = state.store.equipment(caller.tenant(), &key).await?;
    let row = row.ok_or(Code::NoSuchEquipment)?;
    let tag = etag(row.version);
    Ok((tag, Json(view(&state, &caller, row)?)))
}

/// Forgets a document, and which device it is given to. The device keeps what it was told.
#[utoipa::path(delete, path = "/api/v1/equipment/{serial}", tag = "equipment",
    operation_id = "delete_equipment",
    security(("token" = ["equipment.write"])),
    params(
        ("serial" = String, Path, description = "CWMP serial, GPON serial or MAC"),
        ("If-Match" = Option<String>, Header, description = "Only this state"),
    ),
    responses((status = 204, description = "It is forgotten")))]
pub(super) async fn delete(
    caller: Authorised<need::EquipmentWrite>,
    State(state): State<ApiState>,
    Segments(serial): Segments<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let key = key(&state, &serial)?;
    let asked = expect(&headers)?;
    let expect = if asked == Expect::Any { Expect::Present } else { asked };
    let (tenant, serial) = (caller.tenant().clone(), key.clone());
    let change = Operation::Equipment(EquipmentChange::Remove { tenant, serial, expect });
    let gone = state.change(&caller, "equipment.delete", &key, &json!({}), vec![change]).await;
    match asked {
        Expect::Any => gone?,
        _ => gone.map_err(|problem| conditional(problem, expect))?,
    }
    push::all(&state, caller.tenant(), &key);
    Ok(StatusCode::NO_CONTENT)
}

/// Says how far equipment has come: a closed job makes it `Actif`.
#[utoipa::path(put, path = "/api/v1/equipment/{serial}/status", tag = "equipment",
    operation_id = "put_equipment_status",
    security(("token" = ["equipment.write"])),
    params(("serial" = String, Path, description = "CWMP serial, GPON serial or MAC")),
    request_body = StatusRequest,
    responses((status = 200, description = "The document", body = EquipmentView)))]
pub(super) async fn put_status(
    caller: Authorised<need::EquipmentWrite>,
    State(state): State<ApiState>,
    Segments(serial): Segments<String>,
    JsonBody(body): JsonBody<StatusRequest>,
) -> Result<impl IntoResponse, Problem> {
    let key = key(&state, &serial)?;
    let status = EquipmentStatus::parse(&body.status).ok_or_else(|| {
        let words = EquipmentStatus::ALL.map(EquipmentStatus::as_str).join("`, `");
        Problem::new(Code::InvalidBody, format!("`status` is one of `{words}`"))
    })?;
    let (tenant, serial) = (caller.tenant().clone(), key.clone());
    let change = Operation::Equipment(EquipmentChange::SetStatus { tenant, serial, status });
    let detail = json!({ "status": status.as_str() });
    state.change(&caller, "equipment.status.put", &key, &detail, vec![change]).await?;
    let row = state.store.equipment(caller.tenant(), &key).await?;
    let row = row.ok_or(Code::NoSuchEquipment)?;
    let tag = etag(row.version);
    Ok((tag, Json(view(&state, &caller, row)?)))
}

/// Lists documents, in the order of their names.
#[utoipa::path(get, path = "/api/v1/equipment", tag = "equipment",
    operation_id = "list_equipment",
    security(("token" = ["equipment.read"])), params(PageQuery),
    responses((status = 200, description = "A page of documents", body = Items<EquipmentView>)))]
pub(super) async fn list(
    caller: Authorised<need::EquipmentRead>,
    State(state): State<ApiState>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<EquipmentView>>, Problem> {
    if !state.equipments.is_embedded() {
        return Err(Code::KeptByHub.into());
    }
    let limit = limit(query.limit)?;
    let after = cursor(query.cursor.as_deref(), |text| Some(text.to_owned()))?;
    let rows = state.store.equipment_page(caller.tenant(), after.as_deref(), limit + 1).await?;
    let next = (rows.len() > limit).then(|| rows.get(limit - 1).map(|row| row.serial.clone()));
    let rows = rows.into_iter().take(limit);
    let views: Vec<_> = rows.map(|row| view(&state, &caller, row)).collect::<Result<_, _>>()?;
    Ok(Json(Items::part(views, next.flatten().as_deref())))
}

/// Shows the JSON schema of the document, which a hub's answer has too.
#[utoipa::path(get, path = "/api/v1/equipment.schema.json", tag = "equipment",
    operation_id = "show_equipment_schema",
    security(("token" = [])),
    responses((status = 200, description = "The schema (draft 2020-12)", body = Object)))]
pub(super) async fn schema(_caller: Authorised<need::AnyToken>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/schema+json")], equipment::equipment_schema().to_string())
}

/// Shows the JSON schema of what a hub is told when a device has become as its profile says.
#[utoipa::path(get, path = "/api/v1/activated.schema.json", tag = "equipment",
    operation_id = "show_activated_schema",
    security(("token" = [])),
    responses((status = 200, description = "The schema (draft 2020-12)", body = Object)))]
pub(super) async fn activated_schema(_caller: Authorised<need::AnyToken>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/schema+json")], equipment::activated_schema().to_string())
}
