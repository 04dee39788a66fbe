//! `GET /api/v1/audit`: who did what.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{Items, PageQuery, Params, cursor, limit};
use super::problem::Problem;
use crate::store::{AuditEntry, Page};
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// One line of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(super) struct EntryView {
    /// Its place in the trail.
    sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// Who: the name of a token, `ussd:<service>`, `daemon`.
    actor: Box<str>,
    /// What was done.
    action: Box<str>,
    /// To what.
    subject: Box<str>,
    /// What is worth knowing beside; never a secret.
    #[schema(value_type = Object)]
    detail: model::Json,
}

impl From<AuditEntry> for EntryView {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { sequence, time, actor, action, subject, detail, tenant: _ } = entry;
        Self { sequence, time, actor, action, subject, detail }
    }
}

/// Shows who did what, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit",
    operation_id = "list_audit",
    security(("token" = ["audit.read"])), params(PageQuery),
    responses((status = 200, description = "A page of the trail", body = Items<EntryView>)))]
pub(super) async fn list(
    caller: Authorised<need::AuditRead>,
    State(state): State<ApiState>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<EntryView>>, Problem> {
    let limit = limit(query.limit)?;
    let after = cursor(query.cursor.as_deref(), |text| text.parse().ok())?;
    let page = Page { after, rows_max: limit + 1 };
    let entries = state.store.audit(caller.tenant(), page).await?;
    let entries = entries.into_iter().map(EntryView::from).collect();
    Ok(Json(Items::page(entries, limit, |entry: &EntryView| entry.sequence.to_string())))
}
