//! Customers, and what they own.

use super::ApiState;
use super::access::{Authorised, need};
use super::devices::{self, DeviceView};
use super::input::{DeviceName, Items, JsonBody, PageQuery, Params, Segments, is_name};
use super::problem::{Code, Problem};
use crate::registry::Filter;
use crate::store::{CustomerRow, Operation};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use model::{DeviceId, Redacted};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// Longest name of a customer, in bytes.
const NAME_LEN_MAX: usize = 256;
/// Longest identity of a customer, in bytes.
pub(super) const ID_LEN_MAX: usize = 128;

/// A customer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Customer)]
pub(super) struct CustomerView {
    /// The business backend's name for him.
    id: Box<str>,
    /// What people call him.
    name: Option<Box<str>>,
    /// When he was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<CustomerRow> for CustomerView {
    fn from(row: CustomerRow) -> Self {
        let name = row.name.map(|name| name.expose().clone());
        Self { id: row.id, name, created_at: row.created_at }
    }
}

/// A customer to be made or renamed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerRequest {
    /// What people call him.
    #[schema(value_type = Option<String>)]
    name: Option<Redacted<Box<str>>>,
}

/// Makes a customer (201) or renames one (200).
#[utoipa::path(put, path = "/api/v1/customers/{id}", tag = "customers",
    operation_id = "put_customer",
    security(("token" = ["customers.write"])),
    params(("id" = String, Path, description = "The business backend's name for the customer")),
    request_body = CustomerRequest,
    responses(
        (status = 200, description = "The customer, changed", body = CustomerView),
        (status = 201, description = "The customer, made", body = CustomerView),
    ))]
pub(super) async fn put(
    caller: Authorised<need::CustomersWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    JsonBody(body): JsonBody<CustomerRequest>,
) -> Result<(StatusCode, Json<CustomerView>), Problem> {
    if !is_name(&id, ID_LEN_MAX) {
        let detail = format!("a customer's identity has 1 to {ID_LEN_MAX} bytes");
        return Err(Problem::new(Code::InvalidPath, detail));
    }
    let name_fits = |name: &Redacted<Box<str>>| is_name(name.expose(), NAME_LEN_MAX);
    if !body.name.as_ref().is_none_or(name_fits) {
        let detail = format!("`name` has 1 to {NAME_LEN_MAX} bytes");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let known = state.registry.customer(caller.tenant(), &id);
    let status = if known.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let row = CustomerRow {
        tenant: caller.tenant().clone(),
        id: id.as_str().into(),
        name: body.name,
        created_at: known.map_or_else(|| state.clock.now().wall, |known| known.created_at),
    };
    let operations = vec![Operation::PutCustomer(row.clone())];
    state.change(&caller, "customer.put", &id, &json!({}), operations).await?;
    Ok((status, Json(row.into())))
}

/// Shows a customer.
#[utoipa::path(get, path = "/api/v1/customers/{id}", tag = "customers",
    operation_id = "show_customer",
    security(("token" = ["customers.read"])),
    params(("id" = String, Path, description = "The business backend's name for the customer")),
    responses((status = 200, description = "The customer", body = CustomerView)))]
pub(super) async fn show(
    caller: Authorised<need::CustomersRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<CustomerView>, Problem> {
    let row = state.registry.customer(caller.tenant(), &id).ok_or(Code::NoSuchCustomer)?;
    Ok(Json(row.into()))
}

/// Lists what a customer owns.
#[utoipa::path(get, path = "/api/v1/customers/{id}/devices", tag = "customers",
    operation_id = "list_customer_devices",
    security(("token" = ["customers.read"])),
    params(
        ("id" = String, Path, description = "The business backend's name for the customer"),
        PageQuery,
    ),
    responses((status = 200, description = "A page of devices", body = Items<DeviceView>)))]
pub(super) async fn devices_of(
    caller: Authorised<need::CustomersRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<DeviceView>>, Problem> {
    state.registry.customer(caller.tenant(), &id).ok_or(Code::NoSuchCustomer)?;
    let filter = Filter { customer: Some(id.into()), ..Filter::default() };
    devices::page(&state, &caller, &filter, query.limit, query.cursor.as_deref())
}

/// Gives a device to a customer, taking it from whoever owned it.
///
/// A device that was never met is made: a phone is known by its number before it ever calls.
#[utoipa::path(put, path = "/api/v1/customers/{id}/devices/{device}", tag = "customers",
    operation_id = "give_device",
    security(("token" = ["customers.write"])),
    params(
        ("id" = String, Path, description = "The business backend's name for the customer"),
        ("device" = String, Path, description = "The device's identity or an alias"),
    ),
    responses((status = 204, description = "The customer owns it")))]
pub(super) async fn give(
    caller: Authorised<need::CustomersWrite>,
    State(state): State<ApiState>,
    Segments(path): Segments<(String, String)>,
    name: DeviceName,
) -> Result<StatusCode, Problem> {
    let (customer, _) = path;
    let tenant = caller.tenant();
    state.registry.customer(tenant, &customer).ok_or(Code::NoSuchCustomer)?;
    let new = || DeviceId::parse(&name.decoded).or_else(|_| DeviceId::parse(&name.raw)).ok();
    let device = state.resolve(tenant, &name).or_else(new).ok_or(Code::NoSuchDevice)?;
    let detail = json!({ "customer": customer });
    let operation = Operation::SetOwner {
        tenant: tenant.clone(),
        device: device.clone(),
        customer: Some(customer.into()),
        at: state.clock.now().wall,
    };
    state.change(&caller, "device.owner.put", device.as_str(), &detail, vec![operation]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a device from its customer.
#[utoipa::path(delete, path = "/api/v1/customers/{id}/devices/{device}", tag = "customers",
    operation_id = "take_device",
    security(("token" = ["customers.write"])),
    params(
        ("id" = String, Path, description = "The business backend's name for the customer"),
        ("device" = String, Path, description = "The device's identity or an alias"),
    ),
    responses((status = 204, description = "Nobody owns it")))]
pub(super) async fn take(
    caller: Authorised<need::CustomersWrite>,
    State(state): State<ApiState>,
    Segments(path): Segments<(String, String)>,
    name: DeviceName,
) -> Result<StatusCode, Problem> {
    let (customer, _) = path;
    state.registry.customer(caller.tenant(), &customer).ok_or(Code::NoSuchCustomer)?;
    let device = state.device(caller.tenant(), &name)?;
    if device.customer.as_deref() != Some(customer.as_str()) {
        return Err(Code::NotTheOwner.into());
    }
    let detail = json!({ "customer": customer });
    let operation = Operation::SetOwner {
        tenant: device.tenant,
        device: device.id.clone(),
        customer: None,
        at: state.clock.now().wall,
    };
    let subject = device.id.as_str();
    state.change(&caller, "device.owner.delete", subject, &detail, vec![operation]).await?;
    Ok(StatusCode::NO_CONTENT)
}
