//! `PUT …/wifi`: a customer changes his radio networks in a portal.
//!
//! The passphrase goes into what the business keeps, and from there to the device; no answer, event,
//! log or line of the audit trail repeats it.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{DeviceName, JsonBody, Params, Segments, WaitQuery, refuse, wait};
use super::problem::{Code, Problem};
use super::push::{self, PushView};
use crate::equipment::{WifiError, WifiTarget};
use crate::provisioner::Reason;
use crate::registry::Device;
use crate::store::{EquipmentChange, Operation};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::{DeviceId, Protocol, Tenant};
use provisioning::equipment::{self, Faults, WifiChange, parse_wifi};
use serde_json::{Map, Value, json};
use std::time::Duration;
use utoipa::ToSchema;

/// How often a change is made anew that another one overtook.
const TRIES_MAX: usize = 5;

/// A change of radio networks: what is given replaces what was, band by band.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read by its table")]
pub(super) struct WifiRequest {
    /// Band by band.
    wifi: Vec<WifiBand>,
    /// Which of a customer's devices, where several have WiFi; only for the call that names him.
    device: Option<String>,
}

/// One band.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read by its table")]
pub(super) struct WifiBand {
    /// `2.4GHz` or `5GHz`.
    band: String,
    /// 1 to 32 bytes.
    ssid: Option<String>,
    /// 8 to 63 printable ASCII characters, or 64 hexadecimal digits.
    passphrase: Option<String>,
    /// Whether it is on.
    enable: Option<bool>,
    /// Whether its name is not broadcast.
    hidden: Option<bool>,
}

/// A read body, with the time to wait.
fn read(
    state: &ApiState,
    query: &WaitQuery,
    body: &Map<String, Value>,
) -> Result<(WifiChange, Option<Duration>), Problem> {
    let wait = wait(state, query.wait.as_deref())?;
    let text = serde_json::to_vec(body).map_err(|error| refuse(&error))?;
    Ok((parse_wifi(&text)?.strict()?, wait))
}

/// Changes the radio networks of a device: 202 at once, or 200 when it has been given them within `wait`.
///
/// It is woken where it can be; else it is given them when it next calls. One that has not been met is
/// given them when it comes, if its equipment is known.
#[utoipa::path(put, path = "/api/v1/devices/{id}/wifi", tag = "equipment",
    operation_id = "change_device_wifi",
    security(("token" = ["equipment.write"])),
    params(
        ("id" = String, Path, description = "Its identity, an alias, or its serial"),
        WaitQuery,
    ),
    request_body = WifiRequest,
    responses(
        (status = 200, description = "How its provisioning ended", body = PushView),
        (status = 202, description = "It is on its way", body = PushView),
    ))]
pub(super) async fn of_device(
    caller: Authorised<need::EquipmentWrite>,
    State(state): State<ApiState>,
    name: DeviceName,
    Params(query): Params<WaitQuery>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<(StatusCode, Json<PushView>), Problem> {
    let (change, wait) = read(&state, &query, &body)?;
    if change.device.is_some() {
        return Err(Faults::one("device", "is for the call that names a customer").into());
    }
    match state.device(caller.tenant(), &name) {
        Ok(device) => changed(&state, &caller, device, &change, wait).await,
        // Not met yet; a technician may have scanned its label.
        Err(problem) => {
            let key = equipment::key(&name.decoded).ok_or_else(|| problem.clone())?;
            if state.store.equipment(caller.tenant(), &key).await?.is_none() {
                return Err(problem);
            }
            make(&state, &caller, WifiTarget::Name(&key), &key, &change).await?;
            let view = PushView { state: "not_met".to_owned(), ..PushView::default() };
            Ok((StatusCode::ACCEPTED, Json(view)))
        }
    }
}

/// Changes the radio networks of a customer: of his one CPE that has WiFi.
///
/// Where several have, `device` must say which (409 names them); where none is known to have, his only
/// CPE is meant.
#[utoipa::path(put, path = "/api/v1/customers/{id}/wifi", tag = "equipment",
    operation_id = "change_customer_wifi",
    security(("token" = ["equipment.write"])),
    params(
        ("id" = String, Path, description = "The business backend's name for the customer"),
        WaitQuery,
    ),
    request_body = WifiRequest,
    responses(
        (status = 200, description = "How its provisioning ended", body = PushView),
        (status = 202, description = "It is on its way", body = PushView),
    ))]
pub(super) async fn of_customer(
    caller: Authorised<need::EquipmentWrite>,
    State(state): State<ApiState>,
    Segments(customer): Segments<String>,
    Params(query): Params<WaitQuery>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<(StatusCode, Json<PushView>), Problem> {
    let (change, wait) = read(&state, &query, &body)?;
    let tenant = caller.tenant();
    state.registry.customer(tenant, &customer).ok_or(Code::NoSuchCustomer)?;
    let device = match &change.device {
        Some(named) => {
            let id = state.registry.resolve(tenant, named).ok_or(Code::NoSuchDevice)?;
            let device = state.registry.get(tenant, &id).ok_or(Code::NoSuchDevice)?;
            if device.customer.as_deref() != Some(&customer) {
                return Err(Code::NotTheOwner.into());
            }
            device
        }
        None => only_with_wifi(&state, tenant, &customer).await?,
    };
    changed(&state, &caller, device, &change, wait).await
}

/// The customer's CPE that is meant when none is named.
async fn only_with_wifi(
    state: &ApiState,
    tenant: &Tenant,
    customer: &str,
) -> Result<Device, Problem> {
    let devices = state.registry.devices_of(tenant, customer).into_iter();
    let all: Vec<_> = devices
        .filter(|id| id.protocol() == Protocol::Cwmp)
        .filter_map(|id| state.registry.get(tenant, &id))
        .collect();
    let mut with_wifi = Vec::new();
    for device in &all {
        if state.equipments.has_wifi(tenant, &device.id, &device.facts).await? {
            with_wifi.push(device.clone());
        }
    }
    let mut candidates = if with_wifi.is_empty() { all } else { with_wifi };
    match candidates.len() {
        0 => Err(Problem::new(Code::Conflict, "the customer has no CPE")),
        1 => Ok(candidates.remove(0)),
        _ => {
            let ids: Vec<_> = candidates.iter().map(|device| device.id.as_str()).collect();
            let detail = format!("say which `device` is meant: {}", ids.join(", "));
            Err(Problem::new(Code::Conflict, detail))
        }
    }
}

/// Keeps the change, brings it to the device, and waits for what comes of it.
async fn changed(
    state: &ApiState,
    caller: &Authorised<need::EquipmentWrite>,
    device: Device,
    change: &WifiChange,
    wait: Option<Duration>,
) -> Result<(StatusCode, Json<PushView>), Problem> {
    if device.id.protocol() != Protocol::Cwmp {
        return Err(Problem::new(Code::WrongProtocol, "only CPEs have WiFi here"));
    }
    let (tenant, id): (&Tenant, &DeviceId) = (caller.tenant(), &device.id);
    let target = WifiTarget::Device { id, facts: &device.facts };
    make(state, caller, target, id.as_str(), change).await?;
    let ended = push::ended(state, tenant, id, Reason::Values, wait).await;
    let (request, has_ended) = ended.map_or((None, false), |(id, ended)| (Some(id), ended));
    let view = push::standing(state, tenant, id, request, has_ended).await;
    let status = if has_ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(view)))
}

/// Keeps the change, with its line in the audit trail: which bands, and never what.
async fn make(
    state: &ApiState,
    caller: &Authorised<need::EquipmentWrite>,
    target: WifiTarget<'_>,
    subject: &str,
    change: &WifiChange,
) -> Result<(), Problem> {
    let bands: Vec<_> = change.wifi.iter().map(|wifi| wifi.band.as_str()).collect();
    let detail = json!({ "bands": bands });
    for _ in 0..TRIES_MAX {
        let operation = state.equipments.wifi_change(caller.tenant(), target, &change.wifi).await?;
        // Changes of one document take turns, whoever is named.
        let lane = match &operation {
            Operation::Equipment(EquipmentChange::Put { row, .. }) => row.serial.to_string(),
            _ => subject.to_owned(),
        };
        let line = state.audit(caller, "wifi.change", subject, &detail);
        let made = state.changes.make(&lane, vec![operation, line]).await.map_err(Problem::from);
        match made {
            // Somebody changed the document between: laid over what it is now.
            Err(problem) if problem.code == Code::Conflict => {}
            other => return other,
        }
    }
    Err(Problem::new(Code::Conflict, "the equipment is being changed by others"))
}

impl From<WifiError> for Problem {
    fn from(error: WifiError) -> Self {
        match error {
            WifiError::Faulty(faults) => faults.into(),
            WifiError::Nameless => Self::new(Code::Conflict, error.to_string()),
            WifiError::NotKept => Code::NoSuchEquipment.into(),
            WifiError::Sealed => Self::new(Code::Internal, error.to_string()),
            WifiError::Read(error) => error.into(),
        }
    }
}
