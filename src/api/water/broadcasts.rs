//! One text to many: begun, watched, stopped: `…/water/broadcasts`.

use crate::api::ApiState;
use crate::api::access::{Authorised, need};
use crate::api::commands::idempotency_key;
use crate::api::input::{Items, JsonBody, PageQuery, Params, Segments, id_page};
use crate::api::problem::{Code, Problem};
use crate::store::{
    Audience, BROADCAST_MOVED, BroadcastRow, OperationError, SmsRow, SmsWhich, WriteError,
};
use crate::water::{Broadcasts, NewBroadcast};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use model::Redacted;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A text to be sent to many.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct BroadcastRequest {
    /// To whom: `customers` or `managers`. Who wants no texts gets none.
    audience: Box<str>,
    /// To those of this site alone.
    site_id: Option<Box<str>>,
    /// What it says, at most `sms.text_max` characters.
    #[schema(value_type = String)]
    text: Redacted<String>,
}

/// A text to many, and how far it came.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Broadcast)]
pub(in crate::api) struct BroadcastView {
    /// Its name.
    id: Box<str>,
    /// To whom: `customers` or `managers`.
    audience: &'static str,
    /// To those of this site alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    site_id: Option<Box<str>>,
    /// What it says; null when the key of the store has changed since.
    text: Option<String>,
    /// `running`, `done` or `cancelled`.
    state: &'static str,
    /// How many it was queued for so far.
    listeners: u64,
    /// Who wrote it.
    actor: Box<str>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last went on.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// How many of its texts stand where: `queued`, `sending`, `unknown`, `sent`, `delivered`, `failed`.
    /// Only where one broadcast is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<BTreeMap<&'static str, u64>>,
}

impl BroadcastView {
    fn of(broadcasts: &Broadcasts, row: BroadcastRow) -> Self {
        Self {
            text: broadcasts.text(&row).map(|text| text.0),
            id: row.id,
            audience: row.audience.as_str(),
            site_id: row.audience.site().map(Into::into),
            state: row.state.as_str(),
            listeners: row.listeners,
            actor: row.actor,
            created_at: row.made_at,
            changed_at: row.changed_at,
            texts: None,
        }
    }
}

/// What became of a text for one of its receivers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BroadcastText)]
pub(in crate::api) struct TextView {
    /// Its name.
    id: Box<str>,
    /// The phone.
    device: String,
    /// `queued`, `sending`, `unknown` (nobody can say whether it was sent), `sent` (the provider has
    /// it), `delivered` or `failed`.
    state: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
    /// When it came to that.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
}

impl From<SmsRow> for TextView {
    fn from(row: SmsRow) -> Self {
        Self {
            id: row.id,
            device: row.to.as_str().to_owned(),
            state: row.state.as_str(),
            cause: row.cause,
            changed_at: row.changed_at,
        }
    }
}

/// Sends a text to many: all customers or managers, or those of a site.
///
/// It is queued for them page by page; how it stands is shown by `show_broadcast`. With
/// `Idempotency-Key`, asking twice is the same as asking once (200).
#[utoipa::path(post, path = "/api/v1/water/broadcasts", tag = "water",
    operation_id = "create_broadcast",
    security(("token" = ["water.write"])),
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Asking twice with one key is the same as asking once")),
    request_body = BroadcastRequest,
    responses(
        (status = 200, description = "The broadcast that was made under this key",
            body = BroadcastView),
        (status = 201, description = "The broadcast, begun", body = BroadcastView),
    ))]
pub(in crate::api) async fn create(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<BroadcastRequest>,
) -> Result<(StatusCode, Json<BroadcastView>), Problem> {
    let audience = Audience::parse(&body.audience, body.site_id.as_deref()).ok_or_else(|| {
        let detail = format!("`audience` is one of {}", Audience::WORDS.join(", "));
        Problem::new(Code::InvalidBody, detail)
    })?;
    let (tenant, key) = (caller.tenant().clone(), idempotency_key(&caller, &headers)?);
    let known = || async {
        let Some(key) = &key else { return Ok(None) };
        state.sms_store.broadcast_of_key(&tenant, key).await
    };
    let view = |row| Json(BroadcastView::of(&state.broadcasts, row));
    if let Some(row) = known().await? {
        return Ok((StatusCode::OK, view(row)));
    }
    let new = NewBroadcast {
        tenant: tenant.clone(),
        audience,
        text: body.text,
        actor: caller.grant.name.clone(),
        key: key.clone(),
    };
    let (row, mut operations) = state
        .broadcasts
        .begin(new)
        .map_err(|error| Problem::new(Code::InvalidBody, format!("`text`: {error}")))?;
    let detail = json!({ "audience": row.audience.as_str(), "site_id": row.audience.site() });
    operations.push(state.audit(&caller, "water.broadcast.create", &row.id, &detail));
    match state.changes.make(&row.id, operations).await {
        Ok(()) => Ok((StatusCode::CREATED, view(row))),
        Err(error) if Broadcasts::is_known(error) => {
            let row = known().await?.ok_or(Code::Internal)?;
            Ok((StatusCode::OK, view(row)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Lists broadcasts, newest first.
#[utoipa::path(get, path = "/api/v1/water/broadcasts", tag = "water",
    operation_id = "list_broadcasts",
    security(("token" = ["water.read"])), params(PageQuery),
    responses((status = 200, description = "A page of broadcasts", body = Items<BroadcastView>)))]
pub(in crate::api) async fn list(
    caller: Authorised<need::WaterRead>,
    State(state): State<ApiState>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<BroadcastView>>, Problem> {
    let (limit, before) = id_page(query.limit, query.cursor.as_deref())?;
    let rows = state.sms_store.broadcasts(caller.tenant(), before.as_deref(), limit + 1).await?;
    let views = rows.into_iter().map(|row| BroadcastView::of(&state.broadcasts, row)).collect();
    Ok(Json(Items::page(views, limit, |view: &BroadcastView| view.id.to_string())))
}

/// Shows how a broadcast stands, and how many of its texts came how far.
#[utoipa::path(get, path = "/api/v1/water/broadcasts/{id}", tag = "water",
    operation_id = "show_broadcast",
    security(("token" = ["water.read"])),
    params(("id" = String, Path, description = "The broadcast's name")),
    responses((status = 200, description = "The broadcast", body = BroadcastView)))]
pub(in crate::api) async fn show(
    caller: Authorised<need::WaterRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<BroadcastView>, Problem> {
    let tenant = caller.tenant();
    let row = state.sms_store.broadcast(tenant, &id).await?.ok_or(Code::NoSuchBroadcast)?;
    let counts = state.sms_store.broadcast_counts(tenant, &id).await?;
    let texts = counts.into_iter().map(|(state, count)| (state.as_str(), count)).collect();
    let view = BroadcastView { texts: Some(texts), ..BroadcastView::of(&state.broadcasts, row) };
    Ok(Json(view))
}

/// Lists what became of a broadcast for each of its receivers.
#[utoipa::path(get, path = "/api/v1/water/broadcasts/{id}/texts", tag = "water",
    operation_id = "list_broadcast_texts",
    security(("token" = ["water.read"])),
    params(("id" = String, Path, description = "The broadcast's name"), PageQuery),
    responses((status = 200, description = "A page of texts", body = Items<TextView>)))]
pub(in crate::api) async fn texts(
    caller: Authorised<need::WaterRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<TextView>>, Problem> {
    let tenant = caller.tenant();
    state.sms_store.broadcast(tenant, &id).await?.ok_or(Code::NoSuchBroadcast)?;
    let (limit, after) = id_page(query.limit, query.cursor.as_deref())?;
    let which = SmsWhich::Broadcast(tenant, &id, after.as_deref());
    let rows = state.sms_store.sms(which, limit + 1).await?;
    let views = rows.into_iter().map(TextView::from).collect();
    Ok(Json(Items::page(views, limit, |view: &TextView| view.id.to_string())))
}

/// Stops a broadcast: those for whom it was queued before still get it.
#[utoipa::path(delete, path = "/api/v1/water/broadcasts/{id}", tag = "water",
    operation_id = "cancel_broadcast",
    security(("token" = ["water.write"])),
    params(("id" = String, Path, description = "The broadcast's name")),
    responses((status = 204, description = "It is queued for nobody else")))]
pub(in crate::api) async fn cancel(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let tenant = caller.tenant();
    state.sms_store.broadcast(tenant, &id).await?.ok_or(Code::NoSuchBroadcast)?;
    let cancel = state.broadcasts.cancel(tenant, &id);
    let audit = state.audit(&caller, "water.broadcast.cancel", &id, &json!({}));
    match state.changes.make(&id, vec![cancel, audit]).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(WriteError::Refused(OperationError::Conflict(BROADCAST_MOVED))) => {
            Err(Code::BroadcastEnded.into())
        }
        Err(error) => Err(error.into()),
    }
}
