//! Files that devices have sent because a command asked for them.
//!
//! A configuration holds its customer's secrets: who fetches one is in the audit trail.

use super::access::{Authorised, need};
use super::input::{DeviceName, Items, PageQuery, Params, Segments, cursor, limit};
use super::problem::{Code, Problem};
use super::{ApiState, content};
use crate::store::{Operation, UploadRow, Uploads};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use firmware::{FileType, Sha256};
use jiff::Timestamp;
use model::{CommandId, DeviceId, Tenant};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// A file that a device has sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Upload)]
pub(super) struct UploadView {
    /// Its name.
    id: Box<str>,
    /// Who sent it.
    #[schema(value_type = String)]
    device: DeviceId,
    /// Which command asked for it.
    #[schema(value_type = String)]
    command: CommandId,
    /// What was asked for.
    #[schema(value_type = String)]
    file_type: FileType,
    /// What the device called it; empty when it did not say.
    name: Box<str>,
    /// Its length.
    bytes: u64,
    /// Its SHA-256, in hexadecimal.
    #[schema(value_type = String)]
    sha256: Sha256,
    /// When it was whole.
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
}

impl From<UploadRow> for UploadView {
    fn from(row: UploadRow) -> Self {
        let UploadRow { id, device, command, file_type, name, bytes, sha256, received_at, .. } =
            row;
        Self { id, device, command, file_type, name, bytes, sha256, received_at }
    }
}

/// Lists what a device has sent, newest first.
#[utoipa::path(get, path = "/api/v1/devices/{id}/uploads", tag = "uploads",
    operation_id = "list_uploads",
    security(("token" = ["uploads.read"])),
    params(("id" = String, Path, description = "The device's identity or an alias"), PageQuery),
    responses((status = 200, description = "A page of uploads", body = Items<UploadView>)))]
pub(super) async fn of_device(
    caller: Authorised<need::UploadsRead>,
    State(state): State<ApiState>,
    name: DeviceName,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<UploadView>>, Problem> {
    let device = state.device(caller.tenant(), &name)?;
    let limit = limit(query.limit)?;
    let before = cursor(query.cursor.as_deref(), |text| Some(text.into()))?;
    let which = Uploads::Of { tenant: device.tenant, device: device.id, before };
    let rows = state.store.uploads(&which, limit + 1).await?;
    let views = rows.into_iter().map(UploadView::from).collect();
    Ok(Json(Items::page(views, limit, |view: &UploadView| view.id.to_string())))
}

async fn find(state: &ApiState, tenant: &Tenant, id: &str) -> Result<UploadRow, Problem> {
    let one = Uploads::One { tenant: tenant.clone(), id: id.into() };
    let row = state.store.uploads(&one, 1).await?.pop();
    row.ok_or_else(|| Code::NoSuchUpload.into())
}

/// Shows what is known of an upload.
#[utoipa::path(get, path = "/api/v1/uploads/{id}", tag = "uploads",
    operation_id = "show_upload",
    security(("token" = ["uploads.read"])),
    params(("id" = String, Path, description = "The upload's name")),
    responses((status = 200, description = "The upload", body = UploadView)))]
pub(super) async fn show(
    caller: Authorised<need::UploadsRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<UploadView>, Problem> {
    Ok(Json(find(&state, caller.tenant(), &id).await?.into()))
}

/// Fetches an upload's bytes, and leaves a line in the audit trail.
#[utoipa::path(get, path = "/api/v1/uploads/{id}/content", tag = "uploads",
    operation_id = "fetch_upload",
    security(("token" = ["uploads.read"])),
    params(("id" = String, Path, description = "The upload's name")),
    responses((status = 200, description = "The bytes", body = Vec<u8>,
        content_type = "application/octet-stream")))]
pub(super) async fn fetch(
    caller: Authorised<need::UploadsRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let row = find(&state, caller.tenant(), &id).await?;
    let body = state.transfers.upload_body(&row).await;
    let detail = json!({ "device": row.device });
    state.change(&caller, "upload.fetch", &row.id, &detail, Vec::new()).await?;
    content(body, row.bytes)
}

/// Removes an upload.
#[utoipa::path(delete, path = "/api/v1/uploads/{id}", tag = "uploads",
    operation_id = "delete_upload",
    security(("token" = ["uploads.write"])),
    params(("id" = String, Path, description = "The upload's name")),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn delete(
    caller: Authorised<need::UploadsWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let row = find(&state, caller.tenant(), &id).await?;
    let detail = json!({ "device": row.device });
    let (tenant, id) = (row.tenant.clone(), row.id.clone());
    let operations = vec![Operation::RemoveUpload { tenant, id }];
    state.change(&caller, "upload.delete", &row.id, &detail, operations).await?;
    state.transfers.upload_removed(&row);
    Ok(StatusCode::NO_CONTENT)
}
