//! Who gives out water: `…/water/managers`.
//!
//! A manager has one id, number and language, and one row for each of his sites.

use super::{
    Ours, PeopleQuery, demand_language, demand_site, named, number, pin_operations, spelt,
};
use crate::api::ApiState;
use crate::api::access::{Authorised, need};
use crate::api::input::{Items, JsonBody, Params, Segments};
use crate::api::problem::{Code, Problem};
use crate::clock::new_name;
use crate::store::{Operation, WaterManager, WaterManagerRow, WaterOperation, WaterPeople};
use ::backend::water::Manager;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::{Redacted, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Most sites of one manager.
const SITES_MAX: usize = 100;

/// The word of the audit trail for a change of a manager.
const CHANGED: &str = "water.manager.change";

/// A manager.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaterManager)]
pub(in crate::api) struct ManagerView {
    /// His id.
    id: Box<str>,
    /// His phone.
    phone_number: String,
    /// In which language he is spoken to.
    preferred_language: Box<str>,
    /// His sites.
    #[schema(value_type = Vec<String>)]
    site_ids: BTreeSet<Box<str>>,
}

/// A manager to be made or changed. To make one, phone, language and sites are needed; in a change, what
/// is left out stays as it is.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = WaterManagerRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ManagerRequest {
    /// His phone: `+` and the number, which no other manager has.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<String>,
    /// In which language he is spoken to: a code such as `sw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_language: Option<Box<str>>,
    /// His sites, 1 to 100: in place of those that he had.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    site_ids: Option<BTreeSet<Box<str>>>,
    /// His PIN, four digits, where managers have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pin: Option<Redacted<String>>,
    /// 0 lifts the lock of a number that was wrong too often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pin_tries: Option<u32>,
}

/// One manager by what is known of him at each of his sites; `None` without any.
fn join(rows: Vec<Manager>) -> Option<WaterManager> {
    let sites = rows.iter().map(|it| it.site.clone()).collect();
    let Manager { id, number, language, .. } = rows.into_iter().next()?;
    Some(WaterManager { id, number, language, sites })
}

/// What puts him at all of his sites.
fn operations(it: &WaterManager, tenant: &Tenant) -> Vec<Operation> {
    let sites = it.sites.iter().map(|site| {
        let (id, site) = (it.id.clone(), site.clone());
        let (number, language) = (it.number.clone(), it.language.clone());
        let manager = Manager { id, site, number, language };
        let row = WaterManagerRow { tenant: tenant.clone(), manager };
        Operation::Water(WaterOperation::PutManager(row))
    });
    sites.collect()
}

async fn check(it: &WaterManager, state: &ApiState, tenant: &Tenant) -> Result<(), Problem> {
    demand_language(&it.language)?;
    if !(1..=SITES_MAX).contains(&it.sites.len()) {
        let detail = format!("`site_ids` names 1 to {SITES_MAX} sites");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    for site in &it.sites {
        demand_site(state, tenant, site).await?;
    }
    Ok(())
}

impl From<WaterManager> for ManagerView {
    fn from(it: WaterManager) -> Self {
        let (phone_number, preferred_language) = (spelt(&it.number), it.language);
        Self { id: it.id, phone_number, preferred_language, site_ids: it.sites }
    }
}

/// Lists managers, each with all of his sites.
#[utoipa::path(get, path = "/api/v1/water/managers", tag = "water",
    operation_id = "list_water_managers",
    security(("token" = ["water.read"])),
    params(PeopleQuery),
    responses((status = 200, description = "A page of managers", body = Items<ManagerView>)))]
pub(in crate::api) async fn list(
    caller: Ours<need::WaterRead>,
    State(state): State<ApiState>,
    Params(query): Params<PeopleQuery>,
) -> Result<Json<Items<ManagerView>>, Problem> {
    let (which, limit, after) = query.read()?;
    let store = &state.water_store;
    let rows = store.managers(caller.tenant(), &which, after.as_deref(), limit + 1).await?;
    let views = rows.into_iter().map(ManagerView::from).collect();
    Ok(Json(Items::page(views, limit, |it: &ManagerView| it.id.to_string())))
}

/// Makes a manager. Whoever has that number already is to be given more sites by a change.
#[utoipa::path(post, path = "/api/v1/water/managers", tag = "water",
    operation_id = "create_water_manager",
    security(("token" = ["water.write"])),
    request_body = ManagerRequest,
    responses((status = 201, description = "The manager, made", body = ManagerView)))]
pub(in crate::api) async fn create(
    caller: Ours<need::WaterWrite>,
    State(state): State<ApiState>,
    JsonBody(body): JsonBody<ManagerRequest>,
) -> Result<(StatusCode, Json<ManagerView>), Problem> {
    let (Some(phone), Some(language), Some(sites)) =
        (&body.phone_number, &body.preferred_language, &body.site_ids)
    else {
        let detail = "`phone_number`, `preferred_language` and `site_ids` are needed";
        return Err(Problem::new(Code::InvalidBody, detail));
    };
    let wanted = WaterManager {
        id: new_name(state.clock.now().wall),
        number: number(phone, Code::InvalidBody)?,
        language: language.clone(),
        sites: sites.clone(),
    };
    let tenant = caller.tenant();
    check(&wanted, &state, tenant).await?;
    let mut operations = operations(&wanted, tenant);
    let pin = (body.pin.as_ref(), body.pin_tries);
    operations.extend(pin_operations(&state, tenant, (&wanted.id, &wanted.number), pin)?);
    let detail = json!({ "set": named(&body), "site_ids": wanted.sites });
    state.change(&caller, "water.manager.create", &wanted.id, &detail, operations).await?;
    Ok((StatusCode::CREATED, Json(wanted.into())))
}

/// Shows a manager with all of his sites.
#[utoipa::path(get, path = "/api/v1/water/managers/{id}", tag = "water",
    operation_id = "show_water_manager",
    security(("token" = ["water.read"])),
    params(("id" = String, Path, description = "The manager's id")),
    responses((status = 200, description = "The manager", body = ManagerView)))]
pub(in crate::api) async fn show(
    caller: Ours<need::WaterRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<ManagerView>, Problem> {
    Ok(Json(load(&state, caller.tenant(), &id).await?.into()))
}

/// Changes a manager: his number, language, sites, PIN.
///
/// PIN and lock are kept here even where the business's hub keeps the managers: beside them stands his
/// `phone_number`, by which the hub finds him, and nothing else.
#[utoipa::path(patch, path = "/api/v1/water/managers/{id}", tag = "water",
    operation_id = "change_water_manager",
    security(("token" = ["water.write"])),
    params(("id" = String, Path, description = "The manager's id")),
    request_body = ManagerRequest,
    responses((status = 200, description = "The manager, changed", body = ManagerView)))]
pub(in crate::api) async fn change(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    JsonBody(body): JsonBody<ManagerRequest>,
) -> Result<Json<ManagerView>, Problem> {
    if !state.equipments.is_embedded() {
        return Ok(Json(change_pin(&state, &caller, &id, &body).await?));
    }
    let tenant = caller.tenant();
    let before = load(&state, tenant, &id).await?;
    let number = match &body.phone_number {
        Some(text) => number(text, Code::InvalidBody)?,
        None => before.number.clone(),
    };
    let wanted = WaterManager {
        id: before.id.clone(),
        number,
        language: body.preferred_language.clone().unwrap_or_else(|| before.language.clone()),
        sites: body.site_ids.clone().unwrap_or_else(|| before.sites.clone()),
    };
    check(&wanted, &state, tenant).await?;
    // Given before taken: with his last site his PIN would go.
    let mut operations = operations(&wanted, tenant);
    let gone = before.sites.difference(&wanted.sites);
    operations.extend(gone.map(|site| removal(tenant, &id, site)));
    let pin = (body.pin.as_ref(), body.pin_tries);
    operations.extend(pin_operations(&state, tenant, (&id, &wanted.number), pin)?);
    let detail = json!({ "set": named(&body), "site_ids": wanted.sites });
    state.change(&caller, CHANGED, &id, &detail, operations).await?;
    Ok(Json(wanted.into()))
}

/// Changes what is ours of a manager whom the hub keeps.
async fn change_pin(
    state: &ApiState,
    caller: &Authorised<need::WaterWrite>,
    id: &str,
    body: &ManagerRequest,
) -> Result<ManagerView, Problem> {
    if body.preferred_language.is_some() || body.site_ids.is_some() {
        return Err(Code::KeptByHub.into());
    }
    let phone = body.phone_number.as_ref().ok_or_else(|| {
        Problem::new(Code::InvalidBody, "`phone_number` says by what the hub finds him")
    })?;
    let number = number(phone, Code::InvalidBody)?;
    let tenant = caller.tenant();
    let found = state.water.managers(tenant, &number).await?;
    let at_sites = found.into_iter().filter(|it| *it.id == *id && it.number == number);
    let known = join(at_sites.collect()).ok_or(Code::NoSuchManager)?;
    let pin = (body.pin.as_ref(), body.pin_tries);
    let operations = pin_operations(state, tenant, (id, &number), pin)?;
    let detail = json!({ "set": named(body) });
    state.change(caller, CHANGED, id, &detail, operations).await?;
    Ok(known.into())
}

/// Takes all of his sites from a manager, and forgets him.
#[utoipa::path(delete, path = "/api/v1/water/managers/{id}", tag = "water",
    operation_id = "delete_water_manager",
    security(("token" = ["water.write"])),
    params(("id" = String, Path, description = "The manager's id")),
    responses((status = 204, description = "He is gone")))]
pub(in crate::api) async fn delete(
    caller: Ours<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let tenant = caller.tenant();
    let before = load(&state, tenant, &id).await?;
    let operations = before.sites.iter().map(|site| removal(tenant, &id, site)).collect();
    state.change(&caller, "water.manager.delete", &id, &json!({}), operations).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn removal(tenant: &Tenant, id: &str, site: &str) -> Operation {
    let (tenant, id, site) = (tenant.clone(), id.into(), site.into());
    Operation::Water(WaterOperation::RemoveManager { tenant, id, site })
}

/// The manager as he is kept.
async fn load(state: &ApiState, tenant: &Tenant, id: &str) -> Result<WaterManager, Problem> {
    let which = WaterPeople { id: Some(id.into()), ..WaterPeople::default() };
    let found = state.water_store.managers(tenant, &which, None, 1).await?;
    found.into_iter().next().ok_or_else(|| Code::NoSuchManager.into())
}
