//! Water points: `…/water/sites`.

use super::{Ours, merged};
use crate::api::ApiState;
use crate::api::access::{Authorised, need};
use crate::api::input::{Items, JsonBody, PageQuery, Params, Segments, given, id_page};
use crate::api::problem::{Code, Problem};
use crate::clock::new_name;
use crate::store::{Operation, SiteBy, WaterOperation, WaterSiteRow};
use ::backend::water::{Site, SiteStatus};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use model::Tenant;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// A water point.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaterSite)]
pub(in crate::api) struct SiteView {
    /// Its id.
    id: Box<str>,
    /// What people call it.
    name: Box<str>,
    /// What callers type to find it.
    nickname: String,
    /// What messages say of it.
    sms_description: Box<str>,
    /// What else is to be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Box<str>>,
    /// From how far people come, in kilometres.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_radius: Option<f64>,
    /// Where it is, in degrees north.
    #[serde(skip_serializing_if = "Option::is_none")]
    latitude: Option<f64>,
    /// Where it is, in degrees east.
    #[serde(skip_serializing_if = "Option::is_none")]
    longitude: Option<f64>,
    /// How long people wait there, in minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_wait_minute: Option<u32>,
    /// How many stand in line.
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_line_count: Option<u32>,
    /// `online`, `maintenance` or `offline`.
    #[schema(value_type = String)]
    status: SiteStatus,
    /// What a subscription costs, in whole shillings.
    subscription_fee: u32,
    /// How many jerrycans a subscription allows.
    expected_jerrycans: u32,
    /// How many are subscribed today; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_subscribers: Option<u64>,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
}

impl From<WaterSiteRow> for SiteView {
    fn from(row: WaterSiteRow) -> Self {
        let it = row.site;
        Self {
            id: it.id,
            name: it.name,
            nickname: it.nickname.as_str().to_owned(),
            sms_description: it.sms_description,
            description: it.description,
            service_radius: it.service_radius,
            latitude: it.latitude,
            longitude: it.longitude,
            avg_wait_minute: it.avg_wait_minute,
            avg_line_count: it.avg_line_count,
            status: it.status,
            subscription_fee: it.subscription_fee,
            expected_jerrycans: it.expected_jerrycans,
            current_subscribers: None,
            changed_at: row.changed_at,
        }
    }
}

/// A site to be made or changed. To make one, name, nickname, fee and jerrycans are needed; in a change,
/// what is left out stays as it is.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = WaterSiteRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct SiteRequest {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Box<str>>,
    /// What callers type to find it: 2 to 30 letters and digits, which no other site has.
    #[serde(skip_serializing_if = "Option::is_none")]
    nickname: Option<Box<str>>,
    /// What messages say of it, at most 160 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    sms_description: Option<Box<str>>,
    /// What else is to be said; `null` takes it away.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<Box<str>>>,
    /// From how far people come, in kilometres; `null` takes it away.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    service_radius: Option<Option<f64>>,
    /// Where it is, in degrees north; `null` takes it away.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    latitude: Option<Option<f64>>,
    /// Where it is, in degrees east; `null` takes it away.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    longitude: Option<Option<f64>>,
    /// How long people wait there, in minutes; `null` takes it away.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    avg_wait_minute: Option<Option<u32>>,
    /// How many stand in line; `null` takes it away.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    avg_line_count: Option<Option<u32>>,
    /// `online` (as it is by default), `maintenance` or `offline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    status: Option<SiteStatus>,
    /// What a subscription costs, in whole shillings: 1 to 250,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_fee: Option<u32>,
    /// How many jerrycans a subscription allows: 1 to 9,999.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_jerrycans: Option<u32>,
}

/// Lists sites.
#[utoipa::path(get, path = "/api/v1/water/sites", tag = "water",
    operation_id = "list_water_sites",
    security(("token" = ["water.read"])),
    params(PageQuery),
    responses((status = 200, description = "A page of sites", body = Items<SiteView>)))]
pub(in crate::api) async fn list(
    caller: Ours<need::WaterRead>,
    State(state): State<ApiState>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<SiteView>>, Problem> {
    let (limit, after) = id_page(query.limit, query.cursor.as_deref())?;
    let rows = state.water_store.sites(caller.tenant(), after.as_deref(), limit + 1).await?;
    let views = rows.into_iter().map(SiteView::from).collect();
    Ok(Json(Items::page(views, limit, |it: &SiteView| it.id.to_string())))
}

/// Makes a site.
#[utoipa::path(post, path = "/api/v1/water/sites", tag = "water",
    operation_id = "create_water_site",
    security(("token" = ["water.write"])),
    request_body = SiteRequest,
    responses((status = 201, description = "The site, made", body = SiteView)))]
pub(in crate::api) async fn create(
    caller: Ours<need::WaterWrite>,
    State(state): State<ApiState>,
    JsonBody(body): JsonBody<SiteRequest>,
) -> Result<(StatusCode, Json<SiteView>), Problem> {
    let now = state.clock.now().wall;
    let site = merged(&json!({ "id": new_name(now) }), &body)?;
    let view = put(&state, &caller, "water.site.create", (site, None), &body).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Shows a site, with how many are subscribed there.
#[utoipa::path(get, path = "/api/v1/water/sites/{id}", tag = "water",
    operation_id = "show_water_site",
    security(("token" = ["water.read"])),
    params(("id" = String, Path, description = "The site's id")),
    responses((status = 200, description = "The site", body = SiteView)))]
pub(in crate::api) async fn show(
    caller: Ours<need::WaterRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<SiteView>, Problem> {
    let tenant = caller.tenant();
    let row = load(&state, tenant, &id).await?;
    let today = state.water.today();
    let count = state.water_store.subscribers(tenant, &id, today).await?;
    Ok(Json(SiteView { current_subscribers: Some(count), ..row.into() }))
}

/// Changes a site. What somebody else changes at the same time is not overwritten: that is refused as
/// `changed`.
#[utoipa::path(patch, path = "/api/v1/water/sites/{id}", tag = "water",
    operation_id = "change_water_site",
    security(("token" = ["water.write"])),
    params(("id" = String, Path, description = "The site's id")),
    request_body = SiteRequest,
    responses((status = 200, description = "The site, changed", body = SiteView)))]
pub(in crate::api) async fn change(
    caller: Ours<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    JsonBody(body): JsonBody<SiteRequest>,
) -> Result<Json<SiteView>, Problem> {
    let row = load(&state, caller.tenant(), &id).await?;
    let site: Site = merged(&row.site, &body)?;
    if site == row.site {
        return Ok(Json(row.into()));
    }
    let seen = Some(row.version);
    Ok(Json(put(&state, &caller, "water.site.change", (site, seen), &body).await?))
}

/// Forgets a site that has neither customers nor managers.
#[utoipa::path(delete, path = "/api/v1/water/sites/{id}", tag = "water",
    operation_id = "delete_water_site",
    security(("token" = ["water.write"])),
    params(("id" = String, Path, description = "The site's id")),
    responses((status = 204, description = "It is gone")))]
pub(in crate::api) async fn delete(
    caller: Ours<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let (tenant, site) = (caller.tenant().clone(), id.as_str().into());
    let operation = Operation::Water(WaterOperation::RemoveSite { tenant, id: site });
    state.change(&caller, "water.site.delete", &id, &json!({}), vec![operation]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The site as it is kept.
async fn load(state: &ApiState, tenant: &Tenant, id: &str) -> Result<WaterSiteRow, Problem> {
    let row = state.water_store.site(tenant, &SiteBy::Id(id.into())).await?;
    row.ok_or_else(|| Code::NoSuchSite.into())
}

async fn put(
    state: &ApiState,
    caller: &Authorised<need::WaterWrite>,
    action: &'static str,
    (site, expect): (Site, Option<u64>),
    body: &SiteRequest,
) -> Result<SiteView, Problem> {
    site.check()
        .map_err(|field| Problem::new(Code::InvalidBody, format!("`{field}` is out of bounds")))?;
    let id = site.id.clone();
    let row = WaterSiteRow {
        tenant: caller.tenant().clone(),
        version: 0,
        changed_at: state.clock.now().wall,
        site,
    };
    let operation = WaterOperation::PutSite { row: Box::new(row.clone()), expect };
    let operations = vec![Operation::Water(operation)];
    state.change(caller, action, &id, body, operations).await?;
    Ok(row.into())
}
