//! Who collects water: `…/water/customers`. These are not the customers who own devices.

use super::{
    Ours, PeopleQuery, demand_language, demand_site, merged, named, pin_operations, spelt,
};
use crate::api::ApiState;
use crate::api::access::{Authorised, need};
use crate::api::input::{Items, JsonBody, Params, Segments};
use crate::api::problem::{Code, Problem};
use crate::clock::new_name;
use crate::store::{CustomerBy, Operation, TryPurpose, WaterCustomerRow, WaterOperation};
use ::backend::water::{Customer, JERRYCANS_LEFT_MAX};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use config::Permission;
use jiff::Timestamp;
use jiff::civil::Date;
use model::{Redacted, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// The word of the audit trail for a change of a customer.
const CHANGED: &str = "water.customer.change";

/// A customer of a water point.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaterCustomer)]
pub(in crate::api) struct CustomerView {
    /// His id.
    id: Box<str>,
    /// Where he collects.
    site_id: Box<str>,
    /// His phone.
    phone_number: String,
    /// His given name.
    first_name: String,
    /// His family name.
    last_name: String,
    /// In which language he is spoken to.
    preferred_language: Box<str>,
    /// Whether a payment subscribed him and nothing has ended that.
    valid_subscription: bool,
    /// The first day on which he is no longer served.
    #[schema(value_type = String, format = Date)]
    subscription_expiration: Date,
    /// What he shows at his site, while he is subscribed. Who knows it can collect: only callers with
    /// `water.write` see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    monthly_subscription_code: Option<String>,
    /// How many jerrycans are left to him.
    jerrycans_allowed: u32,
    /// When he registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Timestamp>,
    /// When he last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    changed_at: Option<Timestamp>,
    /// Whether he has a PIN; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_pin: Option<bool>,
    /// How many wrong PINs his number has entered in a row; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pin_tries: Option<u32>,
}

impl From<Customer> for CustomerView {
    fn from(it: Customer) -> Self {
        Self {
            id: it.id,
            site_id: it.site,
            phone_number: spelt(&it.number),
            first_name: it.first_name.as_str().to_owned(),
            last_name: it.last_name.as_str().to_owned(),
            preferred_language: it.language,
            valid_subscription: it.is_valid,
            subscription_expiration: it.expires_on,
            monthly_subscription_code: it.code.map(|code| code.as_str().to_owned()),
            jerrycans_allowed: it.jerrycans,
            created_at: None,
            changed_at: None,
            has_pin: None,
            pin_tries: None,
        }
    }
}

impl From<WaterCustomerRow> for CustomerView {
    fn from(row: WaterCustomerRow) -> Self {
        let (created_at, changed_at) = (Some(row.created_at), Some(row.changed_at));
        Self { created_at, changed_at, ..row.customer.into() }
    }
}

impl CustomerView {
    /// The same, as this caller may see it.
    fn seen_by<N>(mut self, caller: &Authorised<N>) -> Self {
        if !caller.grant.permits(Permission::WaterWrite) {
            self.monthly_subscription_code = None;
        }
        self
    }
}

/// A customer to be made or changed. To make one, phone, names, language and site are needed; in a
/// change, what is left out stays as it is.
///
/// Payments subscribe by themselves. What is said of a subscription here is for who had one elsewhere
/// before, or has been wronged: a valid one has a code, and to end one takes code and jerrycans away.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = WaterCustomerRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct CustomerRequest {
    /// His phone: `+` and the number, which no other customer has.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<String>,
    /// His given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<String>,
    /// His family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<String>,
    /// In which language he is spoken to: a code such as `sw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_language: Option<Box<str>>,
    /// Where he collects.
    #[serde(skip_serializing_if = "Option::is_none")]
    site_id: Option<Box<str>>,
    /// Whether he is subscribed.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_subscription: Option<bool>,
    /// The first day on which he is no longer served.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    subscription_expiration: Option<Date>,
    /// Five letters and digits that no other subscriber has.
    #[serde(skip_serializing_if = "Option::is_none")]
    monthly_subscription_code: Option<Box<str>>,
    /// How many jerrycans are left to him: 0 to 99,999.
    #[serde(skip_serializing_if = "Option::is_none")]
    jerrycans_allowed: Option<u32>,
    /// His PIN, four digits. It is never shown.
    #[serde(skip_serializing)]
    #[schema(value_type = Option<String>)]
    pin: Option<Redacted<String>>,
    /// 0 lifts the lock of a number that was wrong too often.
    #[serde(skip_serializing)]
    pin_tries: Option<u32>,
}

impl CustomerRequest {
    /// The names of what it sets.
    fn set(&self) -> Vec<String> {
        let beside = [("pin", self.pin.is_some()), ("pin_tries", self.pin_tries.is_some())];
        let beside = beside.into_iter().filter(|(_, is_set)| *is_set);
        named(self).into_iter().chain(beside.map(|(name, _)| name.to_owned())).collect()
    }
}

/// Lists customers.
#[utoipa::path(get, path = "/api/v1/water/customers", tag = "water",
    operation_id = "list_water_customers",
    security(("token" = ["water.read"])),
    params(PeopleQuery),
    responses((status = 200, description = "A page of customers", body = Items<CustomerView>)))]
pub(in crate::api) async fn list(
    caller: Ours<need::WaterRead>,
    State(state): State<ApiState>,
    Params(query): Params<PeopleQuery>,
) -> Result<Json<Items<CustomerView>>, Problem> {
    let (which, limit, after) = query.read()?;
    let store = &state.water_store;
    let rows = store.customers(caller.tenant(), &which, after.as_deref(), limit + 1).await?;
    let views = rows.into_iter().map(|row| CustomerView::from(row).seen_by(&caller)).collect();
    Ok(Json(Items::page(views, limit, |it: &CustomerView| it.id.to_string())))
}

/// Makes a customer, who has not paid yet.
#[utoipa::path(post, path = "/api/v1/water/customers", tag = "water",
    operation_id = "create_water_customer",
    security(("token" = ["water.write"])),
    request_body = CustomerRequest,
    responses((status = 201, description = "The customer, made", body = CustomerView)))]
pub(in crate::api) async fn create(
    caller: Ours<need::WaterWrite>,
    State(state): State<ApiState>,
    JsonBody(body): JsonBody<CustomerRequest>,
) -> Result<(StatusCode, Json<CustomerView>), Problem> {
    let now = state.clock.now().wall;
    let blank = json!({
        "id": new_name(now),
        "valid_subscription": false,
        "subscription_expiration": state.water.today(),
        "monthly_subscription_code": null,
        "jerrycans_allowed": 0,
    });
    let row = WaterCustomerRow {
        tenant: caller.tenant().clone(),
        version: 0,
        created_at: now,
        changed_at: now,
        customer: complete(merged(&blank, &body)?)?,
        last_checkout: None,
    };
    let view = put(&state, &caller, "water.customer.create", (row, None), &body).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Shows a customer, with how his PIN stands.
#[utoipa::path(get, path = "/api/v1/water/customers/{id}", tag = "water",
    operation_id = "show_water_customer",
    security(("token" = ["water.read"])),
    params(("id" = String, Path, description = "The customer's id")),
    responses((status = 200, description = "The customer", body = CustomerView)))]
pub(in crate::api) async fn show(
    caller: Ours<need::WaterRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<CustomerView>, Problem> {
    let tenant = caller.tenant();
    let row = load(&state, tenant, &id).await?;
    let has_pin = state.water_store.pin(tenant, &id).await?.is_some();
    let tries = state.water_store.tries(tenant, &row.customer.number, TryPurpose::Pin).await?;
    let pin_tries = Some(tries.map_or(0, |it| it.tries));
    let view = CustomerView { has_pin: Some(has_pin), pin_tries, ..row.into() };
    Ok(Json(view.seen_by(&caller)))
}

/// Changes a customer: what is known of him, his PIN, and whether his number is locked out.
///
/// What somebody else changes at the same time is not overwritten: that is refused as `changed`. PIN and
/// lock are kept here even where the business's hub keeps the customers.
#[utoipa::path(patch, path = "/api/v1/water/customers/{id}", tag = "water",
    operation_id = "change_water_customer",
    security(("token" = ["water.write"])),
    params(("id" = String, Path, description = "The customer's id")),
    request_body = CustomerRequest,
    responses((status = 200, description = "The customer, changed", body = CustomerView)))]
pub(in crate::api) async fn change(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    JsonBody(body): JsonBody<CustomerRequest>,
) -> Result<Json<CustomerView>, Problem> {
    if !state.equipments.is_embedded() {
        return change_pin(&state, &caller, &id, &body).await;
    }
    let mut row = load(&state, caller.tenant(), &id).await?;
    let (before, version) = (row.customer.clone(), row.version);
    row.customer = complete(merged(&before, &body)?)?;
    if row.customer == before {
        let pin = (body.pin.as_ref(), body.pin_tries);
        let who = (&*before.id, &before.number);
        let operations = pin_operations(&state, caller.tenant(), who, pin)?;
        if !operations.is_empty() {
            let detail = json!({ "set": body.set() });
            state.change(&caller, CHANGED, &id, &detail, operations).await?;
        }
        return Ok(Json(row.into()));
    }
    row.changed_at = state.clock.now().wall;
    Ok(Json(put(&state, &caller, CHANGED, (row, Some(version)), &body).await?))
}

/// Forgets a customer and his PIN. What happened to him is forgotten in its time.
#[utoipa::path(delete, path = "/api/v1/water/customers/{id}", tag = "water",
    operation_id = "delete_water_customer",
    security(("token" = ["water.write"])),
    params(("id" = String, Path, description = "The customer's id")),
    responses(
        (status = 204, description = "He is gone"),
        (status = 409, description = "He has a payment that is under way or that nobody has settled, \
            or the business's hub keeps him (`kept_by_hub`)"),
    ))]
pub(in crate::api) async fn delete(
    caller: Ours<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let (tenant, customer) = (caller.tenant().clone(), id.as_str().into());
    if state.payments.has_open(&tenant, &id).await? {
        return Err(Code::PaymentOpen.into());
    }
    let operation = Operation::Water(WaterOperation::RemoveCustomer { tenant, id: customer });
    state.change(&caller, "water.customer.delete", &id, &json!({}), vec![operation]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes what is ours of a customer whom the hub keeps.
async fn change_pin(
    state: &ApiState,
    caller: &Authorised<need::WaterWrite>,
    id: &str,
    body: &CustomerRequest,
) -> Result<Json<CustomerView>, Problem> {
    if !named(body).is_empty() {
        return Err(Code::KeptByHub.into());
    }
    let tenant = caller.tenant();
    let customer = state.water.customer(tenant, &CustomerBy::Id(id.into())).await?;
    let customer = customer.ok_or(Code::NoSuchCustomer)?;
    let pin = (body.pin.as_ref(), body.pin_tries);
    let operations = pin_operations(state, tenant, (id, &customer.number), pin)?;
    let detail = json!({ "set": body.set() });
    state.change(caller, CHANGED, id, &detail, operations).await?;
    Ok(Json(customer.into()))
}

/// A customer of whom no half of a subscription is known.
fn complete(mut customer: Customer) -> Result<Customer, Problem> {
    if !customer.is_valid {
        return Ok(Customer { code: None, jerrycans: 0, ..customer });
    }
    if customer.code.is_none() {
        let detail = "a valid subscription has a `monthly_subscription_code`";
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    // Of another expiry he is reminded anew.
    customer.reminded_for = customer.reminded_for.filter(|it| *it == customer.expires_on);
    Ok(customer)
}

/// The customer as he is kept.
async fn load(state: &ApiState, tenant: &Tenant, id: &str) -> Result<WaterCustomerRow, Problem> {
    let row = state.water_store.customer(tenant, &CustomerBy::Id(id.into())).await?;
    row.ok_or_else(|| Code::NoSuchCustomer.into())
}

async fn put(
    state: &ApiState,
    caller: &Authorised<need::WaterWrite>,
    action: &'static str,
    (row, expect): (WaterCustomerRow, Option<u64>),
    body: &CustomerRequest,
) -> Result<CustomerView, Problem> {
    let (tenant, it) = (caller.tenant(), &row.customer);
    demand_language(&it.language)?;
    demand_site(state, tenant, &it.site).await?;
    if it.jerrycans > JERRYCANS_LEFT_MAX {
        let detail = format!("`jerrycans_allowed` is at most {JERRYCANS_LEFT_MAX}");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let pin = (body.pin.as_ref(), body.pin_tries);
    let pins = pin_operations(state, tenant, (&it.id, &it.number), pin)?;
    let put = WaterOperation::PutCustomer { row: Box::new(row.clone()), expect };
    let operations = std::iter::once(Operation::Water(put)).chain(pins).collect();
    let detail = json!({ "set": body.set() });
    state.change(caller, action, &it.id, &detail, operations).await?;
    Ok(row.into())
}
